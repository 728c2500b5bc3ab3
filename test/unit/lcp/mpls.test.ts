// MPLS: label routes and pushed labels from the kernel to path sets: swap, pop, push, TTL, carrier, what the kernel does
// to them in silence, and which legs stay the kernel's.

import { beforeEach, describe, expect, it } from 'vitest';
import { derivePathSet, viaOf } from '../../../src/lcp/derive.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { FIRST_HANDLE, MPLS, SPECIAL } from '../../../src/lcp/objects.ts';
import { Pairs } from '../../../src/lcp/pairs.ts';
import { AF_INET } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type ExtraKernel, extraRouter } from './extrakernel.ts';
import * as bytes from './kernelbytes.ts';
import { batchFrom, type Message, type RouteText } from './kernelbytes.ts';
import type { Router } from './router.ts';

const UP = k.IFF_UP | k.IFF_LOWER_UP;
const GW = '10.0.0.2';
const link = (ifindex: number, flags = UP): Message => bytes.newLink({ ifindex, name: `x${ifindex}`, flags });
/** 2 and 3 are hosts of wan0 and lan0, 4 is no pair. */
const cp = (...messages: Message[]) => {
  const ns = new Namespace('cp');
  ns.apply(batchFrom([...[2, 3, 4].map((i) => link(i)), ...messages]));
  const pairs = new Pairs();
  pairs.join('wan0', 'cp', 2);
  pairs.join('lan0', 'cp', 3);
  return { ns, pairs };
};
const mpls = (dst: string, legs: RouteText['legs'], more = {}): RouteText => ({
  family: k.AF_MPLS,
  dst,
  legs: legs ?? [],
  ...more,
});
const sets = (ns: Namespace) => [...ns.pathsets.all()].filter((p) => p.refs > 0);
const comesTo = ({ ns, pairs }: ReturnType<typeof cp>): string =>
  sets(ns)
    .map((p) => {
      const { target, paths } = derivePathSet(ns, pairs, p);
      if (target < FIRST_HANDLE) return `special ${target}`;
      return paths
        .map((l) => `${l.phy} ${l.via} ${l.labels?.join('/') ?? 'pop'}${l.ttl === undefined ? '' : ` ttl ${l.ttl}`}`)
        .join(', ');
    })
    .join('; ');
const resolve = (route: RouteText, ...messages: Message[]) => comesTo(cp(...messages, bytes.newRoute(route)));

