// Settings: what the kernel tells of its interfaces' configuration (RTM_NEWNETCONF), for IPv4, IPv6 and MPLS.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { Netconf } from '../netlink/netconf.ts';
import { AF_MPLS, NETCONFA_IFINDEX_ALL } from '../netlink/uapi.ts';

export interface Setting {
  readonly forwarding4: boolean;
  readonly forwarding6: boolean;
  /** Routes over the interface are not used while it has no carrier. */
  readonly ignoreLinkdown4: boolean;
  readonly ignoreLinkdown6: boolean;
  /** Takes MPLS packets. */
  readonly mpls: boolean;
}

const UNKNOWN: Setting = {
  forwarding4: false,
  forwarding6: false,
  ignoreLinkdown4: false,
  ignoreLinkdown6: false,
  mpls: false,
};

export class Settings {
  readonly #byIfindex = new Map<number, Setting>();

  get(ifindex: number): Setting {
    return this.#byIfindex.get(ifindex) ?? UNKNOWN;
  }

  /** Takes what was told; what was not told of stays. */
  set(told: Netconf): void {
    const { ifindex, family, forwarding, ignoreRoutesWithLinkdown: ignore, input } = told;
    const s = this.get(ifindex);
    if (family === AF_INET) {
      const next = { ...s, forwarding4: forwarding ?? s.forwarding4, ignoreLinkdown4: ignore ?? s.ignoreLinkdown4 };
      this.#byIfindex.set(ifindex, next);
    } else if (family === AF_INET6) {
      const next = { ...s, forwarding6: forwarding ?? s.forwarding6, ignoreLinkdown6: ignore ?? s.ignoreLinkdown6 };
      this.#byIfindex.set(ifindex, next);
    } else if (family === AF_MPLS) {
      this.#byIfindex.set(ifindex, { ...s, mpls: input ?? s.mpls });
    }
  }

  /** Whether routes of a family over an interface need its carrier. */
  needsCarrier(family: 4 | 6, ifindex: number): boolean {
    const own = this.get(ifindex);
    // IPv4 ors the setting of all interfaces to each; IPv6 copies it to each when it is written
    return family === 6 ? own.ignoreLinkdown6 : own.ignoreLinkdown4 || this.get(NETCONFA_IFINDEX_ALL).ignoreLinkdown4;
  }

  delete(ifindex: number): void {
    this.#byIfindex.delete(ifindex);
  }
  clear(): void {
    this.#byIfindex.clear();
  }
}
