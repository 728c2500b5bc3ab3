// Hidden: what a dump leaves out beside an IPv6 multipath route is read when the route has one leg only.

import { describe, expect, it } from 'vitest';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import * as bytes from './kernelbytes.ts';

const legs = (...oifs: number[]) => oifs.map((oif) => ({ oif, gateway: 'fe80::1' }));
const route = (n: number, ...oifs: number[]): bytes.RouteText => ({ dst: `fd00:${n}::/32`, legs: legs(...oifs) });
const links = [2, 3].map((ifindex) =>
  bytes.newLink({ ifindex, name: `e${ifindex}`, flags: k.IFF_UP | k.IFF_LOWER_UP, mtu: 1500 }),
);
const addresses = [2, 3].map((ifindex) =>
  bytes.newAddress({ family: AF_INET6, ifindex, local: `fe80::${ifindex}`, prefixlen: 64 }),
);
const scope = { family: AF_INET6 };

const read = (ns: Namespace, routes: readonly bytes.RouteText[]): void => {
  ns.dumpBegin('route', scope);
  ns.apply(
    bytes.batchFrom(
      routes.map((r) => bytes.newRoute(r, 0)),
      true,
    ),
  );
  ns.dumpEnd('route', true, scope);
};
const dumped = (state: Namespace['state'], routes: readonly bytes.RouteText[]): Namespace => {
  const ns = new Namespace('cp');
  ns.apply(bytes.batchFrom([...links, ...addresses]));
  ns.state = state;
  read(ns, routes);
  ns.state = 'in-sync';
  return ns;
};
const told = (ns: Namespace, ...messages: bytes.Message[]): string[] => {
  ns.apply(bytes.batchFrom(messages));
  return [...ns.doubts.take()].map((d) => `${d.kind} ${d.scope.family} ${d.scope.oif ?? '*'}`);
};
const everything = ['route 10 *'];

describe('a multipath route that a dump showed when notices had been lost', () => {
  const start = () => dumped('syncing', [route(1, 2, 3), route(2, 2)]);
  it.each<[string, bytes.Message, string[]]>([
    ['loses all but one leg', bytes.delRoute(route(1, 3)), everything],
    ['goes', bytes.delRoute(route(1, 2, 3)), everything],
    ['is replaced', bytes.newRoute(route(1, 2), k.NLM_F_REPLACE), everything],
    ['is told again', bytes.newRoute(route(1, 3, 2)), []],
    ['is not the one that goes', bytes.delRoute(route(2, 2)), []],
  ])('%s', (_, message, expected) => expect(told(start(), message)).toEqual(expected));

  it('has it read once, not again when it grew and shrank by notices', () => {
    const ns = start();
    const flap = [bytes.newRoute(route(1, 2, 3)), bytes.delRoute(route(1, 3))];
    expect(told(ns, bytes.delRoute(route(1, 3)))).toEqual(everything);
    expect(told(ns, ...flap), 'nobody has read it yet, and now it was hidden again').toEqual(everything);
    read(ns, [route(1, 2), route(2, 2)]);
    expect(told(ns, ...flap)).toEqual([]);
  });

  it('may be one of a thousand: of more nothing is read', () => {
    const many = (n: number) => Array.from({ length: n }, (_, i) => route(i + 1, 2, 3));
    expect(told(dumped('syncing', many(1000)), bytes.delRoute(route(7, 3)))).toEqual(everything);
    expect(told(dumped('syncing', many(1001)), bytes.delRoute(route(7, 3)))).toEqual([]);
  });
});

it('is no matter where every notice was heard', () => {
  const ns = dumped('in-sync', [route(1, 2, 3)]);
  expect(told(ns, bytes.delRoute(route(1, 3)))).toEqual([]);
});
