/**
 * Scenarios of life: what was there before, processes that die, notifications that are lost, and many routes at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusRow } from '../../src/lcp/view.ts';
import type { Lcpd } from './lab/lcpd.ts';
import { legs, sameChoices } from './lab/legs.ts';
import { ip, ipBatch, ipJson, pidsIn } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { Random } from './lab/random.ts';
import { Pinger, ping, reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

async function batch(lab: Lab, lines: readonly string[]): Promise<void> {
  const done = await ipBatch(lab.ns('cp'), lines);
  if (done.code !== 0) throw new Error(`ip -batch: ${done.stderr.slice(0, 2000)}`);
}

/** Ends the data plane's process as a crash would: what runs in rtr beside lcpd, which the status names. */
async function killForwarder(lab: Lab): Promise<void> {
  const { pid } = (await lab.lcpd.status()).dataplane;
  if (pid === undefined || !(await pidsIn(lab.ns('rtr'))).includes(pid)) throw new Error(`no data plane: pid ${pid}`);
  process.kill(pid, 'SIGKILL');
  await waitFor('the data plane to end', async () => !(await pidsIn(lab.ns('rtr'))).includes(pid));
}

system('scenario 13: what the kernel had before', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const cp = lab.ns('cp');
  // Neither process: the hosts stay, and are the kernel's alone.
  const { pid } = (await lcpd.status()).dataplane;
  await lcpd.kill();
  // hosts that end with VPP take what the kernel has with them
  if (lab.dataplane !== 'linux-cp') {
    process.kill(pid ?? 0, 'SIGKILL');
    await waitFor('no process to be left', async () => (await pidsIn(lab.ns('rtr'))).length === 0);
    await lab.dataplaneEnded();
  }
  const count = 10_000;
  const prefix = (i: number): string => `10.${100 + (i >> 12)}.${(i >> 4) & 255}.${(i & 15) * 16}/28`;
  await batch(lab, [
    ...Array.from({ length: count }, (_, i) => `route add ${prefix(i)} via 10.0.${i % 2}.${2 + (i % 7)} dev e${i % 2}`),
    ...Array.from({ length: 500 }, (_, i) => `route add fd00:100:${i}::/48 via fd00:${i % 2}::2 dev e${i % 2}`),
    ...Array.from(
      { length: 200 },
      (_, i) => `neighbour add 10.0.1.${20 + i} lladdr 02:00:00:00:01:${(20 + i).toString(16)} dev e1 nud permanent`,
    ),
    'address add 10.200.0.1/24 dev e0',
    'address add 192.0.2.77/32 dev lo',
    'route add unreachable 10.201.0.0/16',
  ]);
  await lcpd.start();
  for (const n of [0, 1]) await lcpd.waitPair(`p${n}`, 'up');
  const indexes = Array.from({ length: count }, (_, i) => i);
  const found = await legs(
    lab,
    indexes.map((i) => prefix(i).replace(/\d+\/28$/, (text) => String(Number.parseInt(text, 10) + 3))),
  );
  t.equal(found.filter((leg, i) => leg === `e${i % 2} via 10.0.${i % 2}.${2 + (i % 7)}`).length, count, 'every route');
  await sameChoices(
    t,
    lab,
    ['10.200.0.1', '10.200.0.9', '192.0.2.77', '10.201.1.1', 'fd00:100:499::9', '10.0.1.99', '10.250.0.1'],
    'and the rest',
  );
  const neighbours = await lcpd.json<{ dev: string; installed: boolean }[]>(['show', 'neighbours']);
  t.ok(neighbours.filter((n) => n.dev === 'e1' && n.installed).length >= 200, 'the neighbours');
  const diff = await lcpd.diff();
  t.same(diff.differences, [], 'lcpctl diff is empty');
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'), 'packets pass');
  t.match(await ip(cp, 'neighbour', 'show', '10.0.1.30'), /PERMANENT/);
});

