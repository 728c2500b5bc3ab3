/**
 * Random route operations: every verb, every sort of leg, every special type, both families.
 *
 * Invariant: a line may be refused by the kernel (a gateway that is not reachable, a route that is not there): what it
 * then holds is right by definition.
 */
import type { Operation, Pool, Six } from './churnpool.ts';

const metrics = [1, 10, 20, 100, 1024, 4_294_967_295];

/**
 * IPv6 routes without a gateway of their own (bare) have metrics of their own. Added between the legs of a multipath
 * route of the same metric they are in no dump, and survive their device (see lcp/cleared.ts): which of the two the
 * kernel takes cannot be known by who was not there, so lcpd lists them as not honoured.
 */
const bareMetrics = [2, 11, 21, 101, 1025, 4_294_967_294];

function metric(p: Pool, six: Six, bare: boolean): string {
  const r = p.random;
  if (six && bare) return ` metric ${r.pick(bareMetrics)}`;
  return r.chance(35) ? ` metric ${r.pick(metrics)}` : '';
}

/**
 * Of equal IPv4 default routes the kernel takes one whose gateway answered lately (fib_select_default), the data plane
 * the first: there are no equal ones.
 */
function verb(p: Pool, prefix: string): string {
  return prefix === '0.0.0.0/0' ? p.random.pick(['add', 'replace', 'change', 'del']) : anyVerb(p);
}

function anyVerb(p: Pool): string {
  return p.random.weighted({ add: 30, replace: 30, append: 14, prepend: 6, change: 4, del: 20 });
}

/** What else a route says: what its key is made of, and what is not. */
function suffix(p: Pool, six: Six, bare: boolean): string {
  const r = p.random;
  const parts = [metric(p, six, bare), p.table()];
  if (!six && r.chance(6)) parts.push(` tos ${r.pick(['0x10', '0x04', '0x08'])}`);
  if (r.chance(12)) parts.push(` proto ${r.pick(['static', 'zebra', 'bird', '77'])}`);
  if (r.chance(8)) parts.push(` mtu ${r.pick(['1400', 'lock 1300'])}`);
  if (r.chance(3)) parts.push(' advmss 1200');
  if (!six && r.chance(5)) parts.push(' scope global');
  return parts.join('');
}

/** One leg without its weight; bare: of an IPv6 route without gateways. */
function leg(p: Pool, six: Six, bare: boolean): string {
  const r = p.random;
  const port = p.port();
  const mayBeBare = !six || bare;
  if (mayBeBare && p.unpaired.length > 0 && r.chance(six ? 35 : 6)) return `dev ${r.pick(p.unpaired)}`;
  if (six && bare) return `dev ${p.dev(port)}`;
  const mixed = !six && !p.linkdown4;
  if (mixed && r.chance(10)) return `via inet6 fd00:${port}::${r.between(2, 4)} dev ${p.dev(port)}`;
  if ((six || mixed) && r.chance(4)) return `via ${six ? '' : 'inet6 '}fe80::${r.between(2, 4)} dev ${p.dev(port)}`;
  if (!six && r.chance(15)) return `dev ${p.dev(port)}`;
  return `via ${p.gateway(six, port)}${r.chance(70) ? ` dev ${p.dev(port)}` : ''}`;
}

function onlink(p: Pool, six: Six): string {
  const port = p.port();
  const gateway = p.random.chance(50) ? p.gateway(six) : six ? '2001:db8:99::1' : '192.0.2.1';
  return `via ${gateway} dev ${p.dev(port)} onlink`;
}

function multipath(p: Pool, six: Six): string {
  const r = p.random;
  const legs = Array.from(
    { length: r.between(2, 4) },
    () => ` nexthop ${leg(p, six, false)} weight ${r.between(1, 4)}`,
  );
  return legs.join('');
}

/** Deletions name a route by little, by more or by all. */
function deletion(p: Pool): string {
  const r = p.random;
  const six = p.six();
  const prefix = p.prefix(six);
  const bare = r.chance(25);
  const which = r.chance(60) ? metric(p, six, bare) : '';
  const by = r.weighted({ key: 50, leg: 25, gateway: 10, type: 8, multipath: 7 });
  switch (by) {
    case 'key':
      return `route del ${prefix}${which}${p.table()}`;
    case 'leg':
      return `route del ${prefix} ${leg(p, six, bare)}${which}${p.table()}`;
    case 'gateway':
      return `route del ${prefix} via ${p.gateway(six)}${metric(p, six, false)}${p.table()}`;
    case 'type':
      return `route del ${r.pick(['blackhole', 'unreachable', 'prohibit', 'throw'])} ${prefix}${which}${p.table()}`;
    case 'multipath':
      return `route del ${prefix}${metric(p, six, false)}${p.table()}${multipath(p, six)}`;
  }
}

