// Namespace: batches and dumps in, kernel state, dirty keys and doubts out; above all, what Linux does silently.

import { describe, expect, it } from 'vitest';
import type { DumpKind, DumpScope } from '../../../src/lcp/doubts.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import * as bytes from './kernelbytes.ts';
import { batchFrom, type Message } from './kernelbytes.ts';

const UP = k.IFF_UP | k.IFF_LOWER_UP;
const link = (ifindex: number, flags = UP, more = {}) =>
  bytes.newLink({ ifindex, name: `e${ifindex}`, flags, ...more });
const address = (ifindex: number, local: string, prefixlen = 24) => ({
  family: local.includes(':') ? AF_INET6 : AF_INET,
  ifindex,
  local,
  prefixlen,
});
const route = (dst: string, oif: number, gateway?: string, more = {}) =>
  bytes.newRoute({ dst, legs: [gateway === undefined ? { oif } : { oif, gateway }], ...more });
const nexthop = (id: number, oif: number) => bytes.newNexthop({ id, oif, gateway: '10.0.0.2', family: AF_INET });

class Mirror extends Namespace {
  changes = 0;
  constructor(...messages: Message[]) {
    super('cp');
    this.onChange = () => {
      this.changes++;
    };
    if (messages.length > 0) this.tell(...messages);
    this.forget();
  }
  tell(...messages: Message[]): void {
    this.apply(batchFrom(messages));
  }
  dump(kind: DumpKind, scope: DumpScope, messages: Message[], complete = true): void {
    this.dumpBegin(kind, scope);
    if (messages.length > 0) this.apply(batchFrom(messages, true));
    this.dumpEnd(kind, complete, scope);
  }
  forget(): void {
    for (const set of [this.dirtyLinks, this.dirtyNeighbours, this.dirtyPathsets, this.doubts]) set.clear();
  }
  get entries(): number {
    return this.routes4.prefixes.entryCount + this.routes6.prefixes.entryCount;
  }
  /** Without the settings of IPv6, which every change of a link's state makes doubtful: vmfindings.test.ts. */
  get doubted(): string[] {
    const doubts = [...this.doubts].filter(({ kind }) => kind !== 'netconf');
    return doubts.map(({ kind, scope }) => `${kind} ${scope.family} ${scope.oif ?? '*'}`).sort();
  }
}

describe('what is told', () => {
  it('fills the maps and marks the keys', () => {
    const ns = new Mirror();
    ns.tell(
      link(2),
      bytes.newAddress(address(2, '10.0.0.1')),
      bytes.newNeighbour({ family: AF_INET, ifindex: 2, dst: '10.0.0.2', lladdr: '02:00:00:00:00:01', state: 2 }),
      nexthop(7, 2),
      bytes.newNetconf({ family: AF_INET, ifindex: 2, forwarding: true }),
      route('10.1.0.0/16', 2, '10.0.0.2'),
    );
    expect([ns.links.size, ns.addresses.size, ns.neighbours.size, ns.nexthops.byId.size, ns.entries]).toEqual([
      1, 1, 1, 1, 1,
    ]);
    expect(ns.settings.get(2)).toMatchObject({ forwarding4: true, forwarding6: false });
    expect([[...ns.dirtyLinks], [...ns.dirtyNeighbours], ns.routes4.prefixes.dirtyCount]).toEqual([
      [2],
      ['2 10.0.0.2'],
      1,
    ]);
    expect(ns.changes).toBe(1);
  });

  it('of a netconf notice only what it says changes', () => {
    const ns = new Mirror(
      bytes.newNetconf({ family: AF_INET6, ifindex: 2, forwarding: true, ignoreRoutesWithLinkdown: true }),
    );
    ns.tell(bytes.newNetconf({ family: AF_INET6, ifindex: 2, forwarding: false }));
    expect(ns.settings.get(2)).toEqual({
      forwarding4: false,
      forwarding6: false,
      ignoreLinkdown4: false,
      ignoreLinkdown6: true,
      mpls: false,
    });
  });

  it('bridge ports, bridge entries, MPLS and IPv6 settings are somebody else’s', () => {
    const ns = new Mirror(link(2));
    ns.tell(
      bytes.newLink({ family: k.AF_BRIDGE, ifindex: 3, name: 'p' }),
      bytes.delLink({ family: AF_INET6, ifindex: 2 }),
      bytes.newNeighbour({ family: k.AF_BRIDGE, ifindex: 2, dst: '', lladdr: '02:00:00:00:00:01' }),
      bytes.newNetconf({ family: AF_INET, ifindex: k.NETCONFA_IFINDEX_DEFAULT, forwarding: true }),
    );
    expect([[...ns.links.keys()], ns.neighbours.size, ns.settings.get(2).forwarding4]).toEqual([[2], 0, false]);
  });

  it('neighbours are left out when they are learned by other means', () => {
    const ns = new Mirror();
    ns.followsNeighbours = false;
    ns.tell(bytes.newNeighbour({ family: AF_INET, ifindex: 2, dst: '10.0.0.2' }));
    expect(ns.neighbours.size).toBe(0);
  });

  it('cut at every length, a message is counted or harmless, never an exception', () => {
    const whole = [
      link(2),
      route('10.1.0.0/16', 2, '10.0.0.2'),
      nexthop(7, 2),
      bytes.newAddress(address(2, '10.0.0.1')),
    ];
    for (const message of whole) {
      for (let length = 16; length < message.length; length++) {
        const cut = message.slice(0, length);
        new DataView(cut.buffer).setUint32(0, length, true);
        const ns = new Mirror();
        const batch = batchFrom([cut]);
        ns.apply(batch);
        const known = ns.links.size + ns.entries + ns.nexthops.byId.size + ns.addresses.size;
        expect(known + batch.malformed.total).toBeLessThanOrEqual(1);
      }
    }
  });
});

