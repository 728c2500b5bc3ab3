// Traces: random lives of a router, as steps that can be taken again on another one with the same outcome.
//
// Invariants: a step chooses by what the kernel holds and by its own number only, so the same steps lead to the same
// kernel whatever the mirror does meanwhile. Steps whose echo comes back from the data plane (admin state, carrier,
// MTU of a pair) are barriers: the router settles behind them in every run.

import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import type { FakeKernel } from './fakekernel.ts';
import type { AddMode, FakeRoute, RouteSpec } from './fakeroutes.ts';
import { seeded } from './kernelbytes.ts';
import type { Router } from './router.ts';

export interface Step {
  readonly name: string;
  readonly barrier: boolean;
  run(r: Router): void;
}

type Pick = (below: number) => number;
type Action = (r: Router, pick: Pick) => void;

const PREFIXES4 = [
  '0.0.0.0/0',
  '10.1.0.0/16',
  '10.1.1.0/24',
  '10.1.1.128/25',
  '10.0.1.0/25',
  '10.2.2.2/32',
  '10.2.0.0/15',
];
const PREFIXES6 = ['::/0', 'fd01::/32', 'fd01:0:1::/48', 'fd01:0:1:1::/64', 'fd00:1::/96', 'fd02::2/128'];
const SPECIALS = [k.RTN_BLACKHOLE, k.RTN_UNREACHABLE, k.RTN_PROHIBIT];
const MODES: readonly AddMode[] = ['add', 'prepend', 'append', 'append', 'replace', 'replace'];
const METRICS = [0, 10, 20];

const choose = <T>(from: readonly T[], pick: Pick): T => from[pick(from.length)] as T;
const maybe = <T>(from: readonly T[], pick: Pick): T | undefined =>
  from.length === 0 ? undefined : choose(from, pick);

const legsFor = (kernel: FakeKernel, six: boolean, pick: Pick) => {
  const links = [...kernel.links.values()].filter((l) => l.name !== 'lo');
  const count = pick(3) === 0 ? 1 + pick(3) : 1;
  const attached = count === 1 && pick(4) === 0;
  return Array.from({ length: count }, () => {
    const { ifindex: oif } = choose(links, pick);
    const far = 2 + pick(4);
    const gateway = six ? `fd00:9::${far}` : pick(8) === 0 ? `fe80::${far}` : `10.9.0.${far}`;
    return attached ? { oif } : { oif, gateway, weight: six ? 1 : 1 + pick(3) };
  });
};

const statics = (kernel: FakeKernel, family: number): FakeRoute[] =>
  [...kernel.routes.all()].filter((r) => r.family === family && r.protocol !== k.RTPROT_KERNEL);

const addRoute =
  (six: boolean): Action =>
  (r, pick) => {
    const kernel = r.kernel();
    const special = pick(8) === 0;
    const ids = [...kernel.nexthops.keys()];
    const nhId = pick(5) === 0 ? maybe(ids, pick) : undefined;
    const own = kernel.addresses.filter((a) => a.family === AF_INET);
    const prefsrc = !six && !special && pick(5) === 0 ? maybe(own, pick)?.local : undefined;
    const spec: RouteSpec = {
      dst: choose(six ? PREFIXES6 : PREFIXES4, pick),
      table: choose([k.RT_TABLE_MAIN, k.RT_TABLE_MAIN, k.RT_TABLE_MAIN, 100], pick),
      metric: six ? 1 + choose(METRICS, pick) : choose(METRICS, pick),
      tos: pick(10) === 0 ? 8 : 0,
      type: special ? choose(SPECIALS, pick) : k.RTN_UNICAST,
      ...(prefsrc === undefined ? {} : { prefsrc }),
      ...(nhId === undefined || special ? {} : { nhId }),
      legs: special || nhId !== undefined ? [] : legsFor(kernel, six, pick),
    };
    // the kernel takes an IPv6 multipath request apart: one leg at a time
    if (six && (spec.legs?.length ?? 0) > 1) {
      for (const leg of spec.legs ?? []) kernel.addRoute({ ...spec, legs: [leg] }, 'append');
      return;
    }
    kernel.addRoute(spec, choose(MODES, pick));
  };

const delRoute =
  (six: boolean): Action =>
  (r, pick) => {
    const route = maybe(statics(r.kernel(), six ? AF_INET6 : AF_INET), pick);
    if (route === undefined) return;
    if (six && route.legs.length > 1 && pick(2) === 0) r.kernel().routes.removeLeg(route, choose(route.legs, pick));
    else r.kernel().routes.remove(route);
  };

const host = (r: Router, pick: Pick) => r.kernel().linkNamed(choose(['e0', 'e1'], pick));
const any = (r: Router, pick: Pick) =>
  choose(
    [...r.kernel().links.values()].filter((l) => l.name !== 'lo'),
    pick,
  );

const setNexthop: Action = (r, pick) => {
  const id = 1 + pick(4);
  if (pick(6) === 0) r.kernel().setNexthop({ id, blackhole: true, family: AF_INET });
  else r.kernel().setNexthop({ id, oif: any(r, pick).ifindex, gateway: `10.9.0.${2 + pick(4)}` });
};

