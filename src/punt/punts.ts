// Punts: requests from every door, what became of each, and what is remembered of them.
//
//   config, lcpctl ─► requests by age ─► derive (pure) ─► rows of the delta table, devices of CNFs ─► states
//
// Level-triggered like the mirror: every pass looks at all requests, so who waits, or was in the way, has his turn without
// being told. Data planes that cannot tell what they hold are answered for by the journal, written before they are told.

import { isDeepStrictEqual } from 'node:util';
import type { Operation, OperationResult } from '../lcp/dataplane.ts';
import { type Interconnect, type Punt, puntKey } from '../lcp/puntobjects.ts';
import type { PuntPlane, PuntReason, PuntStat } from '../lcp/puntplane.ts';
import { LcpError } from '../lib/errors.ts';
import { Allocations } from './allocations.ts';
import { type CapturePlace, captureHint, placesOf, whyNoPlace } from './captures.ts';
import { type CnfDevice, type Derived, derivePunts, type Plan, type RoutedEnd } from './derive.ts';
import type { PuntEnv } from './env.ts';
import type { Journal } from './journal.ts';
import { idText, type PuntRequest } from './request.ts';
import { linksOf, type Progress, progressOf, rowOf } from './state.ts';
import type { PuntChange, PuntLink, PuntRow, PuntView } from './view.ts';

/** A row of the delta table, as far as punts look at it. */
export interface HeldRow {
  readonly actual: unknown;
  readonly doubt: unknown;
  readonly failure: { readonly message: string; readonly hint: string; readonly attempts: number } | undefined;
}

export interface PuntParts {
  readonly env: PuntEnv;
  readonly plane: PuntPlane;
  readonly journal: Journal;
  readonly rows: {
    want(kind: 'interconnect' | 'punt', key: string, object: Interconnect | Punt | undefined): void;
    row(kind: 'interconnect' | 'pair' | 'punt', key: string): HeldRow | undefined;
    isOpen(kind: 'interconnect' | 'pair' | 'punt', key: string): boolean;
    rows(kind: 'interconnect'): Iterable<HeldRow>;
    invalidate(kind: 'punt', key: string): void;
  };
  /** Devices in the namespaces of CNFs. */
  readonly devices: {
    want(devices: readonly CnfDevice[]): void;
    state(netns: string, name: string): 'settled' | 'absent' | { readonly reason: string; readonly attempts: number };
  };
  /** Interconnects that are to be pairs. */
  routed(ends: readonly RoutedEnd[]): void;
  readonly generation: () => string;
  readonly now: () => number;
}

interface Asked {
  readonly request: PuntRequest;
  readonly source: string;
}

const NOTHING: Derived = {
  plans: new Map(),
  interconnects: new Map(),
  punts: new Map(),
  devices: [],
  routed: [],
  renumbered: false,
};

export class Punts implements PuntView {
  readonly #parts: PuntParts;
  /** In the order of their age, by id. */
  readonly #asked = new Map<string, Asked>();
  readonly #allocations: Allocations;
  readonly #watchers = new Set<(change: PuntChange) => void>();
  readonly #progress = new Map<string, Progress>();
  /** As they were told last. */
  readonly #links = new Map<string, readonly PuntLink[]>();
  /** Namespaces that a former life had something in, until the data plane was read. */
  #former: readonly string[];
  #derived = NOTHING;
  #dirty = true;
  #stopped = false;

  constructor(parts: PuntParts) {
    this.#parts = parts;
    const { journal } = parts;
    this.#allocations = new Allocations(journal.numbers);
    this.#former = Object.keys(journal.numbers?.netns ?? {});
    for (const { request, source } of journal.requests) this.#asked.set(idText(request.id), { request, source });
  }

  /** Called when a pass is to be made, so that somebody may wake the pipeline. */
  onAgain: () => void = () => undefined;
  /** Called when states, or what is held, may be others than before. */
  onSettled: () => void = () => undefined;

  /** Something that punts depend on may have changed. */
  review(): void {
    this.#dirty = true;
  }

  get isDirty(): boolean {
    return this.#dirty;
  }

