/**
 * Topology: the demo's namespaces, cables and addresses, and what its three routers are told.
 *
 *   lefthost ── left (BIRD, AS 65001) ── wan0 [ rtr: lcpd ] lan0 ══ right (FRR, AS 65002) ── righthost
 *                                              │            lan1 ══
 *                            cp (FRR, AS 65000): e0 e1 e2, host sides of wan0 lan0 lan1
 *
 * Invariants: every name begins with `lcpd-demo`, so that a later run can remove what an earlier one left. In cp the
 * kernel forwards nothing: what gets through went through lcpd. Every link has IPv4 and IPv6.
 */
import { ospfInterface } from '../test/system/lab/frr.ts';
import { addNetns, addVeth, type End, ip, sysctl } from '../test/system/lab/netns.ts';

export const prefix = 'lcpd-demo';
export const ns = {
  lefthost: `${prefix}-lefthost`,
  left: `${prefix}-left`,
  rtr: `${prefix}-rtr`,
  cp: `${prefix}-cp`,
  right: `${prefix}-right`,
  righthost: `${prefix}-righthost`,
} as const;
export const namespaces = Object.values(ns);

/** Routes that left announces besides its LAN, so that the mirror has something to count. */
export const extraRoutes4 = 2000;
export const extraRoutes6 = 1000;

export const host = {
  left: { v4: '10.1.0.2', v6: 'fd00:1::2' },
  right: { v4: '10.2.0.2', v6: 'fd00:2::2' },
} as const;
/** Where the router is seen as a hop from the left. */
export const routerSeenFromLeft = { v4: '10.0.1.1', v6: 'fd00:0:1::1' } as const;
/** Reached over OSPF only. */
export const rightLoopback = { v4: '10.255.0.3', v6: 'fd00:255::3' } as const;

export const pairs = [
  { phy: 'wan0', host: 'e0', net: 1 },
  { phy: 'lan0', host: 'e1', net: 2 },
  { phy: 'lan1', host: 'e2', net: 3 },
] as const;
export const linksToRight = ['up0', 'up1'] as const;

interface Cable {
  readonly a: End & { readonly addresses: readonly string[] };
  readonly b: End & { readonly addresses: readonly string[] };
}

const lan = (net: number, last: number): string[] => [`10.${net}.0.${last}/24`, `fd00:${net}::${last}/64`];
const link = (net: number, last: number): string[] => [`10.0.${net}.${last}/24`, `fd00:0:${net}::${last}/64`];

/** The phys have no addresses: their stack is kept silent by lcpd. */
const cables: readonly Cable[] = [
  { a: { ns: ns.lefthost, dev: 'eth0', addresses: lan(1, 2) }, b: { ns: ns.left, dev: 'lan0', addresses: lan(1, 1) } },
  {
    a: { ns: ns.righthost, dev: 'eth0', addresses: lan(2, 2) },
    b: { ns: ns.right, dev: 'lan0', addresses: lan(2, 1) },
  },
  { a: { ns: ns.rtr, dev: 'wan0', addresses: [] }, b: { ns: ns.left, dev: 'up0', addresses: link(1, 2) } },
  { a: { ns: ns.rtr, dev: 'lan0', addresses: [] }, b: { ns: ns.right, dev: 'up0', addresses: link(2, 2) } },
  { a: { ns: ns.rtr, dev: 'lan1', addresses: [] }, b: { ns: ns.right, dev: 'up1', addresses: link(3, 2) } },
];

export async function buildTopology(): Promise<void> {
  for (const name of namespaces) await addNetns(name, name === ns.left || name === ns.right);
  for (const { a, b } of cables) {
    await addVeth(a, b);
    for (const end of [a, b]) {
      for (const address of end.addresses) await ip(end.ns, 'address', 'add', address, 'dev', end.dev);
      // A phy follows its host interface.
      if (end.ns !== ns.rtr) await ip(end.ns, 'link', 'set', end.dev, 'up');
    }
  }
  // Its links go down and come back in the demo: addresses given by hand stay.
  await sysctl(ns.right, { 'net.ipv6.conf.all.keep_addr_on_down': 1 });
  await ip(ns.right, 'address', 'add', `${rightLoopback.v4}/32`, 'dev', 'lo');
  await ip(ns.right, 'address', 'add', `${rightLoopback.v6}/128`, 'dev', 'lo');
  for (const [name, net] of [[ns.lefthost, 1] as const, [ns.righthost, 2] as const]) {
    await ip(name, 'route', 'add', 'default', 'via', `10.${net}.0.1`);
    await ip(name, '-6', 'route', 'add', 'default', 'via', `fd00:${net}::1`);
  }
}

/** lcpd's configuration file; `dataplane` is its section of that name. */
export const lcpdConfig = (dir: string, dataplane: string): string => `\
${dataplane}netns: ${ns.cp}
pairs:
${pairs.map((p) => `  - { phy: ${p.phy}, host: ${p.host} }`).join('\n')}
control: { socket: ${dir}/lcpd.sock }
`;

