/**
 * Stories of punts in the VPP driver on a fake VPP with VPP's defects: redirects, sockets, hosts, policers. What is put on once stays
 * on once, and what is somebody else's stays as it is.
 */
import { describe, expect, it } from 'vitest';
import type { Punt, PuntMatch } from '../../../src/lcp/puntobjects.ts';
import { abfItfAttachDump, abfPolicyDump } from '../../../src/vpp/api/abf.ts';
import { addDelIpPuntRedirectV2, ipPuntRedirectV2Dump } from '../../../src/vpp/api/ippunt.ts';
import { ipPuntPolice, policerAdd, policerDumpV2 } from '../../../src/vpp/api/policer.ts';
import { puntSocketDump, puntSocketRegister, setPunt } from '../../../src/vpp/api/punt.ts';
import { swInterfaceSpanDump } from '../../../src/vpp/api/span.ts';
import { featureIsEnabled } from '../../../src/vpp/api/xconnect.ts';
import type { FakeVpp } from './fakevpp.ts';
import { until } from './lab.ts';

import {
  ANY,
  abx,
  count,
  end,
  host,
  LAN,
  plane,
  police,
  port,
  publish,
  redirect,
  rows,
  socket,
  tell,
  times,
  WAN,
} from './puntlab.ts';

describe('redirects', () => {
  const entries = (fake: FakeVpp) => rows(fake, ipPuntRedirectV2Dump, { sw_if_index: ANY, af: 0 });

  it('are put on once however often they are asked for, and are off after one delete', async () => {
    const { fake, lab, opened, keys } = await plane();
    for (let i = 0; i < 5; i++) await lab.put(redirect('', 'lan0'));
    expect(count(fake, 'add_del_ip_punt_redirect_v2')).toBe(1);
    expect([entries(fake).length, times(fake, 'ip4-punt-redirect')]).toEqual([1, 1]);
    // a restart that the journal tells of
    const again = await opened.again();
    expect(await keys(again)).toEqual([]);
    const { generation } = again.dataplane.info();
    again.dataplane.punts.recall(generation, [redirect('', 'lan0')]);
    expect(await keys(again)).toEqual([JSON.stringify(redirect('', 'lan0'))]);
    await again.dataplane.apply([{ op: 'set', object: redirect('', 'lan0'), handle: 0 }]);
    expect(times(fake, 'ip4-punt-redirect')).toBe(1);
    for (let i = 0; i < 2; i++)
      await again.dataplane.apply([{ op: 'delete', object: redirect('', 'lan0'), handle: 0 }]);
    expect([entries(fake).length, times(fake, 'ip4-punt-redirect')]).toEqual([0, 0]);
  });

  const CASES = [0, 1].flatMap((there) => (['set', 'delete'] as const).map((then) => [there, then] as const));
  it.each(CASES)('that were changing when lcpd died are known, whichever VPP has (%i, %s)', async (there, then) => {
    const { fake, opened, lab, keys } = await plane();
    const both = [redirect('', 'lan0'), redirect('', 'lan0', '10.0.0.9')];
    await lab.put(both[there] as Punt);
    const again = await opened.again();
    const { punts } = again.dataplane;
    punts.recall(again.dataplane.info().generation, both);
    expect(await keys(again)).toEqual([JSON.stringify(both[there])]);
    const [answer] = await again.dataplane.apply([{ op: then, object: both[1] as Punt, handle: 0 }]);
    expect(answer).toMatchObject({ ok: true });
    expect(entries(fake).length).toBe(then === 'set' ? 1 : 0);
    expect(punts.memory.all()).toEqual(then === 'set' ? [both[1]] : []);
    await again.dataplane.apply([{ op: 'delete', object: both[1] as Punt, handle: 0 }]);
    expect([entries(fake).length, times(fake, 'ip4-punt-redirect')]).toEqual([0, 0]);
  });

  it.each(CASES)('and so are sockets (%i, %s)', async (there, then) => {
    const { fake, opened, lab } = await plane();
    const both = [socket(port(9000), '/run/t/a.sock'), socket(port(9000), '/run/t/b.sock')];
    await lab.put(both[there] as Punt);
    const again = await opened.again();
    again.dataplane.punts.recall(again.dataplane.info().generation, both);
    const [answer] = await again.dataplane.apply([{ op: then, object: both[1] as Punt, handle: 0 }]);
    expect(answer).toMatchObject({ ok: true });
    const paths = rows(fake, puntSocketDump, { type: 0 }).map(({ pathname }) => pathname);
    expect(paths).toEqual(then === 'set' ? ['/run/t/b.sock'] : []);
  });

  it('that change are replaced, one for each interface beside the one for any', async () => {
    const { fake, lab } = await plane();
    await lab.put(redirect('', 'lan0'));
    await lab.put(redirect('wan0', 'lan0'));
    await lab.put(redirect('', 'lan0', ''));
    expect(times(fake, 'ip4-punt-redirect')).toBe(2);
    const told = entries(fake).map(({ punt }) => punt as { rx_sw_if_index: number; paths: { type: number }[] });
    expect(told.map(({ rx_sw_if_index, paths }) => [rx_sw_if_index, paths[0]?.type])).toEqual([
      [ANY, 8],
      [WAN, 0],
    ]);
  });

  it('of somebody else are left as they are, and so is that of a pair', async () => {
    const { fake, lab } = await plane(undefined, true);
    expect(await lab.one('set', redirect('wan0', 'lan0'))).toMatchObject({
      ok: false,
      code: 'REFUSED',
      message: expect.stringContaining('has a pair'),
    });
    const path = { sw_if_index: WAN, type: 8, proto: 0, nh: { address: new Uint8Array(16) } };
    tell(fake, addDelIpPuntRedirectV2, { is_add: true, punt: { rx_sw_if_index: ANY, af: 0, paths: [path] } });
    const before = JSON.stringify(entries(fake));
    expect(await lab.one('set', redirect('', 'lan0'))).toMatchObject({ ok: false, code: 'REFUSED' });
    expect(await lab.one('delete', redirect('', 'lan0'))).toMatchObject({ ok: true });
    expect(JSON.stringify(entries(fake))).toBe(before);
    expect(await lab.one('set', redirect('gone0', 'lan0'))).toMatchObject({ ok: false, code: 'PHY_GONE' });
  });

  it('go with their interface, and come back with it', async () => {
    const { fake, lab, opened, keys } = await plane();
    await lab.put(redirect('', 'lan0'));
    await lab.put({ kind: 'punt', feature: 'span', from: 'lan0', to: 'wan0', rx: true, tx: true });
    await lab.put(abx('lan0', 'wan0'));
    end(fake, LAN);
    publish(fake);
    await until(() => entries(fake).length === 0);
    await until(() => rows(fake, abfPolicyDump).length === 0);
    expect(rows(fake, swInterfaceSpanDump, { is_l2: false })).toEqual([]);
    expect([rows(fake, abfItfAttachDump), times(fake, 'ip4-punt-redirect')]).toEqual([[], 0]);
    expect(await keys()).toEqual([]);
    fake.state.addInterface('other0', 'dpdk', {});
    await opened.dataplane.phys.byName('other0');
    expect(rows(fake, swInterfaceSpanDump, { is_l2: false })).toEqual([]);
    const made = fake.state.addInterface('lan0', 'dpdk', {});
    expect(made.sw_if_index).not.toBe(LAN);
    await until(() => entries(fake).length === 1);
    await until(() => rows(fake, abfItfAttachDump).length === 1);
    expect((await keys()).length).toBe(3);
  });
});

