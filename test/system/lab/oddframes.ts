/**
 * Odd frames: one of every kind that a wire may carry, with a source address that no kernel of the lab has.
 * Reference: IEEE 802.3, 802.1D, 802.1Q, ISO 10589, RFC 826.
 */
import { ipBytes } from '../../../src/lib/ip.ts';
import { frameOf, internetSum, ipPacket, macBytes, PROTO, udpPacket } from './rawframes.ts';

/** Of every odd frame: filters know them by it. */
export const ODD_SOURCE = '02:aa:00:00:00:99';
export const ODD_FILTER = `ether src ${ODD_SOURCE}`;

/** A frame of 802.3: its length instead of a type; padded to the least that Ethernet carries. */
export function llcFrame(dst: string, llc: Uint8Array, src = ODD_SOURCE): Buffer {
  const length = Buffer.from([llc.length >> 8, llc.length & 0xff]);
  const frame = Buffer.concat([macBytes(dst), macBytes(src), length, llc]);
  return Buffer.concat([frame, Buffer.alloc(Math.max(0, 60 - frame.length))]);
}

export function typedFrame(dst: string, type: number, payload: Uint8Array, src = ODD_SOURCE): Buffer {
  return Buffer.concat([macBytes(dst), macBytes(src), Buffer.from([type >> 8, type & 0xff]), payload]);
}

/** IS-IS: ISO 8473's LLC, then its protocol, and what follows, made up. */
export const isisFrame = (dst = '01:80:c2:00:00:15', bytes = 100): Buffer =>
  llcFrame(dst, Buffer.concat([Buffer.from('fefe0383', 'hex'), Buffer.alloc(bytes, 0x1b)]));

export const ospfPacket = (src: string, dst: string, ttl = 1): Buffer =>
  ipPacket({ src, dst, proto: PROTO.ospf, ttl, payload: Buffer.from('0201002c0a0000020000000000000000', 'hex') });

/** A SYN. VPP drops what is for itself and has a wrong sum. */
export function tcpPacket(src: string, dst: string, port: number, ttl = 64): Buffer {
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(40_000, 0);
  tcp.writeUInt16BE(port, 2);
  tcp.set([0x50, 0x02], 12);
  const pseudo = Buffer.from([0, PROTO.tcp, 0, tcp.length]);
  tcp.writeUInt16BE(internetSum(ipBytes(src), ipBytes(dst), pseudo, tcp), 16);
  return ipPacket({ src, dst, proto: PROTO.tcp, ttl, payload: tcp });
}

/** @param dst of the unicast ones @param mtu the largest is one of that */
export function oddFrames(dst: string, mtu = 1500): Buffer[] {
  const large = udpPacket('198.51.100.1', '203.0.113.1', 7000, Buffer.alloc(mtu - 28, 0x5a));
  const small = udpPacket('198.51.100.1', '203.0.113.1', 7001, Buffer.from('small, and padded'));
  return [
    frameOf(dst, ODD_SOURCE, large),
    Buffer.concat([frameOf(dst, ODD_SOURCE, small), Buffer.alloc(3)]),
    frameOf(dst, ODD_SOURCE, small, [100]),
    frameOf(dst, ODD_SOURCE, small, [100, 0x2007]),
    frameOf('01:00:5e:00:00:05', ODD_SOURCE, ospfPacket('10.0.0.2', '224.0.0.5')),
    frameOf('ff:ff:ff:ff:ff:ff', ODD_SOURCE, small),
    llcFrame('01:80:c2:00:00:00', Buffer.from('4242030000000000', 'hex')),
    typedFrame('01:80:c2:00:00:0e', 0x88cc, Buffer.alloc(60, 0x02)),
    isisFrame(),
    typedFrame(dst, 0x9999, Buffer.alloc(46, 0x77)),
    frameOf(dst, ODD_SOURCE, ospfPacket('10.0.0.2', '10.0.0.1')),
  ];
}

/** As text, sorted: urgent frames overtake others, so that there is no order among them all. */
export const hexOf = (frames: readonly Buffer[]): string[] => frames.map((frame) => frame.toString('hex')).sort();
