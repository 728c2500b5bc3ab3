// VppClient: requests, dumps, bulk and events over one session with a running VPP.
//
// Invariants: every request ends: by its reply, by VPP's refusal, by the control_ping that overtook it (VPP swallowed
// it), or by the end of the session. Messages are handled by VPP in the order of the calls. At most `window` requests
// are on their way, the others wait here. A message that is not what it should be ends the session with VPP_PROTOCOL,
// a VPP that answers nothing for `hangMs` with VPP_NO_ANSWER; the owner makes a new client. An answer that nobody
// waits for is counted and dropped. Reference: docs/decisions on this client; VPP's src/vlibmemory.

import { LcpError } from '../lib/errors.ts';
import { controlPing, memclntKeepalive } from './api/memclnt.ts';
import type { FrameBatch } from './batch.ts';
import type { Binding, Bound } from './binding.ts';
import type { BulkAnswers, BulkSender } from './bulk.ts';
import { Bulk, strange } from './bulk.ts';
import { BulkWindow } from './bulkwindow.ts';
import { dumpPages, dumpToPing } from './dump.ts';
import { refusal } from './errno.ts';
import type { Flight } from './flights.ts';
import { Flights, unawaited } from './flights.ts';
import { writeFrameHeader } from './frames.ts';
import { keepaliveAnswer } from './keepalive.ts';
import type { CursorDump, Dump, Message, MessageInput, MessageValue, Request } from './message.ts';
import { CONTEXT_AT, HEAD_SIZE } from './message.ts';
import { Trace } from './trace.ts';
import type { TransportReceiver, VppSession, VppTransport } from './transport.ts';
import { FRAME_HEADER } from './transport.ts';
import { Wire } from './wire.ts';

export interface ClientOptions {
  /** Requests on their way at once. Default 4096. */
  readonly window?: number;
  /** Silence after which VPP is taken for hanging, in milliseconds. Default 10,000. */
  readonly hangMs?: number;
  /** How long a request waits before a control_ping is sent behind it. Default 250. */
  readonly probeMs?: number;
  /** Rows of the trace. Default 512. */
  readonly traceRows?: number;
}

export interface RequestOptions {
  /** The object in the operator's words, for errors. */
  readonly key?: string | undefined;
  /** Negative retvals that are answers and not refusals. */
  readonly accept?: readonly number[];
}

export interface ClientCounters {
  sent: number;
  received: number;
  /** Answers that nobody waits for, and messages that are none of ours. */
  strays: number;
  swallowed: number;
  refused: number;
}

/** Raw message of a dump: `at` is its id. The bytes are valid during the call only. */
export type OnRow = (bytes: Uint8Array, view: DataView, at: number, end: number) => void;

/** How an exchange ends. */
export interface End<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: LcpError) => void;
}

interface Queued {
  readonly frame: Uint8Array;
  readonly flight: Flight;
}

/** A control_ping that nobody waits for by itself. */
const pingFlight = unawaited(controlPing.name);

const LONGEST_REQUEST = 64 << 10;
const TICK_MS = 50;

export class VppClient implements TransportReceiver, BulkSender {
  readonly counters: ClientCounters = { sent: 0, received: 0, strays: 0, swallowed: 0, refused: 0 };
  readonly trace: Trace;
  readonly bulks: BulkWindow;
  readonly transport: VppTransport;
  readonly #hangMs: number;
  readonly #probeMs: number;
  readonly #scratch = new Wire(new Uint8Array(LONGEST_REQUEST));
  readonly #reader = new Wire(new Uint8Array(0));
  readonly #flights = new Flights(1);
  readonly #listeners = new Map<number, Set<(value: unknown) => void>>();
  readonly #queue: Queued[] = [];
  /** How many of the queue have been sent. */
  #queued = 0;
  #session: VppSession | undefined;
  #binding: Binding | undefined;
  #timer: NodeJS.Timeout | undefined;
  #heardAt = 0;
  #pingedAt = -1;
  #error: LcpError | undefined;
  readonly #whenClosed: ((error: LcpError) => void)[] = [];

