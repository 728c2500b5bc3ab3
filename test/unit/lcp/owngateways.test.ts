// Own gateways: a leg whose gateway was this host's address when it was made does not use it, then or later.

import { describe, expect, it } from 'vitest';
import { derivePathSet } from '../../../src/lcp/derive.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { Pairs } from '../../../src/lcp/pairs.ts';
import { AF_INET } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import * as bytes from './kernelbytes.ts';

const OWN = '10.0.0.9';
const address = { ifindex: 2, local: OWN, prefixlen: 24, family: AF_INET };
const link = (ifindex: number) => bytes.newLink({ ifindex, name: `e${ifindex}`, flags: k.IFF_UP | k.IFF_LOWER_UP });
const route = (oif = 2, flags = 0): bytes.RouteText => ({ dst: '10.1.0.0/16', legs: [{ oif, gateway: OWN, flags }] });
const told = (ns: Namespace, ...messages: bytes.Message[]): Namespace => {
  ns.apply(bytes.batchFrom(messages));
  return ns;
};
const fresh = (...messages: bytes.Message[]) => told(new Namespace('cp'), link(1), link(2), link(3), ...messages);
const dump = (ns: Namespace, kind: 'route' | 'nexthop', ...messages: bytes.Message[]): Namespace => {
  const scope = { family: kind === 'route' ? AF_INET : 0 };
  ns.dumpBegin(kind, scope);
  ns.apply(bytes.batchFrom(messages, true));
  ns.dumpEnd(kind, true, scope);
  return ns;
};
/** The next hops of all routes. */
const vias = (ns: Namespace): string[] => {
  const pairs = new Pairs();
  pairs.join('wan0', 'cp', 2);
  pairs.join('lan0', 'cp', 3);
  pairs.join('lo0', 'cp', 1);
  return [...ns.pathsets.all()]
    .filter((p) => p.refs > 0)
    .flatMap((p) => derivePathSet(ns, pairs, p).paths.map((path) => path.via || 'attached'));
};
const [come, gone] = [bytes.newAddress(address), bytes.delAddress(address)];

describe('a gateway', () => {
  it.each<[string, bytes.Message[], string[]]>([
    ['of our own is not used', [come, bytes.newRoute(route())], ['attached']],
    ['that becomes our own is used', [bytes.newRoute(route()), come], [OWN]],
    ['that was our own is used', [come, gone, bytes.newRoute(route())], [OWN]],
    ['that is our own no more is not used for that', [come, bytes.newRoute(route()), gone], ['attached']],
    ['of our own on another device is used', [come, bytes.newRoute(route(3))], [OWN]],
    ['by the loopback is ours by a local route', [bytes.newRoute(route(1))], ['attached']],
    ['that is on-link is used', [come, bytes.newRoute(route(2, k.RTNH_F_ONLINK))], [OWN]],
    [
      'that two prefixes gave us is ours until both are gone',
      [come, bytes.newAddress({ ...address, prefixlen: 16 }), gone, bytes.newRoute(route())],
      ['attached'],
    ],
    [
      'of a nexthop object of our own is not used',
      [
        come,
        bytes.newNexthop({ id: 5, oif: 2, gateway: OWN, family: AF_INET }),
        gone,
        bytes.newRoute({ dst: '10.1.0.0/16', nhId: 5 }),
      ],
      ['attached'],
    ],
    [
      'of a nexthop object that was replaced since is used',
      [
        come,
        bytes.newNexthop({ id: 5, oif: 2, gateway: OWN, family: AF_INET }),
        gone,
        bytes.newNexthop({ id: 5, oif: 2, gateway: OWN, family: AF_INET }),
        bytes.newRoute({ dst: '10.1.0.0/16', nhId: 5 }),
      ],
      [OWN],
    ],
  ])('%s', (_, messages, expected) => expect(vias(fresh(...messages))).toEqual(expected));

  it('is remembered by what a dump shows again', () => {
    const shown = bytes.newRoute(route(), 0);
    expect(vias(dump(fresh(come, bytes.newRoute(route()), gone), 'route', shown))).toEqual(['attached']);
    expect(vias(dump(fresh(bytes.newRoute(route()), come), 'route', shown))).toEqual([OWN]);
    expect(vias(dump(fresh(come), 'route', shown)), 'first shown').toEqual(['attached']);
    const object = bytes.newNexthop({ id: 5, oif: 2, gateway: OWN, family: AF_INET });
    const user = bytes.newRoute({ dst: '10.1.0.0/16', nhId: 5 });
    expect(vias(dump(fresh(come, object, user, gone), 'nexthop', object))).toEqual(['attached']);
  });

  it('goes with its route, whatever became of the address', () => {
    const ns = fresh(come, bytes.newRoute(route()), gone, bytes.delRoute(route()));
    expect(ns.routes4.prefixes.entryCount).toBe(0);
  });
});
