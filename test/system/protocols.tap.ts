/**
 * Protocols: FRR and BIRD run everything that they have at once over the pairs: BGP, numbered and not (RFC 8950), OSPFv2,
 * OSPFv3, IS-IS, RIP, RIPng, BFD, VRRP, static routes, PIM-SM with IGMP. What they build stays up for two minutes while data
 * fills the data plane, and the data plane forwards by it. The topology is in lab/protocols.ts.
 *
 * cp's kernel forwards nothing, so what arrives went through the data plane.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { canonical } from './lab/addresses.ts';
import { type Adjacencies, adjacencies, broken } from './lab/adjacencies.ts';
import { Load, type Stream } from './lab/load.ts';
import { MulticastReceiver, sendMulticast } from './lab/multicast.ts';
import { ip, ipJson } from './lab/netns.ts';
import { tryRun, waitFor } from './lab/process.ts';
import { build, type ProtocolLab } from './lab/protocollab.ts';
import {
  type Announcer,
  address4,
  address6,
  addresses,
  announced,
  expectedAdjacencies,
  expectedRoutes,
  group,
  sourceNet,
  virtual,
  virtualMac,
} from './lab/protocols.ts';
import { kernelForwarded, ping, reachable, traceroute } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

/** Of each of the two kinds of load. */
const windowS = 60;
const lookEveryMs = 4_000;
/** Megabytes that each stream must bring through at least in its minute: nothing stood still. */
const leastMegabytes = { tcp: 50, udp: 3 } as const;
/** More processes at once would be a load of their own. */
const pingsAtOnce = 6;

/** Everything is up, and was so for a while: BFD's first sessions come and go while BGP's are made. */
async function settled(started: ProtocolLab): Promise<Adjacencies> {
  const expected = expectedRoutes();
  let last: { at: number; seen: Adjacencies } | undefined;
  return waitFor(
    'all adjacencies to be up and steady',
    async () => {
      const before = last;
      const at = performance.now();
      const seen = await adjacencies(started, expected);
      last = { at, seen };
      const missing = expectedAdjacencies.filter((name) => !seen.has(name));
      if (missing.length > 0) throw new Error(`missing: ${missing.join(', ')}`);
      const down = [...seen].filter(([, a]) => !a.up).map(([name, a]) => `${name} ${a.state}`);
      if (down.length > 0) throw new Error(down.join(', '));
      if (before === undefined) return undefined;
      const changed = broken(before.seen, seen, (at - before.at) / 1000);
      if (changed.length > 0) throw new Error(changed.join(', '));
      return seen;
    },
    { timeoutMs: 45_000, intervalMs: 3_000 },
  );
}

/** First what fills it with bytes, then with packets: 64 byte datagrams come faster than it takes them. */
function streams(west: string, east: string): Record<'tcp' | 'udp', Stream[]> {
  const between = (of: (side: 1 | 2, by: Announcer) => string, by: Announcer, protocol: 'tcp' | 'udp'): Stream => ({
    from: { ns: west, address: of(1, by) },
    to: { ns: east, address: of(2, by) },
    protocol,
  });
  const datagrams = [between(address4, 'bgp', 'udp'), between(address6, 'ospf', 'udp')];
  return {
    tcp: [between(address4, 'unnumbered', 'tcp'), between(address6, 'rip', 'tcp')],
    udp: [...datagrams, ...datagrams.map(({ from, to, protocol }) => ({ from: to, to: from, protocol }))],
  };
}

/** The two minutes: nothing flaps at any look, data goes through all the time. */
async function underLoad(t: Test, lab: Lab, started: ProtocolLab): Promise<void> {
  const expected = expectedRoutes();
  const first = await settled(started);
  const from = performance.now();
  const elapsed = (): number => (performance.now() - from) / 1000;
  t.comment(`${first.size} adjacencies and routes: ${[...first.keys()].join(', ')}`);
  for (const [protocol, made] of Object.entries(streams(lab.ns('h0'), lab.ns('h1')))) {
    const load = await Load.start(made, { seconds: windowS, dir: lab.dir });
    lab.defer(() => load.stop());
    const end = elapsed() + windowS;
    let looks = 0;
    for (; elapsed() < end; looks++) {
      await sleep(Math.min(lookEveryMs, Math.max(0, (end - elapsed()) * 1000)));
      const at = elapsed();
      const wrong = broken(first, await adjacencies(started, expected), at);
      if (wrong.length === 0) continue;
      t.same(wrong, [], `every adjacency is up and unbroken after ${at.toFixed(0)} s of load`);
      await load.stop();
      return;
    }
    t.ok(looks >= 5, `every adjacency was up and unbroken at ${looks} looks in ${windowS} s of ${protocol}`);
    for (const { name, bytes, lostPercent } of await load.results()) {
      const megabytes = bytes.map((n) => n / 1e6);
      const least = leastMegabytes[protocol as 'tcp' | 'udp'];
      t.ok(Math.min(...megabytes) >= least, `${name}: ${megabytes.map((n) => n.toFixed(0)).join(' and ')} MB`);
      if (lostPercent > 0) t.comment(`${name}: ${lostPercent.toFixed(0)} % lost, there and at its receiver`);
    }
    const lost = await counted(started, /^rx-ring-lost$/);
    t.comment(`so far the rings lost ${lost} frames, ${await counted(started, /^rx-packets$/)} were taken`);
  }
}

