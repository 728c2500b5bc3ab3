// Policies: routes that leave by no pair (`unpaired-routes`) and routes that go with their carrier
// (`del-static-on-link-down`, `del-dynamic-on-link-down`), also when the configuration changes.

import { beforeEach, describe, expect, it } from 'vitest';
import { derivePathSet } from '../../../src/lcp/derive.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { SPECIAL } from '../../../src/lcp/objects.ts';
import { Pairs, type UnpairedRoutes } from '../../../src/lcp/pairs.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type ExtraKernel, extraRouter } from './extrakernel.ts';
import * as bytes from './kernelbytes.ts';
import { batchFrom, type RouteText } from './kernelbytes.ts';
import type { Router } from './router.ts';

const POLICIES: readonly UnpairedRoutes[] = ['punt', 'drop', 'ignore'];
const FAR = '10.0.1.2';

describe('routes that leave by no pair', () => {
  let r: Router;
  let kernel: ExtraKernel;
  let dummy: number;
  const e0 = () => kernel.linkNamed('e0').ifindex;
  const set = async (policy: UnpairedRoutes) => {
    r.reconciler.unpairedRoutes = policy;
    await r.settle();
  };

  beforeEach(async () => {
    ({ r, kernel } = await extraRouter());
    dummy = kernel.addLink('dum0', { kind: 'dummy' }).ifindex;
    kernel.addRoute({ dst: '10.0.0.0/8', legs: [{ oif: e0(), gateway: FAR }] });
    kernel.addRoute({ dst: '10.9.0.0/16', legs: [{ oif: dummy }] });
    kernel.addRoute({
      dst: '10.8.0.0/16',
      legs: [
        { oif: e0(), gateway: FAR },
        { oif: dummy, gateway: '10.9.9.9' },
      ],
    });
    kernel.route({ dst: '10.7.0.0/16', legs: [{ oif: e0(), gateway: FAR }], encapType: 5 });
    kernel.addRoute({ dst: '10.6.0.0/16', metric: 5, legs: [{ oif: dummy }] });
    kernel.addRoute({ dst: '10.6.0.0/16', metric: 9, legs: [{ oif: e0(), gateway: FAR }] });
    kernel.addRoute({ dst: 'fd09::/16', legs: [{ oif: dummy }] });
    await r.settle();
  });

  const PAIRED = `wan0 ${FAR} 1`;
  const expected: Readonly<Record<UnpairedRoutes, readonly string[]>> = {
    punt: [
      `special ${SPECIAL.punt}`,
      `  1, ${PAIRED}`,
      `special ${SPECIAL.punt}`,
      `special ${SPECIAL.punt}`,
      `special ${SPECIAL.punt}`,
    ],
    drop: [
      `special ${SPECIAL.blackhole}`,
      PAIRED,
      `special ${SPECIAL.blackhole}`,
      `special ${SPECIAL.blackhole}`,
      `special ${SPECIAL.blackhole}`,
    ],
    // a route that is not there: the shorter prefix, the next metric, nothing
    ignore: [PAIRED, PAIRED, PAIRED, PAIRED, 'none'],
  };
  const seen = () => ['10.9.0.1', '10.8.0.1', '10.7.0.1', '10.6.0.1', 'fd09::1'].map((a) => r.lookup(a));

  it.each(POLICIES)('%s: alone, with paired legs, encapsulated, with a worse metric, IPv6', async (policy) => {
    await set(policy);
    expect(seen()).toEqual(expected[policy]);
    expect([r.refused, r.dataplane.unusedPathsets()]).toEqual([[], []]);
  });

  it('every change of the policy takes effect on the routes that are there', async () => {
    for (const policy of [...POLICIES, ...[...POLICIES].reverse(), 'drop', 'punt'] as const) {
      await set(policy);
      expect(seen(), policy).toEqual(expected[policy]);
    }
    expect(r.refused).toEqual([]);
  });

  it('the same policy again sends nothing', async () => {
    r.dataplane.operations = 0;
    await set('punt');
    expect([r.reconciler.isDirty, r.dataplane.operations]).toEqual([false, 0]);
  });

  it('is followed by what comes later, and by a restarted lcpd', async () => {
    await set('drop');
    kernel.addRoute({ dst: '10.5.0.0/16', legs: [{ oif: dummy }] });
    await r.settle();
    expect(r.lookup('10.5.0.1')).toBe(`special ${SPECIAL.blackhole}`);
    r.dataplane.operations = 0;
    const next = r.successor();
    next.reconciler.unpairedRoutes = 'drop';
    await next.settle();
    expect([seen(), r.dataplane.operations]).toEqual([expected.drop, 0]);
  });

  it('what is for the host stays for the host', async () => {
    kernel.addAddress({ ifindex: dummy, local: '10.99.0.1', prefixlen: 32 });
    for (const policy of POLICIES) {
      await set(policy);
      expect(r.lookup('10.99.0.1')).toBe(`special ${SPECIAL.local}`);
    }
  });
});

