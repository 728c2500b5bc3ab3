/**
 * Stories of the VPP driver on a fake VPP: addresses, pairs, sub-interfaces, links, neighbours and multicast entries.
 */
import { describe, expect, it } from 'vitest';
import type { Address } from '../../../src/lcp/objects.ts';
import { swInterfaceAddDelAddress, swInterfaceEvent, wantInterfaceEvents } from '../../../src/vpp/api/interface.ts';
import { contractLab } from '../lcp/contractlab.ts';
import { addPhys, FakeHosts, openDriver } from './driverlab.ts';
import { deleteInterface, interfaceMade } from './fakeinterfaces.ts';
import { hex } from './fakestate.ts';
import type { FakeVpp } from './fakevpp.ts';
import { startFake, until } from './lab.ts';

async function router(prepare: (fake: FakeVpp) => void = () => undefined) {
  const fake = await startFake((each) => {
    addPhys(each);
    prepare(each);
  });
  const opened = await openDriver(fake);
  const lab = contractLab(() => opened);
  return { fake, opened, lab, hosts: await lab.pairs() };
}

/** Hosts of the pairs. */
const hostsOf = ({ state }: FakeVpp): string[] => [...state.pairs.values()].map(({ host_if_name }) => host_if_name);

/** Addresses of an interface, with their length. */
const on = ({ state }: FakeVpp, index = 1): string[] =>
  [...(state.interfaces.get(index)?.addresses.keys() ?? [])].sort();

const count = (fake: FakeVpp, name: string): number => fake.seen.filter((seen) => seen === name).length;