describe('sockets', () => {
  const paths = (fake: FakeVpp, type = 0) => rows(fake, puntSocketDump, { type }).map(({ pathname }) => pathname);

  it('get ports, protocols and reasons, another path in place of the one before, and let go of them', async () => {
    const { fake, lab, keys, punts } = await plane();
    expect(punts.serverSocket).toBe('/run/vpp/punt.sock');
    const all = [
      socket(port(9000)),
      socket({ by: 'protocol', family: 4, protocol: 89 }),
      socket({ by: 'reason', reason: 'ipsec4-no-such-tunnel' }),
    ];
    for (const each of all) await lab.put(each);
    expect((await keys()).sort()).toEqual(all.map((each) => JSON.stringify(each)).sort());
    const moved = socket(port(9000), '/run/t/d.sock');
    await lab.put(moved);
    expect(paths(fake)).toEqual(['/run/t/d.sock']);
    for (const each of [moved, ...all.slice(1)]) await lab.one('delete', each);
    expect([0, 1, 2].flatMap((type) => paths(fake, type))).toEqual([]);
    expect([...fake.state.udpPorts.keys()]).toEqual(['4/4500']);
  });

  it('are refused where VPP would not do it, and nothing is sent', async () => {
    const { fake, lab, punts } = await plane();
    const before = count(fake, 'punt_socket_register');
    const tcp: PuntMatch = { by: 'port', family: 4, protocol: 6, port: 80 };
    const reason: PuntMatch = { by: 'reason', reason: 'foo' };
    const long = `/${'x'.repeat(107)}`;
    const wrong = [
      socket(port(0)),
      socket(port(65535)),
      socket(tcp),
      socket(port(9000), ''),
      socket(port(9000), long),
      socket(port(9000), punts.serverSocket),
      socket(port(67)),
      socket(port(4789)),
      socket(port(4500)),
      socket({ by: 'protocol', family: 4, protocol: 17 }),
      socket({ by: 'icmp6', type: 135 }),
      socket(reason),
    ];
    const answers = [];
    for (const each of wrong) answers.push(await lab.one('set', each));
    expect(answers.map(({ ok }) => ok)).toEqual(wrong.map(() => false));
    expect(answers.at(-1)).toMatchObject({ hint: expect.stringContaining('ipsec4-no-such-tunnel') });
    expect(count(fake, 'punt_socket_register')).toBe(before);
    expect(punts.takenBy(port(4789))).toBe('VXLAN');
    expect(punts.takenBy(port(9000))).toBeUndefined();
  });

  it('that VPP swallows are found at once, and the session goes on', async () => {
    const { lab, fake } = await plane(undefined, false, true);
    const began = performance.now();
    expect(await lab.one('set', socket({ by: 'protocol', family: 4, protocol: 200 }))).toMatchObject({
      ok: false,
      code: 'REFUSED',
      message: expect.stringContaining('no answer'),
    });
    expect(performance.now() - began).toBeLessThan(2000);
    await lab.put(socket(port(9000)));
    expect(paths(fake)).toEqual(['/run/t/c.sock']);
  });

  it('of others stay, also those that VPP keeps under the same number', async () => {
    const { fake, lab } = await plane();
    const l4 = { af: 1, protocol: 17, port: 200 };
    tell(fake, puntSocketRegister, { header_version: 1, punt: { type: 0, punt: { l4 } }, pathname: '/run/other.sock' });
    expect(await lab.one('set', socket(port(200, 6)))).toMatchObject({ ok: false, code: 'REFUSED' });
    expect(await lab.one('set', socket({ by: 'icmp6', type: 200 }))).toMatchObject({ ok: false, code: 'REFUSED' });
    await lab.one('delete', socket(port(200, 6)));
    await lab.one('delete', socket(port(200, 6), '/run/other.sock'));
    expect(paths(fake)).toEqual(['/run/other.sock']);
  });

  it('need a socket of VPP', async () => {
    const { lab, punts } = await plane(({ state }) => {
      state.puntSocket = '';
    });
    expect([punts.serverSocket, punts.unsupported.get('socket')]).toEqual([
      '',
      expect.stringContaining('startup.conf'),
    ]);
    expect(await lab.one('set', socket(port(9000)))).toMatchObject({ ok: false, code: 'NOT_SUPPORTED' });
  });
});

