// Pipeline: from wakes to rounds: none too many, none lost, through interruptions, and again when a retry is due.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Operation, OperationResult } from '../../../src/lcp/dataplane.ts';
import { Pipeline } from '../../../src/lcp/pipeline.ts';
import { LcpError } from '../../../src/lib/errors.ts';
import { FakeDataPlane } from './fakedataplane.ts';
import { PAIRS, Router } from './router.ts';

const now = () => performance.now();
const MAC = '02:00:00:00:00:07';

/** A data plane whose next apply may be held up or broken. */
class Fragile extends FakeDataPlane {
  hold: Promise<void> | undefined;
  error: Error | undefined;
  override async apply(operations: readonly Operation[]): Promise<OperationResult[]> {
    await this.hold;
    const { error } = this;
    this.error = undefined;
    if (error !== undefined) throw error;
    return super.apply(operations);
  }
}

let r: Router;
let dataplane: Fragile;
let pipeline: Pipeline;
let up: boolean;
let interruptions: LcpError[];
let stop: () => void;

const until = async (what: string, done: () => boolean, ms = 3000) => {
  const end = now() + ms;
  while (!done()) {
    if (now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
};
const calm = () => until('calm', () => !pipeline.running && !r.reconciler.isDirty && r.reconciler.adopted);
const neighbour = (last: number) => {
  r.kernel().setNeighbour({ ifindex: r.kernel().linkNamed('e0').ifindex, dst: `10.0.1.${last}`, lladdr: MAC });
  r.deliver('cp');
};

beforeEach(async () => {
  const hosts = { ref: undefined as Router | undefined };
  const late = () => (hosts.ref as Router).hosts();
  dataplane = new Fragile({
    make: (pair) => late().make(pair),
    remove: (pair, ifindex) => late().remove(pair, ifindex),
    agree: (link) => late().agree(link),
  });
  r = new Router({ dataplane, clock: now });
  hosts.ref = r;
  r.kernel('').addLink('wan0');
  r.kernel('').addLink('lan0');
  up = true;
  interruptions = [];
  pipeline = new Pipeline(r.reconciler, {
    mayRun: () => up && r.reconciler.ready,
    now,
    onInterrupted: (error) => interruptions.push(error),
  });
  for (const ns of r.namespaces.values()) ns.onChange = () => pipeline.kernel$.next('kernel');
  const subscription = pipeline.start();
  stop = () => subscription.unsubscribe();
  r.start(PAIRS);
  pipeline.config$.next('configuration');
  await calm();
});
afterEach(() => stop());

describe('wakes', () => {
  it('brought everything up by themselves', () => {
    expect([...dataplane.pairs.keys()].sort()).toEqual(['lan0', 'wan0']);
  });

  it('a thousand at once are one set of rounds', async () => {
    const before = r.reconciler.stats.count;
    for (let i = 0; i < 1000; i++) neighbour(10 + (i % 100));
    await calm();
    expect(dataplane.neighbours.size).toBe(100);
    expect(r.reconciler.stats.count - before).toBeLessThan(5);
  });

  it('without anything dirty are no rounds', async () => {
    const before = r.reconciler.stats.count;
    for (let i = 0; i < 100; i++) pipeline.dataplane$.next('nothing');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(r.reconciler.stats.count).toBe(before);
  });

  it('while a round runs are not lost, and never run beside it', async () => {
    let go: () => void = () => undefined;
    dataplane.hold = new Promise((resolve) => {
      go = resolve;
    });
    neighbour(11);
    await until('a round runs', () => pipeline.running);
    for (let last = 12; last < 40; last++) {
      neighbour(last);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(dataplane.neighbours.size).toBe(0);
    dataplane.hold = undefined;
    go();
    await calm();
    expect(dataplane.neighbours.size).toBe(29);
  });

  it('at any distance from each other all count', async () => {
    for (let last = 11; last < 60; last++) {
      neighbour(last);
      if (last % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (last % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await calm();
    expect(dataplane.neighbours.size).toBe(49);
  });

  it('wait while nothing may run', async () => {
    up = false;
    neighbour(11);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(dataplane.neighbours.size).toBe(0);
    up = true;
    pipeline.dataplane$.next('up');
    await calm();
    expect(dataplane.neighbours.size).toBe(1);
  });
});

describe('interruptions', () => {
  it('end the round; what it had in hand is found again when the data plane is there', async () => {
    for (let i = 0; i < 50; i++) {
      r.kernel().addRoute({
        dst: `10.9.${i}.0/24`,
        legs: [{ oif: r.kernel().linkNamed('e0').ifindex, gateway: '10.0.1.2' }],
      });
    }
    dataplane.error = new LcpError('DATAPLANE_DOWN', { op: 'apply' });
    up = false;
    r.deliver('cp');
    up = true;
    pipeline.dataplane$.next('up');
    await until('it is interrupted', () => interruptions.length === 1);
    await calm();
    expect(r.lookup('10.9.49.1')).toBe('wan0 10.0.1.2 1');
    expect([interruptions.length, r.adopted.length]).toEqual([1, 2]);
  });

  it('of another sort are bugs and reach the process', async () => {
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    try {
      const caught = new Promise<unknown>((resolve) => process.once('uncaughtException', resolve));
      dataplane.error = new TypeError('a bug');
      neighbour(11);
      expect(await caught).toBeInstanceOf(TypeError);
      expect(interruptions).toEqual([]);
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });
});

describe('retries', () => {
  it('come by themselves when they are due', async () => {
    dataplane.failNext('set neighbour', 2);
    neighbour(11);
    await until('it is refused', () => r.refused.length === 1);
    const refusedAt = now();
    await until('it is tried twice more', () => dataplane.neighbours.size === 1);
    expect(now() - refusedAt).toBeGreaterThan(250);
    expect(r.refused).toEqual(['set neighbour', 'set neighbour again']);
  });

  it('of routes come although other changes keep coming', async () => {
    dataplane.failNext('route', 1);
    r.kernel().addRoute({
      dst: '10.9.0.0/16',
      legs: [{ oif: r.kernel().linkNamed('e0').ifindex, gateway: '10.0.1.2' }],
    });
    r.deliver('cp');
    await until('it is refused', () => r.reconciler.routes.stats.failed === 1);
    let last = 10;
    const busy = setInterval(() => neighbour(last++), 50);
    try {
      await until('it is tried again', () => r.lookup('10.9.0.1') !== 'none', 2000);
    } finally {
      clearInterval(busy);
    }
    expect(last).toBeGreaterThan(12);
  });

  it('end with the pipeline', async () => {
    dataplane.failNext('set neighbour', 1);
    neighbour(11);
    await until('it is refused', () => r.refused.length === 1);
    stop();
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(dataplane.neighbours.size).toBe(0);
  });
});