/** A verb and a prefix, with what stands between. */
function head(p: Pool, six: Six, type = ''): string {
  const prefix = p.prefix(six);
  return `route ${verb(p, prefix)}${type} ${prefix}`;
}

function route(p: Pool, what: (p: Pool, six: Six, bare: boolean) => string, bare = p.random.chance(25)): string {
  const six = p.six();
  // multipath legs come last in a line, all else before them
  return `${head(p, six)}${suffix(p, six, bare)} ${what(p, six, bare)}`;
}

/** The metric of an IPv6 route that has no gateway; '' for IPv4. */
export const bareMetric = (p: Pool, six: Six): string => (six ? metric(p, six, true) : '');

export const routeOperations: Readonly<Record<string, Operation>> = {
  leg: { weight: 300, lines: (p) => route(p, leg) },
  multipath: { weight: 110, lines: (p) => route(p, multipath, false) },
  onlink: { weight: 30, lines: (p) => route(p, onlink, false) },
  nhid: { weight: 70, lines: (p) => route(p, (_, six) => `nhid ${p.nexthopId(six, p.random.chance(40))}`, true) },
  // an IPv4 route may use an object with an IPv6 gateway
  nhid6: {
    weight: 10,
    lines: (p) => `${head(p, false)} nhid ${p.nexthopId(true, p.random.chance(40))}${suffix(p, false, false)}`,
  },
  special: {
    weight: 80,
    lines: (p) => {
      const six = p.six();
      const type = p.random.pick(['blackhole', 'unreachable', 'prohibit', 'throw']);
      return `${head(p, six, ` ${type}`)}${suffix(p, six, true)}`;
    },
  },
  prefsrc: {
    weight: 30,
    lines: (p) => route(p, (_, six, bare) => `src ${p.own(six)} ${leg(p, six, bare)}`),
  },
  linkScope: {
    weight: 15,
    lines: (p) => `${head(p, false)} dev ${p.dev()} scope link${p.table()}`,
  },
  // RFC 4191; not of legs, which may each have their own
  preference: {
    weight: 8,
    lines: (p) => {
      const to = p.random.chance(50) ? `dev ${p.dev()}` : `nhid ${p.nexthopId(true, p.random.chance(40))}`;
      return `${head(p, true)}${metric(p, true, true)} pref ${p.random.pick(['low', 'medium', 'high'])} ${to}`;
    },
  },
  // For another source than ours: never the answer for a packet without. Beside plain routes of the same prefix the
  // kernel would not find those any more (fib6_node_lookup_1 goes to the parent), so it has prefixes of its own.
  sourceSpecific: {
    weight: 8,
    lines: (p) =>
      `route ${anyVerb(p)} 2001:db8:${p.random.below(4)}:77::/64 from 2001:db8:ff::/48 ${leg(p, true, p.random.chance(25))}`,
  },
  // AnyIP: a whole prefix is ours
  local: { weight: 6, lines: (p) => `${head(p, p.six(), ' local')} dev lo` },
  expiring: {
    weight: 8,
    lines: (p) => `${head(p, true)} expires ${p.random.between(3000, 9000)} ${leg(p, true, false)}`,
  },
  deletion: { weight: 130, lines: deletion },
  // a leg more, a leg less: IPv6 knows both
  sibling: {
    weight: 40,
    lines: (p) => `route append ${p.prefix(true)} via ${p.gateway(true)}${p.random.chance(30) ? ' metric 20' : ''}`,
  },
  oneLegLess: {
    weight: 25,
    lines: (p) => `route del ${p.prefix(true)} via ${p.gateway(true)}${p.random.chance(30) ? ' metric 20' : ''}`,
  },
  flush: {
    weight: 2,
    lines: (p) => `route flush ${p.random.pick(['table 100', 'table 1000', 'proto bird', 'proto 77', 'type throw'])}`,
  },
};
