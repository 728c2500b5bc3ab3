/**
 * The VPP driver on a real VPP: the whole contract, restarts of either side, and what VPP itself does with the tables.
 * Pairs are attached loopbacks, so that no /dev/vhost-net is needed.
 */
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { HeldObject } from '../../src/lcp/dataplane.ts';
import { newRouteBatch, ROUTE_WORDS } from '../../src/lcp/dataplane.ts';
import type { LcpObject, Link, Pair, Path, Table } from '../../src/lcp/objects.ts';
import { SPECIAL } from '../../src/lcp/objects.ts';
import { parsePrefix, wordsOf } from '../../src/lib/ip.ts';
import { VppDataPlane } from '../../src/vpp/driver.ts';
import { tryRun, waitFor } from '../system/lab/process.ts';
import { FakeLinks } from '../unit/vpp/fakelinks.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { type VppLab, vpp } from './lab.ts';

const LOOPBACKS = ['wan0', 'lan0', 'host-e0', 'host-e1'];
const ROUTES = 100_000;

/** Makes the interfaces that pairs are made of. */
async function addLoopbacks(real: RealVpp): Promise<void> {
  for (const [i, name] of LOOPBACKS.entries()) {
    await real.ctl('create loopback interface');
    await real.ctl(`set interface name loop${i} ${name}`);
  }
}

/** A driver on a real VPP, with two pairs. */
class Router {
  readonly dataplane: VppDataPlane;
  readonly states: string[] = [];
  readonly links: FakeLinks;

  constructor(real: RealVpp, links = new FakeLinks()) {
    this.links = links;
    if (links.ifindexOf('e0') === undefined) for (const [i, name] of ['e0', 'e1'].entries()) links.add(name, 101 + i);
    this.dataplane = new VppDataPlane(
      {
        open: { transport: 'socket', socket: { path: real.socket }, shm: {} },
        statsSocket: real.statsSocket,
        pairBackend: 'attach',
        discoverySocket: '',
        groupSocket: '',
        namespaces: ['cp'],
        ifindexOf: (_netns, name) => links.ifindexOf(name),
      },
      links,
    );
    this.dataplane.connect({
      onState: (state) => this.states.push(state),
      onEvent: () => undefined,
      onPhys: () => undefined,
    });
  }

  up(): Promise<boolean> {
    return waitFor('the driver to be up', () => this.states.at(-1) === 'up');
  }

  pair(phy: string, host: string): Pair {
    const phyIfindex = this.dataplane.phys.byName(phy)?.ifindex ?? -1;
    return { kind: 'pair', phy, phyIfindex, host, netns: 'cp', netnsId: this.links.identity, type: 'tap' };
  }

  async put(t: Test, object: LcpObject, handle = 0): Promise<number> {
    const [result] = await this.dataplane.apply([{ op: 'set', object, handle }]);
    t.ok(result?.ok, `${object.kind} ${result?.message ?? ''}`);
    return result?.handle ?? 0;
  }

  async pairs(t: Test): Promise<void> {
    await this.put(t, this.pair('wan0', 'e0'));
    await this.put(t, this.pair('lan0', 'e1'));
  }

  table(table: number, family: 4 | 6 = 4): Table {
    return { kind: 'table', netns: 'cp', family, table };
  }

  link(phy: string, tables: readonly number[]): Link {
    return {
      kind: 'link',
      phy,
      parent: '',
      phyIfindex: this.dataplane.phys.byName(phy)?.ifindex ?? 0,
      hostIfindex: 101,
      netns: 'cp',
      up: true,
      mtu: 1500,
      phyMtu: 1500,
      mac: '',
      carrier: true,
      promisc: true,
      host: 'e0',
      forwarding4: true,
      forwarding6: true,
      source4: '',
      source6: '',
      macs: [],
      l2: false,
      lookup4: tables.map((id) => `cp/v4/${id}`),
      lookup6: tables.map((id) => `cp/v6/${id}`),
      merged4: tables.length < 3,
      lookupMpls: [],
    };
  }

  /** Sends routes; how many were refused. */
  async route(...rows: readonly (readonly [number, string, number])[]): Promise<number> {
    const batch = newRouteBatch(rows[0]?.[1].includes(':') ? 6 : 4, rows.length);
    for (const [table, text, target] of rows) {
      const prefix = parsePrefix(text);
      if (prefix === undefined) throw new Error(text);
      batch.words.set([table, target, prefix.length, ...wordsOf(prefix.bytes)], batch.count++ * ROUTE_WORDS);
    }
    return this.dataplane.applyRoutes(batch);
  }

