// Journal: what a restarted lcpd must know of punts and can ask nobody for.
//
// One file, a line a record, each with its own checksum and only ever appended; what must not be forgotten is on the disk
// before it is done. A crash at any byte leaves whole lines and at most one broken one at the end, which was not acted
// upon yet and is cut off. A file that has become long is written anew beside it and renamed. It keeps: requests that were
// made by hand, the age of all, the numbers of allocations.ts, and what data planes hold and cannot tell of.

import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import { type Punt, puntKey } from '../lcp/puntobjects.ts';
import { LcpError, messageOf } from '../lib/errors.ts';
import type { AllocationState } from './allocations.ts';
import { idText, type PuntRequest } from './request.ts';

export interface KeptRequest {
  readonly request: PuntRequest;
  readonly source: string;
}

/** A punt that the data plane was told. sure: it has answered; else it may or may not have it. */
export interface HeldPunt {
  readonly punt: Punt;
  /** DataPlaneInfo.generation of who was told: another one knows nothing of it. */
  readonly generation: string;
  readonly sure: boolean;
}

type JournalRecord =
  | { readonly r: 'request'; readonly request: PuntRequest; readonly source: string }
  | { readonly r: 'drop'; readonly id: string }
  | { readonly r: 'ages'; readonly ids: readonly string[] }
  | { readonly r: 'numbers'; readonly state: AllocationState }
  | { readonly r: 'held'; readonly punt: Punt; readonly generation: string; readonly sure: boolean }
  | { readonly r: 'gone'; readonly key: string };

const HEAD = 'lcpd-punts 1';
/** Bytes of records that are no longer true, before the file is written anew. */
const WASTE = 256 * 1024;

const lineOf = (record: JournalRecord): string => {
  const text = JSON.stringify(record);
  return `${crc32(text).toString(16).padStart(8, '0')} ${text}\n`;
};

/** The record of a line; undefined: it is not a whole one. */
function recordOf(line: string): JournalRecord | undefined {
  const text = line.slice(9);
  if (line[8] !== ' ' || crc32(text) !== Number.parseInt(line.slice(0, 8), 16)) return undefined;
  return JSON.parse(text) as JournalRecord;
}

