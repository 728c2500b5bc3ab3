/**
 * Routing: real FRR and BIRD routers over the pairs: what they learn is in the data plane, what they lose leaves it.
 */

import { Bird } from './lab/bird.ts';
import { Frr, ospfInterface } from './lab/frr.ts';
import { ip } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { ping, reachable } from './lab/traffic.ts';
import { system } from './lab.ts';

const announced = 500;

const birdConfig = `\
log stderr all;
router id 10.0.0.2;
protocol device { scan time 1; }
protocol static many { ipv4;
${Array.from({ length: announced }, (_, i) => `  route 172.${16 + (i >> 8)}.${i & 255}.0/24 unreachable;`).join('\n')}
}
protocol static many6 { ipv6; route 2001:db8:aa::/48 unreachable; route 2001:db8:bb::/48 unreachable; }
protocol direct { ipv4; ipv6; interface "lo"; }
template bgp session { local as 65001; hold time 9; connect retry time 1; connect delay time 1; error wait time 1, 2; }
protocol bgp four from session { neighbor 10.0.0.1 as 65000; ipv4 { import none; export all; }; }
protocol bgp six from session { neighbor fd00:0::1 as 65000; ipv6 { import none; export all; }; }
`;

const ospf = (dev: string, id: string): string => `\
${ospfInterface(dev)}
router ospf
 ospf router-id ${id}
 timers throttle spf 0 50 500
exit
router ospf6
 ospf6 router-id ${id}
 timers throttle spf 0 50 500
exit
`;

const routerConfig = `\
${ospf('e1', '10.0.1.1')}
router bgp 65000
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 neighbor 10.0.0.2 remote-as 65001
 neighbor 10.0.0.2 timers connect 1
 neighbor fd00:0::2 remote-as 65001
 neighbor fd00:0::2 timers connect 1
 address-family ipv6 unicast
  neighbor fd00:0::2 activate
 exit-address-family
exit
`;

const neighbourConfig = `\
interface lo
 ip address 10.255.1.1/32
 ipv6 address fd00:255::1/128
 ip ospf area 0
 ipv6 ospf6 area 0
exit
${ospf('eth0', '10.0.1.2')}
`;

system('BGP from BIRD and OSPF from FRR, learned through the pairs', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const [cp, h0, h1] = [lab.ns('cp'), lab.ns('h0'), lab.ns('h1')];
  await ip(h0, 'address', 'add', '10.255.0.1/32', 'dev', 'lo');
  const start = (ns: string, config: string, daemons: readonly ('bgpd' | 'ospfd' | 'ospf6d')[]): Promise<Frr> =>
    Frr.start({ ns, name: ns, daemons, config, dir: lab.dir });
  const bird = await Bird.start({ ns: h0, name: 'bird', config: birdConfig, dir: lab.dir });
  lab.defer(() => bird.stop());
  const router = await start(cp, routerConfig, ['bgpd', 'ospfd', 'ospf6d']);
  lab.defer(() => router.stop());
  const neighbour = await start(h1, neighbourConfig, ['ospfd', 'ospf6d']);
  lab.defer(() => neighbour.stop());

  const prefixOf = async (address: string): Promise<string | undefined> => {
    const [row] = await lcpd.lookup([address]);
    return row !== undefined && 'prefix' in row ? row.prefix : undefined;
  };
  const learned = (address: string, prefix: string): Promise<boolean> =>
    waitFor(`${prefix} in the data plane`, async () => (await prefixOf(address)) === prefix, { timeoutMs: 30_000 });
  t.ok(await learned('172.16.0.9', '172.16.0.0/24'), 'BGP, IPv4');
  t.ok(await learned(`172.17.${(announced - 1) & 255}.9`, `172.17.${(announced - 1) & 255}.0/24`), 'to the last one');
  t.ok(await learned('2001:db8:bb::9', '2001:db8:bb::/48'), 'BGP, IPv6');
  t.ok(await learned('10.255.1.1', '10.255.1.1/32'), 'OSPFv2');
  t.ok(await learned('fd00:255::1', 'fd00:255::1/128'), 'OSPFv3');
  t.ok(await reachable(h0, '10.255.1.1'), 'traffic follows OSPF');
  t.ok(await reachable(h1, '10.255.0.1'), 'and BGP');
  t.ok(await reachable(h0, 'fd00:255::1'), 'by IPv6 too');
  await lcpd.synced();
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty with all routes there');

  await bird.stop();
  await waitFor('the withdrawn routes to leave', async () => (await prefixOf('172.16.0.9')) === undefined, {
    timeoutMs: 30_000,
  });
  t.equal(await prefixOf('2001:db8:aa::9'), undefined, 'IPv6 too');
  await neighbour.stop();
  await waitFor('the dead neighbour to time out', async () => (await prefixOf('10.255.1.1')) === undefined, {
    timeoutMs: 30_000,
  });
  t.equal((await ping(h0, '10.0.1.2')).received, 5, 'what is connected still forwards');
});