describe('a label route', () => {
  it.each<[string, RouteText, string]>([
    ['swaps', mpls('100', [{ oif: 2, gateway: GW, labels: [200] }]), `wan0 ${GW} 200`],
    ['swaps and pushes', mpls('100', [{ oif: 2, gateway: GW, labels: [200, 300] }]), `wan0 ${GW} 200/300`],
    ['pops', mpls('100', [{ oif: 2, gateway: GW }]), `wan0 ${GW} pop`],
    ['to an IPv6 next hop', mpls('100', [{ oif: 2, gateway: 'fe80::2', labels: [16] }]), 'wan0 fe80::2 16'],
    [
      'over two legs',
      mpls('100', [
        { oif: 2, gateway: GW, labels: [200] },
        { oif: 3, gateway: '10.0.1.2' },
      ]),
      `wan0 ${GW} 200, lan0 10.0.1.2 pop`,
    ],
    ['with the TTL of what it pops', mpls('100', [{ oif: 2, gateway: GW }], { ttlPropagate: true }), `wan0 ${GW} pop`],
    ['without', mpls('100', [{ oif: 2, gateway: GW }], { ttlPropagate: false }), `wan0 ${GW} pop ttl 255`],
    [
      'swapping has the label’s TTL either way',
      mpls('100', [{ oif: 2, gateway: GW, labels: [200] }], { ttlPropagate: false }),
      `wan0 ${GW} 200`,
    ],
    ['popped for the host itself', mpls('100', [{ oif: 4, gateway: GW }]), `special ${SPECIAL.punt}`],
    ['without a next hop: who would be its neighbour?', mpls('100', [{ oif: 2 }]), `special ${SPECIAL.punt}`],
    [
      'eight labels',
      mpls('100', [{ oif: 2, gateway: GW, labels: [1, 2, 4, 5, 6, 7, 8, 9].map((n) => n + 20) }]),
      `wan0 ${GW} 21/22/24/25/26/27/28/29`,
    ],
    [
      'nine are more than a leg has',
      mpls('100', [{ oif: 2, gateway: GW, labels: Array.from({ length: 9 }, (_, i) => 20 + i) }]),
      `special ${SPECIAL.punt}`,
    ],
  ])('%s', (_, route, expected) => expect(resolve(route)).toBe(expected));

  it('to a link-layer address is the kernel’s, and shown as what it is', () => {
    const message = bytes.newRoute(mpls('100', [{ oif: 2, gateway: GW, labels: [200] }]));
    // RTA_VIA: family and address; AF_PACKET has a link-layer address of any even length up to 16
    const at = [...message].findIndex((_, i) => message[i] === 10 && message[i + 2] === k.RTA_VIA);
    message[at + 4] = k.AF_PACKET;
    const { ns, pairs } = cp(message);
    expect(sets(ns).map((p) => derivePathSet(ns, pairs, p).target)).toEqual([SPECIAL.punt]);
    expect(viaOf(sets(ns)[0]?.legs[0] as Parameters<typeof viaOf>[0])).toBe('0a:00:00:02:00:00');
  });

  it('needs carrier, whatever the settings say', () => {
    const route = mpls('100', [{ oif: 2, gateway: GW, labels: [200] }]);
    expect(resolve(route, link(2, k.IFF_UP))).toBe('special 0');
    const ignore = bytes.newNetconf({ family: AF_INET, ifindex: 2, ignoreRoutesWithLinkdown: false });
    expect(resolve(route, link(2, k.IFF_UP), ignore)).toBe('special 0');
    const push: RouteText = { dst: '10.1.0.0/16', legs: [{ oif: 2, gateway: GW, labels: [200] }] };
    expect(resolve(push, link(2, k.IFF_UP)), 'a pushing IPv4 route does not').toBe(`wan0 ${GW} 200`);
  });
});

