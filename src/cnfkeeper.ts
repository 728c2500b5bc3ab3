// CnfKeeper: makes the devices of one namespace what their wishes say, and keeps them so.
//
// Level-triggered: a look reads the namespace, takes each device a step further and reads again, until there is nothing to do
// or only what was refused is left, which waits for its time. Notices, the poll and new wishes all end in the same look, one at
// a time. Everything remembered belongs to one namespace: a new one under the name starts with nothing.

import { isDeepStrictEqual } from 'node:util';
import {
  type CnfMemory,
  type CnfPlan,
  type CnfStep,
  type CnfView,
  type CnfWish,
  isMarked,
  planOf,
  staleVrfs,
} from './cnfdevice.ts';
import type { CnfKernel, CnfSession } from './cnfnetns.ts';
import { isProgrammingError, messageOf } from './lib/errors.ts';
import type { Logger } from './lib/log.ts';
import { RtnlError } from './netlink/request.ts';

/** From a notice to the look at it, ms; longer where somebody undoes what is done, up to MAX_DELAY_MS, until it has been calm. */
const NOTICE_DELAY_MS = 20;
const MAX_DELAY_MS = 500;
const CALM_MS = 10_000;
/** Looks at a namespace that changes while it is read, before its sockets are opened anew. */
const READ_TRIES = 4;
/** Readings of one look: what is not at rest by then is being changed by somebody else all the time. */
const ROUNDS = 8;
const RETRY_MS = 250;
const MAX_RETRY_MS = 30_000;

export interface CnfFailure {
  readonly reason: string;
  /** Clock ms, as retryAt. */
  readonly since: number;
  readonly attempts: number;
  readonly retryAt: number;
}

export type CnfState = 'settled' | 'absent' | CnfFailure;

/** What the keepers of all namespaces have in common. */
export interface CnfShared {
  readonly kernel: CnfKernel;
  readonly log: Logger;
  readonly now: () => number;
  readonly pollMs: number;
  /** What others changed and was put right, and what the kernel refused, since the start. */
  readonly counters: { mended: number; refused: number };
  /** VRF devices that wishes name in the namespace of an identity, under whatever name it goes; undefined: not known yet. */
  needed(identity: string): ReadonlySet<string> | undefined;
  /** A state changed. */
  onChange(): void;
}

class Entry {
  wish: CnfWish;
  state: CnfState = 'absent';
  memory: CnfMemory = { hadAddresses: false, enslaved: undefined };
  /** Texts of the steps that were refused and wait for retryAt. */
  refused = new Set<string>();
  /** Device that was found at rest with this wish. */
  settledAs: number | undefined;
  hasTold = false;

  constructor(wish: CnfWish) {
    this.wish = wish;
    this.memory.hadAddresses = wish.addresses.length > 0;
  }

  /** Another wish for the device: it is not settled, and refused is what was asked for before. */
  change(wish: CnfWish): void {
    this.wish = wish;
    this.state = 'absent';
    this.refused.clear();
    this.settledAs = undefined;
    this.memory.hadAddresses ||= wish.addresses.length > 0;
  }
}

export class CnfKeeper {
  readonly netns: string;
  readonly #shared: CnfShared;
  #entries = new Map<string, Entry>();
  #session: CnfSession | undefined;
  #identity = '';
  /** Whether anything was wanted here in this life. */
  #hadWishes = false;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  #again = false;
  #unread = 0;
  #delayMs = NOTICE_DELAY_MS;
  #disturbedAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  /** Nothing is wanted here and nothing of ours is left: it may be forgotten. */
  isDone = false;

  constructor(netns: string, shared: CnfShared) {
    this.netns = netns;
    this.#shared = shared;
  }

  want(wishes: readonly CnfWish[]): void {
    const entries = new Map<string, Entry>();
    let isNew = wishes.length !== this.#entries.size;
    for (const wish of wishes) {
      const known = this.#entries.get(wish.name);
      isNew ||= known === undefined || !isDeepStrictEqual(known.wish, wish);
      const entry = known ?? new Entry(wish);
      if (!isDeepStrictEqual(entry.wish, wish)) entry.change(wish);
      entries.set(wish.name, entry);
    }
    this.#entries = entries;
    this.#hadWishes ||= entries.size > 0;
    if (isNew) this.wake(0);
  }

  get isWanted(): boolean {
    return this.#entries.size > 0;
  }

  state(name: string): CnfState | undefined {
    return this.#entries.get(name)?.state;
  }

