// Programme: what one session has put into VPP, by parts, and how objects of the core find their part.
//
// Invariants: made anew for every session and read from VPP before it is used. A dump reads the tables' routes once and
// keeps them packed until they are asked for. Reference: docs/design.md, section 3.

import type {
  AdjacencyRow,
  HeldObject,
  LinkControl,
  Operation,
  OperationResult,
  PathAnswer,
  RouteBatch,
} from '../lcp/dataplane.ts';
import {
  type Address,
  type Family,
  type LcpObject,
  MPLS,
  type Pair,
  type PathSet,
  type RouteFamily,
  type Table,
  tableKey,
} from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { Addresses } from './addresses.ts';
import { fibSourceDump } from './api/fib.ts';
import { Bindings, stepsOf } from './bindings.ts';
import type { VppClient } from './client.ts';
import { agreed } from './copies.ts';
import { Deletions } from './deletions.ts';
import { gapsOf } from './gaps.ts';
import { Interfaces } from './interfaces.ts';
import { Leaks } from './leaks.ts';
import { Links } from './links.ts';
import { type FoundRoute, lookUp, lookUpLabels } from './lookup.ts';
import { Macs } from './macs.ts';
import { Mroutes } from './mroutes.ts';
import { Neighbours } from './neighbours.ts';
import { type PairOptions, Pairs } from './pairs.ts';
import { isLookupLeg } from './paths.ts';
import { PathTable } from './pathtable.ts';
import type { PuntMemory } from './puntmemory.ts';
import { Punts } from './punts.ts';
import { type ReadRoutes, readHome } from './routereader.ts';
import { Routes } from './routes.ts';
import { SeenInterfaces } from './seen.ts';
import type { PairBackend, Session } from './session.ts';
import { Subifs } from './subifs.ts';
import { type Held, LOCAL, MAIN, Tables } from './tables.ts';

const FAMILIES: readonly Family[] = [4, 6];
/** linux_cp numbers its taps from 4096 on. */
const HOST_NAME = /^t(ap|un)(409[6-9]|4[1-9][0-9]{2}|[5-9][0-9]{3}|[0-9]{5,})$/;

export interface ProgrammeOptions {
  readonly pairBackend: PairBackend;
  readonly namespaces: readonly string[];
  readonly ifindexOf: PairOptions['ifindexOf'];
  readonly memory: PuntMemory;
  readonly discoverySocket: string;
  readonly groupSocket: string;
  readonly onRemark: (what: string, message: string) => void;
  /** A phy of a pair was deleted and made again so quickly that nobody has seen it gone. */
  readonly onReplaced: (phy: string) => void;
}

export class Programme {
  readonly session: Session;
  readonly interfaces: Interfaces;
  readonly subifs: Subifs;
  readonly routes: Routes;
  readonly #client: VppClient;
  readonly #pairs: Pairs;
  readonly #tables: Tables;
  readonly #paths: PathTable;
  readonly #bindings: Bindings;
  readonly #addresses: Addresses;
  readonly #neighbours: Neighbours;
  readonly #links: Links;
  readonly #macs: Macs;
  readonly #mroutes: Mroutes;
  readonly #first: string;
  readonly #backend: PairBackend;
  readonly seen: SeenInterfaces;
  readonly punts: Punts;
  /** What else the operator should know of this VPP. */
  readonly remarks = new Map<string, string>();
  readonly #neighbourSources = new Set<number>();
  readonly #emptySources = new Set<number>();
  /** Routes that a dump has read and nobody has taken yet, by table. */
  #read = new Map<number, RouteBatch[]>();