system('scenario 15: the data plane dies and everything is back', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
  await ip(cp, 'link', 'set', 'e0', 'mtu', '1400');
  await ip(cp, 'link', 'set', 'e0', 'address', '02:00:00:00:be:ef');
  await batch(lab, [
    ...Array.from({ length: 1000 }, (_, i) => `route add 10.${100 + (i >> 8)}.${i & 255}.0/24 via 10.0.1.2`),
    'route add fd00:66::/64 nexthop via fd00:0::2 nexthop via fd00:1::2',
  ]);
  await lcpd.synced();
  t.ok(await reachable(h0, '10.0.1.2'));
  const state = async (): Promise<unknown> => ({
    links: (await ipJson<{ ifname: string; ifindex: number; address: string; mtu: number }>(cp, 'link')).map((l) => [
      l.ifname,
      l.ifindex,
      l.address,
      l.mtu,
    ]),
    addresses: (await ipJson<{ addr_info: { local?: string }[] }>(cp, 'address')).map((l) =>
      l.addr_info.map((a) => a.local),
    ),
    routes: (await ipJson<{ dst: string }>(cp, 'route', 'show')).length,
  });
  const before = await state();
  const { generation } = (await lcpd.status()).dataplane;
  await killForwarder(lab);
  await lab.dataplaneEnded();
  await waitFor('another data plane', async () => {
    const { dataplane } = await lcpd.status();
    return dataplane.state === 'up' && dataplane.generation !== generation;
  });
  for (const n of [0, 1]) await lcpd.waitPair(`p${n}`, 'up');
  t.ok(await reachable(h0, '10.0.1.2'), 'forwards again');
  t.ok(await reachable(h0, 'fd00:1::2'), 'by IPv6');
  t.same(await state(), before, 'the kernel has the same hosts, MAC, MTU, addresses and routes');
  const hasMtu = (mtu: number): boolean => lab.dataplane !== 'embedded' || mtu === 1400; // VPP's is its own
  await lab.waitLink('rtr', 'p0', (link) => hasMtu(link.mtu) && link.address === '02:00:00:00:be:ef');
  const last = await legs(lab, ['10.103.231.9', 'fd00:66::9']);
  t.same(last, ['e1 via 10.0.1.2', 'e0 via fd00::2 + e1 via fd00:1::2'], 'the routes are in the new one');
  t.match(lcpd.daemon.log(), /data ?plane|forwarder|lcpfwd|VPP/i, 'the log tells of it');
});

const rowOf = (status: StatusRow, name: string): StatusRow['namespaces'][number] => {
  const row = status.namespaces.find((n) => n.name === name);
  if (row === undefined) throw new Error(`no namespace ${name} in lcpctl status`);
  return row;
};

system('scenario 16: 200,000 changes and a receive buffer of 4 KiB', async (t, lab) => {
  const lcpd = await lab.addRouter({ ports: 3, extra: 'netlink: { rx-buffer-bytes: 4KiB }\n' });
  const cp = lab.ns('cp');
  const random = Random.fromEnvironment();
  t.comment(`SEED=${random.seed}`);
  const changes = 200_000;
  const prefixes = 4000;
  const four = (i: number): string => `172.${16 + (i >> 8)}.${i & 255}.0/24`;
  const six = (i: number): string => `fd00:16:${i.toString(16)}::/48`;
  const leg = (via6: boolean): string => (via6 ? `via fd00:${random.below(3)}::2` : `via 10.0.${random.below(3)}.2`);
  const line = (): string => {
    const via6 = random.chance(30);
    const prefix = (via6 ? six : four)(random.below(prefixes));
    if (random.chance(30)) return `route del ${prefix}`;
    if (random.chance(20)) return `route replace ${prefix} nexthop ${leg(via6)} nexthop ${leg(via6)}`;
    return `route replace ${prefix} ${leg(via6)}`;
  };
  const began = performance.now();
  for (let done = 0; done < changes; done += 20_000) {
    const lines = Array.from({ length: 20_000 }, line);
    // Legs die and come back in the middle of it.
    if (random.chance(50)) lines.splice(random.below(20_000), 0, 'link set e2 down', 'link set e2 up');
    await ipBatch(cp, lines, true);
  }
  const seconds = (performance.now() - began) / 1000;
  await lcpd.synced(60);
  const status = await lcpd.status();
  const row = rowOf(status, cp);
  t.ok(
    row.overruns > 0,
    `${changes} changes in ${seconds.toFixed(1)} s: ${row.overruns} overruns, ${row.resyncs} resyncs`,
  );
  t.match(row.lastResync?.cause, /overrun|ENOBUFS|dropped/i, `lcpctl status tells the cause: ${row.lastResync?.cause}`);
  t.ok((row.lastResync?.ms ?? -1) >= 0, `and the cost: ${row.lastResync?.ms} ms`);
  t.equal(status.health.state, 'ok');
  const diff = await lcpd.diff();
  t.same(diff.differences, [], 'the same as a fresh dump');
  const addresses = Array.from({ length: 60 }, () => random.below(prefixes)).flatMap((i) => [
    four(i).replace('.0/24', '.9'),
    six(i).replace('/48', '9'),
  ]);
  await sameChoices(t, lab, addresses, 'afterwards');
  if (lab.dataplane !== 'linux-cp') await lab.setCarrier(1, false);
  await ip(cp, 'link', 'set', 'e0', 'down');
  await sameChoices(t, lab, addresses, 'with dead legs');
});

