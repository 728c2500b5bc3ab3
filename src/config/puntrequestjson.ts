// What messages of Ligato and StoneWork say, as drafts of entries of `punts:`.
//
// Invariants: a draft remembers which field each of its keys came from, also those that are missing; whether the values are
// right is left to the entry's schema and rules. Numbers of enumerations are the .proto's.
// Sources: ligato/vpp/punt/punt.proto, ligato/vpp/acl/acl.proto, puntmgr/puntmgr.proto.

import { shown } from './fields.ts';
import type { PuntType } from './puntconfig.ts';
import type { Path, PuntMessage } from './puntmessage.ts';

type Entry = Record<string, unknown>;
type EntryPath = readonly PropertyKey[];

const L3 = { IPV4: [4, 'ipv4'], IPV6: [6, 'ipv6'], ALL: [10, 'all'] } as const;
const L4 = { TCP: [6, 'tcp'], UDP: [17, 'udp'] } as const;
const TYPES = {
  HAIRPIN_XCONNECT: [1, 'hairpinXConnect'],
  HAIRPIN: [2, 'hairpin'],
  SPAN: [3, 'span'],
  ABX: [4, 'abx'],
  PUNT_TO_SOCKET: [5, 'puntToSocket'],
  DHCP_PROXY: [6, 'dhcpProxy'],
  ISISX: [7, 'isisx'],
} as const;
const LINKS = { TAP: [0, 'tap'], MEMIF: [1, 'memif'], AF_UNIX: [2, 'af-unix'] } as const;
const ANY_LAST = 65_535;

export class Draft {
  readonly entry: Entry = {};
  readonly #start: Path;
  readonly #from = new Map<string, Path>();

  constructor(start: Path) {
    this.#start = start;
  }

  /** Puts a value, undefined: none, into `into`, whose own path is `at`. */
  put(into: Entry, at: EntryPath, key: string | number, value: unknown, from: Path): void {
    if (value !== undefined) into[key] = value;
    this.#from.set(JSON.stringify([...at, key]), from);
  }

  set(key: string, value: unknown, from: Path): void {
    this.put(this.entry, [], key, value, from);
  }

  /** The field behind a path of the entry, or the nearest around it. */
  pathOf(path: EntryPath): Path {
    for (let length = path.length; length > 0; length--) {
      const from = this.#from.get(JSON.stringify(path.slice(0, length)));
      if (from !== undefined) return from;
    }
    return this.#start;
  }
}

const nameOr = (draft: Draft, message: PuntMessage, name: string) => draft.set('name', name, message.path);

function putToHost(message: PuntMessage, draft: Draft): string {
  const l3 = message.enumeration('l3_protocol', L3);
  const l4 = message.enumeration('l4_protocol', L4);
  const port = message.number('port');
  draft.set('type', 'to-host' satisfies PuntType, message.path);
  draft.set('l3', l3, message.at('l3_protocol'));
  draft.set('l4', l4, message.at('l4_protocol'));
  draft.set('port', port, message.at('port'));
  draft.set('socket', message.stated('socket_path'), message.at('socket_path'));
  message.end();
  return `tohost/l3/${l3 ?? ''}/l4/${l4 ?? ''}/port/${typeof port === 'number' ? port : ''}`;
}

export function draftToHost(message: PuntMessage, draft: Draft, name: string | undefined): void {
  const model = putToHost(message, draft);
  nameOr(draft, message, name ?? model);
}

function putException(message: PuntMessage, draft: Draft): string {
  const reason = message.field('reason');
  draft.set('type', 'exception' satisfies PuntType, message.path);
  draft.set('reason', reason, message.at('reason'));
  draft.set('socket', message.stated('socket_path'), message.at('socket_path'));
  message.end();
  return `exception/reason/${typeof reason === 'string' ? reason.slice(0, 64) : ''}`;
}

export function draftException(message: PuntMessage, draft: Draft, name: string | undefined): void {
  const model = putException(message, draft);
  nameOr(draft, message, name ?? model);
}

export function draftIpRedirect(message: PuntMessage, draft: Draft, name: string | undefined): void {
  const l3 = message.enumeration('l3_protocol', L3);
  const rx = message.field('rx_interface');
  const tx = message.field('tx_interface');
  const hop = message.field('next_hop');
  draft.set('type', 'ip-redirect' satisfies PuntType, message.path);
  draft.set('l3', l3, message.at('l3_protocol'));
  draft.set('rx', rx, message.at('rx_interface'));
  draft.set('tx', tx, message.at('tx_interface'));
  // A length behind the address means nothing and is left out.
  const hops = hop === undefined ? undefined : [typeof hop === 'string' ? hop.replace(/[/][0-9]{1,3}$/, '') : hop];
  draft.set('next-hop', hops, message.at('next_hop'));
  if (hop === undefined)
    message.refuse(message.at('next_hop'), '"next_hop" is missing', 'give the address of a neighbour');
  message.end();
  const place = `tx/${typeof tx === 'string' ? tx.slice(0, 40) : ''}`;
  // The interface that packets came in by is a part of it: two of them may have one way out.
  nameOr(
    draft,
    message,
    name ?? `ipredirect/l3/${l3 ?? ''}/${typeof rx === 'string' ? `rx/${rx.slice(0, 40)}/` : ''}${place}`,
  );
}

