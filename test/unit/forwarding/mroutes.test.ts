// Multicast entries through the embedded driver, on a real forwarder: set, dumped, refused, kept over a restart of the
// driver, gone with their ports; and real datagrams that come out of two phys.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { EmbeddedDataPlane } from '../../../src/forwarding/driver.ts';
import type { LinkControl, LinkFacts } from '../../../src/lcp/dataplane.ts';
import type { LcpObject, Link, Mroute, Pair } from '../../../src/lcp/objects.ts';
import { describeReal, Lab } from './lab.ts';
import { until } from './watchedlab.ts';

const PHYS = ['wan0', 'lan0', 'opt0'];
const MTU = 1400;
const macOf = (phy: string): string => `02:00:00:00:01:0${PHYS.indexOf(phy)}`;
const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

const entry = (change: Partial<Mroute> = {}): Mroute => ({
  kind: 'mroute',
  phy: 'wan0',
  family: 4,
  source: '10.0.0.2',
  group: '239.1.2.3',
  out: ['lan0', 'opt0'],
  host: false,
  ...change,
});

describeReal('multicast entries of the embedded driver', () => {
  let lab: Lab;
  let opened: EmbeddedDataPlane[];
  let children: ChildProcess[];
  let namespaces: string[];

  beforeEach(() => {
    lab = new Lab();
    opened = [];
    children = [];
    namespaces = [];
    ip('link', 'add', 'opt0', 'type', 'veth', 'peer', 'name', 'opt0-far');
    for (const end of ['opt0', 'opt0-far']) ip('link', 'set', end, 'up');
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    for (const dataplane of opened) await dataplane.close(false);
    for (const name of namespaces) ip('netns', 'del', name);
    lab.close();
  });

  /** Every device is as its link wants it, so that nothing needs to be changed. */
  const links: LinkControl = {
    set: async () => undefined,
    nameOf: () => undefined,
    all: () => [],
    marked: () => [],
    get: (netns, ifindex): LinkFacts | undefined => {
      const name = netns === '' ? PHYS.find((phy) => lab.ifindex(lab.phys, phy) === ifindex) : undefined;
      return name === undefined
        ? undefined
        : { name, up: true, carrier: true, mtu: MTU, mac: macOf(name), promisc: true };
    },
    netnsPath: (netns) => `/run/netns/${netns}`,
  };

  const connect = async (): Promise<EmbeddedDataPlane> => {
    const socket = `${lab.dir}/fwd.sock`;
    const dataplane = new EmbeddedDataPlane({ socket, memoryBytes: 64 << 20, workers: 1, startTimeoutMs: 5000 }, links);
    const states: string[] = [];
    dataplane.connect({ onState: (state) => states.push(state), onEvent: () => undefined, onPhys: () => undefined });
    opened.push(dataplane);
    await until('it is up', () => states.at(-1) === 'up');
    return dataplane;
  };

  const pair = (phy: string): Pair => ({
    kind: 'pair',
    phy,
    phyIfindex: lab.ifindex(lab.phys, phy),
    host: `e-${phy}`,
    netns: lab.hosts,
    netnsId: lab.hostsIdentity,
    type: 'tap',
  });
  const link = (phy: string): Link => ({
    kind: 'link',
    phy,
    parent: '',
    phyIfindex: lab.ifindex(lab.phys, phy),
    hostIfindex: lab.ifindex(lab.hosts, `e-${phy}`),
    netns: lab.hosts,
    up: true,
    mtu: MTU,
    phyMtu: MTU,
    mac: macOf(phy),
    carrier: true,
    promisc: true,
    host: `e-${phy}`,
    forwarding4: true,
    forwarding6: true,
    source4: '',
    source6: '',
    macs: [],
    l2: false,
    lookup4: [],
    lookup6: [],
    merged4: false,
    lookupMpls: [],
  });

  const apply = async (dataplane: EmbeddedDataPlane, op: 'set' | 'delete', object: LcpObject) => {
    const [result] = await dataplane.apply([{ op, object, handle: 0 }]);
    return result;
  };
  const router = async (): Promise<EmbeddedDataPlane> => {
    const dataplane = await connect();
    for (const phy of PHYS) {
      expect(await apply(dataplane, 'set', pair(phy))).toMatchObject({ ok: true });
      expect(await apply(dataplane, 'set', link(phy))).toMatchObject({ ok: true });
    }
    return dataplane;
  };
  const held = async (dataplane: EmbeddedDataPlane) =>
    (await dataplane.dump())
      .map(({ object }) => object)
      .filter((object) => object.kind === 'mroute')
      .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));

  it('are set, changed, dumped as they were set, found by another driver, and deleted twice', async () => {
    const first = await router();
    const all = [
      entry(),
      entry({ phy: 'lan0', out: ['wan0'], host: true }),
      entry({ source: '', group: '239.9.9.9', out: [] }),
      entry({ family: 6, source: '2001:db8::2', group: 'ff0e::1:2' }),
      entry({ family: 6, source: '', group: 'ff05::1', out: ['opt0'] }),
    ].sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
    expect(await apply(first, 'set', entry({ out: ['opt0', 'lan0'], host: true }))).toEqual({ ok: true });
    expect(await held(first), 'outputs come in the order of their names').toEqual([entry({ host: true })]);
    for (const object of all) expect(await apply(first, 'set', object)).toEqual({ ok: true });
    expect(await held(first)).toEqual(all);
    await first.close(true);
    const second = await connect();
    expect(await held(second)).toEqual(all);
    for (const object of [...all, ...all]) expect(await apply(second, 'delete', object)).toEqual({ ok: true });
    expect(await held(second)).toEqual([]);
  });

  it.each([
    ['an ingress without port', { phy: 'none0' }, 'PORT_REFUSED', /none0 has no port/],
    ['an output without port', { out: ['lan0', 'none0'] }, 'PORT_REFUSED', /output none0 has no port/],
    ['too many outputs', { out: Array.from({ length: 65 }, () => 'lan0') }, 'REFUSED', /65 outputs, at most 64/],
    ['an output twice', { out: ['lan0', 'lan0'] }, 'REFUSED', /EINVAL/],
    ['a group that is none', { group: '10.1.2.3' }, 'REFUSED', /EINVAL/],
    ['a source of the other family', { source: '2001:db8::2' }, 'REFUSED', /EINVAL/],
  ] as const)('with %s are refused and say whose they were', async (_, change, code, message) => {
    const dataplane = await router();
    const result = await apply(dataplane, 'set', entry(change as Partial<Mroute>));
    expect(result).toMatchObject({ ok: false, code, message: expect.stringMatching(message) });
    expect(result?.message).toMatch(/^multicast entry /);
    expect(await held(dataplane)).toEqual([]);
    expect(await apply(dataplane, 'delete', entry({ phy: 'none0' }))).toEqual({ ok: true });
  });

  it('go with the port that they come in by, and lose an output with its port', async () => {
    const dataplane = await router();
    await apply(dataplane, 'set', entry());
    await apply(dataplane, 'set', entry({ phy: 'lan0', out: ['opt0', 'wan0'] }));
    expect(await apply(dataplane, 'delete', pair('lan0'))).toMatchObject({ ok: true });
    expect(await held(dataplane)).toEqual([entry({ out: ['opt0'] })]);
    await apply(dataplane, 'set', pair('lan0'));
    expect(await held(dataplane), 'a port that is new is in none').toEqual([entry({ out: ['opt0'] })]);
    expect(await apply(dataplane, 'set', entry())).toEqual({ ok: true });
    expect(await held(dataplane)).toEqual([entry()]);
  });

  /** Moves far ends into a namespace of their own, 10.i.0.2 each. */
  const farNamespace = (name: string, ...phys: string[]): string => {
    const netns = `lcpu-${name}-${process.pid}`;
    ip('netns', 'add', netns);
    namespaces.push(netns);
    for (const phy of phys) {
      ip('link', 'set', `${phy}-far`, 'netns', netns);
      ip('-n', netns, 'addr', 'add', `10.${PHYS.indexOf(phy)}.0.2/24`, 'dev', `${phy}-far`);
      ip('-n', netns, 'link', 'set', `${phy}-far`, 'up');
      for (const dev of ['all', `${phy}-far`])
        execFileSync('ip', ['netns', 'exec', netns, 'sh', '-c', `echo 0 > /proc/sys/net/ipv4/conf/${dev}/rp_filter`]);
    }
    return netns;
  };
  const node = (netns: string, script: string): ChildProcess => {
    const child = spawn('ip', ['netns', 'exec', netns, process.execPath, '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    return child;
  };

  it('replicate real datagrams out of two phys, but not the one whose TTL is used up', async () => {
    const dataplane = await router();
    await apply(dataplane, 'set', entry());
    const source = farNamespace('ms', 'wan0');
    const sink = farNamespace('mr', 'lan0', 'opt0');
    const receiver = node(
      sink,
      `const s = require('dgram').createSocket('udp4');
       s.on('message', (m, from) => console.log(from.address + ' ' + m));
       s.bind(5000, () => { for (const a of ['10.1.0.2', '10.2.0.2']) s.addMembership('239.1.2.3', a); console.log('ready'); });`,
    );
    let heard = '';
    receiver.stdout?.on('data', (chunk) => {
      heard += String(chunk);
    });
    await until('the receiver listens', () => heard.includes('ready'));
    const send = (ttl: number, text: string) =>
      node(
        source,
        `const s = require('dgram').createSocket('udp4');
         s.bind(() => { s.setMulticastTTL(${ttl}); s.setMulticastInterface('10.0.0.2');
           s.send('${text}', 5000, '239.1.2.3', () => s.close()); });`,
      );
    send(1, 'expired');
    const counter = (phy: string, name: string): number | undefined =>
      dataplane.counters().find((row) => row.phy === phy && row.name === name)?.value;
    await until('the first is a sample', () => counter('wan0', 'multicast-to-host') === 1);
    send(2, 'first');
    send(9, 'second');
    const count = (text: string): number => heard.split(`10.0.0.2 ${text}\n`).length - 1;
    await until('two copies of each have come', () => count('first') === 2 && count('second') === 2);
    expect(count('expired')).toBe(0);
    expect(counter('wan0', 'forward-multicast')).toBe(2);
    expect([counter('lan0', 'multicast-copies'), counter('opt0', 'multicast-copies')]).toEqual([2, 2]);
    expect(counter('wan0', 'multicast-to-host')).toBe(1);
  });
});
