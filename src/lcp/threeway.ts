// Threeway: who changed a value that two sides have, the kernel and the data plane, and who follows whom.
//
// Invariants: a value is compared with what both sides had when they last agreed, its base. The kernel is the truth: what
// differs there from the base goes down to the data plane, whatever happened here; only what differs here alone goes up, by
// one write. While that is under way nothing is decided, until the kernel shows something else than before: so an echo is
// never a change, no change is lost to another one, and nothing depends on how long anything takes. Values are text, ''
// for what is not there. Without a base the kernel is right.

/** How long the kernel may take to show what it has acknowledged before it is taken as having had no effect, in ms. */
export const SHOWN_MS = 10_000;
/** The same where the kernel shows something else, which may be older than the write or newer. */
export const OTHER_MS = 1000;

/**
 * agreed: nothing to do here. down: the kernel's value is right. up: the data plane's is to be written to the kernel now.
 * wait: it is being written, or was refused and is tried again later.
 */
export type Verdict = 'agreed' | 'down' | 'up' | 'wait';

interface Base {
  readonly kernel: string;
  readonly own: string;
}

export interface Flight {
  /** Values when the write was decided. */
  readonly kernel: string;
  readonly own: string;
  /** What the kernel was asked for, as it would show it, and when it said yes. */
  readonly written: string;
  ackedAt: number | undefined;
  /** When it is over although the kernel does not show it. */
  until: number | undefined;
}

export interface Refusal {
  readonly kernel: string;
  readonly own: string;
  readonly message: string;
  /** Clock ms. */
  readonly since: number;
  readonly attempts: number;
  readonly retryAt: number;
}

export interface Backoff {
  readonly initialMs: number;
  readonly maxMs: number;
}

export class Threeway {
  backoff: Backoff;
  readonly #bases = new Map<string, Base>();
  readonly #flights = new Map<string, Flight>();
  readonly #refusals = new Map<string, Refusal>();

  constructor(backoff: Backoff) {
    this.backoff = backoff;
  }

  /** What to do about a value. `assumed` is the base where there is none yet. */
  judge(key: string, kernel: string, own: string, now: number, assumed?: string): Verdict {
    if (this.#isUnderWay(key, kernel, now)) return 'wait';
    const base = this.#bases.get(key) ?? (assumed === undefined ? undefined : { kernel: assumed, own: assumed });
    if (kernel === own) return this.#agree(key, kernel, own);
    if (base === undefined || kernel !== base.kernel) {
      this.#refusals.delete(key);
      return 'down';
    }
    if (own === base.own) {
      this.#refusals.delete(key);
      return 'agreed';
    }
    const refusal = this.#refusals.get(key);
    const isSame = refusal?.own === own && refusal.kernel === kernel;
    return isSame && refusal.retryAt > now ? 'wait' : 'up';
  }

  #agree(key: string, kernel: string, own: string): Verdict {
    this.#refusals.delete(key);
    // nothing on either side is as good as never having heard of it
    if (kernel === '') this.#bases.delete(key);
    else this.#bases.set(key, { kernel, own });
    return 'agreed';
  }

  /** Whether a write has not come to its end; one that has moves the base. */
  #isUnderWay(key: string, kernel: string, now: number): boolean {
    const flight = this.#flights.get(key);
    if (flight === undefined) return false;
    if (flight.ackedAt === undefined) return true;
    const isBefore = kernel === flight.kernel;
    flight.until = flight.ackedAt + (isBefore ? SHOWN_MS : OTHER_MS);
    if (kernel !== flight.written && now < flight.until) return true;
    this.#flights.delete(key);
    // what it shows now instead was changed there afterwards; as long as it shows the same, that was its answer
    this.#bases.set(key, { kernel: isBefore ? kernel : flight.written, own: flight.own });
    return false;
  }

  /** A write begins. `written` is what the kernel will show once it is done. */
  begin(key: string, kernel: string, own: string, written: string): Flight {
    const flight: Flight = { kernel, own, written, ackedAt: undefined, until: undefined };
    this.#flights.set(key, flight);
    return flight;
  }

  /** The kernel has done it. */
  acked(key: string, flight: Flight, now: number): void {
    if (this.#flights.get(key) !== flight) return;
    flight.ackedAt = now;
    this.#refusals.delete(key);
  }

  /** The kernel has refused it. Whether that is news. */
  failed(key: string, flight: Flight, message: string, now: number): boolean {
    if (this.#flights.get(key) !== flight) return false;
    this.#flights.delete(key);
    return this.refused(key, flight.kernel, flight.own, message, now);
  }

  /** There is no way to ask the kernel for it, or it has refused it. Whether that is news. */
  refused(key: string, kernel: string, own: string, message: string, now: number): boolean {
    const before = this.#refusals.get(key);
    const isSame = before?.own === own && before.kernel === kernel;
    const attempts = isSame ? before.attempts + 1 : 1;
    const delay = Math.min(this.backoff.maxMs, this.backoff.initialMs * 2 ** Math.min(attempts - 1, 20));
    const since = isSame ? before.since : now;
    this.#refusals.set(key, { kernel, own, message, since, attempts, retryAt: now + delay });
    return !isSame || before.message !== message;
  }

  /** The data plane was given the kernel's value, and shows it as `own`. */
  programmed(key: string, kernel: string, own: string): void {
    if (this.#flights.has(key) || this.#refusals.has(key)) return;
    if (kernel === '' && own === '') this.#bases.delete(key);
    else this.#bases.set(key, { kernel, own });
  }

  /** Whether a value is being written. */
  isFlying(key: string): boolean {
    return this.#flights.has(key);
  }

  refusal(key: string): Refusal | undefined {
    return this.#refusals.get(key);
  }

  /** Everything that was refused, by key. */
  refusals(): ReadonlyMap<string, Refusal> {
    return this.#refusals;
  }

  get flights(): number {
    return this.#flights.size;
  }

  /** Keys that anything is known of. */
  *keys(prefix: string): Iterable<string> {
    const all = new Set([...this.#bases.keys(), ...this.#flights.keys(), ...this.#refusals.keys()]);
    for (const key of all) if (key.startsWith(prefix)) yield key;
  }

  /** Forgets values; '' all of them. */
  drop(prefix: string): void {
    for (const map of [this.#bases, this.#flights, this.#refusals]) {
      for (const key of [...map.keys()]) if (key.startsWith(prefix)) map.delete(key);
    }
  }

  /** Forgets refusals that were due and that nobody has looked at again: what they were about is gone. */
  purge(now: number): void {
    for (const [key, { retryAt }] of [...this.#refusals]) {
      if (retryAt <= now && !this.#flights.has(key)) this.#refusals.delete(key);
    }
  }

  /** Clock ms when something has to be looked at again, undefined when nothing waits. */
  nextAt(): number | undefined {
    let next: number | undefined;
    const at = (ms: number) => {
      next = Math.min(next ?? ms, ms);
    };
    for (const [key, { retryAt }] of this.#refusals) if (!this.#flights.has(key)) at(retryAt);
    for (const { until } of this.#flights.values()) if (until !== undefined) at(until);
    return next;
  }
}
