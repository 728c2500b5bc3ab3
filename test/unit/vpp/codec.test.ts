/**
 * Every message of every table: what is written is read back, whatever the values; cut anywhere it is refused and
 * never read as something else; values that a field cannot hold are refused and never cut.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { address, prefix } from '../../../src/vpp/address.ts';
import { catalogue } from '../../../src/vpp/api/catalogue.ts';
import { swInterfaceDetails } from '../../../src/vpp/api/interface.ts';
import { lcpItfPairAddDelV3 } from '../../../src/vpp/api/lcp.ts';
import { ipRouteAddDelV2 } from '../../../src/vpp/api/route.ts';
import type { Codec } from '../../../src/vpp/codec.ts';
import { i8, i32, string, u8, u16, u32, u64, varString } from '../../../src/vpp/codec.ts';
import { array, byteList, list, struct, union } from '../../../src/vpp/compound.ts';
import { Wire } from '../../../src/vpp/wire.ts';
import { anyOf } from './arbitrary.ts';

function written(codec: Codec<unknown>, value: unknown): Uint8Array {
  const wire = new Wire(new Uint8Array(1 << 16).fill(0xa5));
  codec.write(wire, value);
  return wire.bytes.slice(0, wire.at);
}

const readBack = (codec: Codec<unknown>, bytes: Uint8Array): unknown => codec.read(new Wire(bytes));

describe('messages', () => {
  it.each([...catalogue.values()].map((message) => [message.name, message.body] as const))('%s', (_name, body) => {
    fc.assert(
      fc.property(anyOf(body), fc.nat(), (value, cut) => {
        const bytes = written(body, value);
        expect(bytes.length).toBeGreaterThanOrEqual(body.size);
        expect(readBack(body, bytes)).toMatchObject(value as object);
        if (bytes.length === 0) return;
        expect(() => readBack(body, bytes.slice(0, cut % bytes.length))).toThrow(/bytes too early/);
      }),
      { numRuns: 25 },
    );
  });

  it('has zero for what is not given, whatever the buffer held', () => {
    for (const { body, name } of catalogue.values()) {
      expect(
        written(body, {}).every((byte) => byte === 0),
        name,
      ).toBe(true);
      expect(written(body, undefined).length, name).toBe(body.size);
    }
  });

  it('is read at every length of a real message, or refused', () => {
    const value = { sw_if_index: 5, interface_name: 'host-e0', mtu: [9000, 0, 0, 0], tag: 'lcpd' };
    const bytes = written(swInterfaceDetails.body, value);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => readBack(swInterfaceDetails.body, bytes.slice(0, length)), String(length)).toThrow(/too early/);
    }
    expect(readBack(swInterfaceDetails.body, bytes)).toMatchObject(value);
  });

  it('reads any bytes as values or refuses them, and never reads past the end', () => {
    const bodies = [...catalogue.values()].map((message) => message.body);
    fc.assert(
      fc.property(fc.constantFrom(...bodies), fc.uint8Array({ maxLength: 400 }), (body, bytes) => {
        const wire = new Wire(bytes);
        try {
          body.read(wire);
        } catch (error) {
          expect(error).toMatchObject({ code: 'VPP_PROTOCOL' });
        }
        expect(wire.at).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('values', () => {
  it.each<readonly [string, Codec<unknown>, unknown]>([
    ['u8', u8, 256],
    ['u8', u8, -1],
    ['u8', u8, 1.5],
    ['u8', u8, Number.NaN],
    ['u16', u16, 65536],
    ['u32', u32, 2 ** 32],
    ['i8', i8, 128],
    ['i32', i32, -(2 ** 31) - 1],
    ['u64', u64, -1n],
    ['u64', u64, 1n << 64n],
    ['text without room for its zero', string(4), 'abcd'],
    ['text of long characters', string(4), 'üü'],
    ['text with a zero', string(8), 'a\0b'],
    ['an address of five bytes', address, new Uint8Array(5)],
    ['an array with one too many', array(u8, 2), [1, 2, 3]],
    ['a list longer than its counter', struct({ n: u8, values: list(u8, 'n') }), { values: new Array(256).fill(0) }],
    ['two members of a union', union({ a: u8, b: u16 }), { a: 1, b: 2 }],
  ])('that do not fit are refused: %s', (_name, codec, value) => {
    expect(() => written(codec, value)).toThrow(expect.objectContaining({ code: 'VPP_MESSAGE' }));
  });

  it('that do not fit into the buffer are refused', () => {
    const wire = new Wire(new Uint8Array(10));
    expect(() => varString.write(wire, 'longer than that')).toThrow(/too long/);
  });

  it('are in network order', () => {
    const codec = struct({ a: u16, b: u32, n: u8, rest: byteList(u8, 'n') });
    expect(written(codec, { a: 0x102, b: 0x3040506, rest: Uint8Array.of(9, 8) })).toEqual(
      Uint8Array.of(1, 2, 3, 4, 5, 6, 2, 9, 8),
    );
    expect(written(prefix, { address: Uint8Array.of(10, 0, 0, 1), len: 8 })).toEqual(
      Uint8Array.of(0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8),
    );
    expect(readBack(address, written(address, new Uint8Array(16).fill(7)))).toEqual(new Uint8Array(16).fill(7));
  });

  it('that were read do not change with the buffer, whatever sort of array that is', () => {
    const buffer = Buffer.from([0, 10, 0, 0, 1, ...new Array<number>(12).fill(0)]);
    const read = readBack(address, buffer);
    buffer.fill(0xff);
    expect(read).toEqual(Uint8Array.of(10, 0, 0, 1));
  });

  it('of a list are counted by the list, whatever the caller says', () => {
    const route = { table_id: 3, n_paths: 77, prefix: { address: new Uint8Array(4), len: 0 }, paths: [{ weight: 4 }] };
    const read = readBack(ipRouteAddDelV2.body, written(ipRouteAddDelV2.body, { is_add: true, route }));
    expect(read).toMatchObject({ is_add: true, route: { table_id: 3, n_paths: 1, paths: [{ weight: 4 }] } });
  });

  it('of a list that is said to be longer than the message are refused before anything is made of them', () => {
    const codec = struct({ n: u32, values: list(u32, 'n') });
    expect(() => readBack(codec, Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0))).toThrow(/too early/);
  });

  it('have the names that VPP gives', () => {
    const bytes = written(lcpItfPairAddDelV3.body, { is_add: true, sw_if_index: 2, host_if_name: 'e0', netns: 'cp' });
    expect(readBack(lcpItfPairAddDelV3.body, bytes)).toMatchObject({
      host_if_name: 'e0',
      netns: 'cp',
      host_if_type: 0,
    });
  });

  it('cannot be laid out behind a field that varies, or counted by one that is not there', () => {
    expect(() => struct({ text: varString, more: u8 })).toThrow(/after one that varies/);
    expect(() => struct({ values: list(u8, 'n') })).toThrow(/without its counter/);
  });
});
