// Packet summaries: one line for the first bytes of a packet, in the manner of tcpdump.
//
// Invariants: never throws and never reads behind the bytes given: what is cut off shows as `[|ip]` with the name
// of the layer that was cut. Nothing from the packet is printed as text.
// Reference: RFC 826, 791, 8200, 792, 4443, 4861, 9293, 768; IEEE 802.1Q.

import { formatIpv4, formatIpv6 } from '../lib/ip.ts';
import { summarizeIcmp4, summarizeIcmp6 } from './icmp.ts';

const etherTypes: Readonly<Record<number, string>> = {
  2054: 'ARP',
  32821: 'RARP',
  34887: 'MPLS unicast',
  34888: 'MPLS multicast',
  34915: 'PPPoE discovery',
  34916: 'PPPoE session',
  34825: 'LACP or OAM',
  34958: 'EAPOL',
  35020: 'LLDP',
  35063: 'PTP',
};

const protocols: Readonly<Record<number, string>> = {
  2: 'IGMP',
  4: 'IPIP',
  41: 'IPv6 in IP',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  59: 'no next header',
  88: 'EIGRP',
  89: 'OSPF',
  103: 'PIM',
  112: 'VRRP',
  115: 'L2TP',
  132: 'SCTP',
};

const VLAN = new Set([0x8100, 0x88a8, 0x9100]);
/** Tags deeper than this are not followed. */
const MAX_TAGS = 4;
const MAX_EXTENSIONS = 8;

function mac(bytes: Buffer, offset: number): string {
  return bytes
    .subarray(offset, offset + 6)
    .toString('hex')
    .replace(/(..)(?!$)/g, '$1:');
}

function arp(bytes: Buffer, at: number): string {
  if (bytes.length < at + 8) return 'ARP [|arp]';
  const isIpv4 = bytes.readUInt16BE(at + 2) === 0x0800 && bytes[at + 4] === 6 && bytes[at + 5] === 4;
  if (!isIpv4)
    return `ARP, protocol 0x${bytes
      .readUInt16BE(at + 2)
      .toString(16)
      .padStart(4, '0')}`;
  if (bytes.length < at + 28) return 'ARP [|arp]';
  const operation = bytes.readUInt16BE(at + 6);
  const sender = formatIpv4(bytes, at + 14);
  const target = formatIpv4(bytes, at + 24);
  if (operation === 1) return `ARP who-has ${target} tell ${sender}`;
  if (operation === 2) return `ARP reply ${sender} is-at ${mac(bytes, at + 8)}`;
  return `ARP operation ${operation}`;
}

const tcpFlags: readonly [number, string][] = [
  [0x02, 'S'],
  [0x01, 'F'],
  [0x04, 'R'],
  [0x08, 'P'],
  [0x20, 'U'],
  [0x40, 'E'],
  [0x80, 'W'],
  [0x10, '.'],
];

function tcp(bytes: Buffer, at: number, from: string, to: string, length: number): string {
  if (bytes.length < at + 4) return `${from} > ${to}: TCP [|tcp]`;
  const ends = `${from}.${bytes.readUInt16BE(at)} > ${to}.${bytes.readUInt16BE(at + 2)}`;
  if (bytes.length < at + 16) return `${ends}: TCP [|tcp]`;
  const bits = bytes.readUInt8(at + 13);
  const flags = tcpFlags.filter(([bit]) => (bits & bit) !== 0).map(([, letter]) => letter);
  const header = (bytes.readUInt8(at + 12) >> 4) * 4;
  const ack = (bits & 0x10) === 0 ? '' : `, ack ${bytes.readUInt32BE(at + 8)}`;
  const numbers = `seq ${bytes.readUInt32BE(at + 4)}${ack}, win ${bytes.readUInt16BE(at + 14)}`;
  return `${ends}: TCP [${flags.join('') || 'none'}], ${numbers}, length ${Math.max(0, length - header)}`;
}

function udp(bytes: Buffer, at: number, from: string, to: string): string {
  if (bytes.length < at + 8) return `${from} > ${to}: UDP [|udp]`;
  const ends = `${from}.${bytes.readUInt16BE(at)} > ${to}.${bytes.readUInt16BE(at + 2)}`;
  return `${ends}: UDP, length ${Math.max(0, bytes.readUInt16BE(at + 4) - 8)}`;
}

/** @param length bytes of the payload on the wire, after all IP headers */
function transport(bytes: Buffer, at: number, protocol: number, from: string, to: string, length: number): string {
  if (protocol === 6) return tcp(bytes, at, from, to, length);
  if (protocol === 17) return udp(bytes, at, from, to);
  const ends = `${from} > ${to}`;
  if (protocol === 1) return `${ends}: ${summarizeIcmp4(bytes.subarray(at))}, length ${length}`;
  if (protocol === 58) return `${ends}: ${summarizeIcmp6(bytes.subarray(at))}, length ${length}`;
  return `${ends}: ${protocols[protocol] ?? `protocol ${protocol}`}, length ${length}`;
}

