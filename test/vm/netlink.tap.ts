/**
 * Netlink: what src/netlink reads of a kernel that has everything is what `ip` reads of it, and what our encoders ask
 * for is what `ip` then shows. Two programs that read the same messages and have no line in common.
 */
import { addRoute, newLink, newNexthop, setLink } from '../../src/netlink/change.ts';
import type { Link, LinkRequest } from '../../src/netlink/link.ts';
import type { Route, RouteLeg } from '../../src/netlink/routeobject.ts';
import { encodeRule, type RuleRequest, ruleText } from '../../src/netlink/rule.ts';
import * as k from '../../src/netlink/uapi.ts';
import { ip, ipJson, sysctl } from '../system/lab/netns.ts';
import { run } from '../system/lab/process.ts';
import { type Lab, system } from '../system/lab.ts';
import * as decoded from './decoded.ts';

/** What both sides are brought to: the names of iproute2. */
interface LinkShape {
  readonly name: string;
  readonly mtu: number;
  readonly mac?: string | undefined;
  readonly flags: readonly string[];
  readonly operstate: string;
  readonly master?: string | undefined;
  readonly below?: string | undefined;
  readonly kind?: string | undefined;
  readonly slaveKind?: string | undefined;
  readonly altnames: readonly string[];
  readonly alias?: string | undefined;
  readonly info: string;
}

interface IpLink {
  readonly ifname: string;
  readonly mtu: number;
  readonly link_type: string;
  readonly address?: string;
  readonly flags: readonly string[];
  readonly operstate: string;
  readonly master?: string;
  readonly link?: string | null;
  readonly altnames?: readonly string[];
  readonly ifalias?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_slave_kind?: string;
    readonly info_data?: Record<string, unknown>;
    readonly info_slave_data?: Record<string, unknown>;
  };
}

const flagNames: readonly (readonly [bit: number, name: string])[] = [
  [1, 'UP'],
  [2, 'BROADCAST'],
  [8, 'LOOPBACK'],
  [0x80, 'NOARP'],
  [0x400, 'MASTER'],
  [0x800, 'SLAVE'],
  [0x1000, 'MULTICAST'],
  [0x10000, 'LOWER_UP'],
];
const operstates = ['UNKNOWN', 'NOTPRESENT', 'DOWN', 'LOWERLAYERDOWN', 'TESTING', 'DORMANT', 'UP'];
const vlanFlags: readonly (readonly [bit: number, name: string])[] = [
  [1, 'REORDER_HDR'],
  [2, 'GVRP'],
  [4, 'LOOSE_BINDING'],
  [8, 'MVRP'],
];
const vlanProtocols: Readonly<Record<number, string>> = { 33024: '802.1Q', 34984: '802.1ad' };
const bondModes: Readonly<Record<number, string>> = { 1: 'active-backup', 4: '802.3ad' };
const macvlanModes: Readonly<Record<number, string>> = { 1: 'private', 2: 'vepa', 4: 'bridge', 8: 'passthru' };

const bits = (names: readonly (readonly [number, string])[], value: number): string[] =>
  names.flatMap(([bit, name]) => ((value & bit) === 0 ? [] : [name]));

/** Everything that belongs to one kind, in one text. */
function infoOf(link: Link): string {
  const { vlan, vrf, bond, macvlan, bridge } = link.info ?? {};
  if (vlan !== undefined) return `${vlanProtocols[vlan.protocol]} ${vlan.id} ${bits(vlanFlags, vlan.flags ?? 0)}`;
  if (vrf !== undefined) return `table ${vrf.table}`;
  if (bond !== undefined) return `mode ${bondModes[bond.mode]}`;
  if (macvlan !== undefined) return `mode ${macvlanModes[macvlan.mode]}`;
  if (bridge !== undefined) return `filtering ${Number(bridge.vlanFiltering)} stp ${Number(bridge.stp)}`;
  return link.vrfTable === undefined ? '' : `port of table ${link.vrfTable}`;
}

function infoOfIp({ linkinfo }: IpLink): string {
  const data = linkinfo?.info_data ?? {};
  switch (linkinfo?.info_kind) {
    case 'vlan':
      return `${data.protocol} ${data.id} ${data.flags}`;
    case 'vrf':
      return `table ${data.table}`;
    case 'bond':
    case 'macvlan':
      return `mode ${data.mode}`;
    case 'bridge':
      return `filtering ${data.vlan_filtering} stp ${data.stp_state}`;
    default:
      return linkinfo?.info_slave_kind === 'vrf' ? `port of table ${linkinfo.info_slave_data?.table}` : '';
  }
}

