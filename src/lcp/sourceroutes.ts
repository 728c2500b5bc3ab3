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
  legs: number;
  seen: number;
}

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
    this.#byKey.set(text, { table: m.table, text, legs: Math.max(1, m.legs), seen: epoch });
  }

  /** A deletion may tell of some legs only. */
  remove(m: RouteMessage): void {
    const text = this.#textOf(m);
    const known = this.#byKey.get(text);
    if (known === undefined) return;
    known.legs -= Math.max(1, m.legs);
    if (known.legs <= 0) this.#byKey.delete(text);
  }

  /** Ends a complete dump of one table or all. */
  sweep(table: number | undefined, epoch: number): void {
    for (const [key, e] of this.#byKey) {
      if (e.seen < epoch && (table === undefined || e.table === table)) this.#byKey.delete(key);
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
