// SourceRoutes: IPv6 routes for packets from a prefix only (RTA_SRC), kept to be told of, not to be used.
//
// A data plane's tables know destinations. What such a route would change is a difference that lcpctl
// shows; nothing of it reaches the data plane. Bounded: a table full of them is counted, not kept.

import { AF_INET6, formatWords } from '../lib/ip.ts';
import type { RouteMessage } from '../netlink/route.ts';

/** Routes that are kept by name; further ones only raise `uncounted`. */
const MOST = 10_000;

interface Entry {
  readonly table: number;
  readonly text: string;
  /** Devices of its legs. */
  oifs: number[];
  seen: number;
}

/** Devices of a message's legs; 0 for one that has none. */
const oifsOf = (m: RouteMessage): number[] => (m.legs === 0 ? [0] : [...m.legOif.subarray(0, m.legs)]);

const prefix = (len: number, w0: number, w1: number, w2: number, w3: number): string =>
  `${formatWords(AF_INET6, w0, w1, w2, w3)}/${len}`;

export class SourceRoutes {
  readonly #byKey = new Map<string, Entry>();
  /** Notices about routes that were too many to keep. */
  uncounted = 0;

  get size(): number {
    return this.#byKey.size;
  }

  #textOf(m: RouteMessage): string {
    const dst = prefix(m.dstLen, m.d0, m.d1, m.d2, m.d3);
    const src = prefix(m.srcLen, m.s0, m.s1, m.s2, m.s3);
    return `${dst} from ${src} table ${m.table} metric ${m.priority}`;
  }

  set(m: RouteMessage, epoch: number): void {
    const text = this.#textOf(m);
    const known = this.#byKey.get(text);
    if (known === undefined && this.#byKey.size >= MOST) {
      this.uncounted++;
      return;
    }
    // NEWROUTE tells all legs of the route
    this.#byKey.set(text, { table: m.table, text, oifs: oifsOf(m), seen: epoch });
  }

  /** A deletion may tell of some legs only. */
  remove(m: RouteMessage): void {
    const text = this.#textOf(m);
    const known = this.#byKey.get(text);
    if (known === undefined) return;
    this.#without(text, known, oifsOf(m));
  }

  /** Takes a leg away for each of the devices; the route goes with its last one. */
  #without(text: string, entry: Entry, oifs: readonly number[]): void {
    for (const oif of oifs) {
      const at = entry.oifs.indexOf(oif);
      if (at >= 0) entry.oifs.splice(at, 1);
    }
    if (entry.oifs.length === 0) this.#byKey.delete(text);
  }

  /** Ends a complete dump of one table or all; or of what leaves by one device: only that may have gone. */
  sweep(table: number | undefined, epoch: number, oif?: number): void {
    for (const [key, e] of this.#byKey) {
      if (e.seen >= epoch || (table !== undefined && e.table !== table)) continue;
      if (oif === undefined) this.#byKey.delete(key);
      else
        this.#without(
          key,
          e,
          e.oifs.filter((i) => i === oif),
        );
    }
  }

  clear(): void {
    this.#byKey.clear();
  }

  /** As `ip -6 route` writes them. */
  texts(): string[] {
    return [...this.#byKey.keys()];
  }
}
