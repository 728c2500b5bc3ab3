/**
 * Any value that a codec can hold, for properties over all messages.
 */
import fc from 'fast-check';
import { address, addressUnion } from '../../../src/vpp/address.ts';
import type { Codec, IntegerCodec } from '../../../src/vpp/codec.ts';
import type { ArrayCodec, Fields, ListCodec, StructCodec } from '../../../src/vpp/compound.ts';

const octets = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });

function record(fields: Fields): fc.Arbitrary<unknown> {
  const entries = Object.entries(fields);
  const last = entries.at(-1)?.[1] as { kind?: string; counter?: string } | undefined;
  return fc
    .record(Object.fromEntries(entries.map(([name, codec]) => [name, anyOf(codec)])))
    .map((value: Record<string, unknown>) => {
      if (last?.kind !== 'list' || last.counter === undefined) return value;
      const elements = value[entries.at(-1)?.[0] ?? ''] as { length: number };
      return { ...value, [last.counter]: elements.length };
    });
}

/** Any value of a codec that comes back as it is. Unions hold one value in all members, so theirs are raw bytes. */
export function anyOf(codec: Codec<unknown>): fc.Arbitrary<unknown> {
  if (codec === address) return fc.oneof(octets(4), octets(16));
  if (codec === addressUnion) return octets(16);
  const { kind } = codec as { kind?: string };
  switch (kind) {
    case 'integer':
    case 'enum': {
      const { least, most } = codec as IntegerCodec;
      return fc.integer({ min: least, max: most });
    }
    case 'wide':
      return codec.shape === 'u64' ? fc.bigInt(0n, 0xffff_ffff_ffff_ffffn) : fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n);
    case 'float':
      return fc.double({ noNaN: true });
    case 'bool':
      return fc.boolean();
    case 'bytes':
      return octets(codec.size);
    case 'text':
      return fc.string({ maxLength: codec.fixed ? codec.size - 1 : 40, unit: fc.constantFrom(...'abcxyz019-_./@: ') });
    case 'array':
      return fc.array(anyOf((codec as ArrayCodec<unknown>).element), {
        minLength: (codec as ArrayCodec<unknown>).length,
        maxLength: (codec as ArrayCodec<unknown>).length,
      });
    case 'list': {
      const { element } = codec as ListCodec<unknown>;
      return element.shape === 'u8' ? fc.uint8Array({ maxLength: 20 }) : fc.array(anyOf(element), { maxLength: 3 });
    }
    case 'struct':
      return record((codec as StructCodec).fields);
    case 'union': {
      const [name, member] = Object.entries((codec as StructCodec).fields)[0] ?? ['', codec];
      return anyOf(member).map((value) => ({ [name]: value }));
    }
    default:
      throw new Error(`no values for ${codec.shape}`);
  }
}
