/**
 * VPP's counters as the driver tells them: on a fake VPP, with segments made for it, and with everything that a segment
 * and its socket can be instead.
 */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CounterRow } from '../../../src/lcp/dataplane.ts';
import { SPECIAL, type Subif } from '../../../src/lcp/objects.ts';
import { puntReasonDump } from '../../../src/vpp/api/punt.ts';
import { contractLab } from '../lcp/contractlab.ts';
import { addPhys, openDriver } from './driverlab.ts';
import { FakeStats, serveStats, TYPE } from './fakestats.ts';
import type { FakeVpp } from './fakevpp.ts';
import { startFake, until } from './lab.ts';

type Pair = readonly [number, number];

/** Counters of the interfaces that the stories have, each a multiple of its index. */
function segment(names: readonly string[], times = 1): FakeStats {
  const both = (factor: number) => [names.map((_, i): Pair => [i * factor * times, i * factor * times * 100])];
  const simple = (factor: number) => [names.map((_, i) => i * factor * times)];
  return new FakeStats()
    .names('/if/names', names)
    .simple('/if/drops', simple(3))
    .simple('/if/punt', simple(0))
    .simple('/if/rx-miss', simple(7))
    .combined('/if/rx', both(10))
    .combined('/if/tx', both(20))
    .combined('/if/rx-multicast', both(2))
    .simple('/net/arp/rx/requests', simple(4))
    .simple('/net/ip6-nd/tx/replies', simple(5))
    .combined('/net/punt', [
      [
        [0, 0],
        [0, 0],
        [6, 600],
      ],
    ])
    .simple('/node/errors', [[0, 8, 9]])
    .link('/err/ip4-input/ip4 ttl <= 1', '/node/errors', 1)
    .link('/err/null-node/blackholed packets', '/node/errors', 2)
    .link('/err/never/happened', '/node/errors', 0)
    .combined('/net/route/to', [
      [
        [0, 0],
        [11, 1100],
        [12, 1200],
      ],
    ]);
}

const NAMES = ['local0', 'wan0', 'lan0', 'tap4096', 'tap4097'];

async function router(served: { socket: string }, prepare: (fake: FakeVpp) => void = () => undefined) {
  const fake = await startFake((each) => {
    addPhys(each);
    prepare(each);
  });
  const opened = await openDriver(fake, undefined, { statsSocket: served.socket });
  const lab = contractLab(() => opened);
  await lab.pairs();
  return { fake, opened, lab, dataplane: opened.dataplane };
}

const told = (rows: readonly CounterRow[]): Record<string, number> =>
  Object.fromEntries(rows.filter(({ value }) => value > 0).map(({ phy, name, value }) => [`${phy}: ${name}`, value]));

