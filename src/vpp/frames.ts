// FrameSplitter: cuts a stream of bytes into VPP's messages, wherever the stream was cut.
//
// Invariants: memory is bounded by one frame, whose length is checked before anything is kept for it. Frames that lie
// whole in a chunk are handed over in place. After an error nothing more is read.
// Reference: transport.ts.

import { LcpError } from '../lib/errors.ts';
import { FRAME_HEADER, FRAME_LENGTH_AT, MAX_MESSAGE } from './transport.ts';

export type OnFrame = (bytes: Uint8Array, view: DataView, at: number, end: number) => void;

export class FrameSplitter {
  readonly #onFrame: OnFrame;
  readonly #header = new Uint8Array(FRAME_HEADER);
  readonly #headerView = new DataView(this.#header.buffer);
  /** Bytes of the header that were kept of earlier chunks. */
  #headerKept = 0;
  /** The message that is being gathered. */
  #body: Uint8Array | undefined;
  #bodyKept = 0;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** Whether the stream may end here: no frame is half read. */
  get whole(): boolean {
    return this.#headerKept === 0 && this.#body === undefined;
  }

  /** Reads a chunk of the stream, `length` bytes from the start of `bytes`. Throws VPP_PROTOCOL. */
  push(bytes: Uint8Array, view: DataView, length: number): void {
    let at = this.#finish(bytes, length);
    while (length - at >= FRAME_HEADER) {
      const size = checkLength(view.getUint32(at + FRAME_LENGTH_AT));
      const start = at + FRAME_HEADER;
      if (size > length - start) {
        this.#body = new Uint8Array(size);
        this.#body.set(bytes.subarray(start, length));
        this.#bodyKept = length - start;
        return;
      }
      at = start + size;
      this.#onFrame(bytes, view, start, at);
    }
    if (at === length) return;
    this.#header.set(bytes.subarray(at, length));
    this.#headerKept = length - at;
  }

  /** Completes what earlier chunks began; returns where the next frame starts. */
  #finish(bytes: Uint8Array, length: number): number {
    let at = 0;
    if (this.#headerKept > 0) {
      at = Math.min(length, FRAME_HEADER - this.#headerKept);
      this.#header.set(bytes.subarray(0, at), this.#headerKept);
      this.#headerKept += at;
      if (this.#headerKept < FRAME_HEADER) return at;
      this.#headerKept = 0;
      this.#body = new Uint8Array(checkLength(this.#headerView.getUint32(FRAME_LENGTH_AT)));
      this.#bodyKept = 0;
    }
    const body = this.#body;
    if (body === undefined) return at;
    const size = Math.min(length - at, body.length - this.#bodyKept);
    body.set(bytes.subarray(at, at + size), this.#bodyKept);
    this.#bodyKept += size;
    if (this.#bodyKept === body.length) {
      this.#body = undefined;
      this.#onFrame(body, new DataView(body.buffer), 0, body.length);
    }
    return at + size;
  }
}

/** The length of a message that can be one. */
function checkLength(length: number): number {
  if (length >= 2 && length <= MAX_MESSAGE) return length;
  throw new LcpError('VPP_PROTOCOL', { op: 'read frame', message: `a message of ${length} bytes` });
}

/** Writes the header of a frame whose message has `length` bytes. */
export function writeFrameHeader(bytes: Uint8Array, view: DataView, at: number, length: number): void {
  bytes.fill(0, at, at + FRAME_HEADER);
  view.setUint32(at + FRAME_LENGTH_AT, length);
}
