// Names: the words that `ip` has for rtnetlink's numbers, and text that is safe to show.
//
// Invariants: for people and logs only. What has no name is shown as its number; names from outside are escaped, so
// that a line stays one line.

import * as k from './uapi.ts';

/** Name of an interface, or undefined when it is not known. */
export type NameOf = (ifindex: number) => string | undefined;

export type NameTable = Readonly<Record<number, string>>;

/** RTPROT_*, as iproute2's rt_protos names them. */
export const PROTOCOL_NAMES: NameTable = {
  0: 'unspec',
  1: 'redirect',
  2: 'kernel',
  3: 'boot',
  4: 'static',
  8: 'gated',
  9: 'ra',
  10: 'mrt',
  11: 'zebra',
  12: 'bird',
  13: 'dnrouted',
  14: 'xorp',
  15: 'ntk',
  16: 'dhcp',
  17: 'mrouted',
  18: 'keepalived',
  42: 'babel',
  186: 'bgp',
  187: 'isis',
  188: 'ospf',
  189: 'rip',
  192: 'eigrp',
};

/** RTN_*. */
export const ROUTE_TYPE_NAMES: NameTable = {
  [k.RTN_UNSPEC]: 'none',
  [k.RTN_UNICAST]: 'unicast',
  [k.RTN_LOCAL]: 'local',
  [k.RTN_BROADCAST]: 'broadcast',
  [k.RTN_ANYCAST]: 'anycast',
  [k.RTN_MULTICAST]: 'multicast',
  [k.RTN_BLACKHOLE]: 'blackhole',
  [k.RTN_UNREACHABLE]: 'unreachable',
  [k.RTN_PROHIBIT]: 'prohibit',
  [k.RTN_THROW]: 'throw',
  [k.RTN_NAT]: 'nat',
  [k.RTN_XRESOLVE]: 'xresolve',
};

/** RT_TABLE_*. */
export const TABLE_NAMES: NameTable = {
  [k.RT_TABLE_DEFAULT]: 'default',
  [k.RT_TABLE_MAIN]: 'main',
  [k.RT_TABLE_LOCAL]: 'local',
};

export function nameOr(table: NameTable, value: number): string {
  return table[value] ?? String(value);
}

/** Names of the bits that are set. */
export function bitNames(table: NameTable, value: number): string[] {
  return Object.keys(table)
    .filter((bit) => (value & Number(bit)) !== 0)
    .map((bit) => table[Number(bit)] as string);
}

/** Keeps hostile names on one line. */
export function plain(text: string): string {
  return text.replace(/[^\x21-\x7e]/gu, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

/** An interface by name, or `if7`. */
export function deviceName(nameOf: NameOf, ifindex: number): string {
  const name = nameOf(ifindex);
  return name === undefined ? `if${ifindex}` : plain(name);
}

/** Words with a space between them; leaves out what is absent. */
export function line(...parts: (string | undefined | false)[]): string {
  return parts.filter((part) => part !== undefined && part !== false && part !== '').join(' ');
}
