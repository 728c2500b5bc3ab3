// Mroutes: entries of the kernel's multicast cache, what of them a data plane replicates, and when the host gets every
// packet because the kernel must do the rest.

import { beforeEach, describe, expect, it } from 'vitest';
import { Mroutes } from '../../../src/lcp/mroutes.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import { decodeMroute, type Mroute } from '../../../src/netlink/mroute.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type ExtraKernel, extraRouter } from './extrakernel.ts';
import { batchFrom, delMroute, type MrouteText, newLink, newMroute } from './kernelbytes.ts';
import type { Router } from './router.ts';

const S = '10.0.1.9';
const G = '239.1.1.1';
const G6 = 'ff3e::1';
const decode = (m: MrouteText): Mroute => {
  const { bytes, u16, u32 } = batchFrom([newMroute(m)]);
  return decodeMroute({ bytes, u16, u32 }, 0) as Mroute;
};
/** 2 and 3 are hosts of wan0 and lan0, 4 of dmz0; 9 is no pair. */
const PHYS: Readonly<Record<number, string>> = { 2: 'wan0', 3: 'lan0', 4: 'dmz0' };
const phyOf = (ifindex: number) => PHYS[ifindex] ?? '';
const on = (...ifindexes: number[]) => ifindexes.map((ifindex) => ({ ifindex }));

describe('what an entry comes to', () => {
  const derive = (m: MrouteText, ...joined: string[]): string => {
    const mroutes = new Mroutes();
    mroutes.set(decode(m), 1);
    mroutes.setJoined(new Set(joined));
    const [key = ''] = mroutes.byKey.keys();
    const o = mroutes.derive(key, phyOf);
    return o === undefined
      ? 'none'
      : `${o.phy} v${o.family} ${o.source || '*'} ${o.group} -> ${o.out}${o.host ? ' host' : ''}`;
  };
  it.each<[string, MrouteText, string]>([
    ['(S,G)', { source: S, group: G, iif: 2, oifs: on(3) }, `wan0 v4 ${S} ${G} -> lan0`],
    ['IPv6', { source: 'fd00::9', group: G6, iif: 2, oifs: on(3) }, `wan0 v6 fd00::9 ${G6} -> lan0`],
    ['outputs in one order', { source: S, group: G, iif: 2, oifs: on(3, 4) }, `wan0 v4 ${S} ${G} -> dmz0,lan0`],
    ['no output: to nobody', { source: S, group: G, iif: 2 }, `wan0 v4 ${S} ${G} -> `],
    ['an output that is no pair', { source: S, group: G, iif: 2, oifs: on(3, 9) }, `wan0 v4 ${S} ${G} -> lan0 host`],
    ['only such outputs', { source: S, group: G, iif: 2, oifs: on(9) }, `wan0 v4 ${S} ${G} ->  host`],
    [
      'an output that wants more than one TTL',
      {
        source: S,
        group: G,
        iif: 2,
        oifs: [
          { ifindex: 3, ttl: 16 },
          { ifindex: 4, ttl: 1 },
        ],
      },
      `wan0 v4 ${S} ${G} -> dmz0 host`,
    ],
    ['one output named twice', { source: S, group: G, iif: 2, oifs: on(3, 3) }, `wan0 v4 ${S} ${G} -> lan0`],
    ['unresolved', { source: S, group: G, iif: 2, oifs: on(3), unresolved: true }, 'none'],
    ['input gone', { source: S, group: G, oifs: on(3) }, 'none'],
    ['input no pair', { source: S, group: G, iif: 9, oifs: on(3) }, 'none'],
    ['any group', { group: '0.0.0.0', iif: 2, oifs: on(2, 3) }, 'none'],
    ['(*,G): from an interface that is an output too', { group: G, iif: 2, oifs: on(2, 3) }, `wan0 v4 * ${G} -> lan0`],
    ['(*,G): the kernel finds it for no other', { group: G, iif: 2, oifs: on(3) }, 'none'],
    ['(S,G) back to where it comes from: the kernel’s', { source: S, group: G, iif: 2, oifs: on(2, 3) }, 'none'],
  ])('%s', (_, m, expected) => expect(derive(m)).toBe(expected));

  it('the host has joined: it gets every packet; only by that interface and of that group', () => {
    const m = { source: S, group: G, iif: 2, oifs: on(3) };
    expect(derive(m, `2 ${G}`)).toBe(`wan0 v4 ${S} ${G} -> lan0 host`);
    expect(derive(m, `3 ${G}`, '2 239.1.1.2')).toBe(`wan0 v4 ${S} ${G} -> lan0`);
  });

  it('what is not known is none', () => {
    expect(new Mroutes().derive('2 254 * 239.9.9.9', phyOf)).toBeUndefined();
  });
});

