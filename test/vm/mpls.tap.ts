/**
 * MPLS: the data plane pushes, swaps and pops as the kernel's label table and encapsulations say, by several legs too.
 * The hosts are label edge routers by their own kernels. Needs a kernel with MPLS.
 */
import type { CounterRow, RouteRow } from '../../src/lcp/view.ts';
import { ip, sysctl } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { capture, ping, reachable, udpFlows } from '../system/lab/traffic.ts';
import { type Lab, system } from '../system/lab.ts';

const enable = (ns: string, ...devs: string[]): Promise<void> =>
  sysctl(ns, {
    'net.mpls.platform_labels': 1000,
    ...Object.fromEntries(devs.map((dev) => [`net.mpls.conf.${dev}.input`, 1])),
  });

const label = (ns: string, ...args: string[]): Promise<string> => ip(ns, '-family', 'mpls', 'route', ...args);

/** Labelled packets that were given to the host. */
async function punted(lab: Lab): Promise<number> {
  const rows = await lab.lcpd.json<CounterRow[]>(['show', 'counters']);
  return rows.filter((r) => r.name.startsWith('punt-mpls')).reduce((sum, r) => sum + r.value, 0);
}

const waitNoLabel = (lab: Lab, text: string): Promise<boolean> =>
  waitFor(text, async () => {
    const [row] = await lab.lcpd.lookup(['100'], '--mpls');
    if (row === undefined || 'error' in row || row.type !== 'none') throw new Error(JSON.stringify(row));
    return true;
  });

/** The router takes labels on both sides, the hosts too; what h1 answers comes back without labels. */
async function addDomain(lab: Lab, ports: number): Promise<void> {
  await lab.addRouter({ ports });
  const all = Array.from({ length: ports }, (_, n) => n);
  await enable(lab.ns('cp'), ...all.map((n) => `e${n}`));
  for (const n of all) await enable(lab.ns(`h${n}`), 'eth0', 'lo');
}

