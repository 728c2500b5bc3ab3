/**
 * A statistics segment for tests, as VPP would lay it out: header, directory, vectors with their lengths in front, all
 * pointers of another address space. And a program that hands a file over as VPP does its memory (fakestatsd.c).
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { SegmentSource } from '../../../src/vpp/statssegment.ts';
import { ENTRY_SIZE, HEADER_SIZE } from '../../../src/vpp/statssegment.ts';
import { compiled } from './compiled.ts';
import { until } from './lab.ts';

/** Numbers of the types, today's and those before 22.06. */
export const TYPE = { scalar: 1, simple: 2, combined: 3, names: 4, empty: 5, link: 6, histogram: 7, ring: 8, gauge: 9 };
export const OLDER_TYPE = { ...TYPE, error: 4, names: 5, empty: 6, link: 7 };

const BASE = 0x7f12_3450_0000n;

interface FakeEntry {
  readonly name: string;
  readonly type: number;
  readonly value: bigint;
}

export class FakeStats {
  bytes = Buffer.alloc(HEADER_SIZE);
  epoch = 1n;
  inProgress = 0n;
  version = 2n;
  /** Pointer to the error counters of a VPP before 22.06. */
  errors = 0n;
  readonly entries: FakeEntry[] = [];

  /** Puts a vector into the segment; its pointer in VPP's address space. */
  #vector(elements: Buffer, count: number): bigint {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(count);
    // VPP aligns vectors, and what is in between is whatever it is.
    const padding = Buffer.alloc((8 - (this.bytes.length % 8)) % 8, 0xee);
    this.bytes = Buffer.concat([this.bytes, padding, head, elements]);
    return BASE + BigInt(this.bytes.length - elements.length);
  }

  #words(values: readonly bigint[]): bigint {
    const bytes = Buffer.alloc(8 * values.length);
    for (const [i, value] of values.entries()) bytes.writeBigUInt64LE(value, 8 * i);
    return this.#vector(bytes, values.length);
  }

  add(name: string, type: number, value: bigint): this {
    this.entries.push({ name, type, value });
    return this;
  }

  /** Counters by thread and index. */
  simple(name: string, threads: readonly (readonly number[])[], type = TYPE.simple): this {
    return this.add(name, type, this.vectors(threads));
  }

  vectors(threads: readonly (readonly number[])[]): bigint {
    return this.#words(threads.map((counts) => this.#words(counts.map(BigInt))));
  }

  /** Packets and bytes by thread and index. */
  combined(name: string, threads: readonly (readonly (readonly [number, number])[])[]): this {
    const pointers = threads.map((counts) => {
      const bytes = Buffer.alloc(16 * counts.length);
      for (const [i, word] of counts.flat().entries()) bytes.writeBigUInt64LE(BigInt(word), 8 * i);
      return this.#vector(bytes, counts.length);
    });
    return this.add(name, TYPE.combined, this.#words(pointers));
  }

  names(name: string, names: readonly string[], type = TYPE.names): this {
    const pointers = names.map((each) => {
      const bytes = Buffer.from(`${each}\0`);
      return each === '' ? 0n : this.#vector(bytes, bytes.length);
    });
    return this.add(name, type, this.#words(pointers));
  }

  link(name: string, to: string, index: number, type = TYPE.link): this {
    const entry = this.entries.findIndex((each) => each.name === to);
    return this.add(name, type, (BigInt(index) << 32n) | BigInt(entry));
  }

  /** The segment's bytes. */
  build(): Buffer {
    const kept = this.bytes;
    const directory = Buffer.alloc(ENTRY_SIZE * this.entries.length);
    for (const [i, { name, type, value }] of this.entries.entries()) {
      directory.writeUInt32LE(type, i * ENTRY_SIZE);
      directory.writeBigUInt64LE(value, i * ENTRY_SIZE + 8);
      directory.write(name, i * ENTRY_SIZE + 16, 128);
    }
    const pointer = this.#vector(directory, this.entries.length);
    const built = Buffer.from(this.bytes);
    this.bytes = kept;
    const header = [this.version, BASE, this.epoch, this.inProgress, pointer, this.errors];
    for (const [i, word] of header.entries()) built.writeBigUInt64LE(word, 8 * i);
    return built;
  }
}

/** The first `size` of some bytes. */
export function sourceOf(bytes: Uint8Array, size: number = bytes.length): SegmentSource {
  return {
    size: () => size,
    read(into, offset) {
      if (offset + into.length > size) return false;
      into.set(bytes.subarray(offset, offset + into.length));
      return true;
    },
  };
}

export interface ServedStats {
  readonly socket: string;
  readonly file: string;
}

/** Serves a segment at a socket until the end of the test; `file` is its memory. */
export async function serveStats(
  segment: Buffer,
  how: 'file' | 'two' | 'none' | 'silent' | 'pipe' = 'file',
): Promise<ServedStats> {
  const program = compiled('fakestatsd.c', 'fakestatsd');
  const folder = mkdtempSync(join(tmpdir(), 'lcpd-stats-'));
  const [socket, file] = [join(folder, 'stats.sock'), join(folder, 'segment')];
  writeFileSync(file, segment);
  const server = spawn(program, [socket, file, how]);
  onTestFinished(async () => {
    const ended = new Promise((resolve) => server.once('exit', resolve));
    server.kill();
    await ended;
    rmSync(folder, { recursive: true });
  });
  await until(() => existsSync(socket));
  return { socket, file };
}
