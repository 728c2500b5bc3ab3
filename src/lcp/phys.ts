// KernelPhys: phys that are devices of lcpd's own network namespace, and interconnects of the data plane that are made pairs.

import type { Link } from '../netlink/link.ts';
import * as k from '../netlink/uapi.ts';
import type { Phy, PhySource } from './dataplane.ts';
import type { DeltaTable } from './delta.ts';
import type { Namespace } from './namespace.ts';
import { isWire } from './pairs.ts';
import { INTERCONNECT_PHY } from './puntobjects.ts';

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

/** An interconnect has no device here that could follow its host, or that the host follows but in this. */
const INTERCONNECT: Phy = {
  ifindex: INTERCONNECT_PHY,
  ethernet: true,
  up: true,
  carrier: true,
  mtu: 0,
  maxMtu: 0,
  mac: '',
};

export class KernelPhys implements PhySource {
  readonly #own: Namespace;
  readonly #delta: DeltaTable | undefined;

  /** delta: what tells which interconnects there are. */
  constructor(own: Namespace, delta?: DeltaTable) {
    this.#own = own;
    this.#delta = delta;
  }

  /** By its name or an alternative one. */
  byName(phy: string): Phy | undefined {
    const { actual, desired } = this.#delta?.row('interconnect', phy) ?? {};
    for (const object of [actual, desired]) {
      if (object?.kind !== 'interconnect' || object.link === 'phy') continue;
      // one without a MAC address is what a data plane that has ended left of it; its device here is the CNF's
      return actual?.kind === 'interconnect' && actual.mac !== '' ? INTERCONNECT : undefined;
    }
    for (const l of this.#own.links.values())
      if ((l.name === phy || l.altnames.includes(phy)) && !isWire(l)) return phyOf(l);
    return undefined;
  }

  get(ifindex: number): Phy | undefined {
    if (ifindex === INTERCONNECT_PHY) return INTERCONNECT;
    const link = this.#own.links.get(ifindex);
    return link === undefined ? undefined : phyOf(link);
  }
}
