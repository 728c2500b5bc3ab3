// Sending: a batch of routes for the data plane with the prefix records that they are of.

import { newRouteBatch, type RouteBatch } from './dataplane.ts';
import type { RouteFamily } from './objects.ts';

/** Routes in one call of the data plane. */
export const BATCH = 4096;

export interface Sending {
  readonly batch: RouteBatch;
  /** By place in the batch. */
  readonly records: Uint32Array;
}

const newSending = (family: RouteFamily): Sending => ({
  batch: newRouteBatch(family, BATCH),
  records: new Uint32Array(BATCH),
});

/** Two, of which one may be on its way. */
export const newSendings = (family: RouteFamily): readonly [Sending, Sending] => [
  newSending(family),
  newSending(family),
];