describe('dumps', () => {
  const full = () =>
    new Mirror(
      link(2),
      link(3),
      bytes.newAddress(address(2, '10.0.0.1')),
      bytes.newAddress(address(3, 'fd00::1', 64)),
      bytes.newNeighbour({ family: AF_INET, ifindex: 2, dst: '10.0.0.2', state: 2 }),
      bytes.newNeighbour({ family: AF_INET6, ifindex: 3, dst: 'fd00::2', state: 2 }),
      nexthop(7, 2),
      route('10.1.0.0/16', 2),
      route('10.2.0.0/16', 3),
      route('fd01::/16', 3),
    );
  const counts = (ns: Mirror) => [
    ns.links.size,
    ns.addresses.size,
    ns.neighbours.size,
    ns.nexthops.byId.size,
    ns.entries,
  ];

  it.each([
    ['address', AF_INET, [2, 1, 2, 1, 3]],
    ['address', AF_INET6, [2, 1, 2, 1, 3]],
    ['neighbour', AF_INET, [2, 2, 1, 1, 3]],
    ['nexthop', 0, [2, 2, 2, 0, 3]],
    ['route', AF_INET, [2, 2, 2, 1, 1]],
    ['route', AF_INET6, [2, 2, 2, 1, 2]],
  ] as const)('an empty one of %s of family %d takes just those', (kind, family, left) => {
    const ns = full();
    ns.dump(kind, { family }, []);
    expect(counts(ns)).toEqual(left);
  });

  it('an empty one of links takes what hangs on them', () => {
    const ns = full();
    ns.dump('link', { family: 0 }, []);
    expect(counts(ns)).toEqual([0, 0, 0, 0, 0]);
  });

  it('of one device takes that one’s only', () => {
    const ns = full();
    ns.dump('route', { family: AF_INET, oif: 2 }, []);
    expect(ns.entries).toBe(2);
    ns.dump('neighbour', { family: AF_INET, oif: 3 }, []);
    ns.dump('address', { family: AF_INET, oif: 3 }, []);
    expect([ns.neighbours.size, ns.addresses.size]).toEqual([2, 2]);
  });

  it('interrupted, takes nothing', () => {
    const ns = full();
    for (const kind of ['link', 'address', 'neighbour', 'nexthop', 'route'] as const)
      ns.dump(kind, { family: 0 }, [], false);
    expect(counts(ns)).toEqual([2, 2, 2, 1, 3]);
  });

  it('interrupted and repeated, takes only what the second did not show', () => {
    const ns = full();
    ns.dump('route', { family: AF_INET }, [route('10.1.0.0/16', 2)], false);
    ns.dump('route', { family: AF_INET }, [route('10.2.0.0/16', 3)]);
    expect([ns.routes4.prefixes.entryCount, ns.routes6.prefixes.entryCount]).toEqual([1, 1]);
  });

  it('spares what was told while it ran', () => {
    const ns = full();
    ns.dumpBegin('route', { family: AF_INET });
    ns.tell(route('10.9.0.0/16', 2));
    ns.dumpEnd('route', true, { family: AF_INET });
    expect(ns.routes4.prefixes.entryCount).toBe(1);
  });

  it('of another scope in between does not shorten its reach', () => {
    const ns = full();
    ns.dumpBegin('route', { family: AF_INET });
    ns.dump('neighbour', { family: AF_INET }, [
      bytes.newNeighbour({ family: AF_INET, ifindex: 2, dst: '10.0.0.2', state: 2 }),
    ]);
    ns.apply(batchFrom([route('10.1.0.0/16', 2)], true));
    ns.dumpEnd('route', true, { family: AF_INET });
    expect([ns.routes4.prefixes.entryCount, ns.neighbours.size]).toEqual([1, 2]);
  });

  it('an end without a beginning sweeps nothing', () => {
    const ns = full();
    ns.dumpEnd('route', true, { family: AF_INET });
    expect(ns.entries).toBe(3);
  });
});

