/**
 * Stories of punts in the VPP driver on a fake VPP with VPP's defects: interconnects, what is between them, and nothing that is left where
 * an interface goes.
 */
import { describe, expect, it } from 'vitest';
import type { Interconnect, Punt } from '../../../src/lcp/puntobjects.ts';
import { abfItfAttachDump, abfPolicyDump } from '../../../src/vpp/api/abf.ts';
import { aclAddReplace } from '../../../src/vpp/api/acl.ts';
import { dhcpProxyConfig } from '../../../src/vpp/api/dhcp.ts';
import { memifCreateV2, memifSocketFilenameDump } from '../../../src/vpp/api/memif.ts';
import { proxyArpAddDel, proxyArpDump, proxyArpIntfcDump } from '../../../src/vpp/api/proxy.ts';
import { swInterfaceSpanDump } from '../../../src/vpp/api/span.ts';
import { swInterfaceSetL2Xconnect } from '../../../src/vpp/api/xconnect.ts';
import type { Dump } from '../../../src/vpp/message.ts';
import { rule } from '../lcp/contractpunts.ts';
import type { FakeVpp } from './fakevpp.ts';
import { until } from './lab.ts';

import { ANY, abx, count, end, interconnect, LAN, plane, police, publish, rows, tell, WAN } from './puntlab.ts';

describe('cross-connects', () => {
  const xconnect = (from: string, to: string): Punt => ({ kind: 'punt', feature: 'xconnect', from, to });

  it('of others and bridges are left as they are', async () => {
    const { fake, lab, keys } = await plane(({ state }) => {
      state.bridged.set('lan0', 7);
    });
    tell(fake, swInterfaceSetL2Xconnect, { rx_sw_if_index: WAN, tx_sw_if_index: LAN, enable: true });
    await lab.put(interconnect('tap-a'));
    expect(await lab.one('set', xconnect('wan0', 'tap-a'))).toMatchObject({ ok: false, code: 'REFUSED' });
    expect(await lab.one('set', xconnect('lan0', 'tap-a'))).toMatchObject({
      ok: false,
      message: expect.stringContaining('bridge domain 7'),
    });
    await lab.one('delete', xconnect('wan0', 'lan0'));
    expect([...fake.state.crossed]).toEqual([[WAN, LAN]]);
    expect(await keys()).toEqual([]);
  });

  it('end with an interconnect that VPP has lost, and are there again with the next one', async () => {
    const { fake, lab, keys } = await plane();
    await lab.put(interconnect('tap-a'));
    const both = [xconnect('wan0', 'tap-a'), xconnect('tap-a', 'wan0')];
    for (const each of both) await lab.put(each);
    expect((await keys()).length).toBe(2);
    end(fake, 3);
    publish(fake);
    await until(() => fake.state.crossed.size === 0);
    await lab.put(interconnect('tap-a'));
    await until(() => fake.state.crossed.size === 2);
  });
});

