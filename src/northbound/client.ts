// ControlClient: the server's side of one connection to the control socket, and its running requests.
//
// Invariants: at most `maxRequestBytes` of a half request, MAX_RUNNING requests and MAX_QUEUED_BYTES of answers are
// held. Rows are made only while the peer reads; what is pushed at a peer that does not read ends the connection.
// Each request answers once, also when it is cancelled; when the peer is gone its requests are aborted.

import type { Socket } from 'node:net';
import type { View } from '../lcp/view.ts';
import { errorTable, LcpError, messageOf } from '../lib/errors.ts';
import { LineSplitter } from '../lib/lines.ts';
import type { Logger } from '../lib/log.ts';
import type { Job, RowSource } from './job.ts';
import { jobOf } from './methods.ts';
import { type ErrorReply, maxRequestBytes, type Reply, type RequestId } from './protocol.ts';
import type { PuntDoor } from './puntmethods.ts';

const MAX_RUNNING = 32;
const MAX_ID_CHARS = 64;
const MAX_QUEUED_BYTES = 16 * 2 ** 20;
/** Rows are gathered to about this many characters a write. */
const BATCH_CHARS = 64 * 1024;
/** So much may wait in the socket before a walk over rows pauses. */
const HIGH_WATER_BYTES = 2 ** 20;

/** What a control server counts, since it was opened. */
export interface ControlCounters {
  accepted: number;
  /** Connections refused because too many were open. */
  refused: number;
  requests: number;
  /** Lines that were no request, unknown methods, bad parameters. */
  bad: number;
  oversized: number;
  /** Clients dropped because they did not read. */
  slow: number;
  /** Requests that failed by an error inside lcpd. */
  internal: number;
}

export interface ClientContext {
  readonly view: View;
  punts?: PuntDoor | undefined;
  readonly log: Logger;
  readonly counters: ControlCounters;
  /** How long a walk over rows waits for a peer that does not read, ms. */
  readonly stallMs: number;
}

interface Running {
  readonly abort: AbortController;
  readonly push: boolean;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function isRequestId(value: unknown): value is RequestId {
  return (
    (typeof value === 'number' && Number.isFinite(value)) || (typeof value === 'string' && value.length <= MAX_ID_CHARS)
  );
}

function replyOf(error: LcpError): ErrorReply {
  return { code: error.code, message: error.message, hint: error.hint };
}

export class ControlClient {
  readonly #socket: Socket;
  readonly #context: ClientContext;
  readonly #splitter = new LineSplitter(maxRequestBytes);
  readonly #running = new Map<RequestId, Running>();
  #reading = true;
  #ended = false;

  constructor(socket: Socket, context: ClientContext) {
    this.#socket = socket;
    this.#context = context;
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('end', () => this.#onEnd());
    // A peer that goes away is no event for the log; 'close' follows and cleans up.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#abortAll());
  }

  /** Ends the connection: what runs is cancelled, what is queued is dropped. */
  destroy(): void {
    this.#socket.destroy();
  }

  #abortAll(): void {
    this.#ended = true;
    for (const { abort } of this.#running.values()) abort.abort();
    this.#running.clear();
  }

  #onData(chunk: Buffer): void {
    if (!this.#reading) return;
    if (this.#splitter.push(chunk, (line) => this.#onLine(line))) return;
    this.#context.counters.oversized++;
    this.#fail(null, new LcpError('CONTROL_TOO_LARGE', { op: 'read request' }));
    this.#finishReading();
  }

  #onEnd(): void {
    if (this.#splitter.pending > 0) {
      this.#bad(null, 'the connection ended inside a request; end each with a line feed');
    }
    this.#finishReading();
  }

  /** Nothing more is read: finite requests still get their answers, then the connection closes. */
  #finishReading(): void {
    this.#reading = false;
    for (const { abort, push } of this.#running.values()) if (push) abort.abort();
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (this.#reading || this.#ended || this.#running.size > 0) return;
    this.#ended = true;
    // The connection closes when the peer has ended too. It may still be writing an oversized line: closing with
    // that unread would reset the connection before our answer is read, so the rest is taken in, for a time.
    this.#socket.end();
    const timer = setTimeout(() => {
      if (this.#socket.writableLength > 0) this.#dropSlow();
      else this.#socket.destroy();
    }, this.#context.stallMs);
    this.#socket.on('close', () => clearTimeout(timer));
  }

  #bad(id: RequestId | null, message: string): void {
    this.#fail(id, new LcpError('CONTROL_BAD_REQUEST', { op: 'read request', message }));
  }

  #fail(id: RequestId | null, error: LcpError): void {
    this.#context.counters.bad++;
    this.#send({ id, error: replyOf(error) });
  }

  #onLine(line: Buffer): void {
    if (line.length === 0 || !this.#reading) return;
    let request: unknown;
    try {
      request = JSON.parse(decoder.decode(line));
    } catch (thrown) {
      this.#bad(null, `not JSON: ${messageOf(thrown).slice(0, 100)}`);
      return;
    }
    if (request === null || typeof request !== 'object' || Array.isArray(request)) {
      this.#bad(null, 'not a JSON object');
      return;
    }
    const { id, method, params } = request as Record<string, unknown>;
    if (!isRequestId(id)) this.#bad(null, `"id" must be a number or a text of at most ${MAX_ID_CHARS} characters`);
    else if (typeof method !== 'string') this.#bad(id, '"method" must be a text');
    else if (method === 'cancel') this.#cancel(id);
    else this.#start(id, method, params);
  }

  #cancel(id: RequestId): void {
    const running = this.#running.get(id);
    if (running === undefined) this.#fail(id, new LcpError('CONTROL_NOT_RUNNING', { op: 'cancel', key: String(id) }));
    else running.abort.abort();
  }

  #start(id: RequestId, method: string, params: unknown): void {
    this.#context.counters.requests++;
    if (this.#running.has(id)) {
      this.#bad(id, 'a request with this id is still running');
      return;
    }
    if (this.#running.size >= MAX_RUNNING) {
      this.#fail(id, new LcpError('CONTROL_BUSY', { op: method, message: `${MAX_RUNNING} requests are running` }));
      return;
    }
    let job: Job;
    try {
      job = jobOf(this.#context.view, method, params, this.#context.punts);
    } catch (thrown) {
      this.#answerError(id, method, thrown);
      return;
    }
    const abort = new AbortController();
    this.#running.set(id, { abort, push: job.kind === 'push' });
    void this.#run(id, method, job, abort.signal);
  }

  async #run(id: RequestId, method: string, job: Job, signal: AbortSignal): Promise<void> {
    try {
      const result = await this.#work(id, job, signal);
      // An answer follows the end of its request, so that the id is free when the peer reads it.
      this.#running.delete(id);
      this.#send({ id, result });
    } catch (thrown) {
      this.#running.delete(id);
      this.#answerError(id, method, thrown);
    }
    this.#endWhenIdle();
  }