describe('addresses', () => {
  const address = (text: string, prefixlen: number, connected = true, phy = 'wan0'): Address => ({
    kind: 'address',
    phy,
    family: text.includes(':') ? 6 : 4,
    address: text,
    prefixlen,
    connected,
  });
  it('are alone when none of their subnet is connected any more, whichever is told first', async () => {
    const { fake, lab } = await router();
    const two = ['10.0.0.1', '10.0.0.2'];
    for (const each of two) await lab.put(address(each, 24));
    expect(on(fake)).toEqual(['0a000001/24', '0a000002/24']);
    await lab.put(address('10.0.0.1', 24, false));
    expect(on(fake)).toEqual(['0a000001/24', '0a000002/24']);
    await lab.put(address('10.0.0.2', 24, false));
    expect(on(fake)).toEqual(['0a000001/32', '0a000002/32']);
    await lab.put(address('10.0.0.1', 24));
    expect(on(fake)).toEqual(['0a000001/24', '0a000002/24']);
  });

  it('have the kernel’s length where it routes their prefix there, else their own', async () => {
    const { fake, lab } = await router();
    await lab.put(address('10.0.0.1', 24));
    await lab.put(address('10.0.1.1', 24, false));
    expect(on(fake)).toEqual(['0a000001/24', '0a000101/32']);
    await lab.put(address('10.0.0.1', 24, false));
    await lab.put(address('10.0.1.1', 24));
    expect(on(fake)).toEqual(['0a000001/32', '0a000101/24']);
    await lab.one('delete', address('10.0.0.1', 24, false));
    await lab.one('delete', address('10.0.1.1', 24));
    expect(on(fake)).toEqual([]);
    expect(await lab.one('delete', address('10.0.1.1', 24))).toMatchObject({ ok: true });
  });

  it('that overlap another interface’s are taken as hosts’', async () => {
    const { fake, lab } = await router();
    fake.refuse(swInterfaceAddDelAddress, -105, 1);
    await lab.put(address('10.0.0.1', 24));
    expect(on(fake)).toEqual(['0a000001/32']);
  });

  it('need a pair, and end with it', async () => {
    const { fake, lab, opened, hosts } = await router();
    expect(await lab.one('set', address('10.0.0.1', 24, true, 'nowhere'))).toMatchObject({
      ok: false,
      code: 'PORT_REFUSED',
    });
    await lab.put(address('10.0.0.1', 24));
    await lab.one('delete', opened.pairs[0], hosts[0]);
    expect(on(fake)).toEqual([]);
    expect(await lab.held('address')).toEqual([]);
  });

  it('are off while their interface changes its table, and back then', async () => {
    const { fake, lab, hosts } = await router();
    for (const id of [254, 100]) await lab.put(lab.table(4, id));
    await lab.put(address('10.0.0.1', 24));
    await lab.put(lab.neighbour('10.0.0.2'));
    await lab.put(lab.link(hosts[0], { lookup4: ['cp/v4/255', 'cp/v4/100'] }));
    expect([fake.state.interfaces.get(1)?.table4, on(fake)]).toEqual([100, ['0a000001/24']]);
    expect([...fake.state.neighbors.keys()], 'and so are the neighbours that go with them').toEqual(['1 0a000002']);
    await lab.put(lab.link(hosts[0], { lookup4: ['cp/v4/255', 'cp/v4/254'] }));
    expect([fake.state.interfaces.get(1)?.table4, on(fake)]).toEqual([0, ['0a000001/24']]);
  });

  it('of the link are swapped, and IPv6 goes with the last address only', async () => {
    const { fake, lab } = await router();
    const state = () => {
      const { ip6, linkLocal } = fake.state.interfaces.get(1) ?? { ip6: false, linkLocal: new Uint8Array() };
      return [ip6, hex(linkLocal).slice(-4)];
    };
    await lab.put(address('fe80::1', 64));
    expect(state()).toEqual([true, '0001']);
    expect(count(fake, 'sw_interface_ip6nd_ra_config'), 'VPP advertises no router').toBe(1);
    await lab.put(address('fe80::2', 64));
    expect(state()).toEqual([true, '0002']);
    await lab.one('delete', address('fe80::2', 64));
    expect(state()).toEqual([true, '0001']);
    await lab.put(address('fd00::1', 64));
    await lab.one('delete', address('fe80::1', 64));
    expect(state()[0]).toBe(true);
    await lab.one('delete', address('fd00::1', 64));
    await lab.put(address('fe80::3', 64));
    await lab.one('delete', address('fe80::3', 64));
    expect(state()[0]).toBe(false);
  });

  it('that an earlier lcpd had as hosts’ are not removed when they are asked for with their length', async () => {
    const { fake, opened, lab } = await router();
    await lab.put(address('10.0.0.1', 24, false));
    const again = await opened.again();
    const found = contractLab(() => again);
    const [held] = (await again.dataplane.dump()).filter(({ object }) => object.kind === 'address');
    expect(held?.object).toEqual(address('10.0.0.1', 32, false));
    await found.one('delete', address('10.0.0.1', 32, false));
    await found.put(address('10.0.0.1', 24, false));
    expect(count(fake, 'sw_interface_add_del_address')).toBe(1);
    expect(await found.held('address')).toEqual(['wan0 10.0.0.1/24']);
  });

  it('let groups of the link in, in the table of the interface', async () => {
    const { fake, lab } = await router();
    await lab.put(address('10.0.0.1', 24));
    await lab.put(address('10.0.0.2', 24));
    expect([...fake.state.mroutes.keys()]).toEqual([
      '0 0 00000000000000000000000000000000 e0000000000000000000000000000000/24',
    ]);
    expect(count(fake, 'ip_mroute_add_del')).toBe(1);
  });
});

