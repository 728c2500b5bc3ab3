// Derive: what a kernel state comes to, case by case: legs, nexthop objects, the best entry, neighbours, sources.

import { describe, expect, it } from 'vitest';
import { deriveNeighbour, derivePathSet, deriveRoute, legsOf } from '../../../src/lcp/derive.ts';
import { deriveLink } from '../../../src/lcp/derivelink.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { SPECIAL } from '../../../src/lcp/objects.ts';
import { Pairs } from '../../../src/lcp/pairs.ts';
import type { PathSet } from '../../../src/lcp/pathsets.ts';
import { KernelPhys } from '../../../src/lcp/phys.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import * as bytes from './kernelbytes.ts';
import { batchFrom, type Message, type RouteText } from './kernelbytes.ts';

const UP = k.IFF_UP | k.IFF_LOWER_UP;
/** e0 (2) and e1 (3) are hosts of wan0 and lan0; dum0 (4) is no pair. */
const cp = (...messages: Message[]) => {
  const ns = new Namespace('cp');
  ns.apply(batchFrom([2, 3, 4].map((ifindex) => bytes.newLink({ ifindex, name: `x${ifindex}`, flags: UP }))));
  if (messages.length > 0) ns.apply(batchFrom(messages));
  const pairs = new Pairs();
  pairs.join('wan0', 'cp', 2);
  pairs.join('lan0', 'cp', 3);
  return { ns, pairs };
};
const link = (ifindex: number, flags: number) => bytes.newLink({ ifindex, name: `x${ifindex}`, flags });
const ignore = (family: number, ifindex: number) =>
  bytes.newNetconf({ family, ifindex, ignoreRoutesWithLinkdown: true });

const GW = '10.0.0.2';
const FAR6 = 'fe80::2';
const D = '10.1.0.0/16';
const D6 = 'fd01::/16';
type Legs = NonNullable<RouteText['legs']>;

/** What the first path set that is in use resolves to. */
const resolve = (route: RouteText, ...messages: Message[]): string => {
  const { ns, pairs } = cp(...messages, bytes.newRoute(route));
  const p = [...ns.pathsets.all()].find((s) => s.refs > 0) as PathSet;
  const { target, paths } = derivePathSet(ns, pairs, p);
  return target < 16 ? `special ${target}` : paths.map((l) => `${l.phy} ${l.via} ${l.weight}`).join(', ');
};
const two: Legs = [
  { oif: 2, gateway: GW, weight: 3 },
  { oif: 3, gateway: '10.0.1.2', weight: 1 },
];