/** One level only: a whole path that is missing is a mistake rather than a wish. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, 0o750);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

export class Journal {
  readonly #path: string;
  #fd = -1;
  #size = 0;
  /** Size of the file when it was written anew last. */
  #lean = 0;
  readonly #requests = new Map<string, KeptRequest>();
  /** By key: one that is sure, or all that may be there. */
  readonly #held = new Map<string, readonly HeldPunt[]>();
  #numbers: AllocationState | undefined;
  #ages: readonly string[] = [];
  /** Bytes at the end that were no record: what a crash has left. */
  readonly cut: number;

  /** Opens or makes it. Throws LcpError PUNT_JOURNAL when that cannot be, or when it is no journal. */
  constructor(path: string) {
    this.#path = path;
    try {
      makeFolder(dirname(path));
      this.#fd = openSync(path, 'a+', 0o640);
      this.cut = this.#read(readFileSync(path));
      if (this.#size === 0) this.#write(`${HEAD}\n`);
      this.#lean = this.#size;
    } catch (error) {
      if (this.#fd >= 0) closeSync(this.#fd);
      throw error instanceof LcpError ? error : this.#error('open', error);
    }
  }

  #error(op: string, error: unknown): LcpError {
    return new LcpError('PUNT_JOURNAL', { op: `${op} journal`, key: this.#path, message: messageOf(error) });
  }

  get requests(): readonly KeptRequest[] {
    return [...this.#requests.values()];
  }
  /** Ids of requests, those of the configuration too, the oldest first. */
  get ages(): readonly string[] {
    return this.#ages;
  }
  get numbers(): AllocationState | undefined {
    return this.#numbers;
  }
  /** What the data plane of a generation holds, as far as it was told; of one key it has one, whichever that is. */
  held(generation: string): readonly HeldPunt[] {
    return [...this.#held.values()].flat().filter((held) => held.generation === generation);
  }

  #read(bytes: Buffer): number {
    let at = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, at)) {
      const line = bytes.toString('utf8', at, end);
      if (at === 0) {
        if (line !== HEAD) throw this.#error('read', new Error(`it does not begin with "${HEAD}"`));
      } else {
        const record = recordOf(line);
        // a broken line with whole ones behind it was not left by a crash
        if (record === undefined && bytes.indexOf(10, end + 1) >= 0)
          throw this.#error('read', new Error(`the record at byte ${at} is damaged`));
        if (record === undefined) break;
        this.#take(record);
      }
      at = end + 1;
    }
    if (at < bytes.length) ftruncateSync(this.#fd, at);
    this.#size = at;
    return bytes.length - at;
  }

  #take(record: JournalRecord): void {
    switch (record.r) {
      case 'request':
        this.#requests.set(idText(record.request.id), { request: record.request, source: record.source });
        return;
      case 'drop':
        this.#requests.delete(record.id);
        return;
      case 'ages':
        this.#ages = record.ids;
        return;
      case 'numbers':
        this.#numbers = record.state;
        return;
      case 'held': {
        const { punt, generation, sure } = record;
        const key = puntKey(punt);
        // what it is to take the place of is there until the data plane has answered
        const others = (this.#held.get(key) ?? []).filter(
          (held) => !sure && held.generation === generation && !isDeepStrictEqual(held.punt, punt),
        );
        this.#held.set(key, [...others.map((held) => ({ ...held, sure })), { punt, generation, sure }]);
        return;
      }
      case 'gone':
        this.#held.delete(record.key);
        return;
    }
  }

  #write(text: string): void {
    const bytes = Buffer.from(text);
    let done = 0;
    try {
      while (done < bytes.length) done += writeSync(this.#fd, bytes, done);
      fdatasyncSync(this.#fd);
    } catch (error) {
      // half a record would stand in the way of the next one
      if (done > 0) ftruncateSync(this.#fd, this.#size);
      throw error;
    }
    this.#size += bytes.length;
  }

  /** Throws LcpError PUNT_JOURNAL; then nothing of it is remembered. */
  #append(records: readonly JournalRecord[]): void {
    if (records.length === 0) return;
    try {
      this.#write(records.map(lineOf).join(''));
    } catch (error) {
      throw this.#error('write', error);
    }
    for (const record of records) this.#take(record);
    if (this.#size - this.#lean > WASTE) this.#compact();
  }

  /** Writes what is true into a new file, which takes the place of the old one in one step. */
  #compact(): void {
    const records: JournalRecord[] = [
      ...this.requests.map((kept) => ({ r: 'request' as const, ...kept })),
      { r: 'ages', ids: this.#ages },
      ...(this.#numbers === undefined ? [] : [{ r: 'numbers' as const, state: this.#numbers }]),
      ...[...this.#held.values()].flat().map((held) => ({ r: 'held' as const, ...held })),
    ];
    const path = `${this.#path}.new`;
    const before = { fd: this.#fd, size: this.#size };
    try {
      this.#fd = openSync(path, 'w', 0o640);
      this.#size = 0;
      this.#write(`${HEAD}\n${records.map(lineOf).join('')}`);
      renameSync(path, this.#path);
      const folder = openSync(dirname(this.#path), 'r');
      fsyncSync(folder);
      closeSync(folder);
      closeSync(before.fd);
      this.#lean = this.#size;
    } catch (error) {
      // the old one is as good as before, only longer
      if (this.#fd !== before.fd) closeSync(this.#fd);
      this.#fd = before.fd;
      this.#size = before.size;
      this.#lean = before.size;
      throw this.#error('compact', error);
    }
  }

  keep(request: PuntRequest, source: string): void {
    this.#append([{ r: 'request', request, source }]);
  }

  drop(id: string): void {
    if (this.#requests.has(id)) this.#append([{ r: 'drop', id }]);
  }

  /** Who is older than whom. */
  age(ids: readonly string[]): void {
    this.#append([{ r: 'ages', ids }]);
  }

  renumber(state: AllocationState): void {
    this.#append([{ r: 'numbers', state }]);
  }

  /** Before a data plane is told of punts, or told to forget them: from here on it may have them or not. */
  intend(punts: readonly Punt[], generation: string): void {
    this.#append(punts.map((punt) => ({ r: 'held', punt, generation, sure: false })));
  }

  /** It has answered. */
  done(set: readonly Punt[], deleted: readonly Punt[], generation: string): void {
    this.#append([
      ...set.map((punt) => ({ r: 'held' as const, punt, generation, sure: true })),
      ...deleted.map((punt) => ({ r: 'gone' as const, key: puntKey(punt) })),
    ]);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
