// Trace: the last messages between lcpd and VPP, for those who must see what was said.
//
// Invariants: memory is fixed when it is made; recording copies at most SLOT bytes and formats nothing. Messages sent
// in bulk are one row for each stretch, and those of them that were refused are rows of their own.

import { toHex } from '../lib/bytes.ts';

/** Bytes that are kept of a message. */
const SLOT = 256;

export type Direction = 'sent' | 'received';

export interface TraceRow {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly direction: Direction;
  readonly name: string;
  /** Messages that the row stands for. */
  readonly count: number;
  /** Bytes of the message, the first where the row stands for many. */
  readonly length: number;
  /** The bytes, as far as they were kept. */
  readonly bytes: Uint8Array;
  /** What was noticed about it. */
  readonly note: string;
}

export class Trace {
  readonly #slots: number;
  readonly #bytes: Uint8Array;
  readonly #times: Float64Array;
  readonly #counts: Uint32Array;
  readonly #lengths: Uint32Array;
  readonly #names: string[];
  readonly #notes: string[];
  readonly #received: Uint8Array;
  #written = 0;

  /** Keeps the last `slots` rows. */
  constructor(slots = 512) {
    this.#slots = slots;
    this.#bytes = new Uint8Array(slots * SLOT);
    this.#times = new Float64Array(slots);
    this.#counts = new Uint32Array(slots);
    this.#lengths = new Uint32Array(slots);
    this.#names = new Array<string>(slots).fill('');
    this.#notes = new Array<string>(slots).fill('');
    this.#received = new Uint8Array(slots);
  }

  /** Keeps the message between two offsets. */
  record(direction: Direction, name: string, bytes: Uint8Array, at: number, end: number, count = 1, note = ''): void {
    const slot = this.#written++ % this.#slots;
    this.#times[slot] = Date.now();
    this.#counts[slot] = count;
    this.#lengths[slot] = end - at;
    this.#names[slot] = name;
    this.#notes[slot] = note;
    this.#received[slot] = direction === 'received' ? 1 : 0;
    const base = slot * SLOT;
    const kept = Math.min(SLOT, end - at);
    for (let i = 0; i < kept; i++) this.#bytes[base + i] = bytes[at + i] as number;
  }

  /** Rows that were recorded, also those that are no longer kept. */
  get recorded(): number {
    return this.#written;
  }

  /** The kept rows, oldest first. */
  rows(): readonly TraceRow[] {
    const first = Math.max(0, this.#written - this.#slots);
    return Array.from({ length: this.#written - first }, (_, i) => this.#row((first + i) % this.#slots));
  }

  #row(slot: number): TraceRow {
    const length = this.#lengths[slot] as number;
    return {
      time: this.#times[slot] as number,
      direction: this.#received[slot] === 1 ? 'received' : 'sent',
      name: this.#names[slot] as string,
      count: this.#counts[slot] as number,
      length,
      bytes: this.#bytes.slice(slot * SLOT, slot * SLOT + Math.min(SLOT, length)),
      note: this.#notes[slot] as string,
    };
  }
}

/** One line for a row, without its time. */
export function traceLine(row: TraceRow): string {
  const many = row.count > 1 ? ` × ${row.count}` : '';
  const note = row.note === '' ? '' : ` (${row.note})`;
  const rest = row.bytes.length < row.length ? '…' : '';
  return `${row.direction} ${row.name}${many}, ${row.length} bytes${note}: ${toHex(row.bytes)}${rest}`;
}
