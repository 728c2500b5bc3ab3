// RouteFailures: what VPP said of the routes that it refused.
//
// Invariants: a route has only a number for its result, so the words are here: VPP's error with the prefix that met it
// last and how often. There are as many as VPP has errors. They are those of one session.

import { ROUTE_WORDS, type RouteBatch, type RouteFailure } from '../lcp/dataplane.ts';
import { LcpError } from '../lib/errors.ts';
import { AF_INET, AF_INET6, formatWords } from '../lib/ip.ts';
import { NO_ANSWER } from './bulk.ts';
import { refusal, retvalHint, retvalName } from './errno.ts';

export class RouteFailures {
  readonly #byRetval = new Map<number, RouteFailure>();

  count(retval: number, { words, family }: RouteBatch, i: number): void {
    const [length = 0, w0 = 0, w1 = 0, w2 = 0, w3 = 0] = words.subarray(i * ROUTE_WORDS + 2, (i + 1) * ROUTE_WORDS);
    const prefix = `${formatWords(family === 6 ? AF_INET6 : AF_INET, w0, w1, w2, w3)}/${length}`;
    const count = (this.#byRetval.get(retval)?.count ?? 0) + 1;
    const [name, hint] = [retvalName(retval), retvalHint(retval)];
    this.#byRetval.delete(retval); // so that it is the last one
    this.#byRetval.set(retval, { retval, name, hint, prefix, time: Date.now(), count });
  }

  /** The last one first. */
  all(): RouteFailure[] {
    return [...this.#byRetval.values()].reverse();
  }

  /** The error of a request that was sent in bulk. */
  error(op: string, key: string, retval: number): LcpError {
    return retval === NO_ANSWER ? new LcpError('VPP_NO_ANSWER', { op, key }) : refusal(op, retval, key);
  }
}