/** How many operations a second, and how long lcpd took to answer meanwhile. */
async function measured(lab: Lab, lines: readonly string[]): Promise<string> {
  const began = performance.now();
  let [slowest, told, seconds] = [0, 0, 0];
  let asking = true;
  const asker = (async () => {
    while (asking) {
      const asked = performance.now();
      await lab.lcpd.status();
      slowest = Math.max(slowest, performance.now() - asked);
      await sleep(500); // lcpctl itself would take the processor
    }
  })();
  try {
    await batch(lab, lines);
    told = performance.now();
    await lab.lcpd.synced(90);
    seconds = (performance.now() - began) / 1000;
  } finally {
    asking = false;
    await asker;
  }
  const rate = `${(lines.length / seconds / 1000).toFixed(0)} k/s, ${seconds.toFixed(1)} s`;
  return `${rate} (ip alone ${((told - began) / 1000).toFixed(1)} s), status within ${slowest.toFixed(0)} ms`;
}

async function counted(lcpd: Lcpd, ns: string): Promise<[number, number]> {
  const row = rowOf(await lcpd.status(), ns);
  return [row.routes4, row.routes6];
}

system('scenario 25: a full table in small', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const cp = lab.ns('cp');
  const [n4, n6] = [200_000, 50_000];
  const four = (i: number): string => `${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`;
  const six = (i: number): string => `2001:${(i >> 12).toString(16)}:${(i & 4095).toString(16)}::/48`;
  const all = (verb: string, leg: number | undefined, chosen: (i: number) => boolean): string[] => [
    ...Array.from({ length: n4 }, (_, i) => i)
      .filter(chosen)
      .map((i) => `route ${verb} ${four(i)}${leg === undefined ? '' : ` via 10.0.${leg}.2`}`),
    ...Array.from({ length: n6 }, (_, i) => i)
      .filter(chosen)
      .map((i) => `route ${verb} ${six(i)}${leg === undefined ? '' : ` via fd00:${leg}::2`}`),
  ];
  const [base4, base6] = await counted(lcpd, cp);
  t.pass(
    `loaded: ${await measured(
      lab,
      all('add', 0, () => true),
    )}`,
  );
  t.same(await counted(lcpd, cp), [base4 + n4, base6 + n6], `${n4} and ${n6} routes`);
  t.pass(
    `half of them to another next hop: ${await measured(
      lab,
      all('replace', 1, (i) => i % 2 === 1),
    )}`,
  );
  const sample = Array.from({ length: 1000 }, (_, i) => i * 197);
  t.same(
    await legs(
      lab,
      sample.map((i) => four(i).replace('.0/24', '.9')),
    ),
    sample.map((i) => `e${i % 2} via 10.0.${i % 2}.2`),
    'a thousand of them',
  );
  const diff = await lcpd.diff();
  t.same(diff.differences, [], 'lcpctl diff is empty');
  t.ok((diff.checked.route4 ?? 0) >= n4, `which compared ${JSON.stringify(diff.checked)}`);
  t.pass(
    `withdrawn: ${await measured(
      lab,
      all('del', undefined, () => true),
    )}`,
  );
  t.same(await counted(lcpd, cp), [base4, base6], 'as at first');
  t.equal((await ping(lab.ns('h0'), '10.0.1.2', { count: 3 })).received > 0, true, 'what is connected forwards');
});