  constructor(transport: VppTransport, options: ClientOptions = {}) {
    this.transport = transport;
    this.bulks = new BulkWindow(options.window ?? 4096);
    this.#hangMs = options.hangMs ?? 10_000;
    this.#probeMs = options.probeMs ?? 250;
    this.trace = new Trace(options.traceRows);
  }

  /** Starts to speak in an open session; `binding` may be a first one that knows less. */
  start(session: VppSession, binding: Binding): void {
    this.#session = session;
    this.#binding = binding;
    this.#heardAt = performance.now();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  /** What this VPP has. */
  get binding(): Binding {
    if (this.#binding === undefined) throw new TypeError('the client was not started');
    return this.#binding;
  }

  get clientIndex(): number {
    return this.#session?.clientIndex ?? 0;
  }

  /** Why the session ended; undefined while it lives. */
  get error(): LcpError | undefined {
    return this.#error;
  }

  /** Calls back once when the session ends, also when it already has. Not on `close`. */
  onEnd(listener: (error: LcpError) => void): void {
    if (this.#error === undefined) this.#whenClosed.push(listener);
    else listener(this.#error);
  }

  /** Why a message cannot be used with this VPP; undefined when it can. */
  unsupported(message: Message): string | undefined {
    return this.binding.unsupported(message);
  }

  /**
   * Sends a request; the reply. Rejects with REFUSED and VPP's number when the retval is negative and not accepted,
   * with VPP_NO_ANSWER when VPP swallowed it, NOT_SUPPORTED, VPP_MESSAGE, or DATAPLANE_DOWN.
   */
  async request<M extends Request>(
    message: M,
    input: MessageInput<M>,
    options: RequestOptions = {},
  ): Promise<MessageValue<M['reply']>> {
    const reply = this.binding.bound(message.reply);
    const value = await this.exchange<Readonly<Record<string, unknown>>>(message, input, options, (end) => ({
      onAnswer: (_index, bound, bytes, _view, at, until) => {
        if (bound !== reply) throw strange(bound, this.binding.bound(message));
        end.resolve(this.read(bound, bytes, at, until));
        return true;
      },
      onOvertaken: () => end.reject(this.swallowed(message, options)),
    }));
    const { retval } = value;
    if (typeof retval === 'number' && retval < 0 && options.accept?.includes(retval) !== true) {
      this.counters.refused++;
      throw refusal(message.name, retval, options.key);
    }
    return value as MessageValue<M['reply']>;
  }

  /** All rows of a dump, in VPP's order. */
  async dump<M extends Dump | CursorDump>(message: M, input: MessageInput<M>): Promise<MessageValue<M['details']>[]> {
    const rows: MessageValue<M['details']>[] = [];
    const details = this.binding.bound(message.details);
    await this.dumpRows(message, input, (bytes, _view, at, end) => {
      rows.push(this.read(details, bytes, at, end) as MessageValue<M['details']>);
    });
    return rows;
  }

  /** Hands over every row of a dump as it lies in the receive buffer, which costs no object. */
  async dumpRows<M extends Dump | CursorDump>(message: M, input: MessageInput<M>, onRow: OnRow): Promise<void> {
    return message.answer === 'cursor'
      ? dumpPages(this, message, input, onRow)
      : dumpToPing(this, message, input, onRow);
  }

  /** Sends a batch a window at a time; resolves when every request of it has its retval. */
  bulk(batch: FrameBatch, answers: BulkAnswers): Promise<void> {
    if (batch.count === 0) return Promise.resolve();
    if (answers.retvals.length < batch.count) throw new RangeError('too few places for retvals');
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) throw this.#down(batch.message.name);
      const request = this.binding.bound(batch.message);
      const replyMessage = (batch.message as Partial<Request>).reply;
      if (replyMessage === undefined) throw new TypeError(`${batch.message.name} has no reply`);
      const bounds = { request, reply: this.binding.bound(replyMessage) };
      const bulk = new Bulk(batch, answers, bounds, this, (error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
      this.bulks.add(bulk);
    });
  }

  /** Calls back for every event of a kind; returns how to stop. Which events VPP sends is asked of it by a request. */
  on<M extends Message>(event: M, listener: (value: MessageValue<M>) => void): () => void {
    const { id } = this.binding.bound(event);
    const listeners = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, listeners);
    const call = listener as (value: unknown) => void;
    listeners.add(call);
    return () => listeners.delete(call);
  }

  /** Sends a control_ping at once, past the window: what was sent before it has ended when it is answered. */
  ping(): void {
    if (this.#error !== undefined) return;
    this.#pingedAt = performance.now();
    this.#launchFrame(this.#encode(controlPing, {}), pingFlight);
  }

  /** Sends a control_ping behind everything that was asked for so far. */
  pingBehind(): void {
    this.#submit(controlPing, {}, pingFlight);
  }

  launch(flight: Flight): number {
    this.counters.sent += flight.count;
    return this.#flights.add(flight, performance.now());
  }

  send(frames: Uint8Array): void {
    if (this.#error === undefined) this.transport.send(frames);
  }

  /** Encodes a request and sees to its end; `handlers` get the answers. */
  exchange<T>(
    message: Message,
    input: unknown,
    options: RequestOptions,
    handlers: (end: {
      resolve: (value: T) => void;
      reject: (error: LcpError) => void;
    }) => Omit<Flight, 'name' | 'count' | 'onFailed'>,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) throw this.#down(message.name, options.key);
      const flight = { name: message.name, count: 1, onFailed: reject, ...handlers({ resolve, reject }) };
      this.#submit(message, input, flight);
    });
  }

  #submit(message: Message, input: unknown, flight: Flight): void {
    if (this.#error !== undefined) return;
    this.#queue.push({ frame: this.#encode(message, input), flight });
    this.#pump();
  }

  /** The frame of a request, without its context. */
  #encode(message: Message, input: unknown): Uint8Array {
    const bound = this.binding.bound(message);
    const wire = this.#scratch.aim(FRAME_HEADER, LONGEST_REQUEST);
    wire.view.setUint16(wire.room(2), bound.id);
    wire.view.setUint32(wire.room(4), this.clientIndex);
    wire.room(4);
    bound.body.write(wire, input);
    writeFrameHeader(wire.bytes, wire.view, 0, wire.at - FRAME_HEADER);
    return Buffer.from(wire.bytes.subarray(0, wire.at));
  }

