// IpFrame: what an Ethernet frame of an IP packet says, as far as rules ask.
//
// Invariants: nothing is believed that is not within the frame; what is cut short or no IP packet is undefined. Extension headers
// of IPv6 are not looked behind. Reference: RFC 791, 8200, 768.

import type { Family } from '../lcp/objects.ts';
import { at16, readTags } from './etherframe.ts';

const ETHERTYPE_IP4 = 0x0800;
const ETHERTYPE_IP6 = 0x86dd;
const IP4_HEADER = 20;
const IP6_HEADER = 40;
const UDP = 17;
/** Bits of IPv4's offset of a fragment. */
const OFFSET = 0x1fff;

export interface IpPacket {
  readonly family: Family;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** IP protocol, next header of IPv6. */
  readonly protocol: number;
  /** Source and destination port of UDP, undefined where the packet does not have them. */
  readonly ports: readonly [source: number, destination: number] | undefined;
  /** What is behind the header. */
  readonly payload: Uint8Array;
}

export function readIpFrame(frame: Uint8Array): IpPacket | undefined {
  const { at } = readTags(frame);
  const ethertype = at16(frame, at);
  const packet = frame.subarray(at + 2);
  const version = (packet[0] ?? 0) >> 4;
  if (ethertype === ETHERTYPE_IP4 && version === 4) return readIp4(packet);
  return ethertype === ETHERTYPE_IP6 && version === 6 ? readIp6(packet) : undefined;
}

function readIp4(packet: Uint8Array): IpPacket | undefined {
  const header = ((packet[0] ?? 0) & 0xf) * 4;
  const total = at16(packet, 2);
  if (header < IP4_HEADER || total < header || packet.length < total) return undefined;
  const payload = packet.subarray(header, total);
  const protocol = packet[9] ?? 0;
  const isLater = (at16(packet, 6) & OFFSET) !== 0;
  const ports = isLater ? undefined : portsOf(protocol, payload);
  return { family: 4, source: packet.subarray(12, 16), destination: packet.subarray(16, 20), protocol, ports, payload };
}

function readIp6(packet: Uint8Array): IpPacket | undefined {
  const total = IP6_HEADER + at16(packet, 4);
  if (packet.length < IP6_HEADER || packet.length < total) return undefined;
  const payload = packet.subarray(IP6_HEADER, total);
  const protocol = packet[6] ?? 0;
  const [source, destination] = [packet.subarray(8, 24), packet.subarray(24, 40)];
  return { family: 6, source, destination, protocol, ports: portsOf(protocol, payload), payload };
}

function portsOf(protocol: number, payload: Uint8Array): IpPacket['ports'] {
  return protocol === UDP && payload.length >= 8 ? [at16(payload, 0), at16(payload, 2)] : undefined;
}
