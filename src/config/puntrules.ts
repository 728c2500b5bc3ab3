// Rules between the values of a punt: what no single key can be checked for.
//
// Invariants: like validate.ts it looks at entries as they were written, so that these errors come together with all the
// others; values of a wrong type are left out here, the schema reports them. Paths are within the entry.
// References: StoneWork's punt manager (mismatches, selectors), Ligato's punt plugin, VPP's punt_socket_register.

import { plainWord, shown } from './fields.ts';
import type { PathProblem } from './names.ts';
import { LEAST_BURST_BYTES, puntShape } from './punts.ts';
import { networkFamily, protocolNumber } from './puntvalues.ts';
import { listOf, record } from './written.ts';

type Entry = Readonly<Record<string, unknown>>;

const ALL_PORTS = 65_535;
const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ICMP6 = 58;
const MIN_MTU6 = 1280;

const wordOf = (value: unknown): string => (typeof value === 'string' ? plainWord(value) : '');

function socketProblems(entry: Entry): PathProblem[] {
  const problems: PathProblem[] = [];
  const hasSocket = entry.socket !== undefined;
  const link = wordOf(entry.interconnect);
  if (hasSocket && (link === 'tap' || link === 'memif'))
    problems.push({
      path: ['interconnect'],
      message: `interconnect link/type mismatch: a socket is reached by af-unix, not by ${link}`,
      hint: 'say interconnect: af-unix, or leave it out',
    });
  if (!hasSocket && link !== '')
    problems.push({
      path: ['interconnect'],
      message: `interconnect link/type mismatch: ${link} leads to nothing without a socket`,
      hint: 'give the socket of the client, or leave interconnect out: the packets go to the host',
    });
  if (entry.type !== 'to-host' || !hasSocket) return problems;
  if (wordOf(entry.l4) === 'tcp')
    problems.push({
      path: ['l4'],
      message: 'TCP with a socket is not supported',
      hint: 'a socket can have UDP ports; without a socket the packets go to the host',
    });
  if (entry.port === ALL_PORTS)
    problems.push({
      path: ['port'],
      message: 'port 65535 stands for all ports that nobody has, which a socket cannot have',
      hint: 'give a port from 1 to 65534, or leave the socket out: the packets go to the host',
    });
  return problems;
}

function linkProblems(entry: Entry, isHost: boolean): PathProblem[] {
  const link = wordOf(entry.interconnect);
  if (link === 'af-unix')
    return [
      {
        path: ['interconnect'],
        message: `interconnect link/type mismatch: ${wordOf(entry.type)} needs an interface, af-unix has none`,
        hint: 'say interconnect: tap, or memif for a container that speaks it',
      },
    ];
  if (link !== 'memif' || !isHost) return [];
  return [
    {
      path: ['interconnect'],
      message: 'it is not supported to punt with memif to the host itself, which does not speak it',
      hint: 'name the container by its netns, or say interconnect: tap',
    },
  ];
}

function redirectProblems(entry: Entry): PathProblem[] {
  const l3 = wordOf(entry.l3);
  const wanted = l3 === 'ipv4' ? [4] : l3 === 'ipv6' ? [6] : l3 === 'all' ? [4, 6] : [];
  const hops = listOf(entry['next-hop']).map(networkFamily);
  const problems: PathProblem[] = [];
  for (const [i, family] of hops.entries()) {
    if (family === undefined || wanted.length === 0) continue;
    const at = ['next-hop', i];
    if (!wanted.includes(family))
      problems.push({
        path: at,
        message: `an IPv${family} next hop cannot be that of l3 ${l3}`,
        hint: `give an IPv${family === 4 ? 6 : 4} address, or say l3: all and give one of each family`,
      });
    else if (hops.indexOf(family) < i)
      problems.push({ path: at, message: `a second IPv${family} next hop`, hint: 'one of each family' });
  }
  const present = wanted.filter((family) => hops.includes(family as 4 | 6));
  if (wanted.length === 2 && present.length === 1 && !hops.includes(undefined))
    problems.push({
      path: ['next-hop'],
      message: `l3 all needs a next hop of each family, and there is none of IPv${present[0] === 4 ? 6 : 4}`,
      hint: `give both, or say l3: ipv${present[0]}`,
    });
  return problems;
}

