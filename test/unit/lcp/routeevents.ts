// RouteEvents: rtnetlink notices and dumps of one prefix, played on Routes, and what is left of them in text.
//
// Invariants: an entry is shown as "metric:legs", best first; a leg as "gateway%ifindex labels dead".

import { expect } from 'vitest';
import { PathSets } from '../../../src/lcp/pathsets.ts';
import { routeTypeOf } from '../../../src/lcp/prefixtable.ts';
import { Routes } from '../../../src/lcp/routes.ts';
import { formatWords, parsePrefix, wordsOf } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type RouteText, routeMessage } from './kernelbytes.ts';

export const { NLM_F_CREATE: CREATE, NLM_F_EXCL: EXCL, NLM_F_REPLACE: REPLACE, NLM_F_APPEND: APPEND } = k;

export type Event =
  | readonly ['new', RouteText, flags?: number]
  | readonly ['dump', RouteText, flags?: number, datagram?: number]
  | readonly ['del', RouteText]
  | readonly ['begin', oif?: number]
  | readonly ['sweep', scope?: { oif?: number; table?: number }, heardAll?: boolean];

/** Plays events on one prefix table and shows what is left, best first. */
export const play = (family: 4 | 6, dst: string, events: readonly Event[]): string[] => {
  const sets = new PathSets();
  const routes = new Routes(family, sets);
  let epoch = 1;
  let oif: number | undefined;
  for (const [what, ...args] of events) {
    if (what === 'begin') {
      epoch++;
      oif = args[0] as number | undefined;
    } else if (what === 'sweep') {
      routes.sweep((args[0] as { oif?: number } | undefined) ?? {}, epoch, args[1] as boolean | undefined);
    } else if (what === 'del') routes.remove(routeMessage(args[0] as RouteText), epoch);
    else
      routes.add(
        routeMessage(args[0] as RouteText),
        (args[1] as number | undefined) ?? CREATE | EXCL,
        what === 'dump' ? ((args[2] as number | undefined) ?? 1) : 0,
        epoch,
        oif,
      );
  }
  let used = 0;
  for (const p of sets.all()) used += p.refs;
  expect(used, 'every entry holds its path set').toBe(routes.prefixes.entryCount);
  return shown(routes, sets, dst);
};

export const shown = (routes: Routes, sets: PathSets, dst: string, table: number = k.RT_TABLE_MAIN): string[] => {
  const t = routes.prefixes;
  const prefix = parsePrefix(dst);
  const [a0 = 0, a1 = 0, a2 = 0, a3 = 0] = wordsOf(prefix?.bytes ?? new Uint8Array(4));
  const out: string[] = [];
  for (let e = t.head[t.find(table, prefix?.length ?? 0, a0, a1, a2, a3)] as number; e !== 0; e = t.next[e] as number) {
    const p = sets.get(t.pathset[e] as number);
    const legs = (p?.legs ?? []).map(
      (l) =>
        `${l.gatewayFamily === 0 ? '' : formatWords(l.gatewayFamily, ...l.gateway)}%${l.ifindex}` +
        `${l.labels === undefined ? '' : ` ${l.labels.join('/')}`}` +
        `${(l.flags & k.RTNH_F_DEAD) === 0 ? '' : ' dead'}`,
    );
    const type = routeTypeOf(t.info[e] as number);
    const what = type !== k.RTN_UNICAST ? `type${type}` : p?.nhId ? `nh${p.nhId}` : legs.join('+');
    out.push(`${t.priority[e]}:${what}`);
  }
  return out;
};

export const D4 = '10.0.0.0/8';
export const v4 = (gateway: string, more: Partial<RouteText> & { oif?: number } = {}): RouteText => {
  const { oif = 1, ...rest } = more;
  return { dst: D4, legs: [{ oif, gateway }], ...rest };
};
export const [A, B, C] = ['1.1.1.1', '1.1.1.2', '1.1.1.3'];
export const D6 = 'fd00::/16';
export const v6 = (gateways: readonly string[], more: Partial<RouteText> & { oif?: number } = {}): RouteText => {
  const { oif = 1, ...rest } = more;
  return { dst: D6, priority: 20, legs: gateways.map((gateway) => ({ oif, gateway })), ...rest };
};
export const attached = (oif: number, more: Partial<RouteText> = {}): RouteText => ({
  dst: D6,
  priority: 256,
  legs: [{ oif }],
  ...more,
});
