// RouteSync: dirty prefixes to packed batches, path sets first; the bulk half of a reconcile round.
//
// A prefix is derived when its turn comes, so any number of changes to it cost one operation. Path
// sets are given to the data plane when the first route needs them and taken back when no kernel
// entry uses them and no dirty prefix is left that might still point there. While a data plane that
// answers later works on one batch, the next one is put together and sent; a prefix is in one of them.

import type { DataPlane, HeldObject } from './dataplane.ts';
import { ROUTE_WORDS } from './dataplane.ts';
import type { DeltaTable } from './delta.ts';
import { derivePathSet, deriveRoute, RESOLVED_PATHS, specialOf } from './derive.ts';
import type { Namespace } from './namespace.ts';
import { FIRST_HANDLE, MPLS, type PathSet as PathSetObject, pathsText, SPECIAL, tableKey } from './objects.ts';
import type { Pairs } from './pairs.ts';
import type { PathSet } from './pathsets.ts';
import type { PrefixTable } from './prefixtable.ts';
import type { Routes } from './routes.ts';
import { BATCH, newSendings, type Sending } from './sending.ts';

/** Target of a prefix whose path set the data plane has not accepted. */
const NOT_YET = -1;

export interface RouteSyncStats {
  routes: number;
  failed: number;
}

/** Whether all of a prefix is multicast or IPv6 link-local. */
const isOfLinks = ({ family, prefixes: t }: Routes, record: number): boolean => {
  const [first, plen] = [t.addr[record * t.words] as number, t.plen[record] as number];
  if (family === 4) return plen >= 4 && (first & 0xf0) === 0xe0;
  return family === 6 && ((plen >= 8 && (first & 0xff) === 0xff) || (plen >= 10 && (first & 0xc0ff) === 0x80fe));
};

export class RouteSync {
  readonly #dataplane: DataPlane;
  readonly #delta: DeltaTable;
  readonly #pairs: Pairs;
  readonly #sendings = { 4: newSendings(4), 6: newSendings(6), [MPLS]: newSendings(MPLS) };
  /** Which of the two was sent last. */
  #turn: 0 | 1 = 0;
  /** The batch that is on its way, settled; rejects with what the data plane throws. */
  #underway: Promise<void> = Promise.resolve();
  /** Path sets found in the data plane at connect, by handle, until claimed. */
  #held = new Map<number, string>();
  /** Path sets whose legs have changed since their users were last sent, where that matters. */
  readonly #changed = new Map<Namespace, Set<number>>();
  readonly stats: RouteSyncStats = { routes: 0, failed: 0 };

  constructor(dataplane: DataPlane, delta: DeltaTable, pairs: Pairs) {
    this.#dataplane = dataplane;
    this.#delta = delta;
    this.#pairs = pairs;
  }

