// Cleared: devices that are down and whose IPv6 routes were read again since. What is left over them stays.
//
// Of a device that goes down the kernel takes away the IPv6 routes and tells, but it passes over what lies between the
// legs of a multipath route (fib6_clean_node goes on behind the last of them): that is still chosen, and what it is
// chosen for is lost. Before the routes are read again, an entry over such a device is one that is about to go.

import type { Link } from '../netlink/link.ts';
import { IFF_UP, RTNH_F_DEAD } from '../netlink/uapi.ts';
import type { PathSet, PathSets } from './pathsets.ts';

export class Cleared {
  readonly #devices = new Set<number>();
  readonly #links: ReadonlyMap<number, Link>;
  readonly #sets: PathSets;
  readonly #dirty: Set<PathSet>;

  /** dirty: where path sets are put that come to something else now. */
  constructor(links: ReadonlyMap<number, Link>, sets: PathSets, dirty: Set<PathSet>) {
    this.#links = links;
    this.#sets = sets;
    this.#dirty = dirty;
  }

  #isDown(ifindex: number): boolean {
    return ((this.#links.get(ifindex)?.flags ?? IFF_UP) & IFF_UP) === 0;
  }

  /** A device changed: what was read is of before. */
  forget(ifindex: number): void {
    this.#devices.delete(ifindex);
  }

  /** All IPv6 routes over a device were read; undefined: over every device. */
  read(oif: number | undefined): void {
    for (const ifindex of oif === undefined ? this.#links.keys() : [oif]) {
      if (!this.#isDown(ifindex) || this.#devices.has(ifindex)) continue;
      this.#devices.add(ifindex);
      for (const p of this.#sets.usingIfindex(ifindex)) this.#dirty.add(p);
    }
  }

  /** Whether the routes with these legs are there although all their devices are down. */
  outlive(p: PathSet): boolean {
    if (p.family !== 6 || p.nhId !== 0 || p.legs.length === 0) return false;
    return p.legs.every(
      (l) => (l.flags & RTNH_F_DEAD) === 0 && this.#devices.has(l.ifindex) && this.#isDown(l.ifindex),
    );
  }
}
