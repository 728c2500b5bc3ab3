// RouteDoubts: which routes must be read again because of what became of devices and addresses.
//
// The kernel ends routes and legs in silence (the head of namespace.ts says when), so what happens to a device puts
// those over it in doubt. A dump may be ahead of the notices, because it answers on another socket than theirs: it
// showed a device down or an address gone, and the routes gone with it. A notice of such a route, sent before, brings
// it back, and the notice that would put it in doubt changes nothing any more. So a notice of what the kernel would
// not make as things are is late, and what it tells is read again. Routes over a device without an address, or from a
// source without one, can be; there only the time says what may be late.
// Reference: fib_check_nh, fib6_nh_init (ENETDOWN), fib_valid_prefsrc, fib_nexthop_info; fib_disable_ip.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { Link } from '../netlink/link.ts';
import type { RouteMessage } from '../netlink/route.ts';
import * as k from '../netlink/uapi.ts';
import type { Doubts } from './doubts.ts';
import { MPLS } from './objects.ts';
import type { OwnAddresses } from './ownaddresses.ts';
import type { PathSets } from './pathsets.ts';
import { LATE_MS } from './replaced.ts';

/** Below it Linux has no IPv6 on a device. */
export const IPV6_MIN_MTU = 1280;
const RUNS = k.IFF_UP | k.IFF_LOWER_UP;

export class RouteDoubts {
  readonly #links: ReadonlyMap<number, Link>;
  readonly #addresses: OwnAddresses;
  readonly #sets: PathSets;
  readonly #doubts: Doubts;
  /** Until when notices may be older than the addresses that were read, ms of performance.now(). */
  #until = 0;

  constructor(links: ReadonlyMap<number, Link>, addresses: OwnAddresses, sets: PathSets, doubts: Doubts) {
    this.#links = links;
    this.#addresses = addresses;
    this.#sets = sets;
    this.#doubts = doubts;
  }

  /** Routes over a device may have gone, come or died: nobody tells. */
  over(ifindex: number): void {
    this.#doubts.add('route', AF_INET, ifindex);
    this.#doubts.add('route', AF_INET6, ifindex);
    // MPLS dumps know no device to filter by
    for (const p of this.#sets.usingIfindex(ifindex)) if (p.family === MPLS) this.#doubts.add('route', k.AF_MPLS);
  }

  /** Legs over a device that were told to be dead may live again: nobody tells. */
  dead(ifindex: number): void {
    for (const p of this.#sets.usingIfindex(ifindex)) {
      if (!p.legs.some((l) => l.ifindex === ifindex && (l.flags & k.RTNH_F_DEAD) !== 0)) continue;
      if (p.family === MPLS) this.#doubts.add('route', k.AF_MPLS);
      else this.#doubts.add('route', p.family === 4 ? AF_INET : AF_INET6, ifindex);
    }
  }

  /** Everything was read, addresses before routes. */
  synced(now: number): void {
    this.#until = now + LATE_MS;
  }

  /** A notice told of a route that is there. */
  told(m: RouteMessage): void {
    // those of nexthop objects: nexthops.ts
    if (m.nhId === 0) for (let i = 0; i < m.legs; i++) this.#toldLeg(m, i);
    if (m.family !== AF_INET || !m.hasPrefsrc || m.type === k.RTN_LOCAL || this.#addresses.has(m.p0)) return;
    if (performance.now() > this.#until) return;
    this.#doubts.add('route', AF_INET, m.nhId !== 0 || m.legs === 0 ? undefined : m.legOif[0]);
  }

  #toldLeg(m: RouteMessage, i: number): void {
    const ifindex = m.legOif[i] as number;
    const link = this.#links.get(ifindex);
    // of one that is not known yet, what is to come will tell
    if (link === undefined) return;
    const isDead = ((m.legFlags[i] as number) & k.RTNH_F_DEAD) !== 0;
    if (m.family === k.AF_MPLS) {
      if (isDead && (link.flags & RUNS) === RUNS) this.#doubts.add('route', k.AF_MPLS); // made over any device
    } else if (isDead ? (link.flags & RUNS) === RUNS : this.#cannotBe(m, link)) {
      this.#doubts.add('route', m.family, ifindex);
    }
  }

  /** Whether a route with a living leg over a device is none that the kernel would make now. */
  #cannotBe(m: RouteMessage, link: Link): boolean {
    if (m.type === k.RTN_LOCAL) return false; // an address has one on a device that is down, too
    if ((link.flags & k.IFF_UP) === 0 || (m.family === AF_INET6 && link.mtu < IPV6_MIN_MTU)) return true;
    return !this.#addresses.anyOn(m.family, link.ifindex) && performance.now() <= this.#until;
  }
}
