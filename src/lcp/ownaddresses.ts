// OwnAddresses: the addresses of this host, counted by device and by their IPv4 word, so that every route that is told
// can be held against them.

import { AF_INET, ipBytes, wordsOf } from '../lib/ip.ts';
import type { Address } from '../netlink/address.ts';

/** Raw word of an IPv4 address in text. */
export const wordOf = (address: string): number => wordsOf(ipBytes(address))[0] as number;

/** One number: it is asked for with every route. Families are below 64. */
const deviceKey = (family: number, ifindex: number): number => ifindex * 64 + family;

const addTo = (counts: Map<number, number>, key: number, by: 1 | -1): void => {
  const n = (counts.get(key) ?? 0) + by;
  if (n > 0) counts.set(key, n);
  else counts.delete(key);
};

export class OwnAddresses {
  /** Raw word of an IPv4 address to the devices that have it, and how often. */
  readonly #devices = new Map<number, Map<number, number>>();
  /** Device and family to how many addresses are there. */
  readonly #onDevice = new Map<number, number>();

  /** Takes an address that came (1) or went (-1). */
  count(a: Address, by: 1 | -1): void {
    addTo(this.#onDevice, deviceKey(a.family, a.ifindex), by);
    if (a.family !== AF_INET) return;
    const word = wordOf(a.local);
    const devices = this.#devices.get(word) ?? new Map<number, number>();
    this.#devices.set(word, devices);
    addTo(devices, a.ifindex, by);
    if (devices.size === 0) this.#devices.delete(word);
  }

  /** Whether an IPv4 address is this host's; ifindex: on that device. */
  has(word: number, ifindex?: number): boolean {
    const devices = this.#devices.get(word);
    return ifindex === undefined ? devices !== undefined : devices?.has(ifindex) === true;
  }

  /** Whether a device has any address of a family, AF_INET or AF_INET6. */
  anyOn(family: number, ifindex: number): boolean {
    return this.#onDevice.has(deviceKey(family, ifindex));
  }
}
