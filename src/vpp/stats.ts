// VppStats: the counters of a running VPP, read from the memory it shares for that.
//
// Invariants: VPP hands over a descriptor and knows no more of us. The memory is read by pread and not mapped: a file
// that shrinks is then an answer and no signal. A reading that VPP's changes made void is made again until `timeoutMs`.
// A VPP that has ended leaves its memory behind with the last counters: who has a session with VPP opens this anew when
// that ends.
// Reference: VPP's src/vpp-api/client/stat_client.h, src/vlib/stats/init.c.

import { closeSync, fstatSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { LcpError } from '../lib/errors.ts';
import { errnoName } from '../lib/libc.ts';
import { shmLibrary, whenReadable } from './shmlibrary.ts';
import type { SegmentSource, StatRow } from './statssegment.ts';
import { StatsSegment } from './statssegment.ts';

/** Where VPP has it when nothing else is configured. */
export const STATS_SOCKET = '/run/vpp/stats.sock';

export interface StatsOptions {
  /** How long opening or a reading may take, in milliseconds. Default 2000. */
  readonly timeoutMs?: number;
}

export interface StatsCounters {
  readings: number;
  /** Readings that VPP's changes made void. */
  repeated: number;
  /** Entries that pointed outside the segment. */
  damaged: number;
}

const EAGAIN = 11;
const hints: Readonly<Record<string, string>> = {
  ENOENT: 'VPP does not run, or its startup.conf has another statseg socket-name than dataplane.vpp.stats-socket',
  ECONNREFUSED: 'the socket is left of a VPP that has ended; start VPP',
  EACCES: "lcpd may not open the socket: add it to VPP's group (unix { gid } in startup.conf), or run it as root",
};

export class VppStats {
  readonly counters: StatsCounters = { readings: 0, repeated: 0, damaged: 0 };
  readonly #fd: number;
  readonly #segment: StatsSegment;
  readonly #timeoutMs: number;
  #isClosed = false;

  private constructor(fd: number, options: StatsOptions) {
    this.#fd = fd;
    this.#segment = new StatsSegment(fileSource(fd));
    this.#timeoutMs = options.timeoutMs ?? 2000;
  }

  /** Rejects with VPP_STATS when there is none, or what VPP hands over is none; with NATIVE_LIBRARY before a build. */
  static async open(path: string = STATS_SOCKET, options: StatsOptions = {}): Promise<VppStats> {
    const fd = await receiveDescriptor(path, options.timeoutMs ?? 2000);
    const stats = new VppStats(fd, options);
    try {
      if (!fstatSync(fd).isFile())
        throw new LcpError('VPP_STATS', { op: 'open', key: path, message: 'it is no memory' });
      stats.#segment.header();
    } catch (error) {
      stats.close();
      throw error;
    }
    return stats;
  }

  /**
   * The counters whose names match, as of one moment. A string is a name, or a folder of names: `/if` gives `/if/rx`.
   * With `only`, what is at these indices and nothing else is read. Rejects with VPP_STATS.
   */
  async read(pattern: string | RegExp, only?: readonly number[]): Promise<readonly StatRow[]> {
    const isWanted = matcher(pattern);
    const deadline = performance.now() + this.#timeoutMs;
    for (;;) {
      if (this.#isClosed) throw new LcpError('VPP_STATS', { op: 'read', message: 'closed' });
      const reading = this.#segment.reading(isWanted, only);
      if (reading !== undefined) {
        this.counters.readings++;
        this.counters.damaged += reading.damaged;
        return reading.rows;
      }
      this.counters.repeated++;
      if (performance.now() > deadline) {
        throw new LcpError('VPP_STATS', { op: 'read', message: `VPP has changed it for ${this.#timeoutMs} ms` });
      }
      await sleep(1);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeSync(this.#fd);
  }
}

function matcher(pattern: string | RegExp): (name: string) => boolean {
  if (typeof pattern !== 'string') return (name) => name.search(pattern) >= 0;
  const folder = pattern.endsWith('/') ? pattern : `${pattern}/`;
  return (name) => name === pattern || name.startsWith(folder);
}

function fileSource(fd: number): SegmentSource {
  return {
    size: () => fstatSync(fd).size,
    read(into, offset) {
      for (let done = 0; done < into.length; ) {
        const length = readSync(fd, into, done, into.length - done, offset + done);
        if (length === 0) return false;
        done += length;
      }
      return true;
    },
  };
}

/** The descriptor that VPP sends to who connects. */
function receiveDescriptor(path: string, timeoutMs: number): Promise<number> {
  const library = shmLibrary();
  const failed = (errno: number): LcpError => {
    const name = errnoName(errno);
    const hint = hints[name];
    const detail = { op: 'open', key: path, message: name, errno: Math.abs(errno) };
    return new LcpError('VPP_STATS', hint === undefined ? detail : { ...detail, hint });
  };
  return new Promise((resolve, reject) => {
    const socket = library.statsConnect(path);
    if (socket < 0) throw failed(socket);
    const end = (): void => {
      clearTimeout(timer);
      stop();
      library.closeFd(socket);
    };
    const timer = setTimeout(() => {
      end();
      reject(new LcpError('VPP_STATS', { op: 'open', key: path, message: 'VPP does not answer' }));
    }, timeoutMs);
    const stop = whenReadable(socket, () => {
      const fd = library.statsReceive(socket);
      if (fd === -EAGAIN) return;
      end();
      if (fd < 0) reject(failed(fd));
      else resolve(fd);
    });
  });
}