  async find(tables: readonly number[], ...addresses: readonly string[]): Promise<string[]> {
    const found = await this.dataplane.lookup(addresses[0]?.includes(':') ? 6 : 4, tables, true, addresses);
    return found.map(({ table, target, prefixlen }) => `${table} ${target}/${prefixlen}`);
  }
}

async function router(t: Test, lab: VppLab): Promise<{ real: RealVpp; r: Router }> {
  const real = await lab.addVpp();
  await addLoopbacks(real);
  const r = new Router(real);
  await r.up();
  await r.pairs(t);
  return { real, r };
}

/** What is held, without what a restart finds under other names. */
const shown = (held: readonly HeldObject[]): string[] =>
  held.map(({ object, handle }) => (object.kind === 'pathset' ? `paths ${handle}` : JSON.stringify(object))).sort();

vpp('the driver keeps its contract', async (t, lab) => {
  const real = await lab.addVpp();
  await addLoopbacks(real);
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const vitest = `${root}/node_modules/vitest/vitest.mjs`;
  const argv = [
    process.execPath,
    vitest,
    'run',
    '--root',
    root,
    '--reporter=verbose',
    'test/unit/vpp/realcontract.test.ts',
  ];
  const sockets = [`LCPD_VPP_API=${real.socket}`, `LCPD_VPP_STATS=${real.statsSocket}`];
  const finished = await tryRun(['env', ...sockets, 'NO_COLOR=1', ...argv]);
  for (const line of finished.stdout.split('\n')) if (/[✓×]|Tests/.test(line)) t.comment(line.trim());
  t.equal(finished.code, 0, finished.code === 0 ? 'every test of it' : finished.stdout.slice(-4000));
  t.match(finished.stdout, /Tests\s+\d{2} passed/, 'and they were run');
});

vpp('VPP finds what the kernel would: on-link, own addresses, neighbours, tables behind tables', async (t, lab) => {
  const { real, r } = await router(t, lab);
  const [local, main, red] = [await r.put(t, r.table(255)), await r.put(t, r.table(254)), await r.put(t, r.table(100))];
  await r.put(t, r.link('wan0', [255, 254]));
  await r.put(t, r.link('lan0', [255, 100, 254]));
  const address = {
    kind: 'address',
    phy: 'wan0',
    family: 4,
    address: '10.0.0.1',
    prefixlen: 24,
    connected: true,
  } as const;
  await r.put(t, address);
  await r.put(t, { kind: 'neighbour', phy: 'wan0', family: 4, address: '10.0.0.9', mac: '02:00:00:00:00:09' });
  const leg = (phy: string, via: string): Path => ({ phy, via, weight: 1 });
  const onLink = await r.put(t, { kind: 'pathset', id: '1', paths: [leg('wan0', '')] });
  const gateway = await r.put(t, { kind: 'pathset', id: '2', paths: [leg('lan0', '10.1.0.2')] });
  const refused = await r.route(
    [local, '10.0.0.1/32', SPECIAL.local],
    [local, '10.0.0.255/32', SPECIAL.broadcast],
    [main, '10.0.0.0/24', onLink],
    [main, '10.5.0.0/16', gateway],
    [red, '10.6.0.0/16', gateway],
    [red, '10.5.5.0/24', SPECIAL.throw],
  );
  t.equal(refused, 0);
  t.same(await r.find([local, main], '10.0.0.7', '10.0.0.9', '10.0.0.1', '10.0.0.255', '10.5.0.1', '11.0.0.1'), [
    `${main} ${onLink}/24`,
    `${main} ${onLink}/24`,
    `${local} ${SPECIAL.local}/32`,
    `${local} ${SPECIAL.broadcast}/32`,
    `${main} ${gateway}/16`,
    '0 0/0',
  ]);
  t.same(await r.find([local, red, main], '10.6.0.1', '10.5.5.1', '10.0.0.7', '10.0.0.1'), [
    `${red} ${gateway}/16`,
    `${main} ${gateway}/16`,
    `${main} ${onLink}/24`,
    `${local} ${SPECIAL.local}/32`,
  ]);
  const fib = async (line: string): Promise<string> => (await real.ctl(`show ip fib ${line}`)).stdout;
  t.match(await fib('10.0.0.9/32'), /arp-ipv4|ipv4 via 10\.0\.0\.9 wan0/, 'the neighbour is an adjacency of VPP');
  t.match(await fib('table 100 0.0.0.0/0'), /lookup in ipv4-VRF:0/, 'VPP itself goes on with the main table');
  t.comment('an on-link route leaked into a table that its interface is not in');
  await r.put(t, r.link('lan0', [100, 254]));
  t.equal(await r.route([red, '10.0.0.0/24', onLink]), 0);
  t.same(
    await r.find([red, main], '10.0.0.7', '10.0.0.9', '10.0.0.1'),
    [`${red} ${onLink}/24`, `${red} ${onLink}/24`, `${red} ${onLink}/24`],
    'its neighbours come along, and the own address does not',
  );
  t.match(await fib('table 100 10.0.0.9/32'), /arp-ipv4|ipv4 via 10\.0\.0\.9 wan0/, 'and packets go to them');
  t.equal(await r.route([red, '10.0.0.0/24', SPECIAL.none]), 0);
  t.comment('the kernel prefers a gateway for the connected prefix');
  await r.put(t, { ...address, connected: false });
  t.equal(await r.route([main, '10.0.0.0/24', gateway]), 0);
  t.same(await r.find([local, main], '10.0.0.7', '10.0.0.9', '10.0.0.1'), [
    `${main} ${gateway}/24`,
    `${main} ${gateway}/24`,
    `${local} ${SPECIAL.local}/32`,
  ]);
  await r.put(t, address);
  t.equal(await r.route([main, '10.0.0.0/24', onLink]), 0);
  t.same(await r.find([local, main], '10.0.0.7'), [`${main} ${onLink}/24`]);
  await r.dataplane.close(false);
  t.match(await fib('10.5.0.1/32'), /0\.0\.0\.0\/0/, 'nothing is left');
  t.notMatch(await fib(''), /lcpd/, 'and no table');
});