function shapes(all: readonly Link[]): LinkShape[] {
  const nameOf = new Map(all.map((link) => [link.ifindex, link.name]));
  return all.map((link) => ({
    name: link.name,
    mtu: link.mtu,
    mac: link.type === 1 ? link.mac : undefined,
    flags: bits(flagNames, link.flags).sort(),
    operstate: operstates[link.operstate] ?? `${link.operstate}`,
    master: nameOf.get(link.master ?? 0),
    below: nameOf.get(link.link ?? 0),
    kind: link.kind,
    slaveKind: link.slaveKind,
    altnames: link.altnames,
    alias: link.alias,
    info: infoOf(link),
  }));
}

function ipShapes(all: readonly IpLink[]): LinkShape[] {
  const known = flagNames.map(([, name]) => name);
  return all.map((link) => ({
    name: link.ifname,
    mtu: link.mtu,
    mac: link.link_type === 'ether' ? link.address : undefined,
    flags: link.flags.filter((flag) => known.includes(flag)).sort(),
    operstate: link.operstate,
    master: link.master,
    below: link.link ?? undefined,
    kind: link.linkinfo?.info_kind,
    slaveKind: link.linkinfo?.info_slave_kind,
    altnames: link.altnames ?? [],
    alias: link.ifalias,
    info: infoOfIp(link),
  }));
}

