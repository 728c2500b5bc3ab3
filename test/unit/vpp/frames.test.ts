/**
 * A stream of frames is the same messages however it is cut, and what is none is refused before memory is taken.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameSplitter, writeFrameHeader } from '../../../src/vpp/frames.ts';
import { MessageTable } from '../../../src/vpp/messagetable.ts';
import { FRAME_HEADER, MAX_MESSAGE } from '../../../src/vpp/transport.ts';

function framed(messages: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(messages.reduce((sum, each) => sum + FRAME_HEADER + each.length, 0));
  let at = 0;
  for (const message of messages) {
    writeFrameHeader(bytes, new DataView(bytes.buffer), at, message.length);
    bytes.set(message, at + FRAME_HEADER);
    at += FRAME_HEADER + message.length;
  }
  return bytes;
}

/** The messages of a stream that comes in pieces, each in the same buffer. */
function split(stream: Uint8Array, cuts: readonly number[]): { messages: Uint8Array[]; whole: boolean } {
  const messages: Uint8Array[] = [];
  const splitter = new FrameSplitter((bytes, view, at, end) => {
    expect(view.getUint8(at)).toBe(bytes[at]);
    messages.push(bytes.slice(at, end));
  });
  const buffer = new Uint8Array(stream.length + 1);
  const ends = [...cuts.map((cut) => cut % (stream.length + 1)), stream.length].sort((a, b) => a - b);
  let from = 0;
  for (const end of ends) {
    buffer.set(stream.subarray(from, end));
    splitter.push(buffer, new DataView(buffer.buffer), end - from);
    from = end;
  }
  return { messages, whole: splitter.whole };
}

describe('FrameSplitter', () => {
  it('gives the same messages however the stream is cut', () => {
    const message = fc.uint8Array({ minLength: 2, maxLength: 60 });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), (messages, cuts) => {
        expect(split(framed(messages), cuts)).toEqual({ messages, whole: true });
      }),
      { numRuns: 500 },
    );
  });

  it('takes a stream byte by byte', () => {
    const stream = framed([Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5)]);
    const { messages } = split(stream, [...stream.keys()]);
    expect(messages).toEqual([Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5)]);
  });

  it('knows that a stream ended inside a frame', () => {
    const stream = framed([Uint8Array.of(1, 2, 3)]);
    for (let length = 1; length < stream.length; length++) expect(split(stream.slice(0, length), []).whole).toBe(false);
  });

  it.each([0, 1, MAX_MESSAGE + 1, 0xffff_ffff])('refuses a message of %i bytes', (length) => {
    const stream = new Uint8Array(FRAME_HEADER);
    writeFrameHeader(stream, new DataView(stream.buffer), 0, length);
    for (const cuts of [[], [5]]) {
      expect(() => split(stream, cuts)).toThrow(expect.objectContaining({ code: 'VPP_PROTOCOL' }));
    }
  });
});

describe('MessageTable', () => {
  it('finds ids by name and CRC, and CRCs by name', () => {
    const table = new MessageTable([{ index: 5, name: 'show_version_51077d14' }]);
    expect([table.idOf('show_version_51077d14'), table.idOf('show_version_00000000')]).toEqual([5, undefined]);
    expect([table.crcOf('show_version'), table.crcOf('other'), table.size]).toEqual(['51077d14', undefined, 1]);
  });

  it('leaves out names that were cut', () => {
    expect(new MessageTable([{ index: 1, name: 'x'.repeat(63) }]).size).toBe(0);
  });

  it.each([
    ['a row without CRC', [{ index: 1, name: 'show_version' }]],
    ['an empty row', [{ index: 1, name: '' }]],
    [
      'a name twice',
      [
        { index: 1, name: 'a_00000000' },
        { index: 2, name: 'a_00000000' },
      ],
    ],
  ])('refuses %s', (_name, rows) => {
    expect(() => new MessageTable(rows)).toThrow(expect.objectContaining({ code: 'VPP_PROTOCOL' }));
  });
});
