/**
 * Lab: what one system test needs: namespaces, cables, hosts, one lcpd; and their end, whatever happened.
 *
 * The usual router: phys p0 p1 … in `rtr`, host sides e0 e1 … in `cp` (whose kernel forwards nothing), and behind each
 * phy a plain host `h0` `h1` … with 10.0.N.2/24 and fd00:N::2/64, whose default route is the router's .1 / ::1.
 *
 * Invariants: names carry this process's pid. A lab whose process has died is removed by the next one. When a test
 * fails the lab says what it had (lcpd's log and state, the kernel's tables) before it is taken down.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Lcpd } from './lab/lcpd.ts';
import { addNetns, addVeth, delNetns, ip, ipBatch, ipJson, netnsExists } from './lab/netns.ts';
import { run, slowness, tryRun, waitFor } from './lab/process.ts';
import { chosenDataplane, type DataplaneName, VppPlane, whyNoDataplane } from './lab/vppplane.ts';

const prefix = 'lcpt';
const storyLimitMs = 200_000;

async function removeStale(): Promise<void> {
  const names = (await run(['ip', 'netns', 'list'])).split('\n').map((line) => line.split(' ')[0] ?? '');
  for (const name of names) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || (await tryRun(['kill', '-0', pid])).code === 0) continue;
    await delNetns(name);
  }
}

export interface RouterOptions {
  /** Phys, 1 to 9. Default 2. */
  readonly ports?: number;
  /** Lines of YAML appended to the configuration. */
  readonly extra?: string;
  readonly types?: readonly ('tap' | 'tun')[];
  /** Whether the kernel of cp forwards too, and so answers punted exceptions itself. */
  readonly kernelForwards?: boolean;
}

export class Lab {
  readonly dir: string = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  readonly #namespaces = new Set<string>();
  readonly #cleanups: (() => Promise<unknown>)[] = [];
  #lcpd: Lcpd | undefined;
  #plane: VppPlane | undefined;

  /** What forwards here. */
  readonly dataplane: DataplaneName = chosenDataplane();

  /** Full name of a namespace of this lab. */
  ns(role: string): string {
    return `${prefix}${process.pid}-${role}`;
  }