describe('pushed labels', () => {
  const push = (labels: number[], more = {}): RouteText => ({
    dst: '10.1.0.0/16',
    legs: [{ oif: 2, gateway: GW, labels, ...more }],
  });
  it.each<[string, RouteText, string]>([
    ['one', push([100]), `wan0 ${GW} 100`],
    ['several, outermost first', push([100, 200]), `wan0 ${GW} 100/200`],
    ['with a TTL', push([100], { ttl: 7 }), `wan0 ${GW} 100 ttl 7`],
    ['IPv6', { dst: 'fd01::/16', legs: [{ oif: 2, gateway: 'fe80::2', labels: [100] }] }, 'wan0 fe80::2 100'],
    ['too many', push(Array.from({ length: 9 }, (_, i) => 20 + i)), `special ${SPECIAL.punt}`],
  ])('%s', (_, route, expected) => expect(resolve(route)).toBe(expected));

  it('by a nexthop object, and in a group', () => {
    const object = (id: number, oif: number, labels: number[], ttl = 0) =>
      bytes.newNexthop({ id, oif, family: AF_INET, gateway: GW, labels, ttl });
    const group = bytes.newNexthop({ id: 9, group: [1, 2].map((id) => ({ id, weight: 1 })) });
    const route = { dst: '10.1.0.0/16', nhId: 9 };
    expect(resolve(route, object(1, 2, [100], 9), object(2, 3, []), group)).toBe(
      `wan0 ${GW} 100 ttl 9, lan0 ${GW} pop`,
    );
  });

  it('tell path sets apart: labels, their order and number, TTL, and by which leg', () => {
    const { ns } = cp();
    const legs = (...l: (readonly number[])[]) => l.map((labels, i) => ({ oif: 2 + i, gateway: GW, labels }));
    const routes: RouteText[] = [
      push([]),
      push([100]),
      push([200]),
      push([100, 200]),
      push([200, 100]),
      push([100], { ttl: 9 }),
      { dst: '10.1.0.0/16', legs: legs([100], []) },
      { dst: '10.1.0.0/16', legs: legs([], [100]) },
    ];
    const again = (i: number) => ({ ...(routes[i % routes.length] as RouteText), dst: `10.${i + 1}.0.0/16` });
    ns.apply(batchFrom([...routes, ...routes].map((_, i) => bytes.newRoute(again(i)))));
    expect(sets(ns)).toHaveLength(routes.length);
    expect(new Set(sets(ns).map((p) => p.refs))).toEqual(new Set([2]));
  });

  it('IPv6 siblings told in another order are the same, though only labels tell them apart', () => {
    const { ns } = cp();
    const legs = [[100], [200, 0], [200]].map((labels) => ({ oif: 2, gateway: 'fe80::2', labels }));
    const told = [legs, [...legs].reverse(), [legs[1], legs[0], legs[2]] as typeof legs];
    // in between, a longer stack in the memory that messages are read into
    const noise = {
      dst: 'fdff::/16',
      legs: [0, 1, 2].map(() => ({ oif: 3, gateway: 'fe80::3', labels: [31, 32, 33, 34] })),
    };
    told.forEach((l, i) => {
      ns.apply(batchFrom([bytes.newRoute({ dst: `fd0${i}::/16`, legs: l }), bytes.newRoute(noise)]));
    });
    expect(
      sets(ns)
        .map((p) => p.refs)
        .sort(),
    ).toEqual([1, 3]);
  });
});

describe('what Linux does in silence', () => {
  const route = mpls('100', [{ oif: 2, gateway: GW, labels: [200], flags: k.RTNH_F_DEAD }]);
  const doubts = (ns: Namespace) =>
    [...ns.doubts].map(({ kind, scope }) => `${kind} ${scope.family} ${scope.oif ?? '*'}`);
  it.each([
    ['goes up with carrier', 0, UP],
    ['gets its carrier', k.IFF_UP, UP],
  ])('dead legs live again when their device %s: read again', (_, before, after) => {
    const { ns } = cp(link(2, before), bytes.newRoute(route));
    ns.doubts.clear();
    ns.apply(batchFrom([link(2, after)]));
    expect(doubts(ns)).toContain(`route ${k.AF_MPLS} *`);
  });

  it('a device that ends takes its routes; what has other legs is read again', () => {
    const two = mpls('101', [
      { oif: 2, gateway: GW },
      { oif: 3, gateway: GW },
    ]);
    const { ns } = cp(bytes.newRoute(mpls('100', [{ oif: 2, gateway: GW }])), bytes.newRoute(two));
    ns.doubts.clear();
    ns.apply(batchFrom([bytes.delLink({ ifindex: 2, name: 'x2' })]));
    expect(ns.routesMpls.prefixes.entryCount).toBe(1);
    expect(doubts(ns)).toContain(`route ${k.AF_MPLS} *`);
    const { ns: ip } = cp(
      bytes.newRoute({
        dst: '10.1.0.0/16',
        legs: [
          { oif: 2, gateway: GW },
          { oif: 3, gateway: GW },
        ],
      }),
    );
    ip.doubts.clear();
    ip.apply(batchFrom([bytes.delLink({ ifindex: 2, name: 'x2' })]));
    expect(doubts(ip), 'no label route, no doubt about them').not.toContain(`route ${k.AF_MPLS} *`);
  });
});

