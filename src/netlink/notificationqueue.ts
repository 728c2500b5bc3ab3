// NotificationQueue: notifications that arrived while a dump is read, kept in order until it is.
//
// Invariants: bounded by datagrams (a notification is one) and by bytes; when a batch does not fit it is not taken at all, and the owner treats
// that as an overrun. What is handed out is valid during the call only, and its memory is kept for the next time.

import type { MalformedCounts } from './message.ts';
import { forEachMessage, MessageBatch } from './message.ts';

const CHUNK_BYTES = 1 << 20;
const CHUNK_DATAGRAMS = 8192;
/** Chunks kept for reuse after a burst. */
const SPARE_CHUNKS = 4;

export interface QueueLimits {
  readonly datagrams: number;
  readonly bytes: number;
}

export class NotificationQueue {
  datagrams = 0;
  bytes = 0;
  /** Most datagrams held at once since the start. */
  peak = 0;
  readonly #limits: QueueLimits;
  readonly #malformed: MalformedCounts;
  readonly #chunks: { batch: MessageBatch; used: number }[] = [];
  readonly #spare: MessageBatch[] = [];

  constructor(limits: QueueLimits, malformed: MalformedCounts) {
    this.#limits = limits;
    this.#malformed = malformed;
  }

  /** Takes a copy of the batch; false when it does not fit. */
  push(batch: MessageBatch): boolean {
    let size = 0;
    for (let i = 0; i < batch.datagrams; i++) size += (batch.ends[i] as number) - (batch.starts[i] as number);
    const count = this.datagrams + batch.datagrams;
    if (count > this.#limits.datagrams || this.bytes + size > this.#limits.bytes) return false;
    for (let i = 0; i < batch.datagrams; i++) {
      const start = batch.starts[i] as number;
      const end = batch.ends[i] as number;
      const chunk = this.#chunkFor(end - start);
      chunk.batch.bytes.set(batch.bytes.subarray(start, end), chunk.used);
      chunk.batch.add(chunk.used, chunk.used + end - start);
      chunk.used += (end - start + 3) & ~3;
    }
    this.datagrams = count;
    this.bytes += size;
    this.peak = Math.max(this.peak, count);
    return true;
  }

  #chunkFor(size: number): { batch: MessageBatch; used: number } {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.used + size <= last.batch.bytes.length && last.batch.datagrams < CHUNK_DATAGRAMS) {
      return last;
    }
    const spare = size <= CHUNK_BYTES ? this.#spare.pop() : undefined;
    const bytes = new Uint8Array(spare === undefined ? Math.max(CHUNK_BYTES, (size + 3) & ~3) : 0);
    const chunk = { batch: spare ?? new MessageBatch(bytes, CHUNK_DATAGRAMS, this.#malformed), used: 0 };
    chunk.batch.datagrams = 0;
    this.#chunks.push(chunk);
    return chunk;
  }

  /** Hands out the oldest part, at most CHUNK_DATAGRAMS datagrams; false when nothing was left. */
  shift(deliver: (batch: MessageBatch) => void): boolean {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return false;
    for (let i = 0; i < chunk.batch.datagrams; i++) {
      this.bytes -= (chunk.batch.ends[i] as number) - (chunk.batch.starts[i] as number);
    }
    this.datagrams -= chunk.batch.datagrams;
    chunk.batch.messages = forEachMessage(chunk.batch, () => true);
    deliver(chunk.batch);
    if (this.#spare.length < SPARE_CHUNKS && chunk.batch.bytes.length === CHUNK_BYTES) this.#spare.push(chunk.batch);
    return true;
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#spare.length = 0;
    this.datagrams = 0;
    this.bytes = 0;
  }
}