  /** Looks again in so many ms, or earlier. */
  wake(delayMs: number): void {
    if (this.#closed || this.isDone) return;
    const at = this.#shared.now() + delayMs;
    if (at >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = at;
    this.#timer = setTimeout(() => {
      this.#dueAt = Number.POSITIVE_INFINITY;
      void this.look();
    }, delayMs);
  }

  /** The name may mean another namespace now: nothing is kept alive by our sockets. */
  renamed(): void {
    this.#drop();
    this.wake(0);
  }

  /** Looks at the namespace now; a look that runs already is followed by another. */
  look(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#looks().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #looks(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      await this.#look();
    }
    if (this.#closed || this.isDone) return;
    const now = this.#shared.now();
    const retries = [...this.#entries.values()].flatMap(({ state }) =>
      typeof state === 'object' ? state.retryAt : [],
    );
    this.wake(Math.max(0, Math.min(this.#shared.pollMs, ...retries.map((at) => at - now))));
  }

  async #look(): Promise<void> {
    const session = this.#enter();
    if (session === undefined) return;
    for (let round = 0; ; round++) {
      const view = await session.read();
      if (this.#session !== session) return; // closed, or the name means another one: looked at anew
      if (view === undefined) {
        this.#unread++;
        if (this.#unread >= READ_TRIES) this.#drop();
        this.wake(NOTICE_DELAY_MS * 2 ** Math.min(this.#unread, 5));
        return;
      }
      this.#unread = 0;
      const acted = await this.#round(session, view, round === ROUNDS);
      if (this.#session !== session) return;
      if (acted === 0) break;
      if (round < ROUNDS) continue;
      this.#disturbed();
      return this.wake(this.#delayMs);
    }
  }

  /** The session into the namespace that the name means now. */
  #enter(): CnfSession | undefined {
    const { kernel } = this.#shared;
    let identity: string | undefined;
    try {
      identity = kernel.identity(this.netns);
      if (identity !== this.#identity) this.#drop();
      if (identity !== undefined && this.#session === undefined && this.#isOurs(identity)) {
        const session = kernel.open(this.netns, () => this.wake(this.#delayMs));
        // it may have been replaced between the two
        this.#identity = identity;
        if (kernel.identity(this.netns) === identity) this.#session = session;
        else {
          session.close();
          this.wake(NOTICE_DELAY_MS);
        }
      }
    } catch (error) {
      if (isProgrammingError(error)) throw error;
      this.#shared.log.debug({ netns: this.netns, reason: messageOf(error) }, 'cannot be looked into');
      const reason = `network namespace ${this.netns || 'of lcpd'} cannot be looked into: ${messageOf(error)}`;
      for (const entry of this.#entries.values()) this.#fail(entry, reason, new Set());
      if (!this.isWanted) this.#finish();
      return undefined;
    }
    if (this.#session === undefined) {
      for (const entry of this.#entries.values()) this.#absent(entry);
      if (!this.isWanted) this.#finish();
    }
    return this.#session;
  }

  #isOurs(identity: string): boolean {
    return !this.isWanted || [...this.#entries.values()].some(({ wish }) => fits(wish, identity));
  }

  /** One step further with everything. Resolves with how many requests were made. */
  async #round(session: CnfSession, view: CnfView, isLast: boolean): Promise<number> {
    let acted = 0;
    /** What siblings have in common is made once: the view is older than what the first of them did. */
    const done = new Set<string>();
    for (const entry of [...this.#entries.values()]) {
      if (fits(entry.wish, this.#identity)) acted += await this.#advance(session, view, entry, done, isLast);
      else this.#absent(entry);
      if (this.#session !== session) return acted;
    }
    const needed = this.#shared.needed(this.#identity);
    if (needed === undefined) return acted;
    for (const step of staleVrfs(view, needed, this.#hadWishes)) {
      const refusal = await this.#do(session, step);
      if (refusal === '') acted++;
      else this.#shared.log.warn({ netns: this.netns, what: step.text, reason: refusal }, 'refused by the kernel');
    }
    // the namespace is let go, unless something of ours is still in use there
    const isClean = !view.links.some((link) => isMarked(link) && !needed.has(link.name));
    if (acted === 0 && !this.isWanted && isClean) this.#finish();
    return acted;
  }

  async #advance(
    session: CnfSession,
    view: CnfView,
    entry: Entry,
    done: Set<string>,
    isLast: boolean,
  ): Promise<number> {
    const { wish } = entry;
    const plan = planOf(wish, view, entry.memory);
    if (plan.ifindex === undefined) return this.#absent(entry);
    if (typeof entry.state === 'object' && entry.state.retryAt <= this.#shared.now()) entry.refused.clear();
    if (plan.steps.length === 0 && plan.obstacle === '') return this.#settle(entry, plan.ifindex);
    if (entry.settledAs === plan.ifindex && plan.steps.length > 0) this.#mends(entry, plan);
    const due = plan.steps.filter(({ text }) => !entry.refused.has(text));
    if (isLast && due.length > 0) {
      this.#fail(entry, `${due[0]?.text}: does not stay so`, new Set());
      return due.length;
    }
    const refused = new Set<string>();
    let reason = plan.obstacle;
    for (const step of due) {
      if (done.has(step.text)) continue;
      const refusal = await this.#do(session, step);
      if (this.#session !== session || entry.wish !== wish) return 1;
      if (refusal === '') {
        done.add(step.text);
        if (step.what === 'set' && step.change.master !== undefined) entry.memory.enslaved = step.change.master;
        continue;
      }
      refused.add(step.text);
      reason ||= `${step.text}: ${refusal}`;
    }
    if (reason !== '') this.#fail(entry, reason, refused);
    return due.length;
  }

  /** Resolves with the kernel's reason, '' when it is done. */
  async #do(session: CnfSession, step: CnfStep): Promise<string> {
    try {
      await session.do(step);
      this.#shared.log.debug({ netns: this.netns, what: step.text }, 'done');
      return '';
    } catch (error) {
      if (isProgrammingError(error)) throw error;
      if (this.#session !== session) return 'given up';
      this.#shared.counters.refused++;
      if (error instanceof RtnlError) return error.reason === '' ? error.code : `${error.code} (${error.reason})`;
      // the socket is of no more use: the next look opens others
      this.#shared.log.warn({ netns: this.netns, what: step.text, reason: messageOf(error) }, 'netlink socket lost');
      this.#drop();
      return messageOf(error);
    }
  }

  /** Who undoes it again and again is answered more and more slowly. */
  #disturbed(): void {
    const now = this.#shared.now();
    const isCalm = now - this.#disturbedAt > CALM_MS;
    this.#delayMs = isCalm ? NOTICE_DELAY_MS : Math.min(MAX_DELAY_MS, this.#delayMs * 2);
    this.#disturbedAt = now;
  }

  #mends(entry: Entry, { steps }: CnfPlan): void {
    const { log, counters } = this.#shared;
    counters.mended++;
    entry.settledAs = undefined;
    this.#disturbed();
    const fields = { netns: this.netns, device: entry.wish.name, what: steps.map(({ text }) => text) };
    log[entry.hasTold ? 'debug' : 'warn'](fields, 'was changed by somebody else, put right');
    entry.hasTold = true;
  }

  #settle(entry: Entry, ifindex: number): number {
    entry.refused.clear();
    entry.settledAs = ifindex;
    // all that the wish does not have is gone, and what comes now is somebody else's
    if (entry.wish.addresses.length === 0) entry.memory.hadAddresses = false;
    this.#become(entry, 'settled');
    return 0;
  }

  #absent(entry: Entry): number {
    entry.refused.clear();
    entry.settledAs = undefined;
    entry.memory.enslaved = undefined;
    this.#become(entry, 'absent');
    return 0;
  }

  #fail(entry: Entry, reason: string, refused: ReadonlySet<string>): void {
    const { log, now } = this.#shared;
    const before = typeof entry.state === 'object' ? entry.state : undefined;
    for (const text of refused) entry.refused.add(text);
    // an obstacle that stands is looked at again each time, and tried no oftener than a refusal
    if (before?.reason === reason && before.retryAt > now()) return;
    const attempts = (before?.attempts ?? 0) + 1;
    const delay = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(attempts - 1, 20));
    if (before?.reason !== reason) log.warn({ netns: this.netns, device: entry.wish.name, reason }, 'cannot be made');
    this.#become(entry, { reason, since: before?.since ?? now(), attempts, retryAt: now() + delay });
  }

  #become(entry: Entry, state: CnfState): void {
    if (entry.state === state) return;
    entry.state = state;
    this.#shared.onChange();
  }

  #finish(): void {
    this.isDone = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  #drop(): void {
    this.#session?.close();
    this.#session = undefined;
    this.#identity = '';
    this.#unread = 0;
    for (const entry of this.#entries.values()) {
      entry.memory = { hadAddresses: entry.wish.addresses.length > 0, enslaved: undefined };
      entry.settledAs = undefined;
    }
  }

  /** Lets go of the namespace; what is there stays. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#drop();
    await this.#running;
  }
}

const fits = ({ netnsId }: CnfWish, identity: string): boolean => netnsId === '' || netnsId === identity;
