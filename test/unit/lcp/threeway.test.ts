/**
 * Threeway: any order of changes on both sides ends with both the same, and no side is written to more often than the other
 * was changed.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Flight, OTHER_MS, SHOWN_MS, Threeway } from '../../../src/lcp/threeway.ts';

const KEY = 'wan0 mtu';
const BACKOFF = { initialMs: 100, maxMs: 1000 };

/**
 * Two sides of one value and lcpd between them. What lcpd knows of the kernel is behind by the notices that wait, what it
 * knows of the data plane by what was not polled; a write to the kernel is done when it is asked for, or later, and
 * acknowledged later still.
 */
class World {
  readonly values = new Threeway(BACKOFF);
  kernel = '1';
  own = '1';
  /** What lcpd knows. */
  mirror = '1';
  seen = '1';
  readonly notices: string[] = [];
  /** Writes on their way: done, then acknowledged. */
  flight: { flight: Flight; value: string; isDone: boolean } | undefined;
  /** What the data plane was given last. */
  given = '1';
  writesUp = 0;
  writesDown = 0;
  changesUp = 0;
  changesDown = 0;
  now = 0;

  constructor() {
    this.values.programmed(KEY, '1', '1');
  }

  changeKernel(value: string): void {
    if (value === this.kernel) return;
    this.kernel = value;
    this.changesDown++;
    this.notices.push(value);
  }

  changeOwn(value: string): void {
    if (value === this.own) return;
    this.own = value;
    this.changesUp++;
  }

  read(): void {
    this.mirror = this.notices.shift() ?? this.mirror;
  }

  poll(): void {
    this.seen = this.own;
  }

  /** The kernel gets on with the write: does it, then says so. */
  advance(): void {
    const { flight } = this;
    if (flight === undefined) return;
    if (!flight.isDone) {
      flight.isDone = true;
      if (this.kernel !== flight.value) this.notices.push(flight.value);
      this.kernel = flight.value;
      return;
    }
    this.values.acked(KEY, flight.flight, this.now);
    this.flight = undefined;
  }

  /** A round of lcpd's. */
  round(): void {
    const verdict = this.values.judge(KEY, this.mirror, this.seen, this.now);
    if (verdict === 'up') {
      this.writesUp++;
      const flight = this.values.begin(KEY, this.mirror, this.seen, this.seen);
      this.flight = { flight, value: this.seen, isDone: false };
    }
    // what is wished for is the kernel's unless it is on its way up; what the data plane has is what was seen
    const wished = verdict === 'up' || verdict === 'wait' ? this.seen : this.mirror;
    if (wished === this.seen) return;
    this.writesDown++;
    this.given = wished;
    this.own = wished;
    this.seen = wished;
    this.values.programmed(KEY, this.mirror, wished);
  }

  settle(): void {
    // everything arrives within a second; then even what the kernel went back from is given up
    for (let i = 0; i < 140; i++) {
      this.advance();
      this.read();
      this.poll();
      this.round();
      this.now += i < 120 ? 8 : SHOWN_MS;
    }
  }
}

const value = fc.constantFrom('1', '2', '3', '4');
const step = fc.oneof(
  fc.record({ do: fc.constant('kernel' as const), value }),
  fc.record({ do: fc.constant('own' as const), value }),
  fc.record({ do: fc.constantFrom('read' as const, 'poll' as const, 'advance' as const, 'round' as const) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function take(world: World, each: Step): void {
  if (each.do === 'kernel') world.changeKernel(each.value);
  else if (each.do === 'own') world.changeOwn(each.value);
  else world[each.do]();
}

describe('three-way comparison', () => {
  it('ends with both sides the same, with at most one write for each change of the other side', () => {
    let written = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const world = new World();
        for (const each of steps) take(world, each);
        world.settle();
        expect([world.own, world.mirror]).toEqual([world.kernel, world.kernel]);
        expect(world.writesUp).toBeLessThanOrEqual(world.changesUp);
        expect(world.writesDown).toBeLessThanOrEqual(world.changesDown);
        written += world.writesUp + world.writesDown;
        const before = [world.writesUp, world.writesDown];
        world.settle();
        expect([world.writesUp, world.writesDown], 'and is quiet then').toEqual(before);
      }),
      { numRuns: 3000 },
    );
    expect(written).toBeGreaterThan(3000);
  });

  it('a change of the data plane alone is never lost', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), value, (steps, last) => {
        const world = new World();
        for (const each of steps) if (each.do !== 'kernel') take(world, each);
        world.changeOwn(last);
        world.settle();
        expect([world.kernel, world.own]).toEqual([last, last]);
        expect(world.writesDown).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  it('what the kernel was changed to last is right, whatever was changed in the data plane before', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), value, (steps, last) => {
        const world = new World();
        for (const each of steps) take(world, each);
        world.settle();
        fc.pre(world.kernel !== last);
        world.changeOwn(world.own === '4' ? '3' : '4');
        world.changeKernel(last);
        world.read();
        world.settle();
        expect([world.kernel, world.own]).toEqual([last, last]);
      }),
      { numRuns: 2000 },
    );
  });

  it('a write that the kernel never shows ends after a while, and the kernel is right', () => {
    const values = new Threeway(BACKOFF);
    values.programmed(KEY, '1', '1');
    expect(values.judge(KEY, '1', '2', 0)).toBe('up');
    const flight = values.begin(KEY, '1', '2', '2');
    values.acked(KEY, flight, 100);
    expect(values.judge(KEY, '1', '2', 100 + SHOWN_MS - 1)).toBe('wait');
    expect(values.nextAt()).toBe(100 + SHOWN_MS);
    expect(values.judge(KEY, '1', '2', 100 + SHOWN_MS)).toBe('agreed');
    expect(values.nextAt()).toBeUndefined();
  });

  it('a change of the kernel that overtakes what a write shows is found a moment later', () => {
    const values = new Threeway(BACKOFF);
    values.programmed(KEY, '1', '1');
    const flight = values.begin(KEY, '1', '2', '2');
    values.acked(KEY, flight, 100);
    expect(values.judge(KEY, '3', '2', 101)).toBe('wait');
    expect(values.judge(KEY, '3', '2', 100 + OTHER_MS)).toBe('down');
  });

  it('the end of a write that was forgotten meanwhile says nothing of the next one', () => {
    const values = new Threeway(BACKOFF);
    const old = values.begin(KEY, '1', '2', '2');
    values.drop('wan0 ');
    const next = values.begin(KEY, '1', '3', '3');
    values.acked(KEY, old, 0);
    expect(values.failed(KEY, old, 'no', 0)).toBe(false);
    expect(values.judge(KEY, '3', '3', 0)).toBe('wait');
    values.acked(KEY, next, 0);
    expect(values.judge(KEY, '3', '3', 0)).toBe('agreed');
  });

  it('without a base the kernel is right, but for what is there or not', () => {
    const values = new Threeway(BACKOFF);
    expect(values.judge(KEY, '1', '2', 0)).toBe('down');
    expect(values.judge('wan0 address 10.0.0.1', '', '24', 0, '')).toBe('up');
    expect(values.judge('wan0 address 10.0.0.1', '24', '', 0, '')).toBe('down');
  });
});
