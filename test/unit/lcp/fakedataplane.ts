// FakeDataPlane: a data plane of Maps that keeps the driver contract, can fail, be late and lose everything.
//
// Invariants: nothing is forgotten but by delete, restart or the end of what it belongs to (a port's neighbours,
// a table's routes). `operations` counts every operation and route that it was asked for. Hosts of pairs are made in
// the kernels that it is given, as a driver makes TAPs.

import type * as dp from '../../../src/lcp/dataplane.ts';
import { newRouteBatch, ROUTE_WORDS } from '../../../src/lcp/dataplane.ts';
import {
  type Address,
  FIRST_HANDLE,
  type Kind,
  keyOf,
  type LcpObject,
  type Link,
  type Mroute,
  type Neighbour,
  type Pair,
  type Path,
  pathsText,
  type RouteFamily,
  SPECIAL,
  SPECIAL_NAMES,
  type Subif,
  type Table,
  tableKey,
} from '../../../src/lcp/objects.ts';
import { type FakeRouteRow, isPrefix, isTag, legFits, lookupIn, prefixText, rowKey, wordCount } from './heldroutes.ts';

const ENOENT = -2;
const EINVAL = -22;

export interface Hosts {
  /** Makes or finds the host of a pair; its ifindex. */
  make(pair: Pair): number;
  remove(pair: Pair, ifindex: number): void;
  /** Applies what a link says to phy and host. */
  agree(link: Link): void;
}

/** Phy of a leg whose port has ended: no device can have this name. */
const ENDED = '/deleted';

const refused = (code: string, message: string): dp.OperationResult => ({ ok: false, code, message });

export class FakeDataPlane implements dp.DataPlane {
  readonly name = 'fake';
  readonly unsupported = new Map<string, string>();
  sharedPathSets = true;
  hasAddresses = false;
  servesLinks = false;
  mergesLocal = false;
  hostsEndWithIt = false;
  /** Answers after a turn of the event loop. */
  late = false;
  /** Refuses every operation and route the first time that it is asked for it. */
  refusesFirst = false;
  readonly #asked = new Set<string>();
  /** Every operation and route asked for since the last reset. */
  operations = 0;
  /** What apply was asked, in order: "set pair wan0". */
  readonly log: string[] = [];
  readonly pairs = new Map<string, { pair: Pair; host: number }>();
  readonly subifs = new Map<string, Subif>();
  readonly mroutes = new Map<string, Mroute>();
  readonly tables = new Map<number, Table>();
  readonly links = new Map<string, Link>();
  readonly addresses = new Map<string, Address>();
  readonly neighbours = new Map<string, Neighbour>();
  readonly pathsets = new Map<number, Path[]>();
  readonly routes = new Map<number, Map<string, FakeRouteRow>>();
  readonly #failures = new Map<string, { left: number; code: string }>();
  readonly #hosts: Hosts;
  #listener: dp.DataPlaneListener | undefined;
  #up = false;
  #generation = 1;
  #nextTable = 1;
  #nextPathset = FIRST_HANDLE;

  constructor(hosts: Hosts) {
    this.#hosts = hosts;
  }

  connect(listener: dp.DataPlaneListener): void {
    this.#listener = listener;
    this.#up = true;
    listener.onState('up', 'connected');
  }

  async close(keep: boolean): Promise<void> {
    this.#up = false;
    if (!keep) this.#lose();
  }