/**
 * left: BIRD, eBGP in both families, a LAN and many routes. It takes no route for its own links: in IPv6 its kernel would
 * prefer that to the connected one.
 */
export const birdConfig = (): string => `\
log stderr all;
router id 10.255.0.2;
protocol device { scan time 1; }
protocol direct { ipv4; ipv6; interface "lan0"; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; merge paths on; }
protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; merge paths on; }
protocol static extra4 {
  ipv4;
${Array.from({ length: extraRoutes4 }, (_, i) => `  route 172.${16 + (i >> 8)}.${i & 255}.0/24 unreachable;`).join('\n')}
}
protocol static extra6 {
  ipv6;
${Array.from({ length: extraRoutes6 }, (_, i) => `  route 2001:db8:${(i + 1).toString(16)}::/48 unreachable;`).join('\n')}
}
template bgp session {
  local as 65001;
  hold time 9; keepalive time 3;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
}
protocol bgp rtr4 from session {
  neighbor 10.0.1.1 as 65000;
  ipv4 { import where net !~ [ 10.0.0.0/16+ ]; export where source ~ [ RTS_DEVICE, RTS_STATIC ]; next hop self; };
}
protocol bgp rtr6 from session {
  neighbor fd00:0:1::1 as 65000;
  ipv6 { import where net !~ [ fd00::/32+ ]; export where source ~ [ RTS_DEVICE, RTS_STATIC ]; next hop self; };
}
`;

const bgpNeighbour = (address: string, as: number): string => `\
 neighbor ${address} remote-as ${as}
 neighbor ${address} timers 3 9
 neighbor ${address} timers connect 1
 no neighbor ${address} activate`;

const bgp = (as: number, id: string, v4: [string, number][], v6: [string, number][], announce: string): string => `\
router bgp ${as}
 bgp router-id ${id}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 bgp bestpath as-path multipath-relax
${[...v4, ...v6].map(([address, peer]) => bgpNeighbour(address, peer)).join('\n')}
 address-family ipv4 unicast
  ${announce}
  maximum-paths 4
${v4.map(([address]) => `  neighbor ${address} activate`).join('\n')}
 exit-address-family
 address-family ipv6 unicast
  ${announce}
  maximum-paths 4
${v6.map(([address]) => `  neighbor ${address} activate`).join('\n')}
 exit-address-family
exit`;

const ospf = (id: string): string => `\
router ospf
 ospf router-id ${id}
 timers throttle spf 0 50 500
 maximum-paths 4
exit
router ospf6
 ospf6 router-id ${id}
 timers throttle spf 0 50 500
 maximum-paths 4
exit`;

/** The router itself, on the host sides of lcpd's pairs. FRR gives them their addresses. */
export const routerConfig = (): string => `\
hostname rtr
! zebra 8.4 would take up a group that the kernel has thinned out when a link failed: forget unused ones soon
zebra nexthop-group keep 1
interface lo
 ip address 10.255.0.1/32
 ipv6 address fd00:255::1/128
 ip ospf area 0
 ipv6 ospf6 area 0
exit
${pairs
  .map(
    (p) =>
      `interface ${p.host}\n${link(p.net, 1)
        .map((a) => ` ${a.includes(':') ? 'ipv6' : 'ip'} address ${a}`)
        .join('\n')}\nexit`,
  )
  .join('\n')}
${ospfInterface('e1')}
${ospfInterface('e2')}
${ospf('10.255.0.1')}
${bgp(
  65000,
  '10.255.0.1',
  [
    ['10.0.1.2', 65001],
    ['10.0.2.2', 65002],
    ['10.0.3.2', 65002],
  ],
  [
    ['fd00:0:1::2', 65001],
    ['fd00:0:2::2', 65002],
    ['fd00:0:3::2', 65002],
  ],
  'redistribute connected',
)}
`;

/** right: FRR, eBGP over both links for its LAN, OSPF for its loopback. */
export const rightConfig = (): string => `\
hostname right
zebra nexthop-group keep 1
ip prefix-list lan seq 5 permit 10.2.0.0/24
ipv6 prefix-list lan seq 5 permit fd00:2::/64
route-map lan permit 10
 match ip address prefix-list lan
exit
route-map lan permit 20
 match ipv6 address prefix-list lan
exit
interface lo
 ip ospf area 0
 ipv6 ospf6 area 0
exit
${ospfInterface('up0')}
${ospfInterface('up1')}
${ospf('10.255.0.3')}
${bgp(
  65002,
  '10.255.0.3',
  [
    ['10.0.2.1', 65000],
    ['10.0.3.1', 65000],
  ],
  [
    ['fd00:0:2::1', 65000],
    ['fd00:0:3::1', 65000],
  ],
  'redistribute connected route-map lan',
)}
`;
