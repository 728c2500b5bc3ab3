// Doubts: parts of one namespace's kernel state that must be read again to be known.
//
// Keyed by what is to be read, so asking twice is asking once, and a whole table covers its devices.

import type { RouteScope } from './routes.ts';

/** What can be dumped and swept by itself. */
export type DumpKind = 'link' | 'netconf' | 'rule' | 'address' | 'nexthop' | 'neighbour' | 'route' | 'mroute';

/** What a dump covers: AF_INET, AF_INET6 or 0 for all, and for routes one table or device. */
export interface DumpScope extends RouteScope {
  readonly family: number;
}

export interface Doubt {
  readonly kind: DumpKind;
  readonly scope: DumpScope;
}

export class Doubts {
  readonly #open = new Map<string, Doubt>();

  get size(): number {
    return this.#open.size;
  }

  /** oif: only what leaves by this device is in doubt. */
  add(kind: DumpKind, family: number, oif?: number): void {
    const whole = `${kind} ${family}`;
    if (oif === undefined) this.#open.set(whole, { kind, scope: { family } });
    else if (!this.#open.has(whole)) this.#open.set(`${whole} ${oif}`, { kind, scope: { family, oif } });
  }

  /** Hands them over: whoever takes them reads again. */
  take(): Doubt[] {
    const taken = [...this.#open.values()];
    this.#open.clear();
    return taken;
  }

  [Symbol.iterator](): Iterator<Doubt> {
    return this.#open.values();
  }

  clear(): void {
    this.#open.clear();
  }
}
