// Reconciler: stories of one router: order, refusals, pairs that come and go, restarts on either side.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Operation } from '../../../src/lcp/dataplane.ts';
import { type Interconnect, PLAIN_INTERCONNECT, type Punt, puntKey } from '../../../src/lcp/puntobjects.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { Router, router } from './router.ts';

const FAR = '10.0.1.2';
const NEAR = '10.0.2.2';

let r: Router;
const host = (name: string) => r.kernel().linkNamed(name).ifindex;
const add = (dst: string, name = 'e0', gateway = FAR, more = {}) =>
  r.kernel().addRoute({ dst, legs: [{ oif: host(name), gateway }], ...more });
const kinds = () => r.dataplane.log.map((line) => line.split(' ').slice(0, 2).join(' '));
const fresh = () => {
  r.dataplane.log.length = 0;
  r.dataplane.operations = 0;
};
/** Path sets of the data plane are those of the mirror, and lead somewhere. */
const noLeaks = () => {
  const known = [...r.ns().pathsets.all()].map((p) => p.handle).filter((h) => h !== 0);
  expect([...r.dataplane.pathsets.keys()].sort()).toEqual(known.sort());
};

beforeEach(async () => {
  r = await router();
  fresh();
});

describe('order', () => {
  it('from nothing: pairs, then tables, links, neighbours, and path sets before their routes', async () => {
    add('10.9.0.0/16');
    r.dataplane.restart(false);
    await r.settle();
    const first = (what: string) => kinds().indexOf(what);
    const order = ['set pair', 'set table', 'set link', 'set neighbour', 'set pathset'].map(first);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order).not.toContain(-1);
    expect(r.lookup('10.9.0.1')).toBe(`wan0 ${FAR} 1`);
  });

  it('to nothing: neighbours and links before their pairs, tables last', async () => {
    add('10.9.0.0/16', 'e0', FAR, { table: 100 });
    await r.settle();
    fresh();
    for (const route of [...r.kernel().routes.all()]) if (route.table === 100) r.kernel().routes.remove(route);
    r.configure([]);
    await r.settle();
    const last = (what: string) => kinds().lastIndexOf(what);
    expect(last('delete neighbour')).toBeLessThan(kinds().indexOf('delete pair'));
    expect(last('delete pair')).toBeLessThan(kinds().indexOf('delete pathset'));
    expect(last('delete pathset')).toBeLessThan(kinds().indexOf('delete table'));
    expect([r.dataplane.pairs.size, r.dataplane.neighbours.size, r.dataplane.pathsets.size]).toEqual([0, 0, 0]);
    expect(() => host('e0'), 'hosts are removed').toThrow('no link');
  });

  it('a punt goes behind its interconnect, whenever in a round both are wished for', async () => {
    const { delta } = r.reconciler;
    const told: string[] = [];
    let passes = 0;
    let last = 0;
    r.reconciler.further = {
      derive: () => {
        if (++passes !== last) return;
        delta.want('interconnect', 'tap-a', { kind: 'interconnect', name: 'tap-a' } as Interconnect);
        const punt: Punt = { kind: 'punt', feature: 'xconnect', from: 'wan0', to: 'tap-a' };
        delta.want('punt', puntKey(punt), punt);
      },
      isDirty: false,
      adopted: () => undefined,
      settle: () => undefined,
      through: async (operations) => {
        told.push(...operations.map(({ op, object }) => `${op} ${object.kind}`));
        return operations.map(() => ({ ok: true }));
      },
    };
    await r.reconciler.round();
    const inOneRound = passes;
    expect(inOneRound).toBeGreaterThan(1);
    for (last = 1; last <= inOneRound; last++) {
      passes = 0;
      await r.reconciler.round();
      await r.reconciler.round();
      const of = told.filter((line) => /punt|interconnect/.test(line));
      expect(of, `wished for in pass ${last}`).toEqual(['set interconnect', 'set punt']);
      for (const { kind, key, actual } of [...delta.rows('punt'), ...delta.rows('interconnect')]) {
        delta.want(kind, key, undefined);
        if (actual !== undefined) delta.settle({ op: 'delete', object: actual, handle: 0 }, { ok: true }, 0);
      }
      told.length = 0;
    }
  });

  it('a pair on an interconnect is told again where that was made anew, also by half, and not where it stayed', async () => {
    const { delta } = r.reconciler;
    const told: string[] = [];
    let refuses = false;
    r.reconciler.further = {
      derive: () => undefined,
      isDirty: false,
      adopted: () => undefined,
      settle: () => undefined,
      through: async (operations, apply) => {
        const isOn = ({ object: { kind } }: Operation): boolean => kind === 'interconnect' || kind === 'pair';
        const others = operations.filter((operation) => !isOn(operation));
        told.push(...operations.map(({ op, object }) => `${op} ${object.kind}`));
        const answers = await apply(others);
        return operations.map((operation) => {
          if (!isOn(operation)) return answers[others.indexOf(operation)] ?? { ok: true };
          const isRefused = refuses && operation.object.kind === 'interconnect';
          if (isRefused) refuses = false;
          return isRefused ? { ok: false, code: 'PORT_REFUSED' } : { ok: true, handle: host('e0') };
        });
      },
    };
    const wanted = async (of: Partial<Interconnect>): Promise<string[]> => {
      told.length = 0;
      const plain: Interconnect = { kind: 'interconnect', name: 'wan0', link: 'tap', ...PLAIN_INTERCONNECT };
      delta.want('interconnect', 'wan0', { ...plain, mac: '02:fd:00:00:00:01', owner: 'punt:a', ...of });
      await r.settle();
      return told.filter((line) => /pair|interconnect/.test(line));
    };
    await wanted({});
    expect(await wanted({ owner: 'punt:b', addresses: ['10.5.0.1/24'] })).toEqual(['set interconnect']);
    expect(await wanted({ mac: '02:11:22:33:44:55' })).toEqual(['set interconnect', 'set pair']);
    refuses = true;
    const twice = ['set interconnect', 'set pair', 'set interconnect', 'set pair'];
    expect(await wanted({ netnsId: '4:9' }), 'refused, and tried again').toEqual(twice);
  });

  it('of what a data plane is found with, no punt goes because its pair was not made yet', async () => {
    const { delta, pairs } = r.reconciler;
    const punt: Punt = { kind: 'punt', feature: 'span', from: 'wan0', to: 'tap-a', rx: true, tx: true };
    const told: string[] = [];
    r.reconciler.further = {
      derive: () => delta.want('punt', puntKey(punt), pairs.device('wan0') === undefined ? undefined : punt),
      isDirty: false,
      adopted: () => undefined,
      settle: () => undefined,
      through: async (operations, apply) => {
        const others = operations.filter(({ object }) => object.kind !== 'punt');
        told.push(...operations.flatMap(({ op, object }) => (object.kind === 'punt' ? op : [])));
        const answers = await apply(others);
        return operations.map((operation) => answers[others.indexOf(operation)] ?? { ok: true });
      },
    };
    const dump = r.dataplane.dump.bind(r.dataplane);
    r.dataplane.dump = async () => [...(await dump()), { object: punt, handle: 0 }];
    r.dataplane.restart(false);
    await r.settle();
    expect(pairs.device('wan0')).toBeDefined();
    expect(told).toEqual([]);
    r.configure([]);
    await r.settle();
    expect(told, 'once it is gone the punt goes').toEqual(['delete']);
  });

  it('nothing is sent before every namespace has been read', () => {
    const started = new Router();
    expect(started.reconciler.ready).toBe(false);
    started.resync('');
    expect(started.reconciler.ready).toBe(false);
    started.ns().known = true;
    expect(started.reconciler.ready).toBe(true);
  });
});

