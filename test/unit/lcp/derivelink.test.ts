// DeriveLink: what an interface takes from its host: lookups by rules and VRF, ICMP sources of the same VRF, addresses of
// macvlan devices, ports of bridges; and the tables that come and go with them.

import { beforeEach, describe, expect, it } from 'vitest';
import { deriveLink, ingressOf, ingressOfVrf } from '../../../src/lcp/derivelink.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { keyOf, MPLS } from '../../../src/lcp/objects.ts';
import { KernelPhys } from '../../../src/lcp/phys.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import type { LinkRequest } from '../../../src/netlink/link.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type ExtraKernel, extraRouter } from './extrakernel.ts';
import * as bytes from './kernelbytes.ts';
import { batchFrom, type Message } from './kernelbytes.ts';
import type { Router } from './router.ts';

const UP = k.IFF_UP | k.IFF_LOWER_UP;
const HOST = 2;
const RED = 20;
const link = (l: LinkRequest): Message => bytes.newLink({ flags: UP, name: `x${l.ifindex}`, ...l });
const vrf = (ifindex: number, name: string, table: number) =>
  link({ ifindex, name, kind: 'vrf', info: { vrf: { table } } });
const host = (more: Partial<LinkRequest> = {}) =>
  link({ ifindex: HOST, name: 'e0', mac: '02:00:00:00:00:02', kind: 'tun', ...more });
const macvlan = (ifindex: number, mac: string, more: Partial<LinkRequest> = {}) =>
  link({ ifindex, mac, link: HOST, kind: 'macvlan', info: { macvlan: { mode: 4 } }, ...more });
const address = (ifindex: number, local: string) =>
  bytes.newAddress({ family: local.includes(':') ? AF_INET6 : AF_INET, ifindex, local, prefixlen: 24 });
const own = new Namespace('');
own.apply(batchFrom([link({ ifindex: 7, name: 'wan0' })]));
const mirror = (...messages: Message[]) => {
  const ns = new Namespace('cp');
  ns.apply(batchFrom([host(), ...messages]));
  return ns;
};
const derive = (...messages: Message[]) => deriveLink('wan0', 7, mirror(...messages), new KernelPhys(own), HOST);
const L3MDEV = [AF_INET, AF_INET6].map((family) => bytes.newRule({ family, priority: 1000, l3mdev: true }));
const STANDARD = [AF_INET, AF_INET6].flatMap((family) => [
  bytes.newRule({ family, priority: 0, table: 255 }),
  bytes.newRule({ family, priority: 32766, table: 254 }),
]);
const rules = [...STANDARD, ...L3MDEV];

describe('lookups', () => {
  it.each<[string, Message[], number[], boolean]>([
    ['no rules told of', [], [255, 254, 253], true],
    ['enslaved to a VRF', [vrf(RED, 'red', 10), host({ master: RED }), ...rules], [255, 10, 254], false],
    ['the VRF told after its host', [host({ master: RED }), vrf(RED, 'red', 10), ...rules], [255, 10, 254], false],
    ['beside a VRF', [vrf(RED, 'red', 10), ...rules], [255, 254], false],
    ['released by it', [vrf(RED, 'red', 10), host({ master: RED }), host(), ...rules], [255, 254], false],
    ['a VRF table beyond 255', [vrf(RED, 'red', 5001), host({ master: RED }), ...rules], [255, 5001, 254], false],
    [
      'a master that is no VRF',
      [link({ ifindex: 9, kind: 'bridge' }), host({ master: 9 }), ...rules],
      [255, 254],
      false,
    ],
    [
      'a rule for the host by its present name',
      [...STANDARD, bytes.newRule({ family: AF_INET, priority: 5, table: 77, iifname: 'now' }), host({ name: 'now' })],
      [255, 77, 254],
      false,
    ],
    [
      'a rule for its VRF',
      [
        ...rules,
        bytes.newRule({ family: AF_INET, priority: 5, table: 77, iifname: 'red' }),
        vrf(RED, 'red', 10),
        host({ master: RED }),
      ],
      [255, 77, 10, 254],
      false,
    ],
  ])('%s', (_, messages, tables, merged) => {
    const found = derive(...messages);
    expect(found?.lookup4).toEqual(tables.map((t) => `cp/v4/${t}`));
    expect(found?.merged4).toBe(merged);
  });

  it('IPv6 has rules of its own', () => {
    expect(derive(...STANDARD, ...L3MDEV.slice(1), vrf(RED, 'red', 10), host({ master: RED }))).toMatchObject({
      lookup4: ['cp/v4/255', 'cp/v4/254'],
      lookup6: ['cp/v6/255', 'cp/v6/10', 'cp/v6/254'],
      merged4: true,
    });
  });

  it('labels where the interface takes them', () => {
    const input = (on: boolean) => bytes.newNetconf({ family: k.AF_MPLS, ifindex: HOST, input: on });
    expect(derive(input(true))?.lookupMpls).toEqual(['cp/mpls/0']);
    expect(derive(input(true), input(false))?.lookupMpls).toEqual([]);
    expect(derive(bytes.newNetconf({ family: k.AF_MPLS, ifindex: 99, input: true }))?.lookupMpls).toEqual([]);
  });

  it('an interface and a VRF as the rules see them', () => {
    const ns = mirror(vrf(RED, 'red', 10), host({ master: RED }), link({ ifindex: 4, name: 'plain' }));
    expect(ingressOf(ns, HOST)).toEqual({ name: 'e0', vrf: 'red', vrfTable: 10 });
    expect(ingressOf(ns, 4)).toEqual({ name: 'plain', vrf: '', vrfTable: 0 });
    expect(ingressOf(ns, RED), 'what comes in by the VRF device itself').toMatchObject({ vrf: 'red', vrfTable: 10 });
    expect(ingressOfVrf(ns, 'red')).toEqual({ name: '', vrf: 'red', vrfTable: 10 });
    expect([ingressOfVrf(ns, 'e0'), ingressOfVrf(ns, 'blue')]).toEqual([undefined, undefined]);
  });
});

