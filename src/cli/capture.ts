// Capture: packets of some devices into a pcap file, or as lines, until enough, a time or an interrupt.
//
// Invariants: what was captured is in the file when it ends, however it ends; standard error says how many, and how many the
// kernel had no room for. Loaded only for `lcpctl punt capture`.

import { closeSync, openSync, writeSync } from 'node:fs';
import { type PacketSeen, PacketSocket, SNAPLEN } from '../lib/packetsocket.ts';
import { LINKTYPE_ETHERNET, LINKTYPE_RAW, pcapHeader, pcapRecord } from '../lib/pcap.ts';
import { CliError, exitCodes } from './exit.ts';
import { print, printJsonLine } from './output.ts';
import { summarize } from './packet.ts';
import { formatTime } from './time.ts';

export interface CapturePlace {
  /** Path of the namespace. */
  readonly path: string;
  readonly device: string;
}

export interface CaptureRequest {
  /** Of the pcap, '-' is standard output; undefined: lines. */
  readonly file: string | undefined;
  /** Packets to stop after. */
  readonly count: number;
  readonly ms: number | undefined;
  readonly json: boolean;
}

type Sink = (packet: PacketSeen, socket: PacketSocket) => void;

/** All of it, also into a pipe that takes only a part at once. */
function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EAGAIN') throw thrown;
    }
  }
}

function lines(json: boolean): Sink {
  return ({ seconds, nanoseconds, bytes, length }, { device, ethernet }) => {
    const time = seconds * 1000 + Math.floor(nanoseconds / 1e6);
    const layer = ethernet ? 'ethernet' : 'ip';
    if (json) printJsonLine({ time, nanoseconds, device, layer, length, bytes: bytes.toString('base64') });
    else print(`${formatTime(time)} ${device}: ${summarize(bytes, layer, length)}\n`);
  };
}

function openSockets(places: readonly CapturePlace[]): PacketSocket[] {
  const sockets: PacketSocket[] = [];
  try {
    for (const { path, device } of places) sockets.push(new PacketSocket(path, device));
    return sockets;
  } catch (thrown) {
    for (const socket of sockets) socket.close();
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    throw new CliError(exitCodes.refused, `cannot capture: ${message}`, 'needs root, or CAP_NET_RAW and CAP_SYS_ADMIN');
  }
}

function openFile(file: string): number {
  if (file === '-') return 1;
  try {
    return openSync(file, 'w', 0o600);
  } catch (thrown) {
    throw new CliError(exitCodes.usage, `cannot write ${file}: ${(thrown as Error).message}`);
  }
}

/** Captures until `request` says that it is enough, or an interrupt does. @throws CliError 2 or 4 */
export async function runCapture(places: readonly CapturePlace[], request: CaptureRequest): Promise<void> {
  const { file, count, ms, json } = request;
  const sockets = openSockets(places);
  let fd: number | undefined;
  let seen = 0;
  try {
    const isEthernet = sockets[0]?.ethernet === true;
    let sink = lines(json);
    if (file !== undefined) {
      if (sockets.some((socket) => socket.ethernet !== isEthernet))
        throw new CliError(
          exitCodes.usage,
          'its devices have frames of two kinds, which one pcap cannot hold',
          `choose one with --device: ${sockets.map(({ device }) => device).join(', ')}`,
        );
      const out = openFile(file);
      fd = out;
      writeAll(out, pcapHeader(isEthernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW, SNAPLEN));
      sink = (packet) => writeAll(out, pcapRecord(packet.seconds, packet.nanoseconds, packet.bytes, packet.length));
    }
    await new Promise<void>((resolve, reject) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      const stop = () => {
        clearTimeout(timer);
        resolve();
      };
      process.once('SIGINT', stop).once('SIGTERM', stop);
      for (const socket of sockets)
        socket.start((packet) => {
          if (seen >= count) return;
          seen++;
          sink(packet, socket);
          if (seen >= count) stop();
        }, reject);
      process.stderr.write(`capturing on ${sockets.map(({ device }) => device).join(', ')}\n`);
    });
  } catch (thrown) {
    if (thrown instanceof CliError) throw thrown;
    // A reader that goes away has what it wanted.
    if ((thrown as NodeJS.ErrnoException).code !== 'EPIPE')
      throw new CliError(exitCodes.refused, `the capture ended: ${thrown instanceof Error ? thrown.message : thrown}`);
  } finally {
    for (const socket of sockets) socket.close();
    if (fd !== undefined && fd !== 1) closeSync(fd);
  }
  const dropped = sockets.reduce((sum, socket) => sum + socket.dropped(), 0);
  process.stderr.write(`${seen} packet${seen === 1 ? '' : 's'} captured, ${dropped} dropped by the kernel\n`);
}