function ipv4(bytes: Buffer, at: number): string {
  if (bytes.length < at + 20) return 'IP [|ip]';
  const header = (bytes.readUInt8(at) & 0x0f) * 4;
  if (header < 20) return `IP bad header length ${header}`;
  const from = formatIpv4(bytes, at + 12);
  const to = formatIpv4(bytes, at + 16);
  const length = Math.max(0, bytes.readUInt16BE(at + 2) - header);
  const protocol = bytes.readUInt8(at + 9);
  const fragment = bytes.readUInt16BE(at + 6);
  const offset = (fragment & 0x1fff) * 8;
  const more = (fragment & 0x2000) !== 0;
  const notes = [`ttl ${bytes.readUInt8(at + 8)}`, ...(offset > 0 || more ? [`frag ${offset}${more ? '+' : ''}`] : [])];
  if (offset > 0) {
    return `IP ${from} > ${to}: ${protocols[protocol] ?? `protocol ${protocol}`}, length ${length}, ${notes.join(', ')}`;
  }
  return `IP ${transport(bytes, at + header, protocol, from, to, length)}, ${notes.join(', ')}`;
}

/** Extension headers that say their own length: hop-by-hop, routing, destination options. */
const EXTENSIONS = new Set([0, 43, 60]);
const FRAGMENT = 44;

function ipv6(bytes: Buffer, at: number): string {
  if (bytes.length < at + 40) return 'IP6 [|ip6]';
  const from = formatIpv6(bytes, at + 8);
  const to = formatIpv6(bytes, at + 24);
  const notes = [`hlim ${bytes.readUInt8(at + 7)}`];
  let length = bytes.readUInt16BE(at + 4);
  let next = bytes.readUInt8(at + 6);
  let offset = at + 40;
  for (let i = 0; i < MAX_EXTENSIONS && (EXTENSIONS.has(next) || next === FRAGMENT); i++) {
    if (bytes.length < offset + 8) return `IP6 ${from} > ${to}: [|ext], ${notes.join(', ')}`;
    const size = next === FRAGMENT ? 8 : 8 * (1 + bytes.readUInt8(offset + 1));
    if (next === FRAGMENT) {
      const fragment = bytes.readUInt16BE(offset + 2);
      notes.push(`frag ${fragment & 0xfff8}${(fragment & 1) === 0 ? '' : '+'}`);
      if ((fragment & 0xfff8) > 0) {
        return `IP6 ${from} > ${to}: protocol ${bytes[offset]}, length ${Math.max(0, length - 8)}, ${notes.join(', ')}`;
      }
    }
    next = bytes.readUInt8(offset);
    offset += size;
    length = Math.max(0, length - size);
  }
  return `IP6 ${transport(bytes, offset, next, from, to, length)}, ${notes.join(', ')}`;
}

function ip(bytes: Buffer, at: number): string {
  const version = (bytes[at] ?? 0) >> 4;
  if (bytes.length <= at) return 'IP [|ip]';
  if (version === 4) return ipv4(bytes, at);
  return version === 6 ? ipv6(bytes, at) : `IP version ${version}`;
}

function ethernet(bytes: Buffer): string {
  if (bytes.length < 14) return '[|ether]';
  const ends = `${mac(bytes, 6)} > ${mac(bytes, 0)}`;
  const tags: string[] = [];
  let at = 12;
  let type = bytes.readUInt16BE(at);
  while (VLAN.has(type) && tags.length < MAX_TAGS) {
    if (bytes.length < at + 6) return `${ends}, ${[...tags, '[|vlan]'].join(', ')}`;
    tags.push(`vlan ${bytes.readUInt16BE(at + 2) & 0x0fff}`);
    at += 4;
    type = bytes.readUInt16BE(at);
  }
  const head = [ends, ...tags].join(', ');
  at += 2;
  if (type === 0x0800 || type === 0x86dd) return `${head}, ${ip(bytes, at)}`;
  if (type === 0x0806) return `${head}, ${arp(bytes, at)}`;
  if (type < 0x0600) return `${head}, 802.3, length ${type}`;
  return `${head}, ${etherTypes[type] ?? `ethertype 0x${type.toString(16).padStart(4, '0')}`}`;
}

/** @param length bytes on the wire, more than are given where the capture is cut */
export function summarize(bytes: Buffer, layer: 'ethernet' | 'ip', length: number): string {
  const text = layer === 'ip' ? ip(bytes, 0) : ethernet(bytes);
  return length > bytes.length ? `${text} (${length} bytes, ${bytes.length} shown)` : `${text} (${length} bytes)`;
}
