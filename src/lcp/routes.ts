// Routes of one namespace and family as the kernel has them: what each notice and dump message does.
//
// Keys are the kernel's: IPv4 (table, dst, tos, priority), IPv6 (table, dst, priority), MPLS the label
// alone, whose one route is always replaced. A prefix's entries are kept in the kernel's order of
// preference, so the first usable one is the one it uses.
//   IPv4  REPLACE overwrites the first entry of the key; APPEND goes behind equal keys (shadow);
//         plain CREATE goes before them. A route has one fib_info, so one notice is the whole route.
//   IPv6  legs with gateways and one metric are one multipath route, and NEWROUTE tells all its legs;
//         DELROUTE may tell single legs, which are subtracted. Routes without a gateway coexist.
// Silent removals: namespace.ts. Reference: net/ipv4/fib_trie.c fib_table_insert, net/ipv6/ip6_fib.c fib6_add_rt2node.

import type { RouteMessage } from '../netlink/route.ts';
import {
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_REPLACE,
  RTM_F_CLONED,
  RTN_THROW,
  RTN_UNSPEC,
  RTPROT_RA,
} from '../netlink/uapi.ts';
import { Hidden } from './hidden.ts';
import { MPLS, type RouteFamily } from './objects.ts';
import type { OwnGateways } from './owngateways.ts';
import type { Leg, PathSet, PathSets } from './pathsets.ts';
import { ACTUAL_UNKNOWN, PrefixTable, packInfo, routeTosOf, routeTypeOf } from './prefixtable.ts';
import { Replaced } from './replaced.ts';
import { ownType, RouteLegs } from './routelegs.ts';
import { SourceRoutes } from './sourceroutes.ts';
import { Twins } from './twins.ts';

/** What a sweep after a dump covers; absent members cover all. */
export interface RouteScope {
  readonly table?: number;
  readonly oif?: number;
}

export class Routes {
  readonly family: RouteFamily;
  readonly legs: RouteLegs;
  readonly prefixes: PrefixTable;
  readonly hidden: Hidden;
  #unheard = true;
  readonly #sets: PathSets;
  readonly #perTable = new Map<number, number>();
  /** Tables that got their first or lost their last entry since the last look. */
  readonly dirtyTables = new Set<number>();
  /** Messages that no data plane can honour yet, by what they have. */
  readonly ignored = { cloned: 0, type: 0 };
  /** Routes for packets from a prefix only, which no data plane here can have. */
  readonly sources = new SourceRoutes();
  readonly replaced = new Replaced();
  readonly #twins = new Twins();
  /** Routes over a device must be read again, 0: all of them. */
  onDoubt: (ifindex: number) => void = () => undefined;
  tosEntries = 0; // never the answer for a packet without

  constructor(family: RouteFamily, sets: PathSets, own?: OwnGateways) {
    this.family = family;
    this.prefixes = new PrefixTable(family);
    this.#sets = sets;
    this.hidden = new Hidden(this.prefixes, sets);
    this.legs = new RouteLegs(family, sets, own);
  }

  /** Nexthop object that decides an entry's legs, 0: none. */
  nexthopOf(entry: number): number {
    return this.#sets.get(this.prefixes.pathset[entry] as number)?.nhId ?? 0;
  }

  /** Kernel entries in a table. */
  entriesIn(table: number): number {
    return this.#perTable.get(table) ?? 0;
  }
  tables(): Iterable<number> {
    return this.#perTable.keys();
  }

