// RouteSync: a batch is on its way while the next one is put together, and its prefixes go on changing meanwhile.

import { beforeEach, describe, expect, it } from 'vitest';
import type { RouteBatch } from '../../../src/lcp/dataplane.ts';
import { LcpError } from '../../../src/lib/errors.ts';
import { FakeDataPlane } from './fakedataplane.ts';
import { PAIRS, Router } from './router.ts';

const BATCH = 4096;
const FAR = '10.0.1.2';
const OTHER = '10.0.1.7';

type Four = [number, number, number, number];

/** Answers each batch when it is told to, as it was when it was sent. */
class SlowDataPlane extends FakeDataPlane {
  isSlow = false;
  readonly waiting: ((error?: Error) => void)[] = [];
  /** How many batches were on their way at once. */
  most = 0;

  override applyRoutes(batch: RouteBatch): number | Promise<number> {
    if (!this.isSlow) return super.applyRoutes(batch);
    return new Promise((resolve, reject) => {
      this.waiting.push((error) => {
        if (error === undefined) resolve(super.applyRoutes(batch));
        else reject(error);
      });
      this.most = Math.max(this.most, this.waiting.length);
    });
  }

  /** Answers the oldest batch. */
  answer(error?: Error): void {
    this.waiting.shift()?.(error);
  }
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
};

let r: Router;
let slow: SlowDataPlane;

const route = (i: number, gateway = FAR) => ({
  dst: `20.${i >> 8}.${i & 255}.0/24`,
  legs: [{ oif: r.kernel().linkNamed('e0').ifindex, gateway }],
});
const addressIn = (i: number): string => `20.${i >> 8}.${i & 255}.1`;
const addTo = (end: number): void => {
  for (let i = 0; i < end; i++) r.kernel().addRoute(route(i));
};

/** Answers until the work is done. */
async function finish(work: Promise<unknown>): Promise<void> {
  let isDone = false;
  const ended = work.finally(() => {
    isDone = true;
  });
  // a failure is the caller's, who waits for it below
  ended.catch(() => undefined);
  while (!isDone) {
    slow.answer();
    await turns();
  }
  await ended;
}

/** How many of the routes the data plane has. */
const held = (): number => {
  const rows = [...slow.routes.values()].flatMap((table) => [...table.values()]);
  return rows.filter(({ words: [first = 0] }) => (first & 0xff) === 20).length;
};

beforeEach(async () => {
  slow = new SlowDataPlane({
    make: (pair) => r.hosts().make(pair),
    remove: (pair, ifindex) => r.hosts().remove(pair, ifindex),
    agree: (link) => r.hosts().agree(link),
  });
  r = new Router({ dataplane: slow });
  r.kernel('').addLink('wan0');
  r.kernel('').addLink('lan0');
  r.start(PAIRS);
  await r.settle();
  r.kernel().addAddress({ ifindex: r.kernel().linkNamed('e0').ifindex, local: '10.0.1.1', prefixlen: 24 });
  await r.settle();
  slow.isSlow = true;
});

describe('batches on their way', () => {
  it('are two at most, and the second is sent before the first is answered', async () => {
    addTo(3 * BATCH);
    r.deliver('cp');
    const round = r.reconciler.round();
    await turns();
    expect(slow.waiting).toHaveLength(2);
    await finish(round);
    await finish(r.settle());
    expect([slow.most, held()]).toEqual([2, 3 * BATCH]);
  });

  it('keep a prefix to themselves: what is withdrawn or changed meanwhile is sent after the answer', async () => {
    addTo(2 * BATCH);
    r.deliver('cp');
    const round = r.reconciler.round();
    await turns();
    // of the second batch, which is on its way when the third one is put together
    const [gone, moved, same, kept] = [BATCH, BATCH + 1, BATCH + 2, BATCH + 3].map((i) => i + 50) as Four;
    for (const each of [...r.kernel().routes.all()]) if (each.dst === route(gone).dst) r.kernel().routes.remove(each);
    r.kernel().addRoute(route(moved, OTHER), 'replace');
    r.kernel().addRoute(route(same, OTHER), 'replace');
    r.kernel().addRoute(route(same), 'replace');
    r.deliver('cp');
    await finish(round);
    await finish(r.settle());
    const found = [gone, moved, same, kept].map((i) => r.lookup(addressIn(i)));
    expect(found).toEqual(['none', `wan0 ${OTHER} 1`, `wan0 ${FAR} 1`, `wan0 ${FAR} 1`]);
    expect(held()).toBe(2 * BATCH - 1);
  });

  it('may be refused in part: the others stay, those are tried again', async () => {
    addTo(2 * BATCH);
    slow.failNext('route', 3, 'TABLES_FULL');
    r.deliver('cp');
    await finish(r.reconciler.round());
    expect(held()).toBe(2 * BATCH - 3);
    await finish(r.settle());
    expect(held()).toBe(2 * BATCH);
  });

  it('end with the data plane: what they had is sent to the next one', async () => {
    addTo(3 * BATCH);
    r.deliver('cp');
    const round = r.reconciler.round();
    await turns();
    slow.answer(new LcpError('DATAPLANE_DOWN', { op: 'send', message: 'gone' }));
    await expect(finish(round)).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    slow.restart(false);
    await finish(r.settle());
    expect(held()).toBe(3 * BATCH);
  });
});
