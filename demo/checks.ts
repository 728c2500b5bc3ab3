/**
 * Checks: what the demo shows, one function a line. Each gives the text with its figures, or throws what is wrong.
 *
 * Invariants: figures are read from the programs themselves (vtysh, birdc, lcpctl, ping, iperf3, /proc), never
 * assumed. That it was lcpd that forwarded is shown by its counters and by the kernel's, which stay at zero.
 */
import type { InterfaceRow, PairRow } from '../src/lcp/view.ts';
import type { Lcpd } from '../test/system/lab/lcpd.ts';
import { ipJson } from '../test/system/lab/netns.ts';
import { waitFor } from '../test/system/lab/process.ts';
import { iperf, kernelForwarded, ping, traceroute } from '../test/system/lab/traffic.ts';
import { type Demo, dir, pairBackend } from './demo.ts';
import { sessions } from './sessions.ts';
import { extraRoutes4, extraRoutes6, host, ns, pairs, rightLoopback, routerSeenFromLeft } from './topology.ts';

export function expect(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

export type Interfaces = Record<string, InterfaceRow>;

export async function interfaces(lcpd: Lcpd): Promise<Interfaces> {
  const rows = await lcpd.json<InterfaceRow[]>(['show', 'interfaces']);
  return Object.fromEntries(rows.map((row) => [row.phy, row]));
}

/** How much a counter of a phy grew. */
export function grew(
  phy: string,
  counter: 'rxPackets' | 'rxBytes' | 'txPackets' | 'txBytes',
  a: Interfaces,
  b: Interfaces,
): number {
  const from = a[phy];
  const to = b[phy];
  if (from === undefined || to === undefined) throw new Error(`lcpctl shows no interface ${phy}`);
  return to[counter] - from[counter];
}

export async function pairsUp({ lcpd }: Demo): Promise<string> {
  const rows: PairRow[] = [];
  for (const { phy } of pairs) rows.push(await lcpd.waitPair(phy, 'up'));
  const phys = await ipJson<{ ifname: string; address: string; mtu: number }>(ns.rtr, 'link');
  const hosts = await ipJson<{ ifname: string; address: string; mtu: number }>(ns.cp, 'link');
  for (const row of rows) {
    const phy = phys.find((l) => l.ifname === row.phy);
    const tap = hosts.find((l) => l.ifname === row.host);
    expect(tap !== undefined && phy !== undefined, `${row.host} is not in ${ns.cp}`);
    expect(tap.address === phy.address, `${row.host} has MAC ${tap.address}, ${row.phy} has ${phy.address}`);
    expect(tap.mtu === phy.mtu, `${row.host} has MTU ${tap.mtu}, ${row.phy} has ${phy.mtu}`);
  }
  return `${rows.map((r) => `${r.phy}=${r.host}`).join(' ')}, same MAC and MTU on both sides`;
}

export async function sessionsUp(demo: Demo): Promise<string> {
  const started = performance.now();
  const up = await waitFor(
    'all sessions',
    async () => {
      const now = await sessions(demo);
      if (now.open.length > 0) throw new Error(`not yet: ${now.open.join(', ')}`);
      return now;
    },
    { timeoutMs: 45_000, intervalMs: 250 },
  );
  const punts = Object.values(await interfaces(demo.lcpd)).reduce((sum, row) => sum + row.punts, 0);
  expect(punts > 0, 'sessions are up, but lcpd punted nothing');
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  return `${up.bgp} BGP (FRR and BIRD, IPv4 and IPv6), ${up.ospf4} OSPFv2, ${up.ospf6} OSPFv3 in ${seconds} s, ${punts} packets punted`;
}

export async function mirrored({ lcpd }: Demo): Promise<string> {
  const status = await waitFor(
    'the announced routes',
    async () => {
      await lcpd.synced();
      const row = await lcpd.status();
      const cp = row.namespaces.find((n) => n.name === ns.cp);
      if (cp === undefined) throw new Error(`namespace ${ns.cp} is not in lcpctl status`);
      if (cp.routes4 < extraRoutes4 || cp.routes6 < extraRoutes6)
        throw new Error(`${cp.routes4} IPv4, ${cp.routes6} IPv6`);
      // Both legs and OSPF are there too.
      const [lan, loopback] = await lcpd.lookup([host.right.v4, rightLoopback.v6]);
      if (!(lan && 'paths' in lan && lan.paths.length === 2))
        throw new Error(`${host.right.v4}: ${JSON.stringify(lan)}`);
      if (!(loopback && 'paths' in loopback && loopback.paths.length === 2)) throw new Error(JSON.stringify(loopback));
      return cp;
    },
    { timeoutMs: 30_000 },
  );
  return `${status.routes4} IPv4 and ${status.routes6} IPv6 routes, ${status.neighbours} neighbours; ${await noDifference(lcpd)}`;
}

export async function noDifference(lcpd: Lcpd): Promise<string> {
  // Routing daemons go on working: a difference is one only if it is still there when all is settled.
  return waitFor('lcpctl diff to be empty', async () => {
    await lcpd.synced();
    const diff = await lcpd.diff();
    if (diff.differences.length > 0) throw new Error(JSON.stringify(diff.differences.slice(0, 5)));
    const checked = Object.values(diff.checked).reduce((sum, n) => sum + n, 0);
    return `lcpctl diff: none in ${checked} objects`;
  });
}

export async function pings({ lcpd }: Demo): Promise<string> {
  const texts: string[] = [];
  for (const [name, address] of [
    ['IPv4', host.right.v4],
    ['IPv6', host.right.v6],
  ] as const) {
    await waitFor(
      `the first answer of ${address}`,
      async () => (await ping(ns.lefthost, address, { count: 1 })).received === 1,
    );
    const before = await interfaces(lcpd);
    const result = await ping(ns.lefthost, address, { count: 50, intervalMs: 10 });
    expect(result.received === 50, `${name}: ${result.received} of 50 answered`);
    const after = await interfaces(lcpd);
    const out = grew('lan0', 'txPackets', before, after) + grew('lan1', 'txPackets', before, after);
    expect(out >= 50, `${name}: lcpd sent only ${out} packets to the right`);
    texts.push(`${name} 50 of 50, ${result.averageMs.toFixed(2)} ms`);
  }
  return texts.join('; ');
}

export async function throughput({ lcpd }: Demo): Promise<string> {
  const texts: string[] = [];
  for (const [name, address] of [
    ['IPv4', host.right.v4],
    ['IPv6', host.right.v6],
  ] as const) {
    const before = await interfaces(lcpd);
    const result = await iperf(ns.lefthost, ns.righthost, address, { seconds: 2, logFile: `${dir}/iperf3.log` });
    const after = await interfaces(lcpd);
    expect(result.bitsPerSecond > 10e6, `${name}: ${result.bitsPerSecond} bit/s`);
    const seen = grew('wan0', 'rxBytes', before, after);
    expect(seen >= result.bytes, `${name}: ${result.bytes} bytes arrived, lcpd saw ${seen}`);
    texts.push(`${name} ${(result.bitsPerSecond / 1e6).toFixed(0)} Mbit/s (${result.retransmits} retransmits)`);
  }
  return `TCP ${texts.join(', ')}; ${await onlyLcpd()}`;
}

export async function onlyLcpd(): Promise<string> {
  for (const name of [ns.cp, ns.rtr]) {
    const forwarded = await kernelForwarded(name);
    expect(forwarded === 0, `the kernel forwarded ${forwarded} packets in ${name}`);
  }
  return 'packets forwarded by the kernel: 0';
}

export async function hops(): Promise<string> {
  const texts: string[] = [];
  for (const v of ['v4', 'v6'] as const) {
    const found = await traceroute(ns.lefthost, host.right[v]);
    expect(found[1] === routerSeenFromLeft[v], `hop 2 to ${host.right[v]} is not the router: ${found.join(' ')}`);
    expect(found.at(-1) === host.right[v], `${host.right[v]} was not reached: ${found.join(' ')}`);
    texts.push(found.join(' → '));
  }
  return texts.join('; ');
}

export async function ecmp({ lcpd }: Demo): Promise<string> {
  const before = await interfaces(lcpd);
  // Flows differ by source port only.
  await iperf(ns.lefthost, ns.righthost, host.right.v4, { seconds: 1, parallel: 24, logFile: `${dir}/iperf3.log` });
  await iperf(ns.lefthost, ns.righthost, host.right.v6, { seconds: 1, parallel: 24, logFile: `${dir}/iperf3.log` });
  const after = await interfaces(lcpd);
  const a = grew('lan0', 'txPackets', before, after);
  const b = grew('lan1', 'txPackets', before, after);
  const share = Math.min(a, b) / (a + b);
  expect(share > 0.1, `48 flows: ${a} packets by lan0, ${b} by lan1`);
  return `48 flows: lan0 ${a} packets, lan1 ${b} (${(share * 100).toFixed(0)} % on the lesser)`;
}

/** The TAPs, the forwarder and the guard on the phys go when lcpd is asked to end. */
export async function cleanStop({ lcpd, plane }: Demo): Promise<string> {
  const status = await lcpd.stop();
  expect(status === 0, `lcpd ended with ${status}`);
  if (plane !== undefined) {
    const left = (await plane.vpp.ctl('show lcp')).stdout.split('\n').filter((line) => line.startsWith('itf-pair'));
    expect(left.length === 0, `VPP still has ${left.join(', ')}`);
    const { stdout } = await plane.vpp.ctl(`show ip fib table 0 10.2.0.0/24`);
    expect(!stdout.includes('lcpd refs'), `VPP still has a route of ours: ${stdout}`);
    if (pairBackend() === 'attach') return 'exit 0, no pair and no route in VPP';
  }
  await waitFor('the host interfaces to go', async () => {
    const names = (await ipJson<{ ifname: string }>(ns.cp, 'link')).map((l) => l.ifname);
    const left = names.filter((name) => pairs.some((p) => p.host === name));
    if (left.length > 0) throw new Error(`still there: ${left.join(' ')}`);
    return true;
  });
  return 'exit 0, host interfaces removed';
}
