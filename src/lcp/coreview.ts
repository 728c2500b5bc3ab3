// CoreView: the View that the doors ask, answered from the three states. Nothing here changes state.

import { LcpError } from '../lib/errors.ts';
import { type Core, openWork, type StateChanges } from './core.ts';
import type { MessageRow, TracedPacket } from './dataplane.ts';
import { diff } from './diff.ts';
import { failureRows, routeHint } from './failures.ts';
import { lookupRows } from './lookup.ts';
import { routeRows } from './routerows.ts';
import {
  addressRows,
  adjacencyRows,
  counterRows,
  hostName,
  interfaceRows,
  linkRows,
  neighbourRows,
  nexthopRows,
  pairRows,
  puntRows,
} from './show.ts';
import { mrouteRows, ruleRows, subifRows, unsupportedRows } from './showmore.ts';
import { unhonouredRows } from './unhonoured.ts';
import type {
  HealthRow,
  LookupRequest,
  NamespaceStatusRow,
  PlanResult,
  RouteFilter,
  StatusRow,
  TracePacket,
  TraceRequest,
  View,
  WaitSyncedResult,
  WatchEvent,
} from './view.ts';

const POLL_MS = 5;
const TRACE_POLL_MS = 50;
/** What one trace request may record in full. */
const MOST_ARMED = 1_000_000;
/** Packets of the past that one request looks through. */
const MOST_RECORDED = 65_536;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface ViewParts {
  readonly core: Core;
  readonly changes: StateChanges;
  readonly version: string;
  readonly startedAt: number;
  readonly plan: (configText: string) => PlanResult;
  readonly reload: () => PlanResult;
}

/** 'ok', or what is wrong and for how long: the one place from which health is told. */
export const health = (core: Core): HealthRow => {
  const { delta, namespaces, pairs } = core.reconciler;
  const failures = delta.failures();
  let routes = 0;
  let failedRoutes = 0;
  let waiting = 0;
  for (const ns of namespaces.values()) {
    for (const { prefixes } of ns.routes) {
      routes += prefixes.recordCount;
      failedRoutes += prefixes.failedCount;
      waiting += prefixes.dirtyCount;
    }
  }
  let pendingPairs = 0;
  for (const spec of pairs.specs()) if (pairs.reason(spec.phy) !== '') pendingPairs++;
  const unwritten = core.reconciler.upward.failures();
  const failed = failures.length + failedRoutes + unwritten.length;
  const up = core.dataplane.info().state === 'up' && core.reconciler.adopted;
  const told = [
    ...failures.flatMap(({ failure }) => failure ?? []),
    ...unwritten.map((each) => ({ ...each, hint: '' })),
  ];
  const oldest = told.sort((a, b) => a.since - b.since)[0];
  const hint = oldest === undefined ? (failedRoutes > 0 ? routeHint(core) : undefined) : oldest.hint || oldest.message;
  return {
    state: !up ? 'starting' : failed > 0 ? 'degraded' : 'ok',
    objects: delta.desiredCount + routes,
    failed,
    pending:
      delta.openCount + failedRoutes + waiting + pendingPairs + unwritten.length + core.reconciler.upward.flights,
    ...(oldest === undefined ? {} : { oldestMs: core.now() - oldest.since }),
    ...(hint === undefined ? {} : { hint }),
  };
};

export class CoreView implements View {
  readonly #parts: ViewParts;
  readonly #core: Core;

  constructor(parts: ViewParts) {
    this.#parts = parts;
    this.#core = parts.core;
  }

