// PrefixTable against a Map that does the same the slow way, and the rules of its records' lives.

import { describe, expect, it } from 'vitest';
import { PrefixTable, packInfo } from '../../../src/lcp/prefixtable.ts';
import { runSeed, seeded } from './kernelbytes.ts';

const SEED = runSeed();
const OPERATIONS = 200_000;

interface Plain {
  chain: number[];
  actual: number;
  dirty: boolean;
  failed: boolean;
}

const chainOf = (t: PrefixTable, record: number): number[] => {
  const out: number[] = [];
  for (let e = t.head[record] as number; e !== 0; e = t.next[e] as number) out.push(t.priority[e] as number);
  return out;
};

describe.each([4, 6] as const)('IPv%d', (family) => {
  /** Few prefixes that differ in each part of the key, so that they meet often. */
  const prefix = (pick: (n: number) => number) => {
    const words = [pick(40) * 0x01010101, pick(3), pick(3), pick(40)].map((w) => w >>> 0);
    const [a0 = 0, a1 = 0, a2 = 0, a3 = 0] = words;
    const table = 250 + pick(5);
    const plen = pick(33);
    return family === 4
      ? { key: `${table} ${a0}/${plen}`, args: [table, plen, a0, 0, 0, 0] as const }
      : { key: `${table} ${words}/${plen}`, args: [table, plen, a0, a1, a2, a3] as const };
  };

  it(`is a Map, over ${OPERATIONS} operations, SEED=${SEED}`, () => {
    const pick = seeded(SEED + family);
    const t = new PrefixTable(family, 16);
    const plain = new Map<string, Plain>();
    const record = new Map<string, number>();
    const names = new Map<number, string>();
    let priority = 0;
    const settle = (key: string, at: number) => {
      t.release(at);
      const p = plain.get(key) as Plain;
      if (p.chain.length > 0 || p.actual !== 0 || p.dirty || p.failed) return;
      plain.delete(key);
      record.delete(key);
      names.delete(at);
    };
    for (let i = 0; i < OPERATIONS; i++) {
      const { key, args } = prefix(pick);
      const known = t.find(...args);
      if (known !== (record.get(key) ?? 0)) throw new Error(`operation ${i}: find ${key} gave ${known}`);
      const operation = pick(8);
      if (operation < 3) {
        const at = t.findOrAdd(...args);
        if (!record.has(key)) {
          expect(names.has(at), 'a record in use is given to nobody else').toBe(false);
          plain.set(key, { chain: [], actual: 0, dirty: false, failed: false });
          record.set(key, at);
          names.set(at, key);
        }
        const p = plain.get(key) as Plain;
        const behind = pick(p.chain.length + 1);
        let previous = 0;
        for (let n = 0; n < behind; n++) previous = (previous === 0 ? t.head[at] : t.next[previous]) as number;
        t.link(at, previous, t.newEntry(++priority, packInfo(1, 4, 0, 0), 7, i));
        p.chain.splice(behind, 0, priority);
      } else if (known !== 0 && operation < 6) {
        const p = plain.get(key) as Plain;
        if (p.chain.length > 0) {
          const which = pick(p.chain.length);
          let previous = 0;
          for (let n = 0; n < which; n++) previous = (previous === 0 ? t.head[known] : t.next[previous]) as number;
          t.unlink(known, previous);
          p.chain.splice(which, 1);
        }
        if (pick(3) === 0) t.actual[known] = p.actual = pick(2) * 17;
        settle(key, known);
      } else if (known !== 0 && operation === 6) {
        const p = plain.get(key) as Plain;
        t.markDirty(known);
        p.dirty = true;
        if (pick(2) === 0) p.failed = !p.failed;
        t.setFailed(known, p.failed);
      } else {
        const taken = t.takeDirty();
        if (taken === 0) continue;
        const name = names.get(taken) as string;
        expect((plain.get(name) as Plain).dirty).toBe(true);
        (plain.get(name) as Plain).dirty = false;
        settle(name, taken);
      }
    }
    expect(t.recordCount).toBe(plain.size);
    expect(t.entryCount).toBe([...plain.values()].reduce((n, p) => n + p.chain.length, 0));
    expect(t.dirtyCount).toBe([...plain.values()].filter((p) => p.dirty).length);
    expect(t.failedCount).toBe([...plain.values()].filter((p) => p.failed).length);
    const visited = new Set<number>();
    t.forEach((at) => {
      visited.add(at);
      const p = plain.get(names.get(at) as string) as Plain;
      expect(chainOf(t, at)).toEqual(p.chain);
      expect(t.actual[at]).toBe(p.actual);
      expect(t.isFailed(at)).toBe(p.failed);
    });
    expect(visited.size).toBe(plain.size);
  });

  it('grows from its first capacity, keeps what it has and knows its memory', () => {
    const t = new PrefixTable(family, 16);
    const small = t.memory;
    const count = 100_000;
    for (let i = 0; i < count; i++) t.markDirty(t.findOrAdd(254, 32, i, 0, 0, i & 7));
    expect(t.recordCount).toBe(count);
    expect(t.dirtyCount).toBe(count);
    for (let i = 0; i < count; i += 997) {
      const at = t.find(254, 32, i, 0, 0, i & 7);
      expect(t.addr[at * t.words]).toBe(i);
      expect(t.isLive(at)).toBe(true);
    }
    expect(t.memory).toBeGreaterThan(small * 1000);
    expect(t.memory / count).toBeLessThan(family === 4 ? 90 : 110);
  });
});

