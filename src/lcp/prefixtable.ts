// All routes of one namespace and family, in typed arrays: 1.2 million of them are normal.
//
// A *prefix record* (table, address, length) holds the head of its chain of *entries* (what the
// kernel has: one per metric, tos or append) and `actual`, the handle that the data plane holds for
// it. So kernel and actual state meet in one record, and desired is derived from the chain:
//
//   slots ─► record { table, addr, plen, actual, dirty, head } ─► entry ─► entry … (kernel's order)
//                                                                { prio, type|proto|scope|tos, pathset }
//
// A record lives while it has entries, an actual handle, or is dirty, failed or sent. Index 0 is "none"
// for records and entries. Address words are raw loads of network-order bytes.
// About 50 bytes a route for IPv4, 66 for IPv6, before growth slack.

import type { RouteFamily } from './objects.ts';

/** Value of `actual` where the data plane holds something for the prefix, but perhaps not what its target says now. */
export const ACTUAL_UNKNOWN = 0xffffffff;
const DIRTY = 1;
const FAILED = 2;
const SENT = 4;

const grow32 = (a: Uint32Array, n: number): Uint32Array<ArrayBuffer> => {
  const b = new Uint32Array(n);
  b.set(a);
  return b;
};
const grow8 = (a: Uint8Array, n: number): Uint8Array<ArrayBuffer> => {
  const b = new Uint8Array(n);
  b.set(a);
  return b;
};

/** Packs what identifies an entry besides table, prefix and priority. */
export const packInfo = (type: number, protocol: number, scope: number, tos: number): number =>
  (type | (protocol << 8) | (scope << 16) | (tos << 24)) >>> 0;

export const routeTypeOf = (info: number): number => info & 0xff;
export const routeTosOf = (info: number): number => info >>> 24;
export const routeProtocolOf = (info: number): number => (info >>> 8) & 0xff;
/** IPv6: 1 low, 2 medium, 3 high. */
export const preferenceOf = (info: number): number => routeTosOf(info) ^ 2;

export class PrefixTable {
  readonly family: RouteFamily;
  /** 32-bit words of one address: 1 or 4. */
  readonly words: 1 | 4;

  // prefix records
  addr: Uint32Array;
  table: Uint32Array;
  plen: Uint8Array;
  head: Uint32Array;
  actual: Uint32Array;
  #flags: Uint8Array;
  #records = 1;
  #freeRecord = 0;
  #slots: Uint32Array;
  #shift: number;
  #live = 0;

  // entries
  priority: Uint32Array;
  info: Uint32Array;
  pathset: Uint32Array;
  next: Uint32Array;
  /** Epoch of the last dump or notice that showed the entry. */
  seen: Uint32Array;
  #entries = 1;
  #freeEntry = 0;
  #entryCount = 0;

  // dirty queue: every record at most once, so it is bounded by the number of records
  #queue: Uint32Array;
  #queueHead = 0;
  #queueCount = 0;
  #failed = 0;

  constructor(family: RouteFamily, capacity = 1024) {
    this.family = family;
    this.words = family === 6 ? 4 : 1;
    const n = Math.max(16, capacity);
    this.addr = new Uint32Array(n * this.words);
    this.table = new Uint32Array(n);
    this.plen = new Uint8Array(n);
    this.head = new Uint32Array(n);
    this.actual = new Uint32Array(n);
    this.#flags = new Uint8Array(n);
    let slots = 32;
    while (slots < n * 2) slots *= 2;
    this.#slots = new Uint32Array(slots);
    this.#shift = 32 - Math.log2(slots);
    this.priority = new Uint32Array(n);
    this.info = new Uint32Array(n);
    this.pathset = new Uint32Array(n);
    this.next = new Uint32Array(n);
    this.seen = new Uint32Array(n);
    this.#queue = new Uint32Array(64);
  }

  /** Number of kernel entries. */
  get entryCount(): number {
    return this.#entryCount;
  }
  /** Number of prefix records. */
  get recordCount(): number {
    return this.#live;
  }
  get dirtyCount(): number {
    return this.#queueCount;
  }
  /** Records whose last operation was refused. */
  get failedCount(): number {
    return this.#failed;
  }
  /** One above the highest record index: for iteration together with isLive. */
  get recordEnd(): number {
    return this.#records;
  }

