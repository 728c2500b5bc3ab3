// Values of punts: names, sockets, protocols, ports, networks and MAC addresses as they may be written.
//
// Each function answers with the value in its one form, or with the problem. Names of protocols are IANA's.
// References: unix(7); IANA protocol numbers; IEEE 802 (bit 0 of the first byte of a group address).

import { formatIp, isMulticast, maskBytes, parseIp, parsePrefix } from '../lib/ip.ts';
import { shown } from './fields.ts';
import { type Problem, socketPathProblem } from './names.ts';
import { suggestion } from './suggest.ts';

export type Range = readonly [first: number, last: number];
/** A range that leaves nothing out, also where the field has eight bits. */
export const ANY_RANGE: Range = [0, 65_535];

const MAX_LABEL_BYTES = 127;
const MAX_REASON_BYTES = 63;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const NOT_IN_LABELS = /[|\s\u0000-\u001f\u007f-\u009f]/;

/** Names of punts: 1 to 127 bytes, without "|", which parts an identity, and without white space. */
export function labelProblem(name: string): Problem | undefined {
  const hint = 'a name has 1 to 127 bytes without "|" and white space';
  if (name === '') return { message: 'the name is empty', hint };
  const bad = NOT_IN_LABELS.exec(name);
  if (bad !== null) return { message: `a name cannot contain ${JSON.stringify(bad[0])}`, hint };
  const bytes = Buffer.byteLength(name);
  return bytes > MAX_LABEL_BYTES ? { message: `the name has ${bytes} bytes, at most 127 fit`, hint } : undefined;
}

/** Paths of clients' sockets. */
export function clientSocketProblem(path: string): Problem | undefined {
  const hint = 'give the absolute path that the client is bound to, at most 107 bytes';
  if (path === '') return { message: 'the socket path is empty', hint: `${hint}, or leave it out: to the host` };
  if (path.startsWith('@') || path.startsWith('\0'))
    return { message: 'packets cannot be punted to an abstract socket', hint };
  const problem = socketPathProblem(path);
  return problem === undefined ? undefined : { ...problem, hint };
}

/** Names that a data plane may have for a reason; whether it does have it is known when it is there. */
export function reasonProblem(name: string): Problem | undefined {
  const hint = '`lcpctl punt reasons` lists them, e.g. ipsec4-no-such-tunnel';
  if (name === '') return { message: 'the reason is empty', hint };
  if (/^[!-~]+$/.test(name) && name.length <= MAX_REASON_BYTES) return undefined;
  return { message: `${shown(name)} is not the name of a punt reason`, hint };
}

const protocolNames: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  egp: 8,
  igp: 9,
  udp: 17,
  dccp: 33,
  ipv6: 41,
  rsvp: 46,
  gre: 47,
  esp: 50,
  ah: 51,
  icmp6: 58,
  eigrp: 88,
  ospf: 89,
  pim: 103,
  vrrp: 112,
  l2tp: 115,
  sctp: 132,
  'udp-lite': 136,
};

/** Number of an IP protocol that is given by number or name, from `least`. */
export function protocolNumber(value: unknown, least: number): number | Problem {
  const name = typeof value === 'string' ? value.toLowerCase() : '';
  const alias = name === 'icmpv6' || name === 'ipv6-icmp' ? 'icmp6' : name;
  const digits = /^[0-9]{1,3}$/.test(name) ? Number(name) : undefined;
  const named = Object.hasOwn(protocolNames, alias) ? protocolNames[alias] : digits;
  const found = typeof value === 'number' ? value : named;
  if (found !== undefined && Number.isInteger(found) && found >= least && found <= 255) return found;
  const names = Object.keys(protocolNames);
  const hint = name === '' ? `give a number from ${least} to 255, or a name` : suggestion(name, names);
  return { message: `${shown(value)} is not an IP protocol`, hint };
}