describe('one operation for many changes', () => {
  it('of a route that flaps', async () => {
    add('10.9.0.0/16');
    await r.settle();
    fresh();
    for (let i = 0; i < 50; i++) {
      add('10.9.0.0/16', i % 2 === 0 ? 'e1' : 'e0', i % 2 === 0 ? NEAR : FAR, {});
      r.kernel().addRoute({ dst: '10.9.0.0/16', legs: [{ oif: host('e1'), gateway: NEAR }] }, 'replace');
    }
    await r.settle();
    expect(r.lookup('10.9.0.1')).toBe(`lan0 ${NEAR} 1`);
    expect(r.dataplane.operations).toBeLessThanOrEqual(3);
  });

  it('of a neighbour that is confirmed again and again: none', async () => {
    for (const state of [k.NUD_STALE, k.NUD_DELAY, k.NUD_PROBE, k.NUD_REACHABLE]) {
      r.kernel().setNeighbour({ ifindex: host('e0'), dst: FAR, lladdr: '02:00:00:00:01:02', state });
      await r.settle();
    }
    expect(r.dataplane.operations).toBe(0);
  });

  it('a second round and a resync send nothing', async () => {
    await r.reconciler.round();
    r.resync('cp');
    r.resync('');
    await r.settle();
    expect(r.dataplane.operations).toBe(0);
  });
});