  isLive(record: number): boolean {
    return record > 0 && record < this.#records && (this.plen[record] as number) !== 255;
  }
  isFailed(record: number): boolean {
    return ((this.#flags[record] as number) & FAILED) !== 0;
  }

  /** Whether the data plane has yet to answer for it. */
  isSent(record: number): boolean {
    return ((this.#flags[record] as number) & SENT) !== 0;
  }

  #hash(table: number, plen: number, a0: number, a1: number, a2: number, a3: number): number {
    let h = Math.imul(a0 ^ (table << 8) ^ plen, 0x9e3779b1);
    if (this.words === 4) {
      h = Math.imul((h ^ (h >>> 15)) + a1, 0x85ebca6b);
      h = Math.imul((h ^ (h >>> 13)) + a2, 0xc2b2ae35);
      h = Math.imul((h ^ (h >>> 16)) + a3, 0x27d4eb2f);
    }
    h ^= h >>> 15;
    h = Math.imul(h, 0x2c1b3c6d);
    return (h ^ (h >>> 12)) >>> 0;
  }

  #hashOf(record: number): number {
    const w = record * this.words;
    const six = this.words === 4;
    return this.#hash(
      this.table[record] as number,
      this.plen[record] as number,
      this.addr[w] as number,
      six ? (this.addr[w + 1] as number) : 0,
      six ? (this.addr[w + 2] as number) : 0,
      six ? (this.addr[w + 3] as number) : 0,
    );
  }

  #equals(record: number, table: number, plen: number, a0: number, a1: number, a2: number, a3: number): boolean {
    const w = record * this.words;
    if (this.addr[w] !== a0 || this.plen[record] !== plen || this.table[record] !== table) return false;
    return this.words === 1 || (this.addr[w + 1] === a1 && this.addr[w + 2] === a2 && this.addr[w + 3] === a3);
  }