function policeProblems(entry: Entry): PathProblem[] {
  const { rate, burst } = entry;
  const unit = entry.unit === undefined ? 'pps' : wordOf(entry.unit);
  if (unit === 'kbps' && rate === undefined)
    return [{ path: ['rate'], message: 'a limit in kbps needs a rate', hint: 'give one, or say unit: pps' }];
  if (typeof rate !== 'number' || typeof burst !== 'number') return [];
  if (unit === 'pps' && rate * burst < 1000)
    return [
      {
        path: ['burst'],
        message: `${rate} packets a second are less than one in ${burst} ms: nothing would pass`,
        hint: `give at least ${Math.ceil(1000 / Math.max(1, rate))} (ms), or leave burst out`,
      },
    ];
  if (unit !== 'kbps' || burst >= LEAST_BURST_BYTES) return [];
  const message = `a burst of ${burst} bytes is less than a packet: it would never pass`;
  return [{ path: ['burst'], message, hint: `give at least ${LEAST_BURST_BYTES} (bytes), or leave burst out` }];
}

function hairpinXconnectProblems(entry: Entry): PathProblem[] {
  const [first, second] = listOf(entry.interfaces);
  if (typeof first !== 'string' || first === '' || first !== second) return [];
  return [
    {
      path: ['interfaces', 1],
      message: `duplicate VPP selector vpp/interface/${first}`,
      hint: 'a hairpin x-connect joins two interfaces',
    },
  ];
}

function hairpinProblems(entry: Entry): PathProblem[] {
  const made = record(entry['hairpin-interface']);
  const problems: PathProblem[] = [];
  const at = (...path: (string | number)[]) => ['hairpin-interface', ...path];
  if (typeof made.name === 'string' && made.name === entry.interface && made.name !== '')
    problems.push({
      path: at('name'),
      message: `duplicate VPP selector: ${made.name} is the interface that is hairpinned`,
      hint: 'give the interface that is to be made a name of its own',
    });
  const addresses = listOf(made.addresses);
  for (const [i, address] of addresses.entries())
    if (addresses.indexOf(address) < i)
      problems.push({
        path: at('addresses', i),
        message: `${shown(address)} is there twice`,
        hint: 'keep one of them',
      });
  const { mtu } = made;
  if (typeof mtu === 'number' && mtu >= 68 && mtu < MIN_MTU6 && addresses.some((a) => networkFamily(a) === 6))
    problems.push({
      path: at('mtu'),
      message: `an interface with IPv6 addresses cannot have an MTU of ${mtu}`,
      hint: `the least is ${MIN_MTU6}`,
    });
  return problems;
}

/** What belongs to some protocols only, with those. */
const protocolKeys: readonly (readonly [key: string, protocols: readonly number[], words: string])[] = [
  ['source-port', [TCP, UDP], 'tcp or udp'],
  ['destination-port', [TCP, UDP], 'tcp or udp'],
  ['tcp-flags', [TCP], 'tcp'],
  ['icmp-type', [ICMP, ICMP6], 'icmp or icmp6'],
  ['icmp-code', [ICMP, ICMP6], 'icmp or icmp6'],
];