describe('pairs', () => {
  it('whose host is another one are made anew, without what was on them', async () => {
    const { fake, opened, lab, hosts } = await router();
    const [first] = opened.pairs;
    await lab.put({ kind: 'subif', phy: 'wan0.100', parent: 'wan0', tags: [0x8100_0064], netns: 'cp' });
    await lab.put({ ...first, host: 'e9' }, hosts[0]);
    expect([opened.hosts.exists('e0'), opened.hosts.exists('e9')]).toEqual([false, true]);
    expect(await lab.held('subif')).toEqual([]);
    expect([...fake.state.pairs.values()].map(({ host_if_name }) => host_if_name).sort()).toEqual(['e1', 'e9']);
  });

  it('of VPP’s own namespace are refused while VPP would make their host elsewhere', async () => {
    const fake = await startFake(addPhys);
    fake.state.defaultNs = 'dataplane';
    const opened = await openDriver(fake);
    const lab = contractLab(() => opened);
    const refused = await lab.one('set', { ...opened.pairs[0], netns: '' });
    expect(refused).toMatchObject({ ok: false, code: 'HOST_DEVICE', message: expect.stringContaining('dataplane') });
    await lab.put(opened.pairs[0]);
  });

  it('are not made of hosts', async () => {
    const { fake, opened, lab } = await router();
    const host = [...fake.state.interfaces.values()].find(({ dev }) => dev === 'tap');
    const { interface_name: phy = '', sw_if_index: phyIfindex = 0 } = host ?? {};
    await until(() => opened.dataplane.phys.byName(phy) !== undefined);
    const refused = await lab.one('set', { ...opened.pairs[0], phy, phyIfindex, host: 'e7' });
    expect(refused).toMatchObject({
      ok: false,
      code: 'PORT_REFUSED',
      message: expect.stringContaining('host of another'),
    });
  });

  it('that others made are not ours, until they are asked for', async () => {
    const { fake, opened, lab, hosts } = await router();
    const again = await openDriver(fake, new FakeHosts(fake));
    expect((await again.dataplane.dump()).filter(({ object }) => object.kind === 'pair')).toEqual([]);
    const found = contractLab(() => again);
    const made = count(fake, 'lcp_itf_pair_add_del_v3');
    expect(await found.put(again.pairs[0])).toBe(hosts[0]);
    expect(count(fake, 'lcp_itf_pair_add_del_v3')).toBe(made);
    expect(await found.held('pair')).toEqual([`wan0 ${hosts[0]}`]);
    expect(await lab.held('pair')).toHaveLength(2);
    expect(opened.states).toEqual(['up']);
  });
});

describe('sub-interfaces', () => {
  it('are up before they are paired, since their VLAN device becomes as they are', async () => {
    const { fake, lab, hosts } = await router();
    await lab.put({ kind: 'subif', phy: 'wan0.100', parent: 'wan0', tags: [0x8100_0064], netns: 'cp' });
    const since = fake.seen.length;
    await lab.put(lab.link(hosts[0], { phy: 'wan0.100', parent: 'wan0', phyIfindex: 0, host: 'e0.100' }));
    const sent = fake.seen.slice(since);
    expect(sent.indexOf('sw_interface_set_flags')).toBeGreaterThan(-1);
    expect(sent.indexOf('lcp_itf_pair_add_del_v3')).toBeGreaterThan(sent.indexOf('sw_interface_set_flags'));
    expect(hostsOf(fake)).toContain('e0.100');
  });
});

