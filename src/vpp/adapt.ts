// Adaptation: carries values between our layout of a message and the one that a VPP has instead, by field names.
//
// Invariants: what both have is carried, numbers of enumerations by their names. What only VPP has is written as its
// default and not read. What only we have is read as zero, and refused when it is asked for: a message with less in it
// would be another object. A field that became something else makes the whole message impossible, which is told when
// the adaptation is made and not when it is used.

import { LcpError } from '../lib/errors.ts';
import type { Codec, EnumCodec } from './codec.ts';
import type { Fields, StructCodec } from './compound.ts';
import type { Definition } from './definitions.ts';
import type { Message } from './message.ts';

type Carry = (value: unknown) => unknown;

interface Carriers {
  readonly toTheirs: Carry;
  readonly toOurs: Carry;
}

interface Kinded extends Codec<unknown> {
  readonly kind?: string;
}

const same: Carriers = { toTheirs: (value) => value, toOurs: (value) => value };

function impossible(key: string, our: Codec<unknown>, their: Codec<unknown>): LcpError {
  return new LcpError('VPP_API', {
    op: 'adapt',
    key,
    message: `the field was ${our.shape} and is ${their.shape} in this VPP`,
  });
}

const numeric: ReadonlySet<string | undefined> = new Set(['integer', 'enum']);

/** How values of one codec become values of the other. Throws VPP_API when they cannot. */
function carriers(key: string, our: Kinded, their: Kinded): Carriers {
  if (our.shape === their.shape) return same;
  if (our.kind === 'enum' && their.kind === 'enum') return enumCarriers(key, our as EnumCodec, their as EnumCodec);
  if (numeric.has(our.kind) && numeric.has(their.kind)) return same;
  if (our.kind === 'text' && their.kind === 'text') return same;
  if (our.kind === 'struct' && their.kind === 'struct') {
    return structCarriers(key, (our as StructCodec).fields, (their as StructCodec).fields, {});
  }
  const elements = [elementOf(our), elementOf(their)] as const;
  if (our.kind === their.kind && elements[0] !== undefined && elements[1] !== undefined) {
    const each = carriers(key, elements[0], elements[1]);
    return { toTheirs: mapped(each.toTheirs), toOurs: mapped(each.toOurs) };
  }
  throw impossible(key, our, their);
}

/** What a list is of; byte strings are carried whole, and so have none. */
function elementOf(codec: Kinded): Codec<unknown> | undefined {
  if (codec.kind !== 'list' || !('element' in codec)) return undefined;
  const element = codec.element as Codec<unknown>;
  return element.shape === 'u8' ? undefined : element;
}

function mapped(carry: Carry): Carry {
  return (value) => (value as readonly unknown[] | undefined)?.map(carry);
}

/** A number under the same name in another enumeration; bits are carried one by one. */
function renumber(key: string, from: EnumCodec, to: EnumCodec, value: number): number {
  const name = Object.keys(from.values).find((each) => from.values[each] === value);
  if (name !== undefined) {
    const number = to.values[name];
    if (number === undefined) throw notThere(key, name);
    return number;
  }
  let [left, joined] = [value, 0];
  for (const [bit, number] of Object.entries(from.values)) {
    const isBit = number > 0 && (number & (number - 1)) === 0;
    if (!isBit || (left & number) === 0) continue;
    const theirs = to.values[bit];
    if (theirs === undefined) throw notThere(key, bit);
    left &= ~number;
    joined |= theirs;
  }
  // Numbers that neither side has a name for cannot be told from others.
  return left === 0 ? joined >>> 0 : value;
}

function notThere(key: string, name: string): LcpError {
  return new LcpError('NOT_SUPPORTED', { op: 'adapt', key, message: `this VPP has no ${name}` });
}

function enumCarriers(key: string, our: EnumCodec, their: EnumCodec): Carriers {
  return {
    toTheirs: (value) => (value === undefined ? undefined : renumber(key, our, their, value as number)),
    toOurs(value) {
      const known = Object.values(their.values).includes(value as number);
      const name = Object.keys(their.values).find((each) => their.values[each] === value);
      // A member that is newer than our table keeps its number, as in messages that are not adapted.
      if (known && name !== undefined && our.values[name] === undefined) return value;
      return renumber(key, their, our, value as number);
    },
  };
}

function isZero(value: unknown): boolean {
  if (value === undefined || value === 0 || value === 0n || value === false || value === '') return true;
  if (value instanceof Uint8Array || Array.isArray(value)) return [...(value as Iterable<unknown>)].every(isZero);
  return typeof value === 'object' && value !== null && Object.values(value).every(isZero);
}

function zeroOf(codec: Kinded): unknown {
  if (codec.kind === 'struct' || codec.kind === 'union') {
    const { fields } = codec as StructCodec;
    return Object.fromEntries(Object.entries<Kinded>(fields).map(([name, field]) => [name, zeroOf(field)]));
  }
  if (codec.kind === 'text') return '';
  if (codec.kind === 'bool') return false;
  if (codec.kind === 'wide') return 0n;
  if (codec.kind === 'array' || codec.kind === 'list') return [];
  if (numeric.has(codec.kind) || codec.kind === 'float') return 0;
  return new Uint8Array(codec.size);
}

function structCarriers(
  key: string,
  our: Fields,
  their: Fields,
  defaults: Readonly<Record<string, number | boolean>>,
): Carriers {
  const both = Object.keys(their)
    .filter((name) => name in our)
    .map((name) => [name, carriers(`${key}.${name}`, our[name] as Kinded, their[name] as Kinded)] as const);
  const onlyOurs = Object.keys(our).filter((name) => !(name in their));
  const zeros = onlyOurs.map((name) => [name, zeroOf(our[name] as Kinded)] as const);
  const onlyTheirs = Object.entries(defaults).filter(([name]) => !(name in our));
  return {
    toTheirs(value) {
      const given = (value ?? {}) as Readonly<Record<string, unknown>>;
      const asked = onlyOurs.find((name) => !isZero(given[name]));
      if (asked !== undefined) {
        throw new LcpError('NOT_SUPPORTED', {
          op: 'adapt',
          key: `${key}.${asked}`,
          message: 'the message of this VPP has no such field',
        });
      }
      const theirs: Record<string, unknown> = Object.fromEntries(onlyTheirs);
      for (const [name, carry] of both) theirs[name] = carry.toTheirs(given[name]);
      return theirs;
    },
    toOurs(value) {
      const given = value as Readonly<Record<string, unknown>>;
      const ours: Record<string, unknown> = Object.fromEntries(zeros);
      for (const [name, carry] of both) ours[name] = carry.toOurs(given[name]);
      return ours;
    },
  };
}

/**
 * A codec with our values and their bytes. Throws VPP_API, with the field, where a field became something else or the
 * heads differ.
 */
export function adapted(our: Message, their: Definition): Codec<unknown> {
  if (our.head !== their.head) {
    throw new LcpError('VPP_API', { op: 'adapt', key: our.name, message: 'the message has other leading fields' });
  }
  const carry = structCarriers(our.name, our.body.fields, their.body.fields, their.defaults);
  return {
    shape: their.body.shape,
    size: their.body.size,
    fixed: their.body.fixed,
    read: (wire) => carry.toOurs(their.body.read(wire)),
    write: (wire, value) => their.body.write(wire, carry.toTheirs(value) as never),
  };
}
