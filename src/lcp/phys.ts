// KernelPhys: phys that are devices of lcpd's own network namespace.

import type { Link } from '../netlink/link.ts';
import * as k from '../netlink/uapi.ts';
import type { Phy, PhySource } from './dataplane.ts';
import type { Namespace } from './namespace.ts';

/** ARPHRD_ETHER: what a TAP can stand for. */
const ARPHRD_ETHER = 1;

const phyOf = (link: Link): Phy => ({
  ifindex: link.ifindex,
  ethernet: link.type === ARPHRD_ETHER,
  up: (link.flags & k.IFF_UP) !== 0,
  carrier: (link.flags & k.IFF_LOWER_UP) !== 0,
  mtu: link.mtu,
  maxMtu: link.maxMtu,
  mac: link.mac ?? '',
});

export class KernelPhys implements PhySource {
  readonly #own: Namespace;

  constructor(own: Namespace) {
    this.#own = own;
  }

  /** By its name or an alternative one. */
  byName(phy: string): Phy | undefined {
    for (const l of this.#own.links.values()) if (l.name === phy || l.altnames.includes(phy)) return phyOf(l);
    return undefined;
  }

  get(ifindex: number): Phy | undefined {
    const link = this.#own.links.get(ifindex);
    return link === undefined ? undefined : phyOf(link);
  }
}
