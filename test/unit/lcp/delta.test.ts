// DeltaTable: what is open, what is due, how a refusal waits, and starting over from a dump.

import { describe, expect, it } from 'vitest';
import { DeltaTable } from '../../../src/lcp/delta.ts';
import type { LcpObject, Neighbour, Pair, Table } from '../../../src/lcp/objects.ts';

const RETRY = { initialMs: 100, maxMs: 1000 };
const neighbour = (mac = '02:00:00:00:00:01'): Neighbour => ({
  kind: 'neighbour',
  phy: 'wan0',
  family: 4,
  address: '10.0.0.2',
  mac,
});
const table: Table = { kind: 'table', netns: 'cp', family: 4, table: 254 };
const pair: Pair = { kind: 'pair', phy: 'wan0', phyIfindex: 3, host: 'e0', netns: 'cp', netnsId: '4:1', type: 'tap' };
const NEIGHBOUR = 'wan0 10.0.0.2';

const want = (d: DeltaTable, o: LcpObject, key: string) => d.want(o.kind, key, o);
const due = (d: DeltaTable, op: 'set' | 'delete', now = 0) =>
  d.due(op, ['pair', 'table', 'link', 'neighbour', 'pathset'], now).map((o) => o.object.kind);

describe('open and due', () => {
  it('a wish is open until it is granted', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    expect([d.openCount, d.desiredCount, d.isOpen('neighbour', NEIGHBOUR)]).toEqual([1, 1, true]);
    const [operation] = d.due('set', ['neighbour'], 0);
    expect(operation).toEqual({ op: 'set', object: neighbour(), handle: 0 });
    if (operation !== undefined) d.settle(operation, { ok: true, handle: 9 }, 0);
    expect([d.openCount, d.row('neighbour', NEIGHBOUR)?.handle, due(d, 'set')]).toEqual([0, 9, []]);
  });

  it('the same wish again opens nothing; another one carries the handle', () => {
    const d = new DeltaTable(RETRY);
    d.hold(neighbour(), 9);
    want(d, neighbour(), NEIGHBOUR);
    want(d, neighbour(), NEIGHBOUR);
    expect([d.openCount, d.desiredCount]).toEqual([0, 1]);
    want(d, neighbour('02:00:00:00:00:02'), NEIGHBOUR);
    expect(d.due('set', ['neighbour'], 0)).toEqual([{ op: 'set', object: neighbour('02:00:00:00:00:02'), handle: 9 }]);
  });

  it('what is held and not wished for is due for deletion, with what was held', () => {
    const d = new DeltaTable(RETRY);
    d.hold(neighbour(), 9);
    expect(due(d, 'set')).toEqual([]);
    const [operation] = d.due('delete', ['neighbour'], 0);
    expect(operation).toEqual({ op: 'delete', object: neighbour(), handle: 9 });
    if (operation !== undefined) d.settle(operation, { ok: true }, 0);
    expect([d.openCount, d.row('neighbour', NEIGHBOUR)]).toEqual([0, undefined]);
  });

  it('a wish that is taken back before it was granted leaves nothing', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    d.want('neighbour', NEIGHBOUR, undefined);
    expect([d.openCount, d.desiredCount, d.row('neighbour', NEIGHBOUR)]).toEqual([0, 0, undefined]);
    d.want('neighbour', 'nobody', undefined);
    expect([...d.rows('neighbour')]).toEqual([]);
  });

  it('sets go in the order of kinds, deletes the other way', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    want(d, table, 'cp/v4/254');
    want(d, pair, 'wan0');
    expect(due(d, 'set')).toEqual(['pair', 'table', 'neighbour']);
    const held = new DeltaTable(RETRY);
    for (const o of [pair, table, neighbour()]) held.hold(o, 1);
    expect(due(held, 'delete')).toEqual(['neighbour', 'table', 'pair']);
  });

  it('invalidated, it is asked for again; not held, there is nothing to invalidate', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    d.invalidate('neighbour', NEIGHBOUR);
    d.invalidate('neighbour', 'nobody');
    d.hold(neighbour(), 9);
    expect(d.openCount).toBe(0);
    d.invalidate('neighbour', NEIGHBOUR);
    expect(d.due('set', ['neighbour'], 0)).toEqual([{ op: 'set', object: neighbour(), handle: 9 }]);
  });

  it('path sets are the same whatever the order of their legs', () => {
    const d = new DeltaTable(RETRY);
    const legs = ['10.0.0.2', '10.0.0.3'].map((via) => ({ phy: 'wan0', via, weight: 1 }));
    d.hold({ kind: 'pathset', id: 'cp#1', paths: legs }, 16);
    d.want('pathset', 'cp#1', { kind: 'pathset', id: 'cp#1', paths: [...legs].reverse() });
    expect(d.openCount).toBe(0);
    d.want('pathset', 'cp#1', { kind: 'pathset', id: 'cp#1', paths: legs.slice(1) });
    expect(d.openCount).toBe(1);
  });
});

