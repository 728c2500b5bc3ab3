// Wishes: dirty keys of every kind but routes become what the delta table wants; nothing is sent here.
//
//   links ─► sub-interfaces ─► tables ─► pairs and their links ─► addresses ─► neighbours ─► path sets ─► multicast
//
// The order is that of dependence within one pass. What an answer of the data plane changes (a pair has
// got its host, a sub-interface its port) marks keys dirty again, and the next pass finds them.

import { deriveAddresses } from './addresses.ts';
import type { DataPlane, PhySource } from './dataplane.ts';
import type { DeltaTable } from './delta.ts';
import { deriveNeighbour } from './derive.ts';
import { deriveLink, deriveSubifLink, ingressOf } from './derivelink.ts';
import type { Namespace } from './namespace.ts';
import { type Address, keyOf, type LcpObject, MPLS, type Pair, type RouteFamily, tableKey } from './objects.ts';
import type { Pairs } from './pairs.ts';
import { KernelPhys } from './phys.ts';
import { INTERCONNECT_PHY } from './puntobjects.ts';
import type { RouteSync } from './routesync.ts';
import { NO_VRF, vrfIngress } from './rules.ts';
import { deriveSubifs, type FoundSubif } from './subifs.ts';
import type { Upward } from './upward.ts';

const FAMILIES: readonly RouteFamily[] = [4, 6, MPLS];

export interface WishParts {
  readonly namespaces: ReadonlyMap<string, Namespace>;
  readonly pairs: Pairs;
  readonly delta: DeltaTable;
  readonly routes: RouteSync;
  readonly upward: Upward;
  readonly dataplane: Pick<DataPlane, 'hasAddresses' | 'phys'>;
  onPair(phy: string, state: string, reason: string): void;
}

const NO_SUBIFS: ReadonlyMap<string, FoundSubif> = new Map();

const sameHost = (a: Pair, b: Pair): boolean => a.host === b.host && a.netns === b.netns && a.type === b.type;

export class Wishes {
  readonly #parts: WishParts;
  readonly #dirtyPairs = new Set<string>();
  /** Row of a kernel object whose row key is not its own: 'kind netns key'. */
  readonly #rowOf = new Map<string, string>();
  /** The kernel object that said last what a row ('kind key') should be: only its end ends the row. */
  readonly #ownerOf = new Map<string, string>();
  readonly #subifs = new WeakMap<Namespace, ReadonlyMap<string, FoundSubif>>();
  /** Tables that interfaces of a namespace are looked up in, whether or not they have routes. */
  readonly #lookedUp = new Map<Namespace, Map<RouteFamily, Set<number>>>();

  constructor(parts: WishParts) {
    this.#parts = parts;
  }

