// Diff: re-reads kernel and data plane and compares: fresh kernel with mirror, mirror's wishes with data plane.
//
// The only place that does not believe the state it keeps. Differences that exist because something is
// on its way go away by themselves, so a comparison that finds some is repeated a few times.

import type { Mroute as KernelMroute } from '../netlink/mroute.ts';
import { NUD_VALID } from '../netlink/neighbour.ts';
import { ruleText } from '../netlink/rule.ts';
import { IFA_F_TENTATIVE, RT_TABLE_LOCAL, RTN_UNICAST, RTNH_F_DEAD } from '../netlink/uapi.ts';
import { type Core, openWork } from './core.ts';
import { ROUTE_WORDS } from './dataplane.ts';
import { usable } from './derive.ts';
import type { Namespace } from './namespace.ts';
import { FIRST_HANDLE, KINDS, keyOf, type LcpObject, MPLS, pathsText, SPECIAL_NAMES, sameObject } from './objects.ts';
import { HEAD_WORDS, LEG_OWN_GATEWAY, LEG_WORDS, type PathSet } from './pathsets.ts';
import { type PrefixTable, routeProtocolOf, routeTypeOf } from './prefixtable.ts';
import { prefixText } from './routerows.ts';
import type { Routes } from './routes.ts';
import { unhonouredRows } from './unhonoured.ts';
import type { DifferenceRow, DiffResult } from './view.ts';

/** The kernel tells a change of carrier up to a second after its dumps show it (linkwatch). */
const TRIES = 15;
const PAUSE_MS = 100;
/** How long rounds that go on are waited for. */
const MOST_WAIT_MS = 30_000;
/** Rows that are enough to see what is wrong. */
const MOST_ROWS = 1000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A growing list of differences that stops growing. */
class Findings {
  readonly rows: DifferenceRow[] = [];
  /** Rows that time does not mend: the data plane cannot follow. */
  unsupported = 0;
  readonly checked: Record<string, number> = {};
  count(kind: string, n = 1): void {
    this.checked[kind] = (this.checked[kind] ?? 0) + n;
  }
  add(row: DifferenceRow): void {
    if (this.rows.length < MOST_ROWS) this.rows.push(row);
  }
}

/** Legs with what they are worth: dumps show a leg without carrier as dead where that counts, notices do not follow. */
const setText = (ns: Namespace, p: PathSet | undefined): string => {
  if (p === undefined) return '';
  if (p.nhId !== 0) return `nhid ${p.nhId}`;
  const legs = p.legs.map((leg) => {
    const told = leg.flags & ~LEG_OWN_GATEWAY; // that is remembered, and no dump shows it
    const flags = usable(ns, leg, p) ? told & ~RTNH_F_DEAD : told | RTNH_F_DEAD;
    return [leg.ifindex, leg.weight, flags, leg.gatewayFamily, leg.encapType, ...leg.gateway].join(' ');
  });
  return [p.prefsrc, ...legs, ...p.words.subarray(HEAD_WORDS + p.legs.length * LEG_WORDS)].join(' ');
};

/** Each leg of an IPv6 multipath route has a protocol, and a message shows that of one. */
const hasOneProtocol = (p: PathSet | undefined): boolean => p?.family !== 6 || (p.legs[0]?.gatewayFamily ?? 0) === 0;

/** What the kernel has for a prefix, as text: one part an entry. */
const chainText = (ns: Namespace, routes: Routes, record: number): string => {
  const t = routes.prefixes;
  const parts: string[] = [];
  for (let e = t.head[record] as number; e !== 0; e = t.next[e] as number) {
    if (routes.hidden.isHidden(e, record)) continue;
    const info = t.info[e] as number;
    const p = ns.pathsets.get(t.pathset[e] as number);
    const protocol = hasOneProtocol(p) ? ` proto ${routeProtocolOf(info)}` : '';
    const part = `type ${routeTypeOf(info)}${protocol} metric ${t.priority[e]} [${setText(ns, p)}]`;
    // of twins that `replace` has made, a first dump cannot tell whether it repeats itself
    if (parts.at(-1) !== part || routes.family !== 6) parts.push(part);
  }
  return parts.join('; ');
};

const routeKind = (r: Routes): string => (r.family === MPLS ? 'mpls route' : `route${r.family}`);

const findIn = (t: Routes['prefixes'], other: Routes['prefixes'], record: number): number => {
  const a = record * t.words;
  const words = t.words === 1 ? [t.addr[a] as number] : [...t.addr.subarray(a, a + 4)];
  const [a0 = 0, a1 = 0, a2 = 0, a3 = 0] = words;
  return other.find(t.table[record] as number, t.plen[record] as number, a0, a1, a2, a3);
};

