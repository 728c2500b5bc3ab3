// PathSets: what makes two sets one, who holds them, and that ids come back only when nobody does.

import { describe, expect, it } from 'vitest';
import { HEAD_WORDS, LEG_WORDS, PathSetKey, PathSets } from '../../../src/lcp/pathsets.ts';

type Head = readonly [nhId: number, prefsrc: number, family: 4 | 6];
type LegArgs = Parameters<PathSetKey['leg']>;

const key = (head: Head, ...legs: LegArgs[]): PathSetKey => {
  const k = new PathSetKey();
  k.begin(...head);
  for (const leg of legs) k.leg(...leg);
  return k;
};
const HEAD: Head = [0, 0, 4];
const LEG: LegArgs = [3, 1, 0, 2, 0, 0x0200000a, 0, 0, 0];
const other = (at: number, value: number): LegArgs => LEG.map((w, i) => (i === at ? value : w)) as LegArgs;

describe('identity', () => {
  it('is the same for the same legs, and one object', () => {
    const sets = new PathSets();
    const a = sets.intern(key(HEAD, LEG));
    sets.intern(key(HEAD, other(0, 4)));
    expect(sets.intern(key(HEAD, LEG))).toBe(a);
    expect(sets.size).toBe(2);
  });

  it.each([
    ['device', key(HEAD, other(0, 4))],
    ['dead flag', key(HEAD, other(2, 1))],
    ['on-link flag', key(HEAD, other(2, 4))],
    ['family of the gateway', key(HEAD, other(3, 10))],
    ['encapsulation', key(HEAD, other(4, 1))],
    ['first word of the gateway', key(HEAD, other(5, 1))],
    ['last word of the gateway', key(HEAD, other(8, 1))],
    ['number of legs', key(HEAD, LEG, LEG)],
    ['preferred source', key([0, 9, 4], LEG)],
    ['family', key([0, 0, 6], LEG)],
    ['nexthop object', key([7, 0, 4])],
  ])('differs by %s', (_, differing) => {
    const sets = new PathSets();
    expect(sets.intern(differing)).not.toBe(sets.intern(key(HEAD, LEG)));
  });

  it('differs by weight among several legs, but a leg alone takes everything', () => {
    const sets = new PathSets();
    expect(sets.intern(key(HEAD, LEG, other(1, 2)))).not.toBe(sets.intern(key(HEAD, LEG, LEG)));
    expect(sets.intern(key(HEAD, other(1, 2)))).toBe(sets.intern(key(HEAD, LEG)));
  });

  it('does not see the flags that the kernel does not compare', () => {
    const sets = new PathSets();
    expect(sets.intern(key(HEAD, other(2, 8 | 16 | 64)))).toBe(sets.intern(key(HEAD, LEG)));
  });

  it('gives back what went in', () => {
    const sets = new PathSets();
    const p = sets.intern(key([0, 0x01020304, 6], [70000, 256, 5, 10, 7, 1, 2, 3, 0xffffffff], LEG));
    expect(p.legs[0]).toEqual({
      ifindex: 70000,
      weight: 256,
      flags: 5,
      gatewayFamily: 10,
      encapType: 7,
      gateway: [1, 2, 3, 0xffffffff],
    });
    expect(p).toMatchObject({ nhId: 0, prefsrc: 0x01020304, family: 6 });
    expect(p.legs).toHaveLength(2);
  });

  it('holds for many legs and many sets', () => {
    const sets = new PathSets();
    const many = (n: number) =>
      key(HEAD, ...Array.from({ length: 64 }, (_, i): LegArgs => [i, n, 0, 2, 0, i ^ n, 0, 0, 0]));
    const made = Array.from({ length: 2000 }, (_, n) => sets.intern(many(n)));
    expect(new Set(made).size).toBe(2000);
    expect(made[77]?.words.length).toBe(made[0]?.words.length);
    expect((made[0]?.words.length ?? 0) % LEG_WORDS).toBe(HEAD_WORDS);
    for (let n = 0; n < 2000; n += 13) expect(sets.intern(many(n))).toBe(made[n]);
  });
});

describe('life', () => {
  it('without uses a set stays until it is forgotten, then its id is given again', () => {
    const sets = new PathSets();
    const p = sets.intern(key(HEAD, LEG));
    expect([...sets.unused()]).toEqual([p]);
    sets.retain(p.id);
    sets.retain(p.id);
    expect(sets.unusedCount).toBe(0);
    sets.release(p.id);
    expect(sets.unusedCount).toBe(0);
    sets.release(p.id);
    expect(sets.intern(key(HEAD, LEG)), 'it keeps its handle while routes move away').toBe(p);
    sets.forget(p);
    expect([sets.size, sets.unusedCount, sets.get(p.id)]).toEqual([0, 0, undefined]);
    const next = sets.intern(key(HEAD, LEG));
    expect(next).not.toBe(p);
    expect(next.id).toBe(p.id);
    expect([...sets.all()]).toEqual([next]);
  });

  it('is found by its devices and its object, and no longer when forgotten', () => {
    const sets = new PathSets();
    const a = sets.intern(key(HEAD, LEG, other(0, 4)));
    const b = sets.intern(key([7, 0, 4]));
    expect([...sets.usingIfindex(3)]).toEqual([a]);
    expect([...sets.usingIfindex(4)]).toEqual([a]);
    expect([...sets.usingNexthop(7)]).toEqual([b]);
    sets.forget(a);
    sets.forget(b);
    expect([[...sets.usingIfindex(3)], [...sets.usingIfindex(4)], [...sets.usingNexthop(7)]]).toEqual([[], [], []]);
  });
});