  get #phys(): PhySource {
    const { dataplane, namespaces, delta } = this.#parts;
    return dataplane.phys ?? new KernelPhys(namespaces.get('') as Namespace, delta);
  }

  dirtyPair(phy: string): void {
    this.#dirtyPairs.add(phy);
    // a sub-interface gives way to a pair of its name
    if (this.#parts.delta.row('subif', phy) !== undefined) this.#dirtyVlans();
  }
  #dirtyVlans(): void {
    for (const ns of this.#parts.namespaces.values()) {
      for (const link of ns.links.values()) if (link.kind === 'vlan') ns.dirtyLinks.add(link.ifindex);
    }
  }
  /** Any of them may be different: a phy, or an address that all take as source. */
  dirtyAllPairs(): void {
    for (const spec of this.#parts.pairs.specs()) this.#dirtyPairs.add(spec.phy);
  }

  /** Interfaces of the data plane, which a host's VLAN devices may stand for, changed there. */
  interfacesChanged(): void {
    const { namespaces, pairs } = this.#parts;
    this.dirtyAllPairs();
    for (const { phy, netns } of pairs.specs()) {
      const host = pairs.host(phy);
      if (host !== 0) namespaces.get(netns)?.dirtyLinks.add(host);
    }
  }

  /** A namespace appeared, vanished or was read: its tables and every pair may be different. */
  namespaceChanged(ns: Namespace): void {
    this.#dirtyTables(ns);
    this.dirtyAllPairs();
  }

  /** Whether a pass would look at something. */
  get isDirty(): boolean {
    if (this.#dirtyPairs.size > 0) return true;
    for (const ns of this.#parts.namespaces.values()) {
      if (ns.dirtyLinks.size + ns.dirtyNeighbours.size + ns.dirtyPathsets.size + ns.mroutes.dirty.size > 0) return true;
      if (ns.routes.some((r) => r.dirtyTables.size > 0)) return true;
    }
    return false;
  }

  /** Everything of a namespace is looked at again: the data plane was read. */
  reviewAll(ns: Namespace): void {
    const { delta } = this.#parts;
    this.dirtyAllPairs();
    for (const ifindex of ns.links.keys()) ns.dirtyLinks.add(ifindex);
    for (const key of ns.neighbours.keys()) ns.dirtyNeighbours.add(key);
    ns.mroutes.review();
    // wished for again by what is derived from here on: path sets by the first route that needs them
    for (const kind of ['address', 'neighbour', 'pathset', 'mroute'] as const) {
      for (const row of [...delta.rows(kind)]) delta.want(kind, row.key, undefined);
    }
    for (const p of ns.pathsets.all()) p.resolved = -1;
    this.#dirtyTables(ns);
  }

  #dirtyTables(ns: Namespace): void {
    for (const routes of ns.routes) {
      for (const table of routes.tables()) routes.dirtyTables.add(table);
      for (const table of this.#looked(ns, routes.family)) routes.dirtyTables.add(table);
    }
  }

  /** One pass over all dirty keys. Whether links, addresses, phys or tables were among them. */
  derive(): boolean {
    const { namespaces, routes, upward } = this.#parts;
    const tables = [...namespaces.values()].some((ns) => ns.routes.some((r) => r.dirtyTables.size > 0));
    const isReview = this.#reviewUpward();
    for (const ns of namespaces.values()) {
      if (ns.dirtyLinks.size > 0) this.#deriveLinks(ns);
      this.deriveTables(ns);
    }
    for (const phy of this.#dirtyPairs) this.#derivePair(phy);
    this.#dirtyPairs.clear();
    if (isReview) upward.reviewed();
    if (this.#parts.dataplane.hasAddresses) this.#deriveAddresses();
    for (const ns of namespaces.values()) {
      for (const key of ns.dirtyNeighbours) this.#deriveNeighbour(ns, key);
      ns.dirtyNeighbours.clear();
      routes.reviewPathSets(ns);
      for (const key of ns.mroutes.dirty) this.#deriveMroute(ns, key);
      ns.mroutes.dirty.clear();
    }
    return isReview || tables;
  }

  /** What is changed in the data plane goes up before anything is wished for that would undo it. */
  #reviewUpward(): boolean {
    const { namespaces, pairs, upward } = this.#parts;
    let isDue = this.#dirtyPairs.size > 0;
    for (const ns of namespaces.values()) {
      if (ns.dirtyLinks.size === 0) continue;
      this.#subifs.set(ns, deriveSubifs(ns, pairs));
      isDue = true;
    }
    if (isDue) upward.review((ns) => this.#subifs.get(ns) ?? NO_SUBIFS);
    return isDue;
  }

  #deriveLinks(ns: Namespace): void {
    const { pairs } = this.#parts;
    this.#deriveSubifs(ns); // marks more links dirty
    for (const ifindex of ns.dirtyLinks) {
      // neighbours over it come and go with IFF_UP
      if (pairs.phy(ns.name, ifindex) === '') continue;
      for (const [key, n] of ns.neighbours) if (n.ifindex === ifindex) ns.dirtyNeighbours.add(key);
    }
    ns.dirtyLinks.clear();
    // any link of our own namespace may be a phy by name, any address a source for every pair
    this.dirtyAllPairs();
    const before = this.#lookedUp.get(ns);
    this.#lookedUp.delete(ns);
    for (const routes of ns.routes) {
      for (const table of before?.get(routes.family) ?? []) routes.dirtyTables.add(table);
      for (const table of this.#looked(ns, routes.family)) routes.dirtyTables.add(table);
    }
    for (const row of [...this.#parts.delta.rows('subif')]) {
      const subif = row.desired;
      if (subif?.kind !== 'subif' || subif.netns !== ns.name) continue;
      const attached = row.actual !== undefined && pairs.host(row.key) !== 0;
      const link = attached ? deriveSubifLink(row.key, subif.parent, ns, pairs) : undefined;
      this.#parts.delta.want('link', row.key, link && this.#parts.upward.link(link));
    }
  }

  /** Sub-interfaces that VLAN devices stand for; one that the data plane has is joined with its device. */
  #deriveSubifs(ns: Namespace): void {
    const { delta, upward } = this.#parts;
    const found = this.#subifs.get(ns) ?? NO_SUBIFS;
    for (const row of [...delta.rows('subif')]) {
      const object = row.desired ?? row.actual;
      if (object?.kind !== 'subif' || object.netns !== ns.name || found.has(row.key)) continue;
      this.#part(row.key);
      delta.want('subif', row.key, upward.keepsSubif(row.key) ? row.actual : undefined);
    }
    for (const [phy, { object, ifindex }] of found) {
      delta.want('subif', phy, object);
      if (delta.row('subif', phy)?.actual === undefined) this.#part(phy);
      else this.#join(phy, ns, ifindex);
    }
  }

  #join(phy: string, ns: Namespace, ifindex: number): void {
    const { namespaces, pairs } = this.#parts;
    const before = pairs.device(phy);
    if (before?.ifindex === ifindex && before.netns === ns.name) return;
    pairs.join(phy, ns.name, ifindex);
    if (before !== undefined) namespaces.get(before.netns)?.reviewDevice(before.ifindex);
    ns.reviewDevice(ifindex);
  }

  /** Ends the join of a sub-interface with its device. */
  #part(phy: string): void {
    const { delta, namespaces, pairs } = this.#parts;
    // a pair of that name has taken its place
    if (delta.row('pair', phy)?.actual !== undefined) return;
    delta.want('link', phy, undefined);
    const before = pairs.device(phy);
    if (before === undefined) return;
    pairs.join(phy, before.netns, 0);
    namespaces.get(before.netns)?.reviewDevice(before.ifindex);
  }

  #subifsOf(ns: Namespace, phy: string): FoundSubif[] {
    return [...(this.#subifs.get(ns)?.values() ?? [])].filter(({ object }) => object.parent === phy);
  }

  /** Tables that an interface of the namespace is looked up in. */
  #looked(ns: Namespace, family: RouteFamily): ReadonlySet<number> {
    const known = this.#lookedUp.get(ns)?.get(family);
    if (known !== undefined) return known;
    const tables = new Set<number>();
    const hosts = [...ns.links.keys()].filter((i) => this.#parts.pairs.phy(ns.name, i) !== '');
    if (family === MPLS) {
      if (hosts.some((i) => ns.settings.get(i).mpls)) tables.add(0);
    } else {
      // a VRF without ports may still be led into
      const vrfs = [...ns.links.values()].filter((l) => l.kind === 'vrf').map(vrfIngress);
      for (const ingress of [NO_VRF, ...vrfs, ...hosts.map((i) => ingressOf(ns, i))]) {
        for (const table of ns.rules.tablesFor(family, ingress).tables) tables.add(table);
      }
    }
    const mine = this.#lookedUp.get(ns) ?? new Map<RouteFamily, Set<number>>();
    this.#lookedUp.set(ns, mine.set(family, tables));
    return tables;
  }

  /** Tables that got or lost their last route, or are looked up in or no more. */
  deriveTables(ns: Namespace): void {
    for (const family of FAMILIES) {
      const routes = ns.routesOf(family);
      if (routes.dirtyTables.size === 0) continue;
      const looked = this.#looked(ns, family);
      for (const table of routes.dirtyTables) {
        const wanted = ns.state !== 'absent' && (routes.entriesIn(table) > 0 || looked.has(table));
        const key = tableKey(ns.name, family, table);
        this.#parts.delta.want('table', key, wanted ? { kind: 'table', netns: ns.name, family, table } : undefined);
      }
      routes.dirtyTables.clear();
    }
  }

  #derivePair(phy: string): void {
    const { delta, namespaces, pairs } = this.#parts;
    const before = pairs.reason(phy);
    const { desired, reason } = pairs.derive(phy, this.#phys, namespaces);
    const row = delta.row('pair', phy);
    const host = row?.handle ?? 0;
    const held = row?.actual?.kind === 'pair' ? row.actual : undefined;
    const ns = held === undefined ? undefined : namespaces.get(held.netns);
    // the host was deleted under us: make it again
    if (held !== undefined && desired !== undefined && ns?.state === 'in-sync' && !ns.links.has(host)) {
      delta.invalidate('pair', phy);
    }
    // another host instead of the one it has: that goes first, and its end brings us here again
    const moved = held !== undefined && desired !== undefined && !sameHost(held, desired);
    delta.want('pair', phy, moved ? undefined : desired);
    if (reason !== before) this.#parts.onPair(phy, reason === '' ? 'wanted' : 'pending', reason);
    const attached = held !== undefined && held.phyIfindex !== 0 && desired !== undefined && desired.phyIfindex !== 0;
    const derived =
      attached && ns !== undefined
        ? deriveLink(phy, held.phyIfindex, ns, this.#phys, host, this.#subifsOf(ns, phy))
        : undefined;
    const link = derived && this.#parts.upward.link(derived);
    delta.want('link', phy, link);
    // phy and host are the kernel's too: what somebody else changed there is put right again
    if (link === undefined || link.phyIfindex === INTERCONNECT_PHY) return;
    const wire = this.#phys.get(link.phyIfindex);
    const hostLink = ns?.links.get(link.hostIfindex);
    const hostCarrier = ((hostLink?.flags ?? 0) & 0x10000) !== 0;
    // a host that is down reports no carrier whatever its device says
    const carrierOff = link.up && hostCarrier !== link.carrier;
    if (wire?.mtu !== link.phyMtu || wire.up !== link.up || carrierOff || (link.mac !== '' && wire?.mac !== link.mac)) {
      delta.invalidate('link', phy);
    }
  }

  /** Moves a kernel object's wish to the row that it belongs to now. */
  #place(kind: 'neighbour' | 'mroute', id: string, wanted: LcpObject | undefined): void {
    const { delta } = this.#parts;
    const rowKey = wanted === undefined ? undefined : keyOf(wanted);
    const before = this.#rowOf.get(id);
    if (before !== undefined && before !== rowKey && this.#ownerOf.get(`${kind} ${before}`) === id) {
      this.#ownerOf.delete(`${kind} ${before}`);
      delta.want(kind, before, undefined);
    }
    if (rowKey === undefined) {
      this.#rowOf.delete(id);
    } else {
      this.#rowOf.set(id, rowKey);
      this.#ownerOf.set(`${kind} ${rowKey}`, id);
      delta.want(kind, rowKey, wanted);
    }
  }

  /** All of them in each pass, for a few hundred at most: whether a prefix is on-link changes with its routes. */
  #deriveAddresses(): void {
    const { delta, namespaces, pairs, routes, upward } = this.#parts;
    const wanted = new Map<string, Address>();
    for (const ns of namespaces.values()) {
      for (const address of deriveAddresses(ns, pairs, (...of) => routes.best(...of))) {
        // an interface that the data plane does not have yet cannot have addresses
        if (delta.row('link', address.phy)?.desired === undefined || upward.withholds(address)) continue;
        wanted.set(keyOf(address), address);
      }
    }
    for (const row of [...delta.rows('address')]) {
      if (!wanted.has(row.key)) delta.want('address', row.key, upward.keepsAddress(row) ? row.actual : undefined);
    }
    for (const [key, address] of wanted) delta.want('address', key, address);
  }

  #deriveNeighbour(ns: Namespace, key: string): void {
    this.#place('neighbour', `neighbour ${ns.name} ${key}`, deriveNeighbour(ns, this.#parts.pairs, key));
  }

  #deriveMroute(ns: Namespace, key: string): void {
    const wanted = ns.mroutes.derive(key, (ifindex) => this.#parts.pairs.phy(ns.name, ifindex));
    this.#place('mroute', `mroute ${ns.name} ${key}`, wanted);
  }

  /** A port of the data plane was made, changed or removed: it knows nothing of what the old one had. */
  portChanged(phy: string): void {
    const { delta } = this.#parts;
    const changed = new Set([phy]);
    for (const row of [...delta.rows('subif')]) {
      const subif = row.actual;
      // sub-interfaces went with their parent
      if (subif?.kind !== 'subif' || subif.parent !== phy) continue;
      changed.add(row.key);
      this.#part(row.key);
      delta.invalidate('subif', row.key);
    }
    for (const kind of ['link', 'address', 'neighbour', 'mroute'] as const) {
      for (const row of [...delta.rows(kind)]) {
        const o = row.actual;
        const lost =
          o?.kind === 'mroute'
            ? changed.has(o.phy) || o.out.some((p) => changed.has(p))
            : o !== undefined && 'phy' in o && changed.has(o.phy);
        if (lost) delta.invalidate(kind, row.key);
      }
    }
    for (const row of [...delta.rows('pathset')]) {
      const object = row.actual;
      // it still exists, with a leg that leads nowhere
      if (object?.kind === 'pathset' && object.paths.some((p) => changed.has(p.phy))) {
        delta.hold({ ...object, paths: [] }, row.handle);
      }
    }
    this.#dirtyVlans();
  }
}
