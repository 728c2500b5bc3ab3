/**
 * MemifClient: the reference slave of a memif (test/native/memifclient.c) as tests run it, as the CNF of an interconnect. It knows
 * the protocol and nothing of who is the master.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Lab } from '../lab.ts';
import { Hopeless, run, waitFor } from './process.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = `${root}build/native-test/memifclient`;

/** Path of the program, made once it is needed. */
export async function memifProgram(): Promise<string> {
  await run(['make', '-s', '-C', `${root}src/forwarding/native`, 'memifclient']);
  return program;
}

export class MemifClient {
  readonly #child;
  #said = '';
  #ended: Promise<number | null>;

  private constructor(path: string, secret: string) {
    this.#child = spawn(program, [path, secret], { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.on('data', (data: Buffer) => {
        this.#said += data.toString('latin1');
      });
    // it may have ended already
    this.#child.stdin.on('error', () => undefined);
    this.#ended = new Promise((resolve) => this.#child.on('close', resolve));
  }

  /** Connects, or does not: see is(). */
  static async start(lab: Pick<Lab, 'defer'>, path: string, secret: string): Promise<MemifClient> {
    await memifProgram();
    const client = new MemifClient(path, secret);
    lab.defer(() => client.stop());
    return client;
  }

  #lines(): string[] {
    return this.#said.split('\n').slice(0, -1);
  }

  /** Waits until it says that, and gives the line. */
  is(what: RegExp): Promise<string> {
    return waitFor(`the memif's slave to say ${what}`, () => {
      const line = this.#lines().find((each) => what.test(each));
      if (line === undefined && this.#child.exitCode !== null) throw new Hopeless(`it has said ${this.#said}`);
      if (line === undefined) throw new Error(`it has said ${this.#said.slice(0, 500)}`);
      return line;
    });
  }

  /** Frames it got so far, as hexadecimal. */
  got(): string[] {
    return this.#lines().flatMap((line) => (line.startsWith('got ') ? [line.slice(4)] : []));
  }

  send(...frames: readonly string[]): void {
    this.#child.stdin.write(frames.map((hex) => `${hex}\n`).join(''));
  }

  /** SIGSTOP: it takes no more; SIGCONT: it goes on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** As a crash would. Its exit status, null for one of a signal. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGKILL');
    return this.ended();
  }

  ended(): Promise<number | null> {
    return this.#ended;
  }
}
