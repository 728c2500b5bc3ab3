// Late news: notices that a dump was ahead of. They end a route in whose place the dump left another, or bring back what the
// kernel has ended in silence.

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { DumpScope } from '../../../src/lcp/doubts.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { LATE_MS } from '../../../src/lcp/replaced.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import * as bytes from './kernelbytes.ts';

const route = (gateway: string, oif: number): bytes.RouteText => ({ dst: '10.1.0.0/16', legs: [{ oif, gateway }] });
const [replacement, shadow] = [route('10.0.0.2', 2), route('10.0.0.3', 3)];

const read = (ns: Namespace, scope: DumpScope, ...shown: readonly bytes.Message[]): void => {
  ns.dumpBegin('route', scope);
  ns.apply(bytes.batchFrom(shown, true));
  ns.dumpEnd('route', true, scope);
};
const doubts = (ns: Namespace): string[] =>
  [...ns.doubts.take()].map(({ kind, scope }) => `${kind} ${scope.family} ${scope.oif ?? '*'}`);

/** The kernel has only the shadow left; what made it so is told late. */
const dumped = (): Namespace => {
  const ns = new Namespace('cp');
  read(ns, { family: AF_INET }, bytes.newRoute(shadow, 0));
  return ns;
};
const replaced = bytes.newRoute(replacement, k.NLM_F_REPLACE | k.NLM_F_CREATE);
const tell = (ns: Namespace): string[] => {
  for (const message of [replaced, bytes.delRoute(replacement)]) ns.apply(bytes.batchFrom([message]));
  return doubts(ns);
};
const later = (): void => {
  const now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => now + LATE_MS + 1000);
};

afterEach(() => vi.restoreAllMocks());

describe('a replacement and its end, told after a dump that showed what is left', () => {
  it('have the device of what they took along read again, and once', () => {
    const ns = dumped();
    expect(tell(ns)).toEqual(['route 2 3']);
    expect(tell(ns), 'now there was nothing to replace').toEqual([]);
  });

  it('are believed when they cannot be that old', () => {
    const ns = dumped();
    later();
    expect(tell(ns)).toEqual([]);
    expect(ns.routes4.prefixes.entryCount).toBe(0);
  });

  it('have everything read again when what they took along named no device', () => {
    const ns = dumped();
    ns.apply(bytes.batchFrom([bytes.newRoute({ dst: '10.1.0.0/16', type: k.RTN_BLACKHOLE }, k.NLM_F_REPLACE)]));
    expect(tell(ns)).toEqual(['route 2 3', 'route 2 *']);
  });

  it('have it read again, too, when the replacement went in silence', () => {
    const ns = dumped();
    ns.apply(bytes.batchFrom([replaced]));
    read(ns, { family: AF_INET, oif: 2 });
    expect(ns.routes4.prefixes.entryCount, 'the kernel has no route over this device').toBe(0);
    expect(doubts(ns)).toEqual(['route 2 3']);
  });
});

/** Devices: 2 without carrier, 3 down, 4 too small for IPv6, 5 without addresses, 6 as it should be. */
const RUNS = k.IFF_UP | k.IFF_LOWER_UP;
const DEVICES = [
  { ifindex: 2, flags: k.IFF_UP },
  { ifindex: 3, flags: 0 },
  { ifindex: 4, flags: RUNS, mtu: 1279 },
  { ifindex: 5, flags: RUNS },
  { ifindex: 6, flags: RUNS },
];
const ADDRESSES = [2, 3, 4, 6].flatMap((ifindex) => [
  { family: AF_INET, ifindex, local: `10.0.${ifindex}.1`, prefixlen: 24 },
  { family: AF_INET6, ifindex, local: `fd00:${ifindex}::1`, prefixlen: 64 },
]);
const synced = (): Namespace => {
  const ns = new Namespace('cp');
  ns.apply(
    bytes.batchFrom(
      DEVICES.map((l) => bytes.newLink({ name: `e${l.ifindex}`, mtu: 1500, ...l })),
      true,
    ),
  );
  ns.apply(bytes.batchFrom(ADDRESSES.map(bytes.newAddress), true));
  for (const family of [AF_INET, AF_INET6]) read(ns, { family });
  ns.state = 'in-sync';
  ns.doubts.clear();
  return ns;
};
const told = (ns: Namespace, route: bytes.RouteText): string[] => {
  ns.apply(bytes.batchFrom([bytes.newRoute(route)]));
  return doubts(ns);
};
const over = (oif: number, more: Partial<bytes.RouteText> = {}): bytes.RouteText => ({
  dst: '10.1.0.0/16',
  legs: [{ oif, gateway: '10.9.0.2' }],
  ...more,
});
const six = (oif: number): bytes.RouteText => ({ dst: 'fd01::/32', legs: [{ oif, gateway: 'fe80::9' }] });
const local = { type: k.RTN_LOCAL, table: k.RT_TABLE_LOCAL, scope: k.RT_SCOPE_HOST };
const dead = (oif: number) => [{ oif, gateway: '10.9.0.2', flags: k.RTNH_F_DEAD | k.RTNH_F_LINKDOWN }];