  get lcpd(): Lcpd {
    if (this.#lcpd === undefined) throw new Error('this lab has no lcpd');
    return this.#lcpd;
  }

  get hasRunningLcpd(): boolean {
    return this.#lcpd?.running ?? false;
  }

  /** Something to end before the namespaces go; the last one first. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  async addNetns(role: string, forwarding = false): Promise<string> {
    const name = this.ns(role);
    // First, so that one half made is removed too.
    this.#namespaces.add(name);
    await addNetns(name, forwarding);
    return name;
  }

  async delNetns(role: string): Promise<void> {
    await delNetns(this.ns(role));
    this.#namespaces.delete(this.ns(role));
  }

  /** The other end of phy `pN`: host `hN`, addressed as the head says. */
  async addHost(n: number): Promise<string> {
    const name = await this.addNetns(`h${n}`);
    await this.addCable(n);
    return name;
  }

  /** phy pN in rtr and eth0 of hN. */
  async addCable(n: number): Promise<void> {
    const name = this.ns(`h${n}`);
    await addVeth({ ns: this.ns('rtr'), dev: `p${n}` }, { ns: name, dev: 'eth0' });
    await ip(name, 'link', 'set', 'eth0', 'up');
    await ip(name, 'address', 'add', `10.0.${n}.2/24`, 'dev', 'eth0');
    await ip(name, 'address', 'add', `fd00:${n}::2/64`, 'dev', 'eth0');
    await ip(name, 'route', 'add', 'default', 'via', `10.0.${n}.1`);
    await ip(name, '-6', 'route', 'add', 'default', 'via', `fd00:${n}::1`);
  }

  config(options: RouterOptions = {}): string {
    const ports = Array.from({ length: options.ports ?? 2 }, (_, n) => n);
    const pair = (n: number): string => `  - { phy: p${n}, host: e${n}, type: ${options.types?.[n] ?? 'tap'} }\n`;
    if (this.dataplane !== 'embedded' && this.#plane === undefined)
      throw new Error('a story with a router of its own is one of the embedded data plane: it must say so');
    return `${this.#plane?.config ?? 'dataplane: { driver: embedded, memory: 256MiB }\n'}netns: ${this.ns('cp')}
control: { socket: ${this.dir}/lcpd.sock }
pairs:
${ports.map(pair).join('')}${options.extra ?? ''}
`;
  }

  /** Makes an lcpd for this lab without starting it. */
  addLcpd(config: string): Lcpd {
    // beside a VPP, on an emulated processor
    const startLimitMs = this.dataplane === 'linux-cp' ? 60_000 : 20_000;
    const lcpd = new Lcpd({ ns: this.ns('rtr'), dir: this.dir, config, startLimitMs });
    this.#lcpd = lcpd;
    return lcpd;
  }

  /** Brings up eN with the router's addresses, both at once: who waits for one of them makes nothing of it twice. */
  async addressHost(n: number): Promise<void> {
    const addresses = [`10.0.${n}.1/24`, `fd00:${n}::1/64`].map((each) => `address replace ${each} dev e${n}`);
    const done = await ipBatch(this.ns('cp'), [`link set e${n} up`, ...addresses]);
    if (done.code !== 0) throw new Error(`e${n}: ${done.stderr}`);
  }

  /** The usual router, running, addressed and in sync. */
  async addRouter(options: RouterOptions = {}): Promise<Lcpd> {
    const ports = options.ports ?? 2;
    await this.addNetns('rtr');
    await this.addNetns('cp', options.kernelForwards ?? false);
    for (let n = 0; n < ports; n++) await this.addHost(n);
    await this.addPlane(ports);
    const lcpd = this.addLcpd(this.config(options));
    await lcpd.start();
    await this.addressHosts(lcpd, ports);
    return lcpd;
  }

  /** Sets the hosts of the first pairs up, with addresses, once they are made: linux_cp sets them down as the last thing of it. */
  async addressHosts(lcpd: Lcpd, ports: number): Promise<void> {
    for (let n = 0; n < ports; n++) {
      await this.waitLink('cp', `e${n}`);
      await lcpd.waitPaired(`p${n}`);
      await this.addressHost(n);
    }
    for (let n = 0; n < ports; n++) await lcpd.waitPair(`p${n}`, 'up');
    await lcpd.synced();
  }

  /** VPP, where it is what forwards, with phys that are there; the last `bare` ones are in no pair. */
  async addPlane(ports: number, bare = 0): Promise<void> {
    if (this.dataplane === 'embedded') return;
    const segment = `${prefix}${process.pid}`;
    const pairBackend = this.dataplane === 'vpp' ? 'attach' : 'linux-cp';
    const plane = new VppPlane({ dir: this.dir, segment, rtr: this.ns('rtr'), cp: this.ns('cp'), pairBackend });
    this.#plane = plane;
    for (let n = 0; n < ports + bare; n++) await plane.addPhy(`p${n}`, n < ports ? `e${n}` : undefined);
    await plane.start();
  }

  /** What VPP answers to a line of its command line. */
  async vppctl(line: string): Promise<string> {
    if (this.#plane === undefined) throw new Error(`no VPP to ask for ${line}`);
    return (await this.#plane.vpp.ctl(line)).stdout;
  }

  /** Devices of rtr that frames of pair N go through. */
  phyDevices(n: number): string[] {
    return this.dataplane === 'vpp' ? [`p${n}`, `e${n}`] : [`p${n}`];
  }

  /** What starts the data plane again after its end: a supervisor starts VPP, lcpd its own. */
  async dataplaneEnded(): Promise<void> {
    await this.#plane?.startAgain();
  }

  /** Takes the carrier of eN away, or gives it back: that of its phy, or of its cable where it is attached. */
  async setCarrier(n: number, on: boolean): Promise<void> {
    if (this.dataplane === 'linux-cp') throw new Error("VPP's host-interfaces do not follow a carrier");
    const [ns, dev] = this.dataplane === 'vpp' ? [this.ns('rtr'), `e${n}`] : [this.ns(`h${n}`), 'eth0'];
    await ip(ns, 'link', 'set', dev, on ? 'up' : 'down');
    await this.waitLink('cp', `e${n}`, (link) => hasCarrier(link) === on);
  }

  /** What the kernel says of a device, undefined when it is not there. */
  async link(role: string, dev: string): Promise<KernelLink | undefined> {
    if (!(await netnsExists(this.ns(role)))) return undefined;
    return (await ipJson<KernelLink>(this.ns(role), '-details', 'link')).find((l) => l.ifname === dev);
  }

  waitLink(role: string, dev: string, holds: (link: KernelLink) => boolean = () => true): Promise<KernelLink> {
    return waitFor(`${dev} in ${role}`, async () => {
      const link = await this.link(role, dev);
      if (link === undefined) throw new Error('it is not there');
      if (!holds(link)) throw new Error(`it is ${JSON.stringify(link)}`);
      return link;
    });
  }

  waitNoLink(role: string, dev: string): Promise<boolean> {
    return waitFor(`${dev} to go from ${role}`, async () => (await this.link(role, dev)) === undefined);
  }

  /** Everything that may explain a failure. */
  async report(): Promise<string> {
    const parts: string[] = [];
    if (this.#lcpd !== undefined) {
      for (const args of [['status'], ['show', 'pairs'], ['diff'], ['show', 'counters']]) {
        const done = await this.#lcpd.ctl(args, { timeoutMs: 5_000 });
        parts.push(`$ lcpctl ${args.join(' ')} (exit ${done.code})\n${(done.stdout + done.stderr).slice(0, 4000)}`);
      }
    }
    for (const name of this.#namespaces) {
      for (const args of [['-brief', 'address'], ['route', 'show', 'table', 'all'], ['neighbour']]) {
        const done = await tryRun(['ip', '-n', name, ...args]);
        parts.push(`$ ip -n ${name} ${args.join(' ')}\n${done.stdout.slice(0, 3000)}${done.stderr}`);
      }
    }
    if (this.#plane !== undefined) parts.push(this.#plane.vpp.log());
    for (const file of readdirSync(this.dir).filter((f) => f.endsWith('.log'))) {
      parts.push(`${file}, its end:\n${readFileSync(join(this.dir, file), 'utf8').slice(-4000)}`);
    }
    return parts.join('\n');
  }

  async close(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (cleanup: () => Promise<unknown>): Promise<void> => {
      await cleanup().catch((error: unknown) => failures.push(error));
    };
    for (const cleanup of this.#cleanups.reverse()) await attempt(cleanup);
    await attempt(async () => this.#lcpd?.stop());
    await attempt(async () => this.#plane?.vpp.remove());
    await Promise.all([...this.#namespaces].map((name) => attempt(() => delNetns(name))));
    rmSync(this.dir, { recursive: true, force: true });
    if (failures.length > 0) throw failures[0];
  }
}

export interface KernelLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly address?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly operstate: string;
}

export const isUp = (link: KernelLink): boolean => link.flags.includes('UP');
export const hasCarrier = (link: KernelLink): boolean => link.flags.includes('LOWER_UP');

export interface StoryOptions {
  readonly limitMs?: number;
  /** Why it says nothing of a data plane (DATAPLANE), by name. */
  readonly not?: Partial<Record<DataplaneName, string>>;
}

function whySkipped({ not = {} }: StoryOptions): string | false {
  if (process.getuid?.() !== 0) return 'needs root: network namespaces and devices';
  return whyNoDataplane() ?? not[chosenDataplane()] ?? false;
}

/**
 * A system test: it gets a lab of its own, and unless it ended lcpd itself, kernel and data plane must agree at its end.
 * What cannot run is skipped, saying why.
 */
export function system(name: string, story: (t: Test, lab: Lab) => Promise<void>, options: StoryOptions = {}): void {
  const skip = whySkipped(options);
  // The whole file has its limit in scripts/run-level.
  t.setTimeout(0);
  void t.test(name, { skip, timeout: (options.limitMs ?? storyLimitMs) * slowness }, async (test) => {
    await removeStale();
    const lab = new Lab();
    try {
      await story(test, lab);
      if (lab.hasRunningLcpd) await agrees(test, lab.lcpd);
      if (!test.passing()) throw new Error('see the assertions above');
    } catch (error) {
      test.comment(await lab.report());
      throw error;
    } finally {
      await lab.close();
    }
  });
}

/** lcpctl diff finds nothing once all is settled. */
export async function agrees(test: Test, lcpd: Lcpd): Promise<void> {
  await lcpd.synced();
  const diff = await lcpd.diff();
  test.same(diff.differences, [], 'lcpctl diff is empty');
  test.ok(Object.values(diff.checked).reduce((sum, n) => sum + n, 0) > 0, 'lcpctl diff compared something');
}
