/**
 * Process: commands that end, daemons that do not, and waiting for either to have had its effect.
 *
 * Invariants: nothing here waits for a fixed time: everything polls a condition up to a deadline. A daemon is
 * known by the pid that this program started and is never looked up by name. Its output goes to a file, which
 * is what is shown when something fails.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** How many times longer everything may take: SLOW, on a processor that is emulated. */
export const slowness: number = Number(process.env.SLOW ?? 1);

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Text for standard input; without it standard input is empty. */
  readonly input?: string;
  /** Default 30 s; then the command is killed and its code is 124. */
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a command and gives what came out, whatever its exit code. */
export function tryRun(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [file, ...args] = argv;
  if (file === undefined) throw new Error('no command');
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      args,
      {
        timeout: (options.timeoutMs ?? 30_000) * slowness,
        maxBuffer: 1 << 28,
        env: options.env ?? process.env,
        killSignal: 'SIGKILL',
      },
      (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else if (error.killed) resolve({ code: 124, stdout, stderr: `${stderr}\ntook too long` });
        else reject(error);
      },
    );
    // A command that does not read all its input is judged by its exit code.
    child.stdin?.on('error', () => child.stdin?.destroy());
    child.stdin?.end(options.input ?? '');
  });
}

/** Runs a command that must succeed; gives its standard output. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const done = await tryRun(argv, options);
  if (done.code !== 0) throw new Error(`${argv.join(' ')}: exit ${done.code}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/** Thrown by a probe: waiting longer is in vain. */
export class Hopeless extends Error {}

/** Polls until `probe` gives something other than undefined, false or ''; a probe that throws counts as "not yet". */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false | ''> | T | undefined | false | '',
  options: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + (options.timeoutMs ?? 10_000) * slowness;
  let last = 'the condition did not hold';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false && value !== '') return value as T;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${options.timeoutMs ?? 10_000} ms for ${what}: ${last}`);
    }
    await sleep(options.intervalMs ?? 50);
  }
}

/** A running program of ours. */
export class Daemon {
  readonly name: string;
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | string>;
  #status: number | string | undefined;

  constructor(name: string, argv: readonly string[], logFile: string, env: NodeJS.ProcessEnv = process.env) {
    const [file, ...args] = argv;
    if (file === undefined) throw new Error('no command');
    this.name = name;
    this.logFile = logFile;
    const log = openSync(logFile, 'a');
    // Own process group: a ^C at the terminal must reach the program that cleans up, not the daemons.
    this.#child = spawn(file, args, { stdio: ['ignore', log, log], env, detached: true });
    closeSync(log);
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (error) => resolve(error.message));
      this.#child.on('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
    });
    void this.#ended.then((status) => {
      this.#status = status;
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} did not start: ${this.#status}`);
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#status === undefined;
  }

  /** Exit code, or the name of the signal that ended it; undefined while it runs. */
  get status(): number | string | undefined {
    return this.#status;
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Resolves with the status when it ends by itself; rejects after `timeoutMs`. */
  async ended(timeoutMs = 10_000): Promise<number | string> {
    return waitFor(`${this.name} to end`, () => this.#status, { timeoutMs, intervalMs: 10 });
  }

  /** Asks it to end, insists after `timeoutMs`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 5_000): Promise<number | string> {
    this.signal(signal);
    try {
      return await this.ended(timeoutMs);
    } catch {
      this.signal('SIGKILL');
      return this.ended();
    }
  }
}
