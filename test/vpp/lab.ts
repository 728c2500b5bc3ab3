/**
 * Lab of the level vpp: real VPPs, clients of theirs, and their end, whatever happened.
 *
 * Invariants: names carry this process's pid; what a lab left whose process has died is removed by the next one. When a
 * test fails the lab says what VPP's logs say before it takes VPP down. Without a VPP every test is skipped aloud.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { VppClient } from '../../src/vpp/client.ts';
import type { ConnectOptions } from '../../src/vpp/connect.ts';
import { connectVpp } from '../../src/vpp/connect.ts';
import { STATE, shmLibrary } from '../../src/vpp/shmlibrary.ts';
import { addNetns, delNetns } from '../system/lab/netns.ts';
import { run, tryRun, waitFor } from '../system/lab/process.ts';
import type { TransportKind, VppOptions } from './lab/realvpp.ts';
import { RealVpp, vppPrefix } from './lab/realvpp.ts';

const stem = 'lcpv';
const storyLimitMs = 200_000;

/** Removes the namespaces and segments of labs whose process has died. */
async function removeStale(): Promise<void> {
  const names = (await run(['ip', 'netns', 'list'])).split('\n').map((line) => line.split(' ')[0] ?? '');
  const isStale = async (name: string): Promise<boolean> => {
    const pid = new RegExp(`^${stem}(\\d+)-`).exec(name)?.[1];
    return pid !== undefined && (await tryRun(['kill', '-0', pid])).code !== 0;
  };
  for (const name of names) if (await isStale(name)) await delNetns(name);
  for (const name of readdirSync('/dev/shm')) if (await isStale(name)) rmSync(join('/dev/shm', name));
}

export class VppLab {
  readonly dir: string = mkdtempSync(join(tmpdir(), `${stem}${process.pid}-`));
  readonly #prefix: string;
  readonly #namespaces: string[] = [];
  readonly #vpps: RealVpp[] = [];
  readonly #clients: VppClient[] = [];
  readonly #cleanups: (() => Promise<unknown>)[] = [];

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Full name of a namespace of this lab. */
  ns(role: string): string {
    return `${stem}${process.pid}-${role}`;
  }

  async addNetns(role: string, forwarding = false): Promise<string> {
    const name = this.ns(role);
    this.#namespaces.push(name);
    await addNetns(name, forwarding);
    return name;
  }

  /** A running VPP in a namespace of its own. */
  async addVpp(options: Partial<VppOptions> = {}): Promise<RealVpp> {
    const role = `vpp${this.#vpps.length}`;
    const names = { prefix: this.#prefix, dir: join(this.dir, role), segment: this.ns(role) };
    const vpp = new RealVpp({ ...names, ...options, netns: options.netns ?? (await this.addNetns(role)) });
    this.#vpps.push(vpp);
    await vpp.start();
    return vpp;
  }

  /** A client over a transport, closed with the lab. */
  async connect(vpp: RealVpp, kind: TransportKind, options: ConnectOptions = {}): Promise<VppClient> {
    if (kind === 'shm') await shmIsFree();
    const { client } = await connectVpp(vpp.transport(kind), options);
    this.#clients.push(client);
    return client;
  }

  /** Something to end before VPP does. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  async close(): Promise<void> {
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
    for (const client of this.#clients) client.close();
    if (this.#clients.some((client) => client.transport.kind === 'shm')) await shmIsFree();
    await Promise.all(this.#vpps.map((vpp) => vpp.remove()));
    await Promise.all(this.#namespaces.map(delNetns));
    rmSync(this.dir, { recursive: true, force: true });
  }

  report(): string {
    return this.#vpps.map((vpp) => vpp.log()).join('\n');
  }
}

/** Waits until the session in shared memory that this process may have is gone. */
export function shmIsFree(): Promise<boolean> {
  return waitFor('the last session in shared memory to end', () => shmLibrary().state() === STATE.closed, {
    timeoutMs: 30_000,
  });
}

/** Why nothing here can run; false when it can. */
function whySkipped(prefix: string | undefined): string | false {
  if (prefix === undefined) return 'no VPP is installed, and VPP_PREFIX names none';
  return process.getuid?.() === 0 ? false : 'needs root: network namespaces and VPP itself';
}

/** A test with a lab of its own. */
export function vpp(
  name: string,
  story: (t: Test, lab: VppLab) => Promise<void>,
  options: { limitMs?: number } = {},
): void {
  const prefix = vppPrefix();
  // The whole file has its limit in scripts/run-taps.
  t.setTimeout(0);
  void t.test(name, { skip: whySkipped(prefix), timeout: options.limitMs ?? storyLimitMs }, async (test) => {
    await removeStale();
    const lab = new VppLab(prefix ?? '');
    try {
      await story(test, lab);
      if (!test.passing()) throw new Error('see the assertions above');
    } catch (error) {
      test.comment(lab.report());
      throw error;
    } finally {
      await lab.close();
    }
  });
}
