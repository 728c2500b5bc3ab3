/**
 * sendframe: a program that sends Ethernet frames exactly as given: sendframe.mjs DEV HEX...
 * It runs in the sender's namespace; not every kernel has VLAN devices that could make such frames.
 * Plain JavaScript, because it is started often, also where processors are emulated. Reference: packet(7).
 */
import koffi from 'koffi';

const AF_PACKET = 17;
const SOCK_RAW = 3;

const [dev, ...frames] = process.argv.slice(2);
if (dev === undefined || frames.length === 0) throw new Error('usage: sendframe DEV HEX...');

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const sendto = libc.func('int64_t sendto(int, const void *, size_t, int, const void *, uint32_t)');
const ifNameToIndex = libc.func('uint32_t if_nametoindex(const char *)');

const ifindex = ifNameToIndex(dev);
if (ifindex === 0) throw new Error(`no interface ${dev}`);
// sockaddr_ll: family, protocol, ifindex, hatype, pkttype, halen, addr[8]
const to = new Uint8Array(20);
const view = new DataView(to.buffer);
view.setUint16(0, AF_PACKET, true);
view.setInt32(4, ifindex, true);
const fd = socket(AF_PACKET, SOCK_RAW, 0);
if (fd < 0) throw new Error(`socket: errno ${koffi.errno()}`);
for (const hex of frames) {
  const frame = Buffer.from(hex, 'hex');
  const sent = Number(sendto(fd, frame, frame.length, 0, to, to.length));
  if (sent !== frame.length) throw new Error(`sendto ${dev}: ${sent}, errno ${koffi.errno()}`);
}
