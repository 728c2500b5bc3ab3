/**
 * Random operations below the routes: devices, addresses, neighbours, nexthop objects, settings of the kernel.
 *
 * Lines that begin with `@` are for another place than `ip` in the router's namespace: see script.ts.
 */
import type { Operation, Pool } from './churnpool.ts';

const mac = (p: Pool, port: number): string => `02:00:00:00:0${port}:${p.random.between(10, 99)}`;

export const linkOperations: Readonly<Record<string, Operation>> = {
  state: { weight: 30, lines: (p) => `link set ${p.dev()} ${p.random.chance(35) ? 'down' : 'up'}` },
  // down and up in one breath
  flap: {
    weight: 10,
    lines: (p) => {
      const dev = p.dev();
      return [`link set ${dev} down`, `link set ${dev} up`];
    },
  },
  cable: { weight: 12, lines: (p) => `@h${p.port()} link set eth0 ${p.random.chance(50) ? 'down' : 'up'}` },
  mtu: { weight: 6, lines: (p) => `link set ${p.dev()} mtu ${p.random.pick([1500, 1500, 1400, 1280, 1000])}` },
  mac: {
    weight: 3,
    lines: (p) => {
      const port = p.port();
      return `link set ${p.dev(port)} address ${mac(p, port)}`;
    },
  },
  rename: {
    weight: 4,
    lines: (p) => {
      const [old, name] = p.rename(p.port());
      return `link set ${old} name ${name}`;
    },
  },
  dummy: {
    weight: 6,
    needs: 'dummy',
    lines: (p) => `link ${p.random.pick(['add dummy7 type dummy', 'set dummy7 up', 'set dummy7 down', 'del dummy7'])}`,
  },
  vlan: {
    weight: 10,
    needs: 'vlan',
    lines: (p) => {
      const port = p.port();
      const name = `v${port}`;
      return p.random.pick([
        `link add link ${p.dev(port)} name ${name} type vlan id ${10 + port}`,
        `link set ${name} up`,
        `address replace 10.1.${port}.1/24 dev ${name}`,
        `link del ${name}`,
      ]);
    },
  },
  vrf: {
    weight: 10,
    needs: 'vrf',
    lines: (p) =>
      p.random.pick([
        'link add blue type vrf table 1000',
        'link set blue up',
        `link set ${p.dev()} master blue`,
        `link set ${p.dev()} nomaster`,
        `link set ${p.dev()} nomaster`,
        'link del blue',
      ]),
  },
};

export const addressOperations: Readonly<Record<string, Operation>> = {
  plain: {
    weight: 40,
    lines: (p) => {
      const r = p.random;
      const port = p.port();
      const address = p.six()
        ? r.pick([
            `fd00:${port}::${r.between(6, 9)}/64`,
            `2001:db8:0:${(r.below(3) << 6).toString(16)}::${r.below(4)}/64`,
            `fd00:${port}::a/128`,
          ])
        : r.pick([
            `10.0.${port}.${r.between(6, 9)}/24`,
            `100.${r.below(3) << 6}.0.${r.between(1, 4)}/24`,
            `10.0.${port}.20/32`,
          ]);
      return `address ${r.chance(60) ? 'replace' : 'del'} ${address} dev ${p.dev(port)}`;
    },
  },
  peer: {
    weight: 8,
    lines: (p) => {
      const port = p.port();
      const what = p.six() ? `fd00:${port}::b peer fd00:9:${port}::1/128` : `10.0.${port}.21 peer 10.9.${port}.1/32`;
      return `address ${p.random.chance(60) ? 'replace' : 'del'} ${what} dev ${p.dev(port)}`;
    },
  },
  // No connected route, or one that expires, or is not the best. An expiry is not given to an address that is there
  // without one: Linux 6.18 then sets the time of its route wrongly, and the route counts as expired at once.
  unusual: {
    weight: 14,
    lines: (p) => {
      const port = p.port();
      const address = p.six() ? `fd00:${port}::${p.random.between(6, 9)}/64` : `100.64.0.${p.random.between(1, 4)}/24`;
      const how = p.random.pick(['noprefixroute', 'valid_lft 9000 preferred_lft 0', 'metric 50', 'scope link']);
      return `address ${how.startsWith('valid') ? 'add' : 'replace'} ${address} dev ${p.dev(port)} ${how}`;
    },
  },
  linkLocal: {
    weight: 5,
    lines: (p) => {
      const port = p.port();
      return `address ${p.random.chance(60) ? 'replace' : 'del'} fe80::1:${port}/64 dev ${p.dev(port)}`;
    },
  },
  // the first address takes the others of its subnet along, or promotes one
  primary: {
    weight: 6,
    lines: (p) => {
      const port = p.port();
      const [address, dev] = [p.six() ? `fd00:${port}::1/64` : `10.0.${port}.1/24`, p.dev(port)];
      return [
        `address del ${address} dev ${dev}`,
        ...(p.random.chance(50) ? [`address replace ${address} dev ${dev}`] : []),
      ];
    },
  },
  flush: { weight: 1, lines: (p) => `address flush dev ${p.dev()} scope global` },
  loopback: {
    weight: 4,
    lines: (p) => {
      const address = p.six() ? `2001:db8:0:40::${p.random.below(4)}/128` : `100.64.0.${p.random.between(1, 6)}/32`;
      return `address ${p.random.chance(60) ? 'replace' : 'del'} ${address} dev lo`;
    },
  },
};

