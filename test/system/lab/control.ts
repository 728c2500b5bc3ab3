/**
 * Control: lcpd's control socket held open, for tests that ask so often that a process for each question (lcpctl)
 * would be most of their time. The protocol is src/northbound/protocol.ts: a line of JSON each way.
 *
 * Invariants: one request at a time; an answer that does not come ends the wait with an error. The connection is made
 * anew when lcpd was.
 */
import { createConnection, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import type { MethodName, Methods } from '../../../src/northbound/protocol.ts';

interface Reply {
  readonly id: number;
  readonly event?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

export class Control {
  readonly #path: string;
  #socket: Socket | undefined;
  #lines: Interface | undefined;
  #id = 0;

  constructor(path: string) {
    this.#path = path;
  }

  close(): void {
    this.#lines?.close();
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #connect(): Promise<Socket> {
    const known = this.#socket;
    if (known !== undefined && !known.destroyed && known.writable) return known;
    const socket = createConnection(this.#path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    });
    this.#socket = socket;
    this.#lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
    return socket;
  }

  /** Rows of a list, or what is given bit by bit. */
  async rows<M extends MethodName>(
    method: M,
    params: Methods[M]['params'],
    timeoutMs = 60_000,
  ): Promise<Methods[M]['event'][]> {
    return (await this.#ask(method, params, timeoutMs)).rows as Methods[M]['event'][];
  }

  async once<M extends MethodName>(
    method: M,
    params: Methods[M]['params'],
    timeoutMs = 60_000,
  ): Promise<Methods[M]['result']> {
    return (await this.#ask(method, params, timeoutMs)).result as Methods[M]['result'];
  }

  async #ask(method: string, params: unknown, timeoutMs: number): Promise<{ rows: unknown[]; result: unknown }> {
    const socket = await this.#connect();
    const lines = this.#lines as Interface;
    const id = ++this.#id;
    const rows: unknown[] = [];
    return new Promise((resolve, reject) => {
      const end = (then: () => void): void => {
        clearTimeout(timer);
        lines.off('line', onLine);
        lines.off('close', onClose);
        socket.off('error', onError);
        then();
      };
      const onError = (error: Error): void => end(() => reject(error));
      const onClose = (): void => onError(new Error(`${method}: lcpd ended the connection`));
      const timer = setTimeout(() => {
        socket.destroy();
        onError(new Error(`${method}: no answer after ${timeoutMs} ms`));
      }, timeoutMs);
      const onLine = (line: string): void => {
        const reply = JSON.parse(line) as Reply;
        if (reply.id !== id) return;
        if (reply.error !== undefined) end(() => reject(new Error(`${method}: ${reply.error?.message}`)));
        else if ('result' in reply) end(() => resolve({ rows, result: reply.result }));
        else rows.push(reply.event);
      };
      lines.on('line', onLine);
      lines.on('close', onClose);
      socket.on('error', onError);
      socket.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }
}