describe('interconnects', () => {
  const one = (fake: FakeVpp, name: string) =>
    [...fake.state.interfaces.values()].find((each) => each.interface_name === name);
  const texts = (fake: FakeVpp, name: string) =>
    [...(one(fake, name)?.addresses.values() ?? [])].map(
      ({ address, len }) => `${Buffer.from(address).toString('hex')}/${len}`,
    );

  it('get their table before their addresses, and these in order, again after a change', async () => {
    const { fake, lab } = await plane(({ state }) => {
      state.tables.set('4:5', 'five').set('6:5', 'five');
    });
    const addresses = ['10.5.0.1/24', '10.5.1.1/24'];
    await lab.put(interconnect('hp0', { table: 5, addresses, mtu: 1400 }));
    expect(one(fake, 'hp0')).toMatchObject({ table4: 5, table6: 5, mtu: [1400, 0, 0, 0], flags: 3 });
    const { sw_if_index } = one(fake, 'hp0') ?? {};
    await lab.put(interconnect('hp0', { table: 5, addresses: [...addresses].reverse() }));
    expect(texts(fake, 'hp0')).toEqual(['0a050101/24', '0a050001/24']);
    expect(one(fake, 'hp0')).toMatchObject({ sw_if_index, mtu: [9000, 0, 0, 0] });
    // no interface with addresses moves
    await lab.put(interconnect('hp0', { addresses: ['10.5.0.1/24'] }));
    expect(one(fake, 'hp0')).toMatchObject({ table4: 0 });
    expect(texts(fake, 'hp0')).toEqual(['0a050001/24']);
    expect(await lab.one('set', interconnect('hp1', { table: 6 }))).toMatchObject({ ok: false, code: 'REFUSED' });
  });

  it('borrow addresses of an interface, ask for one by DHCP, and leave nothing behind', async () => {
    const { fake, lab, keys } = await plane();
    await lab.put(interconnect('tap-a', { lender: 'wan0' }));
    expect(one(fake, 'tap-a')?.unnumbered).toBe(WAN);
    await lab.put(interconnect('tap-b', { dhcpClient: true, peerMac: '02:fe:00:00:00:02' }));
    expect(count(fake, 'dhcp_client_config')).toBe(1);
    await lab.put(interconnect('tap-b', { dhcpClient: true, peerMac: '02:fe:00:00:00:02' }));
    expect(count(fake, 'dhcp_client_config')).toBe(1);
    await lab.put(interconnect('tap-a'));
    expect(one(fake, 'tap-a')?.unnumbered).toBe(ANY);
    await lab.put({ kind: 'punt', feature: 'span', from: 'wan0', to: 'tap-a', rx: true, tx: false });
    await lab.put(abx('tap-a', 'wan0'));
    for (const name of ['tap-a', 'tap-b']) await lab.one('delete', interconnect(name));
    expect(rows(fake, swInterfaceSpanDump, { is_l2: false })).toEqual([]);
    expect([await keys(), rows(fake, abfPolicyDump)]).toEqual([[], []]);
    expect(fake.state.interfaces.size).toBe(3);
  });

  it('over memif are told again by their tag, another secret makes another, and its socket goes with it', async () => {
    const { fake, lab, opened } = await plane();
    const socketPath = `${fake.path}.memif/m.sock`;
    const memif = interconnect('memif-a', {
      link: 'memif',
      netns: '',
      netnsId: '',
      peerMac: '',
      socket: socketPath,
      secret: 'abcde',
    });
    for (let i = 0; i < 2; i++) await lab.put(memif);
    expect(count(fake, 'memif_create_v2')).toBe(1);
    const again = await opened.again();
    const held = (await again.dataplane.dump())
      .map(({ object }) => object)
      .filter(({ kind }) => kind === 'interconnect');
    expect(held).toEqual([{ ...memif, secret: '' }]);
    const set = (object: Interconnect) => again.dataplane.apply([{ op: 'set', object, handle: 0 }]);
    await set(memif);
    expect(count(fake, 'memif_create_v2')).toBe(1);
    await set({ ...memif, secret: 'fghij' });
    expect(count(fake, 'memif_create_v2')).toBe(2);
    await again.dataplane.apply([{ op: 'delete', object: memif, handle: 0 }]);
    expect(rows(fake, memifSocketFilenameDump).length).toBe(1);
  });

  it('that were left half made go before the next is made', async () => {
    const { fake, lab } = await plane();
    fake.refuse(memifCreateV2, -1, 1);
    const path = `${fake.path}.memif/m.sock`;
    const memif = interconnect('memif-a', { link: 'memif', netns: '', netnsId: '', peerMac: '', socket: path });
    expect(await lab.one('set', memif)).toMatchObject({ ok: false });
    await lab.put(memif);
    const at = rows(fake, memifSocketFilenameDump).filter(({ socket_filename }) => socket_filename === path);
    expect(at.length).toBe(1);
  });

  it('do not take the name of somebody else’s interface, nor one of another sort for ours by its tag', async () => {
    const { fake, lab, opened } = await plane(({ state }) => {
      state.addInterface('tap-a', 'dpdk', { tag: 'punt:one#01234567' });
    });
    expect(await lab.one('set', interconnect('tap-a'))).toMatchObject({
      ok: false,
      message: expect.stringContaining('another tap-a'),
    });
    await lab.one('delete', interconnect('tap-a'));
    const kinds = (await opened.dataplane.dump()).map(({ object }) => object.kind);
    expect(kinds).not.toContain('interconnect');
    expect(one(fake, 'tap-a')).toBeDefined();
  });
});

