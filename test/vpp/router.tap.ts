/**
 * A router on a real VPP: what Linux has is in VPP, packets go through it, and an end of either side is no end of it.
 *
 * Scenarios 6, 8, 13, 14 and 15 of the acceptance list, as far as attached pairs show them.
 */
import { inNetns, ip } from '../system/lab/netns.ts';
import { tryRun, waitFor } from '../system/lab/process.ts';
import { addVppRouter, openInterfaces } from './lab/router.ts';
import { vpp } from './lab.ts';

/** Packets lost of so many, sent every 10 ms. */
async function lost(ns: string, to: string, count: number): Promise<number> {
  const { stdout } = await tryRun(inNetns(ns, ['ping', '-q', '-c', `${count}`, '-i', '0.01', '-W', '1', to]), {
    timeoutMs: 60_000,
  });
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  if (sent === undefined) throw new Error(`ping says ${stdout}`);
  return Number(sent) - Number(received);
}

vpp('scenarios 6, 8 and 13: state that is there before lcpd, specials, link down', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab);
  const cp = lab.ns('cp');
  const fib = async (prefix: string) => (await vpp.ctl(`show ip fib ${prefix}`)).stdout;
  await ip(cp, 'route', 'add', '192.0.2.0/24', 'via', '10.0.1.2');
  await ip(cp, 'route', 'add', 'blackhole', '198.51.100.0/25');
  await ip(cp, 'route', 'add', 'unreachable', '198.51.100.128/26');
  await ip(cp, 'route', 'add', 'prohibit', '198.51.100.192/26');
  await lcpd.synced();
  t.match(await fib('192.0.2.0/24'), /via 10\.0\.1\.2 host-p1/, 'a route by the neighbour');
  t.match(await fib('198.51.100.0/25'), /dpo-drop/, 'blackhole');
  t.match(await fib('198.51.100.128/26'), /send-unreachable/, 'unreachable');
  t.match(await fib('198.51.100.192/26'), /send-prohibited/, 'prohibit');
  await lcpd.stop();
  await ip(cp, 'route', 'add', '203.0.113.0/24', 'via', '10.0.0.2');
  await lcpd.start();
  await lcpd.synced();
  t.match(await fib('203.0.113.0/24'), /host-p0/, 'a route made while lcpd was away');
  await ip(cp, 'link', 'set', 'e1', 'down');
  await lcpd.synced();
  t.notMatch(await fib('192.0.2.0/24'), /host-p1/, 'no route by a host that is down');
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});

vpp('an interface that is looked up in another table is found there by its neighbours', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab);
  const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
  const routes = [
    ['route', 'add', '10.0.0.0/24', 'dev', 'e0'],
    ['route', 'add', '10.0.1.0/24', 'dev', 'e1'],
    ['-6', 'route', 'add', 'fd00::/64', 'dev', 'e0'],
    ['-6', 'route', 'add', 'fd00:1::/64', 'dev', 'e1'],
  ];
  for (const line of routes) await ip(cp, ...line, 'table', '100');
  await ip(cp, 'address', 'add', '10.0.9.1/24', 'dev', 'e0');
  const move = async (verb: 'add' | 'del') => {
    for (const six of [[], ['-6']]) await ip(cp, ...six, 'rule', verb, 'iif', 'e0', 'lookup', '100', 'pref', '500');
    await lcpd.synced();
    for (const six of [[], ['-6']]) await ip(h0, ...six, 'neighbour', 'flush', 'all');
  };
  for (const [verb, table] of [
    ['add', '100'],
    ['del', '0'],
  ] as const) {
    await move(verb);
    for (const to of ['10.0.1.2', 'fd00:1::2']) {
      await lost(h0, to, 3); // VPP drops the first one
      t.equal(await lost(h0, to, 10), 0, `rule ${verb}: packets to ${to}, whose way begins with the router's address`);
    }
    for (const [family, group] of [
      ['ip', '224.0.0.0/24'],
      ['ip6', 'ff00::/8'],
    ]) {
      const entry = (await vpp.ctl(`show ${family} mfib table ${table} ${group}`)).stdout;
      t.match(entry, /host-p0: Accept/, `groups of the link are taken in table ${table}`);
    }
  }
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});

