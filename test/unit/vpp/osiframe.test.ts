// Frames of OSI protocols: what is one, whatever the bytes, and the kernel's filter that says the same.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { osiFilter, readOsiFrame } from '../../../src/vpp/osiframe.ts';

const MACS = '0180c2000014020000000012';
const hex = (text: string): Buffer => Buffer.from(MACS + text, 'hex');
const PLAIN = hex('0032fefe0383'.padEnd(100, '1'));

/** Runs classic BPF over a frame: what a packet socket would have of it. */
function passes(filter: Buffer, frame: Buffer, packetType: number): boolean {
  let a = 0;
  for (let at = 0; ; at++) {
    const [code, jt, jf, k] = [
      filter.readUInt16LE(at * 8),
      filter[at * 8 + 2] ?? 0,
      filter[at * 8 + 3] ?? 0,
      filter.readUInt32LE(at * 8 + 4),
    ];
    if (code === 0x06) return k > 0;
    if (code === 0x15) at += a === k ? jt : jf;
    else if (code === 0x35) at += a >= k ? jt : jf;
    else if (k === 0xfffff004) a = packetType;
    else if (k + (code === 0x28 ? 2 : 1) > frame.length) return false;
    else a = code === 0x28 ? frame.readUInt16BE(k) : (frame[k] ?? 0);
  }
}

it('reads what protocol a frame is of, behind its tags', () => {
  expect(readOsiFrame(PLAIN)).toEqual({ protocol: 0x83, tags: [] });
  expect(readOsiFrame(hex('81002064003cfefe0381'))).toEqual({ protocol: 0x81, tags: [0x8100_0064] });
  expect(readOsiFrame(hex('88a800078100000a8870fefe0383'))).toEqual({
    protocol: 0x83,
    tags: [0x88a8_0007, 0x8100_000a],
  });
  for (const other of [
    '',
    '0032',
    '0032fefe03',
    '0800fefe0383',
    '0600fefe0383',
    '0032fefe0783',
    '00324242030000',
    '810000640800fefe0383',
    `${'81000064'.repeat(3)}0032fefe0383`,
  ])
    expect(readOsiFrame(hex(other)), other).toBeUndefined();
});

it('the filter of a packet socket passes these frames and no others, of its direction', () => {
  const part = fc.constantFrom(
    '8100',
    '88a8',
    '9100',
    '0064',
    '0032',
    '05ff',
    '0600',
    '8870',
    '0800',
    'fefe',
    '0383',
    '03',
    '83',
  );
  const frame = fc.oneof(
    fc.array(part, { maxLength: 9 }).map((parts) => hex(parts.join(''))),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  );
  const [sent, received] = [osiFilter('sent'), osiFilter('received')];
  fc.assert(
    fc.property(frame, fc.integer({ min: 0, max: 7 }), (bytes, type) => {
      // a byte more is for the protocol, which the filter does not ask about
      const isOne = readOsiFrame(Buffer.concat([bytes, Buffer.alloc(1)])) !== undefined;
      expect(passes(sent, bytes, type)).toBe(isOne && type === 4);
      expect(passes(received, bytes, type)).toBe(isOne && type !== 4);
    }),
    {
      numRuns: 5000,
      examples: [
        [PLAIN, 4],
        [PLAIN, 1],
      ],
    },
  );
});
