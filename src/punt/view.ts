// PuntView: what the doors may ask of the punt manager, as plain rows.

import type { PuntReason, PuntStat } from '../lcp/puntplane.ts';
import type { CapturePlace } from './captures.ts';
import type { PuntRequest, PuntSpec } from './request.ts';

export type { PuntReason, PuntStat } from '../lcp/puntplane.ts';

/**
 * INIT: asked for, on its way; CREATED: the data plane and the kernel have all of it; PENDING: something that it needs is not
 * there; FAILED: something was refused and is tried again; BUSY: another punt has what it wants, its turn comes when that
 * one goes.
 */
export type PuntState = 'INIT' | 'CREATED' | 'PENDING' | 'FAILED' | 'BUSY';

export interface PuntEnd {
  readonly name: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  readonly vrf: number;
  /** Device of the VRF in the CNF's namespace, '' : none. */
  readonly vrfName: string;
}

/** One link between data plane and CNF. Reference: StoneWork's PuntMetadata. */
export interface PuntLink {
  readonly vppSelector: string;
  readonly cnfSelector: string;
  readonly vpp: PuntEnd;
  readonly cnf: PuntEnd;
  /** Other punts use it as well. */
  readonly shared: boolean;
}

export interface PuntRow {
  /** 'cnf|key|label' */
  readonly id: string;
  readonly type: PuntSpec['type'];
  readonly state: PuntState;
  /** What it waits for, what was refused, who is in the way. */
  readonly reasons: readonly string[];
  /** What keeps packets from it although nothing of it is missing: an interface that is down. */
  readonly notes: readonly string[];
  /** What to do about it, '' when the reasons say it all. */
  readonly hint: string;
  /** How long the state is what it is, ms; times that something refused was tried. */
  readonly ageMs: number;
  readonly attempts: number;
  /** Who asked: 'config', 'cli', … */
  readonly source: string;
  readonly links: readonly PuntLink[];
  /** Kind and key of what it is made of in the data plane. */
  readonly objects: readonly string[];
  readonly request: PuntRequest;
}

/** What watchers are told of a punt. */
export interface PuntChange {
  readonly id: string;
  /** links: state and reasons are those that were told last, only its links are other ones. */
  readonly about: 'state' | 'links';
  readonly state: PuntState | 'DELETED';
  readonly reasons: readonly string[];
  /** Those of its row; of one that is DELETED those that it had. */
  readonly links: readonly PuntLink[];
}

export interface PuntView {
  list(): readonly PuntRow[];
  /** By id text, or by a label that is the only one of its name. Throws LcpError PUNT_UNKNOWN. */
  find(name: string): PuntRow;
  /**
   * Takes a request, remembered on disk until del. Throws LcpError and changes nothing: PUNT_EXISTS (one of its id),
   * PUNT_BUSY (what it wants another has), PUNT_REFUSED (it cannot be had on this data plane, or is wrong).
   */
  add(request: PuntRequest, source: string): PuntRow;
  /** Throws LcpError PUNT_UNKNOWN, and PUNT_CONFIGURED for one that the configuration asks for. */
  del(name: string): PuntRow;
  reasons(): readonly PuntReason[];
  stats(): Promise<readonly PuntStat[]>;
  /**
   * Where a capture of what a punt sees can be taken: devices by namespace. Throws LcpError PUNT_UNKNOWN, and NOT_SUPPORTED
   * for one that has no device, with what there is to look at instead.
   */
  captures(name: string): readonly CapturePlace[];
  /** Tells whatever becomes another one of states, reasons and links. Returns what ends it. */
  watch(watcher: (change: PuntChange) => void): () => void;
}
