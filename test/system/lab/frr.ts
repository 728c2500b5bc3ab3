/**
 * Frr: one FRRouting router inside a network namespace, without systemd or watchfrr.
 *
 * Invariants: a router has its own pathspace (-N): its sockets are in /run/frr/NAME and its daemons are children of
 * this program, in the foreground, so that several routers run on one machine beside the machine's own. The
 * configuration goes in by vtysh after all daemons answer. Reference: frr(8), "pathspace".
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { inNetns } from './netns.ts';
import { Daemon, Hopeless, run, waitFor } from './process.ts';

const daemonDir = '/usr/lib/frr';
export type FrrDaemon =
  | 'zebra'
  | 'staticd'
  | 'bgpd'
  | 'ospfd'
  | 'ospf6d'
  | 'isisd'
  | 'ripd'
  | 'ripngd'
  | 'bfdd'
  | 'vrrpd'
  | 'pimd';

export interface FrrOptions {
  readonly ns: string;
  /** Name of the pathspace: unique on the machine. */
  readonly name: string;
  /** zebra is implied. */
  readonly daemons: readonly FrrDaemon[];
  /** What vtysh would show with `show running-config`. */
  readonly config: string;
  /** Where log files go. */
  readonly dir: string;
}

/** OSPFv2 and OSPFv3 on a point-to-point interface, with the shortest timers; `more` are further lines of it. */
export const ospfInterface = (dev: string, ...more: string[]): string => `\
interface ${dev}
 ip ospf area 0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ipv6 ospf6 area 0
 ipv6 ospf6 network point-to-point
 ipv6 ospf6 hello-interval 1
 ipv6 ospf6 dead-interval 4
${more.map((line) => ` ${line}\n`).join('')}exit`;

export class Frr {
  readonly #name: string;
  readonly #daemons: Daemon[];

  private constructor(name: string, daemons: Daemon[]) {
    this.#name = name;
    this.#daemons = daemons;
  }

  static async start(options: FrrOptions): Promise<Frr> {
    const { ns, name, dir } = options;
    // The daemons drop root for user frr, and refuse directories that are not theirs.
    for (const path of [`/run/frr/${name}`, `/etc/frr/${name}`]) {
      await run(['install', '-d', '-o', 'frr', '-g', 'frr', '-m', '0755', '/run/frr', path]);
    }
    // vtysh complains about every command without one.
    writeFileSync(`/etc/frr/${name}/vtysh.conf`, '');
    mkdirSync(dir, { recursive: true });
    const daemons: Daemon[] = [];
    const frr = new Frr(name, daemons);
    try {
      for (const daemon of ['zebra', ...options.daemons] as const) {
        // -P 0: no TCP port for the terminal; -F: timers of a data centre, seconds instead of minutes.
        const argv = [`${daemonDir}/${daemon}`, '-N', name, '-P', '0', '-F', 'datacenter', '--log', 'stdout'];
        if (daemon === 'zebra') argv.push('-s', '8388608');
        const child = new Daemon(`${name} ${daemon}`, inNetns(ns, argv), `${dir}/${name}-${daemon}.log`);
        daemons.push(child);
        await waitFor(`${child.name} to answer`, () => {
          if (!child.running) throw new Hopeless(`it ended with ${child.status}:\n${child.log()}`);
          return frr.#vtysh(['-d', daemon, '-c', 'show version']);
        });
      }
      const file = `${dir}/${name}.conf`;
      writeFileSync(file, options.config);
      await frr.#vtysh(['-f', file]);
    } catch (error) {
      await frr.stop();
      throw error;
    }
    return frr;
  }

  async #vtysh(args: readonly string[]): Promise<string> {
    return run(['vtysh', '-N', this.#name, ...args]);
  }

  show(command: string): Promise<string> {
    return this.#vtysh(['-c', command]);
  }

  /** A `show … json` command, without the word. */
  async json<T>(command: string): Promise<T> {
    return JSON.parse(await this.show(`${command} json`)) as T;
  }

  configure(...lines: string[]): Promise<string> {
    return this.#vtysh(['-c', 'configure terminal', ...lines.flatMap((line) => ['-c', line])]);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#daemons.reverse().map((daemon) => daemon.stop()));
    removeFrr(this.#name);
  }
}

/** Removes what a router left in the file system, also that of a run that died. */
export function removeFrr(name: string): void {
  for (const path of [`/run/frr/${name}`, `/etc/frr/${name}`]) rmSync(path, { recursive: true, force: true });
}
