// Message: one `struct nlmsghdr` with its body; datagrams of them as a batch, and the writer for our own.
//
// Invariants: a batch is valid only during the call that hands it out; nobody keeps its views. A datagram whose
// message length is impossible ends there: what follows cannot be trusted, it is counted, and the other datagrams
// of the batch are not touched. A writer's message has its final length only after `finish()`.
// Reference: netlink(7), linux/netlink.h, RFC 3549.

import { ipBytes } from '../lib/ip.ts';
import type { Wire } from './attr.ts';
import { wireOf } from './attr.ts';
import { NLA_F_NESTED, NLMSG_HDRLEN, RTM_BASE } from './uapi.ts';

/** How many messages were discarded as malformed, by nlmsg_type. */
export class MalformedCounts {
  readonly byType = new Map<number, number>();
  total = 0;

  add(type: number): void {
    this.total++;
    this.byType.set(type, (this.byType.get(type) ?? 0) + 1);
  }
}

/** The datagrams that one receive call brought, over memory that the receiver reuses. */
export class MessageBatch implements Wire {
  readonly bytes: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  /** First byte of each datagram, a multiple of 4. */
  readonly starts: Int32Array;
  /** Byte behind each datagram. */
  readonly ends: Int32Array;
  datagrams = 0;
  /** Messages in it, control messages included; set by {@link walkMessages}. */
  messages = 0;
  /** True when the messages answer a dump of ours, false for notifications. */
  fromDump = false;
  /** Number of the datagram that is being visited, another for each; set by {@link forEachMessage}. */
  part = 0;
  malformed: MalformedCounts;

  constructor(bytes: Uint8Array, slots: number, malformed = new MalformedCounts()) {
    const wire = wireOf(bytes);
    this.bytes = wire.bytes;
    this.u16 = wire.u16;
    this.u32 = wire.u32;
    this.starts = new Int32Array(slots);
    this.ends = new Int32Array(slots);
    this.malformed = malformed;
  }

  /** Appends a datagram that already lies in `bytes`. */
  add(start: number, end: number): void {
    this.starts[this.datagrams] = start;
    this.ends[this.datagrams] = end;
    this.datagrams++;
  }
}

/** A batch of one datagram, for captured bytes. */
export function batchOf(bytes: Uint8Array): MessageBatch {
  const batch = new MessageBatch(bytes, 1);
  batch.add(0, batch.bytes.length);
  return batch;
}

/**
 * Sees one message. `offset` is that of its nlmsghdr in the batch, `length` its nlmsg_len.
 * False says that the message is malformed and was discarded.
 */
export type MessageHandler = (type: number, flags: number, offset: number, length: number) => boolean;

/** Visits every message, control messages (ERROR, DONE, …) too, and counts broken datagrams as malformed. */
export function walkMessages(batch: MessageBatch, handler: MessageHandler): number {
  const { u16, u32 } = batch;
  let messages = 0;
  for (let i = 0; i < batch.datagrams; i++) {
    let at = batch.starts[i] as number;
    const end = batch.ends[i] as number;
    while (end - at >= NLMSG_HDRLEN) {
      const length = u32[at >> 2] as number;
      const type = u16[(at >> 1) + 2] as number;
      if (length < NLMSG_HDRLEN || length > end - at) {
        batch.malformed.add(type);
        at = end;
        break;
      }
      messages++;
      if (!handler(type, u16[(at >> 1) + 3] as number, at, length)) batch.malformed.add(type);
      at += (length + 3) & ~3;
    }
    if (at < end) batch.malformed.add(0);
  }
  batch.messages = messages;
  return messages;
}

/** Datagrams visited so far. */
let parts = 0;

/**
 * Visits the rtnetlink messages of a batch in order. Broken datagrams end silently here: whoever received the
 * batch has walked and counted them. Messages refused by the handler are counted in `batch.malformed`.
 */
export function forEachMessage(batch: MessageBatch, handler: MessageHandler): number {
  const { u16, u32 } = batch;
  let messages = 0;
  for (let i = 0; i < batch.datagrams; i++) {
    let at = batch.starts[i] as number;
    const end = batch.ends[i] as number;
    batch.part = ++parts;
    while (end - at >= NLMSG_HDRLEN) {
      const length = u32[at >> 2] as number;
      if (length < NLMSG_HDRLEN || length > end - at) break;
      const type = u16[(at >> 1) + 2] as number;
      if (type >= RTM_BASE) {
        messages++;
        if (!handler(type, u16[(at >> 1) + 3] as number, at, length)) batch.malformed.add(type);
      }
      at += (length + 3) & ~3;
    }
  }
  return messages;
}

