/**
 * tunpeer: a program that makes a TUN device and answers every echo request that the kernel or a packet socket sends out
 * of it: tunpeer.ts DEV. It is the far end of a point-to-point phy. Ends with SIGTERM; the device goes with it.
 * Reference: Documentation/networking/tuntap.rst, RFC 792, RFC 4443.
 */
import { openSync, read, writeSync } from 'node:fs';
import koffi from 'koffi';

const TUNSETIFF = 0x400454ca;
const IFF_TUN = 1;
const IFF_NO_PI = 0x1000;

const dev = process.argv[2];
if (dev === undefined) throw new Error('usage: tunpeer DEV');
const ioctl = koffi.load('libc.so.6').func('int ioctl(int, unsigned long, void *)');
const fd = openSync('/dev/net/tun', 'r+');
// struct ifreq: name[16], flags
const request = Buffer.alloc(40);
request.write(dev, 0, 15, 'latin1');
request.writeUInt16LE(IFF_TUN | IFF_NO_PI, 16);
if ((ioctl(fd, TUNSETIFF, request) as number) < 0) throw new Error(`TUNSETIFF ${dev}: errno ${koffi.errno()}`);

/** Exchanges the addresses, which leaves the checksums right, and makes the request a reply. */
function answer(packet: Buffer): boolean {
  const six = (packet[0] ?? 0) >> 4 === 6;
  const [at, length, icmp] = six ? [8, 16, 40] : [12, 4, ((packet[0] ?? 0) & 15) * 4];
  const isRequest = six ? packet[6] === 58 && packet[icmp] === 128 : packet[9] === 1 && packet[icmp] === 8;
  if (!isRequest || packet.length < icmp + 8) return false;
  const source = Buffer.from(packet.subarray(at, at + length));
  packet.copyWithin(at, at + length, at + 2 * length);
  source.copy(packet, at + length);
  const type = six ? 129 : 0;
  // RFC 1624: the type is the high byte of its word; ones' complement sum of what was taken away.
  const sum = packet.readUInt16BE(icmp + 2) + (((packet[icmp] ?? 0) - type) << 8);
  const folded = sum < 0 ? sum + 0xffff : sum > 0xffff ? sum - 0xffff : sum;
  packet[icmp] = type;
  packet.writeUInt16BE(folded, icmp + 2);
  return true;
}

const buffer = Buffer.alloc(65_536);
function next(): void {
  read(fd, buffer, 0, buffer.length, null, (error, length) => {
    if (error !== null) throw error;
    const packet = buffer.subarray(0, length);
    if (answer(packet)) writeSync(fd, packet);
    next();
  });
}
next();
