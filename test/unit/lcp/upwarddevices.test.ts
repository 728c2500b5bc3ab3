/**
 * Upward: tables of the data plane as VRFs of the kernel, and its sub-interfaces as VLAN devices.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { begin, door, host, kernel, plane, quiet, r, settled, startAgain, turn } from './upwardlab.ts';

describe('tables', () => {
  const TABLE = { 4: 'cp/v4/100', 6: 'cp/v6/100' };
  beforeEach(async () => {
    await begin();
    door.other = (write) => {
      if (write.what === 'link' && write.change.master !== undefined) kernel.enslave('e0', write.change.master);
    };
    kernel.vrf(900, 'red', 100);
  });
  const l3mdev = () => {
    kernel.defaultRules();
    for (const family of [2, 10]) kernel.rule({ family, priority: 1000, l3mdev: true });
  };

  it('an interface in the table of a VRF takes its host there, whichever family was moved', async () => {
    l3mdev();
    await quiet();
    plane.own('wan0').tables[4] = TABLE[4];
    await settled();
    expect(door.writes).toEqual(['e0 into the VRF of table 100']);
    expect(r.ns().links.get(host().ifindex)?.master).toBe(900);
    expect(plane.own('wan0').tables).toEqual(TABLE);
    expect(plane.changes, 'the other family follows the kernel').toEqual(['wan0 table cp/v4/100']);
    await quiet();
    plane.own('wan0').tables = { 4: 'cp/v4/254', 6: 'cp/v6/254' };
    await settled();
    expect(r.ns().links.get(host().ifindex)?.master).toBeUndefined();
    expect(door.writes).toEqual(['e0 into no VRF']);
    await quiet();
  });

  it('rules that do not lead into the VRF make no loop', async () => {
    await quiet();
    plane.own('wan0').tables = { ...TABLE };
    await settled();
    r.reconciler.delta.invalidate('link', 'wan0');
    await settled();
    expect(plane.own('wan0').tables[4], 'as the rules say').toBe('cp/v4/254');
    expect(door.writes).toEqual(['e0 into the VRF of table 100']);
    await quiet();
  });

  it('nothing moves the interface back while its host is on its way', async () => {
    await quiet();
    door.isShut = true;
    plane.own('wan0').tables = { ...TABLE };
    plane.poll();
    await r.round();
    kernel.setLink(host(), { mtu: 1400 });
    await r.round();
    await r.round();
    expect(plane.changes).toEqual([]);
    expect(plane.own('wan0').tables).toEqual(TABLE);
    door.isShut = false;
    door.open();
    await settled();
    expect(plane.own('wan0').mtu, 'what waited for it').toBe(1400);
    expect(r.ns().links.get(host().ifindex)?.master).toBe(900);
  });

  it('one that no VRF has is told, and nothing is written', async () => {
    plane.own('wan0').tables[4] = 'own 7';
    plane.poll();
    await r.round();
    expect(r.upward).toEqual(['refused e0 into the VRF of table own 7 no VRF device in namespace cp has table own 7']);
    expect(door.writes).toEqual([]);
  });
});

describe('sub-interfaces', () => {
  const tag = (id: number, protocol = 0x8100) => ((protocol << 16) | id) >>> 0;
  const vlans = () =>
    [...r.ns().links.values()].filter((l) => l.kind === 'vlan').map((l) => `${l.name} ${l.info?.vlan?.id}`);
  const undo = new Map<number, () => void>();

  beforeEach(async () => {
    await begin();
    let next = 500;
    undo.clear();
    door.other = (write) => {
      if (write.what === 'vlan') {
        const { name, id, protocol, ifindex, up } = write;
        undo.set(next, kernel.vlan(next, ifindex, id, { name, protocol, flags: up ? 1 : 0 }));
        next++;
      }
      if (write.what === 'delete') undo.get(write.ifindex)?.();
    };
    await quiet();
  });

  it('get a VLAN device each, outer ones first, that goes with them', async () => {
    plane.add('wan0.100.7', 51, { parent: 'wan0', tags: [tag(100), tag(7)], subId: 1007 });
    plane.add('wan0.100', 50, { parent: 'wan0', tags: [tag(100)], subId: 100, up: true });
    plane.add('wan0.ad5', 52, { parent: 'wan0', tags: [tag(5, 0x88a8)], subId: 5 });
    await settled();
    expect(vlans().sort()).toEqual(['e0.100 100', 'e0.1007 7', 'e0.5 5']);
    expect(plane.changes.filter((line) => line.startsWith('new'))).toEqual([]);
    expect(r.upward.filter((line) => line.startsWith('refused'))).toEqual([]);
    expect(plane.own('wan0.100').up, 'as it was made').toBe(true);
    const linkOf = (name: string) => [...r.ns().links.values()].find((l) => l.name === name);
    expect(linkOf('e0.1007')?.link, 'on the device of the outer tag').toBe(linkOf('e0.100')?.ifindex);
    await quiet();
    plane.there.delete('wan0.ad5');
    await settled();
    expect(vlans().sort()).toEqual(['e0.100 100', 'e0.1007 7']);
    expect(door.writes).toEqual(['without e0.5']);
    await quiet();
  });

  it('of Linux still go both ways', async () => {
    const gone = kernel.vlan(700, host().ifindex, 20, { name: 'e0.20' });
    await settled();
    expect(plane.there.has('wan0.20')).toBe(true);
    gone();
    await settled();
    expect(plane.there.has('wan0.20')).toBe(false);
    expect(door.writes).toEqual([]);
  });

  it('that cannot have a device are told: a name that is taken or too long, no outer one', async () => {
    kernel.put({ ifindex: 800, name: 'e0.30', kind: 'dummy', mac: '02:00:00:00:09:09' });
    plane.add('wan0.30', 50, { parent: 'wan0', tags: [tag(30)], subId: 30 });
    plane.add('wan0.40', 51, { parent: 'wan0', tags: [tag(40)], subId: 4_000_000_000_000 });
    plane.add('wan0.50.6', 52, { parent: 'wan0', tags: [tag(50), tag(6)], subId: 6 });
    plane.poll();
    await r.round();
    expect(
      r.upward
        .filter((line) => line.startsWith('refused'))
        .map((line) => line.replace(/.*(another|more than|outer tag).*/, '$1')),
    ).toEqual(['another', 'more than', 'outer tag']);
    expect(door.writes).toEqual([]);
  });

  it('that only the data plane has at a start get a device, those that have lost theirs meanwhile end', async () => {
    const subif = (id: number) =>
      ({ kind: 'subif', phy: `wan0.${id}`, parent: 'wan0', tags: [tag(id)], netns: 'cp' }) as const;
    for (const [id, paired] of [
      [60, false],
      [61, true],
    ] as const) {
      plane.add(`wan0.${id}`, id, { parent: 'wan0', tags: [tag(id)], subId: id, paired });
      plane.subifs.set(`wan0.${id}`, subif(id));
    }
    await startAgain();
    expect(vlans()).toEqual(['e0.60 60']);
    expect([...plane.there.keys()].sort()).toEqual(['lan0', 'wan0', 'wan0.60']);
    await quiet();
  });

  it('take what could not be written of them along when they end', async () => {
    const gone = kernel.vlan(700, host().ifindex, 20, { name: 'e0.20' });
    await settled();
    door.refusal = 'EINVAL';
    plane.own('wan0.20').mtu = 1300;
    plane.poll();
    await r.round();
    await turn();
    expect(r.reconciler.upward.failures()).toHaveLength(1);
    gone();
    await settled();
    expect(r.reconciler.upward.failures()).toEqual([]);
    expect(r.reconciler.nextRetryAt()).toBeUndefined();
  });

  it('wait for their parent, which takes their devices along', async () => {
    kernel.vlan(700, host().ifindex, 20, { name: 'e0.20' });
    await settled();
    await quiet();
    plane.own('wan0').up = false;
    plane.own('wan0.20').up = false;
    plane.poll();
    await r.reconciler.round();
    expect(door.writes).toEqual(['e0 down']);
    // Linux takes the VLAN device down with the one below
    kernel.vlan(700, host().ifindex, 20, { name: 'e0.20', flags: 0 });
    await settled();
    expect(door.writes).toEqual(['e0 down']);
    expect(plane.changes).toEqual([]);
    await quiet();
  });

  it('follow their device in MTU, which has at most that of the device below', async () => {
    kernel.vlan(700, host().ifindex, 20, { name: 'e0.20' });
    await settled();
    await quiet();
    plane.own('wan0.20').mtu = 4000;
    await settled();
    expect(plane.own('wan0.20').mtu).toBe(1500);
    expect(door.writes).toEqual([]);
    await quiet();
  });
});
