// Bulk: one batch of requests on its way to VPP, a stretch of it at a time.
//
// Invariants: it sends when the window of its client has room, so that VPP's queues and ours stay bounded. Answers come
// in order, so an answer also says that those before it were swallowed. Every request gets a retval: VPP's, or
// NO_ANSWER. A refused request stops nothing.

import { LcpError } from '../lib/errors.ts';
import type { FrameBatch } from './batch.ts';
import type { Bound } from './binding.ts';
import type { BulkWindow, WindowUser } from './bulkwindow.ts';
import type { Flight } from './flights.ts';
import { offsetOf } from './message.ts';
import type { Trace } from './trace.ts';
import { FRAME_HEADER } from './transport.ts';

/** The retval of a request that VPP swallowed. */
export const NO_ANSWER = -0x8000_0000;

/** Where the answers of a bulk go; as long as the batch has requests. */
export interface BulkAnswers {
  /** 0, VPP's negative number, or NO_ANSWER. */
  readonly retvals: Int32Array;
  /** Another u32 field of every good reply, such as `stats_index`. */
  readonly column?: { readonly field: string; readonly values: Uint32Array };
}

/** What a bulk needs of its client. */
export interface BulkSender {
  readonly clientIndex: number;
  readonly bulks: BulkWindow;
  readonly trace: Trace;
  /** Takes a flight in; returns its first context. */
  launch(flight: Flight): number;
  send(frames: Uint8Array): void;
  /** Sends a control_ping, whose answer ends what was swallowed before it. */
  ping(): void;
}

export class Bulk implements WindowUser {
  readonly #batch: FrameBatch;
  readonly #answers: BulkAnswers;
  readonly #sender: BulkSender;
  readonly #request: Bound;
  readonly #reply: Bound;
  readonly #retvalAt: number;
  readonly #columnAt: number;
  readonly #done: (error: LcpError | undefined) => void;
  #sent = 0;
  #ended = 0;
  #isOver = false;

  /** `done` is called once. Throws NOT_SUPPORTED when the reply has not the fields that are asked for. */
  constructor(
    batch: FrameBatch,
    answers: BulkAnswers,
    bounds: { readonly request: Bound; readonly reply: Bound },
    sender: BulkSender,
    done: (error: LcpError | undefined) => void,
  ) {
    this.#batch = batch;
    this.#answers = answers;
    this.#sender = sender;
    this.#request = bounds.request;
    this.#reply = bounds.reply;
    this.#done = done;
    this.#retvalAt = replyOffset(bounds.reply, 'retval');
    this.#columnAt = answers.column === undefined ? -1 : replyOffset(bounds.reply, answers.column.field);
  }

  get unsent(): number {
    return this.#batch.count - this.#sent;
  }

  sendStretch(count: number): void {
    const { bytes, view, offsets } = this.#batch;
    const from = this.#sent;
    this.#sent += count;
    const context = this.#sender.launch(this.#flight(from, count));
    const { clientIndex } = this.#sender;
    for (let i = 0; i < count; i++) {
      const at = (offsets[from + i] as number) + FRAME_HEADER;
      view.setUint16(at, this.#request.id);
      view.setUint32(at + 2, clientIndex);
      view.setUint32(at + 6, context + i);
    }
    const start = offsets[from] as number;
    const end = offsets[from + count] as number;
    this.#sender.trace.record(
      'sent',
      this.#request.message.name,
      bytes,
      start + FRAME_HEADER,
      offsets[from + 1] as number,
      count,
    );
    this.#sender.send(bytes.subarray(start, end));
    if (this.#sent === this.#batch.count) this.#sender.ping();
  }

  #flight(from: number, count: number): Flight {
    let next = 0;
    const swallowed = (until: number): void => {
      for (; next < until; next++) this.#settle(from + next, NO_ANSWER);
    };
    return {
      name: this.#request.message.name,
      count,
      onAnswer: (index, bound, bytes, view, at, end) => {
        if (bound !== this.#reply || end - at < this.#reply.layout.body.size + 6) throw strange(bound, this.#request);
        // An answer to what was answered is a stray.
        if (index < next) return false;
        swallowed(index);
        next = index + 1;
        const retval = view.getInt32(at + this.#retvalAt);
        if (retval !== 0)
          this.#sender.trace.record('received', bound.message.name, bytes, at, end, 1, `request ${from + index}`);
        if (this.#columnAt >= 0) this.#setColumn(from + index, view.getUint32(at + this.#columnAt));
        this.#settle(from + index, retval);
        return next === count;
      },
      onOvertaken: () => {
        swallowed(count);
      },
      onFailed: (error) => this.fail(error),
    };
  }

  #setColumn(index: number, value: number): void {
    const { column } = this.#answers;
    if (column !== undefined) column.values[index] = value;
  }

  #settle(index: number, retval: number): void {
    this.#answers.retvals[index] = retval;
    this.#ended++;
    this.#sender.bulks.ended();
    if (this.#ended === this.#batch.count) this.#end(undefined);
  }

  fail(error: LcpError): void {
    this.#end(error);
  }

  #end(error: LcpError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#done(error);
  }
}

/** Offset of a 32-bit field in a reply. */
function replyOffset(reply: Bound, field: string): number {
  const at = offsetOf(reply.layout, field);
  if (at >= 0 && reply.layout.body.fields[field]?.size === 4) return at;
  throw new LcpError('NOT_SUPPORTED', { op: reply.message.name, message: `this VPP's reply has no ${field}` });
}

/** The error of an answer that belongs to another request. */
export function strange(answer: Bound, request: Bound): LcpError {
  return new LcpError('VPP_PROTOCOL', {
    op: request.message.name,
    message: `VPP answers with ${answer.message.name}, or with less than one`,
  });
}