function ruleProblems(rule: Entry): PathProblem[] {
  const problems: PathProblem[] = [];
  if (wordOf(rule.action) === 'reflect')
    problems.push({
      path: ['action'],
      message: 'reflect would make rules for answers, which packets that are punted do not have in the data plane',
      hint: 'say permit, and write a rule for the other direction under egress',
    });
  const protocol = rule.protocol === undefined ? 0 : protocolNumber(rule.protocol, 0);
  if (typeof protocol === 'number')
    for (const [key, protocols, words] of protocolKeys)
      if (rule[key] !== undefined && !protocols.includes(protocol))
        problems.push({ path: [key], message: `${key} is of protocol ${words}`, hint: `say protocol: ${words}` });
  const source = networkFamily(rule.source);
  const destination = networkFamily(rule.destination);
  if (source !== undefined && destination !== undefined && source !== destination)
    problems.push({
      path: ['destination'],
      message: `the source is IPv${source} and the destination IPv${destination}: no packet has both`,
      hint: 'write a rule for each family',
    });
  const family = protocol === ICMP ? 4 : protocol === ICMP6 ? 6 : undefined;
  for (const [key, of] of [
    ['source', source],
    ['destination', destination],
  ] as const)
    if (family !== undefined && of !== undefined && of !== family)
      problems.push({
        path: [key],
        message: `${family === 4 ? 'icmp' : 'icmp6'} is of IPv${family}, and ${key} is IPv${of}`,
        hint: `say protocol: ${family === 4 ? 'icmp6' : 'icmp'}, or give an IPv${family} network`,
      });
  const { mask, value } = record(rule['tcp-flags']);
  if (typeof mask === 'number' && typeof value === 'number' && (value & ~mask) !== 0)
    problems.push({
      path: ['tcp-flags', 'value'],
      message: `value ${value} has flags that mask ${mask} leaves out: no packet would match`,
      hint: 'a packet matches when its flags and mask are value',
    });
  return problems;
}

function abxProblems(entry: Entry): PathProblem[] {
  const problems: PathProblem[] = [];
  if (Array.isArray(entry.ingress) && entry.ingress.length === 0)
    problems.push({
      path: ['ingress'],
      message: 'without a rule nothing is punted',
      hint: 'write at least one, `- { protocol: ospf }`, or `- {}` for all packets',
    });
  for (const side of ['ingress', 'egress'])
    for (const [i, rule] of listOf(entry[side]).entries())
      problems.push(...ruleProblems(record(rule)).map((p) => ({ ...p, path: [side, i, ...p.path] })));
  return problems;
}

const byType: Readonly<Record<string, (entry: Entry) => PathProblem[]>> = {
  'ip-redirect': redirectProblems,
  police: policeProblems,
  'hairpin-xconnect': hairpinXconnectProblems,
  hairpin: hairpinProblems,
  abx: abxProblems,
};

/** The broken rules of an entry. cnf: who it is for, '' is the host itself. */
export function puntProblems(value: unknown, cnf: string): PathProblem[] {
  const entry = record(value);
  const keys = puntShape(entry.type)?.shape;
  if (keys === undefined) return [];
  const problems = byType[String(entry.type)]?.(entry) ?? [];
  if ('socket' in keys) problems.push(...socketProblems(entry));
  else if ('interconnect' in keys) problems.push(...linkProblems(entry, cnf === ''));
  return problems;
}

/** The broken rules of `punts:` as a whole, and those of its entries. netns: of those that name none. */
export function puntsProblems(value: unknown, netns: string): PathProblem[] {
  const problems: PathProblem[] = [];
  const seen = new Map<string, number>();
  for (const [i, raw] of listOf(value).entries()) {
    const entry = record(raw);
    const cnf = typeof entry.netns === 'string' ? entry.netns : netns;
    for (const problem of puntProblems(entry, cnf)) problems.push({ ...problem, path: ['punts', i, ...problem.path] });
    if (typeof entry.name !== 'string' || entry.name === '') continue;
    const id = JSON.stringify([cnf, entry.name]);
    const first = seen.get(id);
    if (first === undefined) {
      seen.set(id, i);
      continue;
    }
    const where = cnf === '' ? "in lcpd's own namespace" : `in namespace ${cnf}`;
    const message = `punt already exists: ${entry.name} is the name of punts[${first}], ${where}`;
    problems.push({ path: ['punts', i, 'name'], message, hint: 'give it another name' });
  }
  return problems;
}