describe('packets for the host', () => {
  it('are punted by port and reason, what was punted before lcpd stays so', async () => {
    const { fake, lab, keys } = await plane();
    tell(fake, setPunt, { is_add: true, punt: { type: 0, punt: { l4: { af: 0, protocol: 17, port: 9200 } } } });
    const reason = host({ by: 'reason', reason: 'ipsec4-no-such-tunnel' });
    const all = [host(port(9100)), reason, host(port(9200)), host(port(65535))];
    for (let i = 0; i < 2; i++) for (const each of all) await lab.put(each);
    expect(fake.state.udpPorts.get('4/9100')).toBe('ip4-udp-punt');
    expect(fake.state.sinksOf(2)).toEqual(['ip4-punt']);
    expect((await keys()).length).toBe(3);
    for (const each of all) await lab.one('delete', each);
    expect([...fake.state.udpPorts]).toEqual([
      ['4/4500', 'ipsec4-tun-input'],
      ['4/9200', 'ip4-udp-punt'],
    ]);
    expect(fake.state.sinksOf(2)).toEqual([]);
    expect(await keys()).toEqual([]);
  });

  it('beside a socket of the same reason get a copy, of the same port are refused', async () => {
    const { fake, lab } = await plane();
    const reason: PuntMatch = { by: 'reason', reason: 'ipsec4-no-such-tunnel' };
    await lab.put(socket(reason));
    await lab.put(host(reason));
    expect(fake.state.sinksOf(2)).toEqual(['exception-punt-socket', 'ip4-punt']);
    await lab.put(socket(port(9000)));
    expect(await lab.one('set', host(port(9000)))).toMatchObject({ ok: false, code: 'REFUSED' });
    await lab.put(host(port(9001)));
    expect(await lab.one('set', socket(port(9001)))).toMatchObject({ ok: false, code: 'REFUSED' });
    const tcp: PuntMatch = { by: 'port', family: 4, protocol: 6, port: 179 };
    expect(await lab.one('set', host(tcp))).toMatchObject({ ok: false, code: 'NOT_SUPPORTED' });
  });
});