describe('a router', () => {
  let r: Router;
  let kernel: ExtraKernel;
  const e = (n: number) => kernel.linkNamed(`e${n}`).ifindex;
  const FAR = '10.0.1.2';
  const table = () => [...r.dataplane.tables].find(([, t]) => t.family === MPLS)?.[0] ?? 0;
  const lookup = (label: number): string => {
    const answer = r.dataplane.lookup(MPLS, [table()], false, [String(label)])[0];
    const target = answer?.target ?? 0;
    if (table() === 0 || target < FIRST_HANDLE) return `special ${target}`;
    return (r.dataplane.paths(target) ?? []).map((p) => `${p.phy} ${p.via} ${p.labels?.join('/') ?? 'pop'}`).join(', ');
  };
  const swap = (label: string, to: number, n = 0) =>
    kernel.route(mpls(label, [{ oif: e(n), gateway: n === 0 ? FAR : '10.0.2.2', labels: [to] }]));

  beforeEach(async () => {
    ({ r, kernel } = await extraRouter());
  });

  it('has the label table while there are routes or an interface takes labels', async () => {
    expect(table()).toBe(0);
    kernel.mpls(e(0), true);
    await r.settle();
    expect(table()).not.toBe(0);
    expect(r.dataplane.links.get('wan0')?.lookupMpls).toEqual(['cp/mpls/0']);
    expect(r.dataplane.links.get('lan0')?.lookupMpls).toEqual([]);
    const gone = swap('100', 200);
    kernel.mpls(e(0), false);
    await r.settle();
    expect(table()).not.toBe(0);
    gone();
    await r.settle();
    expect([table(), r.dataplane.links.get('wan0')?.lookupMpls]).toEqual([0, []]);
    expect(r.refused).toEqual([]);
  });

  it('a route told again takes the place of the one of its label', async () => {
    swap('100', 200);
    swap('1048575', 300);
    await r.settle();
    expect([lookup(100), lookup(1048575), lookup(101)]).toEqual([`wan0 ${FAR} 200`, `wan0 ${FAR} 300`, 'special 0']);
    const gone = swap('100', 201, 1);
    await r.settle();
    expect([lookup(100), r.ns().routesMpls.prefixes.entryCount]).toEqual(['lan0 10.0.2.2 201', 2]);
    gone();
    await r.settle();
    expect([lookup(100), lookup(1048575)]).toEqual(['special 0', `wan0 ${FAR} 300`]);
    expect([r.dataplane.unusedPathsets(), r.refused]).toEqual([[], []]);
  });

  it('goes without carrier, and comes with it', async () => {
    swap('100', 200);
    await r.settle();
    const wire = r.kernel('').linkNamed('wan0');
    r.kernel('').setLink(wire, { carrier: false });
    await r.settle();
    expect(lookup(100)).toBe('special 0');
    r.kernel('').setLink(wire, { carrier: true });
    await r.settle();
    expect(lookup(100)).toBe(`wan0 ${FAR} 200`);
  });

  it('after an overrun has what the dump shows', async () => {
    const gone = swap('100', 200);
    swap('101', 300);
    await r.settle();
    gone();
    swap('101', 301, 1);
    r.resync('cp');
    await r.settle();
    expect([lookup(100), lookup(101), r.ns().routesMpls.prefixes.entryCount]).toEqual([
      'special 0',
      'lan0 10.0.2.2 301',
      1,
    ]);
  });

  it('restarted sends nothing, and removes what ended meanwhile', async () => {
    const gone = swap('100', 200);
    swap('101', 300);
    kernel.route({ dst: '10.8.0.0/16', legs: [{ oif: e(0), gateway: FAR, labels: [16, 17], ttl: 9 }] });
    await r.settle();
    r.dataplane.operations = 0;
    r.dataplane.log.length = 0;
    await r.successor().settle();
    expect([r.dataplane.log, r.dataplane.operations]).toEqual([[], 0]);
    gone();
    kernel.take();
    r = r.successor();
    await r.settle();
    expect([lookup(100), lookup(101)]).toEqual(['special 0', `wan0 ${FAR} 300`]);
  });
});