  async #work(id: RequestId, job: Job, signal: AbortSignal): Promise<unknown> {
    if (job.kind === 'once') return await unlessAborted(job.run(signal), signal);
    if (job.kind === 'rows') return await this.#sendRows(id, await unlessAborted(job.run(), signal), signal);
    let sent = 0;
    const emit = (event: unknown) => {
      if (signal.aborted) return;
      sent++;
      this.#send({ id, event });
    };
    await job.run(emit, signal);
    return signal.aborted ? { rows: sent, cancelled: true } : { rows: sent };
  }

  async #sendRows(id: RequestId, source: RowSource, signal: AbortSignal): Promise<unknown> {
    const head = `{"id":${JSON.stringify(id)},"event":`;
    let batch = '';
    let sent = 0;
    for await (const row of source) {
      if (signal.aborted) return { rows: sent, cancelled: true };
      batch += `${head}${JSON.stringify(row)}}\n`;
      sent++;
      if (batch.length < BATCH_CHARS) continue;
      this.#write(batch);
      batch = '';
      await this.#breathe();
    }
    if (batch !== '') this.#write(batch);
    return { rows: sent };
  }

  /** Between two batches: lets netlink have its turn, and waits while the peer does not read. */
  async #breathe(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#socket.destroyed || this.#socket.writableLength < HIGH_WATER_BYTES) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#socket.off('drain', done).off('close', done);
        resolve();
      };
      const timer = setTimeout(() => this.#dropSlow(), this.#context.stallMs);
      this.#socket.on('drain', done).on('close', done);
    });
  }

  #answerError(id: RequestId, method: string, thrown: unknown): void {
    if (thrown instanceof LcpError) {
      if (thrown.code === 'CONTROL_UNKNOWN_METHOD' || thrown.code === 'CONTROL_BAD_PARAMS') this.#fail(id, thrown);
      else this.#send({ id, error: replyOf(thrown) });
      return;
    }
    // A bug in a read-only answer must not end the forwarding of a router: it is logged with its stack, and counted.
    this.#context.counters.internal++;
    this.#context.log.error({ err: thrown, method }, 'control request failed');
    const { title, hint } = errorTable.INTERNAL;
    this.#send({ id, error: { code: 'INTERNAL', message: `${method}: ${title}: ${messageOf(thrown)}`, hint } });
  }

  #send(reply: Reply): void {
    this.#write(`${JSON.stringify(reply)}\n`);
  }

  #write(text: string): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(text);
    if (this.#socket.writableLength > MAX_QUEUED_BYTES) this.#dropSlow();
  }

  #dropSlow(): void {
    if (this.#socket.destroyed) return;
    this.#context.counters.slow++;
    this.#context.log.warn({ queuedBytes: this.#socket.writableLength }, 'control client dropped: it does not read');
    this.#socket.destroy();
  }
}

/** The answer, or LcpError CONTROL_CANCELLED as soon as `signal` aborts, for work that cannot be stopped. */
async function unlessAborted<T>(work: T | Promise<T>, signal: AbortSignal): Promise<T> {
  if (!(work instanceof Promise)) return work;
  return await new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(new LcpError('CONTROL_CANCELLED', { op: 'wait' }));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
