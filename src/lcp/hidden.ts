// Hidden: IPv6 entries that the kernel's dumps leave out although they exist.
//
// fib6_dump_node shows the legs of a multipath route at the first and goes on behind the last, past what was added
// between them. Who hears every notice knows those entries; who had to rely on a dump (a start, an overrun) does not,
// until the route has one leg only: then its prefix is read again. Asking for one prefix is no way: RTM_GETROUTE finds
// what a packet would take, by the rules, and neither an entry of a worse metric nor one in a table without a rule.
// Where so many prefixes are in doubt that reading again would cost more than it is worth, none of them is: what is
// missing then is found by the next resync.

import { RTPROT_RA } from '../netlink/uapi.ts';
import type { PathSets } from './pathsets.ts';
import { type PrefixTable, routeProtocolOf } from './prefixtable.ts';

/** Prefixes whose reading again is worth it. */
const MOST = 1000;

export class Hidden {
  readonly #prefixes: PrefixTable;
  readonly #sets: PathSets;
  /** Prefixes that a dump showed with several legs when notices had been lost, and how many such entries they have. */
  readonly #suspect = new Map<number, number>();

  constructor(prefixes: PrefixTable, sets: PathSets) {
    this.#prefixes = prefixes;
    this.#sets = sets;
  }

  /** rt6_qualify_for_ecmp: own legs with gateways, not from router advertisements. */
  isMultipathAble(e: number): boolean {
    const t = this.#prefixes;
    const set = this.#sets.get(t.pathset[e] as number);
    return (
      set !== undefined &&
      set.nhId === 0 &&
      (set.legs[0]?.gatewayFamily ?? 0) !== 0 &&
      routeProtocolOf(t.info[e] as number) !== RTPROT_RA
    );
  }

  #hasSeveralLegs(e: number): boolean {
    return this.isMultipathAble(e) && (this.#sets.get(this.#prefixes.pathset[e] as number)?.legs.length ?? 0) > 1;
  }

  /** Whether dumps may leave an entry out. */
  isHidden(entry: number, record: number): boolean {
    const t = this.#prefixes;
    if (t.family !== 6 || this.isMultipathAble(entry)) return false;
    for (let e = t.head[record] as number; e !== 0; e = t.next[e] as number) {
      if (t.priority[e] === t.priority[entry] && this.#hasSeveralLegs(e)) return true;
    }
    return false;
  }

  #severalIn(record: number): number {
    const t = this.#prefixes;
    let n = 0;
    for (let e = t.head[record] as number; e !== 0; e = t.next[e] as number) if (this.#hasSeveralLegs(e)) n++;
    return n;
  }

  /** A dump showed an entry with several legs after notices had been lost. */
  suspect(record: number): void {
    if (this.#suspect.size <= MOST) this.#suspect.set(record, this.#severalIn(record));
  }

  /** A prefix changed: whether what a dump left out may be shown by another now. */
  revealed(record: number): boolean {
    const before = this.#suspect.size > MOST ? undefined : this.#suspect.get(record);
    if (before === undefined) return false;
    const now = this.#severalIn(record);
    if (now !== before) this.#suspect.set(record, now);
    return now < before;
  }

  /** A dump of everything ended: what it showed with one leg at most hides nothing; what has more by then still may. */
  confirm(): void {
    for (const record of this.#suspect.keys()) {
      const now = this.#severalIn(record);
      if (now === 0) this.#suspect.delete(record);
      else this.#suspect.set(record, now);
    }
  }

  /** Everything is read again. */
  clear(): void {
    this.#suspect.clear();
  }
}