/** `179`, `"179"`, `"1000-2000"` */
export function numberRange(value: unknown, most: number, what: string): Range | Problem {
  const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(String(value));
  const first = Number(match?.[1] ?? -1);
  const last = Number(match?.[2] ?? first);
  if (match === null || first > most || last > most)
    return {
      message: `${shown(value)} is not ${what}`,
      hint: `give a number from 0 to ${most}, or a range like "1-20"`,
    };
  if (last < first) return { message: `the range ${shown(value)} ends before it begins`, hint: 'the lower one first' };
  return [first, last];
}

/** 'any', 'local', or a prefix without host bits; a bare address is a prefix of its own. */
export function network(value: string): string | Problem {
  const plain = value.toLowerCase();
  if (plain === '' || plain === 'any') return 'any';
  if (plain === 'local') return 'local';
  const prefix = parsePrefix(value);
  if (prefix !== undefined) return `${formatIp(maskBytes(prefix.bytes, prefix.length))}/${prefix.length}`;
  return {
    message: `${shown(value)} is not a network`,
    hint: 'give a prefix like 192.0.2.0/24, "any", or "local" for the addresses of the interface',
  };
}

/** 4 or 6 of a network or address in text, undefined for words. */
export function networkFamily(value: unknown): 4 | 6 | undefined {
  const prefix = typeof value === 'string' ? parsePrefix(value) : undefined;
  return prefix === undefined ? undefined : prefix.bytes.length === 4 ? 4 : 6;
}

/** A unicast address in its one form. */
export function nextHop(value: string): string | Problem {
  const bytes = parseIp(value);
  const hint = 'give the address of a neighbour on tx, without a length';
  if (bytes === undefined) return { message: `${shown(value)} is not an IP address`, hint };
  if (isMulticast(bytes)) return { message: `next hop ${value} is a group of many`, hint };
  if (bytes.every((byte) => byte === 0)) return { message: `next hop ${value} stands for no address`, hint };
  return formatIp(bytes);
}

/** 'address/length' of an interface. */
export function interfaceAddress(value: string): string | Problem {
  const hint = 'give an address of the interface with its length, like 10.5.0.1/24';
  const prefix = value.includes('/') ? parsePrefix(value) : undefined;
  if (prefix === undefined) return { message: `${shown(value)} is not an address with its length`, hint };
  if (prefix.length === 0 || isMulticast(prefix.bytes) || prefix.bytes.every((byte) => byte === 0))
    return { message: `${value} cannot be the address of an interface`, hint };
  return `${formatIp(prefix.bytes)}/${prefix.length}`;
}

/** A unicast MAC address in small letters. */
export function unicastMac(value: string): string | Problem {
  const hint = 'give six bytes like 02:fd:00:00:00:01, or leave it out: one is made of the name';
  const mac = value.toLowerCase().replaceAll('-', ':');
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) return { message: `${shown(value)} is not a MAC address`, hint };
  if (mac === '00:00:00:00:00:00') return { message: 'the MAC address is zero', hint };
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1)
    return { message: `MAC address ${mac} is one of many stations`, hint };
  return mac;
}

/** An IPv4 prefix from /8 to /30 without host bits: what subnets for interconnects are cut from. */
export function allocationCidr(value: string): string | Problem {
  const hint = 'give an IPv4 prefix from /8 to /30, like 192.168.111.0/24';
  const prefix = value.includes('/') ? parsePrefix(value) : undefined;
  if (prefix === undefined || prefix.bytes.length !== 4 || prefix.length < 8 || prefix.length > 30)
    return { message: `${shown(value)} is not a prefix that subnets can be cut from`, hint };
  const masked = formatIp(maskBytes(prefix.bytes, prefix.length));
  if (masked !== formatIp(prefix.bytes))
    return { message: `${value} has host bits`, hint: `${masked}/${prefix.length}` };
  if (isMulticast(prefix.bytes)) return { message: `${value} is no range of unicast addresses`, hint };
  return value;
}