export const neighbourOperations: Readonly<Record<string, Operation>> = {
  any: {
    weight: 60,
    lines: (p) => {
      const r = p.random;
      const port = p.port();
      const to = `${p.gateway(p.six(), port)}`;
      if (r.chance(30)) return `neighbour del ${to} dev ${p.dev(port)}`;
      const state = r.pick([
        'permanent',
        'reachable',
        'stale',
        'noarp',
        'delay',
        'probe',
        'failed',
        'none',
        'incomplete',
      ]);
      const flag = r.chance(10) ? r.pick([' extern_learn', ' router']) : '';
      return `neighbour replace ${to} lladdr ${mac(p, port)} dev ${p.dev(port)} nud ${state}${flag}`;
    },
  },
  proxy: {
    weight: 5,
    lines: (p) => `neighbour ${p.random.chance(60) ? 'replace' : 'del'} proxy ${p.gateway(p.six())} dev ${p.dev()}`,
  },
  flush: { weight: 2, lines: (p) => `neighbour flush dev ${p.dev()}` },
};

/** Nexthop objects to begin with, so that routes have some to refer to. */
export function allNexthops(p: Pool): string[] {
  const lines: string[] = [];
  for (const [six, first] of [
    [false, 1],
    [true, 11],
  ] as const) {
    for (let n = 0; n < 6; n++) {
      const port = n % p.ports;
      lines.push(`nexthop replace id ${first + n} via ${p.gateway(six, port)} dev ${p.dev(port)}`);
    }
    for (let n = 0; n < 6; n++)
      lines.push(`nexthop replace id ${first + 20 + n} group ${first + n},2/${first + ((n + 1) % 6)}`);
  }
  return lines;
}

export const nexthopOperations: Readonly<Record<string, Operation>> = {
  single: {
    weight: 50,
    lines: (p) => {
      const r = p.random;
      const six = p.six();
      const port = p.port();
      const how = r.weighted({ gateway: 70, attached: 10, onlink: 10, linkLocal: 10 });
      const id = p.nexthopId(six, false);
      const head = `nexthop replace id ${id}`;
      if (how === 'attached') return `${head} dev ${p.dev(port)}`;
      if (how === 'onlink') return `${head} via ${six ? '2001:db8:99::1' : '192.0.2.1'} dev ${p.dev(port)} onlink`;
      if (how === 'linkLocal' && six) return `${head} via fe80::${r.between(2, 4)} dev ${p.dev(port)}`;
      return `${head} via ${p.gateway(six, port)} dev ${p.dev(port)}`;
    },
  },
  group: {
    weight: 30,
    lines: (p) => {
      const r = p.random;
      const six = p.six();
      const members = new Set(Array.from({ length: r.between(1, 3) }, () => p.nexthopId(six, false)));
      const text = [...members].map((m) => `${m},${r.between(1, 3)}`).join('/');
      return `nexthop replace id ${p.nexthopId(six, true)} group ${text}`;
    },
  },
  resilient: {
    weight: 6,
    lines: (p) => {
      const six = p.six();
      const id = p.nexthopId(six, true);
      const members = `${p.nexthopId(six, false)}/${p.nexthopId(six, false)}`;
      // a group keeps its type: mostly a new one
      return [
        ...(p.random.chance(70) ? [`nexthop del id ${id}`] : []),
        `nexthop replace id ${id} group ${members} type resilient buckets 8`,
      ];
    },
  },
  // the family of a blackhole comes from an option of ip itself
  blackhole: {
    weight: 6,
    lines: (p) => {
      const six = p.six();
      return `${six ? '@-6' : '@-4'} nexthop replace id ${p.nexthopId(six, false)} blackhole`;
    },
  },
  // of no concern to routes
  fdb: { weight: 2, lines: (p) => `nexthop replace id ${p.random.between(41, 43)} via ${p.gateway(false)} fdb` },
  deletion: { weight: 25, lines: (p) => `nexthop del id ${p.nexthopId(p.six(), p.random.chance(35))}` },
  flush: { weight: 1, lines: (p) => `nexthop flush dev ${p.dev()}` },
};

const onOff = (p: Pool): number => (p.random.chance(50) ? 1 : 0);

/** Settings of a whole run, before there is any route. */
export function firstSettings(p: Pool): string[] {
  const lines = [`@sysctl net.ipv6.conf.all.ignore_routes_with_linkdown=${onOff(p)}`];
  if (p.linkdown4) lines.push(`@sysctl net.ipv4.conf.all.ignore_routes_with_linkdown=${onOff(p)}`);
  return lines;
}

export const settingOperations: Readonly<Record<string, Operation>> = {
  compatMode: { weight: 8, lines: (p) => `@sysctl net.ipv4.nexthop_compat_mode=${onOff(p)}` },
  // While the device is down: multipath routes are balanced anew when it comes up, and not when the setting changes.
  linkdown: {
    weight: 10,
    lines: (p) => {
      const dev = p.dev();
      const family = p.linkdown4 ? p.random.pick(['ipv4', 'ipv6']) : 'ipv6';
      return [
        `link set ${dev} down`,
        `@sysctl net.${family}.conf.${dev}.ignore_routes_with_linkdown=${onOff(p)}`,
        `link set ${dev} up`,
      ];
    },
  },
  promote: { weight: 4, lines: (p) => `@sysctl net.ipv4.conf.${p.dev()}.promote_secondaries=${onOff(p)}` },
  keepAddresses: { weight: 4, lines: (p) => `@sysctl net.ipv6.conf.${p.dev()}.keep_addr_on_down=${onOff(p)}` },
  skipNotify: { weight: 4, lines: (p) => `@sysctl net.ipv6.route.skip_notify_on_dev_down=${onOff(p)}` },
  disableIpv6: {
    weight: 4,
    lines: (p) => `@sysctl net.ipv6.conf.${p.dev()}.disable_ipv6=${p.random.chance(30) ? 1 : 0}`,
  },
  useNeighbour: { weight: 2, lines: (p) => `@sysctl net.ipv4.fib_multipath_use_neigh=${onOff(p)}` },
};
