// What the kernel says beside a packet: its time, its length, and a VLAN tag that it took out.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packetOf, parseControl } from '../../../src/lib/packetsocket.ts';

function message(level: number, type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(16);
  head.writeBigUInt64LE(BigInt(16 + data.length), 0);
  head.writeInt32LE(level, 8);
  head.writeInt32LE(type, 12);
  return Buffer.concat([head, data, Buffer.alloc(-data.length & 7)]);
}

const time = Buffer.alloc(16);
time.writeBigInt64LE(1_700_000_000n, 0);
time.writeBigInt64LE(123_456_789n, 8);

function auxdata(status: number, length: number, tci: number, tpid: number): Buffer {
  const data = Buffer.alloc(20);
  data.writeUInt32LE(status, 0);
  data.writeUInt32LE(length, 4);
  data.writeUInt16LE(tci, 16);
  data.writeUInt16LE(tpid, 18);
  return data;
}

const frame = Buffer.from('0200000000010200000000020800abcd', 'hex');

describe('a packet', () => {
  it('has its time to the nanosecond and the length that it had', () => {
    const control = Buffer.concat([message(1, 35, time), message(263, 8, auxdata(0, 1500, 0, 0))]);
    expect(packetOf(frame, parseControl(control))).toEqual({
      seconds: 1_700_000_000,
      nanoseconds: 123_456_789,
      bytes: frame,
      length: 1500,
    });
  });

  it('has its tag again, of the kind that it was', () => {
    const tagged = (status: number, tpid: number) => {
      const control = message(263, 8, auxdata(status, frame.length, 0x2064, tpid));
      return packetOf(frame, parseControl(control));
    };
    expect(tagged(0x10, 0x88a8).bytes.toString('hex')).toBe('020000000001020000000002810020640800abcd');
    expect(tagged(0x50, 0x88a8).bytes.toString('hex')).toBe('02000000000102000000000288a820640800abcd');
    expect(tagged(0x50, 0x88a8).length).toBe(20);
    expect(tagged(0, 0x88a8).bytes).toEqual(frame);
  });

  it('is never read behind what is there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 128 }), fc.uint8Array({ maxLength: 40 }), (control, bytes) => {
        const packet = packetOf(Buffer.from(bytes), parseControl(Buffer.from(control)));
        return packet.bytes.length >= bytes.length && packet.length >= packet.bytes.length;
      }),
      { numRuns: 500 },
    );
  });
});