describe('refusals', () => {
  const refuse = (d: DeltaTable, now: number) => {
    const [operation] = d.due('set', ['neighbour'], now);
    if (operation === undefined) throw new Error(`nothing due at ${now}`);
    d.settle(operation, { ok: false, code: 'TABLES_FULL', message: 'full', hint: 'more' }, now);
  };

  it('wait longer each time, up to the most, and keep their age', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    let now = 1000;
    for (const delay of [100, 200, 400, 800, 1000, 1000]) {
      refuse(d, now);
      expect(d.row('neighbour', NEIGHBOUR)?.failure).toMatchObject({
        since: 1000,
        retryAt: now + delay,
        code: 'TABLES_FULL',
      });
      expect(due(d, 'set', now + delay - 1)).toEqual([]);
      expect(due(d, 'set', now + delay)).toEqual(['neighbour']);
      expect(d.nextRetryAt()).toBe(now + delay);
      now += delay;
    }
    expect(d.row('neighbour', NEIGHBOUR)?.failure?.attempts).toBe(6);
  });

  it('are due at once when what stood in their way may be gone, and wait as long as before when it is not', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    for (const now of [0, 100]) refuse(d, now);
    d.hurry('table', 110);
    expect(due(d, 'set', 110)).toEqual([]);
    d.hurry('neighbour', 110);
    expect(due(d, 'set', 110)).toEqual(['neighbour']);
    refuse(d, 110);
    expect(d.row('neighbour', NEIGHBOUR)?.failure).toMatchObject({ since: 0, attempts: 3, retryAt: 510 });
  });

  it('do not hold up others', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    want(d, table, 'cp/v4/254');
    refuse(d, 0);
    expect(due(d, 'set', 1)).toEqual(['table']);
    expect(d.failures().map((r) => r.key)).toEqual([NEIGHBOUR]);
  });

  it('end with a change of mind, but not with the same wish again', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    refuse(d, 0);
    want(d, neighbour(), NEIGHBOUR);
    expect(due(d, 'set', 1)).toEqual([]);
    want(d, neighbour('02:00:00:00:00:02'), NEIGHBOUR);
    expect(due(d, 'set', 1)).toEqual(['neighbour']);
    expect([d.failures(), d.nextRetryAt()]).toEqual([[], undefined]);
  });

  it('of a deletion wait too, however often it is not wished for', () => {
    const d = new DeltaTable(RETRY);
    d.hold(neighbour(), 9);
    const [operation] = d.due('delete', ['neighbour'], 0);
    if (operation !== undefined) d.settle(operation, { ok: false }, 0);
    d.want('neighbour', NEIGHBOUR, undefined);
    expect([due(d, 'delete', 99), due(d, 'delete', 100)]).toEqual([[], ['neighbour']]);
    expect(d.row('neighbour', NEIGHBOUR)?.failure?.code).toBe('REFUSED');
  });

  it('are listed oldest first', () => {
    const d = new DeltaTable(RETRY);
    const two = { ...neighbour(), address: '10.0.0.3' };
    want(d, neighbour(), NEIGHBOUR);
    refuse(d, 50);
    want(d, two, 'wan0 10.0.0.3');
    d.settle({ op: 'set', object: two, handle: 0 }, { ok: false }, 20);
    expect(d.failures().map((r) => r.key)).toEqual(['wan0 10.0.0.3', NEIGHBOUR]);
  });

  const one = (d: DeltaTable, op: 'set' | 'delete', kind: 'neighbour' | 'pair', ok: boolean): LcpObject | undefined => {
    const [operation] = d.due(op, [kind], 9999);
    if (operation !== undefined) d.settle(operation, { ok }, 0);
    return operation?.object;
  };

  it('may have been done by half: what was held is told again when it is wished for again', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    expect(one(d, 'set', 'neighbour', true)).toEqual(neighbour());
    want(d, neighbour('02:00:00:00:00:02'), NEIGHBOUR);
    expect(one(d, 'set', 'neighbour', false)).toEqual(neighbour('02:00:00:00:00:02'));
    want(d, neighbour(), NEIGHBOUR);
    expect(one(d, 'set', 'neighbour', true)).toEqual(neighbour());
    expect(d.openCount).toBe(0);
    d.want('neighbour', NEIGHBOUR, undefined);
    expect(one(d, 'delete', 'neighbour', false)).toEqual(neighbour());
    want(d, neighbour(), NEIGHBOUR);
    expect(one(d, 'set', 'neighbour', true)).toEqual(neighbour());
    expect(d.openCount).toBe(0);
  });

  it('may have left something of what takes steps: it is deleted when nobody wishes for it', () => {
    const d = new DeltaTable(RETRY);
    want(d, pair, 'wan0');
    want(d, neighbour(), NEIGHBOUR);
    expect([one(d, 'set', 'pair', false), one(d, 'set', 'neighbour', false)]).toEqual([pair, neighbour()]);
    d.want('pair', 'wan0', undefined);
    d.want('neighbour', NEIGHBOUR, undefined);
    expect(d.row('neighbour', NEIGHBOUR)).toBeUndefined();
    expect(one(d, 'delete', 'pair', false)).toEqual(pair);
    expect(one(d, 'delete', 'pair', true)).toEqual(pair);
    expect([d.openCount, d.row('pair', 'wan0')]).toEqual([0, undefined]);
  });

  it('of what was said to be lost, too; a dump ends every doubt', () => {
    const d = new DeltaTable(RETRY);
    want(d, pair, 'wan0');
    d.hold(pair, 7);
    d.invalidate('pair', 'wan0');
    d.want('pair', 'wan0', undefined);
    expect(d.due('delete', ['pair'], 0)).toEqual([{ op: 'delete', object: pair, handle: 7 }]);
    d.adopt([]);
    expect(d.row('pair', 'wan0')).toBeUndefined();
    want(d, pair, 'wan0');
    one(d, 'set', 'pair', false);
    d.adopt([{ object: pair, handle: 7 }]);
    expect(d.openCount).toBe(0);
  });

  it('an answer about a row that is gone is nothing', () => {
    const d = new DeltaTable(RETRY);
    expect(d.settle({ op: 'set', object: neighbour(), handle: 0 }, { ok: true }, 0)).toBeUndefined();
    expect(d.openCount).toBe(0);
  });
});

describe('starting over', () => {
  it('believes the dump and nothing else', () => {
    const d = new DeltaTable(RETRY);
    want(d, neighbour(), NEIGHBOUR);
    d.hold(neighbour(), 9);
    want(d, table, 'cp/v4/254');
    d.hold(table, 3);
    d.hold(pair, 100);
    d.adopt([{ object: table, handle: 5 }, { object: { ...neighbour(), address: '10.0.0.9' } }]);
    expect(d.row('table', 'cp/v4/254')).toMatchObject({ handle: 5, actual: table });
    expect(d.row('pair', 'wan0'), 'held before, not wished for, not there any more').toBeUndefined();
    expect(due(d, 'set')).toEqual(['neighbour']);
    expect(d.due('set', ['neighbour'], 0)[0]?.handle).toBe(0);
    expect(d.due('delete', ['neighbour'], 0).map((o) => o.object)).toEqual([{ ...neighbour(), address: '10.0.0.9' }]);
  });
});