  #table(m: RouteMessage): number {
    return this.family === MPLS ? 0 : m.table;
  }

  /**
   * Takes RTM_NEWROUTE. part: number of the datagram in the running dump, 0 for a notice. epoch is that of the running
   * dump or of now; oif is the device that the dump is restricted to, undefined when it shows all routes of the key.
   */
  add(m: RouteMessage, nlFlags: number, part: number, epoch: number, oif?: number): void {
    if (!this.#honoured(m)) return;
    if (m.srcLen !== 0) {
      this.sources.set(m, epoch);
      return;
    }
    const record = this.prefixes.findOrAdd(this.#table(m), m.dstLen, m.d0, m.d1, m.d2, m.d3);
    const set = this.legs.intern(m);
    this.#put(m, record, set, nlFlags, part, epoch, oif);
    if (this.family === 6 && part === 0) this.#changed(record);
    else if (this.family === 6 && this.#unheard && set.legs.length > 1) this.hidden.suspect(record);
  }

  /** unheard: notices were lost, or none heard yet; what the dump shows is all that is known. */
  dumpBegin(unheard: boolean): void {
    this.#unheard = unheard;
    if (unheard) this.hidden.clear();
  }

  /** After an end or a change of legs: what dumps left out so far may have to be read. */
  #changed(record: number): void {
    if (this.hidden.revealed(record)) this.onDoubt(0);
  }

  #put(m: RouteMessage, record: number, set: PathSet, flags: number, part: number, epoch: number, oif?: number): void {
    const t = this.prefixes;
    const fromDump = part !== 0;
    const info = this.#info(m);
    const replace = (flags & NLM_F_REPLACE) !== 0 || this.family === MPLS;
    const whole = fromDump && oif === undefined;
    const behind = this.family === 6 || (flags & NLM_F_APPEND) !== 0;
    const retold = fromDump || (flags & (NLM_F_CREATE | NLM_F_REPLACE)) === 0;
    // the span of equal keys and, in it, this route or the one whose place it takes
    let before = 0; // last entry in front of the span
    let last = 0; // last entry of the span
    let shown = 0; // last entry of the span that the running dump has shown
    let exact = 0;
    let exactBefore = 0;
    let victim = 0;
    let victimBefore = 0;
    let fallback = 0; // IPv6 REPLACE without an entry of its own sort takes the first of the key
    for (let e = t.head[record] as number, previous = 0; e !== 0; previous = e, e = t.next[e] as number) {
      const order = this.#compare(e, info, m.priority);
      if (order > 0) break;
      if (order < 0) {
        before = e;
        continue;
      }
      last = e;
      // a dump shows twins one after the other
      const fits = exact === 0 || (fromDump && t.seen[exact] === epoch && t.seen[e] !== epoch);
      if (fits && t.info[e] === info && this.#shows(e, set, retold)) {
        exact = e;
        exactBefore = previous;
      } else if (
        victim === 0 &&
        exact === 0 &&
        (fromDump
          ? oif !== undefined && t.seen[e] !== epoch && this.#devicesOf(e).includes(oif) && this.#sameLegs(e, m)
          : this.#replaces(e, m, replace))
      ) {
        victim = e;
        victimBefore = previous;
      }
      if (fromDump && t.seen[e] === epoch) shown = e;
      if (fallback === 0 && replace) fallback = e;
    }
    // Nothing is put in front of an IPv6 route: one that replaced another there is a twin of this one, which stays.
    // (One with a nexthop object is told as replaced whenever the object changes: that replaces nothing.)
    const isTwin = fromDump ? this.#twins.has(exact, part) : replace && victim !== 0 && m.nhId === 0;
    if (exact !== 0 && !(this.family === 6 && isTwin)) {
      if (fromDump && this.family === 6) this.#twins.show(exact, part);
      if (!retold) this.#hold(record, exact, set);
      // a dump shows equal keys in the kernel's order; and a route that is known is announced only when the kernel
      // had removed it in silence and made it anew, in the place of a new one (or, without NLM_F_CREATE, that
      // hardware has taken it: fib_alias_hw_flags_set; or, in IPv6, that it has got or lost a leg)
      const anew = !retold && !replace && (this.family === 4 || !this.hidden.isMultipathAble(exact));
      const end = last === exact ? exactBefore : last;
      const place = whole ? shown || before : anew && behind ? end : before;
      const moves = anew || (whole && t.seen[exact] !== epoch);
      t.seen[exact] = epoch;
      if (moves && place !== exactBefore) {
        // or it is older than a dump: multipath routes made after it stay, and IPv4's are told in turn and move as well
        if (anew && this.family === 6 && this.replaced.isLate(performance.now())) this.onDoubt(0);
        const now = t.pathset[exact] as number;
        t.unlink(record, exactBefore);
        t.link(record, place, t.newEntry(m.priority, info, now, epoch));
        t.markDirty(record);
      } else if (!fromDump && replace && victim !== 0 && m.nhId === 0) {
        this.#unlink(record, victimBefore); // told again after a dump that showed it: what it replaced has gone
      }
      return;
    }
    t.markDirty(record);
    if (victim === 0 && !fromDump) victim = fallback;
    if (victim !== 0) {
      if (!fromDump && replace) this.replaced.note(record, this.#devicesOf(victim), performance.now());
      // the first here may have gone in silence already: then the kernel has replaced another one
      if (this.family === 4 && !fromDump && (victimBefore !== before || last !== victim)) this.onDoubt(0);
      this.#hold(record, victim, set);
      t.info[victim] = info;
      t.seen[victim] = epoch;
      return;
    }
    this.#sets.retain(set.id);
    const at = whole ? shown : fromDump || behind ? last : 0;
    const made = t.newEntry(m.priority, info, set.id, epoch);
    t.link(record, at !== 0 ? at : before, made);
    if (fromDump && this.family === 6) this.#twins.show(made, part);
    this.#count(this.#table(m), 1, info);
  }

  /** Whether a message with these legs is about entry e; retold: as it is, not as one that is made now. */
  #shows(e: number, set: PathSet, retold: boolean): boolean {
    const held = this.#sets.get(this.prefixes.pathset[e] as number);
    if (retold) return this.legs.lookAlike(set, held);
    return held === set || (this.family === 4 && this.legs.equalButDead(set, held));
  }

  #hold(record: number, entry: number, set: PathSet): void {
    const t = this.prefixes;
    if (t.pathset[entry] === set.id) return;
    this.#sets.retain(set.id);
    this.#sets.release(t.pathset[entry] as number);
    t.pathset[entry] = set.id;
    t.markDirty(record);
  }

  /** Whether entry e differs from the message at most in flags: a leg died or came back without a word. */
  #sameLegs(e: number, m: RouteMessage): boolean {
    const set = this.#sets.get(this.prefixes.pathset[e] as number);
    return set !== undefined && this.legs.areLegs(set, m);
  }

  #devicesOf(e: number): number[] {
    return this.#sets.get(this.prefixes.pathset[e] as number)?.legs.map((l) => l.ifindex) ?? [];
  }

  /** < 0: entry e is preferred to the key, 0: it has the same key, > 0: it comes behind. */
  #compare(e: number, info: number, priority: number): number {
    const t = this.prefixes;
    if (this.family === 4) {
      const byTos = routeTosOf(info) - routeTosOf(t.info[e] as number); // higher tos first
      if (byTos !== 0) return byTos;
    }
    return (t.priority[e] as number) - priority;
  }

  /** Whether a new route of the same key takes the place of entry e. */
  #replaces(e: number, m: RouteMessage, replace: boolean): boolean {
    if (this.family !== 6) return replace;
    const mine = m.legs > 0 && m.nhId === 0 && m.legGatewayFamily[0] !== 0 && m.protocol !== RTPROT_RA;
    return this.hidden.isMultipathAble(e) === mine && (mine || replace);
  }

  /** What identifies an entry besides its key; IPv6 has no tos but a preference among equals (RFC 4191). */
  #info(m: RouteMessage): number {
    return packInfo(ownType(m), m.protocol, m.scope, this.family === 6 ? Math.max(0, m.pref) : m.tos);
  }

  #honoured(m: RouteMessage): boolean {
    if ((m.flags & RTM_F_CLONED) !== 0) this.ignored.cloned++;
    else if (m.type === RTN_UNSPEC || m.type > RTN_THROW) this.ignored.type++;
    else return true;
    return false;
  }

  /** Takes RTM_DELROUTE. */
  remove(m: RouteMessage, epoch: number): void {
    if (!this.#honoured(m)) return;
    if (m.srcLen !== 0) {
      this.sources.remove(m);
      return;
    }
    const t = this.prefixes;
    const record = t.find(this.#table(m), m.dstLen, m.d0, m.d1, m.d2, m.d3);
    if (record === 0) return;
    const set = this.legs.intern(m);
    const info = this.#info(m);
    let exactBefore = -1;
    let similarBefore = -1;
    let previous = 0;
    for (let e = t.head[record] as number; e !== 0; previous = e, e = t.next[e] as number) {
      if (this.#compare(e, info, m.priority) !== 0) continue;
      if (exactBefore < 0 && t.pathset[e] === set.id && t.info[e] === info) exactBefore = previous;
      if (similarBefore < 0 && this.#holdsLegsOf(e, m, set)) similarBefore = previous;
    }
    const at = exactBefore >= 0 ? exactBefore : similarBefore;
    if (at < 0) return;
    const entry = (at === 0 ? t.head[record] : t.next[at]) as number;
    const isTold = (leg: Leg): boolean => this.legs.isTold(leg, m);
    if (exactBefore < 0 && this.family === 6 && this.#subtract(record, entry, isTold)) t.seen[entry] = epoch;
    else this.#unlink(record, at);
    this.#ended(record);
  }

  /** An entry has gone, or a leg of it: what it took the place of may be there still. */
  #ended(record: number): void {
    for (const ifindex of this.replaced.take(record)) this.onDoubt(ifindex);
    this.#changed(record);
  }

  /** Whether entry e is the one that a deletion with the legs `told` is about, although it holds them otherwise. */
  #holdsLegsOf(e: number, m: RouteMessage, told: PathSet): boolean {
    const t = this.prefixes;
    const set = this.#sets.get(t.pathset[e] as number);
    if (set === undefined || routeTypeOf(t.info[e] as number) !== ownType(m) || set.nhId !== m.nhId) return false;
    if (this.family === MPLS) return true;
    if (this.family === 6) return m.nhId !== 0 || m.legs === 0 || set.legs.some((leg) => this.legs.isLeg(leg, m, 0));
    // an IPv4 route is told whole, but its dead flags may have changed without a word
    if (t.info[e] !== this.#info(m) || set.prefsrc !== told.prefsrc || set.metrics !== told.metrics) return false;
    return set.legs.length === told.legs.length && set.legs.every((l, i) => this.legs.isLeg(l, m, i, true));
  }

  /** Takes legs out of a multipath route; false when none would be left. */
  #subtract(record: number, entry: number, goes: (leg: Leg) => boolean): boolean {
    const t = this.prefixes;
    const set = this.#sets.get(t.pathset[entry] as number);
    const rest = set === undefined ? undefined : this.legs.without(set, goes);
    if (rest === undefined) return false;
    this.#hold(record, entry, rest);
    return true;
  }

  #unlink(record: number, previous: number): void {
    const t = this.prefixes;
    const entry = (previous === 0 ? t.head[record] : t.next[previous]) as number;
    this.#sets.release(t.pathset[entry] as number);
    t.markDirty(record);
    const info = t.info[entry] as number;
    t.unlink(record, previous);
    this.#count(t.table[record] as number, -1, info);
  }

  #count(table: number, by: 1 | -1, info: number): void {
    if (this.family === 4 && routeTosOf(info) !== 0) this.tosEntries += by;
    const n = (this.#perTable.get(table) ?? 0) + by;
    if (n === 0) this.#perTable.delete(table);
    else this.#perTable.set(table, n);
    if (n === 0 || (n === 1 && by === 1)) this.dirtyTables.add(table);
  }

  /** Removes every entry for which `gone` says so, by sweeps and where the kernel tells nobody; returns how many. */
  removeIf(gone: (entry: number, record: number) => boolean): number {
    const t = this.prefixes;
    let removed = 0;
    t.forEach((record) => {
      let previous = 0;
      for (let e = t.head[record] as number; e !== 0; ) {
        const next = t.next[e] as number;
        if (gone(e, record)) {
          this.#unlink(record, previous);
          this.#ended(record);
          removed++;
        } else {
          previous = e;
        }
        e = next;
      }
    });
    return removed;
  }

  /** Removes entries with legs over a device when isGone says so of all their devices. told: the kernel tells, too. */
  removeOver(ifindex: number, isGone: (ifindex: number) => boolean, told = false): void {
    const dead = new Set<number>();
    for (const p of this.#sets.usingIfindex(ifindex)) {
      // not by RTNH_F_DEAD: it is also shown for legs without carrier that are only ignored
      if (p.nhId === 0 && p.family === this.family && p.legs.every((l) => isGone(l.ifindex))) dead.add(p.id);
    }
    if (dead.size === 0) return;
    // what a dump may hide the kernel may have passed over as well (cleared.ts): told to be gone, or not gone
    const stays = (e: number, record: number): boolean => told && this.hidden.isHidden(e, record);
    this.removeIf((e, r) => dead.has(this.prefixes.pathset[e] as number) && !stays(e, r));
  }

  /**
   * Ends a complete dump of a scope: what it did not show, and nothing showed since, is gone. An IPv6 route that a
   * dump of one device does not show may only have lost its legs over it (fib6_ifdown with NETDEV_UNREGISTER): what is
   * left of it is doubted, device by device. heardAll: no notice was lost, so that what a dump may hide would have
   * been told to be gone.
   */
  sweep(scope: RouteScope, epoch: number, heardAll = false): number {
    const t = this.prefixes;
    const { table, oif } = scope;
    this.replaced.dumped(performance.now());
    this.sources.sweep(table, epoch, oif);
    const removed = this.removeIf((entry, record) => {
      if ((t.seen[entry] as number) >= epoch || (heardAll && this.hidden.isHidden(entry, record))) return false;
      if (table !== undefined && t.table[record] !== table) return false;
      if (oif === undefined) return true;
      if (!this.#devicesOf(entry).includes(oif)) return false;
      if (this.family !== 6 || !this.#subtract(record, entry, (leg) => leg.ifindex === oif)) return true;
      for (const ifindex of this.#devicesOf(entry)) this.onDoubt(ifindex);
      this.#changed(record);
      return false;
    });
    if (oif === undefined && table === undefined) this.hidden.confirm();
    return removed;
  }

  /** Queues every prefix one of whose entries uses one of the sets; resend: to be sent though its target is the same. */
  markUsersDirty(sets: ReadonlySet<number>, resend = false): void {
    const t = this.prefixes;
    t.forEach((record) => {
      for (let e = t.head[record] as number; e !== 0; e = t.next[e] as number) {
        if (!sets.has(t.pathset[e] as number)) continue;
        t.markDirty(record);
        if (resend && t.actual[record] !== 0) t.actual[record] = ACTUAL_UNKNOWN;
        return;
      }
    });
  }
}
