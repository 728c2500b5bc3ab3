// FakeRoutes: the routes of a small Linux, IPv4 and IPv6, in the kernel's own order and with its rules.
//
// Written from the kernel's side (fib_trie.c, ip6_fib.c): lists of routes by key, changed in place. It shares
// nothing with src/lcp/routes.ts, so that one can be held against the other. Route legs hold the device, not the
// path set; `dead` is the kernel's RTNH_F_DEAD.

import { AF_INET6, familyOf, formatIp, maskBytes, parsePrefix } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { delRoute, type Message, newRoute, type RouteText } from './kernelbytes.ts';

export interface FakeLeg {
  readonly oif: number;
  readonly gateway?: string;
  readonly weight: number;
  dead: boolean;
}

export interface FakeRoute {
  readonly dst: string;
  readonly family: number;
  readonly table: number;
  readonly tos: number;
  readonly metric: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly prefsrc?: string;
  readonly nhId?: number;
  legs: FakeLeg[];
}

export interface RouteSpec {
  readonly dst: string;
  readonly table?: number;
  readonly tos?: number;
  readonly metric?: number;
  readonly protocol?: number;
  readonly scope?: number;
  readonly type?: number;
  readonly prefsrc?: string;
  readonly nhId?: number;
  readonly legs?: readonly { oif: number; gateway?: string; weight?: number }[];
}

export type AddMode = 'add' | 'prepend' | 'append' | 'replace';

const legText = (l: FakeLeg): string => `${l.oif} ${l.gateway ?? ''}`;
const same = (a: FakeRoute, b: FakeRoute): boolean =>
  a.type === b.type &&
  a.protocol === b.protocol &&
  a.scope === b.scope &&
  a.prefsrc === b.prefsrc &&
  a.nhId === b.nhId &&
  JSON.stringify(a.legs.map((l) => [legText(l), l.weight])) ===
    JSON.stringify(b.legs.map((l) => [legText(l), l.weight]));

/** rt6_qualify_for_ecmp */
const mayBeMultipath = (r: FakeRoute): boolean => r.nhId === undefined && r.legs[0]?.gateway !== undefined;

export class FakeRoutes {
  /** Table and prefix to what is there, best first. */
  readonly #chains = new Map<string, FakeRoute[]>();
  readonly #notify: (m: Message) => void;
  readonly #flagsOf: (r: FakeRoute, oif: number) => number;

  constructor(notify: (m: Message) => void, flagsOf: (r: FakeRoute, oif: number) => number) {
    this.#notify = notify;
    this.#flagsOf = flagsOf;
  }

  static from(spec: RouteSpec): FakeRoute {
    const prefix = parsePrefix(spec.dst);
    if (prefix === undefined) throw new Error(`not a prefix: ${spec.dst}`);
    return {
      dst: `${formatIp(maskBytes(prefix.bytes, prefix.length))}/${prefix.length}`,
      family: prefix.family,
      table: spec.table ?? k.RT_TABLE_MAIN,
      tos: prefix.family === AF_INET6 ? 0 : (spec.tos ?? 0),
      metric: spec.metric ?? (prefix.family === AF_INET6 ? 1024 : 0),
      protocol: spec.protocol ?? k.RTPROT_STATIC,
      scope: spec.scope ?? k.RT_SCOPE_UNIVERSE,
      type: spec.type ?? k.RTN_UNICAST,
      ...(spec.prefsrc === undefined ? {} : { prefsrc: spec.prefsrc }),
      ...(spec.nhId === undefined ? {} : { nhId: spec.nhId }),
      // the weight is a multipath route's: a single leg has none to tell
      legs: (spec.legs ?? []).map((l, _, { length }) => ({
        ...l,
        weight: length === 1 ? 1 : (l.weight ?? 1),
        dead: false,
      })),
    };
  }

  /** The message about a route; the kernel shows legs without carrier as dead where they are ignored. */
  request(r: FakeRoute): RouteText {
    return {
      dst: r.dst,
      table: r.table,
      tos: r.tos,
      priority: r.metric,
      protocol: r.protocol,
      scope: r.scope,
      type: r.type,
      ...(r.prefsrc === undefined ? {} : { prefsrc: r.prefsrc }),
      ...(r.nhId === undefined ? {} : { nhId: r.nhId }),
      legs: r.legs.map(({ dead, ...leg }) => ({
        ...leg,
        flags: this.#flagsOf(r, leg.oif) | (dead ? k.RTNH_F_DEAD : 0),
      })),
    };
  }

