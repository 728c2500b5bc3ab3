// Compound codecs: structures, unions, arrays, and lists that a field of their structure counts.
//
// Invariants: fields lie in the order in which they are named, packed. A list's counter is written from the list,
// whatever the caller gave for it, and believed only as far as the message has bytes. A union is as long as its
// longest member; all of them are read, one is written. Reference: VPP's src/tools/vppapigen.

import { LcpError } from '../lib/errors.ts';
import type { Codec, InputOf, ValueOf } from './codec.ts';
import { unfit } from './codec.ts';
import type { Wire } from './wire.ts';

/** A list as the last field of a structure; `counter` names the field with the number of its elements. */
export interface ListCodec<Value, Input = Value> extends Codec<Value, Input> {
  readonly kind: 'list';
  readonly counter: string;
  readonly element: Codec<unknown>;
  /** Elements of a value to be written. */
  countOf(value: Input | undefined): number;
  readCounted(wire: Wire, count: number): Value;
}

function isList(codec: Codec<unknown>): codec is ListCodec<unknown> {
  return 'kind' in codec && codec.kind === 'list';
}

/** A list is only read and written by its structure, which has the counter. */
function uncounted(): never {
  throw new TypeError('a list has no length of its own');
}

/** Elements behind each other, as many as the field `counter` says. */
export function list<Value, Input>(
  element: Codec<Value, Input>,
  counter: string,
): ListCodec<readonly Value[], readonly Input[]> {
  return {
    kind: 'list',
    shape: `${element.shape}[${counter}]`,
    size: 0,
    fixed: false,
    counter,
    element,
    countOf: (value) => value?.length ?? 0,
    read: uncounted,
    readCounted(wire, count) {
      if (count * Math.max(1, element.size) > wire.end - wire.at) wire.take(count * Math.max(1, element.size));
      const values: Value[] = [];
      for (let i = 0; i < count; i++) values.push(element.read(wire));
      return values;
    },
    write(wire, value = []) {
      for (const each of value) element.write(wire, each);
    },
  };
}

/** Bytes, as many as the field `counter` says. */
export function byteList(element: Codec<unknown>, counter: string): ListCodec<Uint8Array> {
  return {
    kind: 'list',
    shape: `${element.shape}[${counter}]`,
    size: 0,
    fixed: false,
    counter,
    element,
    countOf: (value) => value?.length ?? 0,
    read: uncounted,
    readCounted(wire, count) {
      const at = wire.take(count);
      return wire.bytes.slice(at, at + count);
    },
    write(wire, value) {
      if (value !== undefined) wire.bytes.set(value, wire.room(value.length));
    },
  };
}

export interface ArrayCodec<Value, Input = Value> extends Codec<Value, Input> {
  readonly kind: 'array';
  readonly element: Codec<unknown>;
  readonly length: number;
}

/** Exactly `length` elements; those that are not given are zero. */
export function array<Value, Input>(
  element: Codec<Value, Input>,
  length: number,
): ArrayCodec<readonly Value[], readonly Input[]> {
  const shape = `${element.shape}[${length}]`;
  return {
    kind: 'array',
    shape,
    size: length * element.size,
    fixed: element.fixed,
    element,
    length,
    read: (wire) => Array.from({ length }, () => element.read(wire)),
    write(wire, value = []) {
      if (value.length > length) throw unfit(shape, `${value.length} elements`);
      for (let i = 0; i < length; i++) element.write(wire, value[i]);
    },
  };
}

export type Fields = Readonly<Record<string, Codec<unknown>>>;
export type StructValue<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]> };
export type StructInput<F extends Fields> = { readonly [K in keyof F]?: InputOf<F[K]> | undefined };

export interface StructCodec<F extends Fields = Fields> extends Codec<StructValue<F>, StructInput<F>> {
  readonly kind: 'struct';
  readonly fields: F;
}

/** Refuses tables that no message can have, when they are made. */
function checkFields(fields: Fields): void {
  const names = Object.keys(fields);
  for (const [i, name] of names.entries()) {
    const codec = fields[name] as Codec<unknown>;
    if (!codec.fixed && i !== names.length - 1) {
      throw new LcpError('VPP_API', { op: 'read definition', key: name, message: 'a field after one that varies' });
    }
    if (!isList(codec)) continue;
    const counter = fields[codec.counter];
    if (counter === undefined || !('least' in counter)) {
      throw new LcpError('VPP_API', { op: 'read definition', key: name, message: 'a list without its counter' });
    }
  }
}

/** Fields by VPP's names, in the order of the message. */
export function struct<const F extends Fields>(fields: F): StructCodec<F> {
  checkFields(fields);
  const entries = Object.entries<Codec<unknown>>(fields);
  const [lastName = '', last] = entries.at(-1) ?? [];
  const tail = last !== undefined && isList(last) ? last : undefined;
  const size = entries.reduce((sum, [, codec]) => sum + codec.size, 0);
  const fixed = entries.every(([, codec]) => codec.fixed);
  return {
    kind: 'struct',
    shape: `{${entries.map(([name, codec]) => `${name}:${codec.shape}`).join(' ')}}`,
    size,
    fixed,
    fields,
    read(wire) {
      const value: Record<string, unknown> = {};
      for (const [name, codec] of entries) {
        value[name] = codec === tail ? tail.readCounted(wire, value[tail.counter] as number) : codec.read(wire);
      }
      return value as StructValue<F>;
    },
    write(wire, value) {
      const given: Readonly<Record<string, unknown>> = value ?? {};
      for (const [name, codec] of entries) {
        codec.write(wire, name === tail?.counter ? tail.countOf(given[lastName]) : given[name]);
      }
    },
  };
}

export interface UnionCodec<F extends Fields = Fields> extends Codec<StructValue<F>, StructInput<F>> {
  readonly kind: 'union';
  readonly fields: F;
}

/** Members that share their bytes. Reading gives all of them; another field says which one is meant. */
export function union<const F extends Fields>(fields: F): UnionCodec<F> {
  const entries = Object.entries<Codec<unknown>>(fields);
  const size = Math.max(...entries.map(([, codec]) => codec.size));
  const shape = `union{${entries.map(([name, codec]) => `${name}:${codec.shape}`).join(' ')}}`;
  return {
    kind: 'union',
    shape,
    size,
    fixed: true,
    fields,
    read(wire) {
      const at = wire.take(size);
      const value: Record<string, unknown> = {};
      for (const [name, codec] of entries) {
        wire.at = at;
        value[name] = codec.read(wire);
      }
      wire.at = at + size;
      return value as StructValue<F>;
    },
    write(wire, value) {
      const at = wire.room(size);
      wire.bytes.fill(0, at, at + size);
      const given: Readonly<Record<string, unknown>> = value ?? {};
      const chosen = entries.filter(([name]) => given[name] !== undefined);
      if (chosen.length > 1) throw unfit(shape, chosen.map(([name]) => name).join(' and '));
      for (const [name, codec] of chosen) {
        wire.at = at;
        codec.write(wire, given[name]);
      }
      wire.at = at + size;
    },
  };
}
