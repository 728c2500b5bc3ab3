// The forwarder process (lcpfwd) as lcpd sees it: attach to a living one or start one, notice its end.
//
// It is started detached and is not a child to wait for: it outlives lcpd, which is what keeps packets
// flowing over a restart of lcpd. Whether it lives is told by its control connection.

import { spawn } from 'node:child_process';
import { LcpError } from '../lib/errors.ts';
import { errnoName } from '../lib/libc.ts';
import { buildPath, type Handle, native, SIZE, watchFd } from './native.ts';

const ENOENT = -2;
const ECONNREFUSED = -111;
const EBUSY = -16;
const EPROTO = -71;

export interface ForwarderOptions {
  /** Unix socket of the forwarder. */
  readonly socket: string;
  readonly memoryBytes: number;
  readonly workers: number;
  /** How long a started forwarder may take to listen. */
  readonly startTimeoutMs: number;
}

/** What the forwarder says of itself. */
export interface ForwarderInfo {
  readonly memoryUsed: number;
  readonly generation: string;
  readonly workers: number;
  readonly recovered: boolean;
  readonly pid: number;
}

const attach = (socket: string): { handle: Handle; errno: number } => {
  const errno = new Int32Array(1);
  const handle = native().attach(socket, errno) as Handle;
  return { handle: handle === null || handle === 0n ? null : handle, errno: errno[0] as number };
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Forwarder {
  readonly #handle: bigint;
  /** False when this attachment started it. */
  readonly found: boolean;
  #stopWatching: (() => void)[] = [];
  #open = true;

  private constructor(handle: bigint, found: boolean) {
    this.#handle = handle;
    this.found = found;
  }

  /**
   * The attachment, for one call: not to be kept over an await, since a forwarder may end meanwhile and its memory
   * is then unmapped. DATAPLANE_DOWN afterwards.
   */
  get handle(): bigint {
    if (this.#open) return this.#handle;
    throw new LcpError('DATAPLANE_DOWN', { op: 'access', key: 'embedded', message: 'the forwarder has ended' });
  }

  /** Attaches as the tables' writer; starts a forwarder when there is none. */
  static async open(options: ForwarderOptions): Promise<Forwarder> {
    const { socket } = options;
    const first = attach(socket);
    if (first.handle !== null) return new Forwarder(first.handle, true);
    if (first.errno === EBUSY) {
      throw new LcpError('FORWARDER_BUSY', { op: 'attach', key: socket, message: 'another lcpd writes its tables' });
    }
    if (first.errno === EPROTO) {
      throw new LcpError('FORWARDER_ABI', { op: 'attach', key: socket, message: 'it was started by another build' });
    }
    if (first.errno !== ENOENT && first.errno !== ECONNREFUSED) {
      throw new LcpError('FORWARDER_START', { op: 'attach', key: socket, message: errnoName(first.errno) });
    }
    const args = ['--socket', socket, '--memory', String(options.memoryBytes), '--workers', String(options.workers)];
    const child = spawn(buildPath('lcpfwd'), args, { detached: true, stdio: ['ignore', 'inherit', 'inherit'] });
    let ended: string | undefined;
    child.once('error', (error) => {
      ended = error.message;
    });
    child.once('exit', (code, signal) => {
      ended = signal ?? `exit status ${code}`;
    });
    child.unref();
    const deadline = Date.now() + options.startTimeoutMs;
    for (;;) {
      await sleep(5);
      const next = attach(socket);
      if (next.handle !== null) return new Forwarder(next.handle, false);
      if (ended !== undefined || Date.now() > deadline) {
        const cause = ended ?? `no answer in ${options.startTimeoutMs} ms (${errnoName(next.errno)})`;
        throw new LcpError('FORWARDER_START', { op: 'start', key: socket, message: cause });
      }
    }
  }

  /** Calls back when events wait, and once when the forwarder has ended. */
  watch(onEvents: () => void, onEnd: () => void): void {
    const n = native();
    this.#stopWatching = [
      watchFd(n.eventFd(this.handle) as number, () => onEvents()),
      watchFd(n.controlFd(this.handle) as number, () => {
        this.#unwatch();
        onEnd();
      }),
    ];
  }

  #unwatch(): void {
    for (const stop of this.#stopWatching) stop();
    this.#stopWatching = [];
  }

  info(): ForwarderInfo {
    const bytes = new Uint8Array(SIZE.info);
    native().info(this.handle, bytes);
    const v = new DataView(bytes.buffer);
    return {
      memoryUsed: Number(v.getBigUint64(8, true)) - Number(v.getBigUint64(16, true)),
      generation: v.getBigUint64(24, true).toString(16),
      workers: v.getUint32(32, true),
      recovered: v.getUint32(64, true) !== 0,
      pid: v.getUint32(68, true),
    };
  }

  /** Has the punt socket at path ('' : none); the reason why it has none, '' when it has. */
  openPuntSocket(path: string): string {
    const reason = new Uint8Array(256);
    const errno = native().puntSocket(this.handle, path, reason) as number;
    if (errno === 0) return path === '' ? 'none is configured' : '';
    const end = reason.indexOf(0);
    return new TextDecoder().decode(reason.subarray(0, end)) || errnoName(errno);
  }

  /** Lets go; with shutdown the forwarder ends too. Idempotent. */
  close(shutdown: boolean): void {
    if (!this.#open) return;
    this.#open = false;
    this.#unwatch();
    if (shutdown) native().shutdown(this.#handle);
    native().detach(this.#handle);
  }
}
