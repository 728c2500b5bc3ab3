/**
 * Lcpd: the daemon under test in a namespace, and lcpctl as its operator would use it.
 *
 * Invariants: what runs is what `make build` made (dist/), by its command line and control socket alone: nothing is
 * imported from it but the types of the rows. A daemon has a directory with its configuration, sockets and log.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DiffResult, LookupRow, PairRow, StatusRow, WaitSyncedResult } from '../../../src/lcp/view.ts';
import { inNetns } from './netns.ts';
import { Daemon, type Finished, Hopeless, type RunOptions, run, slowness, tryRun, waitFor } from './process.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const lcpdMain = `${root}dist/main.js`;
const lcpctlMain = `${root}dist/cli/main.js`;

export interface LcpdOptions {
  /** Namespace of the phys. */
  readonly ns: string;
  /** Made if absent. */
  readonly dir: string;
  /** Text of the configuration file; must put the control socket at `DIR/lcpd.sock`. */
  readonly config: string;
  readonly args?: readonly string[];
  /** Time to answer after it was started. Default 20 s. */
  readonly startLimitMs?: number;
}

export class Lcpd {
  readonly dir: string;
  readonly ns: string;
  readonly configFile: string;
  readonly socket: string;
  readonly #args: readonly string[];
  readonly #startLimitMs: number;
  #daemon: Daemon | undefined;

  constructor(options: LcpdOptions) {
    this.ns = options.ns;
    this.dir = options.dir;
    this.#args = options.args ?? [];
    this.#startLimitMs = options.startLimitMs ?? 20_000;
    mkdirSync(this.dir, { recursive: true });
    this.configFile = `${this.dir}/lcpd.yaml`;
    this.socket = `${this.dir}/lcpd.sock`;
    this.writeConfig(options.config);
  }

  writeConfig(text: string): void {
    writeFileSync(this.configFile, text);
  }

  get running(): boolean {
    return this.#daemon?.running ?? false;
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('lcpd was not started');
    return this.#daemon;
  }

  command(...extra: string[]): string[] {
    return inNetns(this.ns, ['node', lcpdMain, '--config', this.configFile, ...this.#args, ...extra]);
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    const daemon = new Daemon('lcpd', this.command(), `${this.dir}/lcpd.log`);
    this.#daemon = daemon;
    await waitFor(
      'lcpd to answer',
      async () => {
        if (!daemon.running) throw new Hopeless(`lcpd ended with ${daemon.status}:\n${daemon.log().slice(-4000)}`);
        return (await this.ctl(['status'])).code === 0;
      },
      { timeoutMs: this.#startLimitMs, intervalMs: 100 },
    );
  }

  /** The command line of lcpctl, for who starts it himself. */
  ctlCommand(args: readonly string[]): string[] {
    return ['node', lcpctlMain, '--socket', this.socket, ...args];
  }

  /** lcpctl as a command: exit code and text. */
  ctl(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return tryRun(this.ctlCommand(args), options);
  }

  /** lcpctl with --json that must succeed. */
  async json<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
    const text = await run(this.ctlCommand(['--json', ...args]), options);
    return JSON.parse(text) as T;
  }

  status(): Promise<StatusRow> {
    return this.json<StatusRow>(['status']);
  }

  async pair(phy: string): Promise<PairRow> {
    const rows = await this.json<PairRow[]>(['show', 'pairs']);
    const row = rows.find((r) => r.phy === phy);
    if (row === undefined) throw new Error(`no pair ${phy} in ${JSON.stringify(rows)}`);
    return row;
  }

  /** Until it is made, whatever its host is like. */
  waitPaired(phy: string): Promise<PairRow> {
    return waitFor(`pair ${phy} to be made`, async () => {
      const row = await this.pair(phy);
      if (row.state === 'pending') throw new Error(`it is ${JSON.stringify(row)}`);
      return row;
    });
  }

  waitPair(phy: string, state: PairRow['state'], timeoutMs = 10_000): Promise<PairRow> {
    return waitFor(
      `pair ${phy} to be ${state}`,
      async () => {
        const row = await this.pair(phy);
        if (row.state !== state) throw new Error(`it is ${JSON.stringify(row)}`);
        return row;
      },
      { timeoutMs },
    );
  }

  /** Until nothing is on its way from the kernel to the data plane. */
  async synced(timeoutS = 20): Promise<WaitSyncedResult> {
    const limitS = timeoutS * slowness;
    const done = await this.ctl(['--json', 'wait-synced', '--timeout', String(limitS)], {
      timeoutMs: timeoutS * 1000 + 10_000,
    });
    if (done.code !== 0) throw new Error(`wait-synced: exit ${done.code}: ${done.stdout}${done.stderr}`);
    return JSON.parse(done.stdout) as WaitSyncedResult;
  }

  /** Exit code 1 of lcpctl diff says that there are differences: they are in the result all the same. */
  async diff(): Promise<DiffResult> {
    const done = await this.ctl(['--json', 'diff'], { timeoutMs: 60_000 });
    if (done.code !== 0 && done.code !== 1) throw new Error(`diff: exit ${done.code}: ${done.stdout}${done.stderr}`);
    return JSON.parse(done.stdout) as DiffResult;
  }

  /** Exit code 1 of lcpctl lookup says that some address has no route: that is an answer too. */
  async lookup(addresses: readonly string[], ...args: string[]): Promise<LookupRow[]> {
    const input = `${addresses.join('\n')}\n`;
    const done = await this.ctl(['--json', 'lookup', '--stdin', ...args], { input });
    if (done.code !== 0 && done.code !== 1) throw new Error(`lookup: exit ${done.code}: ${done.stderr}`);
    return done.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as LookupRow);
  }

  /** SIGTERM and its exit status; nothing when it does not run. */
  async stop(): Promise<number | string | undefined> {
    return this.#daemon?.stop('SIGTERM', 15_000);
  }

  /** As a crash would. */
  async kill(): Promise<void> {
    this.daemon.signal('SIGKILL');
    await this.daemon.ended();
  }
}