system('push, swap and pop', async (t, lab) => {
  await addDomain(lab, 2);
  const [cp, h0, h1] = [lab.ns('cp'), lab.ns('h0'), lab.ns('h1')];
  await ip(h1, 'address', 'add', '10.98.0.1/32', 'dev', 'lo');
  await ip(h1, 'address', 'add', 'fd00:98::1/128', 'dev', 'lo');
  await reachable(h0, '10.0.1.2');
  await reachable(h0, 'fd00:1::2');

  // Push: an IP packet leaves with two labels; h1 pops both and takes it.
  await ip(cp, 'route', 'add', '10.98.0.0/24', 'encap', 'mpls', '300/301', 'via', '10.0.1.2');
  await ip(cp, '-6', 'route', 'add', 'fd00:98::/64', 'encap', 'mpls', '301', 'via', 'fd00:1::2');
  await label(h1, 'add', '300', 'dev', 'lo');
  await label(h1, 'add', '301', 'dev', 'lo');
  await lab.lcpd.synced();
  const pushed = await capture(
    { ns: h1, dev: 'eth0', filter: 'mpls', logFile: `${lab.dir}/push.log`, until: /label 301/ },
    () => ping(h0, '10.98.0.1', { count: 3 }),
  );
  t.match(
    pushed,
    /MPLS \(label 300, tc 0, ttl 63\) ?\(label 301, tc 0, \[S\], ttl 63\)/,
    'two labels, the TTL of the packet',
  );
  t.ok(await reachable(h0, 'fd00:98::1'), 'an IPv6 packet with one label arrives');

  // Swap: h0 sends 100, the router makes it 200, h1 knows 200.
  await ip(h0, 'route', 'add', '10.98.0.1/32', 'encap', 'mpls', '100', 'via', '10.0.0.1');
  await label(cp, 'add', '100', 'as', '200', 'via', 'inet', '10.0.1.2');
  await label(h1, 'add', '200', 'dev', 'lo');
  t.ok(await reachable(h0, '10.98.0.1'), 'swapped');
  const swapped = await capture(
    { ns: h1, dev: 'eth0', filter: 'mpls', logFile: `${lab.dir}/swap.log`, until: /label 200/ },
    () => ping(h0, '10.98.0.1', { count: 3 }),
  );
  t.match(swapped, /MPLS \(label 200, tc 0, \[S\], ttl 63\)/, 'one label for the other, one hop less');
  const routes = await lab.lcpd.json<RouteRow[]>(['show', 'routes', '--family', 'mpls']);
  t.match(routes, [{ prefix: '100', installed: true, paths: [{ via: '10.0.1.2', dev: 'e1', labels: [200] }] }]);
  const [found] = await lab.lcpd.lookup(['100'], '--mpls');
  t.match(found, { type: 'unicast', paths: [{ dev: 'e1', via: '10.0.1.2', labels: [200], complete: true }] });

  // Pop: the last hop but one gives the packet on without a label.
  await label(cp, 'replace', '100', 'via', 'inet', '10.0.1.2');
  await lab.lcpd.synced();
  const popped = await capture(
    { ns: h1, dev: 'eth0', filter: 'icmp or mpls', logFile: `${lab.dir}/pop.log`, until: /echo request/ },
    () => ping(h0, '10.98.0.1', { count: 3 }),
  );
  t.match(popped, /IPv4.*10\.0\.0\.2 > 10\.98\.0\.1: ICMP echo request/, 'an IP packet again');
  t.notMatch(popped, /MPLS/);
  t.ok(await reachable(h0, '10.98.0.1'));

  // A label nobody knows, and one that goes.
  const before = await punted(lab);
  await label(cp, 'del', '100');
  await waitNoLabel(lab, 'the label to go');
  t.equal((await ping(h0, '10.98.0.1', { count: 3, intervalMs: 100 })).received, 0, 'an unknown label leads nowhere');
  t.ok((await punted(lab)) - before >= 3, "its packets are the kernel's");

  // The device that a label leaves by goes down: so does the route's use.
  await label(cp, 'add', '100', 'as', '200', 'via', 'inet', '10.0.1.2');
  t.ok(await reachable(h0, '10.98.0.1'));
  await ip(cp, 'link', 'set', 'e1', 'down');
  await waitNoLabel(lab, 'the label to have no leg');
});

system('labels over several legs, and a restart', async (t, lab) => {
  await addDomain(lab, 3);
  const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
  for (const n of [1, 2]) {
    await ip(lab.ns(`h${n}`), 'address', 'add', '10.98.0.1/32', 'dev', 'lo');
    await label(lab.ns(`h${n}`), 'add', '200', 'dev', 'lo');
    await reachable(h0, `10.0.${n}.2`);
  }
  await label(
    cp,
    ...['add', '100', 'nexthop', 'as', '200', 'via', 'inet', '10.0.1.2'],
    ...['nexthop', 'as', '200', 'via', 'inet', '10.0.2.2'],
  );
  await ip(h0, 'route', 'add', '10.98.0.1/32', 'encap', 'mpls', '100', 'via', '10.0.0.1');
  t.ok(await reachable(h0, '10.98.0.1'));
  const sent = async (phy: string): Promise<number> => {
    const rows = await lab.lcpd.json<CounterRow[]>(['show', 'counters']);
    return rows.find((r) => r.phy === phy && r.name === 'tx-packets')?.value ?? 0;
  };
  const before = [await sent('p1'), await sent('p2')] as const;
  await udpFlows(h0, '10.98.0.1', 1000);
  const legs = [(await sent('p1')) - before[0], (await sent('p2')) - before[1]] as const;
  t.ok(Math.min(...legs) > 300, `both legs carry flows: ${legs.join(' and ')}`);

  await lab.lcpd.kill();
  t.equal((await ping(h0, '10.98.0.1', { count: 20, intervalMs: 10 })).received, 20, 'forwarding goes on without lcpd');
  await lab.lcpd.start();
  await lab.lcpd.synced();
  t.ok(await reachable(h0, '10.98.0.1'));
});
