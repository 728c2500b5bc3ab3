/**
 * Bird: one BIRD router inside a network namespace, in the foreground, with its own control socket.
 * Reference: bird(8), birdc "show protocols".
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { inNetns } from './netns.ts';
import { Daemon, Hopeless, run, waitFor } from './process.ts';

export interface BirdOptions {
  readonly ns: string;
  /** Unique on the machine. */
  readonly name: string;
  readonly config: string;
  /** Where the configuration, the socket and the log go. */
  readonly dir: string;
}

/** One line of `birdc show protocols`. */
export interface BirdProtocol {
  readonly name: string;
  readonly kind: string;
  readonly state: string;
  /** Time since which the state holds, as BIRD prints it. */
  readonly since: string;
  readonly info: string;
}

export class Bird {
  readonly #daemon: Daemon;
  readonly #socket: string;

  private constructor(daemon: Daemon, socket: string) {
    this.#daemon = daemon;
    this.#socket = socket;
  }

  static async start(options: BirdOptions): Promise<Bird> {
    const { dir, name } = options;
    mkdirSync(dir, { recursive: true });
    const config = `${dir}/${name}.conf`;
    const socket = `${dir}/${name}.ctl`;
    writeFileSync(config, options.config);
    const argv = ['bird', '-f', '-c', config, '-s', socket, '-P', `${dir}/${name}.pid`];
    const bird = new Bird(new Daemon(name, inNetns(options.ns, argv), `${dir}/${name}.log`), socket);
    try {
      await waitFor(`${name} to answer`, () => {
        if (!bird.#daemon.running) throw new Hopeless(`it ended with ${bird.#daemon.status}:\n${bird.#daemon.log()}`);
        return bird.show('show status');
      });
    } catch (error) {
      await bird.stop();
      throw error;
    }
    return bird;
  }

  show(command: string): Promise<string> {
    return run(['birdc', '-r', '-s', this.#socket, ...command.split(' ')]);
  }

  async protocols(): Promise<BirdProtocol[]> {
    const text = await this.show('show protocols');
    // Name Proto Table State Since Info, after a line with the version and one with the titles.
    return text.split('\n').flatMap((line) => {
      const m = /^(\S+)\s+(\S+)\s+(\S+)\s+(up|down|start|stop)\s+(\S+)\s*(.*)$/.exec(line);
      if (m === null) return [];
      return [{ name: m[1] ?? '', kind: m[2] ?? '', state: m[4] ?? '', since: m[5] ?? '', info: (m[6] ?? '').trim() }];
    });
  }

  async stop(): Promise<void> {
    await this.#daemon.stop();
  }
}