interface CounterRow {
  readonly phy: string;
  readonly name: string;
  readonly value: number;
}
async function counted({ lcpd }: ProtocolLab, name: RegExp, phy?: string): Promise<number> {
  const rows = await lcpd.json<CounterRow[]>(['show', 'counters']);
  return rows
    .filter((row) => name.test(row.name) && (phy === undefined || row.phy === phy))
    .reduce((sum, row) => sum + Number(row.value), 0);
}

/** In the order of the commands. */
async function pings(
  commands: readonly { ns: string; address: string; source?: string }[],
  count: number,
): Promise<number[]> {
  const received: number[] = [];
  for (let at = 0; at < commands.length; at += pingsAtOnce) {
    const batch = commands.slice(at, at + pingsAtOnce).map(async ({ ns, address, source }) => {
      return (await ping(ns, address, { count, ...(source === undefined ? {} : { source }) })).received;
    });
    received.push(...(await Promise.all(batch)));
  }
  return received;
}

/** From one protocol's address at west to the same protocol's at east: both ways are that protocol's routes. */
async function betweenNeighbours(t: Test, lab: Lab): Promise<void> {
  const both = (Object.keys(announced) as Announcer[]).filter((by) => announced[by].includes(2) && by !== 'static');
  const pairs = both.flatMap((by) => [
    [by, address4(1, by), address4(2, by)] as const,
    [`${by} by IPv6`, address6(1, by), address6(2, by)] as const,
  ]);
  const count = 10;
  const results = await pings(
    pairs.map(([, source, address]) => ({ ns: lab.ns('h0'), address, source })),
    count,
  );
  for (const [i, [name]] of pairs.entries()) t.equal(results[i], count, `${name} carries west to east`);
}

/** Counters of what is routed, or for the router, that comes in. */
const routedBy = ({ dataplane }: Lab): RegExp => (dataplane === 'embedded' ? /^forward-ip[46]$/ : /^ip[46]$/);

/** Every announced address answers the client, whose gateway is the virtual router. */
async function throughVirtualRouter(t: Test, lab: Lab, started: ProtocolLab): Promise<void> {
  const client = lab.ns('h2');
  await Promise.all([virtual.v4, virtual.v6].map((address) => ping(client, address, { count: 1 })));
  const known = async (address: string): Promise<string | undefined> =>
    (await ipJson<{ dst: string; lladdr?: string }>(client, 'neighbour')).find((n) => n.dst === address)?.lladdr;
  // VPP answers by itself, with the address of the interface
  const [host] = await ipJson<{ address: string }>(lab.ns('cp'), 'link', 'show', 'e2');
  const macs = lab.dataplane === 'embedded' ? virtualMac : { v4: host?.address, v6: host?.address };
  t.equal(await known(virtual.v4), macs.v4, 'the gateway is known by its MAC address');
  t.equal(await known(virtual.v6), macs.v6, 'in IPv6 too');
  // The first answer has to find the client's neighbour entry: without a kernel that forwards it is lost, not queued.
  for (const of of [address4, address6]) await reachable(client, of(1, 'ospf'));
  const count = 5;
  const targets = addresses(1, 2, 3);
  const before = await counted(started, routedBy(lab), 'p2');
  const silent: string[] = [];
  const answers = await pings(
    targets.map((address) => ({ ns: client, address })),
    count,
  );
  for (const [i, address] of targets.entries()) {
    const received = answers[i] ?? 0;
    if (received < count) silent.push(`${address}: ${received} of ${count}`);
  }
  t.same(silent, [], `all of ${targets.length} announced addresses answer through the virtual router`);
  const routed = (await counted(started, routedBy(lab), 'p2')) - before;
  t.ok(routed >= count * targets.length, `the data plane routed what came to the virtual MAC address: ${routed}`);
  const bgp4 = address4(1, 'bgp');
  t.same(await traceroute(client, bgp4), ['10.0.2.1', bgp4], 'the router is the first hop');
  const ospf6 = address6(2, 'ospf');
  t.same((await traceroute(client, ospf6)).map(canonical), ['fd00:2::1', ospf6].map(canonical), 'in IPv6 too');
}

