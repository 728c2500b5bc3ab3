/**
 * Upward: what is changed in the data plane goes to the kernel by one request, and back by none.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { IFA_F_SECONDARY } from '../../../src/netlink/uapi.ts';
import { newAddress } from './kernelbytes.ts';
import {
  addressesOf,
  BACKOFF,
  begin,
  door,
  host,
  kernel,
  OFF,
  ON,
  plane,
  quiet,
  r,
  settled,
  startAgain,
  turn,
} from './upwardlab.ts';

describe('state and MTU', () => {
  beforeEach(async () => {
    await begin();
    await quiet();
  });

  it('scenario 11: go to the host by one write each, 4000, 1500, 9000, and nothing comes back', async () => {
    for (const mtu of [4000, 1500, 9000]) {
      plane.own('wan0').mtu = mtu;
      await settled();
      expect(host().mtu).toBe(mtu);
    }
    plane.own('wan0').up = false;
    await settled();
    expect(host().up).toBe(false);
    plane.own('wan0').up = true;
    await settled();
    expect(host().up).toBe(true);
    expect(door.writes).toEqual(['e0 mtu 4000', 'e0 mtu 1500', 'e0 mtu 9000', 'e0 down', 'e0 up']);
    expect(plane.changes).toEqual([]);
    expect(r.upward.filter((line) => line.startsWith('refused'))).toEqual([]);
    await quiet();
  });

  it('the kernel goes on being followed, and is right where both were changed', async () => {
    kernel.setLink(host(), { mtu: 1400 });
    await settled();
    expect(plane.own('wan0').mtu).toBe(1400);
    kernel.setLink(host(), { mtu: 1300, up: false });
    plane.own('wan0').mtu = 2000;
    await settled();
    expect([plane.own('wan0').mtu, host().mtu, plane.own('wan0').up]).toEqual([1300, 1300, false]);
    expect(door.writes).toEqual([]);
    await quiet();
  });

  it('a change while another one is under way is not lost', async () => {
    door.isShut = true;
    plane.own('wan0').mtu = 4000;
    await settled();
    expect(door.writes).toEqual(['e0 mtu 4000']);
    plane.own('wan0').mtu = 5000;
    await settled();
    expect(plane.changes, 'it is not undone meanwhile').toEqual([]);
    expect(door.writes).toEqual(['e0 mtu 4000']);
    door.isShut = false;
    door.open();
    await settled();
    expect(door.writes).toEqual(['e0 mtu 4000', 'e0 mtu 5000']);
    expect(host().mtu).toBe(5000);
    await quiet();
  });

  it('what the kernel is changed to meanwhile is right', async () => {
    door.isShut = true;
    plane.own('wan0').mtu = 4000;
    await settled();
    door.open();
    await turn();
    kernel.setLink(host(), { mtu: 3000 });
    await settled();
    expect([host().mtu, plane.own('wan0').mtu]).toEqual([3000, 3000]);
    expect(door.writes).toEqual(['e0 mtu 4000']);
    await quiet();
  });

  it('what the kernel refuses is told once, stays, and is tried again in growing intervals', async () => {
    door.refusal = 'EINVAL: mtu greater than device maximum';
    plane.own('wan0').mtu = 60_000;
    plane.poll();
    for (let i = 0; i < 4; i++) {
      await r.round();
      await turn();
    }
    expect(door.writes).toHaveLength(1);
    expect(r.upward).toEqual(['written e0 mtu 60000', `refused e0 mtu 60000 ${door.refusal}`]);
    expect(r.reconciler.upward.failures()[0]?.message).toContain('greater than');
    expect(plane.own('wan0').mtu, 'nobody puts it back').toBe(60_000);
    const tries: number[] = [];
    for (let i = 0; i < 5; i++) {
      const at = r.reconciler.nextRetryAt() ?? 0;
      tries.push(at - r.now);
      r.now = at;
      r.reconciler.retryRoutes();
      await r.round();
      await turn();
    }
    expect(tries).toEqual([100, 200, 400, 800, 1000]);
    door.refusal = '';
    await settled();
    expect(host().mtu).toBe(60_000);
    expect(r.reconciler.upward.failures()).toEqual([]);
    await quiet();
  });

  it('a change while the kernel is read again waits until it was read', async () => {
    r.ns().state = 'syncing';
    plane.own('wan0').up = false;
    await settled();
    r.reconciler.delta.invalidate('link', 'wan0');
    await settled();
    expect(door.writes).toEqual([]);
    expect(plane.own('wan0').up, 'it is not undone').toBe(false);
    r.resync('cp');
    await settled();
    expect(door.writes).toEqual(['e0 down']);
    expect(host().up).toBe(false);
  });

  it('what could not be written is forgotten with its pair', async () => {
    door.refusal = 'EINVAL';
    plane.own('wan0').mtu = 60_000;
    plane.poll();
    await r.round();
    await turn();
    expect(r.reconciler.nextRetryAt()).toBeDefined();
    r.configure([]);
    await settled();
    expect(r.reconciler.upward.failures()).toEqual([]);
    expect(r.reconciler.nextRetryAt()).toBeUndefined();
  });

  it('what is put back in the data plane ends what could not be written', async () => {
    door.refusal = 'EINVAL';
    plane.own('wan0').mtu = 60_000;
    plane.poll();
    await r.round();
    await turn();
    plane.own('wan0').mtu = 1500;
    await settled();
    expect(r.reconciler.upward.failures()).toEqual([]);
    expect(r.reconciler.nextRetryAt()).toBeUndefined();
  });

  it('an interface that is deleted and made again is another one: the kernel is right', async () => {
    plane.add('wan0', 1, { life: 1, mtu: 9000 });
    await settled();
    expect(plane.own('wan0')).toMatchObject({ up: true, mtu: 1500 });
    expect(door.writes).toEqual([]);
  });
});

describe('addresses', () => {
  beforeEach(async () => {
    await begin();
    await quiet();
  });

  it('come, change their length and go with those of the data plane, IPv4 and IPv6', async () => {
    plane.own('wan0').addresses.set('10.0.1.1', 24).set('fd00:1::1', 64);
    await settled();
    expect(addressesOf()).toEqual(['10.0.1.1/24', 'fd00:1::1/64']);
    plane.own('wan0').addresses.set('10.0.1.1', 25);
    await settled();
    expect(addressesOf()).toEqual(['fd00:1::1/64', '10.0.1.1/25']);
    plane.own('wan0').addresses.delete('fd00:1::1');
    await settled();
    expect(addressesOf()).toEqual(['10.0.1.1/25']);
    expect(door.writes).toEqual(['e0 10.0.1.1/24', 'e0 fd00:1::1/64', 'e0 10.0.1.1/25', 'e0 without fd00:1::1']);
    expect(plane.changes).toEqual([]);
    await quiet();
  });

  it('of the kernel go down, and do not come back', async () => {
    kernel.addAddress({ ifindex: host().ifindex, local: '10.0.1.1', prefixlen: 24 });
    await settled();
    expect([...plane.own('wan0').addresses]).toEqual([['10.0.1.1', 24]]);
    const [mine] = kernel.addresses;
    if (mine !== undefined) kernel.delAddress(mine);
    await settled();
    expect([...plane.own('wan0').addresses]).toEqual([]);
    expect(plane.changes).toEqual(['set wan0 10.0.1.1/24', 'delete wan0 10.0.1.1/24']);
    expect(door.writes).toEqual([]);
  });

  it('a primary one that goes leaves its secondaries, which Linux takes along for a moment', async () => {
    plane.own('wan0').addresses.set('10.0.1.1', 24).set('10.0.1.2', 24);
    await settled();
    const second = kernel.addresses.find((a) => a.local === '10.0.1.2');
    if (second === undefined) throw new Error('no second address');
    kernel.told.push(newAddress({ ...second, flags: IFA_F_SECONDARY }));
    await quiet();
    // lcpd hears of the end of both before the second one is back
    door.between = () => {
      const taken = kernel.addresses.find((a) => a.local === '10.0.1.2');
      if (taken !== undefined) kernel.delAddress(taken);
      r.deliver('cp');
    };
    plane.own('wan0').addresses.delete('10.0.1.1');
    await settled();
    expect(addressesOf()).toEqual(['10.0.1.2/24']);
    expect([...plane.own('wan0').addresses.keys()]).toEqual(['10.0.1.2']);
    expect(door.writes).toEqual(['e0 without 10.0.1.1']);
    expect(plane.changes).toEqual([]);
    await quiet();
  });

  it('scenario 12: borrowed ones are on the host while unnumbered is on, and never sent back', async () => {
    plane.own('wan0').borrowed = new Map([['10.9.9.9', 32]]);
    await settled();
    expect(addressesOf()).toEqual(['10.9.9.9/32']);
    r.reconciler.upward.configure({ ...ON, unnumbered: false }, BACKOFF);
    await settled();
    expect(addressesOf()).toEqual([]);
    r.reconciler.upward.configure(ON, BACKOFF);
    await settled();
    expect(addressesOf()).toEqual(['10.9.9.9/32']);
    plane.own('wan0').borrowed = new Map();
    await settled();
    expect(addressesOf()).toEqual([]);
    expect(plane.changes, 'the interface borrows it: it cannot have it as its own').toEqual([]);
    expect(door.writes).toHaveLength(4);
  });
});

describe('a start', () => {
  it('takes an address that only the data plane has to the kernel, unless the kernel lost it meanwhile', async () => {
    await begin();
    const e0 = host().ifindex;
    kernel.addAddress({ ifindex: e0, local: '10.0.1.1', prefixlen: 24 });
    kernel.addAddress({ ifindex: e0, local: '10.0.2.1', prefixlen: 24 });
    await settled();
    await startAgain(() => {
      const gone = kernel.addresses.find((a) => a.local === '10.0.1.1');
      if (gone !== undefined) kernel.delAddress(gone);
      // not by lcpd: without the route that it makes of an address of the kernel
      plane.own('wan0').addresses.set('10.0.3.1', 24);
      plane.addresses.set('wan0 10.0.3.1/24', {
        kind: 'address',
        phy: 'wan0',
        family: 4,
        address: '10.0.3.1',
        prefixlen: 24,
        connected: true,
      });
    });
    expect(addressesOf().sort()).toEqual(['10.0.2.1/24', '10.0.3.1/24']);
    expect([...plane.own('wan0').addresses.keys()].sort()).toEqual(['10.0.2.1', '10.0.3.1']);
    expect(door.writes).toEqual(['e0 10.0.3.1/24']);
    await quiet();
  });

  it('goes by the kernel in state and MTU', async () => {
    await begin();
    await startAgain(() => {
      plane.own('wan0').mtu = 9000;
      plane.own('wan0').up = false;
      kernel.setLink(host('e1'), { mtu: 1400 });
    });
    expect(plane.own('wan0')).toMatchObject({ mtu: 1500, up: true });
    expect(plane.own('lan0').mtu).toBe(1400);
    expect(door.writes).toEqual([]);
  });
});

describe('turned off and on', () => {
  it('nothing follows while it is off, and what differs follows when it is turned on', async () => {
    await begin(OFF);
    plane.own('wan0').addresses.set('10.0.1.1', 24);
    await settled();
    expect([door.writes, addressesOf()]).toEqual([[], []]);
    r.reconciler.upward.configure(ON, BACKOFF);
    await settled();
    expect(door.writes).toEqual(['e0 10.0.1.1/24']);
    r.reconciler.upward.configure(OFF, BACKOFF);
    plane.own('wan0').addresses.clear();
    await settled();
    expect(addressesOf(), 'nothing is removed').toEqual(['10.0.1.1/24']);
    expect(plane.isFollowed).toBe(false);
    expect(door.writes).toHaveLength(1);
  });
});
