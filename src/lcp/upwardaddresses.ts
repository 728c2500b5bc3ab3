// UpwardAddresses: addresses that the data plane's interfaces get and lose go to their hosts, borrowed ones too.
//
// An address is one value, its prefix length; a host that has it with several has all of them in it. What an interface borrows
// (unnumbered) it cannot have as its own, and what it has just lost it must not get back before the kernel has heard of it:
// both are withheld from what goes down. With a primary IPv4 address the kernel takes its secondaries along (without
// promote_secondaries); they are given back in the same write, and nothing is decided about them meanwhile.

import { AF_INET, ipBytes, isLinkLocal6, maskBytes } from '../lib/ip.ts';
import { IFA_F_SECONDARY } from '../netlink/uapi.ts';
import { macvlansOn } from './derivelink.ts';
import type { Namespace } from './namespace.ts';
import { type Address, addressKey } from './objects.ts';
import type { Threeway } from './threeway.ts';
import type { Joined, UpwardParts } from './upward.ts';
import type { Send } from './upwardsubifs.ts';

export interface Subnet {
  readonly local: string;
  readonly prefixlen: number;
}

const isLinkLocal = (address: string): boolean => address.includes(':') && isLinkLocal6(ipBytes(address));
const keyOf = (phy: string, address: string): string => `${phy} address ${address}`;

/** Addresses that end with those of some lengths. */
const secondariesOf = (ns: Namespace, ifindex: number, address: string, lengths: readonly number[]): Subnet[] => {
  const network = (text: string, length: number) => maskBytes(ipBytes(text), length).join('.');
  return [...ns.addresses.values()].filter(
    ({ family, ifindex: on, local, prefixlen, flags }) =>
      on === ifindex &&
      family === AF_INET &&
      (flags & IFA_F_SECONDARY) !== 0 &&
      local !== address &&
      lengths.includes(prefixlen) &&
      network(local, prefixlen) === network(address, prefixlen),
  );
};

/** Prefix lengths by address of a host. */
const lengthsOn = (ns: Namespace, ifindex: number): Map<string, number[]> => {
  const found = new Map<string, number[]>();
  for (const a of ns.addresses.values()) {
    if (a.ifindex !== ifindex || isLinkLocal(a.local)) continue;
    found.set(
      a.local,
      [...(found.get(a.local) ?? []), a.prefixlen].sort((x, y) => x - y),
    );
  }
  return found;
};

export class UpwardAddresses {
  readonly #parts: UpwardParts;
  readonly #values: Threeway;
  readonly #send: Send;
  /** Keys of addresses that the data plane has and the kernel is to get. */
  readonly #kept = new Set<string>();
  /** 'phy address' of those that the data plane must not get as its own: it borrows them, or has just lost them. */
  readonly #withheld = new Set<string>();

  constructor(parts: UpwardParts, values: Threeway, send: Send) {
    this.#parts = parts;
    this.#values = values;
    this.#send = send;
  }

  clear(): void {
    this.#kept.clear();
    this.#withheld.clear();
  }

  keeps(key: string): boolean {
    return this.#kept.has(key);
  }

  withholds({ phy, address }: Address): boolean {
    return this.#withheld.has(`${phy} ${address}`);
  }

  review(joined: Joined, takesBorrowed: boolean): void {
    const { phy, seen, ns, ifindex } = joined;
    if (seen.addresses === undefined) return;
    const kernel = lengthsOn(ns, ifindex);
    const borrowed = takesBorrowed ? seen.borrowed : new Map<string, number>();
    for (const address of seen.borrowed.keys()) {
      if (!seen.addresses.has(address)) this.#withheld.add(`${phy} ${address}`);
    }
    const own = new Map([...borrowed, ...seen.addresses]);
    const prefix = keyOf(phy, '');
    const known = [...this.#values.keys(prefix)].map((key) => key.slice(prefix.length));
    const virtual = new Set(macvlansOn(ns, ifindex).flatMap((link) => [...lengthsOn(ns, link.ifindex).keys()]));
    for (const address of new Set([...kernel.keys(), ...own.keys(), ...known])) {
      // of a macvlan on the host (VRRP): the data plane has it for that
      if (virtual.has(address) && !kernel.has(address)) continue;
      this.#review(joined, address, kernel.get(address) ?? [], own.get(address));
    }
  }

  #review({ phy, ns, ifindex }: Joined, address: string, lengths: number[], own: number | undefined): void {
    const { delta, now } = this.#parts;
    const key = keyOf(phy, address);
    const [kernelText, ownText] = [lengths.join(), `${own ?? ''}`];
    const verdict = this.#values.judge(key, kernelText, ownText, now(), '');
    if (verdict === 'up' || verdict === 'wait') {
      if (own === undefined) this.#withheld.add(`${phy} ${address}`);
      else this.#kept.add(addressKey(phy, address, own));
    }
    if (verdict === 'up' && ns.state === 'in-sync') {
      const add = own === undefined || lengths.includes(own) ? [] : [own];
      const remove = lengths.filter((length) => length !== own);
      const again = secondariesOf(ns, ifindex, address, remove);
      const name = ns.links.get(ifindex)?.name;
      const text = own === undefined ? `${name} without ${address}` : `${name} ${address}/${own}`;
      const write = { netns: ns.name, ifindex, text, what: 'address', address, add, remove, again } as const;
      this.#send(key, kernelText, ownText, ownText, write, this.#besides(phy, again));
    }
    if (verdict !== 'down' || own !== undefined) return;
    // the data plane has lost what it was given, without having been asked
    for (const length of lengths) {
      const row = delta.row('address', addressKey(phy, address, length));
      if (row !== undefined && !delta.isOpen('address', row.key)) delta.invalidate('address', row.key);
    }
  }

  /** What a write touches besides and leaves as it was. */
  #besides(phy: string, again: readonly Subnet[]): [string, string][] {
    return again.map(({ local, prefixlen }) => [keyOf(phy, local), `${prefixlen}`]);
  }

  /** The data plane was given an address of the kernel's, or it was taken from it. */
  programmed({ phy, seen, ns, ifindex }: Joined, address: string): void {
    const kernel = lengthsOn(ns, ifindex).get(address) ?? [];
    this.#values.programmed(keyOf(phy, address), kernel.join(), `${seen.addresses?.get(address) ?? ''}`);
  }
}
