// Allocations: the numbers that punts have got and keep while anybody uses them, over restarts too.
//
// Namespaces are numbered because interconnects are named by those numbers; subnets are cut from one prefix; priorities order
// what shares an interface. Each number is the lowest free one, so nothing is used up by coming and going.

import { formatIp, ipBytes, parsePrefix } from '../lib/ip.ts';

export interface AllocationState {
  /** Number of a namespace by its name. */
  readonly netns: Readonly<Record<string, number>>;
  /** Index of a subnet by the interconnect's identity. */
  readonly subnets: Readonly<Record<string, number>>;
  /** Priority by 'interface identity'. */
  readonly priorities: Readonly<Record<string, number>>;
}

export interface Subnet {
  /** First address, the data plane's, and second, the CNF's: 'address/30', for IPv6 'address/126'. */
  readonly vpp: string;
  readonly cnf: string;
}

const ENDLESS = Number.POSITIVE_INFINITY;

/** Lowest free numbers by key; what is not asked for between begin and end is free again. */
class Numbers {
  readonly #of: Map<string, number>;
  #asked = new Set<string>();
  changed = false;
  /** Whether the last end let go of any. */
  freed = false;

  constructor(state: Readonly<Record<string, number>>) {
    this.#of = new Map(Object.entries(state));
  }

  /** The number of a key; undefined: there is none below the end. taken: whether another key's is in the way. */
  get(key: string, first: number, end: number, taken: (key: string) => boolean = () => true): number | undefined {
    const known = this.#of.get(key);
    if (known !== undefined && known < end) {
      this.#asked.add(key);
      return known;
    }
    const used = new Set([...this.#of].flatMap(([other, n]) => (taken(other) ? [n] : [])));
    let n = first;
    while (used.has(n)) n++;
    if (n >= end) return undefined;
    this.set(key, n);
    return n;
  }

  set(key: string, n: number): void {
    this.#asked.add(key);
    if (this.#of.get(key) === n) return;
    this.#of.set(key, n);
    this.changed = true;
  }

  begin(): void {
    this.#asked = new Set();
  }

  /** As if it had been asked for, where it has a number. */
  keep(key: string): void {
    if (this.#of.has(key)) this.#asked.add(key);
  }

  end(): void {
    this.freed = false;
    for (const key of this.#of.keys()) {
      if (this.#asked.has(key)) continue;
      this.#of.delete(key);
      this.changed = true;
      this.freed = true;
    }
  }

  state(): Record<string, number> {
    return Object.fromEntries(this.#of);
  }
}

export class Allocations {
  readonly #netns: Numbers;
  readonly #subnets: Numbers;
  readonly #priorities: Numbers;
  /** First name of a namespace that goes by several. */
  #designated = new Map<string, string>();

  constructor(state: AllocationState = { netns: {}, subnets: {}, priorities: {} }) {
    this.#netns = new Numbers(state.netns);
    this.#subnets = new Numbers(state.subnets);
    this.#priorities = new Numbers(state.priorities);
  }

  get #all(): readonly Numbers[] {
    return [this.#netns, this.#subnets, this.#priorities];
  }

  /** inUse: names of namespaces that keep their numbers, whoever asks. */
  begin(inUse: Iterable<string> = []): void {
    this.#designated = new Map();
    for (const numbers of this.#all) numbers.begin();
    for (const name of inUse) this.#netns.keep(name);
  }

  /** Lets go of what nobody has asked for since begin. Whether anything is different from what was last stored. */
  end(): boolean {
    for (const numbers of this.#all) numbers.end();
    const changed = this.#all.some((numbers) => numbers.changed);
    for (const numbers of this.#all) numbers.changed = false;
    return changed;
  }

  /** Whether the last end let go of numbers: who was refused one may have it now. */
  get freed(): boolean {
    return this.#all.some((numbers) => numbers.freed);
  }

  /**
   * Number of a namespace, 0 for lcpd's own; names of one namespace (by identity) share it. Returns also the name that stands
   * for all of them.
   */
  netns(name: string, identity: string | undefined, own: string | undefined): { id: number; name: string } {
    if (name === '' || (identity !== undefined && identity === own)) return { id: 0, name: '' };
    const first = identity === undefined ? name : (this.#designated.get(identity) ?? name);
    if (identity !== undefined) this.#designated.set(identity, first);
    const id = this.#netns.get(first, 1, ENDLESS) as number;
    if (first !== name) this.#netns.set(name, id);
    return { id, name: first };
  }

  /** The /30 of an interconnect out of a CIDR, undefined: all are taken. */
  subnet(interconnect: string, cidr: string): Subnet | undefined {
    const prefix = parsePrefix(cidr);
    if (prefix === undefined || prefix.length > 30) return undefined;
    const index = this.#subnets.get(interconnect, 0, 2 ** (30 - prefix.length));
    if (index === undefined) return undefined;
    const base = new DataView(prefix.bytes.buffer, prefix.bytes.byteOffset).getUint32(0);
    const address = (host: number): string => {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, base + index * 4 + host);
      return `${formatIp(bytes)}/30`;
    };
    return { vpp: address(1), cnf: address(2) };
  }

  /** The same of IPv6: unique local (RFC 4193) ones of fd6c:6370:6400::/48, by the number of the IPv4 one. */
  subnet6(interconnect: string): Subnet {
    const bytes = ipBytes('fd6c:6370:6400::');
    new DataView(bytes.buffer).setUint16(6, this.#subnets.get(interconnect, 0, ENDLESS) as number);
    const address = (host: number): string => {
      bytes[15] = host;
      return `${formatIp(bytes)}/126`;
    };
    return { vpp: address(1), cnf: address(2) };
  }

  /** Order among what shares an interface: lower goes first. */
  priority(of: string, interconnect: string): number {
    return this.#priorities.get(`${of} ${interconnect}`, 1, ENDLESS, (o) => o.startsWith(`${of} `)) as number;
  }

  state(): AllocationState {
    return {
      netns: this.#netns.state(),
      subnets: this.#subnets.state(),
      priorities: this.#priorities.state(),
    };
  }
}
