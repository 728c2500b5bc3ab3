// Mroutes: the kernel's multicast forwarding cache (what pimd or smcroute put into it), and what of it a
// data plane can do.
//
// An entry replicates over those of its outputs that are paired; where an output is no pair (the PIM
// register device, a dummy), wants more than one TTL, or the host has joined the group on the interface
// that the packets come in by, the host gets every packet too and the kernel does the rest.
// Entries that the kernel has not resolved yet are none. Reference: net/ipv4/ipmr.c, net/ipv6/ip6mr.c.

import { AF_INET6 } from '../lib/ip.ts';
import type { Mroute as KernelMroute } from '../netlink/mroute.ts';
import type { Mroute } from './objects.ts';

/** Of (*,G) there may be one for each input (MRT_ADD_MFC_PROXY). */
const keyOf = (m: KernelMroute): string =>
  `${m.family} ${m.table} ${m.source || '*'} ${m.group}${m.source === '' ? ` ${m.iif}` : ''}`;
const isSameGroup = (a: KernelMroute, b: KernelMroute): boolean =>
  a.family === b.family && a.table === b.table && a.source === b.source && a.group === b.group;

/** The phy of an interface that may forward now; '' when it is no pair. */
export type UsablePhy = (ifindex: number) => string;

export class Mroutes {
  readonly #byKey = new Map<string, KernelMroute>();
  readonly #seen = new Map<string, number>();
  /** Keys whose entry came, went or changed. */
  readonly dirty = new Set<string>();
  /** Groups that the host has joined: 'ifindex group'. */
  #joined: ReadonlySet<string> = new Set();

  get byKey(): ReadonlyMap<string, KernelMroute> {
    return this.#byKey;
  }

  /** Returns whether another entry may have been replaced by it, which a dump must tell. */
  set(m: KernelMroute, epoch: number): boolean {
    const key = keyOf(m);
    const isNew = !this.#byKey.has(key);
    this.#seen.set(key, epoch);
    this.#byKey.set(key, m);
    this.dirty.add(key);
    return isNew && m.source === '' && [...this.#byKey.values()].some((o) => o !== m && isSameGroup(o, m));
  }

  remove(m: KernelMroute): void {
    const key = keyOf(m);
    if (this.#byKey.has(key)) this.#drop(key);
    // its input has gone before it
    else if (m.iif === 0) for (const [other, o] of [...this.#byKey]) if (isSameGroup(o, m)) this.#drop(other);
  }

  /** Whether an entry names an interface. */
  names(ifindex: number): boolean {
    for (const m of this.#byKey.values()) {
      if (m.iif === ifindex || m.oifs.some((o) => o.ifindex === ifindex)) return true;
    }
    return false;
  }

  #drop(key: string): void {
    this.#seen.delete(key);
    if (this.#byKey.delete(key)) this.dirty.add(key);
  }

  /** Ends a complete dump of a family (AF_INET, AF_INET6): what it did not show is gone. */
  sweep(family: number, epoch: number): void {
    for (const [key, m] of [...this.#byKey]) {
      if (m.family === family && (this.#seen.get(key) ?? 0) < epoch) this.#drop(key);
    }
  }

  clear(): void {
    for (const key of [...this.#byKey.keys()]) this.#drop(key);
    this.#joined = new Set();
  }

  /** Everything must be derived again: pairs or links changed. */
  review(): void {
    for (const key of this.#byKey.keys()) this.dirty.add(key);
  }

  /** What the host listens to now, each as 'ifindex group'. */
  setJoined(joined: ReadonlySet<string>): void {
    if (joined.size === this.#joined.size && [...joined].every((j) => this.#joined.has(j))) return;
    this.#joined = joined;
    this.review();
  }

  /** What the data plane should hold for an entry, undefined when nothing. */
  derive(key: string, phyOf: UsablePhy): Mroute | undefined {
    const m = this.#byKey.get(key);
    if (m === undefined || m.unresolved || m.group === '' || m.iif === 0) return undefined;
    const phy = phyOf(m.iif);
    if (phy === '') return undefined;
    // (*,G) takes packets only from where it may also send, and never back there; (S,G) sends back: the kernel shall
    if (m.oifs.some((o) => o.ifindex === m.iif) !== (m.source === '')) return undefined;
    const out: string[] = [];
    let host = this.#joined.has(`${m.iif} ${m.group}`);
    for (const { ifindex, ttl } of m.oifs) {
      if (ifindex === m.iif) continue;
      const by = ttl > 1 ? '' : phyOf(ifindex);
      if (by === '') host = true;
      else if (!out.includes(by)) out.push(by);
    }
    out.sort();
    return { kind: 'mroute', phy, family: m.family === AF_INET6 ? 6 : 4, source: m.source, group: m.group, out, host };
  }
}
