/**
 * RealVpp: a VPP of the machine for tests, in a network namespace and a directory of its own.
 *
 * Invariants: it is found through VPP_PREFIX or where packages put it. Its sockets, logs and startup.conf are in its
 * directory, its segments in /dev/shm carry its prefix, and both go with it. It is ended by the pid with which this
 * program started it. Its memory takes no hugepages, so that the machine's are as they were.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ShmTransport } from '../../../src/vpp/shm.ts';
import { SocketTransport } from '../../../src/vpp/socket.ts';
import type { VppTransport } from '../../../src/vpp/transport.ts';
import { inNetns } from '../../system/lab/netns.ts';
import { Daemon, type Finished, Hopeless, run, tryRun, waitFor } from '../../system/lab/process.ts';

export const TRANSPORTS = ['socket', 'shm'] as const;
export type TransportKind = (typeof TRANSPORTS)[number];

/** Where a VPP is installed; undefined when there is none. */
export function vppPrefix(): string | undefined {
  const named = process.env.VPP_PREFIX;
  const prefixes = named === undefined || named === '' ? ['/usr', '/usr/local'] : [named];
  return prefixes.find((prefix) => existsSync(join(prefix, 'bin/vpp')));
}

/** Plugins that lcpd has to do with; all others stay out. */
export const PLUGINS = [
  ...['linux_cp', 'linux_cp_unittest', 'af_packet', 'tap', 'l3xc', 'policer', 'ping'],
  ...['acl', 'abf', 'memif', 'dhcp'],
];

export interface VppOptions {
  readonly prefix: string;
  /** Directory that is made for it. */
  readonly dir: string;
  /** Network namespace it runs in. */
  readonly netns: string;
  /** Of its shared memory: at most some 20 characters; '' for none, as VPP is without such a setting. */
  readonly segment: string;
  readonly plugins?: readonly string[];
  /** More of startup.conf, whole sections. */
  readonly startup?: string;
  /** Lines inside the section unix. */
  readonly unix?: string;
}

export class RealVpp {
  readonly dir: string;
  readonly #options: VppOptions;
  #daemon: Daemon | undefined;

  constructor(options: VppOptions) {
    this.#options = options;
    this.dir = options.dir;
    mkdirSync(this.dir, { recursive: true });
  }

  get socket(): string {
    return join(this.dir, 'api.sock');
  }

  get statsSocket(): string {
    return join(this.dir, 'stats.sock');
  }

  get segment(): string {
    return this.#options.segment;
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('this VPP was not started');
    return this.#daemon;
  }

  get pid(): number {
    return this.daemon.pid;
  }

  /** The folder of a file of VPP; distributions have the machine's name in the path, or lib64. */
  #folderOf(name: string): string {
    const { prefix } = this.#options;
    const folders = ['lib', 'lib64'].map((lib) => join(prefix, lib)).filter((folder) => existsSync(folder));
    const below = folders.flatMap((folder) =>
      readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(folder, entry.name)),
    );
    const found = [...folders, ...below].find((folder) => existsSync(join(folder, name)));
    if (found === undefined) throw new Error(`no ${name} in the libraries below ${prefix}`);
    return found;
  }

  /** libvppapiclient by path. */
  get library(): string {
    return join(this.#folderOf('libvppapiclient.so'), 'libvppapiclient.so');
  }

  #startup(): string {
    const { segment, plugins = PLUGINS, startup = '', unix = '' } = this.#options;
    const folder = join(this.#folderOf('vpp_plugins'), 'vpp_plugins');
    return `unix {
  nodaemon
  nosyslog
  nobanner
  cli-no-pager
  log ${this.dir}/vpp.log
  runtime-dir ${this.dir}
  cli-listen ${this.dir}/cli.sock
  ${unix}
}
socksvr { socket-name ${this.socket} }
${segment === '' ? '' : `api-segment { prefix ${segment} }`}
statseg { socket-name ${this.statsSocket} size 64m page-size 4k }
memory { main-heap-size 1G main-heap-page-size default }
buffers { buffers-per-numa 8192 page-size default }
plugins {
  path ${folder}
  plugin default { disable }
${plugins
  .filter((name) => existsSync(join(folder, `${name}_plugin.so`)))
  .map((name) => `  plugin ${name}_plugin.so { enable }\n`)
  .join('')}}
${startup}
`;
  }

  /** Starts it, and waits until it answers. */
  async start(): Promise<void> {
    const file = join(this.dir, 'startup.conf');
    writeFileSync(file, this.#startup());
    for (const socket of [this.socket, this.statsSocket, join(this.dir, 'cli.sock')]) rmSync(socket, { force: true });
    const argv = inNetns(this.#options.netns, [join(this.#options.prefix, 'bin/vpp'), '-c', file]);
    const daemon = new Daemon('VPP', argv, join(this.dir, 'out.log'));
    this.#daemon = daemon;
    const answers = async (): Promise<boolean> => {
      if (!daemon.running) throw new Hopeless(`VPP ended with ${daemon.status}: ${daemon.log().slice(-2000)}`);
      return existsSync(this.socket) && (await this.ctl('show version')).code === 0;
    };
    // Half a second, but half a minute on an emulated processor.
    await waitFor('VPP to answer', answers, { timeoutMs: 90_000 });
  }

  /** Ends it as a crash would: nothing is cleaned up. */
  async kill(): Promise<void> {
    await this.#daemon?.stop('SIGKILL');
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  transport(kind: TransportKind): VppTransport {
    if (kind === 'socket') return new SocketTransport({ path: this.socket });
    return new ShmTransport({ prefix: this.segment, library: this.library });
  }

  /** A line of VPP's command line, by vppctl. */
  ctl(line: string): Promise<Finished> {
    return tryRun([join(this.#options.prefix, 'bin/vppctl'), '-s', join(this.dir, 'cli.sock'), ...line.split(' ')]);
  }

  /** A program of VPP's that must succeed; its output. */
  tool(name: string, ...args: readonly string[]): Promise<string> {
    return run([join(this.#options.prefix, 'bin', name), ...args]);
  }

  /** The ends of its logs. */
  log(): string {
    return ['out.log', 'vpp.log']
      .map((name) => join(this.dir, name))
      .filter((file) => existsSync(file))
      .map((file) => `${file}, its end:\n${readFileSync(file, 'utf8').slice(-3000)}`)
      .join('\n');
  }

  async remove(): Promise<void> {
    await this.#daemon?.stop();
    rmSync(this.dir, { recursive: true, force: true });
    if (this.segment === '') return;
    for (const name of readdirSync('/dev/shm')) {
      if (name.startsWith(`${this.segment}-`)) rmSync(join('/dev/shm', name));
    }
  }
}