  /** Sends what waits, as far as the window allows. */
  #pump(): void {
    while (this.#queued < this.#queue.length && this.#flights.size < this.bulks.size) {
      const { frame, flight } = this.#queue[this.#queued++] as Queued;
      this.#launchFrame(frame, flight);
    }
    // What was sent is cut off when it is half of the queue, so that a long one costs no more for each request.
    if (2 * this.#queued < this.#queue.length) return;
    this.#queue.splice(0, this.#queued);
    this.#queued = 0;
  }

  #launchFrame(frame: Uint8Array, flight: Flight): void {
    const context = this.launch(flight);
    new DataView(frame.buffer, frame.byteOffset).setUint32(FRAME_HEADER + CONTEXT_AT.both, context);
    this.trace.record('sent', flight.name, frame, FRAME_HEADER, frame.length);
    this.transport.send(frame);
  }

  onMessage(bytes: Uint8Array, view: DataView, at: number, end: number): void {
    if (this.#error !== undefined) return;
    this.#heardAt = performance.now();
    this.counters.received++;
    const bound = this.#binding?.byId(view.getUint16(at));
    try {
      if (bound === undefined) this.counters.strays++;
      else if (isAnswer(bound)) this.#onAnswer(bound, bytes, view, at, end);
      else this.#onOther(bound, bytes, at, end);
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      this.trace.record('received', bound?.message.name ?? 'unknown', bytes, at, end, 1, error.message);
      this.#end(error);
    }
    if (this.#queue.length > 0) this.#pump();
  }

  #onAnswer(bound: Bound, bytes: Uint8Array, view: DataView, at: number, end: number): void {
    const { head, body } = bound.layout;
    this.#reader.aim(at, end, bytes).take(HEAD_SIZE[head] + body.size);
    const context = view.getUint32(at + CONTEXT_AT[head]);
    const found = this.#flights.find(context);
    if (found === undefined) {
      this.counters.strays++;
      return;
    }
    const { flight, first } = found;
    if (flight.count === 1) this.trace.record('received', bound.message.name, bytes, at, end);
    const isPing = bound.message === controlPing.reply;
    if (flight.onAnswer((context - first) >>> 0, bound, bytes, view, at, end)) this.#flights.remove(flight, context);
    if (isPing) this.#flights.overtake(context);
  }

  /** Events, and the question whether we are alive. */
  #onOther(bound: Bound, bytes: Uint8Array, at: number, end: number): void {
    if (bound.message === memclntKeepalive) {
      this.send(keepaliveAnswer(this.binding.bound(memclntKeepalive.reply), bytes, at, end));
      return;
    }
    this.trace.record('received', bound.message.name, bytes, at, end);
    const listeners = this.#listeners.get(bound.id);
    if (listeners === undefined) {
      this.counters.strays++;
      return;
    }
    const value = this.read(bound, bytes, at, end);
    for (const listener of listeners) listener(value);
  }

  /** The value of a message that lies between two offsets. */
  read(bound: Bound, bytes: Uint8Array, at: number, end: number): Readonly<Record<string, unknown>> {
    this.#reader.aim(at, end, bytes).take(HEAD_SIZE[bound.layout.head]);
    return bound.body.read(this.#reader) as Readonly<Record<string, unknown>>;
  }

  /** Finds what VPP swallowed, and a VPP that hangs. */
  #tick(): void {
    const now = performance.now();
    const oldest = this.#flights.oldestSentAt;
    if (oldest === undefined) {
      if (now - this.#heardAt > this.#hangMs / 4) this.ping();
      return;
    }
    const silence = now - Math.max(this.#heardAt, oldest);
    if (silence > this.#hangMs) {
      const message = `VPP has not answered for ${Math.round(silence)} ms`;
      this.#end(new LcpError('VPP_NO_ANSWER', { op: 'wait', key: this.transport.place, message }));
    } else if (now - oldest > this.#probeMs && now - Math.max(this.#pingedAt, this.#heardAt) > this.#probeMs) {
      this.ping();
    }
  }

  /** The error of a request that VPP dropped without a word. */
  swallowed(message: Message, options: RequestOptions = {}): LcpError {
    this.counters.swallowed++;
    return new LcpError('VPP_NO_ANSWER', {
      op: message.name,
      ...(options.key === undefined ? {} : { key: options.key }),
    });
  }

  #down(op: string, key?: string): LcpError {
    const message = `no session with VPP: ${this.#error?.message ?? 'closed'}`;
    return new LcpError('DATAPLANE_DOWN', { op, message, cause: this.#error, ...(key === undefined ? {} : { key }) });
  }

  onClosed(error: LcpError): void {
    this.#end(error);
  }

  #end(error: LcpError): void {
    if (this.#error !== undefined) return;
    this.close(error);
    for (const listener of this.#whenClosed.splice(0)) listener(error);
  }

  /** Ends the session; what waits is rejected with DATAPLANE_DOWN. */
  close(error = new LcpError('DATAPLANE_DOWN', { op: 'use VPP', message: 'closed' })): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    clearInterval(this.#timer);
    this.transport.close();
    const queued = this.#queue.splice(0).slice(this.#queued);
    this.#flights.failAll(this.#down('use VPP'));
    this.bulks.failAll(this.#down('use VPP'));
    for (const { flight } of queued) flight.onFailed(this.#down(flight.name));
  }
}

/** Whether it has the context of a request. VPP's own question, whether we are alive, has one of VPP's. */
const isAnswer = ({ message, layout }: Bound): boolean => CONTEXT_AT[layout.head] >= 0 && message !== memclntKeepalive;
