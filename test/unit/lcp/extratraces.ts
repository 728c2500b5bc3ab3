// ExtraTraces: random lives of a router with what an ExtraKernel has besides: VLAN and VRF devices, rules, label routes,
// multicast entries; mixed with those of traces.ts.
//
// Invariants: as in traces.ts. An object is there or not, and goes before what it needs: the ExtraKernel takes nothing
// away by itself.

import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { ExtraKernel } from './extrakernel.ts';
import { seeded } from './kernelbytes.ts';
import type { Router } from './router.ts';
import { type Step, trace } from './traces.ts';

const [V100, V200, INNER, RED] = [500, 501, 502, 520];
const FAR = '10.50.0.2';

interface Thing {
  /** Names of what must be there before. */
  readonly needs?: readonly string[];
  /** Makes it; returns what takes it away. */
  make(kernel: ExtraKernel): () => void;
}

const e = (kernel: ExtraKernel, n: number): number => kernel.linkNamed(`e${n}`).ifindex;

/** What is there of one kernel, in the order in which it came. */
const present = new WeakMap<ExtraKernel, Map<string, () => void>>();
const thingsOf = (kernel: ExtraKernel): Map<string, () => void> => {
  const known = present.get(kernel) ?? new Map<string, () => void>();
  present.set(kernel, known);
  return known;
};

/** The device as it is now: what changes it is a thing too. */
const tellV100 = (kernel: ExtraKernel, but: string): (() => void) => {
  const has = (name: string) => but === name || (but !== `no ${name}` && thingsOf(kernel).has(name));
  return kernel.vlan(V100, e(kernel, 0), 100, {
    ...(has('v100 in red') ? { master: RED } : {}),
    flags: has('v100 down') ? 0 : k.IFF_UP | k.IFF_LOWER_UP,
  });
};
const changeOfV100 = (name: string, needs: readonly string[]): Thing => ({
  needs,
  make: (kernel) => {
    tellV100(kernel, name);
    return () => tellV100(kernel, `no ${name}`);
  },
});

const THINGS: Readonly<Record<string, Thing>> = {
  v100: { make: (kernel) => tellV100(kernel, '') },
  v200: { make: (kernel) => kernel.vlan(V200, e(kernel, 1), 200, { protocol: 0x88a8 }) },
  inner: { needs: ['v200'], make: (kernel) => kernel.vlan(INNER, V200, 7) },
  red: { make: (kernel) => kernel.vrf(RED, 'red', 10) },
  'v100 in red': changeOfV100('v100 in red', ['v100', 'red']),
  'v100 down': changeOfV100('v100 down', ['v100']),
  'rule for all': { make: (kernel) => kernel.rule({ family: AF_INET, priority: 100, table: 100 }) },
  'rule for e0': { make: (kernel) => kernel.rule({ family: AF_INET, priority: 110, table: 101, iifname: 'e0' }) },
  'rule of IPv6': { make: (kernel) => kernel.rule({ family: AF_INET6, priority: 120, table: 100 }) },
  'rule by mark': {
    make: (kernel) => kernel.rule({ family: AF_INET, priority: 90, table: 102, fwmark: 1, fwmask: 0xff }),
  },
  'rule of VRFs of IPv6': { make: (kernel) => kernel.rule({ family: AF_INET6, priority: 1000, l3mdev: true }) },
  'neighbour on v100': {
    needs: ['v100'],
    make: (kernel) => kernel.neighbour({ family: AF_INET, ifindex: V100, dst: FAR, lladdr: '02:00:00:00:05:02' }),
  },
  'route over v100': {
    needs: ['v100'],
    make: (kernel) => kernel.route({ dst: '10.80.0.0/16', legs: [{ oif: V100, gateway: FAR }] }),
  },
  'IPv6 route over v100': {
    needs: ['v100'],
    make: (kernel) => kernel.route({ dst: 'fd80::/16', legs: [{ oif: V100, gateway: 'fe80::9' }] }),
  },
  'route over both': {
    needs: ['v100', 'inner'],
    make: (kernel) => {
      const legs = [V100, INNER].map((oif) => ({ oif, gateway: FAR, weight: 2 }));
      return kernel.route({ dst: '10.81.0.0/16', legs });
    },
  },
  'route of red': {
    make: (kernel) =>
      kernel.route({ dst: '10.82.0.0/16', table: 10, legs: [{ oif: e(kernel, 1), gateway: '10.0.2.2' }] }),
  },
  'leaked into red': {
    needs: ['red'],
    make: (kernel) => kernel.route({ dst: '10.83.0.0/16', legs: [{ oif: RED }] }),
  },
  'labelled route': {
    make: (kernel) => {
      const legs = [{ oif: e(kernel, 0), gateway: '10.0.1.2', labels: [100, 200], ttl: 9 }];
      return kernel.route({ dst: '10.84.0.0/16', legs });
    },
  },
  'label 100': {
    make: (kernel) =>
      kernel.route({
        family: k.AF_MPLS,
        dst: '100',
        legs: [{ oif: e(kernel, 0), gateway: '10.0.1.2', labels: [200] }],
      }),
  },
  'label 101': {
    needs: ['v100'],
    make: (kernel) => kernel.route({ family: k.AF_MPLS, dst: '101', legs: [{ oif: V100, gateway: FAR }] }),
  },
  'labels on e0': {
    make: (kernel) => {
      kernel.mpls(e(kernel, 0), true);
      return () => kernel.mpls(e(kernel, 0), false);
    },
  },
  'multicast entry': {
    make: (kernel) =>
      kernel.mroute({
        source: '10.0.1.9',
        group: '239.1.1.1',
        iif: e(kernel, 0),
        oifs: [{ ifindex: e(kernel, 1) }],
      }),
  },
  'multicast entry on v100': {
    needs: ['v100'],
    make: (kernel) =>
      kernel.mroute({ source: 'fd00:1::9', group: 'ff0e::1', iif: V100, oifs: [{ ifindex: e(kernel, 1) }] }),
  },
};
const NAMES = Object.keys(THINGS);

const takeAway = (kernel: ExtraKernel, name: string): void => {
  const things = thingsOf(kernel);
  for (const other of NAMES) if (things.has(other) && THINGS[other]?.needs?.includes(name)) takeAway(kernel, other);
  const gone = things.get(name);
  things.delete(name);
  gone?.();
};

/** Makes a thing, or takes it away with all that needs it; what is made may need others first. */
const toggle = (kernel: ExtraKernel, name: string): void => {
  if (thingsOf(kernel).has(name)) {
    takeAway(kernel, name);
    return;
  }
  for (const other of THINGS[name]?.needs ?? []) if (!thingsOf(kernel).has(other)) toggle(kernel, other);
  const gone = THINGS[name]?.make(kernel);
  if (gone !== undefined) thingsOf(kernel).set(name, gone);
};

const kernelOf = (r: Router): ExtraKernel => {
  const kernel = r.kernel();
  if (!(kernel instanceof ExtraKernel)) throw new Error('these steps are for an ExtraKernel');
  return kernel;
};

/** The steps of a seed: every second one is about an extra thing. */
export const extraTrace = (seed: number, length: number): Step[] => {
  const pick = seeded(seed + 77);
  return trace(seed, length).map((step, i) => {
    const name = NAMES[pick(NAMES.length)] as string;
    if (i % 2 === 0) return step;
    return { name: `${i}: ${name}`, barrier: false, run: (r) => toggle(kernelOf(r), name) };
  });
};
