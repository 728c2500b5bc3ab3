// OwnGateways: which IPv4 gateways were addresses of this host on their own device when their leg was made.
//
// The kernel looks a gateway up once, when the leg is made (fib_check_nh). One that is this host's gets the scope of
// a host, and is never used: packets go to their destination by the device, as if the leg had no gateway. That holds
// until the leg goes, whatever becomes of the address, and no message shows it. So it is decided when a leg is told,
// and a dump leaves it as it is; what a dump shows first is decided by the addresses of that moment.

import { AF_INET, ipBytes, wordsOf } from '../lib/ip.ts';
import type { Address } from '../netlink/address.ts';
import type { Nexthop } from '../netlink/nexthop.ts';
import { RTNH_F_ONLINK } from '../netlink/uapi.ts';

/** Of lo, in every namespace. */
export const LOOPBACK_IFINDEX = 1;

const wordOf = (address: string): number => wordsOf(ipBytes(address))[0] as number;

export class OwnGateways {
  /** Raw word of an address to the devices that have it, and how often. */
  readonly #devices = new Map<number, Map<number, number>>();

  /** Takes an address that came (1) or went (-1). */
  count(a: Address, by: 1 | -1): void {
    if (a.family !== AF_INET) return;
    const word = wordOf(a.local);
    const devices = this.#devices.get(word) ?? new Map<number, number>();
    this.#devices.set(word, devices);
    const n = (devices.get(a.ifindex) ?? 0) + by;
    if (n > 0) devices.set(a.ifindex, n);
    else devices.delete(a.ifindex);
    if (devices.size === 0) this.#devices.delete(word);
  }

  /** Whether a leg that is made now ignores its IPv4 gateway; flags are RTNH_F_*. */
  has(ifindex: number, gateway: number, flags: number): boolean {
    if ((flags & RTNH_F_ONLINK) !== 0) return false;
    // what leads to the loopback is ours by a local route, of an address or of a whole prefix
    return ifindex === LOOPBACK_IFINDEX || this.#devices.get(gateway)?.has(ifindex) === true;
  }

  /** The same of a nexthop object. */
  hasThatOf({ family, oif, gateway, flags }: Nexthop): boolean {
    return family === AF_INET && gateway !== undefined && this.has(oif ?? 0, wordOf(gateway), flags);
  }
}