describe('the source of ICMP errors', () => {
  const red = [vrf(RED, 'red', 10), host({ master: RED })];
  const peer = (master?: number) => link({ ifindex: 3, ...(master === undefined ? {} : { master }) });
  it.each<[string, Message[], string]>([
    ['its own before all', [...red, address(RED, '10.9.0.1'), address(HOST, '10.0.0.1')], '10.0.0.1'],
    ['of another port of its VRF', [...red, peer(RED), address(3, '10.0.1.1')], '10.0.1.1'],
    ['of the VRF device', [...red, address(RED, '10.9.0.1')], '10.9.0.1'],
    ['none of an interface outside its VRF', [...red, peer(), address(3, '10.0.1.1')], ''],
    ['none of another VRF', [...red, vrf(21, 'blue', 11), peer(21), address(3, '10.0.1.1')], ''],
    ['none of a VRF’s port, when it is in none', [vrf(RED, 'red', 10), peer(RED), address(3, '10.0.1.1')], ''],
    ['none of a VRF device, when it is in none', [vrf(RED, 'red', 10), address(RED, '10.9.0.1')], ''],
    ['of another interface of no VRF', [vrf(RED, 'red', 10), peer(), address(3, '10.0.1.1')], '10.0.1.1'],
  ])('%s', (_, messages, source) => expect(derive(...messages)?.source4).toBe(source));
  it('the same for IPv6', () => {
    expect(derive(...red, address(RED, 'fd00::1'), peer(), address(3, 'fd00::2'))?.source6).toBe('fd00::1');
    expect(derive(vrf(RED, 'red', 10), address(RED, 'fd00::1'))?.source6).toBe('');
  });
});

describe('devices on the host', () => {
  const A = '00:00:5e:00:01:01';
  const B = '00:00:5e:00:01:02';
  it.each<[string, Message[], string[]]>([
    ['addresses of macvlan devices, in one order', [macvlan(31, B), macvlan(30, A)], [A, B]],
    ['the same address once', [macvlan(30, A), macvlan(31, A)], [A]],
    ['not of one that is down', [macvlan(30, A, { flags: 0 })], []],
    ['not the host’s own', [macvlan(30, '02:00:00:00:00:02')], []],
    ['not of one on another device', [macvlan(30, A, { link: 9 })], []],
    ['not of one on a device in another namespace', [macvlan(30, A, { linkNetnsid: 0 })], []],
    ['not of a VLAN device', [link({ ifindex: 30, mac: A, link: HOST, kind: 'vlan' })], []],
    ['not of one that is gone', [macvlan(30, A), bytes.delLink({ ifindex: 30, name: 'x30' })], []],
  ])('%s', (_, messages, macs) => {
    const found = derive(...messages);
    expect([found?.macs, found?.l2]).toEqual([macs, false]);
  });

  it.each<[string, Message[], boolean]>([
    ['a port of a bridge', [link({ ifindex: 9, kind: 'bridge' }), host({ master: 9 })], true],
    ['of a bond', [link({ ifindex: 9, kind: 'bond' }), host({ master: 9 })], true],
    ['of a master that nobody told of', [host({ master: 9 })], true],
    ['of a VRF', [vrf(RED, 'red', 10), host({ master: RED })], false],
    ['of nothing any more', [link({ ifindex: 9, kind: 'bridge' }), host({ master: 9 }), host()], false],
    ['taken over by a macvlan', [macvlan(30, A, { info: { macvlan: { mode: 8 } } })], true],
    ['with a macvlan beside', [macvlan(30, A)], false],
  ])('every frame is the kernel’s on a host that is %s: %#', (_, messages, l2) => {
    expect(derive(...messages)?.l2).toBe(l2);
  });
});