describe('counters of VPP', () => {
  it('are told by phy, those of hosts with them, errors and punts without', async () => {
    const { dataplane, fake } = await router(await serveStats(segment(NAMES).build()));
    const hosts = [...fake.state.pairs.values()].map(({ host_sw_if_index }) => host_sw_if_index);
    expect(hosts).toEqual([3, 4]);
    const rows = await dataplane.counters();
    const of = (index: number, prefix: string) => ({
      [`${prefix}rx-packets`]: index * 10,
      [`${prefix}rx-bytes`]: index * 1000,
      [`${prefix}tx-packets`]: index * 20,
      [`${prefix}tx-bytes`]: index * 2000,
      [`${prefix}drop-total`]: index * 3,
      [`${prefix}rx-miss`]: index * 7,
      [`${prefix}rx-multicast`]: index * 2,
      [`${prefix}arp-rx-requests`]: index * 4,
      [`${prefix}nd-tx-replies`]: index * 5,
    });
    expect(told(rows)).toEqual({
      ...of(1, 'wan0: '),
      ...of(3, 'wan0: host-'),
      'wan0: punt-host': 60,
      ...of(2, 'lan0: '),
      ...of(4, 'lan0: host-'),
      'lan0: punt-host': 80,
      ': punt-ipsec4-no-such-tunnel': 6,
      ': err/ip4-input/ip4 ttl <= 1': 8,
      ': err/null-node/blackholed packets': 9,
    });
    const zeros = rows.filter(({ value }) => value === 0).map(({ phy, name }) => `${phy}: ${name}`);
    expect(zeros).toContain('wan0: drop-punt');
    expect(zeros).toContain('local0: rx-packets');
    expect(zeros).toContain(': stats-unreadable');
    expect(zeros.filter((name) => name.startsWith(': punt'))).toEqual([': punt-ipsec4-spi-o-udp-0']);
    expect(new Set(rows.map(({ phy, name }) => `${phy}: ${name}`)).size).toBe(rows.length);
  });

  it('have the names of the API: of sub-interfaces, of what was renamed, of what VPP has told nobody yet', async () => {
    const served = await serveStats(segment(['local0', 'loop0', 'lan0', 'tap4096', 'tap4097', 'x', 'y', 'z']).build());
    const { dataplane, lab, fake } = await router(served);
    const subif: Subif = { kind: 'subif', phy: 'wan0.5', parent: 'wan0', tags: [0x8100_0005], netns: 'cp' };
    await lab.put(subif);
    const made = [...fake.state.interfaces.values()].map(({ sw_if_index, interface_name }) => [
      sw_if_index,
      interface_name,
    ]);
    expect(made.slice(5)).toEqual([[5, 'wan0.5']]);
    const rows = await dataplane.counters();
    const phys = new Set(rows.map(({ phy }) => phy));
    expect([...phys].sort()).toEqual(['', 'lan0', 'local0', 'wan0', 'wan0.5', 'y', 'z']);
    expect(rows.find(({ phy, name }) => phy === 'wan0.5' && name === 'rx-packets')?.value).toBe(50);
  });

  it('of sub-interfaces are those of their tags, whatever they are called', async () => {
    const served = await serveStats(segment([...NAMES, 'wan0.5', 'wan0.6']).build());
    const { dataplane, lab } = await router(served);
    const subif = (phy: string, tag: number): Subif => {
      return { kind: 'subif', phy, parent: 'wan0', tags: [0x8100_0000 + tag], netns: 'cp' };
    };
    await lab.put(subif('wan0.6', 5));
    await lab.put(subif('wan0.5', 6));
    expect(told(await dataplane.counters())).toMatchObject({ 'wan0.6: rx-packets': 50, 'wan0.5: rx-packets': 60 });
  });

  it('of a VPP that does not name its punt reasons have the numbers', async () => {
    const served = await serveStats(segment(NAMES).build());
    const { dataplane } = await router(served, (fake) => fake.remove('punt_reason_dump', 'punt_reason_details'));
    expect(told(await dataplane.counters())).toMatchObject({ ': punt-reason-2': 6 });
  });

  it('ask for the names of punt reasons once', async () => {
    const { dataplane, fake } = await router(await serveStats(segment(NAMES).build()));
    const asked = () => fake.seen.filter((name) => name === puntReasonDump.name).length;
    const before = asked();
    for (let i = 0; i < 3; i++) await dataplane.counters();
    expect(asked()).toBe(before + 1);
  });

  it('that point nowhere are counted, the others are told', async () => {
    const damaged = segment(NAMES).add('/if/tx-error', TYPE.simple, 17n).add('/err/a/b', TYPE.link, 5000n);
    const { dataplane } = await router(await serveStats(damaged.build()));
    for (let i = 0; i < 2; i++) {
      expect(told(await dataplane.counters())).toMatchObject({ 'wan0: rx-packets': 10, ': stats-unreadable': 2 });
    }
  });
});

describe('a lookup', () => {
  const mainRoute = async (statsSocket: string) => {
    const story = await router({ socket: statsSocket });
    const { lab } = story;
    const t = await lab.put(lab.table(4, 254));
    await lab.route(4, [t, '10.1.0.0/16', SPECIAL.blackhole]);
    return { ...story, look: () => story.dataplane.lookup(4, [t], false, ['10.1.2.3', '9.9.9.9']) };
  };

  it('tells what went by the entry', async () => {
    const { look } = await mainRoute((await serveStats(segment(NAMES).build())).socket);
    // the fake VPP gives every entry the counter 1
    const [found, none] = await look();
    expect(found).toMatchObject({ prefixlen: 16, counted: { packets: 11, bytes: 1100 } });
    expect(none).not.toHaveProperty('counted');
  });

  it('is answered without counters where there are none', async () => {
    const { look, dataplane } = await mainRoute('/nonexistent/stats.sock');
    expect((await look())[0]).toMatchObject({ prefixlen: 16 });
    expect((await look())[0]).not.toHaveProperty('counted');
    await expect(dataplane.counters()).rejects.toMatchObject({ code: 'VPP_STATS' });
  });

  it('is answered without counters where VPP has none of routes', async () => {
    const without = new FakeStats().names('/if/names', NAMES);
    const { look } = await mainRoute((await serveStats(without.build())).socket);
    expect((await look())[0]).not.toHaveProperty('counted');
  });

  it('does not wait more than once for statistics that do not answer', async () => {
    const { look } = await mainRoute((await serveStats(segment(NAMES).build(), 'silent')).socket);
    await look();
    const since = performance.now();
    for (let i = 0; i < 5; i++) await look();
    expect(performance.now() - since).toBeLessThan(1000);
  });
});

