// The driver contract, second part: sub-interfaces, legs with labels or none to send by, tables of labels.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MPLS, type Path, pathsText, SPECIAL, type Subif } from '../../../src/lcp/objects.ts';
import { contractLab, type Opened } from './contractlab.ts';

const DOT1Q = 0x8100_0000;
const DOT1AD = 0x88a8_0000;

export const contractOfPorts = (name: string, open: () => Promise<Opened>): void => {
  describe(`${name} keeps the contract of ports and labels`, () => {
    let o: Opened;
    beforeEach(async () => {
      o = await open();
    });
    afterEach(() => o.cleanup());

    const { is, one, put, held, pairs, table, set, leg, neighbour, route, routes, find, link } = contractLab(() => o);
    const subif = (suffix: string, ...tags: number[]): Subif => {
      const { phy: parent, netns } = o.pairs[0];
      return { kind: 'subif', phy: `${parent}.${suffix}`, parent, tags, netns };
    };
    const subifs = async () =>
      (await o.dataplane.dump())
        .flatMap(({ object }) => (object.kind === 'subif' ? [object] : []))
        .sort((a, b) => (a.tags[0] ?? 0) - (b.tags[0] ?? 0));
    const held1 = async (handle: number): Promise<readonly Path[] | undefined> =>
      (await o.dataplane.dump()).flatMap((h) =>
        h.object.kind === 'pathset' && h.handle === handle ? [h.object.paths] : [],
      )[0];

    it('sub-interfaces: need their pair, are told again, changed and removed, and dumped as they are', async () => {
      const tagged = subif('100', DOT1Q + 100);
      const double = { ...subif('ad4094.4094', DOT1AD + 4094, DOT1Q + 4094), phy: 'abcdefghijklmno.ad4094.4094' };
      expect(await one('set', tagged)).toMatchObject({ ok: false, code: 'PORT_REFUSED' });
      expect(await one('delete', tagged)).toMatchObject({ ok: true });
      await pairs();
      for (const s of [tagged, tagged, double]) await put(s);
      expect(await subifs()).toEqual([tagged, double]);
      const changed = { ...tagged, tags: [DOT1Q + 101] };
      await put(changed);
      expect((await subifs()).map((s) => s.tags).sort()).toEqual([changed.tags, double.tags].sort());
      for (let i = 0; i < 2; i++) expect(await one('delete', changed)).toMatchObject({ ok: true });
      expect(await subifs()).toEqual([double]);
    });

    it('sub-interfaces: tags that another has, and tags that cannot be, are refused', async () => {
      await pairs();
      await put(subif('100', DOT1Q + 100));
      await put(subif('ad100', DOT1AD + 100));
      await put(subif('100.100', DOT1Q + 100, DOT1Q + 100));
      const wrong = [
        subif('again', DOT1Q + 100),
        subif('none'),
        subif('many', DOT1Q + 1, DOT1Q + 2, DOT1Q + 3),
        subif('zero', DOT1Q),
        subif('high', DOT1Q + 4095),
        subif('other', 0x9100_0001),
        { ...subif('orphan', DOT1Q + 5), parent: 'h6nowhere' },
      ];
      for (const s of wrong) expect(await one('set', s), s.phy).toMatchObject({ ok: false, code: 'PORT_REFUSED' });
      expect(await subifs()).toHaveLength(3);
    });

    it('sub-interfaces end with their pair, and take links and neighbours along', async () => {
      const [host] = await pairs();
      const s = subif('100', DOT1Q + 100);
      const onSubif = { ...neighbour('10.0.7.2'), phy: s.phy };
      expect(await one('set', onSubif)).toMatchObject({ ok: false });
      await put(s);
      await put(onSubif);
      expect(await held('neighbour')).toEqual([`${s.phy} 10.0.7.2`]);
      await put(o.pairs[0], host);
      expect(await subifs(), 'the pair was made anew').toHaveLength(is('lasting-pairs') ? 1 : 0);
      expect(await held('neighbour')).toHaveLength(is('lasting-pairs') ? 1 : 0);
      await put(s);
      await one('delete', o.pairs[0], host);
      expect(await subifs()).toEqual([]);
      expect(await one('delete', s)).toMatchObject({ ok: true });
    });

    it('links of sub-interfaces are taken, with all that a link can say, and change no device', async () => {
      const [host] = await pairs();
      const s = subif('100', DOT1Q + 100);
      const tables = [255, 100, 101, 102, 254].map((id) => table(4, id));
      const labels = table(MPLS, 0);
      for (const t of [...tables, labels]) await put(t);
      const many = Array.from({ length: 17 }, (_, i) => `02:00:5e:00:01:${(16 + i).toString(16)}`);
      const full = {
        lookup4: tables.map((t) => `${t.netns}/v4/${t.table}`),
        lookupMpls: [`${labels.netns}/mpls/0`],
        l2: true,
        macs: many,
      };
      const { phy, parent } = s;
      const own = { phy, parent, phyIfindex: 0, host: 'e0.100', mac: '02:00:00:00:00:99', mtu: 1200 };
      expect(await one('set', link(host, own))).toMatchObject({ ok: false });
      await put(s);
      await put(link(host, { ...own, ...full }));
      await put(link(host, { ...own, merged4: false, lookup4: full.lookup4.slice(0, 3) }));
      await put(link(host, full));
      await put(link(host, { ...own, ...full }));
      await put(link(host, full));
      const six = { ...full, lookup4: [...full.lookup4, full.lookup4[1] as string] };
      const { ok, code } = await one('set', link(host, six));
      expect(ok).toBe(is('any-tables'));
      if (!is('any-tables')) expect(code).toBe('PORT_REFUSED');
      expect(await subifs()).toEqual([s]);
    });

    it('legs by sub-interfaces, legs that are punted, and legs whose port has ended', async () => {
      await pairs();
      const s = subif('100', DOT1Q + 100);
      await put(s);
      const punted: Path = { phy: '', via: '', weight: 2 };
      const legs = [leg(1, '10.0.1.2', 3), punted, { phy: s.phy, via: '10.0.7.2', weight: 1 }];
      const p = await put(set(...legs));
      expect(await held('pathset')).toEqual([`${pathsText(legs)} ${p}`]);
      await put({ ...neighbour('10.0.7.2'), phy: s.phy });
      expect(o.dataplane.paths(p)?.find(({ phy }) => phy === s.phy)?.complete).toBe(true);
      const only = await put(set({ phy: s.phy, via: '', weight: 2 }));
      await one('delete', s);
      expect(pathsText((await held1(only)) ?? []), 'no leg that could be wanted').not.toBe(pathsText([punted]));
      expect(await one('set', set({ phy: s.phy, via: '', weight: 1 }))).toMatchObject({ ok: false });
      const now = await put(set(punted), only);
      expect(pathsText((await held1(now)) ?? [])).toBe(pathsText([punted]));
    });

    it('labels of legs: kept with their TTL, replaced, and refused where no packet could carry them', async () => {
      await pairs();
      const eight = [16, 17, 18, 19, 20, 21, 22, 1_048_575];
      const legs: Path[] = [
        { ...leg(0, '10.0.0.2'), labels: eight },
        { ...leg(0, '10.0.0.2'), labels: [100], ttl: 255 },
        { ...leg(1, 'fe80::2', 5), labels: [0] },
        { ...leg(1, '10.0.1.2'), ttl: 7 },
        leg(1, '10.0.1.2'),
      ];
      const p = await put(set(...legs));
      expect(pathsText((await held1(p)) ?? [])).toBe(pathsText(legs));
      expect(o.dataplane.paths(p)?.map(({ labels }) => labels)).toEqual(legs.map(({ labels }) => labels));
      expect(o.dataplane.paths(p)?.map(({ complete }) => complete)).toEqual([false, false, false, false, false]);
      await put(neighbour('10.0.0.2'));
      expect(o.dataplane.paths(p)?.map(({ complete }) => complete)).toEqual([true, true, false, false, false]);
      const other = [{ ...leg(0, '10.0.0.2'), labels: [200, 300] }];
      const q = await put(set(...other), p);
      if (o.dataplane.sharedPathSets) expect(q).toBe(p);
      expect(pathsText((await held1(q)) ?? [])).toBe(pathsText(other));
      const wrong: Partial<Path>[] = [
        { labels: [...eight, 23] },
        { labels: [1_048_576] },
        { labels: [3] },
        { labels: [] },
        { labels: [-1] },
        { labels: [16], ttl: 256 },
        { labels: [16], ttl: 0 },
      ];
      for (const change of wrong) {
        const result = await one('set', set({ ...leg(0, '10.0.0.2'), ...change }), q);
        expect(result, JSON.stringify(change)).toMatchObject({ ok: false });
      }
      expect(pathsText((await held1(q)) ?? [])).toBe(pathsText(other));
    });

    it('tables of labels: routes of exactly one label, dumped, found, removed', async () => {
      await pairs();
      const t = await put(table(MPLS, 0));
      const p = await put(set({ ...leg(0, '10.0.0.2'), labels: [200] }));
      expect(await held('table')).toEqual([`${o.pairs[0].netns}/mpls/0 ${t}`]);
      const { failed } = await route(
        MPLS,
        [t, '100', p],
        [t, '1048575', SPECIAL.punt],
        [t, '0', SPECIAL.blackhole],
        [t, '101', p + 77],
      );
      expect(failed).toBe(1);
      const none = is('reserved-labels') ? 1 : 0;
      expect(await routes(t, MPLS)).toHaveLength(3 - none);
      expect(await find(MPLS, [t], false, '100', '1048575', '0', '101', '1600')).toEqual([
        `${t} ${p}/20`,
        `${t} ${SPECIAL.punt}/20`,
        none === 1 ? '0 0/0' : `${t} ${SPECIAL.blackhole}/20`,
        '0 0/0',
        '0 0/0',
      ]);
      expect(
        (await route(4, [t, '10.0.0.0/20', p])).failed + (await route(MPLS, [t, '100', SPECIAL.none])).failed,
      ).toBe(o.dataplane.name === 'embedded' ? 0 : 1);
      expect(await find(MPLS, [t], false, '100')).toEqual(['0 0/0']);
    });

    it('let go with keep and connected again, it recognises sub-interfaces, labels and punted legs', async () => {
      await pairs();
      const t = await put(table(MPLS, 0));
      await put(subif('100', DOT1Q + 100));
      await put(subif('ad5.7', DOT1AD + 5, DOT1Q + 7));
      const legs: Path[] = [
        { phy: subif('100').phy, via: '10.0.7.2', weight: 1, labels: [16, 17], ttl: 64 },
        { phy: '', via: '', weight: 1 },
        { phy: subif('ad5.7').phy, via: '', weight: 3 },
      ];
      const p = await put(set(...legs));
      await put({ ...neighbour('fe80::7'), phy: subif('ad5.7').phy });
      await route(MPLS, [t, '100', p]);
      const facts = async () => ({
        pairs: await held('pair'),
        subifs: await subifs(),
        tables: await held('table'),
        neighbours: await held('neighbour'),
        pathsets: await held('pathset'),
        routes: await routes(t, MPLS),
      });
      const before = await facts();
      expect(before.pathsets).toEqual([`${pathsText(legs)} ${p}`]);
      expect(before.subifs).toEqual([subif('100', DOT1Q + 100), subif('ad5.7', DOT1AD + 5, DOT1Q + 7)]);
      o = await o.again();
      if (is('shared-neighbours')) await put({ ...neighbour('fe80::7'), phy: subif('ad5.7').phy });
      expect(await facts()).toEqual(before);
      await put(subif('100', DOT1Q + 100));
      expect(await facts()).toEqual(before);
    });
  });
};
