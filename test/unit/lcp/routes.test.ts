// Routes: what they keep count of besides the entries of a prefix. See routes4 and routes6 for those.

import { describe, expect, it } from 'vitest';
import { PathSets } from '../../../src/lcp/pathsets.ts';
import { Routes } from '../../../src/lcp/routes.ts';
import { formatWords } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type RouteText, routeMessage } from './kernelbytes.ts';
import { A, B, C, CREATE, D4, shown, v4, v6 } from './routeevents.ts';

describe('bookkeeping', () => {
  const routes = () => {
    const sets = new PathSets();
    return { sets, r: new Routes(4, sets) };
  };
  const add = (r: Routes, text: RouteText) => r.add(routeMessage(text), CREATE, 0, 1);

  it('tables are told when they get their first and lose their last entry', () => {
    const { r } = routes();
    add(r, v4(A, { table: 100 }));
    expect([...r.dirtyTables]).toEqual([100]);
    r.dirtyTables.clear();
    add(r, v4(B, { table: 100, priority: 5 }));
    r.remove(routeMessage(v4(A, { table: 100 })), 1);
    expect([...r.dirtyTables]).toEqual([]);
    expect([r.entriesIn(100), [...r.tables()]]).toEqual([1, [100]]);
    r.remove(routeMessage(v4(B, { table: 100, priority: 5 })), 1);
    expect([...r.dirtyTables]).toEqual([100]);
    expect([r.entriesIn(100), [...r.tables()]]).toEqual([0, []]);
  });

  it('a table number above 255 is its own', () => {
    const { r, sets } = routes();
    add(r, v4(A, { table: 100_000 }));
    expect(shown(r, sets, D4, 100_000)).toEqual([`0:${A}%1`]);
    expect(shown(r, sets, D4)).toEqual([]);
  });

  it('what changed is dirty, what is told again is not', () => {
    const { r } = routes();
    add(r, v4(A));
    expect(r.prefixes.dirtyCount).toBe(1);
    r.prefixes.takeDirty();
    add(r, v4(A));
    r.remove(routeMessage(v4(C)), 1);
    expect(r.prefixes.dirtyCount).toBe(0);
    r.remove(routeMessage(v4(A)), 1);
    expect(r.prefixes.dirtyCount).toBe(1);
  });

  it('users of path sets are queued, others are not', () => {
    const { r, sets } = routes();
    add(r, v4(A));
    add(r, v4(B, { dst: '11.0.0.0/8' }));
    add(r, v4(C, { dst: '12.0.0.0/8' }));
    add(r, v4(A, { dst: '12.0.0.0/8', priority: 7 }));
    while (r.prefixes.takeDirty() !== 0) expect(r.prefixes.dirtyCount).toBeLessThan(3);
    const shared = [...sets.all()].find((p) => p.refs === 2);
    r.markUsersDirty(new Set([shared?.id ?? 0]));
    expect(r.prefixes.dirtyCount).toBe(2);
  });

  it('counts what it leaves out', () => {
    const { r } = routes();
    add(r, v4(A, { flags: k.RTM_F_CLONED }));
    add(r, v4(A, { src: '1.0.0.0/8' }));
    r.remove(routeMessage(v4(A, { type: k.RTN_XRESOLVE })), 1);
    expect(r.ignored).toEqual({ cloned: 1, type: 1 });
    expect(r.prefixes.recordCount).toBe(0);
  });

  it('preferred source of IPv4 is part of the path set, of IPv6 it is not', () => {
    const { r, sets } = routes();
    add(r, v4(A, { prefsrc: '9.9.9.9' }));
    expect([...sets.all()].map((p) => formatWords(2, p.prefsrc))).toEqual(['9.9.9.9']);
    const six = new PathSets();
    const r6 = new Routes(6, six);
    r6.add(routeMessage(v6(['fe80::1'], { prefsrc: 'fd00::9' })), CREATE, 0, 1);
    expect([...six.all()].map((p) => [p.prefsrc, p.family])).toEqual([[0, 6]]);
  });
});
