// The driver contract as tests: what lcp/dataplane.ts promises the core, for any data plane that is opened here.
//
// Invariants: each test opens its own data plane, empty, with two Ethernet phys and a namespace for hosts; `again`
// lets go of it with keep and connects anew, as a restarted lcpd does.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Operation } from '../../../src/lcp/dataplane.ts';
import { FIRST_HANDLE, keyOf, type Path, pathsText, SPECIAL, type Table, tableKey } from '../../../src/lcp/objects.ts';
import { contractLab, type Opened, type Row } from './contractlab.ts';
import { contractOfPorts } from './contractports.ts';

export const contract = (name: string, open: () => Promise<Opened>): void => {
  describe(`${name} keeps the driver contract`, () => {
    let o: Opened;
    beforeEach(async () => {
      o = await open();
    });
    afterEach(() => o.cleanup());

    const { is, one, put, held, pairs, table, leg, set, neighbour, route, routes, find, link } = contractLab(() => o);

    it('is up, once, and says who it is', async () => {
      expect(o.states).toEqual(['up']);
      expect(o.dataplane.info()).toMatchObject({ state: 'up', driver: o.dataplane.name });
      expect(o.dataplane.info().generation).not.toBe('');
      expect((await o.dataplane.dump()).filter(({ object }) => object.kind !== 'link')).toEqual([]);
      expect(await o.dataplane.apply([])).toEqual([]);
    });

    it('pairs: made with their host, told again, detached, removed, and removing what is absent is success', async () => {
      const [first] = o.pairs;
      const host = await put(first);
      expect(host).toBeGreaterThan(0);
      expect(await o.hostExists(first)).toBe(true);
      expect(await put(first, host), 'the same host again').toBe(host);
      const [shown] = (await o.dataplane.dump()).filter(({ object }) => object.kind === 'pair');
      expect(shown).toEqual({ object: first, handle: host });
      await put({ ...first, phyIfindex: 0 }, host);
      expect(await o.hostExists(first), 'a detached host stays').toBe(true);
      expect(await put(first, host), 'and is found again').toBe(host);
      expect(await one('delete', first, host)).toMatchObject({ ok: true });
      expect(await o.hostExists(first)).toBe(false);
      expect(await one('delete', first, host)).toMatchObject({ ok: true });
      expect(await held('pair')).toEqual([]);
    });

    it('a pair whose phy does not exist is refused, its sibling is made', async () => {
      const [a, b] = o.pairs;
      const results = await o.dataplane.apply([
        { op: 'set', object: { ...a, phyIfindex: 999_999 }, handle: 0 },
        { op: 'set', object: b, handle: 0 },
      ]);
      expect(results.map((r) => r.ok)).toEqual([false, true]);
      expect(results[0]?.code).toMatch(/^[A-Z_]+$/);
      expect(results[0]?.message).not.toBe('');
    });

    it('tables: one handle a key, however often it is set', async () => {
      const keys = [table(4, 254), table(6, 254), table(4, 255), table(4, 100_000)];
      const handles: number[] = [];
      for (const t of keys) handles.push(await put(t));
      expect(new Set(handles).size).toBe(4);
      for (const [i, t] of keys.entries()) expect(await put(t)).toBe(handles[i]);
      expect(await held('table')).toEqual(
        keys.map((t, i) => `${tableKey(t.netns, t.family, t.table)} ${handles[i]}`).sort(),
      );
      const [first] = keys as [Table];
      expect(await one('delete', first, handles[0])).toMatchObject({ ok: true });
      expect(await one('delete', first, handles[0])).toMatchObject({ ok: true });
      expect((await held('table')).length).toBe(3);
    });

    it('neighbours: set, changed, told again, removed', async () => {
      await pairs();
      for (const address of ['10.0.0.2', 'fe80::2']) {
        await put(neighbour(address));
        await put(neighbour(address));
        await put(neighbour(address, '02:00:00:00:00:99'));
      }
      const shown = (await o.dataplane.dump()).filter(({ object }) => object.kind === 'neighbour');
      expect(shown.map((h) => h.object)).toEqual(
        expect.arrayContaining([neighbour('10.0.0.2', '02:00:00:00:00:99'), neighbour('fe80::2', '02:00:00:00:00:99')]),
      );
      expect(shown).toHaveLength(2);
      for (let i = 0; i < 2; i++) expect(await one('delete', neighbour('10.0.0.2'))).toMatchObject({ ok: true });
      expect(await held('neighbour')).toHaveLength(1);
    });

    it('neighbours end with their pair, and need one', async () => {
      const [host] = await pairs();
      await put(neighbour('10.0.0.2'));
      await one('delete', o.pairs[0], host);
      expect(await held('neighbour')).toEqual([]);
      expect(await one('set', neighbour('10.0.0.2'))).toMatchObject({ ok: false });
      expect(await one('delete', neighbour('10.0.0.2')), 'absent with its pair').toMatchObject({ ok: true });
    });

    it('path sets: handles stay through replacement where routes follow it', async () => {
      await pairs();
      const first = await put(set(leg(0, '10.0.0.2')));
      const b = await put(set(leg(0, ''), leg(1, 'fe80::2', 7)));
      expect(Math.min(first, b)).toBeGreaterThanOrEqual(FIRST_HANDLE);
      expect(first).not.toBe(b);
      const a = await put(set(leg(1, '10.0.1.2', 65535)), first);
      // elsewhere a handle always means the same legs, because it is all that is known of a route
      expect(a === first).toBe(o.dataplane.sharedPathSets);
      expect(await put(set(leg(1, '10.0.1.2', 65535)), a)).toBe(a);
      const text = (...legs: Path[]) => pathsText(legs);
      expect(await held('pathset')).toEqual(
        [`${text(leg(1, '10.0.1.2', 65535))} ${a}`, `${text(leg(0, ''), leg(1, 'fe80::2', 7))} ${b}`].sort(),
      );
      for (let i = 0; i < 2; i++) expect(await one('delete', set(), a)).toMatchObject({ ok: true });
      expect([o.dataplane.paths(a), (await held('pathset')).length]).toEqual([undefined, 1]);
    });

    it('legs into other tables are told by the tables’ keys, whether these are there or not', async () => {
      await pairs();
      const into = (lookup4: Table[], lookup6: Table[], weight = 1): Path => ({
        phy: '',
        via: '',
        weight,
        lookup4: lookup4.map(keyOf),
        lookup6: lookup6.map(keyOf),
      });
      const [red, main, red6] = [table(4, 100), table(4, 254), table(6, 100)];
      const legs = [into([red, main], [red6]), leg(0, '10.0.0.2', 7), { phy: '', via: '', weight: 2 }, into([], [])];
      const p = await put(set(...legs));
      const shown = async () => pathsText(o.dataplane.paths(p) ?? []);
      const expected = pathsText(legs);
      expect(await shown(), 'no table yet').toBe(expected);
      expect(await held('table'), 'a name makes no table').toEqual([]);
      const t = await put(red);
      await route(4, [t, '10.0.0.0/8', SPECIAL.blackhole]);
      expect(await one('delete', red, t)).toMatchObject({ ok: true });
      expect(await held('table')).toEqual([]);
      const others = [await put(table(4, 101)), await put(table(4, 102)), await put(table(4, 103))];
      expect(await shown(), 'whoever got the handle').toBe(expected);
      o = await o.again();
      // one without shared path lists finds sets by their routes, and these have none
      if (o.dataplane.sharedPathSets) expect(await held('pathset'), 'recognised').toEqual([`${expected} ${p}`]);
      else await put(set(...legs));
      const anew = await put(red);
      expect(others).not.toContain(anew);
      expect(await routes(anew, 4)).toEqual([]);
      const q = await put(set(into([main], [])), p);
      if (o.dataplane.sharedPathSets) expect(q).toBe(p);
      expect(pathsText(o.dataplane.paths(q) ?? [])).toBe(pathsText([into([main], [])]));
      const tables = Array.from({ length: 6 }, (_, i) => table(4, 200 + i));
      expect(await one('set', set(into(tables, [])))).toMatchObject({ ok: is('any-tables') });
      for (const wrong of [
        { ...into([red], []), phy: o.pairs[0].phy },
        { ...into([red], []), labels: [16] },
        { ...into([red], []), via: '10.0.0.2' },
      ])
        expect(await one('set', set(wrong)), JSON.stringify(wrong)).toMatchObject({ ok: false });
    });

    it('answers in order; what is refused leaves its siblings alone', async () => {
      await pairs();
      const nowhere: Path = { phy: 'h6nowhere', via: '', weight: 1 };
      const operations: Operation[] = [
        { op: 'set', object: table(4, 254), handle: 0 },
        { op: 'set', object: set(nowhere), handle: 0 },
        { op: 'set', object: neighbour('10.0.0.2'), handle: 0 },
        { op: 'set', object: { ...neighbour('10.0.0.3'), phy: 'h6nowhere' }, handle: 0 },
        { op: 'set', object: set(), handle: 0 },
        { op: 'set', object: set(leg(0, '10.0.0.2')), handle: 0 },
      ];
      const results = await o.dataplane.apply(operations);
      expect(results.map((r) => r.ok)).toEqual([true, false, true, false, false, true]);
      for (const r of results)
        if (!r.ok) expect([r.code, r.message]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)]);
      expect([(await held('table')).length, (await held('neighbour')).length, (await held('pathset')).length]).toEqual([
        1, 1, 1,
      ]);
    });

    it('links: taken with a pair, refused without', async () => {
      const lookup4 = [table(4, 255), table(4, 254)].map(keyOf);
      const [first] = o.pairs;
      expect(await one('set', link(1, { lookup4 }))).toMatchObject({ ok: false });
      const host = await put(first);
      for (const key of [255, 254]) await put(table(4, key));
      for (let i = 0; i < 2; i++) expect(await one('set', link(host, { lookup4 }))).toMatchObject({ ok: true });
      expect(await one('delete', link(host, { lookup4 }))).toMatchObject({ ok: true });
    });

    it('routes: a result for each, bad ones leave the others', async () => {
      await pairs();
      const t = await put(table(4, 254));
      const p = await put(set(leg(0, '10.0.0.2')));
      const { failed, ok } = await route(
        4,
        [t, '10.1.0.0/16', p],
        [t + 77, '10.2.0.0/16', p],
        [t, '10.3.0.0/16', p + 77],
        [t, '10.4.0.1/16', p],
        [t, '10.5.0.0/16', SPECIAL.blackhole],
        [t, '10.6.0.0/16', SPECIAL.none],
        [t, '0.0.0.0/0', p],
        [t, '10.7.7.7/32', SPECIAL.local],
      );
      expect([failed, ok]).toEqual([3, [true, false, false, false, true, true, true, true]]);
      expect(await routes(t, 4)).toHaveLength(4);
    });

    it.each([4, 6] as const)('IPv%d routes: replaced, removed twice, dumped as they are', async (family) => {
      await pairs();
      const t = await put(table(family, 254));
      const p = await put(set(leg(0, family === 4 ? '10.0.0.2' : 'fe80::2')));
      const dst = (i: number) => (family === 4 ? `10.${i >> 8}.${i & 255}.0/24` : `fd00:${i.toString(16)}::/32`);
      const many = Array.from({ length: 9000 }, (_, i): Row => [t, dst(i), i % 3 === 0 ? SPECIAL.unreachable : p]);
      expect((await route(family, ...many)).failed).toBe(0);
      expect((await route(family, ...many)).failed).toBe(0);
      const shown = await routes(t, family);
      expect(shown.length).toBe(9000);
      expect(new Set(shown).size).toBe(9000);
      expect(shown.filter((row) => row.endsWith(` ${p}`)).length).toBe(6000);
      const gone = many.slice(0, 8999).map(([h, text]): Row => [h, text, SPECIAL.none]);
      expect([(await route(family, ...gone)).failed, (await route(family, ...gone)).failed]).toEqual([0, 0]);
      expect(await routes(t, family)).toHaveLength(1);
    });

    it('a table that is removed takes its routes along', async () => {
      const t = await put(table(4, 100));
      await route(4, [t, '10.0.0.0/8', SPECIAL.prohibit]);
      await one('delete', table(4, 100), t);
      const anew = await put(table(4, 100));
      expect(await routes(anew, 4)).toEqual([]);
    });

    it('a path set that routes use is not removed, or they have it of their own', async () => {
      await pairs();
      const t = await put(table(4, 254));
      const p = await put(set(leg(0, '10.0.0.2')));
      await route(4, [t, '10.0.0.0/8', p]);
      expect(await one('delete', set(), p)).toMatchObject({ ok: !o.dataplane.sharedPathSets });
      const [answer] = await o.dataplane.lookup(4, [t], false, ['10.9.9.9']);
      expect(pathsText(o.dataplane.paths(answer?.target ?? 0) ?? [])).toBe(pathsText([leg(0, '10.0.0.2')]));
      await route(4, [t, '10.0.0.0/8', SPECIAL.none]);
      expect(await one('delete', set(), p)).toMatchObject({ ok: true });
    });

    it('replacing a path set changes all its routes, or those that are sent again', async () => {
      await pairs();
      const t = await put(table(4, 254));
      const first = await put(set(leg(0, '10.0.0.2')));
      await route(4, [t, '10.1.0.0/16', first], [t, '10.2.0.0/16', first]);
      const p = await put(set(leg(1, '10.0.1.2', 3), leg(0, '', 1)), first);
      if (!o.dataplane.sharedPathSets) await route(4, [t, '10.1.0.0/16', p], [t, '10.2.0.0/16', p]);
      expect(await find(4, [t], false, '10.1.0.1', '10.2.0.1')).toEqual([`${t} ${p}/16`, `${t} ${p}/16`]);
      expect(pathsText(o.dataplane.paths(p) ?? [])).toBe(pathsText([leg(1, '10.0.1.2', 3), leg(0, '', 1)]));
    });

    it('legs know whether their neighbour is there', async () => {
      await pairs();
      const p = await put(set(leg(0, '10.0.0.2')));
      expect(o.dataplane.paths(p)?.map((l) => l.complete)).toEqual([false]);
      await put(neighbour('10.0.0.2'));
      expect(o.dataplane.paths(p)?.map((l) => l.complete)).toEqual([true]);
      await one('delete', neighbour('10.0.0.2'));
      expect(o.dataplane.paths(p)?.map((l) => l.complete)).toEqual([false]);
    });

    it('looks up the longest prefix, in the tables’ order, merged or one after the other', async () => {
      const [local, main] = [await put(table(4, 255)), await put(table(4, 254))];
      const { blackhole, local: own, prohibit, unreachable } = SPECIAL;
      await route(4, [local, '10.1.1.0/24', own], [main, '10.0.0.0/8', blackhole], [main, '10.1.1.128/25', prohibit]);
      await route(4, [main, '10.1.1.0/24', unreachable], [main, '0.0.0.0/0', SPECIAL.throw]);
      const asked = ['10.9.9.9', '10.1.1.1', '10.1.1.200', '11.0.0.1'];
      expect(await find(4, [local, main], true, ...asked)).toEqual([
        `${main} ${blackhole}/8`,
        `${local} ${own}/24`,
        `${main} ${prohibit}/25`,
        '0 0/0',
      ]);
      expect(await find(4, [local, main], false, ...asked)).toEqual([
        `${main} ${blackhole}/8`,
        `${local} ${own}/24`,
        is('joined-local') ? `${main} ${prohibit}/25` : `${local} ${own}/24`,
        '0 0/0',
      ]);
      expect(await find(4, [], false, '10.9.9.9')).toEqual(['0 0/0']);
    });

    it('throw goes on with the next table', async () => {
      const [first, second] = [await put(table(6, 100)), await put(table(6, 254))];
      await route(
        6,
        [first, 'fd00:1::/32', SPECIAL.throw],
        [second, '::/0', SPECIAL.blackhole],
        [first, 'fd00:2::/32', SPECIAL.prohibit],
      );
      expect(await find(6, [first, second], false, 'fd00:1::1', 'fd00:2::1')).toEqual([
        `${second} ${SPECIAL.blackhole}/0`,
        `${first} ${SPECIAL.prohibit}/32`,
      ]);
    });

    it('let go with keep and connected again, it recognises everything', async () => {
      await pairs();
      const [t4, t6] = [await put(table(4, 254)), await put(table(6, 254))];
      const p = await put(set(leg(0, '10.0.0.2', 3), leg(1, '10.0.1.2')));
      await put(neighbour('10.0.0.2'));
      await route(4, [t4, '10.0.0.0/8', p], [t4, '10.1.0.0/16', SPECIAL.blackhole]);
      await route(6, [t6, 'fd00::/16', SPECIAL.local]);
      const facts = async () => ({
        pairs: await held('pair'),
        tables: await held('table'),
        neighbours: await held('neighbour'),
        pathsets: await held('pathset'),
        routes4: await routes(t4, 4),
        routes6: await routes(t6, 6),
        found: await find(4, [t4], false, '10.9.9.9', '10.1.0.1'),
        generation: o.dataplane.info().generation,
      });
      const before = await facts();
      o = await o.again();
      expect(o.states).toEqual(['up']);
      if (is('shared-neighbours')) expect((await facts()).neighbours).toEqual([]);
      if (is('shared-neighbours')) await put(neighbour('10.0.0.2'));
      expect(await facts()).toEqual(before);
      expect(await put(table(4, 254))).toBe(t4);
      expect((await route(4, [t4, '10.2.0.0/16', p])).failed).toBe(0);
    });

    it('shows adjacencies, counters and traces without a packet ever seen', async () => {
      await pairs();
      await put(neighbour('10.0.0.2'));
      const counters = await o.dataplane.counters();
      expect(Array.isArray(counters)).toBe(true);
      expect(counters.filter((c) => !(c.value >= 0) || c.name === '')).toEqual([]);
      expect(Array.isArray(o.dataplane.adjacencies())).toBe(true);
      const traces = () => o.dataplane.traces(0, 10);
      if (is('foreign-trace')) expect(traces).toThrow(expect.objectContaining({ code: 'NOT_SUPPORTED' }));
      else expect(Array.isArray(traces())).toBe(true);
    });
  });
  contractOfPorts(name, open);
};