describe('silence', () => {
  const flags = (dead: boolean) => ({ legs: [{ oif: 2, gateway: '10.0.0.2', flags: dead ? k.RTNH_F_DEAD : 0 }] });

  it('link down: the routes over it are derived again and doubted', () => {
    const ns = new Mirror(link(2), route('10.1.0.0/16', 2), route('10.2.0.0/16', 3));
    ns.tell(link(2, 0));
    expect(ns.doubted).toEqual(['address 10 2', 'route 10 2', 'route 2 2']);
    expect([...ns.dirtyPathsets].map((p) => p.legs[0]?.ifindex)).toEqual([2]);
    expect(ns.entries, 'the kernel is asked, not guessed').toBe(2);
  });

  it('link up: dead legs may live', () => {
    const ns = new Mirror(link(2, 0), bytes.newRoute({ dst: '10.1.0.0/16', ...flags(true) }));
    ns.tell(link(2));
    expect(ns.doubted).toEqual(['route 10 2', 'route 2 2']);
  });

  it('a change that is neither, like the MTU, doubts nothing', () => {
    const ns = new Mirror(link(2), route('10.1.0.0/16', 2));
    ns.tell(link(2, UP, { mtu: 9000 }));
    expect([ns.doubted, [...ns.dirtyLinks], ns.dirtyPathsets.size]).toEqual([[], [2], 0]);
  });

  it.each([
    ['down', 0],
    ['without carrier', k.IFF_UP],
  ])('link %s: nexthop objects over it are gone, with their routes and memberships', (_, state) => {
    const ns = new Mirror(
      link(2),
      link(3),
      nexthop(1, 2),
      nexthop(2, 3),
      bytes.newNexthop({
        id: 10,
        group: [
          { id: 1, weight: 1 },
          { id: 2, weight: 1 },
        ],
      }),
      bytes.newNexthop({ id: 11, group: [{ id: 1, weight: 1 }] }),
      bytes.newNexthop({ id: 3, blackhole: true, family: AF_INET }),
      bytes.newRoute({ dst: '10.1.0.0/16', nhId: 1 }),
      bytes.newRoute({ dst: '10.2.0.0/16', nhId: 10 }),
      bytes.newRoute({ dst: '10.3.0.0/16', nhId: 11 }),
      bytes.newRoute({ dst: 'fd01::/16', nhId: 1 }),
    );
    ns.tell(link(2, state));
    expect([...ns.nexthops.byId.keys()].sort()).toEqual([10, 2, 3]);
    expect(ns.nexthops.get(10)?.group).toEqual([{ id: 2, weight: 1 }]);
    expect(ns.entries).toBe(1);
    expect([...ns.dirtyPathsets].map((p) => p.nhId)).toContain(10);
    expect(ns.doubted).toContain('nexthop 0 *');
  });

  it('a nexthop object replaced: who uses it, also through groups, is derived again', () => {
    const ns = new Mirror(
      link(2),
      nexthop(1, 2),
      bytes.newNexthop({ id: 10, group: [{ id: 1, weight: 1 }] }),
      bytes.newRoute({ dst: '10.1.0.0/16', nhId: 1 }),
      bytes.newRoute({ dst: '10.2.0.0/16', nhId: 10 }),
    );
    ns.tell(nexthop(1, 3));
    expect([...ns.dirtyPathsets].map((p) => p.nhId).sort()).toEqual([1, 10]);
  });

  it('last IPv4 address gone: the routes over the device are doubted', () => {
    const ns = new Mirror(
      link(2),
      bytes.newAddress(address(2, '10.0.0.1')),
      bytes.newAddress(address(2, '10.0.1.1')),
      route('10.1.0.0/16', 2),
    );
    ns.tell(bytes.delAddress(address(2, '10.0.1.1')));
    expect(ns.doubted).toEqual([]);
    ns.tell(bytes.delAddress(address(2, '10.0.0.1')));
    expect(ns.doubted).toEqual(['route 2 2']);
  });

  it('an address that is a preferred source gone: IPv4 routes anywhere are doubted', () => {
    const ns = new Mirror(
      link(2),
      bytes.newAddress(address(2, '10.0.0.1')),
      route('10.1.0.0/16', 2),
      route('10.2.0.0/16', 3, '10.9.0.1', { prefsrc: '10.0.0.1' }),
    );
    ns.tell(bytes.delAddress(address(2, '10.0.0.1')));
    expect(ns.doubted).toContain('route 2 *');
  });

  it('the last IPv6 address gone: IPv6 may be off there, and legs dead', () => {
    const [a, b] = [address(2, 'fd00::1', 64), address(2, 'fe80::1', 64)];
    const ns = new Mirror(link(2), bytes.newAddress(a), bytes.newAddress(b), route('fd01::/16', 2));
    ns.tell(bytes.delAddress(a));
    expect([ns.doubted, [...ns.dirtyLinks]]).toEqual([[], [2]]);
    ns.tell(bytes.delAddress(b));
    expect(ns.doubted).toEqual(['route 10 2']);
  });

  it.each([
    ['an address', [bytes.newAddress(address(2, '10.0.0.1'))]],
    ['carrier', [link(2, UP)]],
    [
      'an end to ignoring routes with link down',
      [bytes.newNetconf({ family: AF_INET, ifindex: 2, ignoreRoutesWithLinkdown: false })],
    ],
  ])('%s brings dead legs back to life, others need no look', (_, news) => {
    const dead = new Mirror(link(2, k.IFF_UP), bytes.newRoute({ dst: '10.1.0.0/16', ...flags(true) }));
    dead.tell(...news);
    expect(dead.doubted).toEqual(['route 2 2']);
    const alive = new Mirror(link(2, k.IFF_UP), bytes.newRoute({ dst: '10.1.0.0/16', ...flags(false) }));
    alive.tell(...news);
    expect(alive.doubted).toEqual([]);
  });

  it('the IPv4 setting of all interfaces counts for each', () => {
    const ns = new Mirror(link(2), link(3), route('10.1.0.0/16', 2), route('10.2.0.0/16', 3));
    ns.tell(bytes.newNetconf({ family: AF_INET, ifindex: k.NETCONFA_IFINDEX_ALL, ignoreRoutesWithLinkdown: true }));
    expect([...ns.dirtyPathsets].map((p) => p.legs[0]?.ifindex).sort()).toEqual([2, 3]);
  });

  it('link deleted: its IPv4 routes are gone at once, routes with other legs are doubted', () => {
    const legs = [
      { oif: 2, gateway: '10.0.0.2' },
      { oif: 3, gateway: '10.0.1.2' },
    ];
    const ns = new Mirror(
      link(2),
      link(3),
      route('10.1.0.0/16', 2),
      bytes.newRoute({ dst: '10.2.0.0/16', legs }),
      route('10.3.0.0/16', 3),
    );
    ns.tell(bytes.delLink({ ifindex: 2 }));
    expect(ns.entries).toBe(2);
    expect(ns.doubted).toEqual(['route 10 *', 'route 2 *']);
  });

  it('moved into a VRF or out of a bond: its routes are in another table, its MTU is another one', () => {
    const ns = new Mirror(link(2), route('10.1.0.0/16', 2));
    ns.tell(link(2, UP, { master: 9 }));
    expect(ns.doubted).toEqual(['link 0 *', 'route 10 2', 'route 2 2']);
  });

  it('a doubt about all devices covers one about a single one', () => {
    const ns = new Mirror(
      link(2),
      link(3),
      bytes.newAddress(address(3, '10.0.0.1')),
      route('10.1.0.0/16', 2, '10.9.0.1', { prefsrc: '10.0.0.1' }),
    );
    ns.tell(bytes.delAddress(address(3, '10.0.0.1')), link(2, 0));
    expect(ns.doubted).toEqual(['address 10 2', 'route 10 2', 'route 2 *']);
  });
});

it('the namespace gone, everything is', () => {
  const ns = new Mirror(
    link(2),
    bytes.newAddress(address(2, '10.0.0.1')),
    bytes.newNeighbour({ family: AF_INET, ifindex: 2, dst: '10.0.0.2', state: 2 }),
    bytes.newNexthop({ id: 3, blackhole: true, family: AF_INET }),
    bytes.newNetconf({ family: AF_INET, ifindex: 2, forwarding: true }),
    route('10.1.0.0/16', 2),
    bytes.newRoute({ dst: '10.2.0.0/16', type: k.RTN_BLACKHOLE }),
    route('fd01::/16', 2),
  );
  ns.clear();
  expect([
    ns.links.size,
    ns.addresses.size,
    ns.neighbours.size,
    ns.nexthops.byId.size,
    Number(ns.settings.get(2).forwarding4),
    ns.entries,
  ]).toEqual([0, 0, 0, 0, 0, 0]);
  expect([ns.doubts.size, [...ns.dirtyLinks], [...ns.dirtyNeighbours]]).toEqual([0, [2], ['2 10.0.0.2']]);
  expect([...ns.routes4.tables()]).toEqual([]);
  for (const p of ns.pathsets.all()) expect(p.refs).toBe(0);
});
