// Path sets as the kernel states them, interned: one namespace's routes share some thousand of them.
//
// Identity is what the kernel's fib_info compares: nexthop object id, or the legs (device, gateway and
// whether it is used, weight, on-link and dead flags, labels), the preferred source, the metrics (mtu, advmss, …), and
// the routes' family and whether they are withdrawn with their carrier, because what a leg without carrier is worth depends on them. `refs`
// counts kernel entries; a set without any is free to go once no route in the data plane uses its handle.
// What a set resolves to (usable legs over pairs) is derived in derive.ts and changes without the set.

import type { RouteFamily } from './objects.ts';

/** Among the RTNH_F_* of a leg, and none of them: the gateway was this host's own, and is not used (owngateways.ts). */
export const LEG_OWN_GATEWAY = 0x80;
/** RTNH_F_DEAD, RTNH_F_ONLINK and ours: the leg flags that tell one path set from another. */
const IDENTITY_FLAGS = 1 | 4 | LEG_OWN_GATEWAY;
/** Words before the legs: nexthop object, preferred source, family and NEEDS_CARRIER, number of legs, metrics. */
export const HEAD_WORDS = 5;
/** In the family's word: the routes are withdrawn when their device loses its carrier. */
const NEEDS_CARRIER = 0x100;
/** Words of one leg in the packed form: ifindex, weight, flags | family << 8 | encap << 16, 4 of gateway. */
export const LEG_WORDS = 7;
// behind all legs, for each that has labels or a TTL: leg << 16 | ttl << 8 | labels, then the labels

export interface Leg {
  readonly ifindex: number;
  /** 1..256 (rtnh_hops + 1), 1..65535 from nexthop groups. */
  readonly weight: number;
  /** RTNH_F_*, LEG_OWN_GATEWAY. */
  readonly flags: number;
  /** AF_INET, AF_INET6 or 0: no gateway. */
  readonly gatewayFamily: number;
  /** LWTUNNEL_ENCAP_*, 0 for none. */
  readonly encapType: number;
  /** Raw words of the gateway address. */
  readonly gateway: readonly [number, number, number, number];
  /** The gateway in text, where it came as text (nexthop objects). */
  readonly gatewayText?: string;
  /** MPLS labels, outermost first; absent: none. */
  readonly labels?: readonly number[];
  /** TTL of pushed labels; absent: that of the packet. */
  readonly ttl?: number;
}

export class PathSet {
  readonly id: number;
  /** Nexthop object that decides the legs, 0: the legs below do. */
  readonly nhId: number;
  readonly legs: readonly Leg[];
  /** Preferred IPv4 source, raw word, 0 when none: its removal takes the routes along, unannounced. */
  readonly prefsrc: number;
  /** Of the routes that use it. */
  readonly family: RouteFamily;
  /** Its routes go when their device has no carrier, whatever the kernel's settings. */
  readonly needsCarrier: boolean;
  /** RTA_METRICS as one number, 0 for none. */
  readonly metrics: number;
  readonly words: Uint32Array;
  readonly hash: number;
  /** Kernel entries that use it. */
  refs = 0;
  /** What the data plane calls it, 0 while it does not hold it. */
  handle = 0;
  /** What the data plane holds under the handle is old or on its way out: it is stated again before a route uses it. */
  stale = false;
  /** What it resolves to: see derive.ts. -1 unknown, 0 nothing usable, 1..15 special, 16 legs. */
  resolved = -1;

  constructor(id: number, words: Uint32Array, hash: number) {
    this.id = id;
    this.nhId = words[0] as number;
    this.prefsrc = words[1] as number;
    this.family = ((words[2] as number) & 0xff) as RouteFamily;
    this.needsCarrier = ((words[2] as number) & NEEDS_CARRIER) !== 0;
    this.metrics = words[4] as number;
    this.legs = legsOf(words);
    this.words = words;
    this.hash = hash;
  }
}

/** Collects the words that identify a path set; reused for every message. */
export class PathSetKey {
  words = new Uint32Array(HEAD_WORDS + LEG_WORDS * 8);
  length = HEAD_WORDS;
  legCount = 0;
  readonly #labels: number[] = [];

  begin(nhId: number, prefsrc: number, family: RouteFamily, needsCarrier = false, metrics = 0): void {
    this.words[0] = nhId;
    this.words[1] = prefsrc;
    this.words[2] = family | (needsCarrier ? NEEDS_CARRIER : 0);
    this.words[4] = metrics;
    this.length = HEAD_WORDS;
    this.legCount = 0;
    this.#labels.length = 0;
  }

  /** Labels and TTL (0: the packet's) of the leg that was added last. */
  labels(ttl: number, stack: ArrayLike<number>, from: number, count: number): void {
    this.#labels.push(((this.legCount - 1) << 16) | (ttl << 8) | count);
    for (let i = 0; i < count; i++) this.#labels.push(stack[from + i] as number);
  }

  /** Puts the labels behind the legs. */
  finish(): void {
    this.words[3] = this.legCount;
    this.#room(this.#labels.length);
    for (const word of this.#labels) this.words[this.length++] = word;
    this.#labels.length = 0;
  }

  #room(words: number): void {
    if (this.length + words <= this.words.length) return;
    const bigger = new Uint32Array(2 * (this.length + words));
    bigger.set(this.words);
    this.words = bigger;
  }

