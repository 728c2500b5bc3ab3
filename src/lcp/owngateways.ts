// OwnGateways: which IPv4 gateways were addresses of this host on their own device when their leg was made.
//
// The kernel looks a gateway up once, when the leg is made (fib_check_nh). One that is this host's gets the scope of
// a host, and is never used: packets go to their destination by the device, as if the leg had no gateway. That holds
// until the leg goes, whatever becomes of the address, and no message shows it. So it is decided when a leg is told,
// and a dump leaves it as it is; what a dump shows first is decided by the addresses of that moment.

import { AF_INET } from '../lib/ip.ts';
import type { Nexthop } from '../netlink/nexthop.ts';
import { RTNH_F_ONLINK } from '../netlink/uapi.ts';
import { type OwnAddresses, wordOf } from './ownaddresses.ts';

/** Of lo, in every namespace. */
export const LOOPBACK_IFINDEX = 1;

export class OwnGateways {
  readonly #addresses: OwnAddresses;

  constructor(addresses: OwnAddresses) {
    this.#addresses = addresses;
  }

  /** Whether a leg that is made now ignores its IPv4 gateway; flags are RTNH_F_*. */
  has(ifindex: number, gateway: number, flags: number): boolean {
    if ((flags & RTNH_F_ONLINK) !== 0) return false;
    // what leads to the loopback is ours by a local route, of an address or of a whole prefix
    return ifindex === LOOPBACK_IFINDEX || this.#addresses.has(gateway, ifindex);
  }

  /** The same of a nexthop object. */
  hasThatOf({ family, oif, gateway, flags }: Nexthop): boolean {
    return family === AF_INET && gateway !== undefined && this.has(oif ?? 0, wordOf(gateway), flags);
  }
}