describe('legs', () => {
  const cases: readonly (readonly [string, RouteText, readonly Message[], string])[] = [
    ['over a pair', { dst: D, legs: [{ oif: 2, gateway: GW }] }, [], `wan0 ${GW} 1`],
    ['attached', { dst: D, legs: [{ oif: 2 }] }, [], 'wan0  1'],
    ['IPv4 by an IPv6 next hop', { dst: D, legs: [{ oif: 2, gateway: FAR6 }] }, [], `wan0 ${FAR6} 1`],
    ['weights', { dst: D, legs: two }, [], `wan0 ${GW} 3, lan0 10.0.1.2 1`],
    ['dead', { dst: D, legs: [{ oif: 2, gateway: GW, flags: k.RTNH_F_DEAD }] }, [], 'special 0'],
    [
      'one of two dead',
      { dst: D, legs: two.map((l, i) => ({ ...l, flags: i === 0 ? k.RTNH_F_DEAD : 0 })) },
      [],
      'lan0 10.0.1.2 1',
    ],
    ['its device down', { dst: D, legs: two }, [link(2, 0)], 'lan0 10.0.1.2 1'],
    ['both devices down', { dst: D, legs: two }, [link(2, 0), link(3, 0)], 'special 0'],
    ['its device unknown', { dst: D, legs: [{ oif: 99, gateway: GW }] }, [], 'special 0'],
    ['no carrier', { dst: D, legs: two }, [link(2, k.IFF_UP)], `wan0 ${GW} 3, lan0 10.0.1.2 1`],
    ['no carrier, ignored', { dst: D, legs: two }, [link(2, k.IFF_UP), ignore(AF_INET, 2)], 'lan0 10.0.1.2 1'],
    ['carrier, though ignored', { dst: D, legs: two }, [ignore(AF_INET, 2)], `wan0 ${GW} 3, lan0 10.0.1.2 1`],
    [
      'no carrier, ignored on all',
      { dst: D, legs: two },
      [link(2, k.IFF_UP), ignore(AF_INET, k.NETCONFA_IFINDEX_ALL)],
      'lan0 10.0.1.2 1',
    ],
    [
      'no carrier, ignored for IPv6',
      { dst: D, legs: [{ oif: 2, gateway: FAR6 }] },
      [link(2, k.IFF_UP), ignore(AF_INET6, 2)],
      `wan0 ${FAR6} 1`,
    ],
    [
      'attached IPv6 without carrier, ignored',
      { dst: D6, legs: [{ oif: 2 }] },
      [link(2, k.IFF_UP), ignore(AF_INET6, 2)],
      'special 0',
    ],
    [
      'attached IPv6 without carrier, ignored for IPv4',
      { dst: D6, legs: [{ oif: 2 }] },
      [link(2, k.IFF_UP), ignore(AF_INET, 2)],
      'wan0  1',
    ],
    ['over no pair', { dst: D, legs: [{ oif: 4, gateway: GW }] }, [], `special ${SPECIAL.punt}`],
    [
      'one of three over no pair: its share is punted',
      { dst: D, legs: [{ oif: 4, gateway: GW }, ...two] },
      [],
      `  1, wan0 ${GW} 3, lan0 10.0.1.2 1`,
    ],
    ['with an encapsulation', { dst: D, legs: [{ oif: 2, gateway: GW }], encapType: 1 }, [], `special ${SPECIAL.punt}`],
    ['none at all', { dst: D, legs: [] }, [], 'special 0'],
  ];
  it.each(cases)('%s', (_, route, messages, expected) => expect(resolve(route, ...messages)).toBe(expected));
});

describe('nexthop objects', () => {
  const object = (id: number, oif: number, gateway?: string) =>
    bytes.newNexthop({ id, oif, family: AF_INET, ...(gateway === undefined ? {} : { gateway }) });
  const group = (...members: (readonly [number, number])[]) =>
    bytes.newNexthop({ id: 10, group: members.map(([id, weight]) => ({ id, weight })) });
  const by = (nhId: number): RouteText => ({ dst: D, nhId });
  const cases: readonly (readonly [string, RouteText, readonly Message[], string])[] = [
    ['one', by(1), [object(1, 2, GW)], `wan0 ${GW} 1`],
    ['one without gateway', by(1), [object(1, 2)], 'wan0  1'],
    [
      'an IPv6 next hop',
      by(1),
      [bytes.newNexthop({ id: 1, oif: 2, family: AF_INET6, gateway: FAR6 })],
      `wan0 ${FAR6} 1`,
    ],
    ['not known', by(1), [], 'special 0'],
    [
      'blackhole',
      by(1),
      [bytes.newNexthop({ id: 1, blackhole: true, family: AF_INET })],
      `special ${SPECIAL.blackhole}`,
    ],
    [
      'a group with weights',
      by(10),
      [object(1, 2, GW), object(2, 3), group([1, 500], [2, 1])],
      `wan0 ${GW} 500, lan0  1`,
    ],
    ['a group with a missing member', by(10), [object(2, 3), group([1, 5], [2, 1])], 'lan0  1'],
    [
      'a group of a blackhole',
      by(10),
      [bytes.newNexthop({ id: 1, blackhole: true, family: AF_INET }), group([1, 1])],
      `special ${SPECIAL.blackhole}`,
    ],
    ['a group over no pair', by(10), [object(1, 4, GW), group([1, 1])], `special ${SPECIAL.punt}`],
    [
      'a member of bridge forwarding',
      by(10),
      [bytes.newNexthop({ id: 1, fdb: true, gateway: GW, family: AF_INET }), object(2, 3), group([1, 1], [2, 1])],
      'lan0  1',
    ],
    [
      'its device without carrier, ignored',
      by(1),
      [object(1, 2, GW), link(2, k.IFF_UP), ignore(AF_INET, 2), object(1, 2, GW)],
      'special 0',
    ],
  ];
  it.each(cases)('%s', (_, route, messages, expected) => expect(resolve(route, ...messages)).toBe(expected));

  it('legs are what is shown, dead or alive', () => {
    const { ns } = cp(bytes.newRoute({ dst: D, legs: two.map((l) => ({ ...l, flags: k.RTNH_F_DEAD })) }));
    const p = [...ns.pathsets.all()][0] as PathSet;
    expect((legsOf(ns, p) as unknown[]).length).toBe(2);
  });
});

