/**
 * Forward: what packets see of the router: transit, ECMP, every way to be refused, and the phy's silence.
 */
import type { InterfaceRow } from '../../src/lcp/view.ts';
import type { Lcpd } from './lab/lcpd.ts';
import { ip, ipJson } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { capture, iperf, kernelForwarded, ping, reachable, sendFrames, traceroute, udpFlows } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const NO_TAGS = 'VPP drops tags that no sub-interface has';
const VETHS = "phys of this lab are veths, whose own stack is not lcpd's matter under VPP";

const sentBy = async (lcpd: Lcpd, phy: string): Promise<number> => {
  const row = (await lcpd.json<InterfaceRow[]>(['show', 'interfaces'])).find((r) => r.phy === phy);
  if (row === undefined) throw new Error(`no interface ${phy}`);
  return row.txPackets;
};

async function route(lab: Lab, ...args: string[]): Promise<void> {
  const six = args.some((word) => word.includes(':'));
  await ip(lab.ns('cp'), ...(six ? ['-6'] : []), 'route', 'replace', ...args);
  await lab.lcpd.synced();
}

system('ping and TCP between hosts go through lcpd and not through a kernel', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const [h0, h1] = [lab.ns('h0'), lab.ns('h1')];
  for (const [from, to] of [
    [h0, '10.0.1.2'],
    [h1, '10.0.0.2'],
    [h0, 'fd00:1::2'],
    [h1, 'fd00:0::2'],
  ] as const) {
    t.ok(await reachable(from, to), `${to} answers`);
    const before = await sentBy(lcpd, from === h0 ? 'p1' : 'p0');
    const result = await ping(from, to, { count: 30, intervalMs: 5 });
    t.equal(result.received, 30, `${to} answers 30 times`);
    t.ok((await sentBy(lcpd, from === h0 ? 'p1' : 'p0')) - before >= 30, 'lcpd counted them');
  }
  for (const address of ['10.0.1.2', 'fd00:1::2']) {
    const result = await iperf(h0, h1, address, { seconds: 2, parallel: 2, logFile: `${lab.dir}/iperf3.log` });
    t.ok(
      result.bitsPerSecond > 10e6,
      `TCP to ${address}: ${(result.bitsPerSecond / 1e6).toFixed(0)} Mbit/s, ${result.retransmits} retransmits`,
    );
  }
  // The router as an end point: TCP segments that the kernel offloads pass the pair in both directions.
  const toRouter = await iperf(h0, lab.ns('cp'), '10.0.0.1', { seconds: 1, logFile: `${lab.dir}/iperf3.log` });
  t.ok(toRouter.bytes > 1e6, 'TCP from a host to the router');
  const fromRouter = await iperf(lab.ns('cp'), h0, 'fd00:0::2', { seconds: 1, logFile: `${lab.dir}/iperf3.log` });
  t.ok(fromRouter.bytes > 1e6, 'TCP from the router to a host');
  for (const bytes of [0, 1, 1472])
    t.equal((await ping(h0, '10.0.1.2', { count: 3, bytes })).received, 3, `${bytes} bytes of payload`);
  for (const role of ['cp', 'rtr'])
    t.equal(await kernelForwarded(lab.ns(role)), 0, `the kernel of ${role} forwarded nothing`);
});

system('scenario 7: equal-cost paths share flows, by weight; a leg that is down has none', async (t, lab) => {
  const lcpd = await lab.addRouter({ ports: 3 });
  const h0 = lab.ns('h0');
  for (const to of ['10.0.1.2', '10.0.2.2', 'fd00:1::2', 'fd00:2::2']) await reachable(h0, to);
  const share = async (address: string): Promise<number> => {
    const before = [await sentBy(lcpd, 'p1'), await sentBy(lcpd, 'p2')] as const;
    await udpFlows(h0, address, 2000);
    const one = (await sentBy(lcpd, 'p1')) - before[0];
    const two = (await sentBy(lcpd, 'p2')) - before[1];
    t.ok(one + two >= 2000, `all ${one + two} flows to ${address} left`);
    return one / (one + two);
  };
  await route(lab, '10.99.0.0/24', 'nexthop', 'via', '10.0.1.2', 'nexthop', 'via', '10.0.2.2');
  await route(lab, 'fd00:99::/64', 'nexthop', 'via', 'fd00:1::2', 'nexthop', 'via', 'fd00:2::2');
  for (const address of ['10.99.0.9', 'fd00:99::9']) {
    const half = await share(address);
    t.ok(half > 0.4 && half < 0.6, `${address}: ${(half * 100).toFixed(1)} % by the first of two`);
  }
  await route(
    lab,
    '10.99.0.0/24',
    'nexthop',
    'via',
    '10.0.1.2',
    'weight',
    '3',
    'nexthop',
    'via',
    '10.0.2.2',
    'weight',
    '1',
  );
  const most = await share('10.99.0.9');
  t.ok(most > 0.67 && most < 0.83, `${(most * 100).toFixed(1)} % by the one of weight 3 to 1`);

  // One flow stays on one leg, and loses it with the leg.
  const before = [await sentBy(lcpd, 'p1'), await sentBy(lcpd, 'p2')] as const;
  await ping(h0, '10.99.0.9', { count: 50, intervalMs: 5 });
  const legs = [(await sentBy(lcpd, 'p1')) - before[0], (await sentBy(lcpd, 'p2')) - before[1]];
  t.ok(
    Math.max(...legs) >= 50 && Math.min(...legs) < 25,
    `a flow does not change its leg: ${legs.join(' and ')} packets`,
  );
  await ip(lab.ns('cp'), 'link', 'set', 'e2', 'down');
  await waitFor('one leg to be left', async () => {
    const [row] = await lcpd.lookup(['10.99.0.9']);
    return row !== undefined && 'paths' in row && row.paths.length === 1;
  });
  const all = await share('10.99.0.9');
  t.equal(all, 1, 'a leg that is down carries nothing');
});