describe('a route that is told', () => {
  it.each<[string, bytes.RouteText, string[]]>([
    ['over a device that is down', over(3), ['route 2 3']],
    ['over a device that is down, IPv6', six(3), ['route 10 3']],
    ['over a device that is too small for IPv6', six(4), ['route 10 4']],
    ['dead over a device that runs', over(6, { legs: dead(6) }), ['route 2 6']],
    [
      'dead over a device that runs, a label',
      { ...over(6, { legs: dead(6) }), family: k.AF_MPLS, dst: '100' },
      ['route 28 *'],
    ],
  ])('%s is one that the kernel could not make now: read again at any time', (_, route, expected) => {
    expect(told(synced(), route)).toEqual(expected);
    const ns = synced();
    later();
    expect(told(ns, route)).toEqual(expected);
  });

  it.each<[string, bytes.RouteText, string[]]>([
    ['over a device without addresses', over(5), ['route 2 5']],
    ['over a device without addresses, IPv6', six(5), ['route 10 5']],
    ['from a source that is not ours', over(6, { prefsrc: '10.0.9.1' }), ['route 2 6']],
    ['from a source that is not ours, to nowhere', { dst: '10.1.0.0/16', prefsrc: '10.0.9.1', type: 6 }, ['route 2 *']],
  ])('%s may be older than the addresses that were read: read again, but not for ever', (_, route, expected) => {
    const ns = synced();
    expect(told(ns, route)).toEqual(expected);
    later();
    expect(told(ns, route)).toEqual([]);
  });

  it.each<[string, bytes.RouteText]>([
    ['over a device with all it needs', over(6, { prefsrc: '10.0.2.1' })],
    ['over a device that is as good, IPv6', six(6)],
    ['over a device too small for the other family', over(4)],
    ['over a device without carrier', over(2)],
    ['dead over a device without carrier', over(2, { legs: dead(2) })],
    ['of an address on a device that is down', { ...over(3, local), dst: '10.0.3.1/32', prefsrc: '10.0.3.1' }],
    ['as a label over a device that is down', { ...over(3), family: k.AF_MPLS, dst: '100' }],
    ['over a device that is still to be told', over(7)],
  ])('%s is believed', (_, route) => expect(told(synced(), route)).toEqual([]));

  it('is not taken for late because something was read again: that would never end', () => {
    const ns = synced();
    later();
    read(ns, { family: AF_INET, oif: 5 });
    expect(told(ns, over(5))).toEqual([]);
  });

  it('is believed when a dump shows it', () => {
    const ns = synced();
    read(ns, { family: AF_INET }, bytes.newRoute(over(3, { prefsrc: '10.0.9.1' }), 0));
    expect(doubts(ns)).toEqual([]);
  });
});

describe('IPv6 routes of one metric that a dump showed in their order', () => {
  const [first, second] = [{ dst: 'fd01::/32', type: k.RTN_BLACKHOLE }, six(6)];
  const known = (): Namespace => {
    const ns = synced();
    read(ns, { family: AF_INET6 }, bytes.newRoute(first, 0), bytes.newRoute(second, 0));
    return ns;
  };

  it('are read again when the first is told: made anew it would be the last', () => {
    const ns = known();
    expect(told(ns, first)).toEqual(['route 10 *']);
    expect(told(ns, second), 'a multipath route may be told for its legs').toEqual([]);
  });

  it('are as told when that cannot be older than the dump', () => {
    const ns = known();
    later();
    expect(told(ns, first)).toEqual([]);
  });
});
