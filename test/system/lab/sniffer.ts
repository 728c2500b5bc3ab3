/**
 * Sniffer: the frames that a device takes in or gives out, byte for byte, by tcpdump.
 *
 * Invariants: what was there before it listened is not seen; it ends with its lab. Times are not kept: a frame is its bytes.
 * Reference: pcap-savefile(5).
 */
import { readFileSync } from 'node:fs';
import type { Lab } from '../lab.ts';
import { inNetns } from './netns.ts';
import { Daemon, Hopeless, waitFor } from './process.ts';

const FILE_HEAD = 24;
const FRAME_HEAD = 16;
let made = 0;

/** The frames of a capture file, whose last one may be half written. */
export function framesOfPcap(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  let at = FILE_HEAD;
  while (at + FRAME_HEAD <= bytes.length) {
    const length = bytes.readUInt32LE(at + 8);
    const next = at + FRAME_HEAD + length;
    if (next > bytes.length) break;
    frames.push(bytes.subarray(at + FRAME_HEAD, next));
    at = next;
  }
  return frames;
}

export class Sniffer {
  readonly #daemon: Daemon;
  readonly #file: string;

  private constructor(daemon: Daemon, file: string) {
    this.#daemon = daemon;
    this.#file = file;
  }

  /** @param way as the device sees it: in is what it receives @param filter pcap-filter(7) */
  static async on(
    lab: Pick<Lab, 'dir' | 'defer'>,
    ns: string,
    dev: string,
    way: 'in' | 'out',
    filter = '',
  ): Promise<Sniffer> {
    const file = `${lab.dir}/sniffer${made++}.pcap`;
    const words = filter.split(' ').filter(Boolean);
    const argv = ['tcpdump', '-n', '-U', '--immediate-mode', '-B', '16384', '-Q', way, '-i', dev, '-w', file, ...words];
    const daemon = new Daemon(`tcpdump ${dev}`, inNetns(ns, argv), `${file}.log`);
    const sniffer = new Sniffer(daemon, file);
    lab.defer(() => sniffer.stop());
    await waitFor(`tcpdump to listen on ${dev}`, () => {
      if (!daemon.running) throw new Hopeless(daemon.log());
      return daemon.log().includes('listening on');
    });
    return sniffer;
  }

  /** Sorted: urgent frames overtake others, so that there is no order among them all. */
  frames(): string[] {
    return framesOfPcap(readFileSync(this.#file))
      .map((frame) => frame.toString('hex'))
      .sort();
  }

  /** Waits until it has seen that many frames; more are the caller's to notice. */
  seen(count: number, what = `${count} frames on ${this.#daemon.name}`): Promise<string[]> {
    return waitFor(what, () => {
      const frames = this.frames();
      if (frames.length < count) throw new Error(`${frames.length} were seen: ${frames.join(' ').slice(0, 500)}`);
      return frames;
    });
  }

  /** Waits until it has seen such a frame. */
  async has(isMeant: (hex: string) => boolean): Promise<void> {
    await waitFor(`a frame on ${this.#daemon.name}`, () => this.frames().some(isMeant));
  }

  async stop(): Promise<void> {
    if (this.#daemon.running) await this.#daemon.stop('SIGINT');
  }
}