  status(): StatusRow {
    const info = this.#core.dataplane.info();
    const { count, lastMs, maxMs, operations, failed } = this.#core.reconciler.stats;
    const { stats } = this.#core.reconciler.routes;
    return {
      version: this.#parts.version,
      pid: process.pid,
      uptimeMs: Math.round(this.#core.now() - this.#parts.startedAt),
      health: health(this.#core),
      dataplane: { ...info, state: info.state === 'up' ? 'up' : 'connecting' },
      namespaces: [...this.#core.sources.values()].map((source) => this.#namespaceRow(source.ns.name)),
      rounds: { count, lastMs, maxMs, operations: operations + stats.routes, failed: failed + stats.failed },
    };
  }

  messages(): MessageRow[] {
    const { dataplane } = this.#core;
    if (dataplane.messages !== undefined) return dataplane.messages();
    const message = `the ${dataplane.name} data plane is not spoken with by messages`;
    throw new LcpError('NOT_SUPPORTED', { op: 'show messages', message, hint: 'they are those of driver vpp' });
  }

  #namespaceRow(name: string): NamespaceStatusRow {
    const source = this.#core.sources.get(name);
    if (source === undefined) throw new LcpError('NO_SUCH_NETNS', { op: 'show', key: name });
    const { ns, counters, lastResync } = source;
    return {
      name,
      state: ns.state,
      routes4: ns.routes4.prefixes.entryCount,
      routes6: ns.routes6.prefixes.entryCount,
      routesMpls: ns.routesMpls.prefixes.entryCount,
      mroutes: ns.mroutes.byKey.size,
      unsupported: unhonouredRows(ns).length,
      neighbours: ns.neighbours.size,
      links: ns.links.size,
      messages: counters.messages,
      overruns: counters.losses,
      resyncs: counters.resyncs,
      ...(lastResync === undefined ? {} : { lastResync }),
      drops: counters.malformed,
    };
  }

  pairs() {
    return pairRows(this.#core);
  }
  links() {
    return linkRows(this.#core);
  }
  addresses() {
    return addressRows(this.#core);
  }
  neighbours() {
    return neighbourRows(this.#core);
  }
  nexthops() {
    return nexthopRows(this.#core);
  }
  rules() {
    return ruleRows(this.#core);
  }
  subifs() {
    return subifRows(this.#core);
  }
  mroutes() {
    return mrouteRows(this.#core);
  }
  unsupported() {
    return unsupportedRows(this.#core);
  }
  routes(filter: RouteFilter) {
    return routeRows(this.#core, filter);
  }
  adjacencies() {
    return adjacencyRows(this.#core);
  }
  interfaces() {
    return interfaceRows(this.#core);
  }
  counters(request: { all?: boolean }) {
    return counterRows(this.#core, request.all === true);
  }
  punts() {
    return puntRows(this.#core);
  }
  failures() {
    return failureRows(this.#core);
  }
  lookup(request: LookupRequest) {
    return lookupRows(this.#core, request);
  }
  diff() {
    return diff(this.#core);
  }
  plan(request: { configText: string }) {
    return this.#parts.plan(request.configText);
  }
  reload() {
    return this.#parts.reload();
  }

  async waitSynced(request: { timeoutMs: number }, signal: AbortSignal): Promise<WaitSyncedResult> {
    const started = this.#core.now();
    let calm = 0;
    for (;;) {
      // notices of what the caller did before asking are in our sockets: let them be read first, and
      // believe a calm only when a second look sees it too
      await sleep(POLL_MS);
      const pending = openWork(this.#core);
      calm = pending.length === 0 ? calm + 1 : 0;
      const ms = Math.round(this.#core.now() - started);
      if (calm >= 2) return { synced: true, ms, pending: [] };
      if (ms >= request.timeoutMs || signal.aborted) return { synced: false, ms, pending };
    }
  }

  watch(onEvent: (event: WatchEvent) => void): () => void {
    return this.#parts.changes.watch(onEvent);
  }

  async trace(request: TraceRequest, onPacket: (packet: TracePacket) => void, signal: AbortSignal): Promise<void> {
    const { dataplane } = this.#core;
    const deadline = request.timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.#core.now() + request.timeoutMs;
    const count = request.count ?? Number.POSITIVE_INFINITY;
    const seen = this.#recorded();
    let after = seen.at(-1)?.seq ?? 0;
    // the last ones that are there already; with all, what comes from now on, each of it
    const past = request.all === true ? [] : seen.slice(-Math.min(count, seen.length));
    for (const packet of past) onPacket(this.#packet(packet));
    let left = count - past.length;
    let arm = request.all === true ? Math.min(left, MOST_ARMED) : 0;
    while (!signal.aborted && left > 0 && this.#core.now() < deadline) {
      const packets = dataplane.traces(after, arm);
      arm = 0;
      for (const packet of packets) {
        after = packet.seq;
        if (left-- <= 0) return;
        onPacket(this.#packet(packet));
      }
      if (packets.length === 0) await sleep(TRACE_POLL_MS);
    }
  }

  /** Everything in the data plane's ring, oldest first. */
  #recorded(): TracedPacket[] {
    const all: TracedPacket[] = [];
    for (;;) {
      const more = this.#core.dataplane.traces(all.at(-1)?.seq ?? 0, 0);
      if (more.length === 0) return all;
      all.push(...more);
      if (all.length >= MOST_RECORDED) return all;
    }
  }

  #packet(p: TracedPacket): TracePacket {
    const { reconciler } = this.#core;
    const host = hostName(this.#core, p.inPhy);
    const dash = p.fate.indexOf('-');
    const punted = !p.fromHost && p.fate.startsWith('punt-');
    const tx = punted ? host : p.outPhy;
    const path = [p.fromHost ? 'host-rx' : 'phy-rx'];
    if (p.tableHandle !== 0) path.push(`table ${p.tableHandle}`);
    if (p.target !== 0) path.push(`path-set ${p.target}`);
    if (p.adjacency !== 0) path.push(`adjacency ${p.adjacency}`);
    path.push(p.fate);
    return {
      time: Number(p.timeNs / 1000n) / 1000,
      rx: p.fromHost ? host : p.inPhy,
      ...(tx === '' ? {} : { tx }),
      action: dash < 0 ? p.fate : p.fate.slice(0, dash),
      ...(dash < 0 ? {} : { reason: p.fate.slice(dash + 1) }),
      path,
      layer: reconciler.pairs.spec(p.inPhy)?.type === 'tun' ? 'ip' : 'ethernet',
      length: p.length,
      bytes: Buffer.from(p.bytes).toString('base64'),
    };
  }

  resync(request: { netns?: string; dataplane?: boolean }) {
    if (request.dataplane === true) {
      const { dataplane } = this.#core;
      if (dataplane.readAgain === undefined) {
        const message = `nobody but lcpd writes to the data plane ${dataplane.name}`;
        throw new LcpError('NOT_SUPPORTED', {
          op: 'resync',
          key: 'dataplane',
          message,
          hint: 'lcpctl diff compares it',
        });
      }
      dataplane.readAgain('read again, asked for by lcpctl');
      return { namespaces: [], dataplane: dataplane.name };
    }
    const names = request.netns === undefined ? [...this.#core.sources.keys()] : [request.netns];
    for (const name of names) {
      const source = this.#core.sources.get(name);
      if (source === undefined) throw new LcpError('NO_SUCH_NETNS', { op: 'resync', key: name });
      source.resync('asked for by lcpctl');
    }
    return { namespaces: names };
  }
}
