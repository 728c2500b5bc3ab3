// Codec: how one value of VPP's API lies in a message. This file has those that do not contain others.
//
// Invariants: a codec is stateless; reading and writing move the Wire by exactly what the value takes. A value that
// is not given is written as zero. What cannot be held by the field is refused, never cut: a wrapped number would be
// another object. `shape` says the layout in words: two codecs of one shape read and write the same bytes alike.
// Byte strings that were read are copies. Reference: VPP's src/tools/vppapigen, which defines the basic types.

import { LcpError } from '../lib/errors.ts';
import type { Wire } from './wire.ts';

export interface Codec<Value, Input = Value> {
  readonly shape: string;
  /** Bytes of a value, the least where it varies. */
  readonly size: number;
  /** Whether every value has `size` bytes. */
  readonly fixed: boolean;
  read(wire: Wire): Value;
  write(wire: Wire, value: Input | undefined): void;
}

export type ValueOf<C> = C extends Codec<infer Value, infer _Input> ? Value : never;
export type InputOf<C> = C extends Codec<infer _Value, infer Input> ? Input : never;

/** The error of a value that its field cannot hold. */
export function unfit(shape: string, value: unknown): LcpError {
  return new LcpError('VPP_MESSAGE', { op: 'write message', message: `${String(value)} does not fit ${shape}` });
}

type IntegerShape = 'u8' | 'u16' | 'u32' | 'i8' | 'i16' | 'i32';

export interface IntegerCodec extends Codec<number> {
  readonly kind: 'integer';
  readonly least: number;
  readonly most: number;
}

function integer(
  shape: IntegerShape,
  size: number,
  get: (view: DataView, at: number) => number,
  set: (view: DataView, at: number, value: number) => void,
): IntegerCodec {
  const least = shape.startsWith('i') ? -(2 ** (8 * size - 1)) : 0;
  const most = least + 2 ** (8 * size) - 1;
  return {
    kind: 'integer',
    shape,
    size,
    fixed: true,
    least,
    most,
    read: (wire) => get(wire.view, wire.take(size)),
    write(wire, value = 0) {
      if (!(value >= least && value <= most && Number.isInteger(value))) throw unfit(shape, value);
      set(wire.view, wire.room(size), value);
    },
  };
}

export const u8 = integer(
  'u8',
  1,
  (view, at) => view.getUint8(at),
  (view, at, value) => view.setUint8(at, value),
);
export const u16 = integer(
  'u16',
  2,
  (view, at) => view.getUint16(at),
  (view, at, value) => view.setUint16(at, value),
);
export const u32 = integer(
  'u32',
  4,
  (view, at) => view.getUint32(at),
  (view, at, value) => view.setUint32(at, value),
);
export const i8 = integer(
  'i8',
  1,
  (view, at) => view.getInt8(at),
  (view, at, value) => view.setInt8(at, value),
);
export const i16 = integer(
  'i16',
  2,
  (view, at) => view.getInt16(at),
  (view, at, value) => view.setInt16(at, value),
);
export const i32 = integer(
  'i32',
  4,
  (view, at) => view.getInt32(at),
  (view, at, value) => view.setInt32(at, value),
);

export interface WideCodec extends Codec<bigint> {
  readonly kind: 'wide';
}

export const u64: WideCodec = {
  kind: 'wide',
  shape: 'u64',
  size: 8,
  fixed: true,
  read: (wire) => wire.view.getBigUint64(wire.take(8)),
  write(wire, value = 0n) {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw unfit('u64', value);
    wire.view.setBigUint64(wire.room(8), value);
  },
};

export const i64: WideCodec = {
  kind: 'wide',
  shape: 'i64',
  size: 8,
  fixed: true,
  read: (wire) => wire.view.getBigInt64(wire.take(8)),
  write(wire, value = 0n) {
    if (BigInt.asIntN(64, value) !== value) throw unfit('i64', value);
    wire.view.setBigInt64(wire.room(8), value);
  },
};

export interface FloatCodec extends Codec<number> {
  readonly kind: 'float';
}

export const f64: FloatCodec = {
  kind: 'float',
  shape: 'f64',
  size: 8,
  fixed: true,
  read: (wire) => wire.view.getFloat64(wire.take(8)),
  write: (wire, value = 0) => wire.view.setFloat64(wire.room(8), value),
};

export interface BoolCodec extends Codec<boolean> {
  readonly kind: 'bool';
}

export const bool: BoolCodec = {
  kind: 'bool',
  shape: 'bool',
  size: 1,
  fixed: true,
  read: (wire) => wire.bytes[wire.take(1)] !== 0,
  write(wire, value = false) {
    wire.bytes[wire.room(1)] = value ? 1 : 0;
  },
};

export type Members = Readonly<Record<string, number>>;

export interface EnumCodec<M extends Members = Members> extends Codec<number> {
  readonly kind: 'enum';
  /** VPP's name of the type. */
  readonly name: string;
  readonly base: IntegerCodec;
  /** Numbers by VPP's names. */
  readonly values: M;
}

/** Members of an enumeration as they go into a shape. */
function membersText(values: Members): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** Numbers, or bits that may be joined, with names. One without a name is passed on as it is: newer VPPs have more. */
export function enumeration<const M extends Members>(name: string, base: IntegerCodec, values: M): EnumCodec<M> {
  return { ...base, kind: 'enum', shape: `enum ${base.shape}(${membersText(values)})`, name, base, values };
}

export interface BytesCodec extends Codec<Uint8Array> {
  readonly kind: 'bytes';
}

/** Exactly `size` bytes. */
export function bytes(size: number): BytesCodec {
  const shape = `u8[${size}]`;
  return {
    kind: 'bytes',
    shape,
    size,
    fixed: true,
    read(wire) {
      const at = wire.take(size);
      return wire.bytes.slice(at, at + size);
    },
    write(wire, value) {
      const at = wire.room(size);
      if (value === undefined) wire.bytes.fill(0, at, at + size);
      else if (value.length === size) wire.bytes.set(value, at);
      else throw unfit(shape, `${value.length} bytes`);
    },
  };
}

export interface TextCodec extends Codec<string> {
  readonly kind: 'text';
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Text of at most `size - 1` bytes, ended by a zero byte. */
export function string(size: number): TextCodec {
  const shape = `string[${size}]`;
  return {
    kind: 'text',
    shape,
    size,
    fixed: true,
    read(wire) {
      const at = wire.take(size);
      const field = wire.bytes.subarray(at, at + size);
      const zero = field.indexOf(0);
      return decoder.decode(zero < 0 ? field : field.subarray(0, zero));
    },
    write(wire, value = '') {
      const at = wire.room(size);
      wire.bytes.fill(0, at, at + size);
      const text = encoder.encode(value);
      // A zero inside would end the text early for VPP: the name of another object.
      if (text.length >= size || text.includes(0)) throw unfit(shape, JSON.stringify(value));
      wire.bytes.set(text, at);
    },
  };
}

/** Text of any length behind its length in bytes; only the last field of a message is one. */
export const varString: TextCodec = {
  kind: 'text',
  shape: 'string[]',
  size: 4,
  fixed: false,
  read(wire) {
    const length = wire.view.getUint32(wire.take(4));
    const at = wire.take(length);
    return decoder.decode(wire.bytes.subarray(at, at + length));
  },
  write(wire, value = '') {
    const text = encoder.encode(value);
    wire.view.setUint32(wire.room(4), text.length);
    wire.bytes.set(text, wire.room(text.length));
  },
};