describe('policers', () => {
  const policers = (fake: FakeVpp) => rows(fake, policerDumpV2, { policer_index: ANY });

  it('are put on once, changed where they are, and gone after they are off', async () => {
    const { fake, lab, opened, keys } = await plane((each) => {
      tell(each, policerAdd, { name: 'other', infos: { cir: 1, cb: 1n } });
    });
    for (let i = 0; i < 3; i++) await lab.put(police(1000));
    expect([times(fake, 'ip4-punt-policer'), policers(fake).length]).toEqual([1, 2]);
    const again = await opened.again();
    expect(await keys(again)).toEqual([JSON.stringify(police(1000))]);
    await again.dataplane.apply([{ op: 'set', object: police(2000), handle: 0 }]);
    expect(await keys(again)).toEqual([JSON.stringify(police(2000))]);
    expect(times(fake, 'ip4-punt-policer')).toBe(1);
    for (let i = 0; i < 2; i++) await again.dataplane.apply([{ op: 'delete', object: police(2000), handle: 0 }]);
    expect([times(fake, 'ip4-punt-policer'), policers(fake).map(({ name }) => name)]).toEqual([0, ['other']]);
    expect(fake.seen.lastIndexOf('ip_punt_police')).toBeLessThan(fake.seen.lastIndexOf('policer_del'));
  });

  it('are put on where nothing was ever put on before, of which VPP says that everything is on', async () => {
    const { fake, lab } = await plane();
    const asked = { sw_if_index: 0, arc_name: 'ip6-punt', feature_name: 'ip6-punt-policer' };
    expect(tell(fake, featureIsEnabled, asked).reply).toMatchObject({ is_enabled: true });
    const six: Punt = { kind: 'punt', feature: 'police', scope: 'ipv6', unit: 'pps', rate: 1000, burst: 100 };
    for (let i = 0; i < 2; i++) await lab.put(six);
    expect([times(fake, 'ip6-punt-policer', 'ip6-punt'), policers(fake).length]).toEqual([1, 1]);
    expect(await lab.one('delete', six)).toMatchObject({ ok: true });
    expect([times(fake, 'ip6-punt-policer', 'ip6-punt'), policers(fake).length]).toEqual([0, 0]);
  });

  it('of others stay on, and classes cannot be', async () => {
    const { fake, lab, punts } = await plane();
    tell(fake, ipPuntPolice, { policer_index: 7, is_add: true, is_ip6: false });
    expect(await lab.one('set', police(1000))).toMatchObject({ ok: false, code: 'REFUSED' });
    await lab.one('delete', police(1000));
    expect(times(fake, 'ip4-punt-policer')).toBe(1);
    const arp: Punt = { kind: 'punt', feature: 'police', scope: 'arp', unit: 'pps', rate: 1, burst: 1 };
    expect(await lab.one('set', arp)).toMatchObject({ ok: false, code: 'NOT_SUPPORTED' });
    expect(punts.unsupported.get('police class')).toMatch(/./);
  });
});