/** Byte behind the message at `offset`, or -1 when its header or its fixed body of `bodySize` does not fit. */
export function messageEnd(wire: Wire, offset: number, bodySize: number): number {
  if (wire.bytes.length - offset < NLMSG_HDRLEN) return -1;
  const length = wire.u32[offset >> 2] as number;
  if (length < NLMSG_HDRLEN + bodySize || length > wire.bytes.length - offset) return -1;
  return offset + length;
}

const encoder = new TextEncoder();

/** Writes messages one after the other into memory that it reuses and grows. */
export class MessageWriter {
  #wire: Wire;
  #at = 0;
  #start = 0;

  constructor(capacity = 4096) {
    this.#wire = wireOf(new Uint8Array((capacity + 3) & ~3));
  }

  #room(bytes: number): void {
    const need = this.#at + bytes + 4;
    if (need <= this.#wire.bytes.length) return;
    const grown = new Uint8Array(Math.max(need, 2 * this.#wire.bytes.length) & ~3);
    grown.set(this.#wire.bytes);
    this.#wire = wireOf(grown);
  }

  /** Forgets what was written; the memory stays. */
  reset(): this {
    this.#at = 0;
    this.#start = 0;
    return this;
  }

  /** Starts a message behind those already written. */
  begin(type: number, flags: number, sequence = 0): this {
    this.#start = this.#at;
    this.u32(0).u16(type).u16(flags).u32(sequence).u32(0);
    return this;
  }

  u8(value: number): this {
    this.#room(1);
    this.#wire.bytes[this.#at++] = value;
    return this;
  }

  u16(value: number): this {
    return this.u8(value & 0xff).u8((value >> 8) & 0xff);
  }

  u32(value: number): this {
    return this.u16(value & 0xffff).u16(value >>> 16);
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#wire.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  #pad(): this {
    while (this.#at % 4 !== 0) this.u8(0);
    return this;
  }

  attrBytes(type: number, value: Uint8Array): this {
    return this.u16(4 + value.length)
      .u16(type)
      .raw(value)
      .#pad();
  }

  attrFlag(type: number): this {
    return this.u16(4).u16(type);
  }

  attrU8(type: number, value: number): this {
    return this.u16(5).u16(type).u8(value).#pad();
  }

  attrU16(type: number, value: number): this {
    return this.u16(6).u16(type).u16(value).#pad();
  }

  /** Two bytes in network order. */
  attrU16be(type: number, value: number): this {
    return this.attrU16(type, ((value & 0xff) << 8) | (value >> 8));
  }

  attrU32(type: number, value: number): this {
    return this.u16(8).u16(type).u32(value);
  }

  /** NUL-terminated, as the kernel wants names. */
  attrString(type: number, value: string): this {
    return this.attrBytes(type, encoder.encode(`${value}\0`));
  }

  /** Address in text; throws on text that is not one. */
  attrIp(type: number, address: string): this {
    return this.attrBytes(type, ipBytes(address));
  }

  /** Opens a nest and returns its mark for {@link endNest}. Strict kernels want the NESTED bit, old families do not. */
  beginNest(type: number, nestedBit = true): number {
    const mark = this.#at;
    this.u16(0).u16(nestedBit ? type | NLA_F_NESTED : type);
    return mark;
  }

  /** Closes the nest, or any structure that starts with its own 16-bit length, such as rtnexthop. */
  endNest(mark: number): this {
    this.#wire.u16[mark >> 1] = this.#at - mark;
    return this;
  }

  /** Overwrites two bytes at `at`, a multiple of 2 that is already written. */
  patchU16(at: number, value: number): this {
    this.#wire.u16[at >> 1] = value;
    return this;
  }

  /** Sets the length of the message started last. */
  finish(): this {
    this.#wire.u32[this.#start >> 2] = this.#at - this.#start;
    return this.#pad();
  }

  /** Everything written since `reset()`: a view that the next write overwrites. */
  get written(): Uint8Array {
    return this.#wire.bytes.subarray(0, this.#at);
  }
}
