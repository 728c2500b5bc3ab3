// Connection: lcpctl's end of the control protocol.
//
// Invariants: answers are matched by id; events are delivered in order, and no faster than standard output takes
// them. Every way in which lcpd cannot be talked to ends as CliError 3, every refusal as CliError 4 (2 for a
// configuration, or a punt, that is not valid). Reference: northbound/protocol.ts.

import { createConnection, type Socket } from 'node:net';
import { LineSplitter } from '../lib/lines.ts';
import type { ErrorReply, MethodName, Methods } from '../northbound/protocol.ts';
import { CliError, exitCodes } from './exit.ts';

export const defaultSocket = '/run/lcpd/lcpd.sock';

/** lcpd is trusted, but a broken one must not eat the machine. */
const MAX_REPLY_BYTES = 256 * 2 ** 20;

const connectHints: Readonly<Record<string, string>> = {
  ENOENT: 'is lcpd running? `systemctl status lcpd`; another socket is given with --socket or LCPD_SOCKET',
  ECONNREFUSED: 'lcpd has ended without removing its socket: `systemctl status lcpd`',
  EACCES: 'run lcpctl as root, or as a member of the group set as control.group',
  ENOTSOCK: 'the path is not a socket; see control.socket in the configuration of lcpd',
};

interface Waiting {
  readonly onEvent: (event: unknown) => void;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: CliError) => void;
}

function refusal(error: ErrorReply): CliError {
  const isWrong = error.code === 'CONFIG_INVALID' || error.code === 'PUNT_INVALID';
  const exitCode = isWrong ? exitCodes.usage : exitCodes.refused;
  return new CliError(exitCode, `${error.message} [${error.code}]`, error.hint);
}

export class Connection {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #splitter = new LineSplitter(MAX_REPLY_BYTES);
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #failure: CliError | undefined;

  private constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => this.#fail('lcpd closed the connection'));
  }

  /** Connects. @throws CliError 3 */
  static open(path: string): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path });
      const onError = (error: NodeJS.ErrnoException) => {
        const hint = connectHints[error.code ?? ''];
        reject(
          new CliError(exitCodes.unreachable, `cannot reach lcpd at ${path}: ${error.code ?? error.message}`, hint),
        );
      };
      socket.once('error', onError);
      socket.once('connect', () => {
        socket.off('error', onError);
        resolve(new Connection(socket, path));
      });
    });
  }

  /** Sends a request; resolves with its result. @throws CliError 3 or 4 */
  call<M extends MethodName>(
    method: M,
    params: Methods[M]['params'],
    onEvent: (event: Methods[M]['event']) => void = () => undefined,
  ): Promise<Methods[M]['result']> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting.set(id, {
        onEvent: onEvent as (event: unknown) => void,
        resolve: resolve as (result: unknown) => void,
        reject,
      });
      this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  /** All rows of a list method. */
  async rows<M extends MethodName>(method: M, params: Methods[M]['params']): Promise<Methods[M]['event'][]> {
    const rows: Methods[M]['event'][] = [];
    await this.call(method, params, (row) => rows.push(row));
    return rows;
  }

  close(): void {
    this.#socket.destroy();
  }

  #fail(reason: string): void {
    this.#failure ??= new CliError(
      exitCodes.unreachable,
      `lost lcpd at ${this.#path}: ${reason}`,
      'see `systemctl status lcpd` and `journalctl -u lcpd`',
    );
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }

  #onData(chunk: Buffer): void {
    try {
      if (!this.#splitter.push(chunk, (line) => this.#onLine(line))) throw new Error('an answer is too long');
    } catch (thrown) {
      this.#fail(thrown instanceof Error ? thrown.message : String(thrown));
      this.#socket.destroy();
      return;
    }
    if (!process.stdout.writableNeedDrain) return;
    this.#socket.pause();
    process.stdout.once('drain', () => this.#socket.resume());
  }

  #onLine(line: Buffer): void {
    const reply = JSON.parse(line.toString()) as Record<string, unknown>;
    if (reply.id === null) {
      // lcpd refuses the connection as a whole.
      this.#failure = refusal(reply.error as ErrorReply);
      this.#fail('refused');
      return;
    }
    const id = Number(reply.id);
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    if ('event' in reply) {
      waiting.onEvent(reply.event);
      return;
    }
    this.#waiting.delete(id);
    if ('error' in reply) waiting.reject(refusal(reply.error as ErrorReply));
    else waiting.resolve(reply.result);
  }
}
