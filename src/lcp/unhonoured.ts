// Unhonoured: kernel state that the data plane cannot follow, so that packets may go where the kernel would not
// send them, or (punted) are left to the kernel. Nothing is dropped in silence: it is listed here.

import { RTN_UNICAST } from '../netlink/uapi.ts';
import { canEncapsulate, legsOf } from './derive.ts';
import { ingressOf } from './derivelink.ts';
import type { Namespace } from './namespace.ts';
import type { UnpairedRoutes } from './pairs.ts';
import { routeTosOf, routeTypeOf } from './prefixtable.ts';
import { prefixText } from './routerows.ts';
import { NO_VRF } from './rules.ts';
import { devName } from './show.ts';

export interface UnhonouredRow {
  readonly kind: string;
  readonly key: string;
  readonly reason: string;
  /** Packets may go otherwise than the kernel would send them; false: the kernel does it, or it shows in no packet. */
  readonly differs: boolean;
}

/** Rows that are enough to see what is wrong. */
const MOST_ROWS = 1000;

const ENCAPS: Readonly<Record<number, string>> = {
  1: 'mpls',
  2: 'ip',
  3: 'ila',
  4: 'ip6',
  5: 'seg6',
  6: 'bpf',
  7: 'seg6local',
  8: 'rpl',
  9: 'ioam6',
  10: 'xfrm',
};

/**
 * Of equal IPv4 default routes with a gateway each, the kernel takes one whose gateway answers (fib_select_default), the
 * data plane the first.
 */
const equalDefaults = (ns: Namespace): UnhonouredRow[] => {
  const t = ns.routes4.prefixes;
  const rows: UnhonouredRow[] = [];
  for (const table of ns.routes4.tables()) {
    const gateways = new Map<number, number>();
    for (let e = t.head[t.find(table, 0, 0)] as number; e !== 0; e = t.next[e] as number) {
      const info = t.info[e] as number;
      const p = ns.pathsets.get(t.pathset[e] as number);
      if (routeTosOf(info) !== 0 || routeTypeOf(info) !== RTN_UNICAST || p === undefined) continue;
      const legs = legsOf(ns, p);
      if (legs === 'blackhole' || legs.length !== 1 || legs[0]?.gatewayFamily === 0) continue;
      const metric = t.priority[e] as number;
      gateways.set(metric, (gateways.get(metric) ?? 0) + 1);
    }
    for (const [metric, n] of gateways) {
      if (n < 2) continue;
      const reason = 'the kernel takes one whose gateway answers, the data plane the first';
      const key = `${n} equal default routes, table ${table} metric ${metric}`;
      rows.push({ kind: 'route4', key, reason, differs: true });
    }
  }
  return rows;
};

/**
 * IPv6 routes to one prefix with one metric, one with several gateways and one without: which comes first follows from
 * when each leg was added, which the kernel shows to nobody, and the one without may be in no dump (see hidden.ts).
 */
const mixedMetrics = (ns: Namespace, room: number): UnhonouredRow[] => {
  const { prefixes: t, hidden } = ns.routes6;
  const rows: UnhonouredRow[] = [];
  const reason = 'which of them the kernel takes follows from when their legs were added, which it does not tell';
  t.forEach((record) => {
    for (let e = t.head[record] as number; t.next[e] !== 0 && rows.length < room; e = t.next[e] as number) {
      if (!hidden.isHidden(e, record) && !hidden.isHidden(t.next[e] as number, record)) continue;
      const key = `${prefixText(t, record)} table ${t.table[record]} metric ${t.priority[e]}, with gateways and without`;
      rows.push({ kind: 'route6', key, reason, differs: true });
      return;
    }
  });
  return rows;
};

/** Everything of that sort in a namespace. */
export const unhonouredRows = (ns: Namespace, unpaired: UnpairedRoutes = 'punt'): UnhonouredRow[] => {
  const rows: UnhonouredRow[] = [];
  const ingresses = [NO_VRF, ...[...ns.links.keys()].map((ifindex) => ingressOf(ns, ifindex))];
  for (const { family, rule, reason } of ns.rules.unhonoured(ingresses)) {
    rows.push({ kind: 'rule', key: `${family === 4 ? 'ip' : 'ip -6'} rule ${rule}`, reason, differs: true });
  }
  for (const text of ns.routes6.sources.texts().slice(0, MOST_ROWS)) {
    rows.push({ kind: 'route6', key: text, reason: 'the data plane has no source-specific routes', differs: true });
  }
  if (ns.routes6.sources.uncounted > 0) {
    const key = `${ns.routes6.sources.uncounted} notices of further source-specific routes`;
    rows.push({ kind: 'route6', key, reason: 'too many to list', differs: true });
  }
  if (ns.routes4.tosEntries > 0) {
    const t = ns.routes4.prefixes;
    t.forEach((record) => {
      for (let e = t.head[record] as number; e !== 0 && rows.length < MOST_ROWS; e = t.next[e] as number) {
        const tos = routeTosOf(t.info[e] as number);
        if (tos === 0) continue;
        const key = `${prefixText(t, record)} tos 0x${tos.toString(16)} table ${t.table[record]}`;
        rows.push({ kind: 'route4', key, reason: 'the data plane does not look at tos', differs: true });
      }
    });
  }
  rows.push(...equalDefaults(ns), ...mixedMetrics(ns, MOST_ROWS - rows.length));
  for (const p of ns.pathsets.all()) {
    if (p.refs === 0 || rows.length >= MOST_ROWS) continue;
    const legs = legsOf(ns, p);
    for (const leg of legs === 'blackhole' ? [] : legs) {
      if (canEncapsulate(leg)) continue;
      const name = ENCAPS[leg.encapType] ?? 'more labels than one leg can have';
      const key = `routes with encap ${name} dev ${devName(ns, leg.ifindex)}`;
      if (!rows.some((r) => r.key === key)) {
        rows.push({
          kind: 'encap',
          key,
          reason: 'the data plane has no such encapsulation',
          differs: unpaired !== 'punt',
        });
      }
    }
  }
  for (const n of ns.nexthops.byId.values()) {
    if (n.resilient === undefined || rows.length >= MOST_ROWS) continue;
    const reason = "flows are spread by weight, not by the kernel's buckets";
    rows.push({ kind: 'nexthop', key: `nexthop id ${n.id} type resilient`, reason, differs: false });
  }
  return rows;
};
