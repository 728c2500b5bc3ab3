// Core: the three states in one hand, for those who look at them (view.ts and its files) and for main.

import type { DataPlane } from './dataplane.ts';
import type { Namespace } from './namespace.ts';
import type { Pipeline } from './pipeline.ts';
import type { Reconciler } from './reconcile.ts';

/** What the source of a namespace's messages says of itself. */
export interface NamespaceSource {
  readonly ns: Namespace;
  /** Everything told is applied and nothing is being read again. */
  readonly settled: boolean;
  readonly counters: { messages: number; losses: number; resyncs: number; malformed: number; drops: number };
  readonly lastResync: { cause: string; ms: number; at: number } | undefined;
  resync(cause: string): void;
  /** Reads the kernel anew into a Namespace of its own; undefined when the namespace is absent. */
  snapshot(): Promise<Namespace | undefined>;
}

export interface StateChange {
  readonly time: number;
  readonly area: string;
  readonly event: string;
  readonly key: string;
  readonly detail?: string;
}

export interface Core {
  readonly reconciler: Reconciler;
  readonly pipeline: Pipeline;
  readonly dataplane: DataPlane;
  readonly sources: ReadonlyMap<string, NamespaceSource>;
  /** Default namespace of lookups: the configured one. */
  readonly defaultNetns: () => string;
  readonly now: () => number;
  /** Why an interface that matches a pattern of the configuration has no pair. */
  readonly autoPairProblems?: ReadonlyMap<string, string>;
}

/** State changes to whoever watches. */
export class StateChanges {
  readonly #watchers = new Set<(change: StateChange) => void>();

  publish(area: string, event: string, key: string, detail?: string): void {
    if (this.#watchers.size === 0) return;
    const change: StateChange = { time: Date.now(), area, event, key, ...(detail ? { detail } : {}) };
    for (const watcher of this.#watchers) watcher(change);
  }

  watch(watcher: (change: StateChange) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

/** Whether nothing is on its way: all namespaces read, all differences sent, nothing refused. */
export const openWork = (core: Core): string[] => {
  const open: string[] = [];
  const { reconciler: r } = core;
  if (core.dataplane.info().state !== 'up') open.push('the data plane is not up');
  else if (!r.adopted) open.push('the data plane has not been read yet');
  for (const source of core.sources.values()) {
    if (!source.settled) open.push(`namespace ${source.ns.name || '(own)'} is being read`);
  }
  if (core.pipeline.running || r.isDirty) open.push('changes are on their way');
  if (r.upward.flights > 0) open.push('changes of the data plane are on their way to the kernel');
  for (const { message } of r.upward.failures().slice(0, 20)) open.push(message);
  for (const row of r.delta.failures().slice(0, 20)) open.push(`${row.kind} ${row.key}: ${row.failure?.message}`);
  for (const ns of r.namespaces.values()) {
    const failed = ns.routes.reduce((sum, r) => sum + r.prefixes.failedCount, 0);
    if (failed > 0) open.push(`${failed} routes of namespace ${ns.name || '(own)'} refused`);
  }
  return open;
};
