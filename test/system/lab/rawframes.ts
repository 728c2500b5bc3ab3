/**
 * Raw frames and packets as bytes, with sums that are right: for what the kernel would not send by itself, and for
 * comparison byte by byte. Reference: RFC 791, RFC 8200, RFC 768, RFC 1071, IEEE 802.1Q.
 */
import { ipBytes } from '../../../src/lib/ip.ts';

export const PROTO = { tcp: 6, udp: 17, esp: 50, ospf: 89 } as const;

/** The sum of RFC 1071 over the parts, of which only the last may be odd, complemented. */
export function internetSum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export interface PacketFields {
  readonly src: string;
  readonly dst: string;
  readonly proto: number;
  readonly ttl?: number;
  /** What follows the IP header. */
  readonly payload: Uint8Array;
}

/** An IP packet of the family of its addresses. */
export function ipPacket({ src, dst, proto, ttl = 64, payload }: PacketFields): Buffer {
  const [from, to] = [ipBytes(src), ipBytes(dst)];
  if (from.length === 16) {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(0x6000_0000, 0);
    head.writeUInt16BE(payload.length, 4);
    head.set([proto, ttl], 6);
    return Buffer.concat([head, from, to, payload]);
  }
  const head = Buffer.alloc(20);
  head.set([0x45, 0], 0);
  head.writeUInt16BE(20 + payload.length, 2);
  head.writeUInt16BE(0x4321, 4);
  head.set([ttl, proto], 8);
  head.set(from, 12);
  head.set(to, 16);
  head.writeUInt16BE(internetSum(head), 10);
  return Buffer.concat([head, payload]);
}

/** A UDP packet; `data` is its payload. */
export function udpPacket(src: string, dst: string, port: number, data: Uint8Array, ttl = 64): Buffer {
  const udp = Buffer.alloc(8 + data.length);
  udp.writeUInt16BE(9876, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  udp.set(data, 8);
  const pseudo = Buffer.from([0, PROTO.udp, udp.length >> 8, udp.length & 0xff]);
  udp.writeUInt16BE(internetSum(ipBytes(src), ipBytes(dst), pseudo, udp) || 0xffff, 6);
  return ipPacket({ src, dst, proto: PROTO.udp, ttl, payload: udp });
}

export const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');

/** An Ethernet frame; `tags` are VLANs of 802.1Q, outer first. */
export function frameOf(dst: string, src: string, packet: Uint8Array, tags: readonly number[] = []): Buffer {
  const type = (packet[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800;
  const words = [...tags.flatMap((tag) => [0x8100, tag]), type];
  return Buffer.concat([macBytes(dst), macBytes(src), Buffer.from(words.flatMap((w) => [w >> 8, w & 0xff])), packet]);
}
