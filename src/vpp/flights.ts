// Flights: what was sent to VPP and is not answered yet, in the order in which it was sent.
//
// Invariants: contexts are given in sending order, so that of two contexts the earlier was sent earlier. VPP handles
// the messages of a client one after the other: when a control_ping is answered, what was sent before it and still
// waits was swallowed. Every flight ends once. Reference: VPP's src/vlibmemory/memclnt_api.c, vl_api_clnt_process.

import type { LcpError } from '../lib/errors.ts';
import type { Bound } from './binding.ts';

export interface Flight {
  readonly name: string;
  /** Contexts it holds, from the one it was given on. */
  readonly count: number;
  /** An answer to one of its contexts. True when it waits for no more. */
  onAnswer(index: number, bound: Bound, bytes: Uint8Array, view: DataView, at: number, end: number): boolean;
  /** VPP answered what was sent behind it. */
  onOvertaken(): void;
  onFailed(error: LcpError): void;
}

/** A flight of one context that nobody waits for by itself. */
export const unawaited = (name: string): Flight => ({
  name,
  count: 1,
  onAnswer: () => true,
  onOvertaken: () => undefined,
  onFailed: () => undefined,
});

export interface InFlight {
  readonly flight: Flight;
  readonly first: number;
  readonly sentAt: number;
}

export class Flights {
  readonly #waiting = new Map<number, InFlight>();
  /** Flights of many contexts; few. */
  #wide: InFlight[] = [];
  #next: number;

  constructor(firstContext: number) {
    this.#next = firstContext >>> 0;
  }

  /** Takes the flight in and returns its first context. */
  add(flight: Flight, now: number): number {
    const first = this.#next;
    this.#next = (first + flight.count) >>> 0;
    const entry: InFlight = { flight, first, sentAt: now };
    if (flight.count === 1) this.#waiting.set(first, entry);
    else this.#wide.push(entry);
    return first;
  }

  get size(): number {
    return this.#waiting.size + this.#wide.length;
  }

  /** When the oldest flight was sent; undefined when there is none. */
  get oldestSentAt(): number | undefined {
    const single = this.#waiting.values().next().value?.sentAt;
    const wide = this.#wide[0]?.sentAt;
    return single === undefined || (wide !== undefined && wide < single) ? wide : single;
  }

  /** The flight that a context belongs to, with its first one; undefined when nothing waits for it. */
  find(context: number): InFlight | undefined {
    const single = this.#waiting.get(context);
    if (single !== undefined) return single;
    for (const wide of this.#wide) if ((context - wide.first) >>> 0 < wide.flight.count) return wide;
    return undefined;
  }

  /** Forgets a flight that has ended. */
  remove(flight: Flight, context: number): void {
    if (flight.count === 1) this.#waiting.delete(context);
    else this.#wide = this.#wide.filter((entry) => entry.flight !== flight);
  }

  /** Ends what was sent before a context: VPP has answered that one. */
  overtake(context: number): void {
    const isBefore = (entry: InFlight): boolean => (context - entry.first) >>> 0 < 0x8000_0000;
    for (const [first, entry] of this.#waiting) {
      if (!isBefore(entry)) break;
      this.#waiting.delete(first);
      entry.flight.onOvertaken();
    }
    const passed = this.#wide.filter(isBefore);
    this.#wide = this.#wide.filter((entry) => !isBefore(entry));
    for (const entry of passed) entry.flight.onOvertaken();
  }

  /** Ends everything. */
  failAll(error: LcpError): void {
    const all = [...this.#waiting.values(), ...this.#wide];
    this.#waiting.clear();
    this.#wide = [];
    for (const entry of all) entry.flight.onFailed(error);
  }
}