/** `from-to` of a message with two numbers; undefined: any. */
function rangeOf(message: PuntMessage | undefined, low: string, high: string): string | undefined {
  if (message === undefined) return undefined;
  const isPort = low === 'lower_port';
  const [first = 0, written = 0] = [message.number(low), message.number(high)];
  message.end();
  if (typeof first !== 'number' || typeof written !== 'number') {
    message.refuse(message.path, 'expected two whole numbers', `give ${low} and ${high}`);
    return undefined;
  }
  if (isPort && first === 0 && written === 0) return undefined;
  // Only the lower port: that one. All types of ICMP may be written like all ports.
  const last = isPort && written === 0 ? first : !isPort && written === ANY_LAST ? 255 : written;
  return `${first}-${last}`;
}

function putPorts(message: PuntMessage, draft: Draft, rule: Entry, at: EntryPath): void {
  for (const side of ['source', 'destination']) {
    const name = `${side}_port_range`;
    draft.put(rule, at, `${side}-port`, rangeOf(message.inner(name), 'lower_port', 'upper_port'), message.at(name));
  }
}

function putTransport(message: PuntMessage, draft: Draft, rule: Entry, at: EntryPath): number | undefined {
  const kinds = ['icmp', 'tcp', 'udp', 'other'].map((name) => [name, message.inner(name)] as const);
  const there = kinds.filter(([, inner]) => inner !== undefined);
  if (there.length > 1)
    message.refuse(
      message.path,
      `${there.map(([name]) => name).join(' and ')} in one rule`,
      'one of them in each rule',
    );
  const [name, inner] = there[0] ?? [];
  if (inner === undefined || name === undefined) return undefined;
  if (name === 'other') {
    const protocol = inner.number('protocol');
    draft.put(rule, at, 'protocol', protocol, inner.at('protocol'));
    inner.end();
    return typeof protocol === 'number' ? protocol : undefined;
  }
  if (name === 'icmp') {
    const isSix = inner.field('icmpv6');
    if (isSix !== undefined && typeof isSix !== 'boolean')
      inner.refuse(inner.at('icmpv6'), `expected true or false, found ${shown(isSix)}`, 'true: ICMPv6');
    for (const part of ['type', 'code']) {
      const field = `icmp_${part}_range`;
      draft.put(rule, at, `icmp-${part}`, rangeOf(inner.inner(field), 'first', 'last'), inner.at(field));
    }
    inner.end();
    return isSix === true ? 58 : 1;
  }
  putPorts(inner, draft, rule, at);
  if (name === 'tcp') {
    const [mask = 0, value = 0] = [inner.number('tcp_flags_mask'), inner.number('tcp_flags_value')];
    const flags: Entry = {};
    if (mask !== 0 || value !== 0) draft.put(rule, at, 'tcp-flags', flags, inner.path);
    draft.put(flags, [...at, 'tcp-flags'], 'mask', mask, inner.at('tcp_flags_mask'));
    draft.put(flags, [...at, 'tcp-flags'], 'value', value, inner.at('tcp_flags_value'));
  }
  inner.end();
  return name === 'tcp' ? 6 : 17;
}

/** An IpRule: it has no action, all are permitted. */
function ruleOf(message: PuntMessage, draft: Draft, at: EntryPath): Entry {
  const rule: Entry = {};
  const ip = message.inner('ip');
  const said = ip?.number('protocol');
  for (const side of ['source', 'destination']) {
    const name = `${side}_network`;
    draft.put(rule, at, side, ip?.field(name), ip?.at(name) ?? [...message.path, 'ip', name]);
  }
  ip?.end();
  const meant = putTransport(message, draft, rule, at);
  if (ip !== undefined && said !== undefined && said !== 0) {
    if (meant !== undefined && meant !== said)
      message.refuse(ip.at('protocol'), `protocol ${shown(said)} is not that of the rest of the rule`, 'leave it out');
    draft.put(rule, at, 'protocol', said, ip.at('protocol'));
  } else if (meant !== undefined) rule.protocol = meant;
  message.end();
  return rule;
}

function putRules(message: PuntMessage, draft: Draft, key: 'ingress' | 'egress'): void {
  const name = `${key}_acl_rules`;
  const rules = message.repeated(name).map((rule, i) => ruleOf(rule, draft, [key, i]));
  for (const [i] of rules.entries()) draft.put({}, [key], i, undefined, [...message.at(name), i]);
  draft.set(key, rules, message.at(name));
}