  constructor(session: Session, links: LinkControl, options: ProgrammeOptions, onPhys: () => void) {
    const { client, sources } = session;
    const { pairBackend: backend, namespaces, ifindexOf } = options;
    this.session = session;
    this.#client = client;
    this.#first = namespaces[0] ?? '';
    this.#backend = backend;
    this.interfaces = new Interfaces(client, () => {
      this.#paths.placesChanged();
      onPhys();
    });
    this.#pairs = new Pairs(client, this.interfaces, links, { backend, namespaces, ifindexOf });
    this.subifs = new Subifs(client, this.interfaces, this.#pairs);
    this.#tables = new Tables(client, this.#first);
    this.#paths = new PathTable({
      ifindex: (phy) => this.subifs.interface(phy)?.ifindex,
      phy: (ifindex) => this.subifs.name(ifindex),
      lookupTable: (family, keys) => {
        const [first] = stepsOf(keys) ?? [];
        return first === undefined ? undefined : this.#tables.home(first.netns, family, first.table)?.vpp;
      },
      lookupKeys: (family, table) => this.#bindings.keysFrom(family, table),
      puntTable: () => this.#tables.puntTable(),
    });
    this.routes = new Routes(client, sources, this.#tables, this.#paths);
    this.#bindings = new Bindings(this.#tables, this.routes, {
      routesOf: async (home) => (await this.#readAlone(home)).main,
      move: (phy, family, home) => this.#links.move(phy, family, home),
      isInhabited: (home) => this.#links.isInhabited(home),
    });
    const leaks = new Leaks(this.routes);
    this.#addresses = new Addresses(session, this.subifs, this.#pairs, leaks);
    this.#macs = new Macs(client, this.interfaces);
    // a TAP takes every frame, and an attached host is an interface as any other
    this.#neighbours = new Neighbours(client, this.subifs, async (phy, address, mac) => {
      const host = this.#pairs.row(phy)?.host_sw_if_index;
      if (backend === 'attach' && host !== undefined) await this.#macs.want(host, address, mac === '' ? [] : [mac]);
    });
    const { interfaces, subifs } = this;
    this.#links = new Links({
      client,
      interfaces,
      pairs: this.#pairs,
      subifs,
      addresses: this.#addresses,
      bindings: this.#bindings,
      macs: this.#macs,
      neighbours: this.#neighbours,
      leaks,
      puntTable: this.#tables.puntTable(),
      labelTable: tableKey(this.#first, MPLS, 0),
    });
    const [addresses, pairs, tables, links_] = [this.#addresses, this.#pairs, this.#tables, this.#links];
    this.seen = new SeenInterfaces({ client, interfaces, pairs, subifs, addresses, links: links_, tables });
    const parts = { client, interfaces, subifs, pairs, tables, first: this.#first, memory: options.memory };
    const deletions = new Deletions(client, interfaces, pairs, [pairs, links_, addresses, this.#neighbours]);
    this.punts = new Punts(parts, links, { ...options, pid: session.pid });
    interfaces.also = async () => {
      deletions.replaced(options.onReplaced);
      return [await this.punts.looked(), await this.seen.read()].includes(true);
    };
    this.#mroutes = new Mroutes(client, subifs, this.#tables, links_.tableOf.bind(links_));
  }

  /** Reads what VPP has. */
  async open(pollMs: number): Promise<void> {
    for (const { src } of await this.#client.dump(fibSourceDump, {})) {
      if (['adjacency', 'attached_export'].includes(src.name)) this.#neighbourSources.add(src.id);
      if (['default-route', 'urpf-exempt', 'recursive-resolution', 'special'].includes(src.name))
        this.#emptySources.add(src.id);
    }
    await this.interfaces.open(pollMs);
    await this.#pairs.read();
    await this.#tables.read();
    for (const family of FAMILIES) await this.#tables.needPunt(family, (vpp) => this.routes.fillPunt(family, vpp));
    await Promise.all([this.#addresses.read(), this.#neighbours.read(), this.#links.read(), this.#mroutes.read()]);
    await this.punts.open();
  }

  /** Interfaces that a pair could be made with; taps of linux_cp, by their numbers, and what else is a host are none. */
  phyNames(): string[] {
    const hosts = new Set([...this.#pairs.paired()].map((index) => this.#pairs.row(index)?.host_sw_if_index));
    const isOther = (index: number) => hosts.has(index) || this.punts.interconnects.isOwn(index);
    return [...this.interfaces.all()]
      .filter(({ ifindex, parent, name }) => parent === ifindex && !isOther(ifindex) && !HOST_NAME.test(name))
      .map(({ name }) => name);
  }

  close(): void {
    this.punts.close();
    this.interfaces.close();
    this.#addresses.close();
    this.#client.close();
  }

  /** What this VPP cannot do, with the reason. */
  unsupported(): Map<string, string> {
    const noMacs = this.#macs.unsupported;
    const gaps = gapsOf(this.#client, this.#first, this.#backend);
    if (noMacs !== undefined) gaps.set('macs', noMacs);
    const { reason } = this.punts.discovery;
    return reason === '' ? gaps : gaps.set('router advertisements and solicitations to hosts', reason);
  }

  /** Everything of ours, except routes, which are kept for dumpRoutes. */
  async dump(): Promise<HeldObject[]> {
    await Promise.all([this.interfaces.refresh(), this.#pairs.read(), this.#neighbours.read(), this.#addresses.read()]);
    this.#paths.placesChanged();
    this.#read = new Map();
    for (const home of [...this.#tables.homes()]) {
      const { netns, family, table, isFound, copy } = home;
      if (copy > 0) continue;
      const { main, local } = await this.#readHome(home);
      if (isFound || main.length > 0 || this.#tables.heldAs(netns, family, table) !== undefined)
        this.#adopt(netns, family, table, home, main);
      if (table === MAIN && family !== MPLS && local.length > 0) this.#adopt(netns, family, LOCAL, home, local);
    }
    for (const { handle } of this.#tables.held()) if (!this.#read.has(handle)) this.#read.set(handle, []);
    return [
      ...this.#pairs.held(),
      ...[...this.#tables.held()].map(({ table, handle }) => ({ object: table, handle })),
      ...this.subifs.held(),
      ...this.#addresses.held(),
      ...this.#neighbours.held(),
      ...[...this.#paths.handles()].map((handle) => ({ object: this.#pathSet(handle), handle })),
      ...this.#mroutes.held(),
      ...(await this.punts.dump()),
    ];
  }

  #pathSet(handle: number): PathSet {
    return { kind: 'pathset', id: `held#${handle}`, paths: this.#paths.paths(handle) ?? [] };
  }

  #adopt(netns: string, family: RouteFamily, table: number, home: Held['home'], batches: RouteBatch[]): void {
    const { handle } = this.#tables.adopt({ kind: 'table', netns, family, table }, home);
    for (const { words, count } of batches) for (let i = 0; i < count; i++) words[i * 7] = handle;
    this.#read.set(handle, batches);
  }

  async #readHome(home: Held['home'], handle = 0): Promise<ReadRoutes> {
    if (home.family === MPLS) return { main: await this.routes.labels.read(home, handle), local: [] };
    const { main, local } = await this.#readAlone(home, handle);
    const copies: RouteBatch[][] = [];
    for (const copy of home.copies) copies.push((await this.#readAlone(copy, handle)).main);
    return { main: agreed(main, copies, () => this.#paths.unwanted()), local };
  }

  #readAlone(home: Held['home'], handle = 0): Promise<ReadRoutes> {
    const paired = new Set(this.#pairs.paired());
    const isPaired = (ifindex: number) => paired.has(ifindex);
    const context = { client: this.#client, sources: this.session.sources, paths: this.#paths, isPaired };
    return readHome(context, home, handle, handle);
  }

  /** Routes of a table: those that the last dump has read, else as they are now. */
  async dumpRoutes(handle: number, onBatch: (batch: RouteBatch) => void): Promise<void> {
    const { home, table } = this.#tables.required(handle);
    const isLocal = table.table === LOCAL;
    const batches = this.#read.get(handle) ?? (await this.#readHome(home, handle))[isLocal ? 'local' : 'main'];
    this.#read.delete(handle);
    for (const batch of batches) onBatch(batch);
  }

  /** Fills batch.results; how many failed. What a dump has read is old now. */
  applyRoutes(batch: RouteBatch): Promise<number> {
    this.#read.clear();
    return this.routes.apply(batch);
  }

  /** What operations of a batch say together, before any of them is applied. */
  async prepare(operations: readonly Operation[]): Promise<void> {
    const links = operations.flatMap(({ op, object }) => (op === 'set' && object.kind === 'link' ? [object] : []));
    if (links.length === 0) return;
    for (const link of links) if (this.subifs.isUsable(link.phy)) this.#bindings.wish(link);
    await this.#bindings.settle(new Set(links.map(({ phy }) => phy)));
  }

  async apply({ op, object, handle }: Operation): Promise<OperationResult> {
    const isSet = op === 'set';
    switch (object.kind) {
      case 'pair':
        return isSet ? this.#pairs.set(object, handle, () => this.#deleteSubifs(object)) : this.#deletePair(object);
      case 'subif':
        return isSet ? this.subifs.set(object) : this.#deleteSubif(object);
      case 'table':
        return isSet ? this.#setTable(object) : this.#deleteTable(object);
      case 'link':
        return isSet ? this.#links.set(object) : { ok: true }; // it goes with its pair
      case 'address':
        return this.#setAddress(object, isSet);
      case 'neighbour':
        return isSet ? this.#neighbours.set(object) : this.#neighbours.delete(object);
      case 'pathset':
        return isSet ? this.#setPathSet(object, handle) : this.#deletePathSet(handle);
      case 'mroute':
        return isSet ? this.#mroutes.set(object) : this.#mroutes.delete(object);
      case 'interconnect':
      case 'punt':
        return isSet ? this.punts.set(object) : this.punts.delete(object);
    }
  }

  async #deleteSubifs({ phy }: Pair): Promise<void> {
    for (const subif of this.subifs.of(phy)) await this.#deleteSubif(subif);
  }

  async #deletePair(pair: Pair): Promise<OperationResult> {
    await this.#deleteSubifs(pair);
    await this.#neighbours.forget(pair.phy);
    if (this.#pairs.has(pair.phy)) await this.#links.forget(pair.phy);
    return this.#pairs.delete(pair);
  }

  async #deleteSubif(subif: LcpObject & { kind: 'subif' }): Promise<OperationResult> {
    await this.#neighbours.forget(subif.phy);
    if (this.subifs.isUsable(subif.phy)) await this.#links.forget(subif.phy);
    return this.subifs.delete(subif);
  }

  async #setTable(table: Table): Promise<OperationResult> {
    const isNew = this.#tables.heldAs(table.netns, table.family, table.table) === undefined;
    await this.#tables.need(table.netns, table.family, table.table);
    const { handle } = await this.#tables.set(table);
    if (isNew || !this.#bindings.isSettled) await this.#bindings.settle();
    return { ok: true, handle };
  }

  /** Takes a table's routes out with it. */
  async #deleteTable(table: Table): Promise<OperationResult> {
    const held = this.#tables.heldAs(table.netns, table.family, table.table);
    if (held === undefined) return { ok: true };
    await this.routes.remove(held.home, table.table === LOCAL);
    this.#read.delete(held.handle);
    this.#tables.drop(table);
    await this.#bindings.settle();
    await this.#bindings.releaseEmpty(held.home);
    return { ok: true };
  }

  async #setPathSet(set: PathSet, handle: number): Promise<OperationResult> {
    if (set.paths.length === 0)
      throw new LcpError('REFUSED', { op: 'set paths', key: set.id, message: 'it has no legs' });
    for (const path of set.paths) {
      if (!isLookupLeg(path)) continue;
      for (const [family, keys = []] of [[4, path.lookup4] as const, [6, path.lookup6] as const]) {
        const home = await this.#bindings.homeOf(keys, family);
        home?.users.add('paths');
      }
    }
    return { ok: true, handle: this.#paths.set(set, handle) };
  }

  #deletePathSet(handle: number): OperationResult {
    this.#paths.delete(handle);
    return { ok: true };
  }

  pathAnswers(handle: number): PathAnswer[] | undefined {
    return this.#paths.paths(handle)?.map((path) => {
      const index = path.phy === '' ? undefined : this.subifs.interface(path.phy)?.ifindex;
      const complete =
        path.phy === '' || (index !== undefined && (path.via === '' || this.#neighbours.has(index, path.via)));
      return { ...path, complete };
    });
  }

  async #setAddress(address: Address, isSet: boolean): Promise<OperationResult> {
    try {
      return await (isSet ? this.#addresses.set(address) : this.#addresses.delete(address));
    } finally {
      await this.#neighbours.again(address.phy);
    }
  }

  async lookup(family: RouteFamily, handles: readonly number[], addresses: readonly string[]): Promise<FoundRoute[]> {
    if (family === MPLS) return lookUpLabels(this.routes.labels, this.#tables, handles, addresses);
    const parts = {
      client: this.#client,
      sources: this.session.sources,
      tables: this.#tables,
      paths: this.#paths,
      neighbourSources: this.#neighbourSources,
      emptySources: this.#emptySources,
    };
    return Promise.all(addresses.map((address) => lookUp(parts, family, handles, address)));
  }

  adjacencies(): AdjacencyRow[] {
    return this.#neighbours.rows();
  }

  /** Takes everything of ours out of VPP. */
  async removeAll(): Promise<void> {
    await this.punts.removeAll();
    for (const { object } of this.#mroutes.held()) await this.apply({ op: 'delete', object, handle: 0 });
    for (const { object } of this.#pairs.held()) if (object.kind === 'pair') await this.#deletePair(object);
    for (const { table } of [...this.#tables.held()]) await this.#deleteTable(table);
    for (const home of [...this.#tables.homes()].sort((a, b) => b.copy - a.copy)) {
      home.users.clear();
      await this.#bindings.releaseEmpty(home);
    }
    for (const family of FAMILIES) await this.#tables.dropPunt(family, (vpp) => this.routes.emptyPunt(family, vpp));
  }
}
