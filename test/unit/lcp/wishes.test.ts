// Wishes: dirty keys become wishes and nothing is left dirty; rows belong to the kernel object that said last what they
// should be; tables that are looked up in exist.

import { beforeEach, describe, expect, it } from 'vitest';
import { KINDS, keyOf } from '../../../src/lcp/objects.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type ExtraKernel, extraRouter } from './extrakernel.ts';
import type { Router } from './router.ts';

let r: Router;
let kernel: ExtraKernel;
const e = (n: number) => kernel.linkNamed(`e${n}`).ifindex;
const rows = (kind: (typeof KINDS)[number]) => [...r.reconciler.delta.rows(kind)].map((row) => row.key).sort();
const everything = () => KINDS.flatMap((kind) => rows(kind).map((key) => `${kind} ${key}`));

beforeEach(async () => {
  ({ r, kernel } = await extraRouter(true));
});

describe('a pass', () => {
  it('leaves nothing dirty, whatever came', async () => {
    const takeAway = [
      kernel.rule({ priority: 9, table: 42 }),
      kernel.vrf(20, 'red', 10),
      kernel.vlan(500, e(0), 100),
      kernel.neighbour({ family: 2, ifindex: 500, dst: '10.5.0.2', lladdr: '02:00:00:00:05:02' }),
      kernel.route({ family: k.AF_MPLS, dst: '100', legs: [{ oif: 500, gateway: '10.5.0.2', labels: [16] }] }),
      kernel.mroute({ source: '10.5.0.9', group: '239.1.1.1', iif: 500, oifs: [{ ifindex: e(1) }] }),
    ];
    const before = everything();
    await r.settle();
    const ns = r.ns();
    expect([ns.dirtyLinks.size, ns.dirtyNeighbours.size, ns.dirtyPathsets.size, ns.mroutes.dirty.size]).toEqual([
      0, 0, 0, 0,
    ]);
    expect(ns.routes.map((side) => side.dirtyTables.size)).toEqual([0, 0, 0]);
    expect(
      everything()
        .filter((key) => !before.includes(key))
        .map((key) => key.split(' ')[0]),
    ).toEqual(['table', 'table', 'subif', 'link', 'neighbour', 'pathset', 'mroute']);
    for (const gone of takeAway.reverse()) gone();
    await r.settle();
    expect(everything()).toEqual(before);
    expect([...r.reconciler.delta.rows('pathset')].filter((row) => row.actual === undefined)).toEqual([]);
    expect(r.refused).toEqual([]);
  });

  it('in which nothing changed asks nothing of the data plane', async () => {
    kernel.vlan(500, e(0), 100);
    await r.settle();
    r.dataplane.operations = 0;
    const ns = r.ns();
    for (const ifindex of ns.links.keys()) ns.reviewDevice(ifindex);
    for (const spec of r.reconciler.pairs.specs()) r.reconciler.dirtyPair(spec.phy);
    r.reconciler.namespaceChanged(ns);
    expect(r.reconciler.isDirty).toBe(true);
    await r.settle();
    expect([r.dataplane.operations, r.reconciler.isDirty]).toEqual([0, false]);
  });
});

describe('tables', () => {
  const tables = () => rows('table').filter((key) => key.startsWith('cp/'));
  const STANDARD = ['cp/v4/253', 'cp/v4/254', 'cp/v4/255', 'cp/v6/254', 'cp/v6/255'];

  it('that interfaces are looked up in exist without a route, others only with one', async () => {
    expect(tables()).toEqual(STANDARD);
    const rule = kernel.rule({ priority: 9, table: 42, iifname: 'e0' });
    const route = kernel.route({ dst: '10.8.0.0/16', table: 42, type: k.RTN_BLACKHOLE });
    await r.settle();
    expect(tables()).toContain('cp/v4/42');
    rule();
    await r.settle();
    expect(tables(), 'it has a route').toContain('cp/v4/42');
    route();
    await r.settle();
    expect(tables()).toEqual(STANDARD);
  });

  it('for an interface that is no host of ours are of no interest', async () => {
    kernel.rule({ priority: 9, table: 42, iifname: 'dum0' });
    kernel.addLink('dum0', { kind: 'dummy' });
    await r.settle();
    expect(tables()).toEqual(STANDARD);
    kernel.setLink(kernel.linkNamed('e1'), { name: 'uplink' });
    kernel.rule({ priority: 10, table: 43, iifname: 'uplink' });
    await r.settle();
    expect(tables()).toEqual([...STANDARD, 'cp/v4/43'].sort());
  });

  it('of labels come with the setting, and go with the host that has it', async () => {
    kernel.mpls(e(0), true);
    await r.settle();
    expect(tables()).toContain('cp/mpls/0');
    r.configure([...r.reconciler.pairs.specs()].filter((s) => s.phy !== 'wan0'));
    await r.settle();
    expect(tables()).toEqual(STANDARD);
  });
});

describe('a restart over everything that is there', () => {
  it.each([true, false])('of the data plane (kept: %s) ends as it was', async (keep) => {
    kernel.rule({ priority: 1000, l3mdev: true });
    kernel.vrf(20, 'red', 10);
    kernel.enslave('e1', 20);
    kernel.vlan(500, e(0), 100);
    kernel.mpls(e(0), true);
    kernel.route({ family: k.AF_MPLS, dst: '100', legs: [{ oif: 500, gateway: '10.5.0.2', labels: [16] }] });
    kernel.mroute({ source: '10.5.0.9', group: '239.1.1.1', iif: 500, oifs: [{ ifindex: e(1) }] });
    await r.settle();
    const [before, wanted] = [r.dataplane.text(), everything().filter((key) => !key.startsWith('pathset'))];
    r.dataplane.restart(keep);
    await r.settle();
    expect(r.dataplane.text()).toBe(before);
    expect(everything().filter((key) => !key.startsWith('pathset'))).toEqual(wanted);
    expect(r.refused).toEqual([]);
    const held = (await r.dataplane.dump()).filter((h) => h.object.kind === 'mroute').map((h) => keyOf(h.object));
    expect(held).toEqual(['wan0.100 10.5.0.9 239.1.1.1']);
  });
});