describe('links', () => {
  it('send what differs, once', async () => {
    const { fake, lab, hosts } = await router();
    for (const id of [255, 254]) await lab.put(lab.table(4, id));
    const link = lab.link(hosts[0], { lookup4: ['cp/v4/255', 'cp/v4/254'], mtu: 1400, phyMtu: 9200 });
    await lab.put(link);
    const found = fake.state.interfaces.get(1);
    expect(found).toMatchObject({ flags: 3, mtu: [1400, 0, 0, 0], link_mtu: 9200 });
    expect(hex(found?.l2_address)).toBe('020000000042');
    const since = fake.seen.length;
    await lab.put(link);
    const questions = /_dump$|^control_ping$|^feature_is_enabled$/;
    expect(fake.seen.slice(since).filter((name) => !questions.test(name))).toEqual([]);
    await lab.put({ ...link, up: false });
    expect((fake.state.interfaces.get(1)?.flags ?? 1) & 1).toBe(0);
  });

  it('take frames to further addresses, as long as the host has them', async () => {
    const { fake, lab, hosts, opened } = await router();
    for (const id of [255, 254]) await lab.put(lab.table(4, id));
    const macs = () => [...(fake.state.interfaces.get(1)?.macs ?? [])].sort();
    const [first, second] = ['02:00:5e:00:01:01', '02:00:5e:00:01:02'];
    for (const wanted of [[first], [first, second], [second], []]) {
      await lab.put(lab.link(hosts[0], { macs: wanted }));
      expect(macs()).toEqual(wanted.map((mac) => mac.replaceAll(':', '')));
    }
    await lab.put(lab.link(hosts[0], { macs: [first] }));
    await lab.one('delete', opened.pairs[0]);
    expect(macs()).toEqual([]);
  });

  it('tell further addresses again to an interface that has the index of one that ended', async () => {
    const { fake, lab, hosts, opened } = await router();
    const macs = () => [...(fake.state.interfaces.get(1)?.macs ?? [])].sort();
    const [first, second] = ['02:00:5e:00:01:01', '02:00:5e:00:01:02'];
    await lab.put(lab.link(hosts[0], { macs: [first, second] }));
    fake.state.removeInterface(1);
    const gone = { pid: 0, sw_if_index: 1, flags: 0, deleted: true };
    fake.emit(swInterfaceEvent, gone, wantInterfaceEvents);
    await until(() => opened.dataplane.phys.byName('wan0') === undefined);
    await opened.dataplane.dump();
    expect(fake.state.addInterface('wan0', 'dpdk', {}).sw_if_index, 'the same index').toBe(1);
    await until(() => opened.dataplane.phys.byName('wan0') !== undefined);
    const host = await lab.put(opened.pairs[0]);
    const since = fake.seen.length;
    await lab.put(lab.link(host, { macs: [second] }));
    expect(macs(), 'and only what is wanted now').toEqual(['02005e000102']);
    const told = fake.seen.slice(since).filter((name) => name === 'sw_interface_add_del_mac_address');
    expect(told, 'nothing is taken from one that never had it').toHaveLength(1);
    await lab.put(lab.link(host, { macs: [first, second] }));
    expect(macs()).toEqual(['02005e000101', '02005e000102']);
  });

  it('take IPv4 with and without an address, until their pair ends', async () => {
    const { fake, lab, hosts, opened } = await router();
    for (const id of [255, 254]) await lab.put(lab.table(4, id));
    const drops = () => fake.state.interfaces.get(1)?.features.get('ip4-unicast ip4-not-enabled');
    expect(drops()).toBe(1);
    await lab.put(lab.link(hosts[0], { lookup4: ['cp/v4/255', 'cp/v4/254'] }));
    expect(drops()).toBe(0);
    const address = { kind: 'address', phy: opened.pairs[0].phy, family: 4, address: '10.0.0.1' } as const;
    for (const op of ['set', 'delete'] as const) {
      await lab.one(op, { ...address, prefixlen: 24, connected: true });
      expect(drops()).toBe(0);
    }
    await lab.one('delete', opened.pairs[0]);
    expect(drops()).toBe(1);
  });

  it('that are looked up in nothing are the kernel’s: all they get is punted', async () => {
    const { fake, lab, hosts } = await router();
    await lab.put(lab.link(hosts[0]));
    const { table4, table6 } = fake.state.interfaces.get(1) ?? {};
    expect([fake.state.tables.get(`4:${table4}`), fake.state.tables.get(`6:${table6}`)]).toEqual([
      'lcpd punt',
      'lcpd punt',
    ]);
  });

  it('of phys that change in VPP are told, and so is a phy that comes', async () => {
    const { fake, opened } = await router();
    const before = opened.news.phys;
    const phy = fake.state.interfaces.get(1);
    if (phy !== undefined) phy.link_mtu = 1234;
    fake.state.addInterface('late0', 'dpdk', {});
    await until(() => opened.news.phys > before);
    expect(opened.dataplane.phys.byName('late0')).toMatchObject({ ethernet: true, up: false });
    expect(opened.dataplane.phys.get(opened.dataplane.phys.byName('late0')?.ifindex ?? 0)).toMatchObject({
      ethernet: true,
    });
  });
});

describe('neighbours', () => {
  it('that VPP has already are not sent, a static one is made anew, and those it learned stay', async () => {
    const { fake, opened, lab } = await router();
    const key = (last: number) => `1 0a0000${last.toString(16).padStart(2, '0')}`;
    await lab.put(lab.neighbour('10.0.0.2'));
    const ours = fake.state.neighbors.get(key(2)) as object;
    fake.state.neighbors.set(key(3), { ...ours, ip_address: Uint8Array.of(10, 0, 0, 3) });
    fake.state.neighbors.set(key(4), { ...ours, ip_address: Uint8Array.of(10, 0, 0, 4), flags: 1 });
    const again = await opened.again();
    const found = contractLab(() => again);
    const sent = count(fake, 'ip_neighbor_add_del');
    await found.put(found.neighbour('10.0.0.2'));
    await found.put(found.neighbour('10.0.0.3'));
    expect(count(fake, 'ip_neighbor_add_del')).toBe(sent);
    await found.put(found.neighbour('10.0.0.4'));
    expect(count(fake, 'ip_neighbor_add_del')).toBe(sent + 2);
    expect(fake.state.neighbors.get(key(4))).toMatchObject({ flags: 0 });
    expect(await found.held('neighbour')).toHaveLength(3);
  });
});