for (const kernelForwards of [false, true]) {
  const who = kernelForwards ? 'the kernel, which forwards too,' : 'the data plane';
  system(`errors come from ${who}`, async (t, lab) => {
    const lcpd = await lab.addRouter({ kernelForwards });
    const h0 = lab.ns('h0');
    await reachable(h0, '10.0.1.2');
    await reachable(h0, 'fd00:1::2');
    await route(lab, 'blackhole', '10.66.1.0/24');
    await route(lab, 'unreachable', '10.66.2.0/24');
    await route(lab, 'prohibit', '10.66.3.0/24');
    await route(lab, 'blackhole', 'fd00:66:1::/64');
    await route(lab, 'unreachable', 'fd00:66:2::/64');
    await route(lab, 'prohibit', 'fd00:66:3::/64');

    const text = async (address: string, options = {}): Promise<string> =>
      (await ping(h0, address, { count: 2, intervalMs: 200, ...options })).text;
    t.notMatch(await text('10.66.1.1'), /From/, 'blackhole: silence');
    t.match(
      await text('10.66.2.1'),
      /From 10\.0\.0\.1 .*Destination Host Unreachable/,
      'unreachable: host unreachable',
    );
    const prohibited = /From 10\.0\.0\.1 .*(Packet filtered|Destination Host Prohibited)/;
    t.match(await text('10.66.3.1'), prohibited, 'prohibit: administratively prohibited');
    // VPP says nothing of what it has no route for
    const says = lab.dataplane === 'embedded';
    const noRoute = says ? /From 10\.0\.0\.1 .*Destination Net Unreachable/ : / 0 received/;
    t.match(await text('10.77.0.1'), noRoute, 'no route: network unreachable');
    t.notMatch(await text('fd00:66:1::1'), /From/, 'IPv6 blackhole: silence');
    t.match(await text('fd00:66:2::1'), /From fd00:0?:?:?1 .*(unreachable|No route)/i, 'IPv6 unreachable');
    t.match(await text('fd00:66:3::1'), /From fd00:0?:?:?1 .*Administratively prohibited/i, 'IPv6 prohibit');
    t.match(await text('fd00:77::1'), says ? /From fd00:0?:?:?1 .*No route/i : / 0 received/, 'IPv6 no route');

    t.match(await text('10.0.1.2', { ttl: 1 }), /From 10\.0\.0\.1 .*Time to live exceeded/, 'TTL 1');
    t.match(await text('fd00:1::2', { ttl: 1 }), /From fd00:0?:?:?1 .*Hop limit/i, 'hop limit 1');
    t.equal((await ping(h0, '10.0.1.2', { ttl: 2 })).received, 5, 'TTL 2 is enough');
    t.same(await traceroute(h0, '10.0.1.2'), ['10.0.0.1', '10.0.1.2'], 'traceroute shows the router');
    t.same((await traceroute(h0, 'fd00:1::2')).length, 2, 'traceroute6 too');

    await ip(lab.ns('cp'), 'link', 'set', 'e1', 'mtu', '1400');
    if (says) await lab.waitLink('rtr', 'p1', (l) => l.mtu === 1400);
    await lcpd.synced();
    t.match(
      await text('10.0.1.2', { bytes: 1400, dontFragment: true }),
      /Frag needed and DF set \(mtu = 1400\)/,
      'too big',
    );
    t.match(await text('fd00:1::2', { bytes: 1400, dontFragment: true }), /Packet too big: mtu=1400/, 'IPv6 too big');
    t.equal((await ping(h0, '10.0.1.2', { bytes: 1372, dontFragment: true })).received, 5, '1400 bytes pass');
  });
}

