// Wire: the place in a message at which a codec reads or writes.
//
// Invariants: a message lies between two offsets of a buffer that its owner keeps; `at` moves through it and never
// past `end`. Everything is in network byte order. What does not fit is an LcpError: VPP_PROTOCOL when reading (VPP
// sent it: the connection is dropped), VPP_MESSAGE when writing (we were asked for it). One Wire serves many messages.
// Reference: vlibapi's message structures, which are packed.

import { LcpError } from '../lib/errors.ts';

export class Wire {
  bytes: Uint8Array;
  view: DataView;
  at = 0;
  end: number;

  constructor(bytes: Uint8Array) {
    this.bytes = plain(bytes);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.length;
  }

  /** Points at the message between two offsets, of another buffer where one is given. */
  aim(at: number, end: number, bytes: Uint8Array = this.bytes): this {
    if (bytes !== this.bytes) {
      this.bytes = plain(bytes);
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.at = at;
    this.end = end;
    return this;
  }

  /** Claims the next `size` bytes for reading and returns where they start. */
  take(size: number): number {
    const at = this.at;
    if (size > this.end - at) {
      throw new LcpError('VPP_PROTOCOL', {
        op: 'read message',
        message: `the message ends ${size - (this.end - at)} bytes too early`,
      });
    }
    this.at = at + size;
    return at;
  }

  /** Claims the next `size` bytes for writing and returns where they start. */
  room(size: number): number {
    const at = this.at;
    if (size > this.end - at) {
      throw new LcpError('VPP_MESSAGE', { op: 'write message', message: 'the message is too long' });
    }
    this.at = at + size;
    return at;
  }
}

/** The bytes as what they are: a Buffer's slice is no copy, and what was read would change with the next message. */
function plain(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
