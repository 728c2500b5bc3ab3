// Addresses and phys of a data plane that has interfaces of its own: it holds the hosts' addresses, with their prefix
// where the kernel has the prefix on-link by them, and tells of its phys itself.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Phy } from '../../../src/lcp/dataplane.ts';
import { hostAlias } from '../../../src/lcp/pairs.ts';
import { AF_INET } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { FakeDataPlane } from './fakedataplane.ts';
import { batchFrom, newRule } from './kernelbytes.ts';
import { PAIRS, Router, router } from './router.ts';

let r: Router;
const held = () =>
  [...r.dataplane.addresses.values()]
    .map((a) => `${a.phy} ${a.address}/${a.prefixlen}${a.connected ? '' : ' alone'}`)
    .sort();
const e = (n: number) => r.kernel().linkNamed(`e${n}`).ifindex;

describe('addresses', () => {
  beforeEach(async () => {
    r = await router();
    r.dataplane.hasAddresses = true;
    r.reconciler.namespaceChanged(r.ns());
    await r.settle();
  });

  it('of hosts are held with their prefix', () => {
    expect(held()).toEqual(['lan0 10.0.2.1/24', 'lan0 fd00:2::1/64', 'wan0 10.0.1.1/24', 'wan0 fd00:1::1/64']);
  });

  it('whose prefix leads elsewhere are held alone, until it leads there again', async () => {
    r.kernel().addRoute({ dst: '10.0.1.0/24', legs: [{ oif: e(1) }] }, 'prepend');
    await r.settle();
    expect(held()).toContain('wan0 10.0.1.1/24 alone');
    expect(held()).toContain('lan0 10.0.2.1/24');
    for (const route of [...r.kernel().routes.all()]) {
      if (route.legs[0]?.oif === e(1) && route.dst === '10.0.1.0/24') r.kernel().routes.remove(route);
    }
    await r.settle();
    expect(held()).toContain('wan0 10.0.1.1/24');
  });

  it('keep their prefix behind a rule, unless a table in front of theirs has a route for it', async () => {
    const told = [
      [0, 255],
      [500, 77],
      [32766, 254],
    ].map(([priority = 0, table = 0]) => newRule({ family: AF_INET, priority, table }));
    r.ns().apply(batchFrom(told));
    r.reconciler.namespaceChanged(r.ns());
    await r.settle();
    expect(r.dataplane.links.get('wan0')?.lookup4).toContain('cp/v4/77');
    expect(held()).toContain('wan0 10.0.1.1/24');
    const gateway = [{ oif: e(1), gateway: '10.0.2.2' }];
    for (const [dst, type, shown] of [
      ['10.0.0.0/8', k.RTN_UNICAST, ' alone'],
      ['10.0.1.0/25', k.RTN_UNICAST, ''],
      ['10.0.0.0/16', k.RTN_THROW, ''],
      ['10.0.1.0/24', k.RTN_BLACKHOLE, ' alone'],
      ['0.0.0.0/0', k.RTN_UNICAST, ' alone'],
    ] as const) {
      r.kernel().addRoute({ dst, type, table: 77, ...(type === k.RTN_UNICAST && { legs: gateway }) });
      await r.settle();
      expect(held(), dst).toContain(`wan0 10.0.1.1/24${shown}`);
      for (const route of [...r.kernel().routes.all()]) if (route.table === 77) r.kernel().routes.remove(route);
      await r.settle();
    }
    expect(held()).toContain('wan0 10.0.1.1/24');
  });

  it('go when the kernel has them no more, or their pair goes', async () => {
    const gone = r.kernel().addresses.find((a) => a.local === '10.0.1.1');
    if (gone !== undefined) r.kernel().delAddress(gone);
    await r.settle();
    expect(held()).not.toContain('wan0 10.0.1.1/24');
    expect(held()).toContain('lan0 10.0.2.1/24');
    for (const phy of r.reconciler.pairs.configure([PAIRS[0] as (typeof PAIRS)[0]])) r.reconciler.dirtyPair(phy);
    await r.settle();
    expect(held().filter((row) => row.startsWith('lan0'))).toEqual([]);
  });

  it('of a macvlan with carrier are those of the device below it, but its link-local one is not', async () => {
    const vrrp = r.kernel().addLink('vrrp0', { kind: 'macvlan', link: e(0) });
    for (const local of ['10.0.1.254', 'fd00:1::fe', 'fe80::5e:1'])
      r.kernel().addAddress({ ifindex: vrrp.ifindex, local, prefixlen: local.includes(':') ? 64 : 24 });
    await r.settle();
    const own = ['wan0 10.0.1.1/24', 'wan0 fd00:1::1/64'];
    const all = [...own, 'wan0 10.0.1.254/24 alone', 'wan0 fd00:1::fe/64 alone'].sort();
    const onWan = () => held().filter((row) => row.startsWith('wan0'));
    expect(onWan()).toEqual(all);
    r.kernel().setLink(vrrp, { carrier: false });
    await r.settle();
    expect(onWan()).toEqual(own);
    r.kernel().setLink(vrrp, { carrier: true });
    await r.settle();
    expect(onWan()).toEqual(all);
  });

  it('are no matter to a data plane without', async () => {
    const other = await router();
    expect([...other.dataplane.addresses.keys()]).toEqual([]);
    expect(other.dataplane.log.filter((line) => line.includes('address'))).toEqual([]);
  });
});

describe('phys of the data plane’s own', () => {
  const phy = (more: Partial<Phy> = {}): Phy => ({
    ifindex: 5,
    ethernet: true,
    up: false,
    carrier: false,
    mtu: 1500,
    maxMtu: 9000,
    mac: '02:fe:00:00:00:05',
    ...more,
  });

  it('make a pair when they come; their carrier is its carrier', async () => {
    const known = new Map<string, Phy>();
    const dataplane = Object.assign(
      new FakeDataPlane({
        make: (pair) => {
          const more = { kind: 'tun', tunType: 'tap', alias: hostAlias(pair.phy) } as const;
          const { ifindex } = r.kernel(pair.netns).addLink(pair.host, more);
          r.deliver(pair.netns);
          return ifindex;
        },
        remove: () => undefined,
        agree: () => undefined,
      }),
      {
        phys: {
          byName: (name: string) => known.get(name),
          get: (ifindex: number) => [...known.values()].find((p) => p.ifindex === ifindex),
        },
      },
    );
    r = new Router({ dataplane });
    r.kernel('').addLink('wan0'); // a kernel device of that name is not it
    r.start([PAIRS[0] as (typeof PAIRS)[0]]);
    await r.settle();
    expect(r.reconciler.pairs.reason('wan0')).toBe('phy wan0 does not exist');
    known.set('wan0', phy());
    r.reconciler.physChanged();
    await r.settle();
    expect(r.dataplane.pairs.get('wan0')?.pair.phyIfindex).toBe(5);
    expect(r.dataplane.links.get('wan0')).toMatchObject({ phyIfindex: 5, carrier: false });
    known.set('wan0', phy({ carrier: true }));
    r.reconciler.physChanged();
    await r.settle();
    expect(r.dataplane.links.get('wan0')).toMatchObject({ carrier: true });
    known.set('wan0', phy({ ethernet: false }));
    r.reconciler.physChanged();
    await r.settle();
    expect(r.reconciler.pairs.reason('wan0')).toContain('needs type: tun');
  });
});