describe('what was told', () => {
  let m: Mroutes;
  const set = (text: MrouteText, epoch = 1) => m.set(decode(text), epoch);
  const held = () =>
    [...m.byKey.values()].map((o) => `${o.source || '*'} ${o.group} iif ${o.iif} table ${o.table}`).sort();
  beforeEach(() => {
    m = new Mroutes();
  });

  it('replaces an entry, also with another input', () => {
    set({ source: S, group: G, iif: 2, oifs: on(3) });
    m.dirty.clear();
    expect(set({ source: S, group: G, iif: 3, oifs: on(2) })).toBe(false);
    expect([held(), m.dirty.size]).toEqual([[`${S} ${G} iif 3 table 253`], 1]);
  });

  it('is kept by table and source', () => {
    set({ source: S, group: G, iif: 2 });
    set({ source: S, group: G, iif: 2, table: 10 });
    set({ source: '10.0.1.8', group: G, iif: 2 });
    expect(m.byKey.size).toBe(3);
    m.remove(decode({ source: S, group: G, iif: 2, table: 10 }));
    expect(m.byKey.size).toBe(2);
  });

  it('(*,G) by two inputs are two entries, or one that moved: in doubt until a dump tells', () => {
    expect(set({ group: G, iif: 2, oifs: on(2, 3) })).toBe(false);
    expect(set({ group: G, iif: 3, oifs: on(2, 3) })).toBe(true);
    expect(set({ group: G, iif: 3, oifs: on(2, 3, 4) }), 'the second again: no doubt').toBe(false);
    expect(held()).toEqual([`* ${G} iif 2 table 253`, `* ${G} iif 3 table 253`]);
    set({ group: G, iif: 3, oifs: on(2, 3) }, 2);
    m.sweep(AF_INET, 2);
    expect(held()).toEqual([`* ${G} iif 3 table 253`]);
  });

  it('(*,G) whose input has gone is told to end without it', () => {
    set({ group: G, iif: 2, oifs: on(2) });
    m.remove(decode({ group: G }));
    expect(held()).toEqual([]);
    m.remove(decode({ group: G }));
  });

  it('is swept by family', () => {
    set({ source: S, group: G, iif: 2 });
    set({ source: 'fd00::9', group: G6, iif: 2 });
    m.dirty.clear();
    m.sweep(AF_INET6, 2);
    expect([held(), [...m.dirty]]).toEqual([[`${S} ${G} iif 2 table 253`], [`10 253 fd00::9 ${G6}`]]);
    set({ source: S, group: G, iif: 2 }, 3);
    m.sweep(AF_INET, 3);
    expect(m.byKey.size).toBe(1);
  });

  it('memberships mark all entries, but only when they differ', () => {
    set({ source: S, group: G, iif: 2 });
    m.dirty.clear();
    m.setJoined(new Set());
    expect(m.dirty.size).toBe(0);
    m.setJoined(new Set([`2 ${G}`]));
    expect(m.dirty.size).toBe(1);
    m.dirty.clear();
    m.setJoined(new Set([`2 ${G}`]));
    expect(m.dirty.size).toBe(0);
    m.setJoined(new Set(['2 239.9.9.9']));
    expect(m.dirty.size).toBe(1);
  });

  it('goes with its namespace, memberships too', () => {
    set({ source: S, group: G, iif: 2 });
    m.setJoined(new Set([`2 ${G}`]));
    m.clear();
    expect([m.byKey.size, m.dirty.size]).toEqual([0, 1]);
    set({ source: S, group: G, iif: 2, oifs: on(3) });
    expect(m.derive([...m.byKey.keys()][0] as string, phyOf)?.host).toBe(false);
  });
});