describe('a record', () => {
  const one = () => {
    const t = new PrefixTable(4, 16);
    return { t, at: t.findOrAdd(254, 24, 10) };
  };

  it.each([
    [
      'an entry',
      (t: PrefixTable, at: number) => t.link(at, 0, t.newEntry(0, 0, 1, 1)),
      (t: PrefixTable, at: number) => t.unlink(at, 0),
    ],
    [
      'an actual handle',
      (t: PrefixTable, at: number) => t.actual.set([16], at),
      (t: PrefixTable, at: number) => t.actual.set([0], at),
    ],
    ['a place in the queue', (t: PrefixTable, at: number) => t.markDirty(at), (t: PrefixTable) => t.takeDirty()],
    [
      'a refusal',
      (t: PrefixTable, at: number) => t.setFailed(at, true),
      (t: PrefixTable, at: number) => t.setFailed(at, false),
    ],
  ])('lives while it has %s', (_, hold, free) => {
    const { t, at } = one();
    hold(t, at);
    t.release(at);
    expect(t.find(254, 24, 10)).toBe(at);
    free(t, at);
    t.release(at);
    expect(t.find(254, 24, 10)).toBe(0);
    expect(t.isLive(at)).toBe(false);
    expect(t.recordCount).toBe(0);
  });

  it('is given to the next prefix clean', () => {
    const { t, at } = one();
    t.release(at);
    const next = t.findOrAdd(100, 8, 20);
    expect(next).toBe(at);
    expect([t.table[next], t.plen[next], t.head[next], t.actual[next]]).toEqual([100, 8, 0, 0]);
  });

  it('is queued once, in the order of the first marks, across the end of the ring', () => {
    const t = new PrefixTable(4, 16);
    const records = Array.from({ length: 200 }, (_, i) => t.findOrAdd(254, 32, i));
    for (const at of records.slice(0, 60)) t.markDirty(at);
    for (const at of records.slice(0, 50)) expect(t.takeDirty()).toBe(at);
    for (const at of records.slice(50)) t.markDirty(at);
    for (const at of records.slice(50)) t.markDirty(at);
    expect(t.dirtyCount).toBe(150);
    for (const at of records.slice(50)) expect(t.takeDirty()).toBe(at);
    expect(t.takeDirty()).toBe(0);
  });

  it('counts as failed once', () => {
    const { t, at } = one();
    t.setFailed(at, true);
    t.setFailed(at, true);
    expect(t.failedCount).toBe(1);
    t.setFailed(at, false);
    t.setFailed(at, false);
    expect(t.failedCount).toBe(0);
  });
});
