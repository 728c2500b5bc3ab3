// Nexthops: the kernel's nexthop objects and groups, and what their end takes along.
//
// A change of an object changes every route that names it, with or without a notice about the routes, so
// the path sets that name it are derived again. Deletion takes the routes; a group loses the member.
// Objects over a device that is down, without carrier or gone are flushed in silence (nexthop_flush_dev),
// blackholes excepted; that is modelled at once and read again a moment later. Notices that waited for a dump may be
// older than what it showed: where they name what is not there, or the dump moved an object to another device, a flush
// between the two may have been missed, and what it would have taken along is read again.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { Nexthop } from '../netlink/nexthop.ts';
import { AF_UNSPEC } from '../netlink/uapi.ts';
import type { Doubts } from './doubts.ts';
import type { PathSet, PathSets } from './pathsets.ts';
import type { Routes } from './routes.ts';

export class Nexthops {
  readonly #pathsets: PathSets;
  readonly #routes: readonly Routes[];
  readonly #dirty: Set<PathSet>;
  readonly #doubts: Doubts;
  readonly #byId = new Map<number, Nexthop>();
  readonly #seen = new Map<number, number>();
  /** Those with a gateway that is not used: see owngateways.ts. */
  readonly #ownGateway = new Set<number>();

  constructor(pathsets: PathSets, routes: readonly Routes[], dirty: Set<PathSet>, doubts: Doubts) {
    this.#pathsets = pathsets;
    this.#routes = routes;
    this.#dirty = dirty;
    this.#doubts = doubts;
  }

  get byId(): ReadonlyMap<number, Nexthop> {
    return this.#byId;
  }
  get(id: number): Nexthop | undefined {
    return this.#byId.get(id);
  }

  hasOwnGateway(id: number): boolean {
    return this.#ownGateway.has(id);
  }

  /** ownGateway: whether one that is made now ignores its gateway. fromDump: it may have been made before. */
  take(n: Nexthop, epoch: number, ownGateway: boolean, fromDump: boolean): void {
    const known = this.#byId.get(n.id);
    const isKnown = fromDump && known?.oif === n.oif && known?.gateway === n.gateway;
    if (!isKnown && ownGateway) this.#ownGateway.add(n.id);
    else if (!isKnown) this.#ownGateway.delete(n.id);
    if (!fromDump && n.group?.some(({ id }) => !this.#byId.has(id))) this.#doubts.add('nexthop', AF_UNSPEC);
    if (fromDump && known !== undefined && known.oif !== n.oif) this.#doubtRoutes(AF_INET, AF_INET6);
    this.set(n, epoch);
  }

  /** A route was told that uses an object. */
  named(id: number, family: number): void {
    if (!this.#byId.has(id)) this.#doubtRoutes(family);
  }

  #doubtRoutes(...families: number[]): void {
    for (const family of families) this.#doubts.add('route', family);
  }

  set(n: Nexthop, epoch: number): void {
    this.#byId.set(n.id, n);
    this.#seen.set(n.id, epoch);
    this.#review(n.id);
  }

  /** The object is gone, and with it every route that names it; groups lose the member. */
  remove(id: number): void {
    if (!this.#byId.delete(id)) return;
    this.#ownGateway.delete(id);
    const epoch = this.#seen.get(id) ?? 0;
    this.#seen.delete(id);
    const users = new Set([...this.#pathsets.usingNexthop(id)].map((p) => p.id));
    if (users.size > 0) {
      for (const routes of this.#routes) {
        const t = routes.prefixes;
        routes.removeIf((e) => users.has(t.pathset[e] as number));
      }
    }
    for (const other of [...this.#byId.values()]) {
      if (other.group === undefined || !other.group.some((m) => m.id === id)) continue;
      const rest = other.group.filter((m) => m.id !== id);
      if (rest.length === 0) this.remove(other.id);
      else this.set({ ...other, group: rest }, Math.max(epoch, this.#seen.get(other.id) ?? 0));
    }
  }

  /** Ends a complete dump: what it did not show is gone. */
  sweep(epoch: number): void {
    for (const id of [...this.#byId.keys()]) if ((this.#seen.get(id) ?? 0) < epoch) this.remove(id);
  }

  /** What the kernel does in silence when a device goes down, loses its carrier or ends. */
  flush(ifindex: number): void {
    let some = false;
    for (const n of [...this.#byId.values()]) {
      if (n.oif !== ifindex || n.blackhole) continue;
      some = true;
      this.remove(n.id);
    }
    if (some) this.#doubts.add('nexthop', AF_UNSPEC);
  }

  /** Objects over a device may be usable or not: derive what names them again. */
  reviewOver(ifindex: number): void {
    for (const n of this.#byId.values()) if (n.oif === ifindex) this.#review(n.id);
  }

  #review(id: number): void {
    for (const p of this.#pathsets.usingNexthop(id)) this.#dirty.add(p);
    for (const n of this.#byId.values()) {
      if (n.group?.some((m) => m.id === id)) for (const p of this.#pathsets.usingNexthop(n.id)) this.#dirty.add(p);
    }
  }
}
