// Reconciler: one round brings the data plane from what it holds to what it should hold.
//
//   derive dirty keys (wishes.ts) ─► deletes (kinds reversed) ─► pairs ─► tables, sub-interfaces ─► links,
//   neighbours, path sets, multicast ─► routes in the order of their changes ─► path sets nobody uses
//
// Level-triggered and repeatable: a start, a restart of the data plane and an overrun are all "refresh
// one copy, then a round". Nothing is sent before every namespace has been read once or found absent,
// so nothing is deleted for want of knowledge. One round runs at a time; it may be cut off anywhere.

import type { DataPlane, Operation, OperationResult } from './dataplane.ts';
import { DeltaTable, type RetryPolicy } from './delta.ts';
import { type Keepsake, Keepsakes } from './keepsakes.ts';
import type { Namespace } from './namespace.ts';
import { KINDS, keyOf, type LcpObject, type Pair } from './objects.ts';
import { Pairs, phyOfAlias, type UnpairedRoutes } from './pairs.ts';
import { type Interconnect, wireText } from './puntobjects.ts';
import { RouteSync } from './routesync.ts';
import { type KernelWrite, Upward } from './upward.ts';
import { Wishes } from './wishes.ts';

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
  /** A pair has got a host in the place of one that vanished with the data plane. */
  onHostAnew(pair: Pair, ifindex: number, keepsake: Keepsake): void;
  onAdopted(summary: { objects: number; routes: number; ms: number }): void;
  /** Something goes to the kernel, or was refused there. */
  onUpward(state: 'written' | 'refused', text: string, reason: string): void;
}

/** Wishes besides those of the mirror: what is punted. */
export interface FurtherWishes {
  /** A pass has been made: states what should be, where something that it depends on may have changed. */
  derive(changed: boolean): void;
  readonly isDirty: boolean;
  /** The data plane was read, and all that should be was derived once. */
  adopted(): void;
  /** Operations have been answered. */
  settle(): void;
  /** Around every batch of operations. */
  through(operations: readonly Operation[], apply: DataPlane['apply']): Promise<OperationResult[]>;
}

const PUNTED = ['interconnect', 'punt'] as const;

/** Writes to the kernel for what was changed in the data plane. */
export type KernelDoor = (write: KernelWrite) => Promise<void>;

export class Reconciler {
  readonly delta: DeltaTable;
  readonly pairs = new Pairs();
  readonly routes: RouteSync;
  /** What goes from the data plane to the kernel. */
  readonly upward: Upward;
  /** By name; '' is lcpd's own. */
  readonly namespaces: Map<string, Namespace>;
  readonly stats: RoundStats = { count: 0, lastMs: 0, maxMs: 0, operations: 0, failed: 0 };
  readonly #dataplane: DataPlane;
  readonly #observer: ReconcileObserver;
  readonly #now: () => number;
  readonly #wishes: Wishes;
  readonly #keepsakes: Keepsakes;
  #adopted = false;
  #routesRetryAt: number | undefined;

