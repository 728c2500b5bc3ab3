/**
 * Protocols: what the routers of the protocol story are told, and which addresses each protocol announces.
 *
 *   src ── lan0 west (FRR, AS 65001) eth0 ── p0 [ rtr: lcpd ] p1 ── eth0 east (BIRD, AS 65002)
 *                                               │ p2
 *                                            LAN: bridge with a client and the VRRP backup
 *
 * Invariants: an address belongs to one protocol alone, so that a route that is there came by it. West's are
 * 10.1.K.1 and 2001:db8:1:K::1, east's 10.2.K.1 and 2001:db8:2:K::1, those of both (equal cost) 10.3.K.1 and
 * 2001:db8:3:K::1, where K numbers the protocol. The router's AS is 65000; its hosts are e0 e1 e2.
 */
import { ospfInterface } from './frr.ts';
import { chosenDataplane } from './vppplane.ts';

export const numbers = { ospf: 11, isis: 12, rip: 13, bgp: 14, unnumbered: 15, static: 19 } as const;
export type Announcer = keyof typeof numbers;
type Side = 1 | 2 | 3;

/** BIRD has no IS-IS; RIP here keeps one path only. */
export const announced: Readonly<Record<Announcer, readonly Side[]>> = {
  ospf: [1, 2, 3],
  isis: [1],
  rip: [1, 2],
  bgp: [1, 2, 3],
  unnumbered: [1, 2, 3],
  static: [1, 2, 3],
};
const announcers = Object.keys(numbers) as Announcer[];

export const address4 = (side: Side, by: Announcer): string => `10.${side}.${numbers[by]}.1`;
export const address6 = (side: Side, by: Announcer): string => `2001:db8:${side}:${numbers[by]}::1`;

/** Every announced address; `sides` narrows to those that a namespace has. */
export const addresses = (...sides: Side[]): string[] =>
  announcers.flatMap((by) =>
    announced[by].filter((side) => sides.includes(side)).flatMap((side) => [address4(side, by), address6(side, by)]),
  );

/** In VPP's lab VPP, the kernel and the load share the processors, and no ring of VPP's is for what is urgent. */
export const bfdMs = chosenDataplane() === 'embedded' ? 100 : 1000;
export const vrid = 5;
export const virtual = { v4: '10.0.2.254', v6: 'fd00:2::fe', linkLocal: 'fe80::5e:5' } as const;
export const virtualMac = { v4: '00:00:5e:00:01:05', v6: '00:00:5e:00:02:05' } as const;
export const group = '239.1.2.3';
/** Where multicast senders are: behind west. */
export const sourceNet = { router: '10.9.0.1', host: '10.9.0.2' } as const;

/** Prefix lists and route maps that let one protocol announce only its own. */
const filters = (): string =>
  announcers
    .map((by) =>
      [
        ...([1, 2, 3] as const).flatMap((side) => [
          `ip prefix-list ${by} permit ${address4(side, by)}/32`,
          `ipv6 prefix-list ${by} permit ${address6(side, by)}/128`,
        ]),
        `route-map ${by} permit 10\n match ip address prefix-list ${by}\nexit`,
        `route-map ${by}6 permit 10\n match ipv6 address prefix-list ${by}\nexit`,
      ].join('\n'),
    )
    .join('\n');

const igp = (dev: string): string => ospfInterface(dev, 'ip ospf bfd profile fast');

const bfd = (): string => `\
bfd
 profile fast
  transmit-interval ${bfdMs}
  receive-interval ${bfdMs}
  detect-multiplier 3
 exit
exit`;

/** A broadcast circuit of both levels: hellos to 01:80:c2:00:00:14 and :15, padded to the MTU. */
const isis = (dev: string): string => `\
interface ${dev}
 ip router isis core
 ipv6 router isis core
 isis hello-interval 1
 isis hello-multiplier 4
exit`;

const timers = ' timers basic 5 15 10';
/** RIPng's `redistribute` does not heed its route map, so what it announces is a route of its own. */
const rip = (devs: readonly string[], side?: Side): string => {
  const networks = devs.map((dev) => ` network ${dev}\n`).join('');
  const own4 = side === undefined ? '' : ' redistribute connected route-map rip\n';
  const own6 = side === undefined ? '' : ` route ${address6(side, 'rip')}/128\n`;
  return `router rip\n${networks}${own4}${timers}\nexit\nrouter ripng\n${networks}${own6}${timers}\nexit`;
};

interface Session {
  readonly peer: string;
  readonly as: number;
  readonly list: 'bgp' | 'unnumbered';
  readonly families: readonly ('ipv4' | 'ipv6')[];
}

