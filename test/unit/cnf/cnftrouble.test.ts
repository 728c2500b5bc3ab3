// CnfDevices in trouble: refusals of every single request, changes by others, orders of every kind; always the same end.

import { describe, expect, it } from 'vitest';
import * as k from '../../../src/netlink/uapi.ts';
import { random } from '../netlink/kernel.ts';
import { ERRNO, type FakeKernel } from './fakekernel.ts';
import { DONE, device, lab, labForEach, MAC, newLab, pass } from './lab.ts';

labForEach();

describe('changes by others', () => {
  it('are put right at once, counted, and told once', async () => {
    const { ifindex } = lab.ns.add('t0');
    lab.devices.want([device('t0')]);
    await pass();
    const acts: (() => void)[] = [
      () => lab.ns.delAddress(ifindex, '10.0.0.2'),
      () => lab.ns.setUp(lab.ns.link('t0'), false),
      () => lab.ns.addAddress(ifindex, '10.0.0.77', 30),
      () => lab.ns.del(lab.ns.link('vrf5').ifindex),
      () => lab.ns.setUp(lab.ns.link('vrf5'), false),
      () => Object.assign(lab.ns.link('t0'), { mtu: 900, mac: '02:00:00:00:00:77' }),
    ];
    for (const [n, act] of acts.entries()) {
      await lab.byHand(act);
      if (n > 3) await pass(600); // who disturbs all the time waits longer, but less than a second
      expect(lab.ns.text(), `${act}`).toEqual(DONE);
      expect(lab.devices.counters).toEqual({ mended: n + 1, refused: 0 });
      expect(lab.devices.state('cnf', 't0')).toBe('settled');
    }
    expect(lab.lines.filter((line) => line.includes('put right')).length).toBe(1);
    await lab.byHand(() => lab.ns.del(ifindex));
    await lab.byHand(() => void lab.ns.add('t0'));
    expect(lab.devices.counters.mended, 'a device that is made anew was not changed').toBe(acts.length);
  });

  it('that go on for ever are told, and answered no oftener than every half second', async () => {
    const { ifindex } = lab.ns.add('t0');
    lab.devices.want([device('t0', { vrf: undefined })]);
    await pass();
    const undo = lab.kernel.notice.bind(lab.kernel);
    lab.kernel.notice = (of) => {
      lab.ns.delAddress(ifindex, 'fd00::2');
      undo(of);
    };
    await lab.byHand(() => undefined);
    await pass(10_000);
    expect(lab.devices.state('cnf', 't0')).toMatchObject({ reason: 'device t0: address fd00::2/64: does not stay so' });
    const reads = lab.kernel.readings.length;
    await pass(10_000);
    expect(lab.kernel.readings.length - reads).toBeLessThan(25 * 9);
    lab.kernel.notice = undo;
    await pass(3000);
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
  });
});

