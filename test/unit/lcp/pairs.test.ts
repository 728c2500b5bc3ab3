// Pairs: every reason to be pending, and the way from host to phy.

import { describe, expect, it } from 'vitest';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { hostAlias, type PairSpec, Pairs, phyOfAlias } from '../../../src/lcp/pairs.ts';
import { KernelPhys } from '../../../src/lcp/phys.ts';
import type { LinkRequest } from '../../../src/netlink/link.ts';
import { batchFrom, newLink } from './kernelbytes.ts';

const ETHER = 1;
const NONE = 65534;
const tun = (type: 'tap' | 'tun') => ({
  kind: 'tun',
  info: { tun: { type, persist: true, vnetHdr: true, packetInfo: false, multiQueue: false } },
});

const namespace = (name: string, ...links: LinkRequest[]): Namespace => {
  const ns = new Namespace(name);
  ns.state = 'in-sync';
  ns.identity = `4:${name}`;
  if (links.length > 0) ns.apply(batchFrom(links.map((l) => newLink(l))));
  return ns;
};
const world = (own: Namespace, ...others: Namespace[]) => new Map([own, ...others].map((ns) => [ns.name, ns]));
const spec = (more: Partial<PairSpec> = {}): PairSpec => ({
  phy: 'wan0',
  host: 'e0',
  netns: 'cp',
  type: 'tap',
  ...more,
});
const wan0: LinkRequest = { ifindex: 3, name: 'wan0', type: ETHER };
const host: LinkRequest = { ifindex: 9, name: 'anything', type: ETHER, alias: 'lcpd wan0', ...tun('tap') };

const derive = (own: Namespace, others: Namespace[], s = spec()) => {
  const pairs = new Pairs();
  pairs.configure([s]);
  const outcome = pairs.derive(s.phy, new KernelPhys(own), world(own, ...others));
  expect(pairs.reason(s.phy)).toBe(outcome.reason);
  return outcome;
};

describe('derive', () => {
  it('joins what exists', () => {
    expect(derive(namespace('', wan0), [namespace('cp')])).toEqual({
      desired: { kind: 'pair', phy: 'wan0', phyIfindex: 3, host: 'e0', netns: 'cp', netnsId: '4:cp', type: 'tap' },
      reason: '',
    });
  });

  it('finds a phy by its alternative name', () => {
    const own = namespace('', { ifindex: 4, name: 'enp1s0', type: ETHER, altnames: ['wan0'] });
    expect(derive(own, [namespace('cp')]).desired?.phyIfindex).toBe(4);
  });

  it('in its own namespace too', () => {
    const own = namespace('', wan0);
    expect(derive(own, [], spec({ netns: '' })).desired).toMatchObject({ netns: '', netnsId: '4:' });
  });

  const absent = namespace('cp');
  absent.state = 'absent';
  it.each([
    ['namespace not watched', namespace('', wan0), [], spec(), 'network namespace cp does not exist'],
    ['namespace absent', namespace('', wan0), [absent], spec(), 'network namespace cp does not exist'],
    ['no phy', namespace(''), [namespace('cp')], spec(), 'phy wan0 does not exist'],
    [
      'a TUN phy for a TAP',
      namespace('', { ...wan0, type: NONE }),
      [namespace('cp')],
      spec(),
      'phy wan0 is no Ethernet device: it needs type: tun',
    ],
    [
      'an Ethernet phy for a TUN',
      namespace('', wan0),
      [namespace('cp')],
      spec({ type: 'tun' }),
      'phy wan0 is an Ethernet device: it needs type: tap',
    ],
  ] as const)('pending: %s', (_, own, others, s, reason) => {
    expect(derive(own, [...others], s)).toEqual({ desired: undefined, reason });
  });

  it('a host that exists waits, detached, for its phy', () => {
    const outcome = derive(namespace(''), [namespace('cp', host)]);
    expect(outcome.desired).toMatchObject({ phyIfindex: 0, host: 'e0' });
    expect(outcome.reason).toBe('phy wan0 does not exist');
  });

  it('another pair’s host does not wait for this phy', () => {
    expect(derive(namespace(''), [namespace('cp', { ...host, alias: 'lcpd lan0' })]).desired).toBeUndefined();
  });

  it('what is not configured is not wanted, and has no reason', () => {
    const own = namespace('', wan0);
    expect(new Pairs().derive('wan0', new KernelPhys(own), world(own))).toEqual({ desired: undefined, reason: '' });
  });
});

describe('configure', () => {
  it('tells which phys came, went or changed', () => {
    const pairs = new Pairs();
    const [a, b, c] = ['a', 'b', 'c'].map((phy) => spec({ phy })) as [PairSpec, PairSpec, PairSpec];
    expect(pairs.configure([a, b])).toEqual(['a', 'b']);
    expect(pairs.configure([a, b])).toEqual([]);
    expect(pairs.configure([{ ...a, host: 'other' }, c]).sort()).toEqual(['a', 'b', 'c']);
    expect([...pairs.specs()].map((s) => s.phy)).toEqual(['a', 'c']);
    expect(pairs.spec('b')).toBeUndefined();
  });
});

describe('join', () => {
  it('knows both ways, per namespace, and parts them', () => {
    const pairs = new Pairs();
    expect(pairs.join('wan0', 'cp', 9)).toBe(0);
    pairs.join('lan0', 'cp2', 9);
    expect([pairs.host('wan0'), pairs.phy('cp', 9), pairs.phy('cp2', 9), pairs.phy('', 9)]).toEqual([
      9,
      'wan0',
      'lan0',
      '',
    ]);
    expect(pairs.join('wan0', 'cp', 12)).toBe(9);
    expect([pairs.phy('cp', 9), pairs.phy('cp', 12)]).toEqual(['', 'wan0']);
    expect(pairs.join('wan0', 'cp', 0)).toBe(12);
    expect([pairs.host('wan0'), pairs.phy('cp', 12), pairs.phy('cp2', 9)]).toEqual([0, '', 'lan0']);
  });
});

describe('alias', () => {
  it.each([
    ['of a host', { alias: hostAlias('wan0'), ...tun('tap') }, 'wan0'],
    ['of a TUN', { alias: hostAlias('tun7'), ...tun('tun') }, 'tun7'],
    ['of another sort of device', { alias: hostAlias('wan0'), kind: 'veth' }, ''],
    ['of an interconnect', { alias: 'lcpd punt tap-zdizj', ...tun('tap') }, ''],
    ['of a phy with such a name', { alias: hostAlias('punt'), ...tun('tap') }, 'punt'],
    ['of somebody else', { alias: 'uplink', ...tun('tap') }, ''],
    ['none', tun('tap'), ''],
  ] as const)('%s', (_, more, phy) => {
    const ns = namespace('cp', { ifindex: 9, name: 'x', ...more });
    const link = ns.links.get(9);
    expect(link === undefined ? undefined : phyOfAlias(link)).toBe(phy);
  });
});