const setGroup: Action = (r, pick) => {
  const kernel = r.kernel();
  const members = [...kernel.nexthops.values()].filter((n) => n.group === undefined && n.blackhole !== true);
  if (members.length === 0) return;
  const group = members.filter((_, i) => i === 0 || pick(2) === 0).map((n) => ({ id: n.id, weight: 1 + pick(3) }));
  kernel.setNexthop({ id: 10 + pick(2), group });
};

const addAddress: Action = (r, pick) => {
  const ifindex = any(r, pick).ifindex;
  if (pick(2) === 0) r.kernel().addAddress({ ifindex, local: `10.7.${pick(2)}.${1 + pick(3)}`, prefixlen: 24 });
  else r.kernel().addAddress({ ifindex, local: `fd07:${pick(2)}::${1 + pick(3)}`, prefixlen: 64 });
};

const delAddress: Action = (r, pick) => {
  const a = maybe(r.kernel().addresses, pick);
  if (a !== undefined) r.kernel().delAddress(a);
};

const neighbour: Action = (r, pick) => {
  const kernel = r.kernel();
  const known = maybe(kernel.neighbours, pick);
  if (known !== undefined && pick(3) === 0) return kernel.delNeighbour(known);
  const dst = pick(2) === 0 ? `10.9.0.${2 + pick(4)}` : `fd00:9::${2 + pick(4)}`;
  const state = choose([k.NUD_REACHABLE, k.NUD_STALE, k.NUD_FAILED, k.NUD_PERMANENT], pick);
  const lladdr = state === k.NUD_FAILED ? {} : { lladdr: `02:00:00:00:09:0${pick(4)}` };
  kernel.setNeighbour({ ifindex: any(r, pick).ifindex, dst, state, ...lladdr });
};

const otherDevice: Action = (r, pick) => {
  const kernel = r.kernel();
  const dum = [...kernel.links.values()].find((l) => l.name === 'dum0');
  if (dum === undefined) kernel.addLink('dum0');
  else if (pick(4) === 0) kernel.delLink(dum);
  else if (pick(2) === 0) kernel.setLink(dum, { up: !dum.up });
  else kernel.setLink(dum, { carrier: !dum.carrier });
};

const setIgnoring: Action = (r, pick) => {
  const family = pick(2) === 0 ? 4 : 6;
  const all = family === 4 && pick(3) === 0;
  r.kernel().setIgnoring(family, all ? k.NETCONFA_IFINDEX_ALL : any(r, pick).ifindex, pick(2) === 0);
};

const ACTIONS: readonly (readonly [string, number, boolean, Action])[] = [
  ['add IPv4 route', 30, false, addRoute(false)],
  ['add IPv6 route', 25, false, addRoute(true)],
  ['delete IPv4 route', 10, false, delRoute(false)],
  ['delete IPv6 route', 10, false, delRoute(true)],
  ['set nexthop', 6, false, setNexthop],
  ['set group', 4, false, setGroup],
  ['delete nexthop', 2, false, (r, pick) => r.kernel().delNexthop(choose([1, 2, 3, 4, 10, 11], pick))],
  ['add address', 6, false, addAddress],
  ['delete address', 4, false, delAddress],
  ['neighbour', 8, false, neighbour],
  ['other device', 4, false, otherDevice],
  ['ignore linkdown', 3, false, setIgnoring],
  [
    'admin state of a host',
    3,
    true,
    (r, pick) => {
      const h = host(r, pick);
      r.kernel().setLink(h, { up: !h.up });
    },
  ],
  ['MTU of a host', 1, true, (r, pick) => r.kernel().setLink(host(r, pick), { mtu: 1400 + pick(3) * 50 })],
  [
    'carrier of a phy',
    2,
    true,
    (r, pick) => {
      const phy = r.kernel('').linkNamed(choose(['wan0', 'lan0'], pick));
      r.kernel('').setLink(phy, { carrier: !phy.carrier });
    },
  ],
];
/** Every action as often as its weight says. */
const DECK = ACTIONS.flatMap(([name, weight, barrier, action]) =>
  new Array(weight).fill([name, barrier, action] as const),
);

/** The steps of a seed. */
export const trace = (seed: number, length: number): Step[] => {
  const pick = seeded(seed);
  return Array.from({ length }, (_, i) => {
    const [name, barrier, action] = choose(DECK, pick);
    const stepSeed = pick(1 << 30);
    return { name: `${i}: ${name}`, barrier, run: (r) => action(r, seeded(stepSeed)) };
  });
};

/** Addresses inside and beside every prefix of the traces. */
export const probes = (pick: Pick): string[] => {
  const out = [
    '10.0.1.2',
    '10.0.1.200',
    '10.0.2.9',
    '10.1.1.1',
    '10.1.1.129',
    '10.1.9.9',
    '10.2.2.2',
    '10.3.0.1',
    '10.7.0.1',
  ];
  out.push(
    'fd00:1::2',
    'fd00:1::1',
    'fd01:0:1:1::1',
    'fd01:0:1:9::',
    'fd01:9::1',
    'fd02::2',
    'fd07:1::2',
    '2001:db8::1',
  );
  for (let i = 0; i < 10; i++)
    out.push(`10.${pick(12)}.${pick(3)}.${pick(256)}`, `fd0${pick(10)}:${pick(3)}:${pick(3)}::${pick(5)}`);
  return out;
};