  constructor(
    dataplane: DataPlane,
    namespaces: Map<string, Namespace>,
    retry: RetryPolicy,
    observer: ReconcileObserver,
    now: () => number,
    write: KernelDoor = () => Promise.reject(new Error('nobody writes to the kernel here')),
  ) {
    this.namespaces = namespaces;
    this.#dataplane = dataplane;
    this.#observer = observer;
    this.#now = now;
    this.delta = new DeltaTable(retry);
    this.#keepsakes = new Keepsakes(now);
    this.routes = new RouteSync(dataplane, this.delta, this.pairs);
    this.upward = new Upward(
      {
        namespaces,
        pairs: this.pairs,
        delta: this.delta,
        seen: () => dataplane.seen,
        now,
        write,
        told: (state, text, reason) => observer.onUpward(state, text, reason),
        again: () => this.upwardAgain(),
      },
      retry,
    );
    this.#wishes = new Wishes({
      namespaces,
      pairs: this.pairs,
      delta: this.delta,
      routes: this.routes,
      upward: this.upward,
      dataplane,
      onPair: (phy, state, reason) => observer.onPair(phy, state, reason),
    });
  }

  /** Whether the data plane's content has been read since it last came up. */
  get adopted(): boolean {
    return this.#adopted;
  }

  /** The data plane lost what it held, or may have. */
  lost(): void {
    this.#adopted = false;
    this.#keepsakes.lost();
    this.upward.lost();
  }

  /** A namespace appeared, vanished or was read: its tables and every pair may be different. */
  namespaceChanged(ns: Namespace): void {
    this.#wishes.namespaceChanged(ns);
  }

  dirtyPair(phy: string): void {
    this.#wishes.dirtyPair(phy);
  }

  /** What the data plane tells of phys has changed. */
  physChanged(): void {
    if (this.upward.settings.on) this.#wishes.interfacesChanged();
    else this.#wishes.dirtyAllPairs();
  }

  /** What is wished for besides the mirror. */
  further: FurtherWishes | undefined;

  /** Called when a write to the kernel has ended, so that somebody may wake the pipeline. */
  onUpwardAgain: () => void = () => undefined;

  /** What goes up is to be looked at: a write has ended, or its time has come. */
  upwardAgain(): void {
    this.#wishes.interfacesChanged();
    this.onUpwardAgain();
  }

  /** What becomes of routes that leave by no pair; a change looks at every path set again. */
  set unpairedRoutes(policy: UnpairedRoutes) {
    if (this.pairs.unpairedRoutes === policy) return;
    this.pairs.unpairedRoutes = policy;
    for (const ns of this.namespaces.values()) for (const p of ns.pathsets.all()) ns.dirtyPathsets.add(p);
  }

  /** Whether a round would find something to do now. */
  get isDirty(): boolean {
    if (this.#wishes.isDirty || this.further?.isDirty === true) return true;
    for (const ns of this.namespaces.values()) if (ns.routes.some((r) => r.prefixes.dirtyCount > 0)) return true;
    const now = this.#now();
    for (const kind of KINDS) {
      for (const row of this.delta.open(kind)) if (row.failure === undefined || row.failure.retryAt <= now) return true;
    }
    return false;
  }

  /** Clock ms when something refused is due again, undefined when nothing waits. */
  nextRetryAt(): number | undefined {
    let routesFailed = false;
    for (const ns of this.namespaces.values()) {
      if (ns.routes.some((r) => r.prefixes.failedCount > 0)) routesFailed = true;
    }
    const at = [this.delta.nextRetryAt(), this.upward.nextAt()].filter((ms) => ms !== undefined);
    const rows = at.length === 0 ? undefined : Math.min(...at);
    // counted from the first refusal: other changes in between must not put it off
    this.#routesRetryAt = routesFailed ? (this.#routesRetryAt ?? this.#now() + ROUTES_RETRY_MS) : undefined;
    return routesFailed ? Math.min(rows ?? Number.POSITIVE_INFINITY, this.#routesRetryAt as number) : rows;
  }

  /** Puts refused prefixes back into the queue: their time has come. */
  retryRoutes(): void {
    this.#routesRetryAt = undefined;
    for (const ns of this.namespaces.values()) this.routes.retry(ns);
    const upAt = this.upward.nextAt();
    if (upAt !== undefined && upAt <= this.#now()) this.#wishes.interfacesChanged();
  }

  /** True when every namespace has been read once or is known to be absent. */
  get ready(): boolean {
    for (const ns of this.namespaces.values()) if (!ns.known) return false;
    return true;
  }

  /** Reads what the data plane holds: after a start, and whenever it came up again. */
  async adopt(): Promise<void> {
    const started = this.#now();
    await this.routes.drain();
    const held = await this.#dataplane.dump();
    this.routes.reset(this.namespaces.values(), held);
    this.delta.adopt(held.filter((h) => h.object.kind !== 'pathset'));
    let routeCount = 0;
    for (const { object, handle } of held) {
      if (object.kind === 'pair' && object.phyIfindex !== 0) this.pairs.join(object.phy, object.netns, handle ?? 0);
      if (object.kind !== 'table' || handle === undefined) continue;
      const ns = this.namespaces.get(object.netns);
      if (ns === undefined) continue; // not ours to fill any more: the table is deleted with its routes
      routeCount += await this.routes.readBack(ns.routesOf(object.family), object.table, handle);
    }
    this.#adoptOrphans();
    this.upward.adopted();
    for (const { object } of held) if (object.kind === 'pair') this.dirtyPair(object.phy);
    for (const ns of this.namespaces.values()) this.#wishes.reviewAll(ns);
    this.#derive();
    this.further?.adopted();
    for (const ns of this.namespaces.values()) this.routes.claim(ns);
    this.#adopted = true;
    this.#observer.onAdopted({ objects: held.length, routes: routeCount, ms: this.#now() - started });
  }

  /** Hosts of ours that no port holds: of a forwarder that died, or of pairs no longer configured. */
  #adoptOrphans(): void {
    for (const ns of this.namespaces.values()) {
      for (const link of ns.links.values()) {
        const phy = phyOfAlias(link);
        // what the data plane has said counts, not what an earlier one had
        if (phy === '' || this.delta.row('pair', phy)?.actual !== undefined) continue;
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
        this.dirtyPair(phy);
      }
    }
  }

  async #apply(operations: Operation[]): Promise<void> {
    if (operations.length === 0) return;
    const apply = (some: readonly Operation[]) => this.#dataplane.apply(some);
    const results = await (this.further?.through(operations, apply) ?? apply(operations));
    const now = this.#now();
    operations.forEach((operation, i) => {
      const result = results[i] ?? { ok: false, code: 'REFUSED', message: 'the data plane did not answer' };
      const { object } = operation;
      const row = this.delta.row(object.kind, keyOf(object));
      const [first, before] = [row?.failure === undefined, row?.actual];
      this.delta.settle(operation, result, now);
      this.stats.operations++;
      if (result.ok) this.upward.settled(operation);
      else {
        this.stats.failed++;
        this.#observer.onRefused(operation, result, first);
      }
      if (object.kind === 'table' && operation.op === 'delete' && result.ok) {
        const ns = this.namespaces.get(object.netns);
        if (ns !== undefined) this.routes.tableGone(ns.routesOf(object.family), object.table);
      }
      if (object.kind === 'pair') this.#pairSettled(object, operation.op, result);
      if (object.kind === 'interconnect') this.#interconnectSettled(operation.op, object, before);
      // one whose end is refused is still there with all that it has; what is refused to be set may have ended
      if (object.kind === 'subif' && (result.ok || operation.op === 'set')) this.#wishes.portChanged(object.phy);
      if (object.kind === 'pathset') {
        const ns = this.namespaces.get(object.id.slice(0, object.id.lastIndexOf('#')));
        if (ns !== undefined) this.routes.settled(ns, object.id);
      }
    });
    // of two subnets that overlap a data plane may take one, whichever comes first
    if (operations.some(({ object }, i) => object.kind === 'address' && results[i]?.ok === true))
      this.delta.hurry('address', now);
  }

  /** The pair that is an interconnect's layer 3 has lost its port where that was made anew. */
  #interconnectSettled(op: 'set' | 'delete', now: Interconnect, before: LcpObject | undefined): void {
    const isKept = before?.kind === 'interconnect' && wireText(before) === wireText(now);
    if (op === 'set' && !isKept) this.delta.invalidate('pair', now.name);
    this.dirtyPair(now.name);
  }

  #seeHosts(): void {
    for (const { phy, netns } of this.pairs.specs()) {
      const ns = this.namespaces.get(netns);
      if (ns !== undefined && this.pairs.host(phy) !== 0) this.#keepsakes.see(phy, ns, this.pairs.host(phy));
    }
  }

  /** A pair was made, changed or removed: everything over its host is looked at again. */
  #pairSettled(pair: Pair, op: 'set' | 'delete', result: OperationResult): void {
    const ns = this.namespaces.get(pair.netns);
    const attached = op === 'set' && result.ok && pair.phyIfindex !== 0;
    const host = attached ? (result.handle ?? 0) : 0;
    const before = this.pairs.join(pair.phy, pair.netns, host);
    const keepsake = host === 0 ? undefined : this.#keepsakes.take(pair.phy, pair.netns, host);
    if (keepsake !== undefined) this.#observer.onHostAnew(pair, host, keepsake);
    if (this.pairs.spec(pair.phy) === undefined) this.#keepsakes.forget(pair.phy);
    if (before !== host) this.upward.parted(pair.phy);
    if (before !== 0) ns?.reviewDevice(before);
    if (host !== 0) ns?.reviewDevice(host);
    this.#wishes.portChanged(pair.phy);
    this.dirtyPair(pair.phy);
    if (result.ok) this.#observer.onPair(pair.phy, op === 'delete' ? 'removed' : attached ? 'paired' : 'detached', '');
  }

  /** One round. Returns whether something is left to do at once. */
  async round(): Promise<boolean> {
    const started = this.#now();
    const isFirst = !this.#adopted;
    if (isFirst) await this.adopt();
    this.#derive();
    if (this.#dataplane.hostsEndWithIt) this.#seeHosts();
    // tables go last: their routes are withdrawn one by one first
    if (!isFirst) await this.#apply(this.delta.due('delete', PUNTED, started));
    await this.#apply(this.delta.due('delete', ['pair', 'subif', 'link', 'address', 'neighbour', 'mroute'], started));
    await this.#apply(this.delta.due('set', ['pair'], started));
    this.#derive();
    await this.#apply(this.delta.due('set', ['table', 'subif'], this.#now()));
    this.#derive();
    // of what was found, nothing goes because a pair that it depends on had not been made yet
    if (isFirst) await this.#apply(this.delta.due('delete', PUNTED, started));
    await this.#apply(this.delta.due('set', ['link', 'address', 'neighbour', 'pathset', 'mroute'], this.#now()));
    await this.#apply(this.delta.due('set', ['interconnect'], this.#now()));
    this.#derive();
    // those that punts wished for just now are over
    await this.#apply(this.delta.due('set', ['interconnect'], this.#now()));
    await this.#apply(this.delta.due('set', ['punt'], this.#now()));
    this.further?.settle();
    let more = false;
    for (const ns of this.namespaces.values()) {
      for (const routes of ns.routes) {
        for (let i = 0; i < STEPS; i++) {
          if ((await this.routes.step(ns, routes, this.#now())) === 0) break;
        }
        if (routes.prefixes.dirtyCount > 0) more = true;
      }
    }
    // while more is to come, the last batch is on its way and the next round goes on behind it
    if (!more) {
      await this.routes.drain();
      await this.#collect();
    }
    this.stats.count++;
    this.stats.lastMs = this.#now() - started;
    this.stats.maxMs = Math.max(this.stats.maxMs, this.stats.lastMs);
    return more || this.isDirty;
  }

  #derive(): void {
    const changed = this.#wishes.derive();
    this.further?.derive(changed);
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
    for (const ns of this.namespaces.values()) this.#wishes.deriveTables(ns);
    await this.#apply(this.delta.due('delete', ['table', 'pathset'], this.#now()));
    for (const ns of this.namespaces.values()) this.routes.collect(ns);
  }
}
