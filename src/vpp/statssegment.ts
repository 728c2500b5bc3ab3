// StatsSegment: what lies in VPP's statistics segment: a directory of names, and behind each a number, a vector, a link.
//
// Invariants: the bytes are VPP's memory, which it writes while we read, and may be anything: every pointer and length is
// checked against the size before it is used, and one reading costs BUDGET bytes at most. What points outside is left
// out and counted. A reading holds when VPP changed the directory neither at its start nor before its end. Pointers are
// of VPP's address space, from `base`; a vector has its length 8 bytes in front of it. Numbers are this machine's, little
// endian. Counters are summed over VPP's threads; above 2^53 they are rounded.
// Reference: VPP's src/vlib/stats/shared.h, src/vppinfra/vec_bootstrap.h; 21.06 and 22.02 number the types otherwise.

import { LcpError } from '../lib/errors.ts';

/** Where the bytes come from. */
export interface SegmentSource {
  /** Bytes there are; may change. */
  size(): number;
  /** Fills `into` with the bytes from `offset` on; false when there are not so many. */
  read(into: Uint8Array, offset: number): boolean;
}

export interface Header {
  /** Grows with every change of the directory. */
  readonly epoch: bigint;
  /** VPP is changing the directory. */
  readonly inProgress: boolean;
  /** Address of the segment in VPP. */
  readonly base: bigint;
  /** Address of the directory in VPP. */
  readonly directory: bigint;
  /** Address of the vectors of error counters that VPP had before 22.06. */
  readonly errors: bigint;
}

export type StatRow =
  | { readonly name: string; readonly kind: 'scalar'; readonly value: number }
  /** A counter each index; of a link the one it points at. */
  | { readonly name: string; readonly kind: 'simple'; readonly values: Float64Array }
  | { readonly name: string; readonly kind: 'combined'; readonly packets: Float64Array; readonly bytes: Float64Array }
  /** '' where there is none. */
  | { readonly name: string; readonly kind: 'names'; readonly names: readonly string[] };

export interface Reading {
  readonly rows: readonly StatRow[];
  /** Entries that point outside the segment, or at nothing that can be. */
  readonly damaged: number;
}

export const STATS_VERSION = 2n;
export const HEADER_SIZE = 48;
export const ENTRY_SIZE = 144;
const NAME_AT = 16;
const NAME_SIZE = 128;
/** In front of a vector. */
const VECTOR_HEADER = 8;
/** Bytes read at once. */
const CHUNK = 1 << 20;
/** Bytes of one reading: two million routes on sixteen threads. */
const BUDGET = 512 << 20;
/** Longest string of a vector of names that is believed. */
const MAX_STRING = 4096;
/** Most pointers of a vector of them: interfaces, for names. */
const MAX_POINTERS = 1 << 18;

type Kind = 'scalar' | 'simple' | 'combined' | 'names' | 'link' | 'error' | 'none';
const KINDS: readonly Kind[] = [
  'none',
  'scalar',
  'simple',
  'combined',
  'names',
  'none',
  'link',
  'none',
  'none',
  'scalar',
];
const OLDER_KINDS: readonly Kind[] = ['none', 'scalar', 'simple', 'combined', 'error', 'names', 'none', 'link'];
/** Every VPP has it, as a vector of names, whose number tells which numbering it uses. */
const LANDMARK = '/if/names';
const OLDER_NAMES = 5;

interface Entry {
  readonly name: string;
  readonly type: number;
  /** Number, pointer, or two indices. */
  readonly value: bigint;
}

interface Vector {
  readonly offset: number;
  readonly length: number;
}

/** Counters of one entry; `bytes` is empty for simple ones. */
interface Sums {
  readonly counts: Float64Array;
  readonly bytes: Float64Array;
}

const NOTHING: Vector = { offset: 0, length: 0 };
const NO_COUNTERS = new Float64Array(0);

function unreadable(message: string): LcpError {
  return new LcpError('VPP_STATS', { op: 'read statistics', message });
}

function entryAt(bytes: Buffer, at: number): Entry {
  const name = at + NAME_AT;
  const length = bytes.subarray(name, name + NAME_SIZE).indexOf(0);
  return {
    name: bytes.toString('utf8', name, name + (length < 0 ? NAME_SIZE : length)),
    type: bytes.readUInt32LE(at),
    value: bytes.readBigUInt64LE(at + 8),
  };
}

export class StatsSegment {
  readonly #source: SegmentSource;
  readonly #chunk = new Uint8Array(CHUNK);
  readonly #chunkView = new DataView(this.#chunk.buffer);
  readonly #head = new Uint8Array(HEADER_SIZE);
  readonly #headView = new DataView(this.#head.buffer);
  #size = 0;
  #left = 0;
  #only: readonly number[] | undefined;
  /** The directory of the last reading: thousands of names that seldom change. */
  #directoryBytes: Buffer = Buffer.alloc(0);
  #entries: readonly Entry[] = [];