function putVrf(message: PuntMessage, draft: Draft): void {
  draft.set('vrf', message.number('vrf'), message.at('vrf'));
  draft.set('without-cnf-vrf', message.field('without_cnf_vrf'), message.at('without_cnf_vrf'));
}

function putInterface(message: PuntMessage, draft: Draft): void {
  draft.set('interface', message.field('vpp_interface'), message.at('vpp_interface'));
}

function putHairpin(message: PuntMessage, draft: Draft): void {
  const made = message.inner('hairpin_interface');
  const entry: Entry = {};
  draft.set('hairpin-interface', made === undefined ? undefined : entry, message.at('hairpin_interface'));
  if (made === undefined) return;
  const fields = [
    ['name', made.field('name'), 'name'],
    ['mac', made.field('phys_address'), 'phys_address'],
    ['addresses', made.field('ip_addresses'), 'ip_addresses'],
    ['vrf', made.number('vrf'), 'vrf'],
    ['dhcp-client', made.field('with_dhcp_client'), 'with_dhcp_client'],
    ['mtu', made.number('mtu'), 'mtu'],
  ] as const;
  for (const [key, value, name] of fields) draft.put(entry, ['hairpin-interface'], key, value, made.at(name));
  made.end();
}

/** What is in PuntRequest's one-of, each into the entry. */
const configs: Readonly<Record<string, readonly [PuntType, (message: PuntMessage, draft: Draft) => void]>> = {
  hairpinXConnect: [
    'hairpin-xconnect',
    (message, draft) => {
      const names = ['vpp_interface1', 'vpp_interface2'];
      const interfaces = names.map((name) => message.field(name) ?? '');
      draft.set('interfaces', interfaces, message.path);
      for (const [i, name] of names.entries()) draft.put({}, ['interfaces'], i, undefined, message.at(name));
    },
  ],
  hairpin: [
    'hairpin',
    (message, draft) => {
      putInterface(message, draft);
      putHairpin(message, draft);
    },
  ],
  span: ['span', putInterface],
  abx: [
    'abx',
    (message, draft) => {
      putInterface(message, draft);
      putVrf(message, draft);
      putRules(message, draft, 'ingress');
      putRules(message, draft, 'egress');
    },
  ],
  dhcpProxy: ['dhcp-proxy', putVrf],
  isisx: [
    'isisx',
    (message, draft) => {
      putInterface(message, draft);
      putVrf(message, draft);
    },
  ],
};

function putPuntToSocket(message: PuntMessage, draft: Draft): void {
  const [toHost, exception] = [message.inner('toHost'), message.inner('exception')];
  if (toHost !== undefined) putToHost(toHost, draft);
  else if (exception !== undefined) putException(exception, draft);
  const inner = toHost ?? exception;
  if ((toHost === undefined) === (exception === undefined))
    message.refuse(message.path, 'one of toHost and exception is to be there', 'say which packets: give one of them');
  if (inner === undefined || draft.entry.socket !== undefined) return;
  message.refuse(inner.at('socket_path'), '"socket_path" is missing', 'give the path that the client is bound to');
  // Without a socket there is nothing that the interconnect could not lead to.
  delete draft.entry.interconnect;
}

export function draftPuntRequest(message: PuntMessage, draft: Draft, name: string | undefined): void {
  const label = message.field('label');
  const type = message.enumeration('punt_type', { ...TYPES, NO_PUNT: [0, 'none'] });
  const link = message.enumeration('interconnect_type', LINKS);
  const gso = message.field('enable_gso');
  const there = Object.values(TYPES).flatMap(([, field]) => {
    const inner = message.inner(field);
    return inner === undefined ? [] : [[field, inner] as const];
  });
  message.end();
  draft.set('name', label ?? name ?? type, message.at('label'));
  if (type === undefined || type === 'none') {
    if (type !== undefined || message.field('punt_type') === undefined)
      message.refuse(
        message.at('punt_type'),
        'punt type NO_PUNT is not supported',
        `known: ${Object.keys(TYPES).join(', ')}`,
      );
    return;
  }
  for (const [field, inner] of there)
    if (field !== type)
      message.refuse(inner.path, `${field} is not what punt_type says`, `take it out, or give ${type} only`);
  const inner = there.find(([field]) => field === type)?.[1];
  if (inner === undefined) {
    message.refuse([...message.path, type], `"${type}" is missing`, 'punt_type says what is to be there');
    return;
  }
  draft.set('interconnect', link ?? 'tap', message.at('interconnect_type'));
  const [word, put] = configs[type] ?? [];
  if (word === undefined || put === undefined) {
    putPuntToSocket(inner, draft);
    inner.end();
    return;
  }
  draft.set('type', word, inner.path);
  draft.set('gso', gso, message.at('enable_gso'));
  put(inner, draft);
  inner.end();
}