const bgp = (as: number, id: string, sessions: readonly Session[], networks: boolean): string => {
  const family = (name: 'ipv4' | 'ipv6'): string => `\
 address-family ${name} unicast
  maximum-paths 4
${networks ? `  redistribute connected route-map own${name === 'ipv4' ? '' : '6'}\n` : ''}${sessions
  .filter((s) => s.families.includes(name))
  .map((s) => `  neighbor ${s.peer} activate\n  neighbor ${s.peer} prefix-list ${s.list} out`)
  .join('\n')}
 exit-address-family`;
  return `\
route-map own permit 10
 match ip address prefix-list bgp
 set origin igp
exit
route-map own permit 20
 match ip address prefix-list unnumbered
 set origin igp
exit
route-map own6 permit 10
 match ipv6 address prefix-list bgp
 set origin igp
exit
route-map own6 permit 20
 match ipv6 address prefix-list unnumbered
 set origin igp
exit
router bgp ${as}
 bgp router-id ${id}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 bgp bestpath as-path multipath-relax
${sessions
  .map((s) =>
    s.list === 'unnumbered'
      ? ` neighbor ${s.peer} interface remote-as ${s.as}\n neighbor ${s.peer} timers connect 1`
      : ` neighbor ${s.peer} remote-as ${s.as}
 neighbor ${s.peer} timers connect 1
 neighbor ${s.peer} bfd profile fast`,
  )
  .join('\n')}
${family('ipv4')}
${family('ipv6')}
exit`;
};

const numbered = (net: number, last: number, as: number): Session[] => [
  { peer: `10.0.${net}.${last}`, as, list: 'bgp', families: ['ipv4'] },
  { peer: `fd00:${net}::${last}`, as, list: 'bgp', families: ['ipv6'] },
];
const unnumbered = (dev: string, as: number): Session => ({
  peer: dev,
  as,
  list: 'unnumbered',
  families: ['ipv4', 'ipv6'],
});

const ospf = (id: string, redistribute: boolean): string => `\
router ospf
 ospf router-id ${id}
 timers throttle spf 0 50 500
 maximum-paths 4
${redistribute ? ' redistribute connected metric 20 metric-type 2 route-map ospf\n' : ''}exit
router ospf6
 ospf6 router-id ${id}
 timers throttle spf 0 50 500
 maximum-paths 4
${redistribute ? ' redistribute connected metric 20 metric-type 2 route-map ospf6\n' : ''}exit`;

export const routerDaemons = [
  'staticd',
  'bfdd',
  'bgpd',
  'ospfd',
  'ospf6d',
  'isisd',
  'ripd',
  'ripngd',
  'pimd',
  'vrrpd',
] as const;
export const westDaemons = ['bfdd', 'bgpd', 'ospfd', 'ospf6d', 'isisd', 'ripd', 'ripngd', 'pimd'] as const;

const statics = (): string => {
  const ways = [
    [1, 0],
    [2, 1],
    [3, 0],
    [3, 1],
  ] as const;
  return ways
    .map(
      ([side, net]) => `\
ip route ${address4(side, 'static')}/32 10.0.${net}.2
ipv6 route ${address6(side, 'static')}/128 fd00:${net}::2`,
    )
    .join('\n');
};

/** The LAN's virtual router; who has the higher priority is its master. */
export const vrrp = (dev: string, priority: number): string => `\
interface ${dev}
 vrrp ${vrid} version 3
 vrrp ${vrid} priority ${priority}
 vrrp ${vrid} advertisement-interval 500
 vrrp ${vrid} ip ${virtual.v4}
 vrrp ${vrid} ipv6 ${virtual.linkLocal}
 vrrp ${vrid} ipv6 ${virtual.v6}
exit`;

/** The router itself, on the host sides of lcpd's pairs. */
export const routerConfig = (): string => `\
${bfd()}
${filters()}
${statics()}
ip pim rp ${sourceNet.router}
${igp('e0')}
${igp('e1')}
${isis('e0')}
interface e0
 ip pim
exit
interface e1
 ip pim
 ip igmp
exit
interface e2
 ip ospf area 0
 ip ospf passive
 ipv6 ospf6 area 0
 ipv6 ospf6 passive
 ip pim
 ip igmp
exit
${vrrp('e2', 200)}
${ospf('10.255.0.1', false)}
router isis core
 net 49.0001.0000.0000.0001.00
 is-type level-1-2
 lsp-gen-interval 1
 spf-interval 1
exit
${rip(['e0', 'e1'])}
${bgp(
  65000,
  '10.255.0.1',
  [...numbered(0, 2, 65001), ...numbered(1, 2, 65002), unnumbered('e0', 65001), unnumbered('e1', 65002)],
  false,
)}
`;

export const westConfig = (): string => `\
${bfd()}
${filters()}
ip pim rp ${sourceNet.router}
${igp('eth0')}
${isis('eth0')}
interface eth0
 ip pim
exit
interface lan0
 ip pim
 ip ospf area 0
 ip ospf passive
exit
${ospf('10.255.0.2', true)}
router isis core
 net 49.0001.0000.0000.0002.00
 is-type level-1-2
 lsp-gen-interval 1
 spf-interval 1
 redistribute ipv4 connected level-1 route-map isis
 redistribute ipv4 connected level-2 route-map isis
 redistribute ipv6 connected level-1 route-map isis6
 redistribute ipv6 connected level-2 route-map isis6
exit
${rip(['eth0'], 1)}
${bgp(65001, '10.255.0.2', [...numbered(0, 1, 65000), unnumbered('eth0', 65000)], true)}
`;