  /** Makes the requests of the configuration these; the others stay. */
  configure(requests: readonly PuntRequest[]): void {
    const wanted = new Map(requests.map((request) => [idText(request.id), request]));
    for (const [id, { source }] of this.#asked) if (source === 'config' && !wanted.has(id)) this.#asked.delete(id);
    for (const [id, request] of wanted) this.#asked.set(id, { request, source: 'config' });
    this.#sort();
    this.#again();
  }

  /** By age, as it was in former lives too: who has what another wants keeps it over a restart. */
  #sort(): void {
    const ages = new Map(this.#parts.journal.ages.map((id, age) => [id, age]));
    const age = (id: string): number => ages.get(id) ?? ages.size;
    const sorted = [...this.#asked].sort(([a], [b]) => age(a) - age(b));
    this.#asked.clear();
    for (const [id, asked] of sorted) this.#asked.set(id, asked);
  }

  #again(): void {
    this.#dirty = true;
    this.onAgain();
  }

  /** Wants nothing any more: all that was made goes, what was asked for is remembered. */
  stop(): void {
    this.#stopped = true;
    this.#again();
  }

  /** The data plane came up: what it cannot tell itself is told it. */
  up(): void {
    const { journal, plane, generation } = this.#parts;
    const now = generation();
    plane.recall(
      now,
      journal.held(now).map(({ punt }) => punt),
    );
    this.#dirty = true;
  }

  /** The data plane was read: what it was being told when somebody died is told again, or deleted when nobody wants it. */
  adopted(): void {
    const { journal, rows, generation } = this.#parts;
    for (const { punt, sure } of journal.held(generation())) if (!sure) rows.invalidate('punt', puntKey(punt));
    this.#former = [];
  }

  /** Where links end whose ports may be gone: a data plane that has died leaves devices, found only where somebody looks. */
  #heldIn(): string[] {
    const names = new Set(this.#former);
    for (const { actual, doubt } of this.#parts.rows.rows('interconnect'))
      for (const held of [actual, doubt]) names.add((held as Interconnect | undefined)?.netns ?? '');
    names.delete('');
    return [...names];
  }

  /** Namespaces that punts are about: those of requests, there or not, and those that something may be left in. */
  namespaces(): string[] {
    const asked = [...this.#asked.values()].map(({ request }) => request.netns);
    return [...new Set([...asked, ...this.#heldIn()])];
  }

  /** One pass, when something changed: what punts depend on, or what is asked for. */
  derive(changed: boolean): void {
    if (!changed && !this.#dirty) return;
    this.#dirty = false;
    const { env, rows, devices, journal, routed } = this.#parts;
    const requests = this.#stopped ? [] : [...this.#asked.values()].map(({ request }) => request);
    const derived = derivePunts(requests, env, this.#allocations, this.#heldIn());
    if (!this.#stopped) {
      // on the disk before anything is named by them, or is somebody's
      const ids = [...this.#asked.keys()];
      if (!isDeepStrictEqual(ids, journal.ages)) journal.age(ids);
      if (derived.renumbered) journal.renumber(this.#allocations.state());
    }
    const before = this.#derived;
    this.#derived = derived;
    // before anything is taken away from under those who use it
    this.#tellDeleted();
    for (const key of before.punts.keys()) if (!derived.punts.has(key)) rows.want('punt', key, undefined);
    for (const key of before.interconnects.keys()) {
      if (!derived.interconnects.has(key)) rows.want('interconnect', key, undefined);
    }
    for (const [key, object] of derived.interconnects) rows.want('interconnect', key, object);
    for (const [key, object] of derived.punts) rows.want('punt', key, object);
    devices.want(derived.devices);
    if (!isDeepStrictEqual(before.routed, derived.routed)) routed(derived.routed);
    this.settle();
  }

  /** Looks at what became of everything and tells whose state is another one, or whose links are. */
  settle(): void {
    const { rows, devices, now } = this.#parts;
    for (const plan of this.#derived.plans.values()) {
      const next = progressOf(plan, this.#derived, rows, devices);
      const { id } = plan;
      const last = this.#progress.get(id);
      const had = this.#links.get(id);
      const links = linksOf(plan);
      this.#links.set(id, links);
      const { state, reasons } = next;
      if (last?.state === state && isDeepStrictEqual(last.reasons, reasons)) {
        this.#progress.set(id, { ...next, since: last.since });
        if (!isDeepStrictEqual(had, links)) this.#tell({ id, about: 'links', state, reasons, links });
        continue;
      }
      // who is told of CREATED has been told of INIT
      if (state === 'CREATED' && last?.state !== 'INIT')
        this.#tell({ id, about: 'state', state: 'INIT', reasons: [], links });
      this.#progress.set(id, { ...next, since: now() });
      this.#tell({ id, about: 'state', state, reasons, links });
    }
    this.onSettled();
  }

  /** Tells of those that nobody asks for any more. */
  #tellDeleted(): void {
    for (const id of [...this.#progress.keys()]) {
      if (this.#derived.plans.has(id)) continue;
      const links = this.#links.get(id) ?? [];
      this.#progress.delete(id);
      this.#links.delete(id);
      this.#tell({ id, about: 'state', state: 'DELETED', reasons: [], links });
    }
  }

  #tell(change: PuntChange): void {
    for (const watcher of this.#watchers) watcher(change);
  }

  /** Applies operations; what the data plane will not be able to tell of is in the journal before. */
  async through(
    operations: readonly Operation[],
    apply: (operations: readonly Operation[]) => Promise<OperationResult[]>,
  ): Promise<OperationResult[]> {
    const { journal, plane, generation } = this.#parts;
    const puntOf = ({ object }: Operation): Punt | undefined =>
      object.kind === 'punt' && plane.forgets(object) ? object : undefined;
    const told = operations.flatMap((operation) => puntOf(operation) ?? []);
    if (told.length === 0) return apply(operations);
    const at = generation();
    let refused: OperationResult | undefined;
    try {
      journal.intend(told, at);
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      refused = { ok: false, code: error.code, message: error.message, hint: error.hint };
    }
    const sent = refused === undefined ? operations : operations.filter((o) => puntOf(o) === undefined);
    const answers = await apply(sent);
    const byOperation = new Map(sent.map((operation, i) => [operation, answers[i] as OperationResult]));
    const results = operations.map((operation) => byOperation.get(operation) ?? (refused as OperationResult));
    const had = (op: Operation['op']): Punt[] =>
      operations.flatMap((o, i) => (o.op === op && results[i]?.ok === true ? (puntOf(o) ?? []) : []));
    journal.done(had('set'), had('delete'), at);
    return results;
  }

  // --- the doors ---

  #row(id: string): PuntRow {
    const asked = this.#asked.get(id) as Asked;
    const plan = this.#derived.plans.get(id);
    return rowOf(id, asked.request, asked.source, plan, this.#progress.get(id), this.#parts.now());
  }

  list(): readonly PuntRow[] {
    return [...this.#asked.keys()].map((id) => this.#row(id));
  }

  find(name: string): PuntRow {
    const isCalled = ([, { request }]: [string, Asked]): boolean => request.id.label === name;
    const ids = this.#asked.has(name) ? [name] : [...this.#asked].filter(isCalled).map(([each]) => each);
    const [id] = ids;
    if (id !== undefined && ids.length === 1) return this.#row(id);
    const key = JSON.stringify(name.slice(0, 64));
    if (id === undefined) throw new LcpError('PUNT_UNKNOWN', { op: 'find punt', key });
    const hint = 'name the one that is meant by its id';
    throw new LcpError('PUNT_UNKNOWN', { op: 'find punt', key, message: `it is the name of ${ids.join(', ')}`, hint });
  }

  add(request: PuntRequest, source: string): PuntRow {
    const id = idText(request.id);
    if (this.#asked.has(id)) {
      throw new LcpError('PUNT_EXISTS', { op: 'add punt', key: id, message: `punt already exists: ${id}` });
    }
    const { env, journal } = this.#parts;
    const others = [...this.#asked.values()].map((asked) => asked.request);
    const trial = derivePunts([...others, request], env, new Allocations(this.#allocations.state()));
    const { state, reasons, hint } = trial.plans.get(id) as Plan;
    if (state === 'busy' || state === 'refused') {
      const code = state === 'busy' ? 'PUNT_BUSY' : 'PUNT_REFUSED';
      throw new LcpError(code, { op: 'add punt', key: id, message: reasons.join('; '), ...(hint ? { hint } : {}) });
    }
    journal.keep(request, source);
    this.#asked.set(id, { request, source });
    this.#again();
    return this.#row(id);
  }

  del(name: string): PuntRow {
    const row = this.find(name);
    if (row.source === 'config') {
      const message = `punt ${row.id} is one of the configuration`;
      throw new LcpError('PUNT_CONFIGURED', { op: 'delete punt', key: name, message });
    }
    this.#parts.journal.drop(row.id);
    this.#asked.delete(row.id);
    this.#again();
    return row;
  }

  reasons(): readonly PuntReason[] {
    return this.#parts.plane.reasons;
  }

  stats(): Promise<readonly PuntStat[]> {
    return this.#parts.plane.stats();
  }

  captures(name: string): readonly CapturePlace[] {
    const row = this.find(name);
    const { plans } = this.#derived;
    const places = placesOf(plans.get(row.id), this.#derived);
    if (places.length > 0) return places;
    const others = [...plans.values()].filter((plan) => placesOf(plan, this.#derived).length > 0);
    throw new LcpError('NOT_SUPPORTED', {
      op: 'capture',
      key: name,
      message: `punt ${row.id} has no device to look at: ${whyNoPlace(row.request, plans.get(row.id))}`,
      hint: captureHint(others.map(({ id }) => id)),
    });
  }

  watch(watcher: (change: PuntChange) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}