describe('ABX', () => {
  it('has a list and a policy for each family, told once, replaced under its number', async () => {
    const { fake, lab, opened, keys } = await plane();
    const rules = [rule('2001:db8::1/128', { protocol: 58 }), rule('10.0.0.1/32', { protocol: 6 })];
    for (let i = 0; i < 2; i++) await lab.put(abx('wan0', 'lan0', rules));
    const policies = rows(fake, abfPolicyDump).map(({ policy }) => policy as { n_paths: number });
    expect(policies.map(({ n_paths }) => n_paths)).toEqual([1, 1]);
    expect(await keys()).toEqual([JSON.stringify(abx('wan0', 'lan0', rules))]);
    const made = count(fake, 'acl_add_replace');
    await lab.put(
      abx('wan0', 'lan0', [rule('10.0.0.1/32', { protocol: 6 }), rule('10.0.0.2/32', { permit: false })], 9),
    );
    expect(count(fake, 'acl_add_replace')).toBe(made + 1);
    expect(rows(fake, abfPolicyDump).length).toBe(1);
    expect(rows(fake, abfItfAttachDump)).toMatchObject([{ attach: { priority: 9, is_ipv6: false } }]);
    // a list of ours that no policy has is left of an lcpd that ended; others' lists are not touched
    tell(fake, aclAddReplace, { acl_index: ANY, tag: 'punt:abx4', r: [] });
    tell(fake, aclAddReplace, { acl_index: ANY, tag: 'mine', r: [] });
    const again = await opened.again();
    expect((await keys(again)).length).toBe(1);
    await again.dataplane.apply([{ op: 'delete', object: abx('wan0', 'lan0'), handle: 0 }]);
    const tags = (fake.state.handle({ name: 'acl_dump' } as Dump, { acl_index: ANY }).rows ?? []).map(({ tag }) => tag);
    expect(tags).toEqual(['mine']);
  });
});

describe('proxies and relays', () => {
  const proxy = (on: string, high = '10.0.0.9'): Punt => ({
    kind: 'punt',
    feature: 'proxy',
    on,
    family: 4,
    table: 0,
    low: '10.0.0.1',
    high,
  });
  const relay = (server: string, source = '10.0.0.1'): Punt => ({
    kind: 'punt',
    feature: 'dhcp-proxy',
    family: server.includes(':') ? 6 : 4,
    table: 0,
    serverTable: 0,
    server,
    source,
  });

  it('ranges and interfaces stay as long as one needs them', async () => {
    const { fake, lab, keys, punts } = await plane();
    for (const on of ['wan0', 'lan0']) await lab.put(proxy(on));
    expect([rows(fake, proxyArpDump).length, rows(fake, proxyArpIntfcDump).length]).toEqual([1, 2]);
    expect((await keys()).length).toBe(2);
    await lab.put(proxy('wan0', '10.0.0.20'));
    expect(rows(fake, proxyArpDump).length).toBe(2);
    await lab.one('delete', proxy('wan0', '10.0.0.20'));
    expect([rows(fake, proxyArpDump).length, rows(fake, proxyArpIntfcDump)]).toEqual([1, [{ sw_if_index: LAN }]]);
    await lab.one('delete', proxy('lan0'));
    expect([rows(fake, proxyArpDump), rows(fake, proxyArpIntfcDump)]).toEqual([[], []]);
    tell(fake, proxyArpAddDel, {
      is_add: true,
      proxy: { table_id: 0, low: Uint8Array.of(10, 0, 0, 1), hi: Uint8Array.of(10, 0, 0, 9) },
    });
    expect(await lab.one('set', proxy('wan0'))).toMatchObject({ ok: false, code: 'REFUSED' });
    await lab.one('delete', proxy('wan0'));
    expect(rows(fake, proxyArpDump).length).toBe(1);
    const six: Punt = { ...proxy('wan0'), family: 6, low: 'fd00::1', high: 'fd00::9' } as Punt;
    expect(await lab.one('set', six)).toMatchObject({ ok: false, code: 'NOT_SUPPORTED' });
    expect(punts.unsupported.get('proxy 6')).toMatch(/./);
  });

  it('relays share a source, of both families; those of others stay', async () => {
    const { fake, lab, keys } = await plane();
    for (const server of ['10.0.0.2', '10.0.0.3', 'fd00::2'])
      await lab.put(relay(server, server.includes(':') ? 'fd00::1' : '10.0.0.1'));
    expect((await keys()).length).toBe(3);
    expect(await lab.one('set', relay('0.0.0.0'))).toMatchObject({ ok: false });
    expect(await lab.one('set', { ...relay('10.0.0.2'), table: 77 } as Punt)).toMatchObject({ ok: false });
    for (const server of ['10.0.0.2', '10.0.0.3']) await lab.one('delete', relay(server));
    await lab.one('delete', relay('fd00::2', 'fd00::1'));
    expect(await keys()).toEqual([]);
    const addresses = { dhcp_server: Uint8Array.of(10, 0, 0, 9), dhcp_src_address: Uint8Array.of(10, 0, 0, 8) };
    tell(fake, dhcpProxyConfig, { rx_vrf_id: 0, server_vrf_id: 0, is_add: true, ...addresses });
    expect(await lab.one('set', relay('10.0.0.2'))).toMatchObject({ ok: false, code: 'REFUSED' });
  });
});