describe('a namespace', () => {
  const link = (ifindex: number, up = true) =>
    newLink({ ifindex, name: `x${ifindex}`, flags: up ? k.IFF_UP | k.IFF_LOWER_UP : 0 });
  const doubts = (ns: Namespace) => [...ns.doubts].map(({ kind, scope }) => `${kind} ${scope.family}`);
  it('reads the entries again when an interface that they name ends: the kernel takes it out in silence', () => {
    const ns = new Namespace('cp');
    ns.apply(batchFrom([link(2), link(3), link(4), newMroute({ source: S, group: G, iif: 2, oifs: on(3) })]));
    ns.mroutes.dirty.clear();
    ns.doubts.clear();
    ns.dumpBegin('link', { family: 0 });
    ns.apply(batchFrom([link(2), link(3)], true));
    ns.dumpEnd('link', true, { family: 0 });
    expect([doubts(ns), ns.mroutes.dirty.size], 'the one that ended is in none').toEqual([[], 0]);
    ns.dumpBegin('link', { family: 0 });
    ns.apply(batchFrom([link(2)], true));
    ns.dumpEnd('link', true, { family: 0 });
    expect([doubts(ns), ns.mroutes.dirty.size]).toEqual([['mroute 0'], 1]);
  });

  it('reads them again when a (*,G) may have moved, but not because of a dump', () => {
    const ns = new Namespace('cp');
    const two = [2, 3].map((iif) => newMroute({ group: G, iif, oifs: on(2, 3) }));
    ns.apply(batchFrom(two, true));
    expect(doubts(ns)).toEqual([]);
    ns.apply(batchFrom([newMroute({ group: G, iif: 4, oifs: on(4) })]));
    expect(doubts(ns)).toEqual([`mroute ${k.RTNL_FAMILY_IPMR}`]);
  });

  it('counts what is no entry', () => {
    const message = newMroute({ source: S, group: G, iif: 2, oifs: on(3) });
    for (let length = 17; length < message.length; length++) {
      const cut = message.slice(0, length);
      new DataView(cut.buffer).setUint32(0, length, true);
      const ns = new Namespace('cp');
      const batch = batchFrom([cut]);
      ns.apply(batch);
      expect(ns.mroutes.byKey.size + batch.malformed.total).toBeLessThanOrEqual(1);
    }
  });
});