describe('routes that go with the carrier', () => {
  const GW4 = '10.0.0.2';
  const GW6 = 'fe80::2';
  const off = bytes.newLink({ ifindex: 2, name: 'e0', flags: k.IFF_UP });
  const on = bytes.newLink({ ifindex: 2, name: 'e0', flags: k.IFF_UP | k.IFF_LOWER_UP });
  const pairs = new Pairs();
  pairs.join('wan0', 'cp', 2);
  const { RTPROT_KERNEL: KERNEL, RTPROT_STATIC: STATIC, RTPROT_BOOT: BOOT } = k;
  const ZEBRA = 11;
  const RA = k.RTPROT_RA;
  const both = (family: 4 | 6, protocol: number): RouteText =>
    family === 4
      ? { dst: '10.1.0.0/16', protocol, legs: [{ oif: 2, gateway: GW4 }] }
      : { dst: 'fd01::/16', protocol, legs: [{ oif: 2, gateway: GW6 }] };
  const alive = (ns: Namespace): boolean => {
    const p = [...ns.pathsets.all()].find((s) => s.refs > 0);
    if (p === undefined) throw new Error('no path set');
    return derivePathSet(ns, pairs, p).target !== SPECIAL.none;
  };
  const mirror = (policy: { static: boolean; dynamic: boolean }, route: RouteText) => {
    const ns = new Namespace('cp');
    ns.carrierPolicy = policy;
    expect(ns.carrierPolicy).toEqual(policy);
    ns.apply(batchFrom([on, bytes.newRoute(route)]));
    return ns;
  };

  it.each(
    ([4, 6] as const).flatMap((family) =>
      [
        ['kernel', KERNEL, false, false],
        ['boot', BOOT, true, false],
        ['static', STATIC, true, false],
        ['ra', RA, false, true],
        ['zebra', ZEBRA, false, true],
      ].map(([name, protocol, isStatic, isDynamic]) => ({ family, name, protocol, isStatic, isDynamic })),
    ),
  )('IPv$family of $name', ({ family, protocol, isStatic, isDynamic }) => {
    for (const policy of [
      { static: false, dynamic: false },
      { static: true, dynamic: false },
      { static: false, dynamic: true },
      { static: true, dynamic: true },
    ]) {
      const ns = mirror(policy, both(family, protocol as number));
      expect(alive(ns)).toBe(true);
      ns.apply(batchFrom([off]));
      expect(alive(ns), JSON.stringify(policy)).toBe(!((isStatic && policy.static) || (isDynamic && policy.dynamic)));
      ns.apply(batchFrom([on]));
      expect(alive(ns)).toBe(true);
    }
  });

  it('the policy tells path sets apart, and a deletion finds its route under another policy', () => {
    for (const family of [4, 6] as const) {
      const ns = mirror({ static: true, dynamic: false }, both(family, STATIC));
      const af = family === 4 ? AF_INET : AF_INET6;
      ns.carrierPolicy = { static: false, dynamic: false };
      ns.apply(
        batchFrom([bytes.newRoute({ ...both(family, STATIC), dst: family === 4 ? '10.2.0.0/16' : 'fd02::/16' })]),
      );
      expect(
        [...ns.pathsets.all()]
          .filter((p) => p.refs > 0)
          .map((p) => p.needsCarrier)
          .sort(),
      ).toEqual([false, true]);
      ns.apply(batchFrom([bytes.delRoute(both(family, STATIC))]));
      expect(ns.routesOf(family).prefixes.entryCount).toBe(1);
      ns.dumpBegin('route', { family: af });
      ns.dumpEnd('route', true, { family: af });
      expect(ns.routesOf(family).prefixes.entryCount).toBe(0);
    }
  });

  it('read again under another policy, routes follow it; nothing is doubled', () => {
    const ns = mirror({ static: false, dynamic: false }, both(4, STATIC));
    ns.apply(batchFrom([off]));
    expect(alive(ns)).toBe(true);
    ns.carrierPolicy = { static: true, dynamic: false };
    ns.dumpBegin('route', { family: AF_INET });
    ns.apply(batchFrom([bytes.newRoute(both(4, STATIC), 0)], true));
    ns.dumpEnd('route', true, { family: AF_INET });
    expect([alive(ns), ns.routes4.prefixes.entryCount]).toEqual([false, 1]);
  });

  it('on a router: the next metric takes over and gives back', async () => {
    const { r, kernel } = await extraRouter();
    r.ns().carrierPolicy = { static: false, dynamic: true };
    const e = (n: number) => kernel.linkNamed(`e${n}`).ifindex;
    kernel.addRoute({ dst: '10.5.0.0/16', protocol: ZEBRA, metric: 5, legs: [{ oif: e(0), gateway: FAR }] });
    kernel.addRoute({ dst: '10.5.0.0/16', protocol: ZEBRA, metric: 9, legs: [{ oif: e(1), gateway: '10.0.2.2' }] });
    kernel.addRoute({ dst: '10.4.0.0/16', legs: [{ oif: e(0), gateway: FAR }] });
    await r.settle();
    expect(r.lookup('10.5.0.1')).toBe(`wan0 ${FAR} 1`);
    const wire = r.kernel('').linkNamed('wan0');
    r.kernel('').setLink(wire, { carrier: false });
    await r.settle();
    expect([r.lookup('10.5.0.1'), r.lookup('10.4.0.1')]).toEqual(['lan0 10.0.2.2 1', `wan0 ${FAR} 1`]);
    r.kernel('').setLink(wire, { carrier: true });
    await r.settle();
    expect(r.lookup('10.5.0.1')).toBe(`wan0 ${FAR} 1`);
  });
});
