// Interconnects that borrow the layer 3 of an interface, on the embedded plane: bound to the lender's port as it is, when that comes
// later, is made anew or goes, and over a restart of lcpd. Told by the counters of packets that the CNF's device sends.

import { execFileSync, spawnSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { EmbeddedDataPlane } from '../../../src/forwarding/driver.ts';
import { LENDER_ABSENT, native } from '../../../src/forwarding/native.ts';
import type { LcpObject, Pair } from '../../../src/lcp/objects.ts';
import { INTERCONNECT_PHY, type Interconnect, PLAIN_INTERCONNECT } from '../../../src/lcp/puntobjects.ts';
import { KernelLinks } from '../../../src/linkcontrol.ts';
import { describeReal } from './lab.ts';
import { until, WatchedLab } from './watchedlab.ts';

const MAC = '02:fd:00:00:00:01';
const PEER = '02:fe:00:00:00:01';

describeReal('interconnects of the embedded plane that borrow', () => {
  let lab: WatchedLab;
  let links: KernelLinks;
  let dataplane: EmbeddedDataPlane;
  let socket: string;
  let serial = 0;

  beforeAll(async () => {
    lab = new WatchedLab();
    await lab.watch();
  });
  afterAll(() => lab.close());

  const connect = async (): Promise<void> => {
    links = new KernelLinks(lab.namespaces);
    dataplane = new EmbeddedDataPlane({ socket, memoryBytes: 64 << 20, workers: 1, startTimeoutMs: 5000 }, links);
    let up = false;
    dataplane.connect({
      onState: (state) => {
        up = state === 'up';
      },
      onEvent: () => undefined,
      onPhys: () => undefined,
    });
    await until('it is up', () => up);
  };
  beforeEach(async () => {
    socket = `${lab.dir}/lender-${serial++}.sock`;
    await connect();
  });
  afterEach(async () => {
    for (const { object, handle } of await dataplane.dump())
      if (object.kind === 'pair' || object.kind === 'interconnect')
        await dataplane.apply([{ op: 'delete', object, handle: handle ?? 0 }]);
    await dataplane.close(false);
    links.close();
  });

  const put = async (object: LcpObject, handle = 0): Promise<number> => {
    const [result] = await dataplane.apply([{ op: 'set', object, handle }]);
    expect(result, result?.message ?? '').toMatchObject({ ok: true });
    return result?.handle ?? 0;
  };
  const remove = async (object: LcpObject, handle = 0) =>
    expect(await dataplane.apply([{ op: 'delete', object, handle }])).toMatchObject([{ ok: true }]);

  const tap = (lender: string): Interconnect => ({
    kind: 'interconnect',
    name: 'h6ic0',
    link: 'tap',
    ...PLAIN_INTERCONNECT,
    netns: lab.hosts,
    netnsId: lab.hostsIdentity,
    mac: MAC,
    peerMac: PEER,
    mtu: 1400,
    lender,
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
  const ip = (...args: string[]): string => execFileSync('ip', ['-n', lab.hosts, ...args], { encoding: 'utf8' });

  /** Packets from the CNF's device, and the fate of each. */
  const fate = async (): Promise<string> => {
    ip('address', 'replace', '10.9.0.1/24', 'dev', 'h6ic0');
    ip('link', 'set', 'h6ic0', 'up');
    ip('neighbour', 'replace', '10.9.0.2', 'lladdr', MAC, 'dev', 'h6ic0');
    const count = () => {
      const rows = dataplane.counters().filter(({ phy, name }) => phy === 'h6ic0' && /^(drop|punt)-/.test(name));
      return new Map(rows.map(({ name, value }) => [name, Number(value)]));
    };
    const before = count();
    spawnSync('ip', ['netns', 'exec', lab.hosts, 'ping', '-q', '-c', '1', '-W', '0.05', '-I', 'h6ic0', '10.9.0.2']);
    let grown: string[] = [];
    await until('the packet is counted', () => {
      grown = [...count()].filter(([name, value]) => value > (before.get(name) ?? 0)).map(([name]) => name);
      return grown.length > 0;
    });
    return grown.join();
  };
  /** Its lender's host has it: there are no tables, so no route is found. */
  const LENT = 'punt-no-route';

  it('is bound to a lender that is there, comes later, is made anew, or goes', async () => {
    await put(tap(''));
    expect(await fate(), 'it borrows nothing').toBe('drop-no-host');
    await put(tap('wan0'));
    expect(await fate(), 'before there is a lender').toBe('drop-no-lender');
    await put(pair());
    expect(await fate()).toBe(LENT);
    const host = await put(pair({ host: 'e9' }));
    expect(await fate(), 'a port of the same name, and of the same id').toBe(LENT);
    await remove(pair({ host: 'e9' }), host);
    expect(await fate()).toBe('drop-no-lender');
    await put(pair());
    expect(await fate()).toBe(LENT);
    await put(tap(''));
    expect(await fate(), 'nothing any more').toBe('drop-no-host');
  });

  it('is known again by the next lcpd, whose lender it has still', async () => {
    await put(pair());
    await put(tap('wan0'));
    const ports = ['wan0', 'h6ic0'].map((name) => dataplane.port(name));
    expect(await fate()).toBe(LENT);
    await dataplane.close(true);
    links.close();
    await connect();
    const held = (await dataplane.dump()).map(({ object }) => object);
    expect(held).toContainEqual(tap('wan0'));
    expect(['wan0', 'h6ic0'].map((name) => dataplane.port(name))).toEqual(ports);
    expect(await fate()).toBe(LENT);
    await put(pair({ host: 'e9' }));
    expect(await fate()).toBe(LENT);
    // a life that ends after the lender was made anew and before who borrows of it was told
    await dataplane.close(true);
    links.close();
    const handle = native().attach(socket, new Int32Array(1)) as bigint;
    expect(native().portLender(handle, ports[1], LENDER_ABSENT)).toBe(0);
    native().detach(handle);
    await connect();
    expect(await fate()).toBe(LENT);
  });

  it('has nothing of an interface without a host, and what a pair has on its own needs no lender', async () => {
    const phy = {
      ...tap(''),
      name: 'wan0',
      link: 'phy',
      netns: '',
      netnsId: '',
      mac: '',
      peerMac: '',
      mtu: 0,
    } as const;
    await put({ ...phy, phyIfindex: lab.ifindex(lab.phys, 'wan0') });
    await put(tap('wan0'));
    expect(await fate(), 'a phy in no pair').toBe('drop-no-lender');
    const on = pair({ phy: 'h6ic0', phyIfindex: INTERCONNECT_PHY, host: 'l3' });
    const host = await put(on);
    expect(await fate(), 'its own host has it').toBe('punt-no-route');
    await remove(on, host);
    const [refused] = await dataplane.apply([{ op: 'set', object: tap('h6ic0'), handle: 0 }]);
    expect(refused).toMatchObject({ ok: false, code: 'PORT_REFUSED', message: expect.stringMatching(/of itself/) });
    expect(await fate(), 'and is as it was').toBe('drop-no-lender');
  });
});
