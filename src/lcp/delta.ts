// DeltaTable: desired versus actual for the kinds that are not bulk, one row a key.
//
// A row is open while its two sides differ. What is refused stays open with its error, age and next
// try; nothing else waits for it. actual changes only by an answer of the data plane (settle) or by
// what a dump showed (adopt), so after a lost connection the same code starts over from empty. What was
// refused may have been done by half: it is doubted, and told again or deleted, whatever is wished for by then.

import type { HeldObject, Operation, OperationResult } from './dataplane.ts';
import { KINDS, type Kind, keyOf, type LcpObject, sameObject } from './objects.ts';

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** Clock ms of the first refusal in a row. */
  readonly since: number;
  readonly attempts: number;
  readonly retryAt: number;
}

export interface Row {
  readonly kind: Kind;
  readonly key: string;
  desired: LcpObject | undefined;
  actual: LcpObject | undefined;
  /** What the data plane may hold, in the place of actual or besides it, whole or by half; undefined: actual is all of it. */
  doubt: LcpObject | undefined;
  /** What the data plane calls it: see Operation.handle. */
  handle: number;
  failure: Failure | undefined;
}

export interface RetryPolicy {
  readonly initialMs: number;
  readonly maxMs: number;
}

/** Kinds that take more than one step, and devices of the kernel: one that is doubted is deleted when nobody wishes for it. */
const MADE_IN_STEPS: ReadonlySet<Kind> = new Set<Kind>(['pair', 'interconnect', 'punt']);

export class DeltaTable {
  readonly #rows = new Map<Kind, Map<string, Row>>(KINDS.map((k) => [k, new Map()]));
  readonly #open = new Map<Kind, Set<string>>(KINDS.map((k) => [k, new Set()]));
  retry: RetryPolicy;
  #desiredCount = 0;

  constructor(retry: RetryPolicy) {
    this.retry = retry;
  }

  get desiredCount(): number {
    return this.#desiredCount;
  }

  row(kind: Kind, key: string): Row | undefined {
    return this.#rows.get(kind)?.get(key);
  }