vpp(
  'a table that interfaces go on from to different ones has a copy, which changes with it and goes with its need',
  async (t, lab) => {
    const { vpp, lcpd } = await addVppRouter(lab, { ports: 3 });
    const [cp, h0, h1, h2] = [lab.ns('cp'), lab.ns('h0'), lab.ns('h1'), lab.ns('h2')];
    for (const address of ['198.51.100.1', '203.0.113.1'])
      await ip(h1, 'address', 'add', `${address}/32`, 'dev', 'eth0');
    // so that a restarted lcpd finds routes where the interfaces' own entries of their subnets are
    for (const n of [0, 1, 2]) await ip(cp, 'route', 'add', `10.0.${n}.0/24`, 'dev', `e${n}`, 'table', '77');
    await ip(cp, 'route', 'add', '198.51.100.0/24', 'via', '10.0.1.2', 'table', '77');
    await ip(cp, 'route', 'add', '203.0.113.0/24', 'via', '10.0.1.2', 'table', '100');
    await ip(cp, 'rule', 'add', 'pref', '500', 'lookup', '77');
    // else e0's way could be the first to be planned, and the copy the one that stays: no interface is moved to end a copy
    await lcpd.synced();
    await ip(cp, 'rule', 'add', 'pref', '600', 'iif', 'e0', 'lookup', '100');
    await lcpd.synced();
    const tables = async () => (await vpp.ctl('show ip fib summary')).stdout;
    const found = async (from: string, to: string) => (await lost(from, to, 5)) < 5;
    const reached = async () =>
      Promise.all([
        found(h0, '198.51.100.1'),
        found(h2, '198.51.100.1'),
        found(h0, '203.0.113.1'),
        found(h2, '203.0.113.1'),
      ]);
    await waitFor('packets to find their neighbour', () => found(h0, '198.51.100.1'));
    t.match(await tables(), /v4\/77 #1/, 'there is a copy of table 77');
    t.same(await reached(), [true, true, true, false], 'both have what is in 77, and one of them what is behind it');
    t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
    await lcpd.kill();
    await lcpd.start();
    await lcpd.synced();
    const said = await lcpd.json<{ name: string; direction: string }[]>(['vpp', 'trace']);
    const changes = said.filter(({ name, direction }) => direction === 'sent' && /add_del|set_/.test(name));
    t.same(changes, [], 'a restarted lcpd sends nothing that changes VPP');
    await ip(cp, 'route', 'replace', 'blackhole', '198.51.100.0/24', 'table', '77');
    await ip(cp, 'route', 'add', '10.99.0.0/16', 'via', '10.0.1.2', 'table', '77');
    await lcpd.synced();
    t.same(await reached(), [false, false, true, false], 'a change of table 77 is one of its copy too');
    t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
    await ip(cp, 'rule', 'del', 'pref', '600');
    await lcpd.synced();
    t.notMatch(await tables(), /#1/, 'and there is none when all go the same way');
    await ip(cp, 'route', 'replace', '198.51.100.0/24', 'via', '10.0.1.2', 'table', '77');
    await lcpd.synced();
    t.same(await reached(), [true, true, false, false]);
    t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
  },
);

vpp('a rule in front of the main table leaves the router’s addresses answering', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab);
  const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
  await ip(cp, 'rule', 'add', 'pref', '500', 'lookup', '77');
  await ip(cp, 'route', 'add', '192.0.2.0/24', 'via', '10.0.1.2', 'table', '77');
  await lcpd.synced();
  t.match(
    (await vpp.ctl('show interface addr')).stdout,
    /10\.0\.0\.1\/24 ip4 table-id 77/,
    'with their prefix, in table 77',
  );
  await ip(h0, 'neighbour', 'flush', 'all');
  await waitFor('the other host to answer', async () => (await lost(h0, '10.0.1.2', 3)) === 0);
  t.equal(await lost(h0, '10.0.1.2', 10), 0, 'packets pass, whose way begins with an ARP request to the router');
  const rows = await lcpd.lookup(['10.0.1.2', '192.0.2.1'], '--iif', 'e0');
  const ways = rows.map((row) =>
    'paths' in row ? row.paths.map(({ dev, via }) => `${dev} ${via ?? ''}`.trim()) : row,
  );
  t.same(ways, [['e1'], ['e1 10.0.1.2']]);
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
  await ip(cp, 'rule', 'del', 'pref', '500');
  await lcpd.synced();
  t.match((await vpp.ctl('show interface addr')).stdout, /L3 10\.0\.0\.1\/24\s/, 'and back in the main table');
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});

vpp('scenario 14: lcpd killed and started again loses no packet and sends nothing', async (t, lab) => {
  const { lcpd } = await addVppRouter(lab);
  await lost(lab.ns('h0'), '10.0.1.2', 5); // VPP drops the first one, for which it has to find the neighbour
  t.equal(await lost(lab.ns('h0'), '10.0.1.2', 20), 0, 'packets pass before');
  const losing = lost(lab.ns('h0'), '10.0.1.2', 400);
  await lcpd.kill();
  await lcpd.start();
  await lcpd.synced();
  t.equal(await losing, 0, 'packets lost of 400 while lcpd was killed and started');
  t.equal((await lcpd.status()).rounds.failed, 0, 'nothing was refused');
  const said = await lcpd.json<{ name: string; direction: string }[]>(['vpp', 'trace']);
  const changes = said.filter(({ name, direction }) => direction === 'sent' && /add_del|set_/.test(name));
  t.same(changes, [], 'nothing was sent that changes VPP');
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});

vpp('scenario 15: VPP killed and started again has everything back', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab);
  await ip(lab.ns('cp'), 'route', 'add', '192.0.2.0/24', 'via', '10.0.1.2');
  await lcpd.synced();
  await vpp.restart();
  await openInterfaces(vpp, 2);
  const started = performance.now();
  await waitFor('the route to be back', async () => {
    const { stdout } = await vpp.ctl('show ip fib 192.0.2.0/24');
    if (!/host-p1/.test(stdout)) throw new Error(stdout);
    return true;
  });
  const ms = Math.round(performance.now() - started);
  t.ok(ms < 7000, `routes are back ${ms} ms after VPP has its interfaces`);
  await lcpd.synced();
  // VPP drops what comes while it looks for a neighbour
  await waitFor('packets to pass again', async () => (await lost(lab.ns('h1'), '10.0.0.2', 3)) === 0);
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});