describe('refusals', () => {
  it('of one neighbour leave its siblings alone, keep their age and are tried again', async () => {
    r.dataplane.failNext('set neighbour', 1, 'TABLES_FULL');
    for (const last of [7, 8, 9])
      r.kernel().setNeighbour({ ifindex: host('e0'), dst: `10.0.1.${last}`, lladdr: '02:00:00:00:00:07' });
    await r.round();
    expect(r.dataplane.neighbours.size).toBe(6);
    const [failed] = r.reconciler.delta.failures();
    expect(failed?.failure).toMatchObject({ code: 'TABLES_FULL', since: r.now, attempts: 1 });
    expect(r.reconciler.isDirty).toBe(false);
    expect(r.reconciler.nextRetryAt()).toBe(r.now + 100);
    r.dataplane.failNext('set neighbour', 1);
    r.now += 100;
    expect(r.reconciler.isDirty).toBe(true);
    await r.round();
    expect(r.reconciler.delta.failures()[0]?.failure).toMatchObject({
      since: r.now - 100,
      attempts: 2,
      retryAt: r.now + 200,
    });
    await r.settle();
    expect([r.dataplane.neighbours.size, r.reconciler.delta.failures()]).toEqual([7, []]);
    expect(r.refused).toEqual(['set neighbour', 'set neighbour again']);
  });

  it('of routes are counted, and tried a second later whatever else goes on', async () => {
    r.dataplane.failNext('route', 2);
    for (const n of [1, 2, 3]) add(`10.9.${n}.0/24`);
    await r.round();
    expect(r.ns().routes4.prefixes.failedCount).toBe(2);
    expect(r.reconciler.routes.stats.failed).toBe(2);
    const at = r.reconciler.nextRetryAt();
    expect(at).toBe(r.now + 1000);
    r.now += 600;
    add('10.9.4.0/24');
    await r.round();
    expect(r.reconciler.nextRetryAt(), 'other changes do not put it off').toBe(at);
    await r.settle();
    expect(['10.9.1.1', '10.9.2.1', '10.9.3.1', '10.9.4.1'].map((a) => r.lookup(a))).toEqual(
      new Array(4).fill(`wan0 ${FAR} 1`),
    );
    expect(r.ns().routes4.prefixes.failedCount).toBe(0);
  });

  it('of a path set keep the routes of others moving, and end when nobody wants it any more', async () => {
    r.dataplane.failNext('set pathset', 99);
    add('10.9.1.0/24');
    r.kernel().addRoute({ dst: '10.9.2.0/24', type: k.RTN_BLACKHOLE });
    await r.round();
    expect([r.lookup('10.9.1.1'), r.lookup('10.9.2.1')]).toEqual(['none', 'special 5']);
    expect(r.reconciler.delta.failures().map((row) => row.kind)).toEqual(['pathset']);
    for (const route of [...r.kernel().routes.all()]) if (route.dst === '10.9.1.0/24') r.kernel().routes.remove(route);
    await r.round();
    await r.round();
    expect(r.reconciler.delta.failures()).toEqual([]);
    expect([r.reconciler.isDirty, r.reconciler.nextRetryAt()]).toEqual([false, undefined]);
    noLeaks();
  });

  it('of a path set: what is tried again is what is wanted by then', async () => {
    r.kernel().setNexthop({ id: 1, oif: host('e0'), gateway: FAR });
    r.kernel().addRoute({ dst: '10.9.1.0/24', nhId: 1 });
    r.dataplane.failNext('set pathset', 1);
    await r.round();
    r.kernel().setNexthop({ id: 1, oif: host('e1'), gateway: NEAR });
    await r.settle();
    expect(r.lookup('10.9.1.1')).toBe(`lan0 ${NEAR} 1`);
  });

  it('of a path set’s deletion wait, and a route that needs it again finds it', async () => {
    add('10.9.1.0/24');
    await r.settle();
    r.dataplane.failNext('delete pathset', 1);
    for (const route of [...r.kernel().routes.all()]) if (route.dst === '10.9.1.0/24') r.kernel().routes.remove(route);
    await r.round();
    expect(r.reconciler.delta.failures()).toHaveLength(1);
    expect(r.reconciler.isDirty, 'no round runs in a circle').toBe(false);
    add('10.9.3.0/24');
    await r.round();
    r.now += 5000;
    await r.round();
    await r.settle();
    expect(r.lookup('10.9.3.1')).toBe(`wan0 ${FAR} 1`);
    noLeaks();
  });

  it('of a route’s deletion end with its table', async () => {
    add('10.9.1.0/24', 'e0', FAR, { table: 100 });
    await r.settle();
    r.dataplane.failNext('route', 1);
    for (const route of [...r.kernel().routes.all()]) if (route.table === 100) r.kernel().routes.remove(route);
    await r.settle();
    expect([...r.dataplane.tables.values()].some((t) => t.table === 100)).toBe(false);
    expect(r.ns().routes4.prefixes.failedCount).toBe(0);
  });

  it('of a pair are shown and leave the other pair working', async () => {
    r.dataplane.restart(false);
    r.dataplane.failNext('set pair', 1);
    await r.round();
    expect(r.reconciler.delta.failures().map((row) => row.key)).toEqual(['wan0']);
    expect(r.lookup('10.0.2.9')).toBe('lan0  1');
    expect(r.lookup('10.0.1.9'), 'the kernel decides while wan0 is no pair').toBe('special 9');
    await r.settle();
    expect(r.lookup('10.0.1.9')).toBe('wan0  1');
  });
});

