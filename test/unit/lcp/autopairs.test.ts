/**
 * AutoPairs: which interfaces of the data plane get a pair by a pattern, what their hosts are called, and how long it lasts.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { AutoPairs } from '../../../src/lcp/autopairs.ts';
import type { PhySource } from '../../../src/lcp/dataplane.ts';

let names: string[];
const phys: PhySource = {
  byName: (phy) => {
    if (!names.includes(phy)) return undefined;
    const ethernet = !phy.startsWith('ipip');
    return { ifindex: 1, ethernet, up: true, carrier: true, mtu: 1500, maxMtu: 0, mac: '' };
  },
  get: () => undefined,
  names: () => names,
};
const auto = (phy: string, host: string) => ({ phy, host, netns: 'cp' });
let pairs: AutoPairs;
const found = (...named: readonly [string, string][]) =>
  pairs
    .specs(
      phys,
      named.map(([phy, host]) => ({ phy, host, netns: 'cp', type: 'tap' as const })),
    )
    .map(({ phy, host, netns, type }) => `${phy} ${host} ${netns} ${type}`);

beforeEach(() => {
  pairs = new AutoPairs();
  names = [];
});

describe('pairs by a pattern', () => {
  it('are called by what the star stands for, with - for what no name should have', () => {
    pairs.configure([
      auto('GigabitEthernet*', 'ge*'),
      auto('host-*', '*'),
      auto('loop*', 'lo*'),
      auto('ipip*', 'tun*'),
    ]);
    names = ['GigabitEthernet0/8/0', 'host-p0', 'loop10', 'ipip0', 'local0', 'memif0/0'];
    expect(found()).toEqual([
      'GigabitEthernet0/8/0 ge0-8-0 cp tap',
      'host-p0 p0 cp tap',
      'ipip0 tun0 cp tun',
      'loop10 lo10 cp tap',
    ]);
    expect(pairs.problems.size).toBe(0);
  });

  it('take the first pattern that matches, one without a star the very interface', () => {
    pairs.configure([auto('host-p1', 'wan'), auto('host-p*', 'e*')]);
    names = ['host-p0', 'host-p1', 'host-p'];
    expect(found()).toEqual(['host-p e cp tap', 'host-p0 e0 cp tap', 'host-p1 wan cp tap']);
  });

  it('give way to those that the configuration names, and tell whose host it is', () => {
    pairs.configure([auto('host-p*', 'e*')]);
    names = ['host-p0', 'host-p1', 'host-p2'];
    expect(found(['host-p0', 'x'], ['lan0', 'e1'])).toEqual(['host-p2 e2 cp tap']);
    expect([...pairs.problems]).toEqual([['host-p1', 'host e1 is that of lan0']]);
  });

  it('do not collide, and the first one keeps its host', () => {
    pairs.configure([auto('a*', 'e*'), auto('b*', 'e*')]);
    names = ['b0'];
    expect(found()).toEqual(['b0 e0 cp tap']);
    names = ['a0', 'b0'];
    expect(found()).toEqual(['b0 e0 cp tap']);
    expect([...pairs.problems]).toEqual([['a0', 'host e0 is that of b0']]);
    names = ['a0'];
    expect(found()).toEqual(['a0 e0 cp tap']);
    expect(pairs.problems.size).toBe(0);
  });

  it('have a host of at most 15 bytes', () => {
    pairs.configure([auto('TwentyFiveGigabitEthernet*', 'twentyfive*')]);
    names = ['TwentyFiveGigabitEthernet3b/0/0', 'TwentyFiveGigabitEthernet3/0'];
    expect(found()).toEqual(['TwentyFiveGigabitEthernet3/0 twentyfive3-0 cp tap']);
    expect(pairs.problems.get('TwentyFiveGigabitEthernet3b/0/0')).toContain('1 to 15 bytes');
  });

  it('end with their interface, but wait for it after a restart of the data plane', () => {
    pairs.configure([auto('host-p*', 'e*')]);
    names = ['host-p0', 'host-p1'];
    expect(found()).toHaveLength(2);
    names = ['host-p1'];
    expect(found()).toEqual(['host-p1 e1 cp tap']);
    pairs.started();
    names = [];
    expect(found(), 'it has not come yet').toEqual(['host-p1 e1 cp tap']);
    names = ['host-p1'];
    found();
    names = [];
    expect(found(), 'it came and went').toEqual([]);
  });

  it('end with their pattern', () => {
    pairs.configure([auto('host-p*', 'e*')]);
    names = ['host-p0'];
    expect(found()).toHaveLength(1);
    pairs.configure([]);
    expect(found()).toEqual([]);
  });
});
