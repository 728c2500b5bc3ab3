/**
 * PuntClient: the reference client of a punt socket (test/native/puntclient.c) as tests run it, against VPP and against
 * the embedded data plane alike. It knows the wire format and nothing of either.
 */
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lab } from '../lab.ts';
import { Daemon, Hopeless, run, waitFor } from './process.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = `${root}build/native-test/puntclient`;

export type PuntAction = 'l2' | 'ip4' | 'ip6' | number;

export interface Punted {
  /** Of the interface. */
  readonly number: number;
  readonly action: number;
  /** Path that the datagram says it comes from. */
  readonly from: string;
  readonly hex: string;
}

/** Makes the program, once it is needed. */
export const buildPuntClient = (): Promise<string> =>
  run(['make', '-s', '-C', `${root}src/forwarding/native`, 'puntclient']);

export class PuntClient {
  readonly path: string;
  readonly #daemon: Daemon;

  /** Binds `path`; connects to `server` when there is one. Its log is beside it. */
  constructor(path: string, server?: string) {
    this.path = path;
    rmSync(`${path}.log`, { force: true });
    const argv = [program, 'receive', path, '0', ...(server === undefined ? [] : [server])];
    this.#daemon = new Daemon('puntclient', argv, `${path}.log`);
  }

  async ready(): Promise<void> {
    await waitFor('the punt client to be bound', () => this.#alive().startsWith('ready\n'));
  }

  /** What it got so far. */
  got(): Punted[] {
    const lines = this.#alive().split('\n').slice(1, -1);
    return lines.map((line) => {
      const [number, action, from = '', hex = ''] = line.split(' ');
      return { number: Number(number), action: Number(action), from, hex };
    });
  }

  #alive(): string {
    if (!this.#daemon.running)
      throw new Hopeless(`puntclient ended with ${this.#daemon.status}: ${this.#daemon.log()}`);
    return this.#daemon.log();
  }

  /** SIGSTOP: it reads no more; SIGCONT: it goes on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#daemon.signal(signal);
  }

  stop(): Promise<number | string> {
    return this.#daemon.stop();
  }
}

/** A client of a story, bound, ended with its lab. @param server what it connects to, for more room than others have */
export async function addPuntClient(lab: Lab, name: string, server?: string): Promise<PuntClient> {
  await buildPuntClient();
  const client = new PuntClient(`${lab.dir}/${name}`, server);
  lab.defer(() => client.stop());
  await client.ready();
  return client;
}

/** Waits until a client has got so many; then none comes any more, since what was sent behind them has come elsewhere. */
export const hasGot = (client: PuntClient, count: number): Promise<boolean> =>
  waitFor(`${client.path} to have ${count} datagrams`, () => {
    const { length } = client.got();
    if (length !== count) throw new Error(`it has ${length}`);
    return true;
  });

/** Sends packets to a punt socket. */
export const inject = (
  server: string,
  action: PuntAction,
  number: number,
  ...packets: readonly Uint8Array[]
): Promise<string> =>
  run([program, 'inject', server, `${action}`, `${number}`, ...packets.map((p) => Buffer.from(p).toString('hex'))]);
