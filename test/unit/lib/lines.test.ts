// Cutting a byte stream into lines.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSplitter } from '../../../src/lib/lines.ts';

describe('LineSplitter', () => {
  it('gives the same lines however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 40 }).map((s) => s.replaceAll('\n', ' '))),
        fc.array(fc.integer({ min: 1, max: 30 })),
        (lines, cuts) => {
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
          const splitter = new LineSplitter(1000);
          const seen: string[] = [];
          let at = 0;
          for (let i = 0; at < bytes.length; i++) {
            const size = cuts[i] ?? bytes.length;
            splitter.push(bytes.subarray(at, at + size), (line) => seen.push(line.toString()));
            at += size;
          }
          expect(seen).toEqual(lines);
          return splitter.pending === 0;
        },
      ),
    );
  });

  it('takes a line of the limit and refuses one byte more, for good', () => {
    const splitter = new LineSplitter(4);
    const seen: string[] = [];
    const take = (line: Buffer) => seen.push(line.toString());
    expect(splitter.push(Buffer.from('abcd\nab'), take)).toBe(true);
    expect(splitter.pending).toBe(2);
    expect(splitter.push(Buffer.from('cd\nx\nabcde'), take)).toBe(false);
    expect(splitter.push(Buffer.from('\nab\n'), take)).toBe(false);
    expect(seen).toEqual(['abcd', 'abcd', 'x']);
  });
});
