/**
 * MemifMaster: the forwarder's end of a memif, alone (bench/native/memifgen.c), for a VPP to connect to.
 *
 * Invariants: the program is compiled when it is not up to date. It says a line for each change of the connection, and what it has
 * counted at its end.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Daemon, run, waitFor } from '../../system/lab/process.ts';
import type { VppLab } from '../lab.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = join(root, 'build/bench/memifgen');
let started = 0;

export interface MemifTotals {
  readonly received: number;
  readonly receivedBytes: number;
  readonly truncated: number;
  readonly sent: number;
  readonly sentBytes: number;
  readonly busy: number;
  readonly down: number;
  readonly sleeps: number;
  /** Between the first and the last frame. */
  readonly seconds: number;
  /** Processor time of a frame. */
  readonly receiveNs: number;
  readonly sendNs: number;
}

export class MemifMaster {
  /** Where it listens; the directory is its own to make. */
  readonly path: string;
  readonly #daemon: Daemon;

  private constructor(path: string, daemon: Daemon) {
    this.path = path;
    this.#daemon = daemon;
  }

  static async start(lab: VppLab, name: string, ...args: readonly string[]): Promise<MemifMaster> {
    await run(['make', '-s', '-C', join(root, 'src/forwarding/native'), 'memifgen'], { timeoutMs: 120_000 });
    const path = join(lab.dir, 'memif', `memif-${name}.sock`);
    const [mode = '', ...options] = args;
    const daemon = new Daemon('memifgen', [program, mode, path, ...options], join(lab.dir, `memifgen${started++}.log`));
    lab.defer(() => daemon.stop());
    const master = new MemifMaster(path, daemon);
    await waitFor('memifgen to listen', () => master.#lines().includes('listening'));
    return master;
  }

  #lines(): string[] {
    return this.#daemon.log().trimEnd().split('\n');
  }

  /** What it said last. */
  get state(): string {
    return this.#lines().at(-1) ?? '';
  }

  /** Waits until the slave is there, or has gone; gives what is said of it. */
  async is(state: 'connected' | 'not connected'): Promise<string> {
    // VPP tries every three seconds
    await waitFor(`memifgen to be ${state}`, () => this.state.startsWith(`${state}`), { timeoutMs: 20_000 });
    return this.state;
  }

  /** Ends it. */
  async end(): Promise<MemifTotals> {
    await this.#daemon.stop();
    return JSON.parse(this.state) as MemifTotals;
  }

  /** As a crash would. */
  async kill(): Promise<void> {
    await this.#daemon.stop('SIGKILL');
  }
}
