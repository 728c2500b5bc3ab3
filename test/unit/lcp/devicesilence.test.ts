// What goes with a device before it is told, or without being told: IPv6 routes, nexthop objects, blackholes.

import { describe, expect, it } from 'vitest';
import { Namespace } from '../../../src/lcp/namespace.ts';
import type { PathSet } from '../../../src/lcp/pathsets.ts';
import { routeTypeOf } from '../../../src/lcp/prefixtable.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import * as bytes from './kernelbytes.ts';

const UP = k.IFF_UP | k.IFF_LOWER_UP;
const link = (ifindex: number, flags = UP) => bytes.newLink({ ifindex, name: `e${ifindex}`, flags });
const nexthop = (id: number, oif: number) => bytes.newNexthop({ id, oif, gateway: '10.0.0.2', family: AF_INET });
const told = (ns: Namespace, ...messages: bytes.Message[]): Namespace => {
  ns.apply(bytes.batchFrom(messages));
  return ns;
};
const doubted = (ns: Namespace): string[] =>
  [...ns.doubts.take()].map(({ kind, scope }) => `${kind} ${scope.family} ${scope.oif ?? '*'}`).sort();

describe('a device that goes down', () => {
  it('takes the IPv6 routes along that leave by it alone', () => {
    const legs = [2, 3].map((oif) => ({ oif, gateway: 'fe80::1' }));
    const ns = told(
      new Namespace('cp'),
      link(2),
      link(3),
      bytes.newRoute({ dst: 'fd01::/16', legs: [{ oif: 2, gateway: 'fe80::1' }] }),
      bytes.newRoute({ dst: 'fd02::/16', legs }),
      bytes.newRoute({ dst: '10.1.0.0/16', legs: [{ oif: 2, gateway: '10.0.0.2' }] }),
    );
    const entries = () => [ns.routes6.prefixes.entryCount, ns.routes4.prefixes.entryCount];
    told(ns, link(2, 0));
    expect(entries(), 'what has another leg stays, IPv4 is asked for').toEqual([1, 1]);
    told(ns, link(3, 0));
    expect(entries()).toEqual([0, 1]);
  });

  it('leaves what may lie between the legs of an IPv6 multipath route until that is told to be gone', () => {
    const ns = told(
      new Namespace('cp'),
      link(2),
      link(3),
      bytes.newRoute({ dst: 'fd01::/16', legs: [2, 3].map((oif) => ({ oif, gateway: 'fe80::1' })) }),
      bytes.newRoute({ dst: 'fd01::/16', legs: [{ oif: 2 }] }),
      bytes.newRoute({ dst: 'fd02::/16', legs: [{ oif: 2 }] }),
    );
    const attached = () => [...ns.pathsets.all()].find((p) => p.legs.length === 1 && p.refs > 0);
    const outlives = () => attached() !== undefined && ns.cleared.outlive(attached() as PathSet);
    const read = () => {
      const scope = { family: AF_INET6, oif: 2 };
      const flags = k.RTNH_F_DEAD | k.RTNH_F_LINKDOWN;
      const legs = [2, 3].map((oif) => ({ oif, gateway: 'fe80::1', flags: oif === 2 ? flags : 0 }));
      ns.dumpBegin('route', scope);
      ns.apply(bytes.batchFrom([bytes.newRoute({ dst: 'fd01::/16', legs }, 0)], true));
      ns.dumpEnd('route', true, scope);
    };
    ns.state = 'in-sync';
    told(ns, link(2, 0));
    expect([ns.routes6.prefixes.entryCount, outlives()], 'it may be about to go').toEqual([2, false]);
    ns.dirtyPathsets.clear();
    read();
    expect([ns.routes6.prefixes.entryCount, outlives()], 'it is there, over a device that is down').toEqual([2, true]);
    expect([...ns.dirtyPathsets], 'which is another answer').toContain(attached());
    told(ns, link(2));
    expect(outlives()).toBe(false);
    told(ns, link(2, 0), bytes.delRoute({ dst: 'fd01::/16', legs: [{ oif: 2 }] }));
    read();
    expect(attached()).toBeUndefined();
  });

  it('has its neighbours derived again, whether their end is told or not', () => {
    const neighbour = { ifindex: 2, dst: '10.0.0.2', lladdr: '02:00:00:00:00:02', family: AF_INET };
    const ns = told(
      new Namespace('cp'),
      link(2),
      link(3),
      bytes.newNeighbour({ ...neighbour, state: k.NUD_PERMANENT }),
    );
    ns.dirtyNeighbours.clear();
    told(ns, link(3, 0));
    expect([...ns.dirtyNeighbours]).toEqual([]);
    told(ns, link(2, 0));
    expect([...ns.dirtyNeighbours]).toEqual(['2 10.0.0.2']);
  });

  it('doubts what is left of an IPv6 route that a dump of it did not show', () => {
    const legs = [2, 3].map((oif) => ({ oif, gateway: 'fe80::1' }));
    const ns = told(new Namespace('cp'), link(2), link(3), bytes.newRoute({ dst: 'fd02::/16', legs }));
    doubted(ns);
    const scope = { family: AF_INET6, oif: 2 };
    ns.dumpBegin('route', scope);
    ns.dumpEnd('route', true, scope);
    expect([ns.routes6.prefixes.entryCount, doubted(ns)]).toEqual([1, ['route 10 3']]);
    ns.dumpBegin('route', { ...scope, oif: 3 });
    ns.dumpEnd('route', true, { ...scope, oif: 3 });
    expect([ns.routes6.prefixes.entryCount, doubted(ns)]).toEqual([0, []]);
  });

  it('shows a leg as dead that is only without carrier: that takes nothing along', () => {
    const legs = [
      { oif: 2, gateway: 'fe80::1' },
      { oif: 3, gateway: 'fe80::1', flags: k.RTNH_F_DEAD | k.RTNH_F_LINKDOWN },
    ];
    const ns = told(new Namespace('cp'), link(2), link(3, k.IFF_UP), bytes.newRoute({ dst: 'fd02::/16', legs }));
    told(ns, link(2, 0));
    expect(ns.routes6.prefixes.entryCount).toBe(1);
  });
});

