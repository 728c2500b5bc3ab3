// Failures: what an operator sees of objects and routes that the data plane refuses.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Core } from '../../../src/lcp/core.ts';
import { health } from '../../../src/lcp/coreview.ts';
import { failureRows } from '../../../src/lcp/failures.ts';
import { type Router, router } from './router.ts';

const FAR = '10.0.1.2';
const NO_SUCH_FIB = { retval: -3, name: 'NO_SUCH_FIB', hint: 'the table is not in VPP', time: 0, count: 4 };

let r: Router;
const host = () => r.kernel().linkNamed('e0').ifindex;
const add = (dst: string) => r.kernel().addRoute({ dst, legs: [{ oif: host(), gateway: FAR }] });
const core = (): Core => ({ reconciler: r.reconciler, dataplane: r.dataplane, now: () => r.now }) as unknown as Core;
const brief = () => failureRows(core()).map(({ kind, key, error }) => `${kind} ${key}: ${error}`);

beforeEach(async () => {
  r = await router();
});

describe('what is refused', () => {
  it('is nothing in a router that is in sync, whatever was said before', () => {
    r.dataplane.saidOfRoutes = [{ ...NO_SUCH_FIB, prefix: '10.9.1.0/24' }];
    expect(failureRows(core())).toEqual([]);
    expect(health(core())).toMatchObject({ state: 'ok', failed: 0 });
    expect(health(core())).not.toHaveProperty('hint');
  });

  it('has its error, its age, and when it is tried again', async () => {
    r.dataplane.failNext('set neighbour', 9, 'TABLES_FULL');
    r.kernel().setNeighbour({ ifindex: host(), dst: '10.0.1.7', lladdr: '02:00:00:00:00:07' });
    await r.round();
    r.now += 30;
    expect(failureRows(core())).toEqual([
      {
        kind: 'neighbour',
        key: 'wan0 10.0.1.7',
        error: expect.stringMatching(/./),
        code: 'TABLES_FULL',
        ageMs: 30,
        attempts: 1,
        retryMs: 70,
      },
    ]);
    r.now += 500;
    expect(failureRows(core())).toMatchObject([{ ageMs: 530, retryMs: 0 }]);
    await r.round();
    expect(failureRows(core())).toMatchObject([{ ageMs: 530, attempts: 2, retryMs: 200 }]);
  });

  it('are routes too, with the words of the data plane', async () => {
    r.dataplane.failNext('route', 2);
    for (const n of [1, 2, 3]) add(`10.9.${n}.0/24`);
    await r.round();
    expect(brief()).toEqual([
      'route4 cp table 254 10.9.1.0/24: refused by the data plane',
      'route4 cp table 254 10.9.2.0/24: refused by the data plane',
    ]);
    expect(health(core())).toMatchObject({
      state: 'degraded',
      failed: 2,
      hint: 'routes are refused: see lcpctl show failures',
    });
    r.dataplane.saidOfRoutes = [{ ...NO_SUCH_FIB, prefix: '10.9.2.0/24', time: Date.now() - 2000 }];
    expect(brief()).toEqual([
      'route4 cp table 254 10.9.1.0/24: refused by the data plane',
      'route4 cp table 254 10.9.2.0/24: refused by the data plane: NO_SUCH_FIB (-3)',
      'routes last 10.9.2.0/24: NO_SUCH_FIB (-3)',
    ]);
    const said = failureRows(core()).at(-1);
    expect(said).toMatchObject({ attempts: 4, hint: 'the table is not in VPP' });
    expect(said?.ageMs).toBeGreaterThanOrEqual(2000);
    expect(health(core()).hint).toContain('the last ones with NO_SUCH_FIB (-3)');
    await r.settle();
    expect(brief()).toEqual([]);
  });

  it('are routes whose path set is refused, with the error of that', async () => {
    r.dataplane.failNext('set pathset', 1, 'TABLES_FULL');
    r.kernel().addRoute({ dst: '10.9.1.0/24', legs: [{ oif: host(), gateway: '10.0.1.9' }] });
    await r.round();
    const [set, route] = failureRows(core());
    expect(set).toMatchObject({ kind: 'pathset', code: 'TABLES_FULL', attempts: 1 });
    expect(route).toMatchObject({ kind: 'route4', key: 'cp table 254 10.9.1.0/24', code: 'TABLES_FULL' });
    expect(route?.error).toBe(set?.error);
  });

  it('are not all of them rows when they are many, and their number is told', async () => {
    r.dataplane.failNext('route', 150);
    for (let n = 0; n < 150; n++) add(`10.9.${n}.0/24`);
    await r.round();
    const rows = failureRows(core());
    expect(rows).toHaveLength(101);
    expect(rows.at(-1)).toEqual({ kind: 'route4', key: 'cp', error: 'and 50 more' });
  });
});