/** Segments that are open here. */
const segments = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    const link = `/proc/self/fd/${fd}`;
    return existsSync(link) && readlinkSync(link).endsWith('/segment');
  }).length;

describe('statistics that cannot be read', () => {
  it.each([
    ['the path is wrong', () => '/nonexistent/stats.sock', 'ENOENT', 'dataplane.vpp.stats-socket'],
    ['nobody serves it', () => '/dev/null', 'ECONNREFUSED', 'start VPP'],
    ['VPP sends nothing', async () => (await serveStats(Buffer.alloc(9), 'silent')).socket, 'does not answer', 'check'],
    ['VPP sends no memory', async () => (await serveStats(Buffer.alloc(9), 'pipe')).socket, 'no memory', 'check'],
    ['it has no header', async () => (await serveStats(Buffer.alloc(9))).socket, 'no header', 'vpp_get_stats'],
    ['it is of another version', async () => (await serveStats(Buffer.alloc(99))).socket, 'version is 0', 'check'],
    [
      'it names no interfaces',
      async () => (await serveStats(new FakeStats().simple('/if/drops', [[1]]).build())).socket,
      'no names of interfaces',
      'check',
    ],
  ])('because %s are an error of who asks, and of nothing else', async (_name, path, message, hint) => {
    const { dataplane, lab, opened } = await router({ socket: await path() });
    await expect(dataplane.counters()).rejects.toMatchObject({
      code: 'VPP_STATS',
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    });
    const t = await lab.put(lab.table(4, 254));
    expect(await lab.route(4, [t, '10.1.0.0/16', SPECIAL.blackhole])).toEqual({ failed: 0, ok: [true] });
    expect(opened.states).toEqual(['up']);
  });

  it('are read as soon as they can be, and again after they could not', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lcpd-late-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const socket = join(folder, 'stats.sock');
    const { dataplane } = await router({ socket });
    await expect(dataplane.counters()).rejects.toMatchObject({ code: 'VPP_STATS' });
    const served = await serveStats(segment(NAMES).build());
    symlinkSync(served.socket, socket);
    expect(told(await dataplane.counters())).toMatchObject({ 'wan0: rx-packets': 10 });
    const before = segments();
    truncateSync(served.file, 20);
    await expect(dataplane.counters()).rejects.toMatchObject({ code: 'VPP_STATS' });
    await expect(dataplane.counters()).rejects.toMatchObject({ code: 'VPP_STATS' });
    writeFileSync(served.file, segment(NAMES, 2).build());
    expect(told(await dataplane.counters())).toMatchObject({ 'wan0: rx-packets': 20 });
    expect([before, segments()]).toEqual([1, 1]);
  });

  it('because VPP is away are DATAPLANE_DOWN, and those of the next VPP afterwards', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lcpd-anew-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const socket = join(folder, 'stats.sock');
    symlinkSync((await serveStats(segment(NAMES).build())).socket, socket);
    const { dataplane, fake, opened } = await router({ socket });
    expect(told(await dataplane.counters())).toMatchObject({ 'wan0: rx-packets': 10 });
    expect(segments()).toBe(1);
    await fake.close();
    await until(() => opened.states.at(-1) === 'down');
    await expect(dataplane.counters()).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    unlinkSync(socket);
    // the old memory is still there, and must not be told
    symlinkSync((await serveStats(segment(NAMES, 7).build())).socket, socket);
    await fake.restart();
    addPhys(fake);
    await until(() => opened.states.at(-1) === 'up');
    expect(told(await dataplane.counters())).toMatchObject({ 'wan0: rx-packets': 70 });
    expect(segments()).toBe(1);
    await dataplane.close(true);
    await until(() => segments() === 0);
    await expect(dataplane.counters()).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
  });
});

describe('packets in VPP', () => {
  it('are traced by VPP: lcpd says so, and how', async () => {
    const { dataplane } = await router({ socket: '/nonexistent/stats.sock' });
    expect(() => dataplane.traces(0, 0)).toThrow(
      expect.objectContaining({ code: 'NOT_SUPPORTED', hint: expect.stringContaining('vppctl trace add') }),
    );
  });
});