  constructor(source: SegmentSource) {
    this.#source = source;
  }

  /** Throws VPP_STATS when it is no segment of a version that we know. */
  header(): Header {
    if (!this.#source.read(this.#head, 0)) throw unreadable('the segment has no header');
    const word = (at: number): bigint => this.#headView.getBigUint64(at, true);
    if (word(0) !== STATS_VERSION) throw unreadable(`its version is ${word(0)}, not ${STATS_VERSION}`);
    return { base: word(8), epoch: word(16), inProgress: word(24) !== 0n, directory: word(32), errors: word(40) };
  }

  /**
   * The entries whose name is wanted; undefined when VPP changed the directory meanwhile. Throws VPP_STATS when there is
   * no directory where the header says, or too much behind it. With `only`, of counters those at these indices, in that order
   * and no others are read, zeros where there are none, and links are left out.
   */
  reading(isWanted: (name: string) => boolean, only?: readonly number[]): Reading | undefined {
    const before = this.header();
    if (before.inProgress) return undefined;
    try {
      const reading = this.#rows(before, isWanted, only);
      return this.#holds(before) ? reading : undefined;
    } catch (error) {
      // What is read in the middle of a change may be anything.
      if (error instanceof LcpError && !this.#holds(before)) return undefined;
      throw error;
    }
  }

  #holds(before: Header): boolean {
    const { epoch, inProgress, directory } = this.header();
    return !inProgress && epoch === before.epoch && directory === before.directory;
  }

  #rows(header: Header, isWanted: (name: string) => boolean, only: readonly number[] | undefined): Reading {
    this.#only = only;
    this.#size = this.#source.size();
    this.#left = BUDGET;
    const entries = this.#directory(header);
    const isOlder = entries.some(({ name, type }) => name === LANDMARK && type === OLDER_NAMES);
    const kinds = isOlder ? OLDER_KINDS : KINDS;
    const sums = new Map<Entry, Sums | undefined>();
    const rows: StatRow[] = [];
    let damaged = 0;
    for (const entry of entries) {
      const kind = kinds[entry.type];
      if (entry.name === '' || kind === 'none' || !isWanted(entry.name)) continue;
      if (kind === 'link' && only !== undefined) continue;
      const row = kind === undefined ? undefined : this.#row(header, entries, kinds, kind, entry, sums);
      if (row === undefined) damaged++;
      else rows.push(row);
    }
    return { rows, damaged };
  }

  #directory(header: Header): readonly Entry[] {
    const vector = this.#vector(header.base, header.directory, ENTRY_SIZE);
    if (vector === undefined || vector.length === 0) throw unreadable('the directory is not in the segment');
    const bytes = this.#bytes(vector.offset, vector.length * ENTRY_SIZE);
    if (bytes === undefined) throw unreadable('the directory ends too early');
    if (!bytes.equals(this.#directoryBytes)) {
      this.#directoryBytes = bytes;
      this.#entries = Array.from({ length: vector.length }, (_, i) => entryAt(bytes, i * ENTRY_SIZE));
    }
    return this.#entries;
  }

