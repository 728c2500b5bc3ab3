// Punting: the punt manager joined with mirror, data plane, journal and the kernels of CNFs.

import { join } from 'node:path';
import type { Config } from './config/config.ts';
import type { StateChanges } from './lcp/core.ts';
import type { DataPlane } from './lcp/dataplane.ts';
import { PuntPlaces } from './lcp/puntplaces.ts';
import type { PuntPlane } from './lcp/puntplane.ts';
import type { Reconciler } from './lcp/reconcile.ts';
import type { Logger } from './lib/log.ts';
import { netnsIdentity, netnsPath } from './netlink/netns.ts';
import type { PuntEnv } from './punt/env.ts';
import { Journal } from './punt/journal.ts';
import { type PuntParts, Punts } from './punt/punts.ts';

export interface PuntingOptions {
  readonly config: Config;
  readonly reconciler: Reconciler;
  readonly dataplane: DataPlane;
  readonly plane: PuntPlane;
  readonly devices: PuntParts['devices'];
  readonly routed: PuntParts['routed'];
  readonly changes: StateChanges;
  readonly log: Logger;
  readonly now: () => number;
}

/** Opens the journal. Throws LcpError PUNT_JOURNAL. */
export function openPunts(options: PuntingOptions): { readonly punts: Punts; close(): void } {
  const { config, reconciler, dataplane, plane, devices, routed, changes, log, now } = options;
  const journal = new Journal(join(config.punt.state, 'punts.journal'));
  if (journal.cut > 0) log.warn({ bytes: journal.cut }, 'the journal of punts ended in half a record, which is cut off');
  const { namespaces, pairs, delta } = reconciler;
  const places = new PuntPlaces(namespaces, pairs, delta, dataplane);
  const mirrored = config.netns ?? config.pairs[0]?.netns ?? '';
  const env: PuntEnv = {
    plane,
    interface: (name) => places.interface(name),
    hasTable: (family, table) => places.hasTable(family, table, mirrored),
    netns: (name) => netnsIdentity(name === '' ? '/proc/self/ns/net' : netnsPath(name)),
    allocCidr: config.punt.interconnectAllocCidr,
    memifDirectory: config.punt.memifDirectory,
  };
  const punts = new Punts({
    env,
    plane,
    journal,
    rows: delta,
    devices,
    routed,
    generation: () => dataplane.info().generation,
    now,
  });
  punts.configure(config.punts);
  punts.watch(({ id, state, reasons }) => {
    const reason = reasons.join('; ');
    log[state === 'FAILED' || state === 'BUSY' ? 'warn' : 'info']({ punt: id, ...(reason ? { reason } : {}) }, state);
    changes.publish('punt', state, id, reason);
  });
  reconciler.further = punts;
  return { punts, close: () => journal.close() };
}