describe('the best entry of a prefix', () => {
  /** Metric of the entry chosen, 'none' when there is none. */
  const best = (family: 4 | 6, ...routes: RouteText[]): number | 'none' => {
    const { ns, pairs } = cp(...routes.map((r) => bytes.newRoute(r, k.NLM_F_CREATE | k.NLM_F_APPEND)));
    const side = family === 4 ? ns.routes4 : ns.routes6;
    let at = 0;
    side.prefixes.forEach((record) => {
      at = record;
    });
    const entry = deriveRoute(side, at, (id) => derivePathSet(ns, pairs, ns.pathsets.get(id) as PathSet).target);
    return entry === 0 ? 'none' : (side.prefixes.priority[entry] as number);
  };
  const dead: Legs = [{ oif: 2, gateway: GW, flags: k.RTNH_F_DEAD }];
  const alive: Legs = [{ oif: 2, gateway: GW }];
  it.each([
    [
      'the smallest metric',
      4,
      [
        { dst: D, priority: 20, legs: alive },
        { dst: D, priority: 10, legs: alive },
      ],
      10,
    ],
    [
      'not one without a usable leg',
      4,
      [
        { dst: D, priority: 20, legs: alive },
        { dst: D, priority: 10, legs: dead },
      ],
      20,
    ],
    ['none usable', 4, [{ dst: D, priority: 10, legs: dead }], 'none'],
    [
      'not one with a tos',
      4,
      [
        { dst: D, priority: 1, tos: 8, legs: alive },
        { dst: D, priority: 30, legs: alive },
      ],
      30,
    ],
    ['only one with a tos', 4, [{ dst: D, priority: 1, tos: 8, legs: alive }], 'none'],
    ['a special type needs no legs', 4, [{ dst: D, priority: 7, type: k.RTN_UNREACHABLE }], 7],
    ['a local one neither, though its leg is dead', 4, [{ dst: D, priority: 7, type: k.RTN_LOCAL, legs: dead }], 7],
    ['an IPv4 broadcast dies with its device', 4, [{ dst: D, priority: 7, type: k.RTN_BROADCAST, legs: dead }], 'none'],
    [
      'IPv6 metrics',
      6,
      [
        { dst: D6, priority: 1024, legs: [{ oif: 2, gateway: FAR6 }] },
        { dst: D6, priority: 256, legs: [{ oif: 3 }] },
      ],
      256,
    ],
    ['IPv6 multicast without legs', 6, [{ dst: D6, priority: 256, type: k.RTN_MULTICAST }], 256],
  ] as const)('%s', (_, family, routes, expected) => expect(best(family, ...routes)).toBe(expected));
});

describe('neighbours', () => {
  const MAC = '02:00:00:00:00:02';
  const base = { family: AF_INET, ifindex: 2, dst: GW, lladdr: MAC, state: k.NUD_REACHABLE, type: k.RTN_UNICAST };
  const derive = (n: Parameters<typeof bytes.newNeighbour>[0], ...more: Message[]) => {
    const { ns, pairs } = cp(bytes.newNeighbour(n), ...more);
    return deriveNeighbour(ns, pairs, `${n.ifindex} ${n.dst}`);
  };
  const found = { kind: 'neighbour', phy: 'wan0', family: 4, address: GW, mac: MAC };

  it.each([
    ['reachable', k.NUD_REACHABLE],
    ['stale', k.NUD_STALE],
    ['delay', k.NUD_DELAY],
    ['probe', k.NUD_PROBE],
    ['permanent', k.NUD_PERMANENT],
    ['noarp', k.NUD_NOARP],
  ])('%s is usable', (_, state) => {
    expect(derive({ ...base, state })).toEqual(found);
  });
  it.each([
    ['none', k.NUD_NONE],
    ['incomplete', k.NUD_INCOMPLETE],
    ['failed', k.NUD_FAILED],
  ])('%s is not', (_, state) => {
    expect(derive({ ...base, state })).toBeUndefined();
  });
  const { lladdr, ...bare } = base;
  it.each([
    ['without a link-layer address', bare],
    ['proxy', { ...base, flags: k.NTF_PROXY }],
    ['multicast', { ...base, type: k.RTN_MULTICAST }],
    ['broadcast', { ...base, type: k.RTN_BROADCAST }],
    ['on no pair', { ...base, ifindex: 4 }],
  ])('%s: none', (_, n) => expect(derive(n)).toBeUndefined());
  it('its host down: none', () => expect(derive(base, link(2, 0))).toBeUndefined());
  it('IPv6', () => {
    expect(derive({ ...base, family: AF_INET6, dst: FAR6 })).toEqual({ ...found, family: 6, address: FAR6 });
    expect(lladdr).toBe(MAC);
  });
});

