// Properties of the whole core: whatever way the news of the kernel takes, the data plane ends the same, and what it
// ends at is what the kernel itself would do. SEED=n repeats a run.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AF_INET } from '../../../src/lib/ip.ts';
import { extraRouter } from './extrakernel.ts';
import { extraTrace } from './extratraces.ts';
import { runSeed, seeded } from './kernelbytes.ts';
import { cutAtRandom, eachTwice, Recorder, shuffled } from './retelling.ts';
import { type Router, type RouterOptions, router } from './router.ts';
import { probes, type Step, trace } from './traces.ts';

const SEED = runSeed();
const TRACES = 10;
const LENGTH = 120;
/** Lives with devices, rules, labels and multicast besides. */
const EXTRA_TRACES = 6;

type Make = (options: RouterOptions) => Promise<Router>;

/** Takes the steps; between and after them `between` may do what it likes. */
const liveOn = async (
  make: Make,
  steps: readonly Step[],
  options: RouterOptions,
  between: (r: Router, i: number) => unknown,
): Promise<Router> => {
  const r = await make(options);
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
const sound = (r: Router, way: string): void => {
  const { reconciler, dataplane } = r;
  expect(reconciler.delta.failures()).toEqual([]);
  expect(reconciler.delta.openCount).toBe(0);
  const handles = [...r.ns().pathsets.all()].map((p) => p.handle).filter((h) => h !== 0);
  expect([...dataplane.pathsets.keys()].sort(), `${way}: path sets in the data plane are those of the mirror`).toEqual(
    handles.sort(),
  );
  for (const p of r.ns().pathsets.all()) expect(p.refs, 'a path set without routes is gone').toBeGreaterThan(0);
};

/** For any address the data plane does what the kernel does. */
const agrees = (r: Router, seed: number, way: string): void => {
  for (const address of probes(seeded(seed))) {
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

/** A router that lives the same life in another way. */
type Live = (
  steps: readonly Step[],
  options: RouterOptions,
  between: (r: Router, i: number) => unknown,
) => Promise<Router>;
type Way = readonly [name: string, (live: Live, seed: number, steps: readonly Step[]) => Promise<Router>];

const WAYS: readonly Way[] = [
  ['settled after every step', (live, _, steps) => live(steps, {}, (r) => r.settle())],
  ['one round after every step', (live, _, steps) => live(steps, {}, (r) => r.round())],
  ['batches cut anywhere', (live, seed, steps) => live(steps, { deliver: cutAtRandom(seed, false) }, () => undefined)],
  ['every message told twice', (live, _, steps) => live(steps, { deliver: eachTwice }, () => undefined)],
  [
    'independent news in any order',
    (live, seed, steps) => live(steps, { deliver: shuffled(seed + 4) }, () => undefined),
  ],
  ['batches told twice', (live, seed, steps) => live(steps, { deliver: cutAtRandom(seed, true) }, (r) => r.round())],
  [
    'overruns, each with a resync',
    (live, seed, steps) => {
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
    (live, seed, steps) => {
      const pick = seeded(seed + 3);
      return live(steps, {}, async (r) => {
        if (pick(6) === 0) r.resync('cp', 'queued');
        if (pick(6) === 0) await r.round();
      });
    },
  ],
  [
    'a stretch of news told again after a dump that showed it',
    (live, seed, steps) => {
      const pick = seeded(seed + 5);
      const again = new Recorder();
      return live(steps, { deliver: again.deliver }, (r) => {
        if (pick(5) === 0) again.begin();
        if (pick(5) !== 0) return;
        for (const name of r.kernels.keys()) r.deliver(name);
        r.resync('cp');
        again.tellAgain();
      });
    },
  ],
  [
    'every operation refused once',
    (live, _, steps) =>
      live(steps, {}, async (r, i) => {
        r.dataplane.refusesFirst = true;
        if (i % 3 === 0) await r.round();
      }),
  ],
  [
    'restarts of the data plane, with and without loss, and late answers',
    (live, seed, steps) => {
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
    (live, _, steps) =>
      live(steps, {}, async (r, i) => {
        r.dataplane.sharedPathSets = false;
        if (i % 2 === 0) await r.round();
      }),
  ],
];

const ordinary: Make = (options) => router(options);
/** With a rule of its own from the start: Linux never forgets that there was one (fib_unmerge), and does not show it. */
const extra: Make = async (options) => {
  const { r, kernel } = await extraRouter(true, options);
  kernel.rule({ family: AF_INET, priority: 1000, l3mdev: true });
  await r.settle();
  return r;
};

const lives =
  (make: Make, steps: readonly Step[], seed: number, more: (r: Router, way: string) => void) => async () => {
    const live: Live = (...args) => liveOn(make, ...args);
    const clean = await live(steps, {}, () => undefined);
    sound(clean, 'at once');
    more(clean, 'at once');
    for (const [name, way] of WAYS) {
      const other = await way(live, seed, steps);
      sound(other, name);
      more(other, name);
      expect(lines(other), name).toEqual(lines(clean));
      await idle(other, name);
    }
  };

describe(`random lives of a router, SEED=${SEED}`, () => {
  // how long a notice may be late is a matter of time: a life is the same on a machine that is busy with others
  beforeEach(() => {
    const now = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => now);
  });
  afterEach(() => vi.restoreAllMocks());

  for (let seed = SEED; seed < SEED + TRACES; seed++) {
    it(
      `seed ${seed}`,
      lives(ordinary, trace(seed, LENGTH), seed, (r, way) => agrees(r, seed, way)),
    );
  }
  for (let seed = SEED; seed < SEED + EXTRA_TRACES; seed++) {
    it(
      `seed ${seed} with VLANs, VRFs, rules, labels, multicast`,
      lives(extra, extraTrace(seed, LENGTH), seed, () => undefined),
    );
  }
});