describe('nexthop objects', () => {
  it('go when the device stops to run, not when its carrier is told to be lost', () => {
    const ns = told(new Namespace('cp'), link(2), nexthop(5, 2));
    told(ns, link(2, k.IFF_UP | k.IFF_RUNNING));
    expect(ns.nexthops.get(5), 'the kernel has not acted on it yet').toBeDefined();
    doubted(ns);
    told(ns, link(2, k.IFF_UP));
    expect([ns.nexthops.get(5), doubted(ns)]).toEqual([undefined, ['netconf 10 *', 'nexthop 0 *']]);
  });
});

// with compat mode the kernel shows legs beside the object; that is played on a real one (sequences 5 and 6)
it.each([
  ['leaves that to its nexthop object, which may stop being one without a word about the route', 5, k.RTN_UNICAST],
  ['is one by itself without an object', 0, k.RTN_BLACKHOLE],
])('a route that says it is a blackhole %s', (_, nhId, type) => {
  const route = bytes.newRoute({ dst: '192.0.2.0/24', type: k.RTN_BLACKHOLE, nhId, legs: [] });
  const { prefixes } = told(new Namespace('cp'), route).routes4;
  expect(routeTypeOf(prefixes.info[1] as number)).toBe(type);
});

describe('legs that were told to be dead', () => {
  it('are read again with the carrier, and once more when the device runs: only then the kernel has acted', () => {
    const flags = k.RTNH_F_DEAD | k.RTNH_F_LINKDOWN;
    const legs = [{ oif: 2, gateway: '10.0.0.2', flags }];
    const ns = told(new Namespace('cp'), link(2, k.IFF_UP), bytes.newRoute({ dst: '10.1.0.0/16', legs }));
    doubted(ns);
    told(ns, link(2, UP));
    expect(doubted(ns)).toContain('route 2 2');
    told(ns, link(2, UP | k.IFF_RUNNING));
    expect(doubted(ns)).toContain('route 2 2');
    told(ns, link(2, UP | k.IFF_RUNNING));
    expect(doubted(ns)).toEqual([]);
  });
});

it('an MTU too small for IPv6 takes the IPv6 legs over a device, though it is down: they are read again', () => {
  const sized = (mtu: number) => bytes.newLink({ ifindex: 2, name: 'e2', flags: 0, mtu });
  const ns = told(new Namespace('cp'), sized(1500));
  doubted(ns);
  told(ns, sized(1280));
  expect(doubted(ns)).toEqual([]);
  told(ns, sized(1279));
  expect(doubted(ns)).toEqual(['route 10 2']);
});

describe('notices older than a dump that came between', () => {
  const cp = () => {
    const ns = told(new Namespace('cp'), link(2), link(3), nexthop(1, 2));
    doubted(ns);
    return ns;
  };
  it('a route by an object that is not there: all routes of its family are read again', () => {
    expect(doubted(told(cp(), bytes.newRoute({ dst: '10.1.0.0/16', nhId: 1, legs: [{ oif: 2 }] })))).toEqual([]);
    const late = bytes.newRoute({ dst: '10.1.0.0/16', nhId: 7, legs: [{ oif: 2 }] });
    expect(doubted(told(cp(), late))).toEqual(['route 2 *']);
  });

  it('a group with a member that is not there: objects are read again', () => {
    const group = (...ids: number[]) =>
      bytes.newNexthop({ id: 9, family: AF_INET, group: ids.map((id) => ({ id, weight: 1 })) });
    expect(doubted(told(cp(), group(1)))).toEqual([]);
    expect(doubted(told(cp(), group(1, 7)))).toEqual(['nexthop 0 *']);
  });

  it('an object that a dump moved to another device: it may have gone and come, its routes not', () => {
    const read = (oif: number) => {
      const ns = cp();
      ns.dumpBegin('nexthop', { family: 0 });
      ns.apply(bytes.batchFrom([nexthop(1, oif)], true));
      ns.dumpEnd('nexthop', true, { family: 0 });
      return doubted(ns);
    };
    expect(read(2)).toEqual([]);
    expect(read(3)).toEqual(['route 10 *', 'route 2 *']);
    expect(doubted(told(cp(), nexthop(1, 3))), 'told, it is a replacement').toEqual([]);
  });

  it('an IPv4 replacement among equal routes: which of them it met is read again', () => {
    const route = (oif: number, flags: number, dst = '10.1.0.0/16') =>
      bytes.newRoute({ dst, legs: [{ oif, gateway: '10.0.0.2' }] }, flags);
    const one = told(cp(), route(2, k.NLM_F_CREATE));
    expect(doubted(told(one, route(3, k.NLM_F_REPLACE)))).toEqual([]);
    const two = told(cp(), route(2, k.NLM_F_CREATE), route(3, k.NLM_F_CREATE | k.NLM_F_APPEND));
    expect(doubted(told(two, route(4, k.NLM_F_REPLACE)))).toEqual(['route 2 *']);
  });
});
