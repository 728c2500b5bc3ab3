/**
 * Leak: FRR leaks routes between two VRFs by BGP (`import vrf`): connected ones, which lead into the other VRF's device,
 * and static ones, which lead out of the other VRF's port. The data plane forwards by both. Needs a kernel with VRFs.
 */
import type { LookupRow } from '../../src/lcp/view.ts';
import { Frr } from '../system/lab/frr.ts';
import { ip } from '../system/lab/netns.ts';
import { run, waitFor } from '../system/lab/process.ts';
import { kernelForwarded, ping, reachable } from '../system/lab/traffic.ts';
import { type Lab, system } from '../system/lab.ts';

const vrfs = [
  { name: 'red', table: 100, port: 0, other: 'blue' },
  { name: 'blue', table: 200, port: 1, other: 'red' },
] as const;

const staticOf = ({ name, port }: (typeof vrfs)[number]): string => `
vrf ${name}
 ip route 10.5${port}.0.0/24 10.0.${port}.2
exit-vrf
`;

const routerOf = ({ name, port, other }: (typeof vrfs)[number]): string => `
router bgp 65000 vrf ${name}
 bgp router-id 10.0.${port}.1
 no bgp default ipv4-unicast
 address-family ipv4 unicast
  redistribute connected
  redistribute static
  import vrf ${other}
 exit-address-family
 address-family ipv6 unicast
  redistribute connected
  import vrf ${other}
 exit-address-family
exit
`;

const textOf = (row: LookupRow | undefined): string =>
  row === undefined || 'error' in row || row.type !== 'unicast'
    ? JSON.stringify(row)
    : row.paths.map((p) => `${p.dev} ${p.via ?? ''}`.trim()).join(', ');

/** The kernel's own choice in a VRF, as `dev via`. */
async function kernelChoice(lab: Lab, vrf: string, address: string): Promise<string> {
  const text = await run(['ip', '-n', lab.ns('cp'), '-json', 'route', 'get', address, 'vrf', vrf]);
  const [route] = JSON.parse(text) as { dev?: string; gateway?: string }[];
  return `${route?.dev} ${route?.gateway ?? ''}`.trim();
}

system('FRR leaks between VRFs', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const cp = lab.ns('cp');
  const [h0, h1] = [lab.ns('h0'), lab.ns('h1')];
  for (const { name, table, port } of vrfs) {
    await ip(cp, 'link', 'add', name, 'type', 'vrf', 'table', String(table));
    await ip(cp, 'link', 'set', name, 'up');
    await ip(cp, 'link', 'set', `e${port}`, 'master', name);
    await lab.addressHost(port);
    await ip(lab.ns(`h${port}`), 'address', 'add', `10.5${port}.0.1/32`, 'dev', 'lo');
  }
  const frr = await Frr.start({
    ns: cp,
    name: lab.ns('frr'),
    daemons: ['staticd', 'bgpd'],
    config: [...vrfs.map(staticOf), ...vrfs.map(routerOf)].join(''),
    dir: lab.dir,
  });
  lab.defer(() => frr.stop());

  const leaked = ['10.0.0.2', '10.50.0.1', 'fd00:0::2'];
  await waitFor('the routes of red in blue', async () => {
    const rows = await lcpd.lookup(leaked, '--vrf', 'blue');
    const missing = rows.filter((r) => 'error' in r || r.type !== 'unicast');
    if (missing.length > 0) throw new Error(JSON.stringify(missing));
    return true;
  });
  await lcpd.synced();
  const rows = await lcpd.lookup(leaked, '--vrf', 'blue');
  for (const [i, address] of leaked.entries()) {
    t.equal(
      textOf(rows[i]),
      await kernelChoice(lab, 'blue', address),
      `${address} in blue leads where the kernel leads`,
    );
  }
  for (const address of leaked) t.ok(await reachable(h1, address), `${address} answers h1, from the other VRF`);
  for (const address of ['10.0.1.2', '10.51.0.1', 'fd00:1::2']) t.ok(await reachable(h0, address), `and ${address} h0`);
  t.equal(await kernelForwarded(cp), 0, "cp's kernel forwarded nothing");
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');

  await frr.configure('router bgp 65000 vrf blue', 'address-family ipv4 unicast', 'no import vrf red');
  await waitFor('the leak to end', async () => {
    const [row] = await lcpd.lookup(['10.50.0.1'], '--vrf', 'blue');
    return row !== undefined && 'type' in row && row.type !== 'unicast';
  });
  t.equal(
    (await ping(h1, '10.0.0.2', { count: 2, intervalMs: 200 })).received,
    0,
    'what is not leaked is out of reach',
  );
});
