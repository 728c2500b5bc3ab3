// Pipeline: RxJS from "something changed" to rounds of the reconciler.
//
//   kernel$ (one item a batch) ─┐
//   dataplane$ (up, down) ──────┤ merge ─► auditTime(0, asap) ─► exhaustMap(rounds until nothing is dirty)
//   config$, retry$ ────────────┘                                   └─► settled$ ─► timer to the next retry ─► retry$
//
// Items carry causes, never state: what changed is in the dirty sets, so a wake that is dropped while
// rounds run is found by those rounds. Between rounds the event loop gets its turn, so that sockets
// are read while a full table is on its way. In a storm the netlink socket moderates the wakes.

import {
  asapScheduler,
  auditTime,
  exhaustMap,
  merge,
  type Observable,
  Subject,
  type Subscription,
  switchMap,
  timer,
} from 'rxjs';
import { LcpError } from '../lib/errors.ts';
import type { Reconciler } from './reconcile.ts';

export type Wake = string;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export interface PipelineOptions {
  /** Whether rounds may run: the data plane is up and every namespace has been read once. */
  readonly mayRun: () => boolean;
  readonly now: () => number;
  /** The data plane failed in the middle of a round; it will tell when it is up again. */
  readonly onInterrupted: (error: LcpError) => void;
}

export class Pipeline {
  /** Batches of kernel changes have been applied. */
  readonly kernel$ = new Subject<Wake>();
  readonly dataplane$ = new Subject<Wake>();
  readonly config$ = new Subject<Wake>();
  readonly #retry$ = new Subject<Wake>();
  readonly #settled$ = new Subject<void>();
  readonly #reconciler: Reconciler;
  readonly #options: PipelineOptions;
  #running = false;

  constructor(reconciler: Reconciler, options: PipelineOptions) {
    this.#reconciler = reconciler;
    this.#options = options;
  }

  /** Whether a round runs now. */
  get running(): boolean {
    return this.#running;
  }

  start(): Subscription {
    const wake$: Observable<Wake> = merge(this.kernel$, this.dataplane$, this.config$, this.#retry$);
    const subscription = wake$
      .pipe(
        auditTime(0, asapScheduler),
        exhaustMap(() => this.#rounds()),
      )
      .subscribe();
    subscription.add(
      this.#settled$
        .pipe(
          switchMap(() => {
            const at = this.#reconciler.nextRetryAt();
            return at === undefined ? [] : timer(Math.max(1, at - this.#options.now()));
          }),
        )
        .subscribe(() => {
          this.#reconciler.retryRoutes();
          this.#retry$.next('retry');
        }),
    );
    return subscription;
  }

  async #rounds(): Promise<void> {
    const r = this.#reconciler;
    this.#running = true;
    try {
      while (this.#options.mayRun() && (r.isDirty || !r.adopted)) {
        if (await r.round()) await nextTurn();
      }
    } catch (error) {
      // only the data plane's going away is expected here; anything else is a bug and ends the process
      if (!(error instanceof LcpError)) {
        setImmediate(() => {
          throw error;
        });
        return;
      }
      r.lost();
      this.#options.onInterrupted(error);
    } finally {
      this.#running = false;
    }
    this.#settled$.next();
    // what became dirty between the last look and the end of this item had its wake dropped
    if (this.#options.mayRun() && (r.isDirty || !r.adopted)) setImmediate(() => this.#retry$.next('again'));
  }
}
