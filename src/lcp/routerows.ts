// RouteRows: routes as lcpctl shows them: every kernel entry, which one is best, what the data plane holds.

import { AF_INET, AF_INET6, formatWords, parsePrefix } from '../lib/ip.ts';
import { nameOr, PROTOCOL_NAMES, ROUTE_TYPE_NAMES } from '../netlink/names.ts';
import * as k from '../netlink/uapi.ts';
import type { Core } from './core.ts';
import { isKernels, legsOf, pathOf, specialOf, viaOf } from './derive.ts';
import type { Namespace } from './namespace.ts';
import { MPLS } from './objects.ts';
import type { Pairs } from './pairs.ts';
import type { PathSet } from './pathsets.ts';
import type { PrefixTable } from './prefixtable.ts';
import { routeProtocolOf, routeTosOf, routeTypeOf } from './prefixtable.ts';
import type { Routes } from './routes.ts';
import { devName } from './show.ts';
import type { PathRow, RouteFilter, RouteRow } from './view.ts';

/** The label in the upper 20 bits of a word loaded from network-order bytes. */
const labelOf = (word: number): number =>
  (((word & 0xff) << 12) | ((word & 0xff00) >>> 4) | ((word >>> 20) & 0xf)) >>> 0;

const FAMILY_NAMES = { 4: 'inet', 6: 'inet6', [MPLS]: 'mpls' } as const;

/** Prefix of a record in canonical text, a label in decimal. */
export const prefixText = (t: PrefixTable, record: number): string => {
  if (t.family === MPLS) return String(labelOf(t.addr[record] as number));
  const a = record * t.words;
  const address =
    t.words === 1
      ? formatWords(AF_INET, t.addr[a] as number)
      : formatWords(AF_INET6, t.addr[a] as number, t.addr[a + 1], t.addr[a + 2], t.addr[a + 3]);
  return `${address}/${t.plen[record]}`;
};

/** Legs of a path set as the kernel would print them. */
export const pathRows = (ns: Namespace, pairs: Pairs, p: PathSet | undefined): PathRow[] => {
  if (p === undefined) return [];
  const legs = legsOf(ns, p);
  if (legs === 'blackhole') return [];
  return legs.map((leg) => {
    const flags: string[] = [];
    const link = ns.links.get(leg.ifindex);
    if ((leg.flags & k.RTNH_F_ONLINK) !== 0) flags.push('onlink');
    if ((leg.flags & k.RTNH_F_DEAD) !== 0 || ((link?.flags ?? 0) & k.IFF_UP) === 0) flags.push('dead');
    if (((link?.flags ?? 0) & k.IFF_LOWER_UP) === 0) flags.push('linkdown');
    const via = viaOf(leg);
    return {
      ...(via === '' ? {} : { via }),
      dev: devName(ns, leg.ifindex),
      weight: leg.weight,
      ...(flags.length === 0 ? {} : { flags }),
      ...(leg.labels === undefined || leg.labels.length === 0 ? {} : { labels: [...leg.labels] }),
      ...(isKernels(pathOf(ns, pairs, leg, p.family)) ? { punted: true } : {}),
    };
  });
};

const whyNot = (core: Core, ns: Namespace, routes: Routes, record: number, entry: number, best: number): string => {
  const t = routes.prefixes;
  if (routes.family === 4 && routeTosOf(t.info[entry] as number) !== 0) return 'has a tos';
  if (t.isFailed(record)) return 'refused by the data plane: see lcpctl show failures';
  if (entry !== best) return best === 0 ? 'no leg is usable' : 'another route to the prefix is preferred';
  const p = ns.pathsets.get(t.pathset[entry] as number);
  const failure = p === undefined ? undefined : core.reconciler.delta.row('pathset', `${ns.name}#${p.id}`)?.failure;
  return failure?.message ?? 'on its way';
};

const matches = (
  t: PrefixTable,
  record: number,
  inside: { bytes: Uint8Array; length: number } | undefined,
): boolean => {
  if (inside === undefined) return true;
  if ((t.plen[record] as number) < inside.length) return false;
  for (let bit = 0; bit < inside.length; bit += 8) {
    const byte = bit >> 3;
    const mask = inside.length - bit >= 8 ? 0xff : (0xff << (8 - (inside.length - bit))) & 0xff;
    const word = t.addr[record * t.words + (byte >> 2)] as number;
    if (((word >>> ((byte & 3) * 8)) & 0xff & mask) !== ((inside.bytes[byte] as number) & mask)) return false;
  }
  return true;
};

/** Pulls rows one by one, so a slow client slows the walk; routes may change between two of them. */
export function* routeRows(core: Core, filter: RouteFilter): Iterable<RouteRow> {
  const inside = filter.prefix === undefined ? undefined : parsePrefix(filter.prefix);
  let left = filter.limit ?? Number.POSITIVE_INFINITY;
  for (const ns of core.reconciler.namespaces.values()) {
    if (filter.netns !== undefined && filter.netns !== ns.name) continue;
    for (const routes of ns.routes) {
      if (filter.family !== undefined && filter.family !== FAMILY_NAMES[routes.family]) continue;
      if (inside !== undefined && (inside.family === AF_INET ? 4 : 6) !== routes.family) continue;
      const t = routes.prefixes;
      for (let record = 1; record < t.recordEnd; record++) {
        if (!t.isLive(record)) continue;
        if (filter.table !== undefined && t.table[record] !== filter.table) continue;
        if (!matches(t, record, inside)) continue;
        const best = core.reconciler.routes.best(ns, routes, record);
        for (let e = t.head[record] as number; e !== 0; e = t.next[e] as number) {
          if (left-- <= 0) return;
          const info = t.info[e] as number;
          const p = ns.pathsets.get(t.pathset[e] as number);
          const desired = core.reconciler.routes.desired(ns, routes, record);
          const target = typeof desired === 'number' ? desired : desired.handle;
          const installed = e === best && target !== 0 && t.actual[record] === target;
          const protocol = routeProtocolOf(info);
          yield {
            netns: ns.name,
            table: t.table[record] as number,
            prefix: prefixText(t, record),
            type: nameOr(ROUTE_TYPE_NAMES, routeTypeOf(info)),
            protocol: nameOr(PROTOCOL_NAMES, protocol),
            metric: t.priority[e] as number,
            paths: specialOf(info) === 0 || (p?.legs.length ?? 0) > 0 ? pathRows(ns, core.reconciler.pairs, p) : [],
            installed,
            best: e === best,
            ...(installed ? {} : { reason: whyNot(core, ns, routes, record, e, best) }),
          };
        }
      }
    }
  }
}