interface KernelRoute {
  readonly dst: string;
  readonly dev?: string;
  readonly gateway?: string;
  readonly via?: { readonly host: string };
}

/** The kernel's choice for every announced address is a leg that lcpctl shows. */
async function sameAsKernel(t: Test, lab: Lab, { lcpd }: ProtocolLab): Promise<void> {
  const cp = lab.ns('cp');
  const targets = addresses(1, 2, 3);
  await lcpd.synced();
  const rows = await lcpd.lookup(targets);
  const wrong: string[] = [];
  let shared = 0;
  for (const [i, address] of targets.entries()) {
    const done = await tryRun(['ip', '-n', cp, '-json', 'route', 'get', address]);
    const [kernel] = done.code === 0 ? (JSON.parse(done.stdout) as KernelRoute[]) : [];
    const via = kernel?.gateway ?? kernel?.via?.host ?? '';
    const row = rows[i];
    const legs = row !== undefined && 'paths' in row ? row.paths : [];
    if (legs.length > 1) shared++;
    const same = legs.some((leg) => leg.dev === kernel?.dev && canonical(leg.via ?? '::') === canonical(via || '::'));
    if (!same) wrong.push(`${address}: kernel ${JSON.stringify(kernel)}, ${done.stderr}, lcpd ${JSON.stringify(row)}`);
  }
  t.same(wrong, [], 'lcpctl lookup says what ip route get says');
  // Announced from both sides: OSPF, BGP, BGP unnumbered and static, in both families.
  t.equal(shared, 8, 'what both neighbours announce has a leg to each');
  const nexthops = await ip(cp, 'nexthop');
  t.match(nexthops, /group \d+\/\d+ .*proto zebra/, "zebra's nexthop groups are in use");
  const unnumbered = await ip(cp, 'route', 'show', address4(1, 'unnumbered'));
  t.match(unnumbered, /nhid \d+ via inet6 fe80::/, 'an IPv4 route has a link-local IPv6 next hop (RFC 8950)');
}

/** Once the load is over: each receiver gets each datagram once, and the kernel had no part in it. */
async function multicast(
  t: Test,
  lab: Lab,
  started: ProtocolLab,
  receivers: Record<string, MulticastReceiver>,
): Promise<void> {
  const source = { ns: lab.ns('src'), address: sourceNet.host };
  // The first ones build the tree: PIM joins towards a source when its data comes.
  await sendMulticast(source, group, { label: 'first', count: 100, intervalMs: 20 });
  const kernel = await kernelForwarded(lab.ns('cp'));
  const sent = async (): Promise<number> =>
    (await counted(started, /^tx-packets$/, 'p1')) + (await counted(started, /^tx-packets$/, 'p2'));
  const before = await sent();
  const count = 500;
  await sendMulticast(source, group, { label: 'measured', count, intervalMs: 4 });
  for (const [name, receiver] of Object.entries(receivers)) {
    await waitFor(`the last datagram at ${name}`, () => receiver.last('measured') === count - 1);
    t.same(receiver.received('measured'), { distinct: count, duplicates: 0 }, `${name} gets each datagram once`);
  }
  t.ok((await sent()) - before >= 2 * count, 'out of two phys');
  t.equal(await kernelForwarded(lab.ns('cp')), kernel, "cp's kernel forwarded none of them");
}

system(
  'scenario 24: every protocol at once stays up under load and forwards',
  async (t, lab) => {
    const started = await build(lab);
    const at = { east: { ns: lab.ns('h1'), address: '10.0.1.2' }, LAN: { ns: lab.ns('h2'), address: '10.0.2.2' } };
    const receivers: Record<string, MulticastReceiver> = {};
    for (const [name, where] of Object.entries(at)) {
      const receiver = await MulticastReceiver.start(where, group, `${lab.dir}/multicast-${name}.log`);
      lab.defer(() => receiver.stop());
      receivers[name] = receiver;
    }
    const kernel = await kernelForwarded(lab.ns('cp'));
    await t.test('two minutes of load', (sub) => underLoad(sub, lab, started));
    await t.test('between the neighbours', (sub) => betweenNeighbours(sub, lab));
    await t.test('through the virtual router', (sub) => throughVirtualRouter(sub, lab, started));
    await t.test('as the kernel would', (sub) => sameAsKernel(sub, lab, started));
    t.equal(await kernelForwarded(lab.ns('cp')), kernel, "cp's kernel has forwarded nothing");
    await t.test('multicast', (sub) => multicast(sub, lab, started, receivers));
  },
  { limitMs: 360_000 },
);
