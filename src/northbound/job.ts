// Job: what a request of the control protocol makes lcpd do, and how its parameters are checked.
//
// Three kinds: `once` has one answer; `rows` is walked at the speed of its reader; `push` sends when something happens,
// until it is stopped.

import type { z } from 'zod';
import type { MaybePromise } from '../lcp/view.ts';
import { LcpError } from '../lib/errors.ts';

export type RowSource = Iterable<unknown> | AsyncIterable<unknown>;

export type Job =
  | { readonly kind: 'once'; readonly run: (signal: AbortSignal) => MaybePromise<unknown> }
  | { readonly kind: 'rows'; readonly run: () => MaybePromise<RowSource> }
  | {
      readonly kind: 'push';
      /** Resolves when there is nothing more to come, or when `signal` aborts. */
      readonly run: (emit: (event: unknown) => void, signal: AbortSignal) => Promise<void>;
    };

/** Takes the members that are undefined away: absent is absent. */
export function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as never;
}

/** Parameters as the schema has them. @throws LcpError CONTROL_BAD_PARAMS */
export function checked<T>(schema: z.ZodType<T>, method: string, params: unknown): T {
  const parsed = schema.safeParse(params ?? {});
  if (parsed.success) return parsed.data;
  const first = parsed.error.issues[0];
  const where = first === undefined || first.path.length === 0 ? '' : `${first.path.map(String).join('.')}: `;
  throw new LcpError('CONTROL_BAD_PARAMS', { op: method, message: `${where}${first?.message ?? 'not valid'}` });
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