describe('multicast entries', () => {
  it('change by what differs, are found again, and end whole', async () => {
    const { fake, opened, lab } = await router();
    const entry = { kind: 'mroute' as const, phy: 'wan0', family: 4 as const, source: '10.0.0.9', group: '239.1.1.1' };
    const ways = () => {
      const [only] = [...fake.state.mroutes.values()] as {
        paths: { itf_flags: number; path: { sw_if_index: number } }[];
      }[];
      return only?.paths.map(({ itf_flags, path }) => `${path.sw_if_index}:${itf_flags}`).sort();
    };
    await lab.put({ ...entry, out: ['lan0'], host: true });
    expect(ways()).toEqual(['1:2', '2:4', '4294967295:4']);
    await lab.put({ ...entry, out: ['lan0'], host: false });
    expect(ways()).toEqual(['1:2', '2:4']);
    const again = await opened.again();
    const found = contractLab(() => again);
    const [held] = (await again.dataplane.dump()).filter(({ object }) => object.kind === 'mroute');
    expect(held?.object).toEqual({ ...entry, out: ['lan0'], host: false });
    await found.one('delete', { ...entry, out: [], host: false });
    expect(ways()).toBeUndefined();
    expect(await found.one('set', { ...entry, out: ['nowhere'], host: false })).toMatchObject({ ok: false });
  });
});

describe('an interface that ends, and the next one of its name and number', () => {
  it('has its pair, state, table, address and neighbour anew', async () => {
    const { fake, opened, lab } = await router();
    const { state } = fake;
    const publish = (): void => {
      for (const { event, wanted, value } of state.takeEvents()) fake.emit(event, value, wanted);
    };
    const address: Address = {
      ...{ kind: 'address', phy: 'wan0', family: 4, address: '10.0.0.1' },
      ...{ prefixlen: 24, connected: true },
    };
    const neighbour = lab.neighbour('10.0.0.2');
    /** What VPP has once all is asked for. */
    const asked = async () => {
      const link = lab.link(await lab.put(opened.pairs[0]));
      await lab.put(address);
      // before the link, which puts addresses back that it knows of
      const addresses = on(fake);
      for (const object of [link, neighbour]) await lab.put(object);
      const { flags, table4, mtu } = state.interfaces.get(1) ?? {};
      return { hosts: hostsOf(fake).sort(), flags, table4, mtu, addresses };
    };
    const before = await asked();
    expect(before).toMatchObject({ hosts: ['e0', 'e1'], addresses: ['0a000001/24'] });
    expect(before.table4).not.toBe(0);
    const told = count(fake, 'ip_neighbor_add_del');
    deleteInterface(state, 1);
    publish();
    await until(() => opened.dataplane.phys.byName('wan0') === undefined);
    for (const object of [neighbour, address, lab.link(0), opened.pairs[0]])
      expect(await lab.one('delete', object)).toMatchObject({ ok: true });
    expect(interfaceMade(state, state.addInterface('wan0', 'dpdk', {}))).toEqual({ reply: { sw_if_index: 1 } });
    publish();
    await until(() => opened.dataplane.phys.byName('wan0') !== undefined);
    expect(await asked()).toEqual(before);
    expect(count(fake, 'ip_neighbor_add_del')).toBe(told + 1);
    expect(await lab.held('pair')).toHaveLength(2);
  });

  it('is read anew with all the rest where nobody has seen it gone', async () => {
    const { fake, opened, lab } = await router();
    const { state } = fake;
    expect(await lab.held('pair')).toHaveLength(2);
    deleteInterface(state, 1);
    expect(interfaceMade(state, state.addInterface('wan0', 'dpdk', {}))).toEqual({ reply: { sw_if_index: 1 } });
    for (const { event, wanted, value } of state.takeEvents()) fake.emit(event, value, wanted);
    await until(() => opened.states.join() === 'up,down,up');
    expect(await lab.held('pair'), 'its pair is known to be missing').toHaveLength(1);
  });
});
