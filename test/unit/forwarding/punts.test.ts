// Interconnects and punts of the embedded plane beyond the contract: pairs on interconnects, ports that are made anew,
// devices that others have, TAPs that were left behind, a forwarder that ends; and records, there and back.

import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { EmbeddedDataPlane } from '../../../src/forwarding/driver.ts';
import { reasonNames } from '../../../src/forwarding/puntlayout.ts';
import { decodePunts } from '../../../src/forwarding/puntreader.ts';
import { encodePunt } from '../../../src/forwarding/puntrecords.ts';
import type { DataPlaneEvent } from '../../../src/lcp/dataplane.ts';
import type { LcpObject, Link, Neighbour, Pair } from '../../../src/lcp/objects.ts';
import { INTERCONNECT_PHY, type Interconnect, PLAIN_INTERCONNECT, type Punt } from '../../../src/lcp/puntobjects.ts';
import { policeScopes } from '../../../src/lib/policescopes.ts';
import { KernelLinks } from '../../../src/linkcontrol.ts';
import { rule } from '../lcp/contractpunts.ts';
import { describeReal } from './lab.ts';
import { until, WatchedLab } from './watchedlab.ts';

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

describeReal('interconnects and punts of the embedded plane', () => {
  let lab: WatchedLab;
  let links: KernelLinks;
  let dataplane: EmbeddedDataPlane;
  let states: string[];
  let events: DataPlaneEvent[];
  let serial = 0;

  beforeAll(async () => {
    lab = new WatchedLab();
    await lab.watch();
  });
  afterAll(() => lab.close());

  const connect = async (socket: string): Promise<void> => {
    links = new KernelLinks(lab.namespaces);
    dataplane = new EmbeddedDataPlane({ socket, memoryBytes: 64 << 20, workers: 1, startTimeoutMs: 5000 }, links);
    states = [];
    events = [];
    dataplane.connect({
      onState: (state, cause) => states.push(`${state}: ${cause}`),
      onEvent: (event) => events.push(event),
      onPhys: () => undefined,
    });
    await until('it is up', () => states.some((s) => s.startsWith('up')));
  };
  let socket: string;
  beforeEach(async () => {
    socket = `${lab.dir}/punt-${serial++}.sock`;
    await connect(socket);
  });
  afterEach(async () => {
    for (const { object, handle } of await dataplane.dump())
      if (object.kind === 'pair' || object.kind === 'interconnect')
        await dataplane.apply([{ op: 'delete', object, handle: handle ?? 0 }]);
    await dataplane.close(false);
    links.close();
  });

  const set = async (object: LcpObject, handle = 0) => {
    const [result] = await dataplane.apply([{ op: 'set', object, handle }]);
    return result ?? { ok: false, message: 'no answer' };
  };
  const put = async (object: LcpObject, handle = 0): Promise<number> => {
    const result = await set(object, handle);
    expect(result, result.message ?? '').toMatchObject({ ok: true });
    return result.handle ?? 0;
  };
  const remove = async (object: LcpObject, handle = 0) => {
    const [result] = await dataplane.apply([{ op: 'delete', object, handle }]);
    expect(result).toMatchObject({ ok: true });
  };
  const held = async (kind: string) => (await dataplane.dump()).map((h) => h.object).filter((o) => o.kind === kind);

  const tap = (change: Partial<Interconnect> = {}): Interconnect => ({
    kind: 'interconnect',
    name: 'h6ic0',
    link: 'tap',
    ...PLAIN_INTERCONNECT,
    netns: lab.hosts,
    netnsId: lab.hostsIdentity,
    mac: '02:fd:00:00:00:01',
    peerMac: '02:fe:00:00:00:01',
    mtu: 1400,
    ...change,
  });
  const pair = (change: Partial<Pair> = {}): Pair => ({
    kind: 'pair',
    phy: 'wan0',
    phyIfindex: lab.ifindex(lab.phys, 'wan0'),
    host: 'e0',
    netns: lab.hosts,
    netnsId: lab.hostsIdentity,
    type: 'tap',
    ...change,
  });
  const onInterconnect = () => pair({ phy: 'h6ic0', phyIfindex: INTERCONNECT_PHY, host: 'l3' });
  const span: Punt = { kind: 'punt', feature: 'span', from: 'wan0', to: 'h6ic0', rx: true, tx: true };
  const facts = (name: string) =>
    (JSON.parse(ip('-n', lab.hosts, '-d', '-j', 'link', 'show', name)) as Record<string, unknown>[])[0];

  it('a device has its MAC, its MTU and our mark, makes no addresses of its own and is down until it is brought up', async () => {
    const ifindex = await put(tap());
    expect(facts('h6ic0')).toMatchObject({
      ifindex,
      address: '02:fe:00:00:00:01',
      mtu: 1400,
      ifalias: 'lcpd punt h6ic0',
      inet6_addr_gen_mode: 'none',
      operstate: 'DOWN',
    });
  });

  it('a name that another device has is refused, and the device stays as it is', async () => {
    ip('-n', lab.hosts, 'tuntap', 'add', 'h6ic0', 'mode', 'tap');
    const before = facts('h6ic0');
    expect(await set(tap())).toMatchObject({ ok: false, code: 'HOST_DEVICE' });
    expect(facts('h6ic0')).toEqual(before);
    await remove(tap());
    expect(facts('h6ic0')).toEqual(before);
    ip('-n', lab.hosts, 'link', 'del', 'h6ic0');
    await put(tap());
  });

  it('a pair that is made on an interconnect gets a host, a link and neighbours, and leaves it when it goes', async () => {
    expect(await set(onInterconnect()), 'not before it is there').toMatchObject({ ok: false });
    await put(tap());
    expect(await set({ ...onInterconnect(), type: 'tun' })).toMatchObject({ ok: false, code: 'PORT_REFUSED' });
    const host = await put(onInterconnect());
    expect(host).toBe(lab.ifindex(lab.hosts, 'l3'));
    expect(facts('l3')).toMatchObject({ address: '02:fd:00:00:00:01', mtu: 1400, ifalias: 'lcpd h6ic0' });
    expect(await held('pair')).toEqual([onInterconnect()]);
    expect(await held('interconnect')).toEqual([tap()]);
    const attributes = { up: true, mtu: 1400, phyMtu: 1400, mac: '02:fd:00:00:00:01', carrier: true, promisc: true };
    const answers = { forwarding4: true, forwarding6: true, source4: '', source6: '', macs: [], l2: false };
    const lookups = { lookup4: [], lookup6: [], merged4: false, lookupMpls: [] };
    const named = {
      phy: 'h6ic0',
      parent: '',
      phyIfindex: INTERCONNECT_PHY,
      hostIfindex: host,
      host: 'l3',
      netns: lab.hosts,
    };
    const link: Link = { kind: 'link', ...named, ...attributes, ...answers, ...lookups };
    await put(link);
    const neighbour: Neighbour = {
      kind: 'neighbour',
      phy: 'h6ic0',
      family: 4,
      address: '10.9.0.2',
      mac: '02:fe:00:00:00:01',
    };
    await put(neighbour);
    expect(await held('neighbour')).toEqual([neighbour]);
    expect(facts('h6ic0'), 'the CNF has its own MAC still').toMatchObject({ address: '02:fe:00:00:00:01' });
    await put(onInterconnect(), host);
    expect(await held('pair'), 'the same again').toEqual([onInterconnect()]);
    await remove(onInterconnect(), host);
    expect([await held('pair'), await held('neighbour'), await held('interconnect')]).toEqual([[], [], [tap()]]);
    expect(lab.links(lab.hosts)).not.toContain('l3');
    expect(await set(link), 'without a host it has no link').toMatchObject({ ok: false, code: 'PORT_REFUSED' });
  });

  it('an interconnect that goes takes its pair’s port along, not the host', async () => {
    await put(tap());
    const host = await put(onInterconnect());
    await remove(tap());
    expect(await held('pair')).toEqual([]);
    expect([lab.links(lab.hosts).includes('l3'), lab.links(lab.hosts).includes('h6ic0')]).toEqual([true, false]);
    await remove(onInterconnect(), host);
    expect(lab.links(lab.hosts)).not.toContain('l3');
  });

  it('punts stay with a pair that is made anew, and end with one that goes, which leaves the others alone', async () => {
    await put(pair());
    await put(pair({ phy: 'lan0', phyIfindex: lab.ifindex(lab.phys, 'lan0'), host: 'e1' }));
    await put(tap());
    const other: Punt = { ...span, from: 'lan0' };
    await put(span);
    await put(other);
    await put(pair({ host: 'e9' }));
    expect(await held('punt')).toEqual(expect.arrayContaining([span, other]));
    await remove(pair({ host: 'e9' }));
    expect(await held('punt')).toEqual([other]);
    await put(tap({ mtu: 1300 }));
    expect(await held('punt'), 'the interconnect was made anew').toEqual([other]);
    await remove(tap());
    expect(await held('punt')).toEqual([]);
  });

  it('a device of lcpd’s own is opened as it is, kept from its own stack, and let go', async () => {
    const phy = tap({
      name: 'wan0',
      link: 'phy',
      netns: '',
      netnsId: '',
      phyIfindex: lab.ifindex(lab.phys, 'wan0'),
      mac: '',
      peerMac: '',
      mtu: 0,
    });
    const filters = () => execFileSync('tc', ['-n', lab.phys, 'qdisc', 'show', 'dev', 'wan0'], { encoding: 'utf8' });
    await put(phy);
    expect(await held('interconnect')).toEqual([phy]);
    expect(filters()).toContain('clsact');
    expect(await set(pair()), 'a host needs a wire that is a TAP').toMatchObject({ ok: false, code: 'PORT_REFUSED' });
    expect(lab.links(lab.hosts)).not.toContain('e0');
    await put(tap());
    await put({ kind: 'punt', feature: 'xconnect', from: 'wan0', to: 'h6ic0' });
    await put({ kind: 'punt', feature: 'xconnect', from: 'h6ic0', to: 'wan0' });
    await remove(phy);
    expect(filters()).not.toContain('clsact');
    await put(pair());
    expect(await set(phy), 'a pair has it').toMatchObject({ ok: false, code: 'PORT_REFUSED' });
  });

  it('a forwarder that ends leaves its TAPs: they are told, found again with what they had, or deleted', async () => {
    await put(tap());
    await put(tap({ name: 'h6ic1', mac: '02:fd:00:00:00:02', peerMac: '02:fe:00:00:00:02' }));
    ip('-n', lab.hosts, 'addr', 'add', '10.9.0.2/30', 'dev', 'h6ic0');
    const before = states.length;
    process.kill(dataplane.info().pid as number, 'SIGKILL');
    await until('it is up again', () => states.length >= before + 2 && states.at(-1)?.startsWith('up') === true);
    const left = (await held('interconnect')) as Interconnect[];
    expect(left.map(({ name, netns, netnsId }) => [name, netns, netnsId]).sort()).toEqual([
      ['h6ic0', lab.hosts, lab.hostsIdentity],
      ['h6ic1', lab.hosts, lab.hostsIdentity],
    ]);
    expect(await held('punt')).toEqual([]);
    await put(tap());
    expect(await held('interconnect')).toContainEqual(tap());
    expect(JSON.stringify(facts('h6ic0'))).toContain('h6ic0');
    expect(ip('-n', lab.hosts, '-br', 'addr', 'show', 'dev', 'h6ic0')).toContain('10.9.0.2/30');
    await remove(left.find(({ name }) => name === 'h6ic1') as Interconnect);
    expect(lab.links(lab.hosts)).not.toContain('h6ic1');
  });

  it('counters go on while punts change beside, and restart with lcpd as they were', async () => {
    await put(pair());
    await put(tap());
    await put(span);
    ip('-n', lab.hosts, 'link', 'set', 'h6ic0', 'up');
    ip('-n', lab.phys, 'addr', 'add', '192.0.2.1/24', 'dev', 'wan0-far');
    const copies = async () =>
      (await dataplane.punts.stats()).find((s) => s.object === 'punt span wan0 h6ic0' && s.name === 'packets')?.value ??
      0;
    const send = () =>
      execFileSync('ip', ['netns', 'exec', lab.phys, 'ping', '-c', '1', '-W', '1', '192.0.2.99'], { stdio: 'ignore' });
    try {
      send();
    } catch {
      // nobody answers: that the question was mirrored is all that is asked
    }
    const deadline = Date.now() + 5000;
    while ((await copies()) === 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
    const before = await copies();
    expect(before).toBeGreaterThan(0);
    const police: Punt = { kind: 'punt', feature: 'police', scope: 'arp', unit: 'pps', rate: 10, burst: 1000 };
    await put(police);
    expect(await copies()).toBeGreaterThanOrEqual(before);
    await dataplane.close(true);
    links.close();
    await connect(socket);
    expect(await copies()).toBeGreaterThanOrEqual(before);
    expect(await held('punt')).toEqual([span, police]);
    await remove(police);
  });

  it('every sort of punt comes back from its records as it was', () => {
    const ports = ['', 'wan0', 'h6ic0', 'lan0.100'];
    const names = {
      port: (name: string) => ({ id: ports.indexOf(name), generation: 7n }),
      peer: () => '02:fe:00:00:00:01',
      table: (family: 4 | 6, number: number) => family + number,
      behind: (address: string) =>
        address === '172.30.0.2' ? { name: 'h6ic0', peerMac: '02:fe:00:00:00:02' } : undefined,
    };
    const relay = { feature: 'dhcp-proxy', table: 100, serverTable: 0 } as const;
    const between = { from: 'wan0', to: 'h6ic0' };
    const kind = 'punt';
    const all: Punt[] = [
      { kind, feature: 'xconnect', ...between },
      { kind, feature: 'span', ...between, rx: false, tx: true },
      {
        kind,
        feature: 'abx',
        ...between,
        priority: 4_000_000_000,
        rules: [rule('10.0.0.0/8', { protocol: 6, flagsMask: 255, flagsValue: 18 }), rule('::/0', { permit: false })],
        dstMac: '02:fe:00:00:00:01',
      },
      { kind, feature: 'abx', from: 'lan0.100', to: 'wan0', priority: 0, rules: [], dstMac: '' },
      { kind, feature: 'osi', ...between, protocol: 0x83 },
      { kind, feature: 'host', match: { by: 'icmp6', type: 135 } },
      { kind, ...relay, family: 4, server: '172.30.0.2', source: '172.30.0.1' },
      { kind, ...relay, family: 6, server: '2001:db8::2', source: '2001:db8::1' },
      { kind, feature: 'host', match: { by: 'protocol', family: 6, protocol: 89 } },
      { kind, feature: 'socket', match: { by: 'port', family: 6, protocol: 17, port: 65534 }, path: '/run/x/ü.sock' },
      { kind, feature: 'redirect', family: 6, rx: 'wan0', tx: 'h6ic0', nexthop: '2001:db8::1' },
      { kind, feature: 'redirect', family: 4, rx: '', tx: 'h6ic0', nexthop: '' },
      { kind, feature: 'proxy', on: 'h6ic0', family: 6, table: 100, low: '2001:db8::', high: '2001:db8::ffff' },
      ...reasonNames().map((reason): Punt => ({ kind, feature: 'host', match: { by: 'reason', reason } })),
      ...policeScopes.map(
        (scope): Punt => ({
          kind,
          feature: 'police',
          scope,
          unit: scope === 'arp' ? 'kbps' : 'pps',
          rate: 1,
          burst: 2,
        }),
      ),
    ];
    const encoded = all.map((punt) => encodePunt(punt, names));
    const bytes = new Uint8Array(encoded.reduce((sum, e) => sum + e.length, 0));
    let at = 0;
    for (const e of encoded) {
      bytes.set(e, at);
      at += e.length;
    }
    const decoded = decodePunts(bytes, bytes.length / 208, (id) => ports[id] ?? '');
    expect(decoded.map(({ punt }) => punt)).toEqual(all);
    expect(decoded.map((d) => d.bytes)).toEqual(encoded);
  });

  it.each([
    ['a port', { kind: 'punt', feature: 'host', match: { by: 'port', family: 4, protocol: 17, port: 70_000 } }],
    ['a rate', { kind: 'punt', feature: 'police', scope: 'arp', unit: 'pps', rate: -1, burst: 1 }],
    ['an address', { kind: 'punt', feature: 'proxy', on: 'h6ic0', family: 4, table: 0, low: 'x', high: '10.0.0.1' }],
    [
      'a range',
      { kind: 'punt', feature: 'proxy', on: 'h6ic0', family: 4, table: 0, low: '10.0.0.9', high: '10.0.0.1' },
    ],
    ['a family', { kind: 'punt', feature: 'redirect', family: 4, rx: '', tx: 'h6ic0', nexthop: '2001:db8::1' }],
    ['a burst', { kind: 'punt', feature: 'police', scope: 'arp', unit: 'pps', rate: 1, burst: 0 }],
    ['a path', { kind: 'punt', feature: 'abx', from: 'h6ic0', to: 'h6ic0', priority: 1, rules: [], dstMac: '' }],
    [
      'a prefix',
      {
        kind: 'punt',
        feature: 'abx',
        from: 'h6ic0',
        to: 'h6ic1',
        priority: 1,
        rules: [rule('10.0.0.1/8')],
        dstMac: '',
      },
    ],
  ] as [string, Punt][])('%s that cannot be is refused, and what was there stays', async (_, punt) => {
    await put(tap());
    await put(tap({ name: 'h6ic1', mac: '02:fd:00:00:00:02', peerMac: '02:fe:00:00:00:02' }));
    const good: Punt = { kind: 'punt', feature: 'xconnect', from: 'h6ic1', to: 'h6ic0' };
    await put(good);
    expect(await set(punt)).toMatchObject({ ok: false, code: 'REFUSED', message: expect.stringMatching(/./) });
    expect(await held('punt')).toEqual([good]);
  });
});