  /** PathSet.resolved, derived when not known. */
  resolve(ns: Namespace, p: PathSet): number {
    if (p.resolved === -1) p.resolved = derivePathSet(ns, this.#pairs, p).target;
    return p.resolved;
  }

  /** The entry that the kernel uses for a prefix, 0 when none. */
  best(ns: Namespace, routes: Routes, record: number): number {
    return deriveRoute(routes, record, (id) => {
      const p = ns.pathsets.get(id);
      return p === undefined ? 0 : this.resolve(ns, p);
    });
  }

  /** Special target below 16 or the path set that a prefix should lead to. */
  desired(ns: Namespace, routes: Routes, record: number): number | PathSet {
    if (this.#dataplane.servesLinks && isOfLinks(routes, record)) return SPECIAL.none;
    const entry = this.best(ns, routes, record);
    if (entry === 0) return 0;
    const special = specialOf(routes.prefixes.info[entry] as number);
    if (special !== 0) return special;
    const p = ns.pathsets.get(routes.prefixes.pathset[entry] as number);
    if (p === undefined) return 0;
    const resolved = this.resolve(ns, p);
    return resolved === RESOLVED_PATHS ? p : resolved;
  }

  #object(ns: Namespace, p: PathSet): PathSetObject {
    return { kind: 'pathset', id: `${ns.name}#${p.id}`, paths: derivePathSet(ns, this.#pairs, p).paths };
  }

  /** Forgets what the data plane held: it starts from what connect found. */
  reset(namespaces: Iterable<Namespace>, held: readonly HeldObject[]): void {
    this.#held = new Map();
    this.#changed.clear();
    for (const { object, handle } of held) {
      if (object.kind === 'pathset' && handle !== undefined) this.#held.set(handle, pathsText(object.paths));
    }
    for (const ns of namespaces) {
      for (const p of ns.pathsets.all()) p.handle = 0;
      for (const routes of ns.routes) {
        const t = routes.prefixes;
        t.forEach((record) => {
          t.actual[record] = 0;
          t.setSent(record, false);
          t.setFailed(record, false);
          t.markDirty(record);
        });
      }
    }
  }

  /** Reads a table of the data plane into the prefix records' actual column; returns its routes. */
  async readBack(routes: Routes, table: number, handle: number): Promise<number> {
    const t = routes.prefixes;
    let count = 0;
    await this.#dataplane.dumpRoutes(handle, routes.family, (batch) => {
      const w = batch.words;
      count += batch.count;
      for (let i = 0; i < batch.count; i++) {
        const at = i * ROUTE_WORDS;
        const plen = (w[at + 2] as number) & 0xff;
        const record =
          t.words === 1
            ? t.findOrAdd(table, plen, w[at + 3] as number)
            : t.findOrAdd(table, plen, w[at + 3] as number, w[at + 4], w[at + 5], w[at + 6]);
        t.actual[record] = w[at + 1] as number;
        t.markDirty(record);
      }
    });
    return count;
  }

  /**
   * Gives path sets the handles under which the data plane already holds their routes, so that a
   * restart with nothing changed sends nothing.
   */
  claim(ns: Namespace): void {
    for (const routes of ns.routes) {
      const t = routes.prefixes;
      t.forEach((record) => {
        const handle = t.actual[record] as number;
        if (handle < FIRST_HANDLE) return;
        const text = this.#held.get(handle);
        if (text === undefined) return;
        const p = this.desired(ns, routes, record);
        if (typeof p === 'number' || p.handle !== 0) return;
        const object = this.#object(ns, p);
        if (pathsText(object.paths) !== text) return;
        this.#held.delete(handle);
        p.handle = handle;
        this.#delta.hold(object, handle);
        this.#delta.want('pathset', object.id, object);
      });
    }
  }

  /** Path sets in the data plane that nobody claimed: ours from before, to be removed. */
  unclaimed(): number[] {
    return [...this.#held.keys()];
  }
  forgetUnclaimed(handle: number): void {
    this.#held.delete(handle);
  }

  /** Derives the namespace's changed path sets again; where the sort of answer changes, their users too. */
  reviewPathSets(ns: Namespace): void {
    if (ns.dirtyPathsets.size === 0) return;
    const moved = new Set<number>();
    for (const p of ns.dirtyPathsets) {
      const before = p.resolved;
      if (p.refs === 0) {
        p.resolved = -1; // it may come into use again, and is looked at then
        p.stale = true;
        // not stated again over a port that may have gone: it only waits for its last route to go
        this.#delta.want('pathset', `${ns.name}#${p.id}`, undefined);
        continue;
      }
      const { target } = derivePathSet(ns, this.#pairs, p);
      p.resolved = target;
      if (before === -1) continue; // nobody looked at it yet
      const object = this.#object(ns, p);
      if (before !== target) moved.add(p.id);
      // also while it is refused: what is tried again is what is wanted now
      if (p.handle !== 0 || this.#delta.row('pathset', object.id) !== undefined) {
        this.#delta.want('pathset', object.id, target === RESOLVED_PATHS ? object : undefined);
      }
    }
    ns.dirtyPathsets.clear();
    if (moved.size === 0) return;
    for (const routes of ns.routes) routes.markUsersDirty(moved);
  }

  /** Takes the answer to a path set operation into the set. */
  settled(ns: Namespace, id: string): void {
    const p = ns.pathsets.get(Number(id.slice(id.lastIndexOf('#') + 1)));
    if (p === undefined) return;
    const before = p.handle;
    const row = this.#delta.row('pathset', id);
    p.handle = row?.handle ?? 0;
    // a data plane without path sets of its own may also answer with another handle: equal ones have one
    if (this.#dataplane.sharedPathSets || before === 0 || p.handle === 0 || row?.failure !== undefined) return;
    const changed = this.#changed.get(ns);
    if (changed === undefined) this.#changed.set(ns, new Set([p.id]));
    else changed.add(p.id);
  }

  /** Where a change of legs does not reach the routes by itself, they are sent again. */
  #resend(ns: Namespace): void {
    const changed = this.#changed.get(ns);
    if (changed === undefined) return;
    this.#changed.delete(ns);
    for (const routes of ns.routes) routes.markUsersDirty(changed, true);
  }

  /** Gives missing path sets to the data plane. */
  async #provide(ns: Namespace, missing: ReadonlySet<PathSet>, now: number): Promise<void> {
    const operations = [];
    for (const p of missing) {
      const object = this.#object(ns, p);
      if (object.paths.length === 0) {
        p.resolved = -1; // its legs went while the batch was put together
        continue;
      }
      const row = this.#delta.row('pathset', object.id);
      this.#delta.want('pathset', object.id, object);
      if (row?.failure !== undefined && row.failure.retryAt > now) continue;
      p.stale = false;
      if (this.#delta.isOpen('pathset', object.id)) operations.push({ op: 'set' as const, object, handle: p.handle });
    }
    if (operations.length === 0) return;
    const results = await this.#dataplane.apply(operations);
    operations.forEach((operation, i) => {
      const result = results[i];
      if (result === undefined) return;
      this.#delta.settle(operation, result, now);
      this.settled(ns, operation.object.id);
    });
    this.#resend(ns);
  }

  #refused(ns: Namespace, p: PathSet): boolean {
    return this.#delta.row('pathset', `${ns.name}#${p.id}`)?.failure !== undefined;
  }

  /** Until no batch is on its way; rejects with what the data plane threw of the last one. */
  drain(): Promise<void> {
    const underway = this.#underway;
    this.#underway = Promise.resolve();
    return underway;
  }

  /**
   * Sends up to `BATCH` dirty prefixes of one table set and waits for the batch before; returns how many it looked at.
   * A prefix on its way has to wait for the answer.
   */
  async step(ns: Namespace, routes: Routes, now: number): Promise<number> {
    const t = routes.prefixes;
    this.#resend(ns);
    if (t.dirtyCount === 0) return 0;
    this.#turn = this.#turn === 0 ? 1 : 0;
    const sending = this.#sendings[routes.family][this.#turn];
    const { batch, records } = sending;
    let taken = 0;
    const missing = new Set<PathSet>();
    for (let left = t.dirtyCount; left > 0 && taken < BATCH; left--) {
      const record = t.takeDirty();
      if (t.isSent(record)) {
        t.markDirty(record);
        continue;
      }
      records[taken++] = record;
      const desired = this.desired(ns, routes, record);
      if (typeof desired !== 'number' && (desired.handle === 0 || desired.stale)) missing.add(desired);
    }
    if (taken === 0) {
      await this.drain();
      return t.dirtyCount;
    }
    if (missing.size > 0) await this.#provide(ns, missing, now);

    const w = batch.words;
    let n = 0;
    let lastTable = -1;
    let lastHandle = 0;
    for (let i = 0; i < taken; i++) {
      const record = records[i] as number;
      const desired = this.desired(ns, routes, record);
      const target = typeof desired === 'number' ? desired : desired.handle === 0 ? NOT_YET : desired.handle;
      if (target === t.actual[record]) {
        t.setFailed(record, false);
        t.release(record);
        continue;
      }
      const table = t.table[record] as number;
      if (table !== lastTable) {
        lastTable = table;
        lastHandle = this.#delta.row('table', tableKey(ns.name, routes.family, table))?.handle ?? 0;
      }
      if (target === NOT_YET && typeof desired !== 'number' && !this.#refused(ns, desired)) {
        t.markDirty(record); // changed while the path sets were on their way
        continue;
      }
      if (target === 0 && lastHandle === 0) {
        t.actual[record] = 0; // it went with its table
        t.setFailed(record, false);
        t.release(record);
        continue;
      }
      if (target === NOT_YET || lastHandle === 0) {
        t.setFailed(record, true);
        continue;
      }
      const at = n * ROUTE_WORDS;
      w[at] = lastHandle;
      w[at + 1] = target;
      w[at + 2] = t.plen[record] as number;
      const a = record * t.words;
      w[at + 3] = t.addr[a] as number;
      if (t.words === 4) {
        w[at + 4] = t.addr[a + 1] as number;
        w[at + 5] = t.addr[a + 2] as number;
        w[at + 6] = t.addr[a + 3] as number;
      }
      records[n++] = record;
    }
    if (n === 0) return taken;
    batch.count = n;
    const answer = this.#dataplane.applyRoutes(batch);
    if (typeof answer === 'number') {
      this.#settleRoutes(t, sending);
      return taken;
    }
    for (let i = 0; i < n; i++) t.setSent(records[i] as number, true);
    const before = this.drain();
    this.#underway = answer.then(() => this.#settleRoutes(t, sending));
    // who waits for it next hears of it, and may not wait yet
    this.#underway.catch(() => undefined);
    await before;
    return taken;
  }

  /** Takes the answers to a batch into its records. */
  #settleRoutes(t: PrefixTable, { batch, records }: Sending): void {
    for (let i = 0; i < batch.count; i++) {
      const record = records[i] as number;
      const ok = batch.results[i] === 0;
      if (ok) t.actual[record] = batch.words[i * ROUTE_WORDS + 1] as number;
      else this.stats.failed++;
      t.setSent(record, false);
      t.setFailed(record, !ok);
      t.release(record);
    }
    this.stats.routes += batch.count;
  }

  /** A table was taken back, and the data plane dropped with it whatever it still held there. */
  tableGone(routes: Routes, table: number): void {
    const t = routes.prefixes;
    t.forEach((record) => {
      if (t.table[record] !== table || t.actual[record] === 0) return;
      t.actual[record] = 0;
      t.markDirty(record);
    });
  }

  /** Takes back path sets that no route can use any more. */
  collect(ns: Namespace): void {
    if (ns.routes.some((r) => r.prefixes.dirtyCount > 0)) return;
    for (const p of [...ns.pathsets.unused()]) {
      const id = `${ns.name}#${p.id}`;
      // also where it was refused: nobody asks for it any more
      this.#delta.want('pathset', id, undefined);
      p.stale = true;
      if (this.#delta.row('pathset', id) === undefined) ns.pathsets.forget(p);
    }
  }

  /** Puts refused prefixes back into the queue. */
  retry(ns: Namespace): void {
    for (const { prefixes: t } of ns.routes) {
      if (t.failedCount === 0) continue;
      t.forEach((record) => {
        if (t.isFailed(record)) t.markDirty(record);
      });
    }
  }
}
