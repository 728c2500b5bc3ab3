// SourceRoutes: IPv6 routes for packets from a prefix only: kept to be told of, counted when too many, never used.

import { beforeEach, describe, expect, it } from 'vitest';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { SourceRoutes } from '../../../src/lcp/sourceroutes.ts';
import { AF_INET6 } from '../../../src/lib/ip.ts';
import * as bytes from './kernelbytes.ts';
import { batchFrom, type RouteText, routeMessage } from './kernelbytes.ts';

const route = (more: Partial<RouteText> = {}): RouteText => ({
  dst: 'fd01::/16',
  src: 'fd02::/32',
  priority: 1024,
  legs: [{ oif: 2, gateway: 'fe80::2' }],
  ...more,
});
const two = [
  { oif: 2, gateway: 'fe80::2' },
  { oif: 3, gateway: 'fe80::3' },
];
const TEXT = 'fd01::/16 from fd02::/32 table 254 metric 1024';

describe('kept routes', () => {
  let s: SourceRoutes;
  const set = (r: RouteText, epoch = 1) => s.set(routeMessage(r), epoch);
  const remove = (r: RouteText) => s.remove(routeMessage(r));
  beforeEach(() => {
    s = new SourceRoutes();
  });

  it('are named as ip does, once', () => {
    set(route());
    set(route());
    set(route({ table: 10, priority: 5 }));
    set(route({ src: 'fd03::/32' }));
    expect(s.texts()).toEqual([
      TEXT,
      'fd01::/16 from fd02::/32 table 10 metric 5',
      'fd01::/16 from fd03::/32 table 254 metric 1024',
    ]);
    expect(s.size).toBe(3);
  });

  it('end with their last leg', () => {
    set(route({ legs: two }));
    remove(route());
    expect(s.texts()).toEqual([TEXT]);
    remove(route({ legs: two.slice(1) }));
    expect(s.texts()).toEqual([]);
    set(route({ legs: two }));
    remove(route({ legs: two }));
    expect(s.size).toBe(0);
  });

  it('a leg told again is not a leg more', () => {
    set(route());
    set(route({ legs: two }));
    set(route());
    remove(route());
    expect(s.size).toBe(0);
  });

  it('without a leg end too; what is not known ends without harm', () => {
    set(route({ type: 7, legs: [] }));
    remove(route({ src: 'fd09::/32' }));
    expect(s.size).toBe(1);
    remove(route({ type: 7, legs: [] }));
    expect(s.size).toBe(0);
  });

  it('are swept, of one table or of all', () => {
    set(route());
    set(route({ table: 10 }));
    s.sweep(10, 2);
    expect(s.texts()).toEqual([TEXT]);
    set(route(), 3);
    s.sweep(undefined, 3);
    expect(s.size).toBe(1);
    s.sweep(undefined, 4);
    expect(s.size).toBe(0);
  });

  it('a dump of what leaves by one device takes the legs over it, and the route with the last', () => {
    set(route({ legs: two }));
    set(route({ table: 10 }));
    s.sweep(undefined, 2, 9);
    expect(s.size).toBe(2);
    s.sweep(undefined, 2, 2);
    expect(s.texts()).toEqual([TEXT]);
    set(route({ legs: two.slice(1) }), 3);
    s.sweep(undefined, 3, 3);
    expect(s.size).toBe(1);
    s.sweep(undefined, 4, 3);
    expect(s.size).toBe(0);
  });

  it('beyond ten thousand are counted only', () => {
    for (let i = 0; i < 10_005; i++) set(route({ priority: i + 1 }));
    expect([s.size, s.uncounted]).toEqual([10_000, 5]);
    set(route({ priority: 1, legs: two }));
    expect(s.uncounted, 'a known one is no further one').toBe(5);
    s.clear();
    expect(s.size).toBe(0);
  });
});

describe('in a namespace', () => {
  it('never become routes, and go with it', () => {
    const ns = new Namespace('cp');
    ns.apply(batchFrom([bytes.newRoute(route()), bytes.newRoute(route({ src: 'fd02::1/128' }))]));
    expect([ns.routes6.prefixes.entryCount, ns.routes6.prefixes.dirtyCount, ns.routes6.sources.size]).toEqual([
      0, 0, 2,
    ]);
    ns.apply(batchFrom([bytes.delRoute(route())]));
    expect([ns.routes6.prefixes.dirtyCount, ns.routes6.sources.size]).toEqual([0, 1]);
    ns.clear();
    expect(ns.routes6.sources.size).toBe(0);
  });

  it('are swept by a dump of all, not by one of a device', () => {
    const ns = new Namespace('cp');
    ns.apply(batchFrom([bytes.newRoute(route())]));
    for (const scope of [{ family: AF_INET6, oif: 7 }, { family: AF_INET6 }]) {
      expect(ns.routes6.sources.size).toBe(1);
      ns.dumpBegin('route', scope);
      ns.dumpEnd('route', true, scope);
    }
    expect(ns.routes6.sources.size).toBe(0);
  });
});
