// Properties of the whole core: whatever way the news of the kernel takes, the data plane ends the same, and what it
// ends at is what the kernel itself would do. SEED=n repeats a run.

import { describe, expect, it } from 'vitest';
import { type Message, runSeed, seeded } from './kernelbytes.ts';
import { type Router, type RouterOptions, router } from './router.ts';
import { probes, type Step, trace } from './traces.ts';

const SEED = runSeed();
const TRACES = 12;
const LENGTH = 120;

/** Takes the steps; between and after them `between` may do what it likes. */
const live = async (
  steps: readonly Step[],
  options: RouterOptions,
  between: (r: Router, i: number) => unknown,
): Promise<Router> => {
  const r = await router(options);
  for (const [i, step] of steps.entries()) {
    step.run(r);
    await between(r, i);
    if (step.barrier) await r.settle();
  }
  await r.settle();
  return r;
};

const lines = (r: Router): string[] => r.dataplane.text().split('\n');

/** What must hold of every router that has settled. */
const sound = (r: Router, seed: number, way = 'at once'): void => {
  const { reconciler, dataplane } = r;
  expect(reconciler.delta.failures()).toEqual([]);
  expect(reconciler.delta.openCount).toBe(0);
  const handles = [...r.ns().pathsets.all()].map((p) => p.handle).filter((h) => h !== 0);
  expect([...dataplane.pathsets.keys()].sort(), `${way}: path sets in the data plane are those of the mirror`).toEqual(
    handles.sort(),
  );
  for (const p of r.ns().pathsets.all()) expect(p.refs, 'a path set without routes is gone').toBeGreaterThan(0);
  const pick = seeded(seed);
  for (const address of probes(pick)) {
    const shown = `${way}, seed ${seed}: ${address}`;
    expect(`${shown}: ${r.lookup(address)}`).toBe(`${shown}: ${r.kernelLookup(address)}`);
  }
};

/** Nothing is sent when nothing has changed: not in another round, not after a restart of lcpd's side. */
const idle = async (r: Router, way: string): Promise<void> => {
  r.dataplane.refusesFirst = false;
  r.dataplane.operations = 0;
  await r.reconciler.round();
  expect(r.dataplane.operations, `${way}: a second round`).toBe(0);
  // path sets of routes that are not the best ones are kept by the mirror that knows them, not by its successor
  const unused = r.dataplane.unusedPathsets().map((handle) => `delete pathset held#${handle}`);
  r.dataplane.log.length = 0;
  await r.successor().settle();
  expect([...r.dataplane.log].sort(), `${way}: a restart`).toEqual(unused.sort());
  expect(r.dataplane.operations, `${way}: a restart`).toBe(unused.length);
};

/** Cuts what the kernel tells into batches, and hands some of them out twice. */
const cutAtRandom = (seed: number, twice: boolean): NonNullable<RouterOptions['deliver']> => {
  const pick = seeded(seed);
  return (messages: Message[], apply) => {
    for (let i = 0; i < messages.length; ) {
      const part = messages.slice(i, i + 1 + pick(5));
      i += part.length;
      apply(part);
      if (twice && pick(2) === 0) apply(part);
    }
  };
};

/** A router that lives the same life in another way. */
type Way = readonly [name: string, (seed: number, steps: readonly Step[]) => Promise<Router>];

const WAYS: readonly Way[] = [
  ['settled after every step', (_, steps) => live(steps, {}, (r) => r.settle())],
  ['one round after every step', (_, steps) => live(steps, {}, (r) => r.round())],
  ['batches cut anywhere', (seed, steps) => live(steps, { deliver: cutAtRandom(seed, false) }, () => undefined)],
  ['batches told twice', (seed, steps) => live(steps, { deliver: cutAtRandom(seed, true) }, (r) => r.round())],
  [
    'overruns, each with a resync',
    (seed, steps) => {
      const pick = seeded(seed + 1);
      return live(steps, {}, async (r) => {
        if (pick(10) !== 0) return;
        r.resync('cp');
        if (pick(2) === 0) await r.reconciler.round();
      });
    },
  ],
  [
    'news that waited for a dump which showed them already',
    (seed, steps) => {
      const pick = seeded(seed + 3);
      return live(steps, {}, async (r) => {
        if (pick(6) === 0) r.resync('cp', 'queued');
        if (pick(6) === 0) await r.round();
      });
    },
  ],
  [
    'every operation refused once',
    (_, steps) =>
      live(steps, {}, async (r, i) => {
        r.dataplane.refusesFirst = true;
        if (i % 3 === 0) await r.round();
      }),
  ],
  [
    'restarts of the data plane, with and without loss, and late answers',
    (seed, steps) => {
      const pick = seeded(seed + 2);
      return live(steps, {}, async (r) => {
        r.dataplane.late = pick(2) === 0;
        if (pick(12) === 0) r.dataplane.restart(pick(2) === 0);
        if (pick(3) === 0) await r.round();
      });
    },
  ],
  [
    'a data plane that copies path sets into routes',
    (_, steps) =>
      live(steps, {}, async (r, i) => {
        r.dataplane.sharedPathSets = false;
        if (i % 2 === 0) await r.round();
      }),
  ],
];

describe(`random lives of a router, SEED=${SEED}`, () => {
  for (let n = 0; n < TRACES; n++) {
    const seed = SEED + n;
    const steps = trace(seed, LENGTH);
    it(`seed ${seed}`, async () => {
      const clean = await live(steps, {}, () => undefined);
      sound(clean, seed);
      for (const [name, way] of WAYS) {
        const other = await way(seed, steps);
        sound(other, seed, name);
        expect(lines(other), name).toEqual(lines(clean));
        await idle(other, name);
      }
    });
  }
});
