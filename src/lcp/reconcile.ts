// Reconciler: one round brings the data plane from what it holds to what it should hold.
//
//   derive dirty keys ─► deletes (kinds reversed) ─► pairs ─► tables, links, neighbours ─► path sets
//                        and routes in the order of their changes ─► path sets nobody uses
//
// Level-triggered and repeatable: a start, a restart of the data plane and an overrun are all "refresh
// one copy, then a round". Nothing is sent before every namespace has been read once or found absent,
// so nothing is deleted for want of knowledge. One round runs at a time; it may be cut off anywhere.

import type { DataPlane, Operation, OperationResult } from './dataplane.ts';
import { DeltaTable, type RetryPolicy } from './delta.ts';
import { deriveLink, deriveNeighbour, LOOKUP_TABLES4, LOOKUP_TABLES6 } from './derive.ts';
import type { Namespace } from './namespace.ts';
import { type Family, type Kind, keyOf, neighbourKey, type Pair, tableKey } from './objects.ts';
import { Pairs, phyOfAlias } from './pairs.ts';
import { RouteSync } from './routesync.ts';

/** Route batches of one round before others get their turn. */
const STEPS = 8;
const ROUTES_RETRY_MS = 1000;

export interface RoundStats {
  count: number;
  lastMs: number;
  maxMs: number;
  operations: number;
  failed: number;
}

/** What the reconciler tells: state changes, not every operation. */
export interface ReconcileObserver {
  onPair(phy: string, state: string, reason: string): void;
  onRefused(operation: Operation, result: OperationResult, first: boolean): void;
  onAdopted(summary: { objects: number; routes: number; ms: number }): void;
}

export class Reconciler {
  readonly delta: DeltaTable;
  readonly pairs = new Pairs();
  readonly routes: RouteSync;
  /** By name; '' is lcpd's own. */
  readonly namespaces: Map<string, Namespace>;
  readonly stats: RoundStats = { count: 0, lastMs: 0, maxMs: 0, operations: 0, failed: 0 };
  readonly #dataplane: DataPlane;
  readonly #observer: ReconcileObserver;
  readonly #now: () => number;
  readonly #dirtyPairs = new Set<string>();
  readonly #neighbourRow = new Map<string, string>();
  #adopted = false;
  #routesRetryAt: number | undefined;

  constructor(
    dataplane: DataPlane,
    namespaces: Map<string, Namespace>,
    retry: RetryPolicy,
    observer: ReconcileObserver,
    now: () => number,
  ) {
    this.namespaces = namespaces;
    this.#dataplane = dataplane;
    this.#observer = observer;
    this.#now = now;
    this.delta = new DeltaTable(retry);
    this.routes = new RouteSync(dataplane, this.delta, this.pairs);
  }