vpp('routes in bulk, VPP killed and started, lcpd started again', async (t, lab) => {
  const { real, r } = await router(t, lab);
  const main = await r.put(t, r.table(254));
  const p = await r.put(t, { kind: 'pathset', id: '1', paths: [{ phy: 'wan0', via: '10.0.0.2', weight: 1 }] });
  const batch = newRouteBatch(4, ROUTES);
  for (let i = 0; i < ROUTES; i++) {
    batch.words.set(
      [main, p, 32, new Uint32Array(Uint8Array.of(20, i >> 16, i >> 8, i).buffer)[0] ?? 0],
      i * ROUTE_WORDS,
    );
  }
  batch.count = ROUTES;
  const sentAt = performance.now();
  t.equal(await r.dataplane.applyRoutes(batch), 0);
  const seconds = (performance.now() - sentAt) / 1000;
  t.comment(`${ROUTES} routes in ${seconds.toFixed(2)} s`);
  const before = shown(await r.dataplane.dump());
  const { generation } = r.dataplane.info();
  await r.dataplane.close(true);

  const second = new Router(real, r.links);
  await second.up();
  const readAt = performance.now();
  t.same(shown(await second.dataplane.dump()), before, 'everything is recognised');
  let found = 0;
  const targets = new Set<number>();
  await second.dataplane.dumpRoutes(main, 4, ({ words, count }) => {
    found += count;
    for (let i = 0; i < count; i++) targets.add(words[i * ROUTE_WORDS + 1] as number);
  });
  t.comment(`${found} routes read in ${((performance.now() - readAt) / 1000).toFixed(2)} s`);
  t.equal(found, ROUTES);
  t.same([...targets], [p]);
  t.equal(second.dataplane.info().generation, generation, 'the same VPP');

  const half = second.dataplane.applyRoutes(batch);
  await real.kill();
  t.ok((await half) >= 0, 'a batch that VPP ended under has an answer');
  await waitFor('the driver to be down', () => second.states.at(-1) === 'down');
  await real.start();
  const startedAt = performance.now();
  await second.up();
  const backMs = performance.now() - startedAt;
  t.ok(backMs < 1000, `back after ${Math.round(backMs)} ms`);
  t.not(second.dataplane.info().generation, generation, 'another VPP');
  t.same(shown(await second.dataplane.dump()), []);
  await second.dataplane.close(false);
});

vpp('a VPP with linux_nl is refused', async (t, lab) => {
  const real = await lab.addVpp({ plugins: ['linux_cp', 'linux_nl', 'linux_cp_unittest', 'af_packet', 'ping'] });
  const causes: string[] = [];
  const links = new FakeLinks();
  const dataplane = new VppDataPlane(
    {
      open: { transport: 'socket', socket: { path: real.socket }, shm: {} },
      statsSocket: real.statsSocket,
      pairBackend: 'linux-cp',
      discoverySocket: '',
      groupSocket: '',
      namespaces: ['cp'],
      ifindexOf: () => undefined,
    },
    links,
  );
  dataplane.connect({
    onState: (_state, cause) => causes.push(cause),
    onEvent: () => undefined,
    onPhys: () => undefined,
  });
  await waitFor('a verdict', () => causes.length > 0);
  t.match(causes[0], /linux_nl/);
  t.match(causes[0], /disable linux_nl_plugin\.so/);
  await dataplane.close(true);
});
