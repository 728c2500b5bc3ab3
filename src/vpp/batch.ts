// FrameBatch: many requests of one message behind each other in one buffer, to be sent in bulk.
//
// Invariants: every frame is a header and a message whose id, client_index and context the client fills in when it
// sends; the buffer is its own until the client has answered for all of them. It grows by doubling and is used again.
// Reference: transport.ts, message.ts (head `both`).

import type { Message } from './message.ts';
import { FRAME_HEADER, FRAME_LENGTH_AT } from './transport.ts';

export class FrameBatch {
  readonly message: Message;
  bytes: Uint8Array;
  view: DataView;
  /** Offset of every frame, and of the end. */
  offsets: Uint32Array;
  count = 0;
  #used = 0;

  /** For requests of `message`; room for `capacity` bytes at first. */
  constructor(message: Message, capacity = 1 << 20) {
    if (message.head !== 'both') throw new TypeError(`${message.name} is no request`);
    this.message = message;
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
    this.offsets = new Uint32Array(1024);
  }

  /** Bytes of all frames. */
  get length(): number {
    return this.#used;
  }

  /** Adds a frame for a message of `length` bytes and returns where that begins. Its bytes may be of an earlier use. */
  add(length: number): number {
    const at = this.#used + FRAME_HEADER;
    const end = at + length;
    if (end > this.bytes.length) this.#grow(end);
    if (this.count + 2 > this.offsets.length) this.#growOffsets();
    this.view.setFloat64(this.#used, 0);
    this.view.setUint32(this.#used + FRAME_LENGTH_AT, length);
    this.view.setUint32(this.#used + FRAME_LENGTH_AT + 4, 0);
    this.offsets[this.count++] = this.#used;
    this.offsets[this.count] = end;
    this.#used = end;
    return at;
  }

  /** Forgets the frames and keeps the room. Not while they are on their way. */
  clear(): void {
    this.count = 0;
    this.#used = 0;
  }

  #grow(least: number): void {
    const bytes = new Uint8Array(Math.max(least, 2 * this.bytes.length));
    bytes.set(this.bytes.subarray(0, this.#used));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  #growOffsets(): void {
    const offsets = new Uint32Array(2 * this.offsets.length);
    offsets.set(this.offsets);
    this.offsets = offsets;
  }
}
