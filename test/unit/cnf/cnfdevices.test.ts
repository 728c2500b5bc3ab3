// CnfDevices: over a kernel in memory: the order of what is asked for, whose VRF is whose, and which namespace is meant.

import { describe, expect, it } from 'vitest';
import { VRF_MARK } from '../../../src/cnfdevice.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { DONE, device, host, lab, labForEach, MAC, pass } from './lab.ts';

labForEach();

describe('a device', () => {
  it('is made in the order in which it can be had', async () => {
    lab.ns.add('t0', { mac: '02:00:00:00:00:09' });
    lab.devices.want([device('t0')]);
    expect(lab.devices.state('cnf', 't0')).toBe('absent');
    await pass();
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
    expect(lab.ns.text()).toEqual(DONE);
    expect(lab.ns.link('t0').addrGenMode).toBe(k.IN6_ADDR_GEN_MODE_NONE);
    expect(lab.kernel.requests.map((line) => line.slice('cnf: '.length))).toEqual([
      'device t0: no link-local addresses by the kernel',
      `device t0: MAC ${MAC}`,
      'device t0: MTU 1400',
      'VRF device vrf5 of table 5',
      'device t0: into VRF vrf5',
      'device t0: address 10.0.0.2/30',
      'device t0: address fd00::2/64',
      'device t0: up',
    ]);
    expect(lab.changes).toBe(1);
    expect([lab.devices.counters, lab.lines]).toEqual([{ mended: 0, refused: 0 }, []]);
  });

  it('is waited for, with or without notice; what was wanted already is not asked for again', async () => {
    lab.devices.want([device('t0')]);
    await pass();
    expect([lab.devices.state('cnf', 't0'), lab.changes]).toEqual(['absent', 0]);
    await lab.byHand(() => void lab.ns.add('t0'));
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
    const reads = lab.kernel.readings.length;
    for (let i = 0; i < 5; i++) lab.devices.want([device('t0')]);
    await pass(100);
    expect(lab.kernel.readings.length).toBe(reads);
    lab.ns.del(lab.ns.link('t0').ifindex);
    await pass(1100); // nobody told: the poll
    expect(lab.devices.state('cnf', 't0')).toBe('absent');
    expect(lab.ns.text()).toEqual(['vrf5 up table 5']);
  });

  it('that was up already loses the address that the kernel made, and no other', async () => {
    const { ifindex } = lab.ns.add('t0', { flags: k.IFF_UP });
    lab.ns.addAddress(ifindex, 'fe80::77', 64);
    expect(lab.ns.addresses.map(({ local }) => local)).toEqual(['fe80::fe:ff:fe00:1', 'fe80::77']);
    lab.devices.want([device('t0', { addresses: [], vrf: undefined })]);
    await pass();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400 fe80::77/64`]);
  });

  it('of a kernel that does not say who made an address: the one of its MAC address', async () => {
    const { ifindex } = lab.ns.add('t0', { addrGenMode: 3 });
    lab.ns.addAddress(ifindex, 'fe80::fe:ff:fe00:1', 64);
    lab.ns.addAddress(ifindex, 'fe80::77', 64);
    lab.devices.want([device('t0', { addresses: [], vrf: undefined })]);
    await pass();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400 fe80::77/64`]);
  });

  it('without IPv6 has no address generation to be stopped', async () => {
    delete lab.ns.add('t0').addrGenMode;
    lab.devices.want([device('t0', { addresses: [], vrf: undefined, mtu: 0, mac: '' })]);
    await pass();
    expect(lab.kernel.requests).toEqual(['cnf: device t0: up']);
  });

  it('keeps what a CNF gives it itself, unless lcpd gives or gave it addresses', async () => {
    const { ifindex } = lab.ns.add('t0');
    lab.ns.addAddress(ifindex, '192.0.2.1', 24);
    const bare = device('t0', { addresses: [], vrf: undefined });
    lab.devices.want([bare]);
    await pass();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400 192.0.2.1/24`]);
    lab.devices.want([device('t0', { vrf: undefined })]);
    lab.ns.addAddress(ifindex, '192.0.2.9', 24, { flags: 0, validLft: 60 });
    await pass();
    expect(lab.ns.text(), 'leases and autoconfiguration stay').toEqual([
      `t0 up ${MAC} mtu 1400 10.0.0.2/30 192.0.2.9/24 fd00::2/64`,
    ]);
    lab.devices.want([bare]);
    await pass();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400 192.0.2.9/24`]);
    await lab.byHand(() => lab.ns.addAddress(ifindex, '192.0.2.1', 24));
    expect(lab.ns.text(), 'from then on they are its own again').toEqual([
      `t0 up ${MAC} mtu 1400 192.0.2.1/24 192.0.2.9/24`,
    ]);
  });

  it('changes the length of an address of either family', async () => {
    lab.ns.add('t0');
    lab.devices.want([device('t0', { vrf: undefined })]);
    await pass();
    lab.devices.want([device('t0', { vrf: undefined, addresses: ['10.0.0.2/24', 'fd00::2/128'] })]);
    await pass();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400 10.0.0.2/24 fd00::2/128`]);
    expect(lab.devices.counters).toEqual({ mended: 0, refused: 0 });
  });
});

describe('VRF devices', () => {
  it('are shared, and removed with their last user', async () => {
    for (const name of ['t0', 't1']) lab.ns.add(name);
    lab.devices.want([device('t0', { addresses: [] }), device('t1', { addresses: [] })]);
    await pass();
    expect(lab.ns.text()).toEqual([
      `t0 up ${MAC} mtu 1400 in vrf5`,
      `t1 up ${MAC} mtu 1400 in vrf5`,
      'vrf5 up table 5',
    ]);
    expect(lab.devices.counters.refused).toBe(0);
    lab.devices.want([device('t1', { addresses: [] }), device('t0', { addresses: [], vrf: undefined })]);
    await pass();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400`, `t1 up ${MAC} mtu 1400 in vrf5`, 'vrf5 up table 5']);
    lab.devices.want([]);
    await pass();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400`, `t1 up ${MAC} mtu 1400`]);
    expect(lab.kernel.opened, 'a namespace that is wanted nowhere is let go').toBe(0);
    await pass(5000);
    const reads = lab.kernel.readings.length;
    await pass(5000);
    expect(lab.kernel.readings.length).toBe(reads);
  });

  it('that others made are used and never deleted; what else a CNF has put a device into is its own', async () => {
    const theirs = lab.ns.add('vrf5', { kind: 'vrf', info: { vrf: { table: 5 } }, flags: k.IFF_UP });
    lab.ns.add('t0');
    lab.devices.want([device('t0')]);
    await pass();
    expect([lab.devices.state('cnf', 't0'), lab.ns.text()]).toEqual(['settled', DONE]);
    lab.devices.want([device('t0', { vrf: undefined })]);
    await pass();
    expect(lab.ns.link('t0').master, 'we put it there').toBeUndefined();
    await lab.byHand(() => {
      lab.ns.link('t0').master = theirs.ifindex;
    });
    expect(lab.ns.link('t0').master, 'they did').toBe(theirs.ifindex);
    await lab.devices.release();
    expect(lab.ns.links.map(({ name }) => name).sort()).toEqual(['t0', 'vrf5']);
  });

  it('with another table are named with both, and taken once they are right', async () => {
    const theirs = lab.ns.add('vrf5', { kind: 'vrf', info: { vrf: { table: 6 } }, flags: k.IFF_UP });
    for (const name of ['t0', 't1']) lab.ns.add(name);
    lab.devices.want([device('t0'), device('t1', { vrf: undefined })]);
    await pass();
    const reason = 'VRF device vrf5 is there with table 6, not with table 5';
    expect(lab.devices.state('cnf', 't0')).toMatchObject({ reason });
    expect(lab.devices.state('cnf', 't1')).toBe('settled');
    expect(lab.ns.addresses.filter(({ ifindex }) => ifindex === lab.ns.link('t0').ifindex)).toEqual([]);
    await lab.byHand(() => lab.ns.del(theirs.ifindex));
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
    const bridge = lab.ns.add('vrf6', { kind: 'bridge' });
    lab.devices.want([device('t0', { vrf: { name: 'vrf6', table: 6 } })]);
    await pass();
    expect(lab.devices.state('cnf', 't0')).toMatchObject({
      reason: 'vrf6 is to be a VRF device of table 6, and is a bridge',
    });
    lab.ns.del(bridge.ifindex);
    await pass(1100);
    expect(lab.devices.state('cnf', 't0')).toBe('settled');
  });

  it('of a former life go once all wishes are known, where nobody is in them', async () => {
    const marked = { kind: 'vrf', alias: VRF_MARK, info: { vrf: { table: 9 } } };
    const other = lab.kernel.addNetns('other', '1:2');
    lab.ns.add('vrf5', { ...marked, info: { vrf: { table: 5 } }, flags: k.IFF_UP });
    lab.ns.add('vrf9', marked);
    lab.ns.add('mine', { ...marked, alias: 'mine' });
    const own = lab.kernel.addNetns('', '1:0');
    own.add('vrf1', marked);
    const used = other.add('vrf9', marked);
    other.add('vrf10', marked);
    const port = other.add('port', { master: used.ifindex });
    lab.kernel.addNetns('alias', '1:1');
    lab.kernel.addNetns('empty', '1:3');
    lab.devices.wantHosts([host('t9')]);
    await pass(3000);
    expect(lab.kernel.requests).toEqual([]);
    lab.devices.want([device('t0')]);
    await pass(3000);
    expect(lab.ns.links.map(({ name }) => name)).toEqual(['vrf5', 'mine']);
    expect(own.links).toEqual([]);
    expect(other.links.map(({ name }) => name)).toEqual(['vrf9', 'port']);
    other.del(port.ifindex);
    await pass(1100);
    expect(other.links).toEqual([]);
    await pass(1100);
    expect(lab.kernel.opened).toBe(1);
  });

  it('are removed by release, and not by close', async () => {
    lab.ns.add('t0');
    lab.devices.want([device('t0')]);
    await pass();
    await lab.devices.close();
    expect(lab.ns.text()).toEqual(DONE);
    lab.start();
    lab.devices.want([device('t0')]);
    const { length } = lab.kernel.requests;
    await pass();
    expect([lab.devices.state('cnf', 't0'), lab.kernel.requests.length]).toEqual(['settled', length]);
    await lab.devices.release();
    expect(lab.ns.text()).toEqual([`t0 up ${MAC} mtu 1400 10.0.0.2/30`]);
  });
});

describe('namespaces', () => {
  it('of another identity are others, under whatever name', async () => {
    lab.ns.add('t0');
    lab.devices.want([device('t0')]);
    await pass();
    lab.kernel.delNetns('cnf');
    await pass();
    expect([lab.devices.state('cnf', 't0'), lab.kernel.opened]).toEqual(['absent', 0]);
    const next = lab.kernel.addNetns('cnf', '1:7');
    next.add('t0');
    next.addAddress(next.link('t0').ifindex, '192.0.2.1', 24);
    await pass(3000);
    expect([lab.devices.state('cnf', 't0'), lab.kernel.opened]).toEqual(['absent', 0]);
    expect(next.text()).toEqual([`t0 down ${MAC} mtu 1500 192.0.2.1/24`]);
    lab.devices.want([device('t0', { netnsId: '1:7' })]);
    await pass();
    expect(next.text()).toEqual(DONE);
    expect(lab.devices.counters.mended).toBe(0);
  });

  it('that are replaced without a word are found by the poll', async () => {
    lab.ns.add('t0');
    lab.devices.want([device('t0')]);
    await pass();
    lab.kernel.tells = false;
    const next = lab.kernel.addNetns('cnf', '1:7');
    next.add('t0');
    await pass(1100);
    expect([lab.devices.state('cnf', 't0'), lab.kernel.opened, next.text().length]).toEqual(['absent', 0, 1]);
  });

  it('whose wishes are the same are not read again', async () => {
    const other = lab.kernel.addNetns('other', '1:2');
    for (const ns of [lab.ns, other]) ns.add('t0');
    const there = device('t0', { netns: 'other', netnsId: '1:2' });
    lab.devices.want([device('t0'), there]);
    await pass(900);
    const reads = lab.kernel.readings.length;
    lab.devices.want([there]);
    await pass(50);
    expect(lab.kernel.readings.slice(reads), 'the VRF goes, it is gone').toEqual(['cnf', 'cnf']);
  });

  it('that come after the wish', async () => {
    lab.devices.want([device('t0', { netns: 'late', netnsId: '1:9' })]);
    await pass();
    const late = lab.kernel.addNetns('late', '1:9');
    late.add('t0');
    await pass();
    expect([lab.devices.state('late', 't0'), late.text()]).toEqual(['settled', DONE]);
  });
});

describe('hosts', () => {
  it('get addresses, and the VRF of their table where there is one', async () => {
    lab.ns.add('e0');
    lab.devices.want([]);
    lab.devices.wantHosts([host('e0', { mtu: 1300 })]);
    await pass();
    expect([lab.devices.state('cnf', 'e0'), lab.ns.text()]).toEqual([
      'settled',
      [`e0 up ${MAC} mtu 1300 10.9.0.1/24 fe80::fe:ff:fe00:1/64`],
    ]);
    lab.devices.wantHosts([host('e0', { mac: '02:11:22:33:44:55', mtu: 1300 })]);
    await pass();
    expect(lab.ns.link('e0').mac, 'and the MAC that they are to have').toBe('02:11:22:33:44:55');
    lab.devices.wantHosts([host('e0', { mtu: 1300 })]);
    await pass();
    await lab.byHand(() => void lab.ns.add('red', { kind: 'vrf', info: { vrf: { table: 7 } }, flags: k.IFF_UP }));
    expect(lab.ns.text()[0]).toMatch(/in red 10\.9\.0\.1\/24/);
    lab.devices.wantHosts([host('e0', { mtu: 1300, table: 254 })]);
    await pass();
    expect(lab.ns.link('e0').master).toBeUndefined();
    lab.devices.wantHosts([]);
    await pass();
    expect(lab.kernel.opened).toBe(0);
    expect(lab.ns.text(), 'what is in it goes with it').toEqual([
      `e0 up ${MAC} mtu 1300 10.9.0.1/24 fe80::fe:ff:fe00:1/64`,
      'red up table 7',
    ]);
  });
});