describe('a router with a VRF', () => {
  let r: Router;
  let kernel: ExtraKernel;
  const lookups = (phy = 'wan0') => r.dataplane.links.get(phy)?.lookup4;
  const tables = () =>
    [...r.dataplane.tables.values()]
      .filter((t) => t.netns === 'cp')
      .map(keyOf)
      .sort();
  const STANDARD4 = ['cp/v4/255', 'cp/v4/254', 'cp/v4/253'];

  beforeEach(async () => {
    ({ r, kernel } = await extraRouter(true));
  });

  it('a VRF has its table though it is empty; enslaving moves the lookups; with the VRF the table goes', async () => {
    expect([lookups(), r.dataplane.links.get('wan0')?.merged4]).toEqual([STANDARD4, true]);
    const before = tables();
    kernel.rule({ priority: 1000, l3mdev: true });
    kernel.rule({ family: AF_INET6, priority: 1000, l3mdev: true });
    const gone = kernel.vrf(20, 'red', 10);
    kernel.enslave('e0', 20);
    await r.settle();
    expect(lookups()).toEqual(['cp/v4/255', 'cp/v4/10', 'cp/v4/254', 'cp/v4/253']);
    expect(r.dataplane.links.get('wan0')).toMatchObject({
      lookup6: ['cp/v6/255', 'cp/v6/10', 'cp/v6/254'],
      merged4: false,
    });
    expect(lookups('lan0')).toEqual(STANDARD4);
    expect(tables()).toEqual([...before, 'cp/v4/10', 'cp/v6/10'].sort());
    const made = r.dataplane.log;
    expect(made).toContain('set table cp/v4/10');
    expect(made.indexOf('set table cp/v4/10'), 'there before who looks into it').toBeLessThan(
      made.indexOf('set link wan0'),
    );
    kernel.enslave('e0', 0);
    await r.settle();
    expect([lookups(), tables()]).toEqual([STANDARD4, [...before, 'cp/v4/10', 'cp/v6/10'].sort()]);
    kernel.enslave('e0', 20);
    await r.settle();
    r.dataplane.log.length = 0;
    gone();
    kernel.enslave('e0', 0);
    await r.settle();
    expect([lookups(), tables()]).toEqual([STANDARD4, before]);
    expect(r.dataplane.log).toContain('delete table cp/v4/10');
    expect(r.dataplane.log.indexOf('set link wan0'), 'nobody looks into it when it goes').toBeLessThan(
      r.dataplane.log.indexOf('delete table cp/v4/10'),
    );
  });

  it('routes in its table keep it, whoever is in the VRF', async () => {
    const gone = kernel.route({ dst: '10.8.0.0/16', table: 10, type: k.RTN_UNREACHABLE });
    await r.settle();
    expect(tables()).toContain('cp/v4/10');
    gone();
    await r.settle();
    expect(tables()).not.toContain('cp/v4/10');
  });

  it('a rule of its own brings its table, and takes it along', async () => {
    const gone = kernel.rule({ priority: 99, table: 42, iifname: 'e0' });
    await r.settle();
    expect([lookups(), lookups('lan0')]).toEqual([['cp/v4/255', 'cp/v4/42', 'cp/v4/254', 'cp/v4/253'], STANDARD4]);
    expect(tables()).toContain('cp/v4/42');
    gone();
    await r.settle();
    expect([lookups(), r.dataplane.links.get('wan0')?.merged4]).toEqual([STANDARD4, false]);
    expect(tables()).not.toContain('cp/v4/42');
  });

  it('a namespace that comes back has its own rules only, and one trie again', async () => {
    kernel.rule({ priority: 99, table: 42 });
    await r.settle();
    expect(tables()).toContain('cp/v4/42');
    const ns = r.ns();
    ns.state = 'absent';
    ns.clear();
    r.reconciler.namespaceChanged(ns);
    await r.settle();
    expect(tables()).toEqual([]);
    const { kernel: fresh } = await extraRouter(true);
    fresh.take();
    r.kernels.set('cp', fresh);
    r.resync('cp');
    await r.settle();
    expect([lookups(), r.dataplane.links.get('wan0')?.merged4]).toEqual([STANDARD4, true]);
    expect(tables()).not.toContain('cp/v4/42');
  });

  it('restarted, lcpd finds lookups, tables and label tables as they should be', async () => {
    kernel.rule({ priority: 1000, l3mdev: true });
    kernel.vrf(20, 'red', 10);
    kernel.enslave('e0', 20);
    kernel.mpls(kernel.linkNamed('e0').ifindex, true);
    await r.settle();
    expect([...r.dataplane.tables.values()].map((t) => t.family)).toContain(MPLS);
    r.dataplane.log.length = 0;
    r.dataplane.operations = 0;
    await r.successor().settle();
    expect([r.dataplane.log, r.dataplane.operations]).toEqual([[], 0]);
  });
});