  #lose(): void {
    const { pairs, subifs, tables, links, addresses, neighbours, pathsets, mroutes, routes } = this;
    for (const map of [pairs, subifs, tables, links, addresses, neighbours, pathsets, mroutes, routes]) map.clear();
    this.#generation++;
    this.#nextTable = 1;
    this.#nextPathset = FIRST_HANDLE;
  }

  /** Ends and comes again: with what it held, or without. */
  restart(keep: boolean): void {
    this.#listener?.onState('down', 'ended');
    if (!keep) this.#lose();
    this.#listener?.onState('up', 'started');
  }

  emit(event: dp.DataPlaneEvent): void {
    this.#listener?.onEvent(event);
  }

  /** Refuses the next n operations of a sort: 'set pair', 'delete table', 'route'. */
  failNext(what: `${'set' | 'delete'} ${Kind}` | 'route', n = 1, code = 'REFUSED'): void {
    this.#failures.set(what, { left: n, code });
  }

  #fails(what: string, key: string): string | undefined {
    if (this.refusesFirst && !this.#asked.has(`${what} ${key}`)) {
      this.#asked.add(`${what} ${key}`);
      return 'REFUSED';
    }
    const failure = this.#failures.get(what);
    if (failure === undefined || failure.left === 0) return undefined;
    failure.left--;
    return failure.code;
  }

  async #turn(): Promise<void> {
    if (this.late) await new Promise((resolve) => setImmediate(resolve));
  }

  async dump(): Promise<dp.HeldObject[]> {
    await this.#turn();
    return [
      ...[...this.pairs.values()].map(({ pair, host }) => ({ object: pair, handle: host })),
      ...[...this.tables].map(([handle, object]) => ({ object, handle })),
      ...[...this.#plain()].map((object) => ({ object })),
      ...[...this.pathsets].map(([handle, paths]) => ({
        object: { kind: 'pathset' as const, id: `held#${handle}`, paths: paths.map((p) => ({ ...p })) },
        handle,
      })),
    ];
  }

  /** What has no handle. */
  #plain(): LcpObject[] {
    const { subifs, links, addresses, neighbours, mroutes } = this;
    return [subifs, links, addresses, neighbours, mroutes].flatMap((map) => [...map.values()]);
  }

  #isPort(phy: string): boolean {
    return this.pairs.has(phy) || this.subifs.has(phy);
  }

  async dumpRoutes(handle: number, family: RouteFamily, onBatch: (batch: dp.RouteBatch) => void): Promise<void> {
    await this.#turn();
    const batch = newRouteBatch(family, 16);
    for (const row of this.routes.get(handle)?.values() ?? []) {
      const at = batch.count++ * ROUTE_WORDS;
      batch.words.fill(0, at, at + ROUTE_WORDS);
      batch.words.set([handle, row.target, row.plen, ...row.words], at);
      if (batch.count < 16) continue;
      onBatch(batch);
      batch.count = 0;
    }
    if (batch.count > 0) onBatch(batch);
  }

  async apply(operations: readonly dp.Operation[]): Promise<dp.OperationResult[]> {
    await this.#turn();
    return operations.map((operation) => {
      const { op, object } = operation;
      this.operations++;
      this.log.push(`${op} ${object.kind} ${keyOf(object)}`);
      const code = this.#fails(`${op} ${object.kind}`, keyOf(object));
      return code === undefined ? this.#one(operation) : refused(code, 'as it was told');
    });
  }

  #one({ op, object, handle }: dp.Operation): dp.OperationResult {
    const set = op === 'set';
    switch (object.kind) {
      case 'pair':
        return set ? this.#setPair(object, handle) : this.#deletePair(object, handle);
      case 'table':
        return set ? this.#setTable(object) : this.#deleteTable(object, handle);
      case 'subif':
        return set ? this.#setSubif(object) : this.#deleteSubif(object);
      case 'mroute':
        if (!set) this.mroutes.delete(keyOf(object));
        else if (![object.phy, ...object.out].every((phy) => this.#isPort(phy)))
          return refused('PORT_REFUSED', 'no port');
        else this.mroutes.set(keyOf(object), object);
        return { ok: true };
      case 'link':
        if (!set) this.links.delete(object.phy);
        else if (!this.#isPort(object.phy)) return refused('PORT_REFUSED', 'no port');
        else if (Math.max(object.lookup4.length, object.lookup6.length) > 5) return refused('PORT_REFUSED', 'tables');
        else this.#setLink(object);
        return { ok: true };
      case 'address':
        return this.#keep(this.addresses, object, set);
      case 'neighbour':
        return this.#keep(this.neighbours, object, set);
      case 'pathset':
        return set ? this.#setPathset(object.paths, handle) : this.#deletePathset(handle);
    }
    return refused('NOT_SUPPORTED', object.kind);
  }

  #keep<T extends Address | Neighbour>(map: Map<string, T>, object: T, set: boolean): dp.OperationResult {
    if (!set) map.delete(keyOf(object));
    else if (!this.#isPort(object.phy)) return refused('PORT_REFUSED', 'no port');
    else map.set(keyOf(object), object);
    return { ok: true };
  }

  #setLink(link: Link): void {
    this.links.set(link.phy, link);
    if (link.parent === '') this.#hosts.agree(link);
  }

  #setSubif(subif: Subif): dp.OperationResult {
    const { phy, parent, tags } = subif;
    const tagsText = tags.join();
    if (!this.pairs.has(parent)) return refused('PORT_REFUSED', `${parent} has no port`);
    if (tags.length < 1 || tags.length > 2 || !tags.every(isTag)) return refused('PORT_REFUSED', `tags ${tagsText}`);
    for (const other of this.subifs.values()) {
      if (other.phy !== phy && other.parent === parent && other.tags.join() === tagsText) {
        return refused('PORT_REFUSED', `${other.phy} has these tags`);
      }
    }
    const held = this.subifs.get(phy);
    if (held !== undefined && (held.parent !== parent || held.tags.join() !== tagsText)) this.#losePort(phy);
    this.subifs.set(phy, subif);
    return { ok: true };
  }

  #deleteSubif({ phy }: Subif): dp.OperationResult {
    if (this.subifs.has(phy)) this.#losePort(phy);
    return { ok: true };
  }

  /** A port that ends takes its sub-interfaces, link, neighbours and entries along; legs over it lead nowhere. */
  #losePort(phy: string): void {
    for (const subif of this.subifs.values()) if (subif.parent === phy) this.#losePort(subif.phy);
    for (const [key, m] of this.mroutes) {
      if (m.phy === phy) this.mroutes.delete(key);
      else if (m.out.includes(phy)) this.mroutes.set(key, { ...m, out: m.out.filter((o) => o !== phy) });
    }
    this.pairs.delete(phy);
    this.subifs.delete(phy);
    this.links.delete(phy);
    for (const map of [this.addresses, this.neighbours]) {
      for (const [key, o] of map) if (o.phy === phy) map.delete(key);
    }
    for (const [handle, paths] of this.pathsets) {
      this.pathsets.set(
        handle,
        paths.map((p) => (p.phy === phy ? { ...p, phy: ENDED } : p)),
      );
    }
  }

  #setPair(pair: Pair, held: number): dp.OperationResult {
    this.#losePort(pair.phy);
    if (pair.phyIfindex === 0) return { ok: true, handle: held };
    const host = this.#hosts.make(pair);
    if (host === 0) return refused('NETNS_GONE', 'no such namespace');
    this.pairs.set(pair.phy, { pair, host });
    return { ok: true, handle: host };
  }

  #deletePair(pair: Pair, held: number): dp.OperationResult {
    const host = this.pairs.get(pair.phy)?.host ?? held;
    this.#losePort(pair.phy);
    if (host !== 0) this.#hosts.remove(pair, host);
    return { ok: true };
  }

  #setTable(table: Table): dp.OperationResult {
    for (const [handle, t] of this.tables) if (keyOf(t) === keyOf(table)) return { ok: true, handle };
    const handle = this.#nextTable++;
    this.tables.set(handle, table);
    this.routes.set(handle, new Map());
    return { ok: true, handle };
  }

  #deleteTable(table: Table, handle: number): dp.OperationResult {
    const held = this.tables.get(handle);
    if (held !== undefined && keyOf(held) !== keyOf(table)) return refused('REFUSED', 'another table');
    this.tables.delete(handle);
    this.routes.delete(handle);
    return { ok: true };
  }

  #setPathset(paths: readonly Path[], handle: number): dp.OperationResult {
    if (handle !== 0 && !this.pathsets.has(handle)) return refused('REFUSED', `no path set ${handle}`);
    if (paths.length === 0 || paths.length > 256) return refused('REFUSED', `${paths.length} legs`);
    if (paths.some((p) => p.phy !== '' && !this.#isPort(p.phy))) return refused('PORT_REFUSED', 'no port');
    if (paths.some((p) => p.weight < 1 || p.weight > 65535)) return refused('REFUSED', 'weight');
    if (!paths.every(legFits)) return refused('REFUSED', 'labels or tables');
    const id = handle === 0 ? this.#nextPathset++ : handle;
    this.pathsets.set(
      id,
      paths.map((p) => ({ ...p })),
    );
    return { ok: true, handle: id };
  }

  #deletePathset(handle: number): dp.OperationResult {
    for (const rows of this.routes.values()) {
      for (const row of rows.values()) if (row.target === handle) return refused('REFUSED', 'EBUSY');
    }
    this.pathsets.delete(handle);
    return { ok: true };
  }

  applyRoutes(batch: dp.RouteBatch): number | Promise<number> {
    return this.late ? this.#turn().then(() => this.#applyRoutes(batch)) : this.#applyRoutes(batch);
  }

  #applyRoutes(batch: dp.RouteBatch): number {
    let failed = 0;
    for (let i = 0; i < batch.count; i++) {
      this.operations++;
      batch.results[i] =
        this.#fails('route', batch.words.subarray(i * ROUTE_WORDS, (i + 1) * ROUTE_WORDS).join(' ')) === undefined
          ? this.#route(batch, i * ROUTE_WORDS)
          : -12;
      if (batch.results[i] !== 0) failed++;
    }
    return failed;
  }

  #route({ words, family }: dp.RouteBatch, at: number): number {
    const [handle = 0, target = 0, plen = 0] = words.subarray(at, at + 3);
    const rows = this.routes.get(handle);
    if (rows === undefined || this.tables.get(handle)?.family !== family) return ENOENT;
    if (!isPrefix(words, at + 3, family, plen)) return EINVAL;
    const key = rowKey(words, at + 3, family, plen);
    if (target === SPECIAL.none) {
      rows.delete(key);
      return 0;
    }
    if (target >= FIRST_HANDLE ? !this.pathsets.has(target) : target > SPECIAL.punt) return EINVAL;
    rows.set(key, {
      words: [...words.subarray(at + 3, at + 3 + wordCount(family))],
      plen,
      target,
      copied: this.sharedPathSets ? undefined : this.pathsets.get(target),
    });
    return 0;
  }

  lookup(family: RouteFamily, ...rest: [readonly number[], boolean, readonly string[]]): dp.LookupAnswer[] {
    return lookupIn(this.routes, family, ...rest);
  }

  paths(handle: number): dp.PathAnswer[] | undefined {
    return this.pathsets.get(handle)?.map((p) => ({ ...p, complete: this.neighbours.has(`${p.phy} ${p.via}`) }));
  }

  /** Path sets that no route leads to. */
  unusedPathsets(): number[] {
    const used = new Set([...this.routes.values()].flatMap((rows) => [...rows.values()].map((row) => row.target)));
    return [...this.pathsets.keys()].filter((handle) => !used.has(handle));
  }

  port(): number | undefined {
    return undefined;
  }
  info(): dp.DataPlaneInfo {
    return { driver: this.name, state: this.#up ? 'up' : 'down', generation: String(this.#generation) };
  }
  readonly adjacencies = (): dp.AdjacencyRow[] => [];
  counted: dp.CounterRow[] = [];
  readonly counters = async (): Promise<dp.CounterRow[]> => this.counted;
  saidOfRoutes: dp.RouteFailure[] = [];
  readonly routeFailures = (): dp.RouteFailure[] => this.saidOfRoutes;
  readonly traces = (): dp.TracedPacket[] => [];

  /** Handles left out, what they stand for instead: two data planes with equal text forward alike. */
  text(): string {
    const plain = (o: LcpObject): string => JSON.stringify(o, Object.keys(o).sort());
    const lines = [...this.pairs.values()].map(({ pair }) => plain(pair));
    for (const o of this.#plain()) lines.push(plain(o));
    for (const [handle, t] of this.tables) {
      lines.push(`table ${keyOf(t)}`);
      for (const { words, plen, target, copied } of this.routes.get(handle)?.values() ?? []) {
        const to = target < FIRST_HANDLE ? SPECIAL_NAMES[target] : pathsText(copied ?? this.pathsets.get(target) ?? []);
        const dst = prefixText(t.family, words, plen);
        lines.push(`${tableKey(t.netns, t.family, t.table)} ${dst} -> ${to}`);
      }
    }
    return lines.sort().join('\n');
  }
}