const set4 = (by: Announcer): string => `[ ${address4(2, by)}/32, ${address4(3, by)}/32 ]`;
const set6 = (by: Announcer): string => `[ ${address6(2, by)}/128, ${address6(3, by)}/128 ]`;

/** `local` and `peer`: link-local addresses of east's eth0 and of e1. */
export const eastConfig = (local: string, peer: string): string => `\
log stderr all;
router id 10.255.0.3;
protocol device { scan time 5; }
protocol direct { ipv4; ipv6; interface "lo"; }
protocol kernel { ipv4 { import none; export where source != RTS_DEVICE; }; merge paths on; }
protocol kernel { ipv6 { import none; export where source != RTS_DEVICE; }; merge paths on; }
protocol radv { interface "eth0" { min ra interval 3; max ra interval 5; default lifetime 0; }; }
protocol bfd {
  interface "eth0" { min rx interval ${bfdMs} ms; min tx interval ${bfdMs} ms; idle tx interval 300 ms; multiplier 3; };
}
protocol ospf v2 ospf4 {
  ipv4 { import all; export filter { if net ~ ${set4('ospf')} then { ospf_metric2 = 20; accept; } reject; }; };
  area 0 { interface "eth0" { type ptp; hello 1; dead 4; bfd on; }; };
}
protocol ospf v3 ospf6 {
  ipv6 { import all; export filter { if net ~ ${set6('ospf')} then { ospf_metric2 = 20; accept; } reject; }; };
  area 0 { interface "eth0" { type ptp; hello 1; dead 4; }; };
}
protocol rip rip4 {
  ipv4 { import all; export where net ~ ${set4('rip')}; };
  interface "eth0" { version 2; update time 5; timeout time 15; };
}
protocol rip ng rip6 {
  ipv6 { import all; export where net ~ ${set6('rip')}; };
  interface "eth0" { update time 5; timeout time 15; };
}
template bgp session { local as 65002; connect retry time 1; connect delay time 1; error wait time 1, 2; }
protocol bgp four from session {
  neighbor 10.0.1.1 as 65000; bfd on;
  ipv4 { import all; export where net ~ ${set4('bgp')}; next hop self; };
}
protocol bgp six from session {
  neighbor fd00:1::1 as 65000; bfd on;
  ipv6 { import all; export where net ~ ${set6('bgp')}; next hop self; };
}
protocol bgp unnumbered {
  local ${local} as 65002; neighbor ${peer} as 65000; interface "eth0";
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export where net ~ ${set4('unnumbered')}; next hop self; extended next hop on; };
  ipv6 { import all; export where net ~ ${set6('unnumbered')}; next hop self; };
}
`;

export const backupConfig = (): string => `\
${vrrp('lan0', 100)}
`;

/** Prefix to zebra's name of the protocol that the router must have it from. */
export const expectedRoutes = (): Map<string, string> =>
  new Map(
    announcers.flatMap((by) =>
      announced[by].flatMap((side): [string, string][] => {
        const four = by === 'unnumbered' ? 'bgp' : by;
        const six = { ospf: 'ospf6', rip: 'ripng', unnumbered: 'bgp' }[by as string] ?? by;
        return [
          [`${address4(side, by)}/32`, four],
          [`${address6(side, by)}/128`, six],
        ];
      }),
    ),
  );

/** Adjacencies of the router, as adjacencies.ts names them; RIPng's names are link-local addresses. */
export const expectedAdjacencies: readonly string[] = [
  ...['10.0.0.2', '10.0.1.2', 'e0', 'e1'].map((peer) => `BGP ipv4Unicast ${peer}`),
  ...['fd00::2', 'fd00:1::2', 'e0', 'e1'].map((peer) => `BGP ipv6Unicast ${peer}`),
  ...['10.0.0.2', '10.0.1.2', 'fd00::2', 'fd00:1::2'].map((peer) => `BFD ${peer}`),
  ...['e0', 'e1'].flatMap((dev) => [`OSPFv2 ${dev}`, `OSPFv3 ${dev}`]),
  'IS-IS e0 level 1',
  'IS-IS e0 level 2',
  'RIP 10.0.0.2',
  'RIP 10.0.1.2',
  'PIM e0',
  ...['router', 'backup'].flatMap((who) => [`VRRP v4 ${who}`, `VRRP v6 ${who}`]),
  ...['four', 'six', 'unnumbered'].map((name) => `BIRD ${name}`),
  'BIRD BFD 10.0.1.1',
  'BIRD BFD fd00:1::1',
];