const compareRoutes = (fresh: Namespace, mirror: Namespace, f: Findings): void => {
  for (const a of fresh.routes) {
    const b = mirror.routesOf(a.family);
    const kind = `kernel ${routeKind(a)}`;
    const key = (r: Routes, record: number) =>
      `${mirror.name} table ${r.prefixes.table[record]} ${prefixText(r.prefixes, record)}`;
    a.prefixes.forEach((record) => {
      f.count(kind);
      const kernel = chainText(fresh, a, record);
      const found = findIn(a.prefixes, b.prefixes, record);
      const mirrored = found === 0 ? '' : chainText(mirror, b, found);
      if (kernel !== mirrored) {
        f.add({ kind, key: key(a, record), kernel, desired: mirrored, reason: 'the mirror differs from the kernel' });
      }
    });
    b.prefixes.forEach((record) => {
      if (b.prefixes.head[record] === 0 || findIn(b.prefixes, a.prefixes, record) !== 0) return;
      const mirrored = chainText(mirror, b, record);
      f.add({ kind, key: key(b, record), desired: mirrored, reason: 'the kernel has no such route' });
    });
  }
};

const compareMaps = <K, V>(
  kind: string,
  netns: string,
  fresh: ReadonlyMap<K, V>,
  mirror: ReadonlyMap<K, V>,
  text: (value: V) => string,
  f: Findings,
): void => {
  for (const [key, value] of fresh) {
    f.count(kind);
    const kernel = text(value);
    const known = mirror.get(key);
    const mirrored = known === undefined ? '' : text(known);
    if (kernel !== mirrored) {
      f.add({ kind, key: `${netns} ${key}`, kernel, desired: mirrored, reason: 'the mirror differs from the kernel' });
    }
  }
  for (const [key, value] of mirror) {
    if (!fresh.has(key)) f.add({ kind, key: `${netns} ${key}`, desired: text(value), reason: 'the kernel has none' });
  }
};

const compareKernel = (fresh: Namespace, mirror: Namespace, f: Findings): void => {
  const n = mirror.name;
  compareMaps(
    'kernel link',
    n,
    fresh.links,
    mirror.links,
    (l) => `${l.name} ${l.flags & 0x10001} ${l.mtu} ${l.mac ?? ''}`,
    f,
  );
  // a tentative address is dumped but told only once its duplicate address detection is done
  const settled = (ns: Namespace) => new Map([...ns.addresses].filter(([, a]) => (a.flags & IFA_F_TENTATIVE) === 0));
  compareMaps('kernel address', n, settled(fresh), settled(mirror), (a) => `${a.local}/${a.prefixlen} ${a.scope}`, f);
  // only what a data plane could hold: changes among the usable states are none, and the kernel makes
  // entries for multicast and local addresses without telling
  const usable = (ns: Namespace) =>
    new Map([...ns.neighbours].filter(([, v]) => (v.state & NUD_VALID) !== 0 && v.type === RTN_UNICAST));
  compareMaps('kernel neighbour', n, usable(fresh), usable(mirror), (v) => v.lladdr ?? '', f);
  compareMaps(
    'kernel nexthop',
    n,
    fresh.nexthops.byId,
    mirror.nexthops.byId,
    (v) => JSON.stringify([v.oif, v.gateway, v.group, v.blackhole, v.labels]),
    f,
  );
  compareMaps('kernel rule', n, fresh.rules.byKey, mirror.rules.byKey, (r) => ruleText(r), f);
  // the counters of an entry are told in dumps only
  const entry = (m: KernelMroute) => JSON.stringify([m.iif, m.oifs, m.unresolved]);
  compareMaps('kernel mroute', n, fresh.mroutes.byKey, mirror.mroutes.byKey, entry, f);
  compareRoutes(fresh, mirror, f);
};

/** What the kernel has and no data plane of ours can follow. */
const findUnhonoured = (core: Core, f: Findings): void => {
  for (const ns of core.reconciler.namespaces.values()) {
    for (const { kind, key, reason, differs } of unhonouredRows(ns, core.reconciler.pairs.unpairedRoutes)) {
      if (!differs) continue;
      f.unsupported++;
      f.add({ kind, key: `${ns.name} ${key}`, reason: `unsupported: ${reason}` });
    }
  }
};

const targetText = (core: Core, target: number): string => {
  if (target < FIRST_HANDLE) return SPECIAL_NAMES[target] ?? String(target);
  const paths = core.dataplane.paths(target);
  return paths === undefined
    ? `path set ${target} (gone)`
    : paths.map((p) => `${p.via || 'attached'} ${p.phy || 'punt'} ${p.weight}`).join(', ');
};

/** Whether table local has a route for the prefix of another table's record. */
const isBelowLocal = (t: PrefixTable, record: number): boolean => {
  const [a0 = 0, a1 = 0, a2 = 0, a3 = 0] = t.addr.subarray(record * t.words, (record + 1) * t.words);
  const plen = t.plen[record] as number;
  return t.table[record] !== RT_TABLE_LOCAL && t.find(RT_TABLE_LOCAL, plen, a0, a1, a2, a3) !== 0;
};