  *all(): Iterable<FakeRoute> {
    for (const chain of this.#chains.values()) yield* chain;
  }

  get size(): number {
    return [...this.all()].length;
  }

  #chain(r: FakeRoute): FakeRoute[] {
    const key = `${r.table} ${r.dst}`;
    let chain = this.#chains.get(key);
    if (chain === undefined) {
      chain = [];
      this.#chains.set(key, chain);
    }
    return chain;
  }

  /** As `ip route add|prepend|append|replace`; false when the kernel says EEXIST. */
  add(spec: RouteSpec, mode: AddMode): boolean {
    const r = FakeRoutes.from(spec);
    return r.family === AF_INET6 ? this.#add6(r, mode) : this.#add4(r, mode);
  }

  #add4(r: FakeRoute, mode: AddMode): boolean {
    const chain = this.#chain(r);
    let first = chain.findIndex((o) => o.tos === r.tos && o.metric === r.metric);
    const equal = first < 0 ? [] : chain.filter((o) => o.tos === r.tos && o.metric === r.metric);
    if (mode === 'add' && equal.length > 0) return false;
    const twin = equal.find((o) => same(o, r));
    if (twin !== undefined) return mode === 'replace' && twin === equal[0];
    if (mode === 'replace' && equal.length > 0) {
      chain[first] = r;
      this.#notify(newRoute(this.request(r), k.NLM_F_REPLACE));
      return true;
    }
    if (first < 0) {
      first = chain.findIndex((o) => o.tos < r.tos || (o.tos === r.tos && o.metric > r.metric));
      if (first < 0) first = chain.length;
    }
    chain.splice(mode === 'append' ? first + equal.length : first, 0, r);
    const flags = k.NLM_F_CREATE | (mode === 'append' ? k.NLM_F_APPEND : k.NLM_F_EXCL);
    this.#notify(newRoute(this.request(r), flags));
    return true;
  }

  #add6(r: FakeRoute, mode: AddMode): boolean {
    const chain = this.#chain(r);
    const equal = chain.filter((o) => o.metric === r.metric);
    if (mode === 'add' && equal.length > 0) return false;
    const group = equal.find((o) => mayBeMultipath(o) && mayBeMultipath(r));
    if (mode === 'replace' && equal.length > 0) {
      const victim = equal.find((o) => mayBeMultipath(o) === mayBeMultipath(r)) ?? (equal[0] as FakeRoute);
      chain[chain.indexOf(victim)] = r;
      this.#notify(newRoute(this.request(r), k.NLM_F_REPLACE));
      return true;
    }
    if (group !== undefined) {
      const fresh = r.legs.filter((l) => !group.legs.some((o) => legText(o) === legText(l)));
      if (fresh.length === 0) return false;
      group.legs = [...group.legs, ...fresh];
      // the new leg is told first, then those that were there
      const told = { ...group, legs: [...fresh, ...group.legs.slice(0, group.legs.length - fresh.length)] };
      this.#notify(newRoute(this.request(told), k.NLM_F_CREATE | k.NLM_F_APPEND));
      return true;
    }
    if (equal.some((o) => same(o, r))) return false;
    const behind = chain.findIndex((o) => o.metric > r.metric);
    chain.splice(behind < 0 ? chain.length : behind, 0, r);
    this.#notify(newRoute(this.request(r), k.NLM_F_CREATE | k.NLM_F_EXCL));
    return true;
  }

  /** Takes a route away, told as one message. */
  remove(r: FakeRoute): void {
    this.drop(r);
    this.#notify(delRoute(this.request(r)));
  }

  /** Takes a route away without a word. */
  drop(r: FakeRoute): void {
    const chain = this.#chain(r);
    const at = chain.indexOf(r);
    if (at < 0) throw new Error(`no such route: ${r.dst}`);
    chain.splice(at, 1);
    if (chain.length === 0) this.#chains.delete(`${r.table} ${r.dst}`);
  }

  /** Takes one leg of an IPv6 multipath route away, told as that leg alone. */
  removeLeg(r: FakeRoute, leg: FakeLeg): void {
    if (r.legs.length === 1) {
      this.remove(r);
      return;
    }
    r.legs = r.legs.filter((l) => l !== leg);
    this.#notify(delRoute(this.request({ ...r, legs: [leg] })));
  }

  /** What matches in a table at one prefix length, best first. */
  at(table: number, address: string, length: number): readonly FakeRoute[] {
    const prefix = parsePrefix(address);
    if (prefix === undefined) throw new Error(`not an address: ${address}`);
    const dst = `${formatIp(maskBytes(prefix.bytes, length))}/${length}`;
    return (this.#chains.get(`${table} ${dst}`) ?? []).filter((r) => r.family === familyOf(address));
  }
}
