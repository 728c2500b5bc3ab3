// Attribute: one `struct nlattr`/`struct rtattr` (length, type, value padded to 4 bytes), read and nested.
//
// Invariants: a cursor never reads outside its range and never throws: an impossible length or a value that is
// shorter than its reader needs sets `malformed`, after which the whole message is to be discarded. The NESTED and
// NET_BYTEORDER bits are not part of the type. Offsets are absolute bytes in the wire.
// Reference: netlink(7), linux/netlink.h.

import { formatMac } from '../lib/bytes.ts';
import { formatIp } from '../lib/ip.ts';
import { NLA_TYPE_MASK } from './uapi.ts';

/** Bytes and their aligned words; `bytes.byteOffset` is a multiple of 4, and all three views start there. */
export interface Wire {
  readonly bytes: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
}

/** Aligned views over `bytes`: of the same memory where its position allows it, otherwise of a copy. */
export function wireOf(bytes: Uint8Array): Wire {
  const here = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return {
    bytes: here,
    u16: new Uint16Array(here.buffer, here.byteOffset, here.length >> 1),
    u32: new Uint32Array(here.buffer, here.byteOffset, here.length >> 2),
  };
}

const text = new TextDecoder('utf-8');

/** Walks the attributes between two offsets. */
export class AttributeCursor {
  /** Type of the current attribute, flag bits removed. */
  type = 0;
  /** Offset of the current value. */
  value = 0;
  /** Length of the current value in bytes. */
  size = 0;
  malformed = false;
  readonly #wire: Wire;
  readonly #end: number;
  #next: number;

  constructor(wire: Wire, start: number, end: number) {
    this.#wire = wire;
    this.#next = start;
    this.#end = end;
  }

  /** Goes to the next attribute; false at the end or when the rest is malformed. */
  next(): boolean {
    const at = this.#next;
    if (this.malformed || this.#end - at < 4) return false;
    const length = this.#wire.u16[at >> 1] ?? 0;
    if (length < 4 || at + length > this.#end) {
      this.malformed = true;
      return false;
    }
    this.type = (this.#wire.u16[(at >> 1) + 1] ?? 0) & NLA_TYPE_MASK;
    this.value = at + 4;
    this.size = length - 4;
    this.#next = at + ((length + 3) & ~3);
    return true;
  }

  #holds(bytes: number): boolean {
    if (this.size >= bytes) return true;
    this.malformed = true;
    return false;
  }

  u8(): number {
    return this.#holds(1) ? (this.#wire.bytes[this.value] ?? 0) : 0;
  }

  u16(): number {
    return this.#holds(2) ? (this.#wire.u16[this.value >> 1] ?? 0) : 0;
  }

  /** Two bytes in network order. */
  u16be(): number {
    const swapped = this.u16();
    return ((swapped & 0xff) << 8) | (swapped >> 8);
  }

  u32(): number {
    return this.#holds(4) ? (this.#wire.u32[this.value >> 2] ?? 0) : 0;
  }

  s32(): number {
    return this.u32() | 0;
  }

  /** Four bytes in network order. */
  u32be(): number {
    const swapped = this.u32();
    return ((swapped << 24) | ((swapped & 0xff00) << 8) | ((swapped >>> 8) & 0xff00) | (swapped >>> 24)) >>> 0;
  }

  /** Eight bytes, `skip` bytes into the value; values are aligned to 4 bytes only. */
  u64(skip = 0): bigint {
    if (!this.#holds(skip + 8)) return 0n;
    const at = (this.value + skip) >> 2;
    return BigInt(this.#wire.u32[at] ?? 0) | (BigInt(this.#wire.u32[at + 1] ?? 0) << 32n);
  }

  /** Eight bytes in network order. */
  u64be(): bigint {
    if (!this.#holds(8)) return 0n;
    let value = 0n;
    for (let at = this.value; at < this.value + 8; at++) value = (value << 8n) | BigInt(this.#wire.bytes[at] ?? 0);
    return value;
  }

  /** Text up to the first NUL, or to the end of the value. */
  string(): string {
    let end = this.value;
    while (end < this.value + this.size && this.#wire.bytes[end] !== 0) end++;
    return text.decode(this.#wire.bytes.subarray(this.value, end));
  }

  /** Canonical address text; a value of neither 4 nor 16 bytes is malformed. */
  ip(): string {
    if (this.size !== 4 && this.size !== 16) {
      this.malformed = true;
      return '';
    }
    return formatIp(this.#wire.bytes, this.value, this.size);
  }

  /** Link-layer address text of any length. */
  mac(): string {
    return formatMac(this.#wire.bytes, this.value, this.size);
  }

  /** The attributes inside the current value. Its `malformed` must be taken over by {@link adopt}. */
  nested(skip = 0): AttributeCursor {
    const inner = new AttributeCursor(this.#wire, this.value + skip, this.value + this.size);
    if (skip > this.size) inner.malformed = true;
    return inner;
  }

  adopt(inner: AttributeCursor): void {
    if (inner.malformed) this.malformed = true;
  }
}