describe('links', () => {
  const own = (flags = UP) => {
    const ns = new Namespace('');
    ns.apply(batchFrom([bytes.newLink({ ifindex: 7, name: 'wan0', flags, mtu: 1500, mac: '02:00:00:00:00:07' })]));
    return new KernelPhys(ns);
  };
  const address = (ifindex: number, local: string, more = {}) =>
    bytes.newAddress({ family: local.includes(':') ? AF_INET6 : AF_INET, ifindex, local, prefixlen: 24, ...more });
  const derive = (...messages: Message[]) => deriveLink('wan0', 7, cp(...messages).ns, own(), 2);

  it('admin state, MTU, MAC, name and forwarding are the host’s, carrier is the phy’s', () => {
    const host = bytes.newLink({ ifindex: 2, name: 'renamed', flags: k.IFF_UP, mtu: 9000, mac: '02:00:00:00:00:99' });
    const { ns } = cp(host, bytes.newNetconf({ family: AF_INET6, ifindex: 2, forwarding: true }));
    expect(deriveLink('wan0', 7, ns, own(k.IFF_UP | k.IFF_LOWER_UP), 2)).toEqual({
      kind: 'link',
      phy: 'wan0',
      parent: '',
      macs: [],
      l2: false,
      merged4: true,
      lookupMpls: [],
      phyIfindex: 7,
      hostIfindex: 2,
      netns: 'cp',
      up: true,
      mtu: 9000,
      phyMtu: 9000,
      mac: '02:00:00:00:00:99',
      carrier: true,
      promisc: true,
      host: 'renamed',
      forwarding4: false,
      forwarding6: true,
      source4: '',
      source6: '',
      lookup4: ['cp/v4/255', 'cp/v4/254', 'cp/v4/253'],
      lookup6: ['cp/v6/255', 'cp/v6/254'],
    });
    expect(deriveLink('wan0', 7, ns, own(k.IFF_UP), 2)?.carrier).toBe(false);
  });

  it('without one of its ends there is none', () => {
    const { ns } = cp();
    expect([deriveLink('wan0', 8, ns, own(), 2), deriveLink('wan0', 7, ns, own(), 99)]).toEqual([undefined, undefined]);
  });

  it.each([
    ['its own address', [address(2, '10.0.0.1')], '10.0.0.1'],
    ['its own before another’s', [address(3, '10.0.1.1'), address(2, '10.0.0.1')], '10.0.0.1'],
    ['another’s when it has none', [address(3, '10.0.1.1')], '10.0.1.1'],
    ['not a secondary one', [address(2, '10.0.0.9', { flags: k.IFA_F_SECONDARY }), address(2, '10.0.0.1')], '10.0.0.1'],
    [
      'not one of link scope',
      [address(2, '169.254.0.1', { scope: k.RT_SCOPE_LINK }), address(3, '10.0.1.1')],
      '10.0.1.1',
    ],
    ['not one of host scope', [address(4, '127.0.0.1', { scope: k.RT_SCOPE_HOST })], ''],
  ])('IPv4 source of ICMP: %s', (_, messages, source) => expect(derive(...messages)?.source4).toBe(source));

  it.each([
    ['tentative', { flags: k.IFA_F_TENTATIVE }],
    ['failed duplicate detection', { flags: k.IFA_F_DADFAILED }],
    ['link-local', { scope: k.RT_SCOPE_LINK }],
  ])('IPv6 source of ICMP: not one that is %s', (_, more) => {
    expect(derive(address(2, 'fd00::9', more))?.source6).toBe('');
    expect(derive(address(2, 'fd00::9', more), address(2, 'fd00::1'))?.source6).toBe('fd00::1');
  });
});