describe('a router', () => {
  let r: Router;
  let kernel: ExtraKernel;
  const e = (n: number) => kernel.linkNamed(`e${n}`).ifindex;
  const rows = () =>
    [...r.dataplane.mroutes.values()].map(
      (o) => `${o.phy} ${o.source || '*'} ${o.group} -> ${o.out}${o.host ? ' host' : ''}`,
    );

  beforeEach(async () => {
    ({ r, kernel } = await extraRouter());
  });

  it('has an entry, changed, moved to another input, and none any more', async () => {
    kernel.mroute({ source: S, group: G, iif: e(0), oifs: on(e(1)) });
    await r.settle();
    expect(rows()).toEqual([`wan0 ${S} ${G} -> lan0`]);
    kernel.mroute({ source: S, group: G, iif: e(0), oifs: on(e(1), 999) });
    await r.settle();
    expect(rows()).toEqual([`wan0 ${S} ${G} -> lan0 host`]);
    r.dataplane.log.length = 0;
    const gone = kernel.mroute({ source: S, group: G, iif: e(1), oifs: on(e(0)) });
    await r.settle();
    expect(rows()).toEqual([`lan0 ${S} ${G} -> wan0`]);
    expect(r.dataplane.log).toEqual([`delete mroute wan0 ${S} ${G}`, `set mroute lan0 ${S} ${G}`]);
    gone();
    await r.settle();
    expect([rows(), [...r.reconciler.delta.rows('mroute')]]).toEqual([[], []]);
  });

  it('keeps an entry of another table when the one that had its place moves away', async () => {
    kernel.mroute({ source: S, group: G, iif: e(0), oifs: on(e(1)), table: 10 });
    kernel.mroute({ source: S, group: G, iif: e(1), oifs: on(e(0)) });
    await r.settle();
    r.ns().mroutes.review();
    // both are looked at in one pass: the first leaves the row that the second takes
    kernel.mroute({ source: S, group: G, iif: e(1), oifs: on(e(0)), table: 10 });
    kernel.mroute({ source: S, group: G, iif: e(0), oifs: on(e(1)) });
    await r.settle();
    expect(rows().sort()).toEqual([`lan0 ${S} ${G} -> wan0`, `wan0 ${S} ${G} -> lan0`]);
  });

  it('gives the host every packet while it has joined', async () => {
    kernel.mroute({ source: S, group: G, iif: e(0), oifs: on(e(1)) });
    await r.settle();
    r.ns().mroutes.setJoined(new Set([`${e(0)} ${G}`]));
    await r.settle();
    expect(rows()).toEqual([`wan0 ${S} ${G} -> lan0 host`]);
    r.ns().mroutes.setJoined(new Set());
    await r.settle();
    expect(rows()).toEqual([`wan0 ${S} ${G} -> lan0`]);
  });

  it.each(['wan0', 'lan0'])('whose phy %s is replaced has the entry again', async (phy) => {
    kernel.mroute({ source: S, group: G, iif: e(0), oifs: on(e(1)) });
    await r.settle();
    const own = r.kernel('');
    const { mac, mtu } = own.linkNamed(phy);
    own.delLink(own.linkNamed(phy));
    await r.settle();
    expect(rows()).toEqual(phy === 'wan0' ? [] : [`wan0 ${S} ${G} ->  host`]);
    own.addLink(phy, { mac, mtu });
    await r.settle();
    expect([rows(), r.refused]).toEqual([[`wan0 ${S} ${G} -> lan0`], []]);
  });

  it('in and out by sub-interfaces', async () => {
    const gone = kernel.vlan(500, e(0), 100);
    kernel.mroute({ source: S, group: G, iif: 500, oifs: on(e(1)) });
    await r.settle();
    expect(rows()).toEqual([`wan0.100 ${S} ${G} -> lan0`]);
    gone();
    await r.settle();
    expect(rows()).toEqual([]);
  });

  it('restarted sends nothing; what ended meanwhile is removed', async () => {
    const gone = kernel.mroute({ source: S, group: G, iif: e(0), oifs: on(e(1)) });
    kernel.mroute({ source: 'fd00:1::9', group: G6, iif: e(0), oifs: on(e(1)) });
    await r.settle();
    r.dataplane.log.length = 0;
    r.dataplane.operations = 0;
    await r.successor().settle();
    expect([r.dataplane.log, r.dataplane.operations]).toEqual([[], 0]);
    gone();
    kernel.take();
    r = r.successor();
    await r.settle();
    expect(rows()).toEqual([`wan0 fd00:1::9 ${G6} -> lan0`]);
  });

  it('told to end what it does not have', async () => {
    r.ns().apply(batchFrom([delMroute({ source: S, group: G, iif: e(0) })]));
    await r.settle();
    expect(rows()).toEqual([]);
  });
});