describe('what a VPP lacks', () => {
  it('is named with its plugin, and asking for it is refused', async () => {
    const { lab, punts } = await plane((fake) => fake.remove('acl_add_replace', 'policer_add', 'tap_create_v3'));
    expect(punts.unsupported.get('abx')).toContain('acl_plugin is not loaded');
    expect(punts.unsupported.get('police')).toContain('policer_plugin is not loaded');
    expect(punts.unsupported.get('link tap')).toContain('tap_plugin is not loaded');
    for (const object of [abx('wan0', 'lan0'), police(1000), interconnect('tap-a')])
      expect(await lab.one('set', object)).toMatchObject({ ok: false, code: 'NOT_SUPPORTED' });
    for (const object of [abx('wan0', 'lan0'), police(1000)])
      expect(await lab.one('delete', object)).toMatchObject({ ok: true });
  });

  it('is among the notes of the punts that it is about, and of no others', async () => {
    const { punts } = await plane();
    const deny = abx('wan0', 'lan0', [rule('10.0.0.0/8', { protocol: 89, permit: false })]);
    const relay: Punt = {
      ...{ kind: 'punt', feature: 'dhcp-proxy', family: 6, table: 0, serverTable: 0 },
      ...{ server: 'fd00::2', source: 'fd00::1' },
    };
    const noted = [deny, { ...abx('wan0', 'lan0'), from: 'wan0.5' }, relay, police(1000)];
    const said = [/denies/, /tags/, /option 9 before 18/, /256 bytes/];
    noted.forEach((punt, i) => {
      expect(punts.notes(punt as Punt).join()).toMatch(said[i] as RegExp);
    });
    for (const punt of [abx('wan0', 'lan0'), { ...relay, family: 4 }, { ...police(1000), unit: 'kbps' }])
      expect(punts.notes(punt as Punt)).toEqual([]);
  });

  it('is told of a reason for the host when a socket has it, too', async () => {
    const { punts, lab } = await plane();
    const match = { by: 'reason', reason: punts.reasons[0]?.name ?? '' } as const;
    const host: Punt = { kind: 'punt', feature: 'host', match };
    expect(punts.notes(host)).toEqual([]);
    expect(await lab.one('set', { kind: 'punt', feature: 'socket', match, path: '/c.sock' })).toMatchObject({
      ok: true,
    });
    expect(punts.notes(host).join()).toMatch(/loses its Ethernet header/);
  });

  it('is told of interfaces and tables when somebody asks', async () => {
    const { fake, punts, opened } = await plane();
    expect(punts.interface('gone0')).toBeUndefined();
    fake.state.interfaces.get(WAN)?.addresses.set('x', { address: Uint8Array.of(10, 0, 0, 1), len: 24 });
    expect(punts.interface('wan0')).toMatchObject({ ethernet: true });
    await until(() => punts.interface('wan0')?.addresses !== undefined);
    expect(punts.interface('wan0')).toMatchObject({ addresses: ['10.0.0.1/24'], table4: 0, table6: 0 });
    expect([punts.hasTable(4, 0), punts.hasTable(4, 5)]).toEqual([true, false]);
    const before = opened.news.phys;
    fake.state.tables.set('4:5', 'five');
    await until(() => opened.news.phys > before);
    expect(punts.hasTable(4, 5)).toBe(true);
  });
});