  leg(
    ifindex: number,
    weight: number,
    flags: number,
    family: number,
    encapType: number,
    g0: number,
    g1: number,
    g2: number,
    g3: number,
  ): void {
    this.#room(LEG_WORDS);
    const w = this.words;
    let i = this.length;
    w[i++] = ifindex;
    w[i++] = weight;
    w[i++] = (flags & IDENTITY_FLAGS) | (family << 8) | (encapType << 16);
    w[i++] = g0;
    w[i++] = g1;
    w[i++] = g2;
    w[i++] = g3;
    this.length = i;
    this.legCount++;
  }
}

const legsOf = (words: Uint32Array): Leg[] => {
  const legs: Leg[] = [];
  const end = HEAD_WORDS + (words[3] as number) * LEG_WORDS;
  for (let i = HEAD_WORDS; i < end; i += LEG_WORDS) {
    const packed = words[i + 2] as number;
    legs.push({
      ifindex: words[i] as number,
      weight: words[i + 1] as number,
      flags: packed & 0xff,
      gatewayFamily: (packed >> 8) & 0xff,
      encapType: packed >>> 16,
      gateway: [words[i + 3] as number, words[i + 4] as number, words[i + 5] as number, words[i + 6] as number],
    });
  }
  for (let i = end; i < words.length; ) {
    const head = words[i++] as number;
    const count = head & 0xff;
    const ttl = (head >> 8) & 0xff;
    const leg = legs[head >>> 16] as Leg;
    legs[head >>> 16] = { ...leg, labels: [...words.subarray(i, i + count)], ...(ttl === 0 ? {} : { ttl }) };
    i += count;
  }
  return legs;
};

export class PathSets {
  readonly #byId: (PathSet | undefined)[] = [undefined];
  readonly #byHash = new Map<number, PathSet[]>();
  readonly #free: number[] = [];
  readonly #unused = new Set<PathSet>();
  readonly #byNexthop = new Map<number, Set<PathSet>>();
  readonly #byIfindex = new Map<number, Set<PathSet>>();
  #last: PathSet | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): PathSet | undefined {
    return this.#byId[id];
  }

  /** The set for a key, made when absent. The caller counts its use with retain. */
  intern(key: PathSetKey): PathSet {
    key.finish();
    // a leg alone takes everything, and the kernel tells its weight or not as it came to be alone
    if (key.legCount === 1) key.words[HEAD_WORDS + 1] = 1;
    const last = this.#last;
    if (last !== undefined && this.#same(last, key)) return last;
    let hash = 0x811c9dc5;
    for (let i = 0; i < key.length; i++) {
      hash = Math.imul(hash ^ (key.words[i] as number), 0x01000193);
      hash ^= hash >>> 15;
    }
    const bucket = this.#byHash.get(hash);
    const found = bucket?.find((p) => this.#same(p, key));
    if (found !== undefined) {
      this.#last = found;
      return found;
    }
    const id = this.#free.pop() ?? this.#byId.length;
    const words = key.words.slice(0, key.length);
    const made = new PathSet(id, words, hash);
    this.#byId[id] = made;
    if (bucket === undefined) this.#byHash.set(hash, [made]);
    else bucket.push(made);
    if (made.nhId !== 0) this.#index(this.#byNexthop, made.nhId, made);
    for (const leg of made.legs) this.#index(this.#byIfindex, leg.ifindex, made);
    this.#unused.add(made);
    this.#size++;
    this.#last = made;
    return made;
  }

  #same(p: PathSet, key: PathSetKey): boolean {
    const a = p.words;
    if (a.length !== key.length) return false;
    for (let i = 0; i < a.length; i++) if (a[i] !== key.words[i]) return false;
    return true;
  }

  #index(map: Map<number, Set<PathSet>>, key: number, p: PathSet): void {
    const set = map.get(key);
    if (set === undefined) map.set(key, new Set([p]));
    else set.add(p);
  }

  retain(id: number): void {
    const p = this.#byId[id];
    if (p !== undefined && p.refs++ === 0) this.#unused.delete(p);
  }

  /** A set without uses stays until forget, so that it keeps its handle while routes move away. */
  release(id: number): void {
    const p = this.#byId[id];
    if (p !== undefined && --p.refs === 0) this.#unused.add(p);
  }

  /** Sets without a kernel entry. */
  unused(): Iterable<PathSet> {
    return this.#unused;
  }
  get unusedCount(): number {
    return this.#unused.size;
  }

  /** Ends an unused set; its id will be given to another. */
  forget(p: PathSet): void {
    this.#unused.delete(p);
    this.#byId[p.id] = undefined;
    this.#free.push(p.id);
    const bucket = this.#byHash.get(p.hash)?.filter((q) => q !== p) ?? [];
    if (bucket.length === 0) this.#byHash.delete(p.hash);
    else this.#byHash.set(p.hash, bucket);
    this.#unindex(this.#byNexthop, p.nhId, p);
    for (const leg of p.legs) this.#unindex(this.#byIfindex, leg.ifindex, p);
    if (this.#last === p) this.#last = undefined;
    this.#size--;
  }

  #unindex(map: Map<number, Set<PathSet>>, key: number, p: PathSet): void {
    const set = map.get(key);
    if (set?.delete(p) && set.size === 0) map.delete(key);
  }

  /** Sets that name a nexthop object. */
  usingNexthop(nhId: number): Iterable<PathSet> {
    return this.#byNexthop.get(nhId) ?? [];
  }
  /** Sets with a leg of their own over a device. */
  usingIfindex(ifindex: number): Iterable<PathSet> {
    return this.#byIfindex.get(ifindex) ?? [];
  }
  /** Every set that exists. */
  *all(): Iterable<PathSet> {
    for (const p of this.#byId) if (p !== undefined) yield p;
  }
}