  /** The record of a prefix, 0 when there is none. */
  find(table: number, plen: number, a0: number, a1 = 0, a2 = 0, a3 = 0): number {
    const mask = this.#slots.length - 1;
    let slot = this.#hash(table, plen, a0, a1, a2, a3) >>> this.#shift;
    for (;;) {
      const record = this.#slots[slot] as number;
      if (record === 0 || this.#equals(record, table, plen, a0, a1, a2, a3)) return record;
      slot = (slot + 1) & mask;
    }
  }

  /** The record of a prefix, made when absent. Bits beyond plen must be 0. */
  findOrAdd(table: number, plen: number, a0: number, a1 = 0, a2 = 0, a3 = 0): number {
    const found = this.find(table, plen, a0, a1, a2, a3);
    if (found !== 0) return found;
    if ((this.#live + 1) * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    let record = this.#freeRecord;
    if (record !== 0) {
      this.#freeRecord = this.head[record] as number;
    } else {
      record = this.#records++;
      if (record >= this.table.length) this.#growRecords(this.table.length * 2);
    }
    const w = record * this.words;
    this.addr[w] = a0;
    if (this.words === 4) {
      this.addr[w + 1] = a1;
      this.addr[w + 2] = a2;
      this.addr[w + 3] = a3;
    }
    this.table[record] = table;
    this.plen[record] = plen;
    this.head[record] = 0;
    this.actual[record] = 0;
    this.#flags[record] = 0;
    this.#live++;
    this.#place(record);
    return record;
  }

  #place(record: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#hashOf(record) >>> this.#shift;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = record;
  }

  #rehash(size: number): void {
    this.#slots = new Uint32Array(size);
    this.#shift = 32 - Math.log2(size);
    for (let r = 1; r < this.#records; r++) if ((this.plen[r] as number) !== 255) this.#place(r);
  }

  #growRecords(n: number): void {
    this.addr = grow32(this.addr, n * this.words);
    this.table = grow32(this.table, n);
    this.plen = grow8(this.plen, n);
    this.head = grow32(this.head, n);
    this.actual = grow32(this.actual, n);
    this.#flags = grow8(this.#flags, n);
  }

  /** Frees a record that nothing needs any more; call after every change that may end one. */
  release(record: number): void {
    if (this.head[record] !== 0 || this.actual[record] !== 0 || this.#flags[record] !== 0) return;
    const mask = this.#slots.length - 1;
    let hole = this.#hashOf(record) >>> this.#shift;
    while (this.#slots[hole] !== record) hole = (hole + 1) & mask;
    // close the gap so that probes need no tombstones
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const other = this.#slots[slot] as number;
      if (other === 0) break;
      const home = this.#hashOf(other) >>> this.#shift;
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        this.#slots[hole] = other;
        hole = slot;
      }
    }
    this.#slots[hole] = 0;
    this.plen[record] = 255;
    this.head[record] = this.#freeRecord;
    this.#freeRecord = record;
    this.#live--;
  }

  /** Makes an entry; the caller links it into a chain. */
  newEntry(priority: number, info: number, pathset: number, seen: number): number {
    let entry = this.#freeEntry;
    if (entry !== 0) {
      this.#freeEntry = this.next[entry] as number;
    } else {
      entry = this.#entries++;
      if (entry >= this.next.length) {
        const n = this.next.length * 2;
        this.priority = grow32(this.priority, n);
        this.info = grow32(this.info, n);
        this.pathset = grow32(this.pathset, n);
        this.next = grow32(this.next, n);
        this.seen = grow32(this.seen, n);
      }
    }
    this.priority[entry] = priority;
    this.info[entry] = info;
    this.pathset[entry] = pathset;
    this.next[entry] = 0;
    this.seen[entry] = seen;
    this.#entryCount++;
    return entry;
  }

  /** Links entry behind `previous` (0: at the head) in a record's chain. */
  link(record: number, previous: number, entry: number): void {
    if (previous === 0) {
      this.next[entry] = this.head[record] as number;
      this.head[record] = entry;
    } else {
      this.next[entry] = this.next[previous] as number;
      this.next[previous] = entry;
    }
  }

  /** Unlinks and frees the entry behind `previous` (0: the head). */
  unlink(record: number, previous: number): void {
    const entry = (previous === 0 ? this.head[record] : this.next[previous]) as number;
    const after = this.next[entry] as number;
    if (previous === 0) this.head[record] = after;
    else this.next[previous] = after;
    this.next[entry] = this.#freeEntry;
    this.#freeEntry = entry;
    this.#entryCount--;
  }

  /** Queues a record for the next round; a record is queued at most once. */
  markDirty(record: number): void {
    const flags = this.#flags[record] as number;
    if (flags & DIRTY) return;
    this.#flags[record] = flags | DIRTY;
    const size = this.#queue.length;
    if (this.#queueCount === size) {
      const bigger = new Uint32Array(size * 2);
      for (let i = 0; i < size; i++) bigger[i] = this.#queue[(this.#queueHead + i) & (size - 1)] as number;
      this.#queue = bigger;
      this.#queueHead = 0;
    }
    this.#queue[(this.#queueHead + this.#queueCount++) & (this.#queue.length - 1)] = record;
  }

  /** Takes the oldest dirty record, 0 when there is none. It is no longer dirty. */
  takeDirty(): number {
    if (this.#queueCount === 0) return 0;
    const record = this.#queue[this.#queueHead] as number;
    this.#queueHead = (this.#queueHead + 1) & (this.#queue.length - 1);
    this.#queueCount--;
    this.#flags[record] = (this.#flags[record] as number) & ~DIRTY;
    return record;
  }

  setFailed(record: number, failed: boolean): void {
    const flags = this.#flags[record] as number;
    if (((flags & FAILED) !== 0) === failed) return;
    this.#flags[record] = flags ^ FAILED;
    this.#failed += failed ? 1 : -1;
  }

  setSent(record: number, sent: boolean): void {
    const flags = this.#flags[record] as number;
    this.#flags[record] = sent ? flags | SENT : flags & ~SENT;
  }

  /** Calls back for every live record. The callback must not add records. */
  forEach(visit: (record: number) => void): void {
    for (let r = 1; r < this.#records; r++) if ((this.plen[r] as number) !== 255) visit(r);
  }

  /** Bytes held by the arrays. */
  get memory(): number {
    const arrays = [
      this.addr,
      this.table,
      this.plen,
      this.head,
      this.actual,
      this.#flags,
      this.#slots,
      this.priority,
      this.info,
      this.pathset,
      this.next,
      this.seen,
      this.#queue,
    ];
    return arrays.reduce((sum, a) => sum + a.byteLength, 0);
  }
}