describe('refusals', () => {
  it('are a reason, tried again ever more rarely, and leave the others alone', async () => {
    for (const name of ['t0', 't1']) lab.ns.add(name);
    lab.kernel.refuse = (step) => (step.what === 'vrf' ? ERRNO.EOPNOTSUPP : undefined);
    lab.devices.want([device('t0'), device('t1', { vrf: undefined })]);
    await pass(100);
    const first = lab.devices.state('cnf', 't0');
    expect(first).toMatchObject({ reason: 'VRF device vrf5 of table 5: EOPNOTSUPP (told so)', attempts: 1 });
    expect(lab.devices.state('cnf', 't1')).toBe('settled');
    await pass(9900);
    expect(lab.devices.counters.refused).toBeLessThan(8);
    expect(lab.devices.state('cnf', 't0')).toMatchObject({ attempts: lab.devices.counters.refused });
    expect(lab.devices.state('cnf', 't0')).toMatchObject({ since: (first as { since: number }).since });
    lab.kernel.refuse = () => undefined;
    await pass(30_000);
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
    expect(lab.lines.filter((line) => line.includes('cannot be made')).length).toBe(1);
  });

  it('of any one request end where none was refused', async () => {
    const scene = async (refuse: FakeKernel['refuse']): Promise<string[]> => {
      newLab();
      lab.kernel.refuse = refuse;
      for (const name of ['t0', 't1'])
        lab.ns.add(name, { mac: '02:00:00:00:00:09', flags: name === 't1' ? k.IFF_UP : 0 });
      lab.devices.want([device('t0'), device('t1', { addresses: ['10.0.0.6/30', 'fd00:1::1/64'] })]);
      await pass(2000);
      lab.devices.want([device('t0', { vrf: undefined, addresses: ['10.0.0.2/24'] }), device('t1', { mtu: 1300 })]);
      await pass(4000);
      expect([lab.devices.state('cnf', 't0'), lab.devices.state('cnf', 't1')]).toEqual(['settled', 'settled']);
      const text = lab.ns.text();
      await lab.devices.close();
      return text;
    };
    await lab.devices.close();
    const plain = await scene(() => undefined);
    const { length } = lab.kernel.requests;
    expect(length).toBeGreaterThan(20);
    for (let n = 0; n < length; n++) {
      for (const errno of [ERRNO.EOPNOTSUPP, ERRNO.EEXIST, ERRNO.ENODEV, new Error('the socket broke')]) {
        expect(await scene((_step, count) => (count === n ? errno : undefined)), `request ${n}: ${errno}`).toEqual(
          plain,
        );
      }
    }
  });

  it('of an address keep neither the others nor the device from coming up', async () => {
    lab.ns.add('t0');
    lab.kernel.refuse = (step) => (step.what === 'add' && step.address.family === 10 ? ERRNO.EINVAL : undefined);
    lab.devices.want([device('t0', { vrf: undefined })]);
    await pass();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400 10.0.0.2/30`]);
    expect(lab.devices.state('cnf', 't0')).toMatchObject({ reason: expect.stringContaining('fd00::2/64: EINVAL') });
    const { length } = lab.kernel.requests;
    await lab.byHand(() => undefined);
    expect(lab.kernel.requests.length - length, 'a notice is no reason to ask at once').toBeLessThan(2);
    lab.devices.want([device('t0', { vrf: undefined, addresses: ['10.0.0.2/30'] })]);
    await pass();
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
  });

  it('to be read end in other sockets, and a namespace that cannot be entered is said', async () => {
    lab.ns.add('t0');
    lab.kernel.readable = () => false;
    lab.devices.want([device('t0')]);
    await pass(5000);
    expect(lab.devices.state('cnf', 't0')).toBe('absent');
    lab.kernel.readable = () => true;
    await pass(1100);
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
    const { open } = lab.kernel;
    lab.kernel.open = () => {
      throw Object.assign(new Error('no sockets left'), { code: 'EMFILE' });
    };
    lab.kernel.delNetns('cnf');
    lab.kernel.addNetns('cnf', '1:1').add('t0');
    await pass();
    expect(lab.devices.state('cnf', 't0')).toMatchObject({
      reason: expect.stringContaining('cnf cannot be looked into'),
    });
    lab.kernel.open = open;
    await pass(3000);
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
  });
});

describe('order', () => {
  it('any order of wishes, devices and disturbances has the same end', async () => {
    const ends = new Set<string>();
    await lab.devices.close();
    for (let seed = 1; seed <= 60; seed++) {
      const below = random(seed);
      newLab();
      lab.kernel.refuse = () => (below(8) === 0 ? ERRNO.EEXIST : undefined);
      const wishes = [device('t0'), device('t1', { addresses: ['10.0.0.6/30'] }), device('t2', { vrf: undefined })];
      const todo: (() => void)[] = [
        ...wishes.map(
          ({ name }) =>
            () =>
              void lab.ns.add(name, { flags: below(2) === 0 ? k.IFF_UP : 0 }),
        ),
        ...wishes.map((_, n) => () => lab.devices.want(wishes.slice(n))),
        () => lab.devices.want([]),
        () => {
          const link = lab.ns.links[below(lab.ns.links.length)];
          if (link !== undefined) lab.ns.setUp(link, below(2) === 0);
        },
        () => {
          const link = lab.ns.links[below(lab.ns.links.length)];
          if (link !== undefined && link.kind === 'vrf') lab.ns.del(link.ifindex);
        },
        () => void lab.ns.addresses.splice(below(lab.ns.addresses.length + 1), 1),
      ];
      while (todo.length > 0) {
        todo.splice(below(todo.length), 1)[0]?.();
        if (below(2) === 0) lab.kernel.notice(lab.ns);
        await pass(below(3) * 30);
      }
      lab.kernel.refuse = () => undefined;
      lab.devices.want(wishes);
      await pass(40_000);
      expect(
        wishes.map(({ name }) => lab.devices.state('cnf', name)),
        `seed ${seed}`,
      ).toEqual(wishes.map(() => 'settled'));
      ends.add(lab.ns.text().join('\n'));
      await lab.devices.close();
    }
    expect([...ends].length).toBe(1);
  });
});