  /** The row of an entry; undefined when it is damaged. */
  #row(
    header: Header,
    entries: readonly Entry[],
    kinds: readonly Kind[],
    kind: Kind,
    entry: Entry,
    sums: Map<Entry, Sums | undefined>,
  ): StatRow | undefined {
    const { name } = entry;
    if (kind === 'scalar') return { name, kind, value: Number(entry.value) };
    if (kind === 'names') {
      const names = this.#names(header.base, entry.value);
      return names === undefined ? undefined : { name, kind, names };
    }
    if (kind === 'error') {
      const value = this.#errorCounter(header, entry.value);
      return value === undefined ? undefined : { name, kind: 'simple', values: Float64Array.of(value) };
    }
    const target = kind === 'link' ? entries[Number(entry.value & 0xffff_ffffn)] : entry;
    const of = target === undefined ? undefined : kinds[target.type];
    if (target === undefined || (of !== 'simple' && of !== 'combined')) return undefined;
    if (!sums.has(target)) sums.set(target, this.#sums(header.base, target.value, of === 'combined'));
    const found = sums.get(target);
    if (found === undefined) return undefined;
    const { counts, bytes } = found;
    if (kind !== 'link')
      return of === 'simple' ? { name, kind: of, values: counts } : { name, kind: of, packets: counts, bytes };
    const index = Number(entry.value >> 32n);
    if (index >= counts.length) return undefined;
    const one = (all: Float64Array): Float64Array => all.slice(index, index + 1);
    return of === 'simple'
      ? { name, kind: of, values: one(counts) }
      : { name, kind: of, packets: one(counts), bytes: one(bytes) };
  }

  /** Counters of all threads, added; undefined when a vector is not in the segment. */
  #sums(base: bigint, pointer: bigint, isCombined: boolean): Sums | undefined {
    const size = isCombined ? 16 : 8;
    const threads = this.#pointers(base, pointer)?.map((each) => this.#vector(base, each, size));
    if (threads === undefined || threads.includes(undefined)) return undefined;
    const vectors = threads as readonly Vector[];
    const longest = vectors.reduce((length, each) => Math.max(length, each.length), 0);
    const length = this.#only?.length ?? longest;
    this.#afford(length * size);
    const counts = new Float64Array(length);
    const bytes = isCombined ? new Float64Array(length) : NO_COUNTERS;
    const only = this.#only;
    const isRead = vectors.every((each) =>
      only === undefined ? this.#add(each, counts, bytes, size) : this.#addOnly(each, only, counts, bytes, size),
    );
    return isRead ? { counts, bytes } : undefined;
  }

  #addOnly(
    { offset, length }: Vector,
    only: readonly number[],
    counts: Float64Array,
    bytes: Float64Array,
    size: number,
  ): boolean {
    return only.every((index, n) => {
      if (index >= length) return true;
      const one = { offset: offset + index * size, length: 1 };
      return this.#add(one, counts.subarray(n, n + 1), bytes.subarray(n, n + 1), size);
    });
  }

  #add({ offset, length }: Vector, counts: Float64Array, bytes: Float64Array, size: number): boolean {
    const view = this.#chunkView;
    const most = CHUNK / size;
    for (let from = 0; from < length; from += most) {
      const count = Math.min(most, length - from);
      if (!this.#read(this.#chunk.subarray(0, count * size), offset + from * size)) return false;
      for (let i = 0; i < count; i++) {
        const at = i * size;
        const n = from + i;
        counts[n] = (counts[n] as number) + view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
        if (size === 8) continue;
        bytes[n] = (bytes[n] as number) + view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 0x1_0000_0000;
      }
    }
    return true;
  }

  #names(base: bigint, pointer: bigint): readonly string[] | undefined {
    const names = this.#pointers(base, pointer)?.map((each) => this.#string(base, each));
    return names === undefined || names.includes(undefined) ? undefined : (names as readonly string[]);
  }

  #string(base: bigint, pointer: bigint): string | undefined {
    const vector = this.#vector(base, pointer, 1);
    if (vector === undefined || vector.length > MAX_STRING) return undefined;
    const bytes = this.#bytes(vector.offset, vector.length);
    if (bytes === undefined) return undefined;
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
  }

  /** An error counter of a VPP before 22.06: a vector each thread, one index in all of them. */
  #errorCounter(header: Header, index: bigint): number | undefined {
    let sum = 0;
    for (const pointer of this.#pointers(header.base, header.errors) ?? []) {
      const vector = this.#vector(header.base, pointer, 8);
      if (vector === undefined || index >= BigInt(vector.length)) return undefined;
      if (!this.#read(this.#chunk.subarray(0, 8), vector.offset + 8 * Number(index))) return undefined;
      sum += Number(this.#chunkView.getBigUint64(0, true));
    }
    return sum;
  }

  /** The pointers in a vector of them; undefined when it is not in the segment. */
  #pointers(base: bigint, pointer: bigint): readonly bigint[] | undefined {
    const vector = this.#vector(base, pointer, 8);
    if (vector === undefined || vector.length > MAX_POINTERS) return undefined;
    const bytes = this.#bytes(vector.offset, vector.length * 8);
    if (bytes === undefined) return undefined;
    return Array.from({ length: vector.length }, (_, i) => bytes.readBigUInt64LE(8 * i));
  }

  /** Where a vector lies, with all its elements in the segment; undefined when it does not. A null pointer is an empty one. */
  #vector(base: bigint, pointer: bigint, size: number): Vector | undefined {
    if (pointer === 0n) return NOTHING;
    const distance = pointer - base;
    if (distance < HEADER_SIZE + VECTOR_HEADER || distance > BigInt(this.#size)) return undefined;
    const offset = Number(distance);
    const head = this.#chunk.subarray(0, 4);
    if (!this.#read(head, offset - VECTOR_HEADER)) return undefined;
    const length = this.#chunkView.getUint32(0, true);
    return length * size > this.#size - offset ? undefined : { offset, length };
  }

  #bytes(offset: number, length: number): Buffer | undefined {
    this.#afford(length);
    const bytes = Buffer.alloc(length);
    return this.#source.read(bytes, offset) ? bytes : undefined;
  }

  #read(into: Uint8Array, offset: number): boolean {
    this.#afford(into.length);
    return this.#source.read(into, offset);
  }

  /** Before anything is read or made room for. */
  #afford(length: number): void {
    this.#left -= length;
    if (this.#left < 0) throw unreadable(`it is more than ${BUDGET >> 20} MiB`);
  }
}