  get #own(): Namespace {
    return this.namespaces.get('') as Namespace;
  }

  /** Whether the data plane's content has been read since it last came up. */
  get adopted(): boolean {
    return this.#adopted;
  }

  /** The data plane lost what it held, or may have. */
  lost(): void {
    this.#adopted = false;
  }

  /** A namespace appeared, vanished or was read: its tables and every pair may be different. */
  namespaceChanged(ns: Namespace): void {
    for (const table of LOOKUP_TABLES4) ns.routes4.dirtyTables.add(table);
    for (const table of LOOKUP_TABLES6) ns.routes6.dirtyTables.add(table);
    for (const spec of this.pairs.specs()) this.#dirtyPairs.add(spec.phy);
  }

  dirtyPair(phy: string): void {
    this.#dirtyPairs.add(phy);
  }

  /** Whether a round would find something to do now. */
  get isDirty(): boolean {
    if (this.#dirtyPairs.size > 0) return true;
    for (const ns of this.namespaces.values()) {
      if (ns.dirtyLinks.size + ns.dirtyNeighbours.size + ns.dirtyPathsets.size > 0) return true;
      for (const r of [ns.routes4, ns.routes6]) if (r.prefixes.dirtyCount > 0 || r.dirtyTables.size > 0) return true;
    }
    const now = this.#now();
    for (const kind of ['pair', 'table', 'link', 'neighbour', 'pathset'] as const) {
      for (const row of this.delta.open(kind)) if (row.failure === undefined || row.failure.retryAt <= now) return true;
    }
    return false;
  }

  /** Clock ms when something refused is due again, undefined when nothing waits. */
  nextRetryAt(): number | undefined {
    let routesFailed = false;
    for (const ns of this.namespaces.values()) {
      if (ns.routes4.prefixes.failedCount + ns.routes6.prefixes.failedCount > 0) routesFailed = true;
    }
    const rows = this.delta.nextRetryAt();
    // counted from the first refusal: other changes in between must not put it off
    this.#routesRetryAt = routesFailed ? (this.#routesRetryAt ?? this.#now() + ROUTES_RETRY_MS) : undefined;
    return routesFailed ? Math.min(rows ?? Number.POSITIVE_INFINITY, this.#routesRetryAt as number) : rows;
  }

  /** Puts refused prefixes back into the queue: their time has come. */
  retryRoutes(): void {
    this.#routesRetryAt = undefined;
    for (const ns of this.namespaces.values()) this.routes.retry(ns);
  }

  /** True when every namespace has been read once or is known to be absent. */
  get ready(): boolean {
    for (const ns of this.namespaces.values()) if (!ns.known) return false;
    return true;
  }

  /** Reads what the data plane holds: after a start, and whenever it came up again. */
  async adopt(): Promise<void> {
    const started = this.#now();
    const held = await this.#dataplane.dump();
    this.routes.reset(this.namespaces.values(), held);
    this.delta.adopt(held.filter((h) => h.object.kind !== 'pathset'));
    let routeCount = 0;
    for (const { object, handle } of held) {
      if (object.kind === 'pair' && object.phyIfindex !== 0) this.pairs.join(object.phy, object.netns, handle ?? 0);
      if (object.kind !== 'table' || handle === undefined) continue;
      const ns = this.namespaces.get(object.netns);
      if (ns === undefined) continue; // not ours to fill any more: the table is deleted with its routes
      const routes = object.family === 4 ? ns.routes4 : ns.routes6;
      routeCount += await this.routes.readBack(routes, object.table, handle);
    }
    this.#adoptOrphans();
    for (const spec of this.pairs.specs()) this.#dirtyPairs.add(spec.phy);
    for (const { object } of held) if (object.kind === 'pair') this.#dirtyPairs.add(object.phy);
    for (const ns of this.namespaces.values()) this.#reviewAll(ns);
    this.#deriveSmall();
    for (const ns of this.namespaces.values()) this.routes.claim(ns);
    this.#adopted = true;
    this.#observer.onAdopted({ objects: held.length, routes: routeCount, ms: this.#now() - started });
  }

  /** Hosts of ours that no port holds: of a forwarder that died, or of pairs no longer configured. */
  #adoptOrphans(): void {
    for (const ns of this.namespaces.values()) {
      for (const link of ns.links.values()) {
        const phy = phyOfAlias(link);
        if (phy === '' || this.pairs.host(phy) !== 0) continue;
        // without a port it is detached: nothing is sent over it until its pair is set
        const type = link.info?.tun?.type ?? 'tap';
        const pair: Pair = {
          kind: 'pair',
          phy,
          phyIfindex: 0,
          host: this.pairs.spec(phy)?.host ?? link.name,
          netns: ns.name,
          netnsId: ns.identity,
          type,
        };
        this.delta.hold(pair, link.ifindex);
        this.#dirtyPairs.add(phy);
      }
    }
  }

  #reviewAll(ns: Namespace): void {
    for (const ifindex of ns.links.keys()) ns.dirtyLinks.add(ifindex);
    for (const key of ns.neighbours.keys()) ns.dirtyNeighbours.add(key);
    // wished for again by what is derived from here on: path sets by the first route that needs them
    for (const kind of ['neighbour', 'pathset'] as const) {
      for (const row of [...this.delta.rows(kind)]) this.delta.want(kind, row.key, undefined);
    }
    for (const p of ns.pathsets.all()) p.resolved = -1;
    for (const f of [4, 6] as const) {
      const routes = f === 4 ? ns.routes4 : ns.routes6;
      for (const table of [...routes.tables(), ...(f === 4 ? LOOKUP_TABLES4 : LOOKUP_TABLES6)]) {
        routes.dirtyTables.add(table);
      }
    }
  }

  /** Turns dirty keys of all kinds but routes into wishes. */
  #deriveSmall(): void {
    for (const ns of this.namespaces.values()) {
      for (const ifindex of ns.dirtyLinks) this.#linkChanged(ns, ifindex);
      ns.dirtyLinks.clear();
      for (const f of [4, 6] as const) this.#deriveTables(ns, f);
    }
    for (const phy of this.#dirtyPairs) this.#derivePair(phy);
    this.#dirtyPairs.clear();
    for (const ns of this.namespaces.values()) {
      for (const key of ns.dirtyNeighbours) this.#deriveNeighbour(ns, key);
      ns.dirtyNeighbours.clear();
      this.routes.reviewPathSets(ns);
    }
  }

  #linkChanged(ns: Namespace, ifindex: number): void {
    const phy = this.pairs.phy(ns.name, ifindex);
    // neighbours over it come and go with IFF_UP
    if (phy !== '') for (const [key, n] of ns.neighbours) if (n.ifindex === ifindex) ns.dirtyNeighbours.add(key);
    // any link of our own namespace may be a phy by name, any address a source for every pair
    for (const spec of this.pairs.specs()) this.#dirtyPairs.add(spec.phy);
  }

  #deriveTables(ns: Namespace, family: Family): void {
    const routes = family === 4 ? ns.routes4 : ns.routes6;
    const always: readonly number[] = family === 4 ? LOOKUP_TABLES4 : LOOKUP_TABLES6;
    for (const table of routes.dirtyTables) {
      const wanted = ns.state !== 'absent' && (routes.entriesIn(table) > 0 || always.includes(table));
      const key = tableKey(ns.name, family, table);
      this.delta.want('table', key, wanted ? { kind: 'table', netns: ns.name, family, table } : undefined);
    }
    routes.dirtyTables.clear();
  }

  #derivePair(phy: string): void {
    const before = this.pairs.reason(phy);
    const { desired, reason } = this.pairs.derive(phy, this.#own, this.namespaces);
    const row = this.delta.row('pair', phy);
    const host = row?.handle ?? 0;
    const held = row?.actual?.kind === 'pair' ? row.actual : undefined;
    const ns = held === undefined ? undefined : this.namespaces.get(held.netns);
    // the host was deleted under us: make it again
    if (held !== undefined && desired !== undefined && ns?.state === 'in-sync' && !ns.links.has(host)) {
      this.delta.invalidate('pair', phy);
    }
    // another host instead of the one it has: that goes first, and its end brings us here again
    const moved = held !== undefined && desired !== undefined && !sameHost(held, desired);
    this.delta.want('pair', phy, moved ? undefined : desired);
    if (reason !== before) this.#observer.onPair(phy, reason === '' ? 'wanted' : 'pending', reason);
    const attached = held !== undefined && held.phyIfindex !== 0 && desired !== undefined && desired.phyIfindex !== 0;
    const link = attached && ns !== undefined ? deriveLink(phy, held.phyIfindex, ns, this.#own, host) : undefined;
    this.delta.want('link', phy, link);
    // phy and host are the kernel's too: what somebody else changed there is put right again
    if (link !== undefined) {
      const wire = this.#own.links.get(link.phyIfindex);
      const hostLink = ns?.links.get(link.hostIfindex);
      const wireUp = ((wire?.flags ?? 0) & 1) !== 0;
      const hostCarrier = ((hostLink?.flags ?? 0) & 0x10000) !== 0;
      // a host that is down reports no carrier whatever its device says
      const carrierOff = link.up && hostCarrier !== link.carrier;
      if (wire?.mtu !== link.mtu || wireUp !== link.up || carrierOff || (link.mac !== '' && wire?.mac !== link.mac)) {
        this.delta.invalidate('link', phy);
      }
    }
  }

  #deriveNeighbour(ns: Namespace, key: string): void {
    const wanted = deriveNeighbour(ns, this.pairs, key);
    const rowKey = wanted === undefined ? undefined : neighbourKey(wanted.phy, wanted.address);
    const mapKey = `${ns.name} ${key}`;
    const before = this.#neighbourRow.get(mapKey);
    if (before !== undefined && before !== rowKey) this.delta.want('neighbour', before, undefined);
    if (wanted === undefined || rowKey === undefined) {
      this.#neighbourRow.delete(mapKey);
    } else {
      this.#neighbourRow.set(mapKey, rowKey);
      this.delta.want('neighbour', rowKey, wanted);
    }
  }

  async #apply(operations: Operation[]): Promise<void> {
    if (operations.length === 0) return;
    const results = await this.#dataplane.apply(operations);
    const now = this.#now();
    operations.forEach((operation, i) => {
      const result = results[i] ?? { ok: false, code: 'REFUSED', message: 'the data plane did not answer' };
      const { object } = operation;
      const first = this.delta.row(object.kind, keyOf(object))?.failure === undefined;
      this.delta.settle(operation, result, now);
      this.stats.operations++;
      if (!result.ok) {
        this.stats.failed++;
        this.#observer.onRefused(operation, result, first);
      }
      if (object.kind === 'table' && operation.op === 'delete' && result.ok) {
        const ns = this.namespaces.get(object.netns);
        if (ns !== undefined) this.routes.tableGone(object.family === 4 ? ns.routes4 : ns.routes6, object.table);
      }
      if (object.kind === 'pair') this.#pairSettled(object, operation.op, result);
      if (object.kind === 'pathset') {
        const ns = this.namespaces.get(object.id.slice(0, object.id.lastIndexOf('#')));
        if (ns !== undefined) this.routes.settled(ns, object.id);
      }
    });
  }

  /** A pair was made, changed or removed: everything over its host is looked at again. */
  #pairSettled(pair: Pair, op: 'set' | 'delete', result: OperationResult): void {
    const ns = this.namespaces.get(pair.netns);
    const attached = op === 'set' && result.ok && pair.phyIfindex !== 0;
    const host = attached ? (result.handle ?? 0) : 0;
    const before = this.pairs.join(pair.phy, pair.netns, host);
    if (before !== 0) ns?.reviewDevice(before);
    if (host !== 0) ns?.reviewDevice(host);
    // a port that is new in the data plane knows nothing of what the old one had
    for (const kind of ['link', 'neighbour'] as const) {
      for (const row of this.delta.rows(kind)) {
        if (row.actual !== undefined && 'phy' in row.actual && row.actual.phy === pair.phy)
          this.delta.invalidate(kind, row.key);
      }
    }
    for (const row of this.delta.rows('pathset')) {
      const object = row.actual;
      // it still exists, with a leg that leads nowhere
      if (object?.kind === 'pathset' && object.paths.some((p) => p.phy === pair.phy))
        this.delta.hold({ ...object, paths: [] }, row.handle);
    }
    this.#dirtyPairs.add(pair.phy);
    if (result.ok) this.#observer.onPair(pair.phy, op === 'delete' ? 'removed' : attached ? 'paired' : 'detached', '');
  }

  /** One round. Returns whether something is left to do at once. */
  async round(): Promise<boolean> {
    const started = this.#now();
    if (!this.#adopted) await this.adopt();
    this.#deriveSmall();
    await this.#apply(
      this.delta.due('delete', ['pair', 'table', 'link', 'neighbour'].filter(isNotTable) as Kind[], started),
    );
    await this.#apply(this.delta.due('set', ['pair'], started));
    this.#deriveSmall();
    await this.#apply(this.delta.due('set', ['table', 'link', 'neighbour', 'pathset'], this.#now()));
    let more = false;
    for (const ns of this.namespaces.values()) {
      for (const routes of [ns.routes4, ns.routes6]) {
        for (let i = 0; i < STEPS; i++) {
          if ((await this.routes.step(ns, routes, this.#now())) === 0) break;
        }
        if (routes.prefixes.dirtyCount > 0) more = true;
      }
    }
    if (!more) await this.#collect();
    this.stats.count++;
    this.stats.lastMs = this.#now() - started;
    this.stats.maxMs = Math.max(this.stats.maxMs, this.stats.lastMs);
    return more || this.isDirty;
  }

  /** What routes may no longer need: path sets and tables, once no prefix waits. */
  async #collect(): Promise<void> {
    for (const ns of this.namespaces.values()) this.routes.collect(ns);
    const orphans = this.routes.unclaimed();
    if (orphans.length > 0) {
      const operations = orphans.map((handle) => ({
        op: 'delete' as const,
        object: { kind: 'pathset' as const, id: `held#${handle}`, paths: [] },
        handle,
      }));
      const results = await this.#dataplane.apply(operations);
      orphans.forEach((handle, i) => {
        if (results[i]?.ok === true) this.routes.forgetUnclaimed(handle);
      });
    }
    // a table that was empty when the round began may have got routes since
    for (const ns of this.namespaces.values()) for (const f of [4, 6] as const) this.#deriveTables(ns, f);
    await this.#apply(this.delta.due('delete', ['table', 'pathset'], this.#now()));
    for (const ns of this.namespaces.values()) this.routes.collect(ns);
  }
}

const sameHost = (a: Pair, b: Pair): boolean => a.host === b.host && a.netns === b.netns && a.type === b.type;

/** Tables go last: their routes are withdrawn one by one first. */
const isNotTable = (kind: string): boolean => kind !== 'table';