  /** All rows of a kind. */
  rows(kind: Kind): Iterable<Row> {
    return (this.#rows.get(kind) as Map<string, Row>).values();
  }

  /** Rows whose two sides differ. */
  *open(kind: Kind): Iterable<Row> {
    for (const key of this.#open.get(kind) as Set<string>) {
      const row = this.row(kind, key);
      if (row !== undefined) yield row;
    }
  }

  isOpen(kind: Kind, key: string): boolean {
    return (this.#open.get(kind) as Set<string>).has(key);
  }

  get openCount(): number {
    let n = 0;
    for (const set of this.#open.values()) n += set.size;
    return n;
  }

  #ensure(kind: Kind, key: string): Row {
    const rows = this.#rows.get(kind) as Map<string, Row>;
    let row = rows.get(key);
    if (row === undefined) {
      row = { kind, key, desired: undefined, actual: undefined, doubt: undefined, handle: 0, failure: undefined };
      rows.set(key, row);
    }
    return row;
  }

  #review(row: Row): void {
    const open = this.#open.get(row.kind) as Set<string>;
    const { desired, actual, doubt } = row;
    const same =
      desired === undefined
        ? this.#left(row) === undefined
        : doubt === undefined && actual !== undefined && sameObject(desired, actual);
    if (!same) {
      open.add(row.key);
      return;
    }
    open.delete(row.key);
    row.failure = undefined;
    if (desired === undefined) (this.#rows.get(row.kind) as Map<string, Row>).delete(row.key);
  }

  /** What there is to delete. */
  #left({ kind, actual, doubt }: Row): LcpObject | undefined {
    return actual ?? (MADE_IN_STEPS.has(kind) ? doubt : undefined);
  }

  /** States what should be; a change of mind clears the wait of an earlier refusal. */
  want(kind: Kind, key: string, desired: LcpObject | undefined): void {
    if (desired === undefined && this.row(kind, key) === undefined) return;
    const row = this.#ensure(kind, key);
    const before = row.desired;
    if (before === undefined ? desired === undefined : desired !== undefined && sameObject(before, desired)) return;
    if (before === undefined && desired !== undefined) this.#desiredCount++;
    if (before !== undefined && desired === undefined) this.#desiredCount--;
    row.desired = desired;
    row.failure = undefined;
    this.#review(row);
  }

  /** Says that the data plane may no longer hold what it answered for: it is applied again. */
  invalidate(kind: Kind, key: string): void {
    const row = this.row(kind, key);
    if (row === undefined || row.actual === undefined) return;
    row.doubt = row.actual;
    row.actual = undefined;
    this.#review(row);
  }

  /** Says that the data plane holds an object, as its dump showed. */
  hold(object: LcpObject, handle: number): void {
    const row = this.#ensure(object.kind, keyOf(object));
    row.actual = object;
    row.doubt = undefined;
    row.handle = handle;
    this.#review(row);
  }

  /** The operations that are due, in the order of the kinds: 'delete' reversed, 'set' forward. */
  due(op: 'set' | 'delete', kinds: readonly Kind[], now: number): Operation[] {
    const out: Operation[] = [];
    for (const kind of op === 'set' ? kinds : [...kinds].reverse()) {
      for (const row of this.open(kind)) {
        if (row.failure !== undefined && row.failure.retryAt > now) continue;
        if (op === 'set' && row.desired !== undefined) out.push({ op, object: row.desired, handle: row.handle });
        const left = row.desired === undefined ? this.#left(row) : undefined;
        if (op === 'delete' && left !== undefined) out.push({ op, object: left, handle: row.handle });
      }
    }
    return out;
  }

  /** Takes the data plane's answer to an operation. Returns the row, undefined when it is gone. */
  settle(operation: Operation, result: OperationResult, now: number): Row | undefined {
    const { object, op } = operation;
    const row = this.row(object.kind, keyOf(object));
    if (row === undefined) return undefined;
    if (result.ok) {
      row.actual = op === 'set' ? object : undefined;
      row.doubt = undefined;
      row.handle = op === 'set' ? (result.handle ?? row.handle) : 0;
      row.failure = undefined;
      this.#review(row);
      return row;
    }
    row.doubt = object;
    const attempts = (row.failure?.attempts ?? 0) + 1;
    const delay = Math.min(this.retry.maxMs, this.retry.initialMs * 2 ** Math.min(attempts - 1, 20));
    row.failure = {
      code: result.code ?? 'REFUSED',
      message: result.message ?? 'the data plane gave no reason',
      hint: result.hint ?? '',
      since: row.failure?.since ?? now,
      attempts,
      retryAt: now + delay,
    };
    this.#review(row);
    return row;
  }

  /** Says that what stood in the way of a kind may be gone: what was refused is due now, and waits as long as before if it fails. */
  hurry(kind: Kind, now: number): void {
    for (const row of this.open(kind)) {
      if (row.failure !== undefined && row.failure.retryAt > now) row.failure = { ...row.failure, retryAt: now };
    }
  }

  /** Starts over from what the data plane says that it holds; everything else is absent there. */
  adopt(held: readonly HeldObject[]): void {
    for (const kind of KINDS) {
      for (const row of [...this.rows(kind)]) {
        row.actual = undefined;
        row.doubt = undefined;
        row.handle = 0;
        row.failure = undefined;
        this.#review(row);
      }
    }
    for (const { object, handle } of held) this.hold(object, handle ?? 0);
  }

  /** Rows with a refusal, oldest first. */
  failures(): Row[] {
    const out: Row[] = [];
    for (const kind of KINDS) for (const row of this.open(kind)) if (row.failure !== undefined) out.push(row);
    return out.sort((a, b) => (a.failure?.since ?? 0) - (b.failure?.since ?? 0));
  }

  /** Clock ms of the next retry, undefined when nothing waits. */
  nextRetryAt(): number | undefined {
    let next: number | undefined;
    for (const row of this.failures()) {
      const at = (row.failure as Failure).retryAt;
      if (next === undefined || at < next) next = at;
    }
    return next;
  }
}