system('neighbours are resolved when traffic wants them, and changes are followed', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const [h0, h1, cp] = [lab.ns('h0'), lab.ns('h1'), lab.ns('cp')];
  await ip(cp, 'neighbour', 'flush', 'all');
  t.ok(await reachable(h0, '10.0.1.2', 5_000), 'ARP');
  t.ok(await reachable(h0, 'fd00:1::2', 5_000), 'neighbour discovery');
  const known = await ipJson<{ dst: string; dev: string; lladdr?: string }>(cp, 'neighbour');
  // VPP asks by itself
  if (lab.dataplane === 'embedded')
    t.ok(
      known.some((n) => n.dst === '10.0.1.2' && n.dev === 'e1' && n.lladdr),
      'the kernel of cp knows the neighbour',
    );

  // Another machine takes over the address.
  await ip(h1, 'link', 'set', 'eth0', 'address', '02:00:00:00:12:34');
  await ip(cp, 'neighbour', 'replace', '10.0.1.2', 'lladdr', '02:00:00:00:12:34', 'dev', 'e1', 'nud', 'permanent');
  await lcpd.synced();
  t.equal((await ping(h0, '10.0.1.2')).received, 5, 'with its new MAC at once');
  await ip(cp, 'neighbour', 'replace', '10.0.1.2', 'lladdr', '02:00:00:00:ff:ff', 'dev', 'e1', 'nud', 'permanent');
  await lcpd.synced();
  t.equal((await ping(h0, '10.0.1.2', { count: 3 })).received, 0, 'and a wrong one leads nowhere');
  await ip(cp, 'neighbour', 'del', '10.0.1.2', 'dev', 'e1');
  t.ok(await reachable(h0, '10.0.1.2', 5_000), 'resolved again after it was deleted');

  const nobody = await ping(h0, '10.0.1.99', { count: 20, intervalMs: 10 });
  t.equal(nobody.received, 0, 'nobody there');
  t.equal((await ping(h0, '10.0.1.2')).received, 5, 'which disturbs no other traffic');
});

system(
  'VLAN-tagged frames cross the pair as they are',
  async (t, lab) => {
    await lab.addRouter();
    const [h0, cp] = [lab.ns('h0'), lab.ns('cp')];
    const mac = (await lab.waitLink('h0', 'eth0')).address?.replaceAll(':', '') ?? '';
    // ARP request for 10.0.0.1 by 10.0.0.2, tagged with VLAN 123, padded to 60 bytes.
    const frame = (source: string): string =>
      `ffffffffffff${source}8100007b08060001080006040001${source}0a000002${'0'.repeat(12)}0a000001`.padEnd(120, '0');
    const asked = /vlan 123.*who-has 10\.0\.0\.1/;
    const tagged = { filter: 'vlan 123', until: asked };
    const seenAtHost = await capture({ ...tagged, ns: cp, dev: 'e0', logFile: `${lab.dir}/at-host.log` }, () =>
      sendFrames(h0, 'eth0', [frame(mac), frame(mac)]),
    );
    t.match(seenAtHost, asked, 'phy to host');
    const seenAtPhy = await capture({ ...tagged, ns: h0, dev: 'eth0', logFile: `${lab.dir}/at-phy.log` }, () =>
      sendFrames(cp, 'e0', [frame('020000000001'), frame('020000000001')]),
    );
    t.match(seenAtPhy, asked, 'host to phy');
  },
  { not: { vpp: NO_TAGS, 'linux-cp': NO_TAGS } },
);

system(
  "the phy's own stack is silent",
  async (t, lab) => {
    await lab.addRouter();
    const [rtr, h0] = [lab.ns('rtr'), lab.ns('h0')];
    await ip(rtr, 'address', 'add', '10.0.0.77/24', 'dev', 'p0');
    await ip(rtr, 'address', 'add', 'fd00:0::77/64', 'dev', 'p0');
    t.equal((await ping(h0, '10.0.0.77', { count: 5 })).received, 0, 'no answer at an address of the phy');
    t.equal((await ping(h0, 'fd00:0::77', { count: 5 })).received, 0, 'nor by IPv6');
    // The echo request that is sent last shows that what came before was seen.
    const where = { ns: h0, dev: 'eth0', filter: 'arp or icmp or icmp6', logFile: `${lab.dir}/tcpdump.log` };
    const spoken = await capture({ ...where, until: /10\.0\.1\.2: ICMP echo request/ }, async () => {
      // The stack wants to speak for itself too.
      await ping(rtr, '10.0.0.2', { count: 3, source: '10.0.0.77' });
      await reachable(h0, '10.0.1.2');
    });
    t.match(spoken, /10\.0\.1\.2: ICMP echo request/, 'the capture works');
    t.notMatch(spoken, /who-has 10\.0\.0\.2 tell 10\.0\.0\.77|10\.0\.0\.77 >/, 'and it says nothing');
  },
  { not: { vpp: VETHS, 'linux-cp': VETHS } },
);