/** What the data plane holds for a namespace's routes against what the mirror wants there. */
const compareActualRoutes = async (core: Core, ns: Namespace, f: Findings): Promise<void> => {
  const r = core.reconciler;
  for (const routes of ns.routes) {
    const kind = routeKind(routes);
    const t = routes.prefixes;
    const seen = new Set<number>();
    const wanted = (record: number): number => {
      const desired = r.routes.desired(ns, routes, record);
      return typeof desired === 'number' ? desired : desired.handle;
    };
    for (const row of r.delta.rows('table')) {
      const table = row.actual;
      if (table?.kind !== 'table' || table.netns !== ns.name || table.family !== routes.family) continue;
      await core.dataplane.dumpRoutes(row.handle, routes.family, (batch) => {
        for (let i = 0; i < batch.count; i++) {
          f.count(kind);
          const w = batch.words.subarray(i * ROUTE_WORDS, (i + 1) * ROUTE_WORDS);
          const plen = (w[2] as number) & 0xff;
          const [, target = 0, , a0 = 0, a1 = 0, a2 = 0, a3 = 0] = w;
          const record = t.find(table.table, plen, a0, ...(t.words === 4 ? [a1, a2, a3] : []));
          const desired = record === 0 ? 0 : wanted(record);
          if (record !== 0) seen.add(record);
          if (desired === target) continue;
          // one without path sets of its own tells equal ones by one handle
          const alike = !core.dataplane.sharedPathSets && targetText(core, desired) === targetText(core, target);
          if (alike) continue;
          const key = `${ns.name} table ${table.table} ${record === 0 ? `? /${plen}` : prefixText(t, record)}`;
          f.add({
            kind,
            key,
            desired: targetText(core, desired),
            actual: targetText(core, target),
            reason: 'another target',
          });
        }
      });
    }
    t.forEach((record) => {
      if (seen.has(record)) return;
      const desired = wanted(record);
      if (desired === 0 || (core.dataplane.mergesLocal && isBelowLocal(t, record))) return;
      const key = `${ns.name} table ${t.table[record]} ${prefixText(t, record)}`;
      f.add({ kind, key, desired: targetText(core, desired), reason: 'not in the data plane' });
    });
  }
};

const compareActualObjects = async (core: Core, f: Findings): Promise<void> => {
  const held = new Map<string, LcpObject>();
  const setsByHandle = new Map<number, string>();
  for (const { object, handle } of await core.dataplane.dump()) {
    if (object.kind === 'pathset') setsByHandle.set(handle ?? 0, pathsText(object.paths));
    else held.set(`${object.kind} ${keyOf(object)}`, object);
  }
  for (const kind of KINDS.filter((k) => k !== 'link')) {
    for (const row of core.reconciler.delta.rows(kind)) {
      const { desired } = row;
      if (desired === undefined || (desired.kind === 'pair' && desired.phyIfindex === 0)) continue;
      f.count(kind);
      const key = `${kind} ${row.key}`;
      const actual = held.get(key);
      held.delete(key);
      const same =
        desired.kind === 'pathset'
          ? setsByHandle.get(row.handle) === pathsText(desired.paths)
          : actual !== undefined && sameObject(desired, actual);
      if (same) continue;
      const reason =
        row.failure?.message ?? (actual === undefined ? 'not in the data plane' : 'the data plane has another');
      f.add({
        kind,
        key: row.key,
        desired: JSON.stringify(desired),
        ...(actual ? { actual: JSON.stringify(actual) } : {}),
        reason,
      });
    }
  }
  for (const object of held.values()) {
    f.add({ kind: object.kind, key: keyOf(object), actual: JSON.stringify(object), reason: 'nobody wants it' });
  }
};

const compare = async (core: Core): Promise<Findings> => {
  const f = new Findings();
  for (const source of core.sources.values()) {
    const fresh = await source.snapshot();
    if (fresh !== undefined) compareKernel(fresh, source.ns, f);
  }
  findUnhonoured(core, f);
  await compareActualObjects(core, f);
  for (const ns of core.reconciler.namespaces.values()) await compareActualRoutes(core, ns, f);
  return f;
};

/** Every difference between kernel, mirror and data plane. */
export const diff = async (core: Core): Promise<DiffResult> => {
  const started = core.now();
  let f = await compare(core);
  let open = openWork(core);
  for (let i = 1; i < TRIES && f.rows.length - f.unsupported + open.length > 0; i++) {
    await sleep(PAUSE_MS);
    while (core.pipeline.running && core.now() - started < MOST_WAIT_MS) await sleep(PAUSE_MS);
    f = await compare(core);
    open = openWork(core);
  }
  for (const reason of open) f.add({ kind: 'state', key: 'open', reason });
  return { differences: f.rows, checked: f.checked, ms: Math.round(core.now() - started) };
};