system(
  'namespaces with overlapping addresses; one vanishes and comes back',
  async (t, lab) => {
    await lab.addNetns('rtr');
    await lab.addNetns('cp');
    await lab.addNetns('cp2');
    for (const n of [0, 1, 2, 3]) await lab.addHost(n);
    const [cp2, h0, h2] = [lab.ns('cp2'), lab.ns('h0'), lab.ns('h2')];
    await lab.addPlane(4);
    const config = lab
      .config({ ports: 4 })
      .replace('host: e2,', `host: e0, netns: ${cp2},`)
      .replace('host: e3,', `host: e1, netns: ${cp2},`);
    const lcpd = lab.addLcpd(config);
    await lcpd.start();
    // h2 and h3 are to cp2 what h0 and h1 are to cp: the same addresses.
    for (const n of [2, 3]) {
      const host = lab.ns(`h${n}`);
      await ip(host, 'address', 'flush', 'dev', 'eth0', 'scope', 'global');
      await ip(host, 'address', 'add', `10.0.${n - 2}.2/24`, 'dev', 'eth0');
      await ip(host, 'route', 'replace', 'default', 'via', `10.0.${n - 2}.1`);
    }
    for (const [host, address] of [
      ['h1', '10.95.0.1'],
      ['h3', '10.95.0.3'],
    ] as const) {
      await ip(lab.ns(host), 'address', 'add', `${address}/32`, 'dev', 'lo');
    }
    const addressCp2 = async (): Promise<void> => {
      for (const n of [0, 1]) {
        await lab.waitLink('cp2', `e${n}`);
        await ip(cp2, 'link', 'set', `e${n}`, 'up');
        await ip(cp2, 'address', 'replace', `10.0.${n}.1/24`, 'dev', `e${n}`);
      }
      await ip(cp2, 'route', 'replace', '10.95.0.0/24', 'via', '10.0.1.2');
      for (const phy of ['p2', 'p3']) await lcpd.waitPair(phy, 'up');
    };
    for (const n of [0, 1]) {
      await lab.waitLink('cp', `e${n}`);
      await lab.addressHost(n);
    }
    await ip(lab.ns('cp'), 'route', 'add', '10.95.0.0/24', 'via', '10.0.1.2');
    await addressCp2();
    const apart = async (when: string): Promise<void> => {
      for (const [from, to, other] of [
        [h0, '10.95.0.1', '10.95.0.3'],
        [h2, '10.95.0.3', '10.95.0.1'],
      ] as const) {
        t.ok(await reachable(from, to), `${when}: ${to} from its own`);
        t.equal((await ping(from, other, { count: 2 })).received, 0, `${when}: and not the other's ${other}`);
      }
    };
    await apart('two namespaces');
    const pinger = new Pinger(h0, '10.95.0.1', `${lab.dir}/ping.log`);
    await pinger.answers(10);
    await lab.delNetns('cp2');
    for (const phy of ['p2', 'p3']) t.match((await lcpd.waitPair(phy, 'pending')).reason, /namespace/, `${phy} waits`);
    await pinger.answers(20);
    t.equal((await ping(h2, '10.95.0.3', { count: 2 })).received, 0, 'nothing of it is left');
    await lab.addNetns('cp2');
    await addressCp2();
    await apart('back again');
    t.equal((await pinger.stop()).lost, 0, 'the other one lost no packet');
  },
  { not: { vpp: 'attached hosts of this lab are in one namespace' } },
);
