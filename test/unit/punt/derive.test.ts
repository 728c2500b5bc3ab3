/**
 * From requests to objects: who shares, who waits, who is refused. Numbers in names are those of the scenarios of the punt
 * manager. What holds for any sequence of requests is in properties.test.ts.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { matchText } from '../../../src/lcp/puntobjects.ts';
import { Allocations } from '../../../src/punt/allocations.ts';
import { type Derived, derivePunts } from '../../../src/punt/derive.ts';
import type { AbxSpec, PuntRequest, RuleSpec, ToHostSpec } from '../../../src/punt/request.ts';
import { ask, type FakeEnv, fakeEnv, place } from './lab.ts';

const rule = (of: Partial<RuleSpec> = {}): RuleSpec => ({
  permit: true,
  source: 'any',
  destination: 'local',
  protocol: 0,
  sourcePorts: [0, 65535],
  destinationPorts: [0, 65535],
  flagsMask: 0,
  flagsValue: 0,
  ...of,
});
const ospf = rule({ protocol: 89 });
const bgp = rule({ protocol: 6, destinationPorts: [179, 179] });
const abx = (ingress: RuleSpec[], of: Partial<AbxSpec> = {}): AbxSpec => ({
  type: 'abx',
  interface: 'eth0',
  vrf: 0,
  withoutCnfVrf: false,
  ingress,
  egress: [],
  ...of,
});
const udp = (port: number, socket: string, l3: ToHostSpec['l3'] = 'ipv4'): ToHostSpec => ({
  type: 'to-host',
  l3,
  l4: 'udp',
  port,
  socket,
});

describe('punts derived from requests', () => {
  let env: FakeEnv;
  let numbers: Allocations;
  beforeEach(() => {
    env = fakeEnv();
    numbers = new Allocations();
  });
  const derive = (...requests: PuntRequest[]): Derived => derivePunts(requests, env, numbers);
  const states = (d: Derived): Record<string, string> =>
    Object.fromEntries(
      [...d.plans].map(([id, p]) => [id.slice(id.lastIndexOf('|') + 1), [p.state, ...p.reasons].join(': ')]),
    );
  const keys = (d: Derived): string[] => [...d.punts.keys()].sort();

  it('1, 3: a UDP port to a socket, of both families as two', () => {
    const d = derive(ask('a', udp(9000, '/run/t/c.sock')), ask('b', udp(9001, '/run/t/c.sock', 'all')));
    expect(states(d)).toEqual({ a: 'ready', b: 'ready' });
    expect(keys(d)).toEqual(['socket udp4/9000', 'socket udp4/9001', 'socket udp6/9001']);
  });

  it('2: the same of two items is one, and there until both have gone', () => {
    const one = ask('a', udp(9000, '/c'), { id: { cnf: '', key: 'new', label: 'a' } });
    const two = ask('a', udp(9000, '/c'), { id: { cnf: '', key: 'old', label: 'a' } });
    expect(keys(derive(one, two))).toEqual(['socket udp4/9000']);
    expect([...derive(one, two).plans.values()].map((p) => p.state)).toEqual(['ready', 'ready']);
    expect(keys(derive(two))).toEqual(['socket udp4/9000']);
    expect(keys(derive())).toEqual([]);
  });

  it('5: the server path, and what the data plane takes itself, are refused by name', () => {
    const d = derive(ask('path', udp(9000, '/run/vpp/punt.sock')), ask('port', udp(4789, '/c')));
    expect(states(d)).toEqual({
      path: 'refused: socket /run/vpp/punt.sock is the one that the data plane itself has',
      port: 'refused: UDP port 4789 of IPv4 is used by the data plane itself: VXLAN',
    });
    expect(keys(d)).toEqual([]);
  });

  it('all ports that nobody has are asked of a data plane that knows them', () => {
    env.unsupported.set('host unknown', 'nobody knows');
    expect(states(derive(ask('u', udp(65535, '')))).u).toBe(
      'pending: the data plane cannot do host unknown: nobody knows',
    );
    env.unsupported.clear();
    expect(keys(derive(ask('u', udp(65535, ''))))).toEqual(['host udp4/65535']);
  });

  it('8, 10: redirects wait for their interfaces, each of them by name', () => {
    const redirect = (label: string, rx: string, tx: string) =>
      ask(label, { type: 'ip-redirect', l3: 'all', rx, tx, nextHops: ['192.0.2.2', '2001:db8::2'] });
    expect(states(derive(redirect('r', '', 'tap1')))).toEqual({ r: 'pending: interface tap1 does not exist' });
    env.interfaces.set('tap1', place());
    const d = derive(redirect('a', 'eth0', 'tap1'), redirect('b', 'eth1', 'tap1'), redirect('c', '', 'tap1'));
    expect(keys(d)).toEqual(
      ['eth0', 'eth1', 'any'].flatMap((rx) => [`redirect ip4 ${rx}`, `redirect ip6 ${rx}`]).sort(),
    );
    expect(d.punts.get('redirect ip6 eth0')).toMatchObject({ nexthop: '2001:db8::2', tx: 'tap1' });
    const other = ask('o', { type: 'ip-redirect', l3: 'ipv4', rx: 'eth0', tx: 'tap1', nextHops: ['192.0.2.9'] });
    expect(states(derive(redirect('a', 'eth0', 'tap1'), other)).o).toBe(
      'busy: VPP selector vpp/redirect/ip4/eth0 is busy: |config|a has it',
    );
  });

  it('29: a redirect of an interface that is in a pair is refused', () => {
    env.interfaces.set('eth0', place({ paired: true }));
    const r = ask('r', { type: 'ip-redirect', l3: 'ipv4', rx: 'eth0', tx: 'eth1', nextHops: ['10.1.0.2'] });
    expect(states(derive(r)).r).toMatch(/^refused: interface eth0 is in a pair/);
  });

  it('11, 12: a reason that the data plane has not got waits and says which there are; others are replicated', () => {
    const exception = (label: string, reason: string, socket: string) =>
      ask(label, { type: 'exception', reason, socket });
    const d = derive(
      exception('no', 'foo', '/c'),
      exception('yes', 'ipsec4-no-such-tunnel', '/c'),
      exception('host', 'ipsec4-no-such-tunnel', ''),
    );
    expect(states(d)).toEqual({
      no: 'pending: unknown punt reason foo: the data plane has ipsec4-no-such-tunnel',
      yes: 'ready',
      host: 'ready',
    });
    expect(keys(d)).toEqual(['host reason/ipsec4-no-such-tunnel', 'socket reason/ipsec4-no-such-tunnel']);
  });

  it('14: a hairpin x-connect has four directions and two links of the right names', () => {
    const d = derive(ask('h', { type: 'hairpin-xconnect', interfaces: ['eth0', 'eth1'] }, { netns: 'c1' }));
    expect(states(d)).toEqual({ h: 'ready' });
    const [a, b] = [...d.interconnects.values()];
    expect(a).toMatchObject({
      name: 'tap-jdimw',
      netns: 'c1',
      netnsId: '4:2',
      mac: '02:fd:ba:8a:a4:60',
      addresses: [],
    });
    expect(keys(d)).toEqual(['eth0', 'eth1', a?.name, b?.name].map((from) => `xconnect ${from}`).sort());
    expect(d.devices.map(({ name, addresses, vrf }) => [name, addresses, vrf])).toEqual([
      [a?.name, [], undefined],
      [b?.name, [], undefined],
    ]);
  });

  it('15: a hairpin waits for its interface and tables, and gives its addresses to its own side', () => {
    const h = ask('h', {
      type: 'hairpin',
      interface: 'eth7',
      hairpin: { name: 'hp0', mac: '', addresses: ['10.5.0.1/24'], vrf: 5, dhcpClient: false, mtu: 0 },
    });
    expect(states(derive(h))).toEqual({ h: 'pending: interface eth7 does not exist: table 5 for IPv4 does not exist' });
    env.tables.add('4 5');
    env.interfaces.set('eth7', place());
    const d = derive(h);
    expect(states(d)).toEqual({ h: 'ready' });
    expect(d.interconnects.get('hp0')).toMatchObject({
      mac: '02:fd:41:2e:bf:97',
      addresses: ['10.5.0.1/24'],
      table: 5,
    });
    expect(d.routed).toEqual([]);
    const named = derive(
      ask('h', {
        type: 'hairpin',
        interface: 'eth7',
        hairpin: { name: 'hp0', mac: '02:11:22:33:44:55', addresses: [], vrf: 0, dhcpClient: false, mtu: 0 },
      }),
    );
    expect(
      named.interconnects.get('hp0'),
      'a MAC that is given is that of its own side, and of no other',
    ).toMatchObject({
      mac: '02:11:22:33:44:55',
      peerMac: '02:fe:41:2e:bf:97',
    });
    expect(named.devices.find(({ name }) => name === 'hp0')?.mac).toBe('02:fe:41:2e:bf:97');
    const others = [...named.interconnects.values()].filter(({ name }) => name !== 'hp0');
    expect(others.map(({ mac }) => mac.slice(0, 5))).toEqual(['02:fd']);
    env.opensPhys = true;
    const mac = '02:fd:41:2e:bf:97';
    const end = { phy: 'hp0', netns: 'cp', mac, addresses: ['10.5.0.1/24'], table: 5, mtu: 0 };
    expect(derive(h).routed).toEqual([end]);
    const beside = { ...h, netns: 'cp' };
    expect(states(derive(beside))).toEqual({
      h: 'refused: hp0 of the router and hp0 of the CNF would be in one namespace',
    });
    env.opensPhys = false;
    expect(states(derive(beside)), 'but where the data plane has interfaces of its own').toEqual({ h: 'ready' });
  });

  it('16: a span is beside everything else on its interface', () => {
    const span = (label: string, direction: 'rx' | 'tx' | 'both') =>
      ask(label, { type: 'span', interface: 'eth0', direction });
    const d = derive(ask('x', abx([ospf])), span('s', 'rx'), span('t', 'tx'));
    expect(states(d)).toEqual({ x: 'ready', s: 'ready', t: 'ready' });
    expect(d.interconnects.get('tap-FzrjE')).toMatchObject({ mac: '02:fd:b4:67:25:98' });
    expect(d.punts.get('span eth0 tap-FzrjE')).toMatchObject({ rx: true, tx: true });
  });

  it('17: an ABX punts what its rules say for the addresses that there are, and answers for their subnets', () => {
    const d = derive(ask('x', abx([ospf])));
    expect([...d.interconnects.keys()]).toEqual(['tap-zdizj']);
    const punt = d.punts.get('abx eth0 tap-zdizj');
    expect(punt).toMatchObject({ dstMac: '02:fe:82:f5:5b:73' });
    expect(punt?.feature === 'abx' && punt.rules.map((r) => [r.family, r.source, r.destination, r.protocol])).toEqual([
      [4, '0.0.0.0/0', '10.0.0.1/32', 89],
      [6, '::/0', '2001:db8::1/128', 89],
    ]);
    expect(d.punts.get('proxy tap-zdizj 10.0.0.0')).toMatchObject({ high: '10.0.0.255', family: 4 });
    expect(d.punts.get('proxy tap-zdizj 2001:db8::')).toMatchObject({ high: '2001:db8::ffff:ffff:ffff:ffff' });
    expect(d.devices).toMatchObject([{ name: 'tap-zdizj', addresses: ['10.0.0.1/24', '2001:db8::1/64'] }]);
  });

  it('17: where frames keep their destination MAC, the device of the CNF has the MAC of the phy', () => {
    env.unsupported.set('abx dst-mac', 'VPP sends frames on as they came');
    const d = derive(ask('x', abx([ospf])));
    expect(d.interconnects.get('tap-zdizj')).toMatchObject({ peerMac: '02:00:00:00:00:01', mac: '02:fd:82:f5:5b:73' });
    expect(d.devices[0]?.mac).toBe('02:00:00:00:00:01');
    expect(d.plans.get('|config|x')?.state).toBe('ready');
  });

  it('17: egress rules are another direction, and an interface in no pair is opened where that is needed', () => {
    env.opensPhys = true;
    env.interfaces.set('eth0', place({ addresses: ['10.0.0.1/24'], ifindex: 7 }));
    const d = derive(ask('x', abx([ospf], { egress: [rule({ destination: 'any' })] })));
    expect(d.punts.get('abx tap-zdizj eth0')).toMatchObject({ dstMac: '' });
    expect(d.interconnects.get('eth0')).toMatchObject({ link: 'phy', phyIfindex: 7 });
  });

  it('18: two of one namespace share a link and their rules; of another one they have their own', () => {
    const first = ask('ospf', abx([ospf]));
    const second = ask('bgp', abx([bgp]));
    const both = derive(first, second);
    expect([...both.interconnects.keys()]).toEqual(['tap-zdizj']);
    expect([...both.plans.values()].every((p) => p.links[0]?.users.length === 2)).toBe(true);
    const punt = both.punts.get('abx eth0 tap-zdizj');
    expect(punt?.feature === 'abx' && punt.rules.map((r) => r.protocol)).toEqual([89, 89, 6, 6]);
    const left = derive(second).punts.get('abx eth0 tap-zdizj');
    expect(left?.feature === 'abx' && left.rules.map((r) => r.protocol)).toEqual([6, 6]);
    expect([...derive().interconnects.keys()]).toEqual([]);
    const apart = derive(first, ask('bgp', abx([bgp]), { netns: 'c1' }));
    expect([...apart.interconnects.keys()].sort()).toEqual(['tap-jdimw', 'tap-zdizj']);
    expect(keys(apart).filter((k) => k.startsWith('proxy')).length).toBe(4);
  });

  it('19: addresses that move are followed, and without any it waits', () => {
    derive(ask('x', abx([ospf])));
    env.interfaces.set('eth0', place({ addresses: ['10.0.1.1/24'] }));
    const moved = derive(ask('x', abx([ospf])));
    expect(keys(moved)).toEqual(['abx eth0 tap-zdizj', 'proxy tap-zdizj 10.0.1.0']);
    expect(moved.devices[0]?.addresses).toEqual(['10.0.1.1/24']);
    env.interfaces.set('eth0', place());
    expect(states(derive(ask('x', abx([ospf]))))).toEqual({ x: 'pending: interface eth0 has no address' });
  });

  it('20: the VRF must be the very one, and gives the CNF a device unless it is not wanted', () => {
    const x = (without: boolean) => ask('x', abx([ospf], { vrf: 1, withoutCnfVrf: without }));
    env.interfaces.set('eth0', place({ addresses: ['10.0.0.1/24'], table4: 10, table6: 10 }));
    expect(states(derive(x(false)))).toEqual({ x: 'pending: interface eth0 is not in VRF 1' });
    env.interfaces.set('eth0', place({ addresses: ['10.0.0.1/24'], table4: 1, table6: 1 }));
    expect(derive(x(false)).devices[0]?.vrf).toEqual({ name: 'vrf1', table: 1 });
    expect(derive(x(true)).devices[0]?.vrf).toBeUndefined();
  });

  it('21: who comes second is told who is in the way, and has his turn', () => {
    const x = ask('x', abx([ospf]));
    const h = ask('h', {
      type: 'hairpin',
      interface: 'eth0',
      hairpin: { name: 'hp0', mac: '', addresses: [], vrf: 0, dhcpClient: false, mtu: 0 },
    });
    expect(states(derive(x, h))).toEqual({ x: 'ready', h: 'busy: VPP selector vpp/interface/eth0 is busy' });
    expect(derive(x, h).interconnects.has('hp0'), 'nothing half-made').toBe(false);
    expect(states(derive(h))).toEqual({ h: 'ready' });
    const proxy = (label: string, netns: string) =>
      ask(label, { type: 'dhcp-proxy', l3: 'ipv4', vrf: 0, withoutCnfVrf: false }, { netns });
    expect(states(derive(proxy('a', ''), proxy('b', 'c1')))).toEqual({
      a: 'ready',
      b: 'busy: VPP selector vpp/vrf/0 is busy',
    });
    const [one, two] = [ask('1', udp(9000, '/a')), ask('2', udp(9000, '/b'))];
    expect(states(derive(one, two))['2']).toMatch(/^busy: VPP selector vpp\/punt-to-socket\/udp4\/9000 is busy/);
    expect(derive(one, two).punts.get('socket udp4/9000')).toMatchObject({ path: '/a' });
    expect(derive(two).punts.get('socket udp4/9000')).toMatchObject({ path: '/b' });
  });

  it('22: IS-IS shares the link of an ABX, and what the data plane cannot do is named', () => {
    const isis = (netns: string) =>
      ask(`i${netns}`, { type: 'isisx', interface: 'eth0', vrf: 0, withoutCnfVrf: false }, { netns });
    const d = derive(ask('x', abx([ospf])), isis(''), isis('c1'));
    expect([...d.interconnects.keys()].sort()).toEqual(['tap-jdimw', 'tap-zdizj']);
    expect(keys(d).filter((k) => k.startsWith('osi'))).toEqual([
      'osi eth0 tap-jdimw 131',
      'osi eth0 tap-zdizj 131',
      'osi tap-jdimw eth0 131',
      'osi tap-zdizj eth0 131',
    ]);
    env.unsupported.set('osi', 'osi_plugin is not loaded (lcp_osi_proto_enable)');
    expect(states(derive(isis('')))).toEqual({
      i: 'pending: the data plane cannot do osi: osi_plugin is not loaded (lcp_osi_proto_enable)',
    });
    env.unsupported.clear();
    env.unsupported.set('osi memif', 'it drops them').set('osi unpaired', 'only by pairs');
    expect(states(derive(isis('')))).toEqual({ i: 'pending: interface eth0 is in no pair: only by pairs' });
    env.interfaces.set('eth0', place({ addresses: ['10.0.0.1/24'], paired: true }));
    expect(states(derive(isis('')))).toEqual({ i: 'ready' });
    expect(states(derive({ ...isis(''), interconnect: 'memif' }))).toEqual({
      i: 'pending: the data plane cannot do osi memif: it drops them',
    });
  });

  it('23: a DHCP proxy has a subnet of its own, kept while it is there', () => {
    const proxy = (vrf: number) => ask(`p${vrf}`, { type: 'dhcp-proxy', l3: 'all', vrf, withoutCnfVrf: false });
    const d = derive(proxy(0));
    expect(d.interconnects.get('tap-kgwwj')).toMatchObject({
      addresses: ['192.168.111.1/30', 'fd6c:6370:6400::1/126'],
      mac: '02:fd:35:5e:cd:9d',
    });
    expect(d.punts.get('dhcp-proxy ip4 0 192.168.111.2')).toMatchObject({ source: '192.168.111.1' });
    expect(d.devices[0]?.addresses).toEqual(['192.168.111.2/30', 'fd6c:6370:6400::2/126']);
    env.allocCidr = '192.168.111.0/30';
    env.tables.add('4 7').add('6 7');
    expect(states(derive(proxy(0), proxy(7)))).toEqual({
      p0: 'ready',
      p7: 'refused: failed to allocate subnet for interconnect: all of 192.168.111.0/30 is in use',
    });
    expect(states(derive(proxy(7))), 'what was let go is had at once').toEqual({ p7: 'ready' });
  });

  it('23: its link is routed by a pair where the data plane has no interfaces of its own, but not beside the CNF', () => {
    const proxy = (netns: string, of: Partial<PuntRequest> = {}) =>
      ask('p', { type: 'dhcp-proxy', l3: 'all', vrf: 0, withoutCnfVrf: false }, { netns, ...of });
    const alone = (request: PuntRequest): Derived => derivePunts([request], env, new Allocations());
    const proxies = (d: Derived): string[] => keys(d).filter((key) => key.startsWith('proxy '));
    const [ours, subnet] = [
      ['192.168.111.1', 'fd6c:6370:6400::1'],
      ['192.168.111.1/30', 'fd6c:6370:6400::1/126'],
    ];
    expect([alone(proxy('c1')).routed, proxies(alone(proxy('c1')))], 'VPP has its own').toEqual([[], []]);
    env.opensPhys = true;
    for (const d of [alone(proxy('c1')), alone(proxy('')), alone(proxy('', { interconnect: 'memif' }))]) {
      const [link] = [...d.interconnects.values()];
      const end = { phy: link?.name, netns: 'cp', mac: link?.mac, addresses: subnet, table: 0, mtu: 0 };
      expect(d.routed).toEqual([end]);
      expect(proxies(d), 'the kernel answers for its addresses').toEqual([]);
    }
    const beside = alone(proxy('cp'));
    const [name] = [...beside.interconnects.keys()];
    expect(beside.routed).toEqual([]);
    expect(proxies(beside), 'nobody has them').toEqual(ours.map((address) => `proxy ${name} ${address}`));
    env.namespaces.set('alias', env.namespaces.get('cp') ?? '');
    expect(alone(proxy('alias')).routed, 'by another name').toEqual([]);
  });

  it('25: a namespace that is not there is waited for, and another of its name is another one', () => {
    const x = ask('x', { type: 'span', interface: 'eth0', direction: 'both' }, { netns: 'c9' });
    expect(states(derive(x))).toEqual({ x: 'pending: network namespace c9 does not exist' });
    env.namespaces.set('c9', '4:9');
    const before = [...derive(x).interconnects.values()][0];
    env.namespaces.set('c9', '4:10');
    const after = [...derive(x).interconnects.values()][0];
    expect(before).toMatchObject({ netnsId: '4:9' });
    expect(after).toEqual({ ...before, netnsId: '4:10' });
  });

  it('26: a request that wants one interface twice is refused', () => {
    const d = derive(ask('h', { type: 'hairpin-xconnect', interfaces: ['eth0', 'eth0'] }));
    expect(states(d)).toEqual({ h: 'refused: duplicate VPP selector vpp/interface/eth0' });
    expect(d.interconnects.size).toBe(0);
  });

  it('27: memifs are never shared, each has a socket and a secret of its own', () => {
    const d = derive(ask('a', abx([ospf]), { interconnect: 'memif' }), ask('b', abx([bgp]), { interconnect: 'memif' }));
    const [a, b] = [...d.interconnects.values()];
    expect(a?.link).toBe('memif');
    expect(a?.socket).toBe(`/run/lcpd/memif/memif-${a?.secret}.sock`);
    expect(a?.name).not.toBe(b?.name);
    expect(d.devices).toEqual([]);
  });

  it('names matches in one way', () => {
    expect(matchText({ by: 'port', family: 6, protocol: 17, port: 53 })).toBe('udp6/53');
    expect(matchText({ by: 'icmp6', type: 135 })).toBe('icmp6/135');
    expect(matchText({ by: 'protocol', family: 4, protocol: 89 })).toBe('ip4/89');
  });
});
