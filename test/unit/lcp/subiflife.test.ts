// Subifs, their lives: how sub-interfaces come, follow and end with their device, their pair, lcpd and the data plane.

import { beforeEach, describe, expect, it } from 'vitest';
import { ExtraKernel } from './extrakernel.ts';
import { FakeKernel } from './fakekernel.ts';
import { PAIRS, type Router, router } from './router.ts';

describe('the life of a sub-interface', () => {
  let kernel: ExtraKernel;
  let r: Router;
  const e0 = () => kernel.linkNamed('e0').ifindex;
  const GW = '10.5.0.2';
  const SUB = 'wan0.100';
  const FAR = '10.7.0.1';
  const sub = (): string[] => [...r.dataplane.subifs.keys()];
  /** A neighbour and a route over a device; both go with it. */
  const use = (ifindex: number): (() => void) => {
    const neighbour = kernel.neighbour({ family: 2, ifindex, dst: GW, lladdr: '02:00:00:00:05:02' });
    const route = kernel.route({ dst: '10.7.0.0/16', legs: [{ oif: ifindex, gateway: GW }] });
    return () => {
      route();
      neighbour();
    };
  };
  const nothingLeft = () => {
    expect(r.dataplane.text()).not.toContain(SUB);
    expect(r.reconciler.pairs.host(SUB)).toBe(0);
    for (const kind of ['subif', 'link', 'neighbour'] as const) {
      for (const row of r.reconciler.delta.rows(kind)) expect(row.key).not.toContain(SUB);
    }
    expect(r.dataplane.unusedPathsets()).toEqual([]);
    expect(r.refused).toEqual([]);
  };

  beforeEach(async () => {
    kernel = new ExtraKernel(100);
    r = await router({
      kernels: new Map<string, FakeKernel>([
        ['', new FakeKernel(10)],
        ['cp', kernel],
      ]),
    });
    r.dataplane.log.length = 0;
  });

  it('begins with its device: sub-interface, link, neighbours and routes, in that order', async () => {
    kernel.vlan(500, e0(), 100, { mtu: 1400, name: 'e0.100' });
    use(500);
    await r.settle();
    const asked = r.dataplane.log.filter((line) => line.includes(SUB));
    expect(asked).toEqual([`set subif ${SUB}`, `set link ${SUB}`, `set neighbour ${SUB} ${GW}`]);
    expect(r.dataplane.subifs.get(SUB)).toEqual({
      kind: 'subif',
      phy: SUB,
      parent: 'wan0',
      tags: [0x81000064],
      netns: 'cp',
    });
    expect(r.dataplane.links.get(SUB)).toMatchObject({
      parent: 'wan0',
      phyIfindex: 0,
      hostIfindex: 500,
      host: 'e0.100',
      mtu: 1400,
      mac: '02:00:00:00:01:00',
      up: true,
      carrier: true,
      l2: false,
      source4: '10.0.1.1',
    });
    expect(r.lookup(FAR)).toBe(`${SUB} ${GW} 1`);
    expect(r.refused).toEqual([]);
  });

  it('ends with it, and leaves nothing', async () => {
    const gone = kernel.vlan(500, e0(), 100);
    const unuse = use(500);
    await r.settle();
    r.dataplane.log.length = 0;
    unuse();
    gone();
    await r.settle();
    expect(r.dataplane.log.filter((line) => line.includes(SUB))).toEqual([
      `delete neighbour ${SUB} ${GW}`,
      `delete link ${SUB}`,
      `delete subif ${SUB}`,
    ]);
    nothingLeft();
    expect(r.lookup(FAR)).toBe('none');
  });

  it('ends in silence too: only the dump does not show it', async () => {
    const gone = kernel.vlan(500, e0(), 100);
    const unuse = use(500);
    await r.settle();
    unuse();
    gone();
    r.resync('cp');
    await r.settle();
    nothingLeft();
  });

  it('follows its device: down, carrier, MTU, name', async () => {
    kernel.vlan(500, e0(), 100);
    use(500);
    await r.settle();
    kernel.vlan(500, e0(), 100, { flags: 0, mtu: 1300, name: 'renamed' });
    await r.settle();
    expect(r.dataplane.links.get(SUB)).toMatchObject({ up: false, carrier: false, mtu: 1300, host: 'renamed' });
    expect([r.lookup(FAR), r.dataplane.neighbours.has(`${SUB} ${GW}`)]).toEqual(['none', false]);
    kernel.vlan(500, e0(), 100);
    await r.settle();
    expect([r.lookup(FAR), r.dataplane.neighbours.has(`${SUB} ${GW}`)]).toEqual([`${SUB} ${GW} 1`, true]);
  });

  it.each([
    ['between two rounds', false],
    ['with a round between', true],
  ])('goes on with another ifindex when the device is made anew, %s', async (_, between) => {
    const gone = kernel.vlan(500, e0(), 100);
    const unuse = use(500);
    await r.settle();
    unuse();
    gone();
    if (between) await r.settle();
    kernel.vlan(501, e0(), 100);
    use(501);
    await r.settle();
    expect([r.reconciler.pairs.host(SUB), r.reconciler.pairs.phy('cp', 500)]).toEqual([501, '']);
    expect(r.dataplane.links.get(SUB)?.hostIfindex).toBe(501);
    expect([r.lookup(FAR), r.dataplane.neighbours.has(`${SUB} ${GW}`)]).toEqual([`${SUB} ${GW} 1`, true]);
    expect(sub()).toEqual([SUB]);
  });

  it('when two devices change their ifindexes, the same neighbour of both stays', async () => {
    const one = kernel.vlan(500, e0(), 100);
    const two = kernel.vlan(501, e0(), 200);
    const [unuse, unuse2] = [use(500), use(501)];
    await r.settle();
    expect([...r.dataplane.neighbours.keys()].filter((key) => key.endsWith(GW)).sort()).toEqual([
      `${SUB} ${GW}`,
      `wan0.200 ${GW}`,
    ]);
    unuse2();
    two();
    unuse();
    one();
    kernel.vlan(501, e0(), 100);
    use(501);
    await r.settle();
    expect([...r.dataplane.neighbours.keys()].filter((key) => key.endsWith(GW))).toEqual([`${SUB} ${GW}`]);
    expect(sub()).toEqual([SUB]);
  });

  it('waits for its pair: nothing while the host is not paired, all when it is', async () => {
    r.configure(PAIRS.slice(1));
    await r.settle();
    expect(r.dataplane.pairs.has('wan0')).toBe(false);
    kernel.vlan(500, 100 + 50, 100);
    use(500);
    await r.settle();
    expect([sub(), r.lookup(FAR)]).toEqual([[], 'special 9']);
    r.configure(PAIRS);
    await r.settle();
    kernel.vlan(500, e0(), 100);
    await r.settle();
    expect([sub(), r.lookup(FAR)]).toEqual([[SUB], `${SUB} ${GW} 1`]);
  });

  it('a phy that is replaced: the sub-interface is made again on the new port', async () => {
    kernel.vlan(500, e0(), 100);
    kernel.vlan(501, 500, 7);
    use(500);
    await r.settle();
    const before = r.dataplane.text().replaceAll(/"phyIfindex":\d+/g, '');
    const own = r.kernel('');
    const { mac, mtu } = own.linkNamed('wan0');
    own.delLink(own.linkNamed('wan0'));
    await r.settle();
    expect([sub(), r.lookup(FAR)], 'the host waits, its frames are the kernel’s').toEqual([[], 'special 9']);
    expect([r.reconciler.pairs.host(SUB), r.reconciler.pairs.host('wan0.100.7')]).toEqual([0, 0]);
    r.dataplane.log.length = 0;
    own.addLink('wan0', { mac, mtu });
    await r.settle();
    expect(r.dataplane.text().replaceAll(/"phyIfindex":\d+/g, '')).toBe(before);
    const order = r.dataplane.log.filter((line) => /^set (pair|subif|link|neighbour) wan0/.test(line));
    expect(order.indexOf('set pair wan0')).toBe(0);
    expect(order.indexOf(`set subif ${SUB}`)).toBeLessThan(order.indexOf(`set link ${SUB}`));
    expect(order.indexOf(`set link ${SUB}`)).toBeLessThan(order.indexOf(`set neighbour ${SUB} ${GW}`));
    expect(r.refused).toEqual([]);
  });

  it('a pair that is no longer wanted takes its sub-interfaces along', async () => {
    const gone = kernel.vlan(500, e0(), 100);
    const unuse = use(500);
    await r.settle();
    // with the host goes what is on it
    unuse();
    gone();
    r.configure(PAIRS.slice(1));
    await r.settle();
    nothingLeft();
    expect([...r.dataplane.pairs.keys()]).toEqual(['lan0']);
  });

  it('a namespace that goes and comes back with other VLANs', async () => {
    kernel.vlan(500, e0(), 100);
    const unuse = use(500);
    await r.settle();
    for (const l of [...kernel.links.values()]) kernel.delLink(l);
    unuse();
    const fresh = new ExtraKernel(100);
    r.kernels.set('cp', fresh);
    const ns = r.ns();
    ns.state = 'absent';
    ns.clear();
    r.reconciler.namespaceChanged(ns);
    await r.settle();
    nothingLeft();
    kernel = fresh;
    fresh.addLink('lo', { kind: 'lo', type: 772, mac: '' });
    r.resync('cp');
    await r.settle();
    fresh.vlan(500, e0(), 200);
    await r.settle();
    expect([sub(), r.dataplane.links.get('wan0.200')?.hostIfindex]).toEqual([['wan0.200'], 500]);
  });

  it('a restarted lcpd recognises it and sends nothing', async () => {
    kernel.vlan(500, e0(), 100);
    kernel.vlan(501, 500, 7, { protocol: 0x8100 });
    use(500);
    await r.settle();
    r.dataplane.log.length = 0;
    r.dataplane.operations = 0;
    const next = r.successor();
    await next.settle();
    expect([r.dataplane.log, r.dataplane.operations]).toEqual([[], 0]);
    expect(next.reconciler.pairs.host('wan0.100.7')).toBe(501);
    expect(next.lookup(FAR)).toBe(`${SUB} ${GW} 1`);
  });

  it('a restarted lcpd removes one whose device went meanwhile', async () => {
    const gone = kernel.vlan(500, e0(), 100);
    const unuse = use(500);
    await r.settle();
    unuse();
    gone();
    kernel.take();
    r = r.successor();
    await r.settle();
    nothingLeft();
  });

  it.each([
    ['keeps everything: nothing is sent', true],
    ['lost everything: all of it is made again', false],
  ])('a data plane that restarts and %s', async (_, keep) => {
    kernel.vlan(500, e0(), 100);
    use(500);
    await r.settle();
    const before = r.dataplane.text();
    r.dataplane.operations = 0;
    r.dataplane.restart(keep);
    await r.settle();
    expect(r.dataplane.text()).toBe(before);
    expect(r.dataplane.operations > 0).toBe(!keep);
    expect(r.refused).toEqual([]);
  });

  it('a data plane that lost it and refuses it now: its routes are the kernel’s until it takes it', async () => {
    kernel.vlan(500, e0(), 100);
    use(500);
    await r.settle();
    r.dataplane.restart(false);
    r.dataplane.failNext('set subif', 1);
    await r.round();
    await r.round();
    expect([sub(), r.reconciler.pairs.host(SUB), r.lookup(FAR)]).toEqual([[], 0, 'special 9']);
    await r.settle();
    expect([sub(), r.lookup(FAR)]).toEqual([[SUB], `${SUB} ${GW} 1`]);
    expect(r.refused).toEqual(['set subif']);
  });

  it('refused to be deleted, it is tried again; nothing uses it meanwhile', async () => {
    const gone = kernel.vlan(500, e0(), 100);
    const unuse = use(500);
    await r.settle();
    r.dataplane.failNext('delete subif', 2);
    unuse();
    gone();
    await r.round();
    expect([sub(), r.reconciler.pairs.host(SUB)]).toEqual([[SUB], 0]);
    await r.settle();
    expect(sub()).toEqual([]);
    expect(r.refused).toEqual(['delete subif', 'delete subif again']);
  });

  describe('and a pair of its name', () => {
    const NAMED = { phy: SUB, host: 'e5', netns: 'cp', type: 'tap' } as const;
    it.each([0, 1])('gives way to it, and comes back after it (%i refusals)', async (refusals) => {
      kernel.vlan(500, e0(), 100);
      use(500);
      r.kernel('').addLink(SUB);
      await r.settle();
      r.dataplane.log.length = 0;
      if (refusals > 0) r.dataplane.failNext('delete subif', refusals);
      r.configure([...PAIRS, NAMED]);
      await r.settle();
      expect([sub(), [...r.dataplane.pairs.keys()].sort()]).toEqual([[], ['lan0', 'wan0', SUB]]);
      expect(r.lookup(FAR), 'the VLAN device is the kernel’s now').toBe('special 9');
      expect(r.reconciler.pairs.host(SUB)).toBe(kernel.linkNamed('e5').ifindex);
      expect(r.dataplane.links.get(SUB)).toMatchObject({ parent: '', host: 'e5' });
      if (refusals === 0) {
        const asked = r.dataplane.log.filter((line) => /(subif|pair)/.test(line));
        expect(asked).toEqual([`delete subif ${SUB}`, `set pair ${SUB}`]);
      }
      r.configure(PAIRS);
      await r.settle();
      expect([sub(), r.lookup(FAR)]).toEqual([[SUB], `${SUB} ${GW} 1`]);
      expect(r.dataplane.links.get(SUB)).toMatchObject({ parent: 'wan0', hostIfindex: 500 });
    });
  });

  it('a host that moves to another namespace leaves none behind, and the other has its own', async () => {
    const own = new ExtraKernel(10);
    const cp = new ExtraKernel(100);
    kernel = cp;
    r = await router({
      kernels: new Map<string, FakeKernel>([
        ['', own],
        ['cp', cp],
      ]),
    });
    const gone = cp.vlan(500, e0(), 100);
    await r.settle();
    gone();
    r.configure(PAIRS.map((p) => (p.phy === 'wan0' ? { ...p, netns: '' } : p)));
    await r.settle();
    own.vlan(500, own.linkNamed('e0').ifindex, 100);
    await r.settle();
    expect(r.dataplane.subifs.get(SUB)?.netns).toBe('');
    expect([r.reconciler.pairs.phy('', 500), r.reconciler.pairs.phy('cp', 500)]).toEqual([SUB, '']);
    expect(r.dataplane.links.get(SUB)?.netns).toBe('');
  });
});
