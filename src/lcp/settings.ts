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

const settingWith = (s: Setting, told: Netconf): Setting => {
  const { family, forwarding, ignoreRoutesWithLinkdown: ignore, input } = told;
  if (family === AF_INET)
    return { ...s, forwarding4: forwarding ?? s.forwarding4, ignoreLinkdown4: ignore ?? s.ignoreLinkdown4 };
  if (family === AF_INET6)
    return { ...s, forwarding6: forwarding ?? s.forwarding6, ignoreLinkdown6: ignore ?? s.ignoreLinkdown6 };
  return family === AF_MPLS ? { ...s, mpls: input ?? s.mpls } : s;
};

export class Settings {
  readonly #byIfindex = new Map<number, Setting>();

  get(ifindex: number): Setting {
    return this.#byIfindex.get(ifindex) ?? UNKNOWN;
  }

  /** Takes what was told; what was not told of stays. Returns whether anything changed. */
  set(told: Netconf): boolean {
    const s = this.get(told.ifindex);
    const next = settingWith(s, told);
    this.#byIfindex.set(told.ifindex, next);
    return (Object.keys(next) as (keyof Setting)[]).some((key) => next[key] !== s[key]);
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
