/**
 * Flood: UDP datagrams out of a namespace, so many a second of each stream, by the clock.
 *
 * Invariants: what a tick has missed the next one makes up for, so that the rate is right over the whole time; a datagram that the kernel
 * refuses is a failure, so that all that are told of were sent.
 */
import { inNetns } from '../../system/lab/netns.ts';
import { run } from '../../system/lab/process.ts';

export interface Stream {
  readonly to: string;
  readonly port: number;
  /** Of the whole IP packet. */
  readonly bytes: number;
  readonly perSecond: number;
}

export interface Flooded {
  /** By stream. */
  readonly sent: readonly number[];
  /** Between the first and the last datagram. */
  readonly seconds: number;
}

const HEADERS = { udp4: 28, udp6: 48 };
const PROGRAM = `
const { createSocket } = require('node:dgram');
const [streams, ms] = JSON.parse(process.argv[1]);
const all = streams.map((s) => ({ ...s, data: Buffer.alloc(s.data, 7), socket: createSocket(s.type), asked: 0, sent: 0 }));
for (const { socket } of all) socket.on('error', () => process.exit(3));
const start = performance.now();
let last = 0;
const timer = setInterval(() => {
  const now = performance.now() - start;
  if (now < ms) last = now;
  for (const s of all)
    for (; now < ms && s.asked < (now * s.perSecond) / 1000; s.asked++)
      s.socket.send(s.data, s.port, s.to, (error) => { if (error) process.exit(4); s.sent++; });
  if (now < ms || all.some((s) => s.sent < s.asked)) return;
  clearInterval(timer);
  for (const { socket } of all) socket.close();
  console.log(JSON.stringify({ sent: all.map((s) => s.sent), seconds: last / 1000 }));
}, 1);`;

export async function flood(ns: string, seconds: number, ...streams: readonly Stream[]): Promise<Flooded> {
  const told = streams.map(({ bytes, ...stream }) => {
    const type = stream.to.includes(':') ? 'udp6' : 'udp4';
    return { ...stream, type, data: bytes - HEADERS[type] };
  });
  const argv = ['node', '-e', PROGRAM, JSON.stringify([told, seconds * 1000])];
  return JSON.parse(await run(inNetns(ns, argv), { timeoutMs: (seconds + 20) * 1000 })) as Flooded;
}