/** Lines for ip(8), with options before them. All must succeed: what is not there would compare as equal. */
async function batch(ns: string, lines: readonly string[], ...options: string[]): Promise<void> {
  await run(['ip', '-n', ns, ...options, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

async function addLabelled(lab: Lab, role: string): Promise<string> {
  const ns = await lab.addNetns(role);
  await batch(ns, ['link add e type dummy', 'link set e up', 'address add 192.0.2.1/24 dev e']);
  await batch(ns, ['address add 2001:db8::1/64 dev e']);
  await sysctl(ns, { 'net.mpls.platform_labels': 1000, 'net.mpls.conf.e.input': 1 });
  return ns;
}

system('links that ip made', async (t, lab) => {
  const ns = await lab.addNetns('links');
  await batch(ns, [
    'link add e type veth peer name f',
    'link set e up',
    'link set f up',
    'link add link e name e.10 type vlan id 10',
    'link add link e name e.s20 type vlan protocol 802.1ad id 20',
    'link add link e.s20 name e.s20.30 type vlan id 30 reorder_hdr off loose_binding on',
    'link add red type vrf table 1010',
    'link set red up',
    'link set e.10 master red up',
    'link add b0 type bond mode 802.3ad',
    'link add b1 type bond mode active-backup',
    'link add d0 type dummy',
    'link set d0 master b0',
    'link set b0 up',
    'link add link e name mv type macvlan mode private',
    'link add name br type bridge vlan_filtering 1',
    'link add name gt type gretap local 192.0.2.1 remote 192.0.2.2',
    'link set b1 alias "two words"',
    'link property add dev b1 altname a-second-name',
  ]);
  const ours = shapes(await decoded.links(ns));
  t.same(ours, ipShapes(await ipJson<IpLink>(ns, '-details', 'link')));
  t.equal(ours.length, 13);
  const of = (name: string): LinkShape | undefined => ours.find((link) => link.name === name);
  // What ip says is not taken on trust either.
  t.match(of('e.s20.30'), { below: 'e.s20', info: '802.1Q 30 LOOSE_BINDING' });
  t.match(of('e.s20'), { below: 'e', info: '802.1ad 20 REORDER_HDR' });
  t.match(of('e.10'), { master: 'red', slaveKind: 'vrf' });
  t.match(of('red'), { info: 'table 1010' });
  t.match(of('d0'), { master: 'b0', slaveKind: 'bond', kind: 'dummy' });
  t.match(of('b0'), { info: 'mode 802.3ad' });
  t.equal((await decoded.links(ns)).find((link) => link.name === 'e.10')?.vrfTable, 1010);
});

system('links that our encoder made', async (t, lab) => {
  const ns = await lab.addNetns('made');
  await batch(ns, ['link add e type veth peer name f']);
  const indexOf = async (name: string): Promise<number> => {
    const link = (await decoded.links(ns)).find((l) => l.name === name);
    if (link === undefined) throw new Error(`no ${name}`);
    return link.ifindex;
  };
  const e = await indexOf('e');
  const wanted: readonly (LinkRequest & { readonly kind: string })[] = [
    { name: 'v', kind: 'vlan', link: e, info: { vlan: { id: 4094, protocol: 0x88a8, flags: 5 } } },
    { name: 'red', kind: 'vrf', info: { vrf: { table: 70_000 } } },
    { name: 'b', kind: 'bond', info: { bond: { mode: 1 } } },
    { name: 'm', kind: 'macvlan', link: e, mac: '02:00:00:00:00:09', info: { macvlan: { mode: 4 } } },
    { name: 'd', kind: 'dummy' },
    { name: 'jumbo', kind: 'dummy', mtu: 9000, alias: 'two words' },
    { name: 'br', kind: 'bridge', info: { bridge: { vlanFiltering: true } } },
  ];
  for (const link of wanted) await decoded.request(ns, (requester) => newLink(requester, link));
  const [vlan, red, bond, dummy] = await Promise.all(['v', 'red', 'b', 'd'].map(indexOf));
  await decoded.request(ns, (requester) => setLink(requester, vlan as number, { master: red as number }));
  await decoded.request(ns, (requester) => setLink(requester, dummy as number, { master: bond as number }));
  // The kernel takes no alias in the request that makes a link.
  const jumbo = await indexOf('jumbo');
  await decoded.request(ns, (requester) => setLink(requester, jumbo, { alias: 'two words' }));
  const shown = ipShapes(await ipJson<IpLink>(ns, '-details', 'link'));
  const of = (name: string): LinkShape | undefined => shown.find((link) => link.name === name);
  t.match(of('v'), { below: 'e', info: '802.1ad 4094 REORDER_HDR,LOOSE_BINDING', master: 'red', slaveKind: 'vrf' });
  t.match(of('red'), { info: 'table 70000' });
  t.match(of('b'), { info: 'mode active-backup' });
  t.match(of('m'), { below: 'e', info: 'mode bridge', mac: '02:00:00:00:00:09' });
  t.match(of('d'), { kind: 'dummy', master: 'b', slaveKind: 'bond' });
  t.match(of('jumbo'), { kind: 'dummy', mtu: 9000, alias: 'two words' });
  t.match(of('br'), { info: 'filtering 1 stp 0' });
  t.same(shapes(await decoded.links(ns)), shown);
});

interface IpLeg {
  readonly to?: string;
  readonly labels?: string;
  readonly ttl?: number;
  readonly gateway?: string;
  readonly via?: { readonly host: string };
  readonly dev: string;
  readonly weight?: number;
}

type IpRoute = Partial<IpLeg> & { readonly dst: string; readonly nexthops?: readonly IpLeg[] };

/** `DST [push LABELS ttl N] via GATEWAY dev DEV weight N, …` */
function routeText(nameOf: ReadonlyMap<number, string>, route: Route): string {
  const leg = (l: RouteLeg): string =>
    `${(l.labels ?? []).join('/')} ttl ${l.ttl ?? 0} via ${l.gateway} dev ${nameOf.get(l.oif ?? 0)} weight ${l.weight}`;
  return `${route.dst}: ${route.legs.map(leg).join(', ')}`;
}

function ipRouteText(route: IpRoute): string {
  const leg = (l: Partial<IpLeg>): string =>
    `${l.to ?? l.labels ?? ''} ttl ${l.ttl ?? 0} via ${l.gateway ?? l.via?.host} dev ${l.dev} weight ${l.weight ?? 1}`;
  return `${route.dst}: ${(route.nexthops ?? [route]).map(leg).join(', ')}`;
}

/** Decoded and shown routes of a family, the ones with labels or all. */
async function compareRoutes(ns: string, family: number, arg: string): Promise<{ ours: string[]; theirs: string[] }> {
  const nameOf = new Map((await decoded.links(ns)).map((link) => [link.ifindex, link.name]));
  const ours = (await decoded.routes(ns, family)).filter((route) => family === k.AF_MPLS || route.table === 254);
  // The labels of an encapsulation are a second `dst` in the object of iproute2, which JSON.parse would take for the first.
  const text = (await ip(ns, '-json', arg, 'route')).replaceAll('"encap":"mpls","dst":', '"labels":');
  const theirs = JSON.parse(text) as IpRoute[];
  return { ours: ours.map((route) => routeText(nameOf, route)).sort(), theirs: theirs.map(ipRouteText).sort() };
}

system('labels: routes that swap, pop and push', async (t, lab) => {
  const ns = await addLabelled(lab, 'labels');
  await batch(
    ns,
    [
      'route add 100 as 200/201 via inet 192.0.2.2',
      'route add 101 via inet 192.0.2.2',
      'route add 102 as 777 via inet6 2001:db8::2 dev e',
      'route add 103 nexthop as 300 via inet 192.0.2.2 nexthop via inet 192.0.2.3',
    ],
    '-M',
  );
  await batch(ns, [
    'route add 203.0.113.0/24 encap mpls 300/301 ttl 17 via 192.0.2.2',
    'route add 203.0.114.0/24 nexthop encap mpls 1048575 via 192.0.2.2 weight 3 nexthop via 192.0.2.3',
  ]);
  await batch(ns, ['route add 2001:db8:5::/48 encap mpls 16/17/18 via 2001:db8::2'], '-6');
  const e = (await decoded.links(ns)).find((link) => link.name === 'e')?.ifindex as number;
  await decoded.request(ns, async (requester) => {
    const legs = [{ oif: e, gateway: '192.0.2.9', labels: [16, 1048575] }];
    await addRoute(requester, { family: k.AF_MPLS, dst: '999', legs });
    await addRoute(requester, { dst: '203.0.115.0/24', legs: legs.map((leg) => ({ ...leg, ttl: 9 })) });
  });
  const labelled = await compareRoutes(ns, k.AF_MPLS, '-M');
  t.same(labelled.ours, labelled.theirs, 'the label table');
  t.ok(labelled.ours.includes('999: 16/1048575 ttl 0 via 192.0.2.9 dev e weight 1'), 'with the one that we made');
  const [four, six] = [await compareRoutes(ns, 2, '-4'), await compareRoutes(ns, 10, '-6')];
  t.same(four.ours, four.theirs, 'IPv4');
  t.ok(
    four.ours.includes('203.0.115.0/24: 16/1048575 ttl 9 via 192.0.2.9 dev e weight 1'),
    'with the one that we made',
  );
  t.ok(
    six.ours.some((line) => line.startsWith('2001:db8:5::/48: 16/17/18 ')),
    'IPv6',
  );
});

system('labels: nexthop objects that push', async (t, lab) => {
  const ns = await addLabelled(lab, 'objects');
  await batch(ns, ['nexthop add id 1 encap mpls 40/41 via 192.0.2.2 dev e']);
  const e = (await decoded.links(ns)).find((link) => link.name === 'e')?.ifindex as number;
  await decoded.request(ns, (r) => newNexthop(r, { id: 2, family: 2, oif: e, gateway: '192.0.2.3', labels: [50] }));
  t.match(
    await decoded.nexthops(ns),
    [
      { id: 1, labels: [40, 41] },
      { id: 2, labels: [50] },
    ],
    'as they were made',
  );
  t.match(await ip(ns, 'nexthop', 'show', 'id', '2'), /encap mpls +50 via 192\.0\.2\.3 dev e/);
});

/** A line of `ip rule` with one kind of space, and protocols by number, as ruleText has them. */
const plain = (line: string): string =>
  line.replace(/\s+/g, ' ').trim().replace('ipproto udp', 'ipproto 17').replace('ipproto tcp', 'ipproto 6');

system('rules', async (t, lab) => {
  const ns = await lab.addNetns('rules');
  await batch(ns, [
    'link add red type vrf table 10',
    'rule add pref 77 from 10.0.0.0/8 to 10.1.0.0/16 iif red fwmark 0x5/0xff tos 0x10 lookup 200',
    'rule add pref 78 not ipproto udp dport 53-55 sport 1 lookup 201 suppress_prefixlength 8',
    'rule add pref 80 goto 32766',
    'rule add pref 81 oif red prohibit',
  ]);
  await batch(
    ns,
    ['rule add pref 79 to 2001:db8::/32 uidrange 1-5 unreachable', 'rule add pref 82 from 2001:db8::1 blackhole'],
    '-6',
  );
  const made: readonly RuleRequest[] = [
    { family: 2, priority: 90, src: '192.0.2.0/24', ipProto: 6, dport: { start: 80, end: 81 }, table: 70_000 },
    { family: 10, priority: 91, dst: '2001:db8:7::/48', fwmark: 7, fwmask: 0xffffffff, table: 254 },
  ];
  for (const rule of made) {
    const flags = k.NLM_F_CREATE | k.NLM_F_EXCL;
    await decoded.request(ns, (requester) => requester.ack(k.RTM_NEWRULE, flags, (w) => encodeRule(w, rule)));
  }
  for (const [family, arg, count] of [
    [2, '-4', 9],
    [10, '-6', 6],
  ] as const) {
    const ours = await decoded.rules(ns, family);
    const shown = (await ip(ns, arg, 'rule')).trim().split('\n');
    t.same(
      ours.map((rule) => `${rule.priority}: ${ruleText(rule)}`),
      shown.map(plain),
      `IPv${family === 2 ? 4 : 6}`,
    );
    t.equal(ours.length, count);
    t.same(
      ours.flatMap((rule) => rule.unknown),
      [],
      'nothing that is not known',
    );
  }
});