describe('tables', () => {
  it('come with their first route and go with the last; the three of the rules stay', async () => {
    const tables = () =>
      [...r.dataplane.tables.values()].filter((t) => t.netns === 'cp' && t.family === 4).map((t) => t.table);
    expect(tables().sort()).toEqual([253, 254, 255]);
    add('10.9.0.0/16', 'e0', FAR, { table: 100 });
    add('10.9.0.0/16', 'e0', FAR, { table: 100_000 });
    await r.settle();
    expect(tables().sort((a, b) => a - b)).toEqual([100, 253, 254, 255, 100_000]);
    for (const route of [...r.kernel().routes.all()]) if (route.table === 100) r.kernel().routes.remove(route);
    await r.settle();
    expect(tables().sort((a, b) => a - b)).toEqual([253, 254, 255, 100_000]);
  });
});

describe('path sets', () => {
  it('are shared by routes and changed once for all of them', async () => {
    const nh = { id: 1, oif: host('e0'), gateway: FAR };
    r.kernel().setNexthop(nh);
    for (let i = 0; i < 200; i++) r.kernel().addRoute({ dst: `10.9.${i}.0/24`, nhId: 1 });
    await r.settle();
    fresh();
    r.kernel().setNexthop({ ...nh, oif: host('e1'), gateway: NEAR });
    await r.settle();
    expect([r.dataplane.log, r.dataplane.operations]).toEqual([[expect.stringMatching(/^set pathset cp#/)], 1]);
    expect(r.lookup('10.9.7.1')).toBe(`lan0 ${NEAR} 1`);
  });

  it('where a data plane copies them, their routes are sent again', async () => {
    r.dataplane.sharedPathSets = false;
    const nh = { id: 1, oif: host('e0'), gateway: FAR };
    r.kernel().setNexthop(nh);
    for (let i = 0; i < 20; i++) r.kernel().addRoute({ dst: `10.9.${i}.0/24`, nhId: 1 });
    await r.settle();
    fresh();
    r.kernel().setNexthop({ ...nh, gateway: '10.0.1.3' });
    await r.round();
    expect(r.dataplane.text()).toContain('10.9.7.0/24 -> wan0|10.0.1.3|1');
    expect(r.dataplane.operations, 'the path set and each of its routes').toBe(21);
    expect(r.ns().routes4.prefixes.dirtyCount).toBe(0);
  });
});
