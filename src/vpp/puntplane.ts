// VppPuntPlane: what the punt manager asks of VPP, over all sessions.
//
// Invariants: answers are those of the session that there is; without one there is nothing. What is ours in VPP outlives sessions and
// is kept here (puntmemory.ts). What VPP cannot tell of itself is said by `forgets`, for the journal to keep.

import { type Interconnect, matchText, type Punt, type PuntMatch } from '../lcp/puntobjects.ts';
import type { PuntInterface, PuntPlane, PuntReason, PuntStat } from '../lcp/puntplane.ts';
import { LcpError } from '../lib/errors.ts';
import { gapsOfPunt } from './puntgaps.ts';
import { PuntMemory } from './puntmemory.ts';
import type { Punts } from './punts.ts';
import { puntStats } from './puntstats.ts';
import type { Statistics } from './statistics.ts';

/** Features that VPP's dumps tell with their owner, by tag of a list, by name of a policer, and what ends with lcpd. */
const TOLD: ReadonlySet<Punt['feature']> = new Set(['abx', 'police', 'osi']);
const NOTHING: ReadonlyMap<string, string> = new Map();

/** A session, as far as punts go. */
export interface PuntSession {
  readonly punts: Punts;
  readonly statistics: Statistics | undefined;
}

export class VppPuntPlane implements PuntPlane {
  readonly opensPhys = false;
  readonly memory = new PuntMemory();
  readonly #session: () => PuntSession | undefined;

  constructor(session: () => PuntSession | undefined) {
    this.#session = session;
  }

  get #punts(): Punts | undefined {
    return this.#session()?.punts;
  }

  get unsupported(): ReadonlyMap<string, string> {
    return this.#punts?.unsupported() ?? NOTHING;
  }

  get serverSocket(): string {
    return this.#punts?.serverSocket ?? '';
  }

  get reasons(): readonly PuntReason[] {
    return this.#punts?.reasons.all() ?? [];
  }

  takenBy(match: PuntMatch): string | undefined {
    return this.#punts?.ports.takenBy(match);
  }

  notes(punt: Punt): readonly string[] {
    const groups = punt.feature === 'abx' ? this.#punts?.groups.notes(punt) : undefined;
    const osi = punt.feature === 'osi' ? this.#punts?.osi.notes(punt) : undefined;
    const copied = this.#isCopied(punt) ? (this.unsupported.get('host copies') ?? []) : [];
    return [...gapsOfPunt(punt, this.unsupported), ...[copied].flat(), ...(groups ?? []), ...(osi ?? [])];
  }

  /** Whether a socket has what goes to the host, so that VPP makes a copy. */
  #isCopied(punt: Punt): boolean {
    if (punt.feature !== 'host' || punt.match.by !== 'reason') return false;
    const text = matchText(punt.match);
    return this.memory.of('socket').some(({ match }) => matchText(match) === text);
  }

  interface(name: string): PuntInterface | undefined {
    return this.#punts?.facts.interface(name);
  }

  hasTable(family: 4 | 6, table: number): boolean {
    return this.#punts?.facts.hasTable(family, table) ?? false;
  }

  forgets(object: Interconnect | Punt): boolean {
    return object.kind === 'punt' && !TOLD.has(object.feature);
  }

  recall(generation: string, objects: readonly Punt[]): void {
    this.memory.recall(generation, objects);
  }

  async stats(): Promise<readonly PuntStat[]> {
    const session = this.#session();
    if (session?.statistics === undefined)
      throw new LcpError('DATAPLANE_DOWN', { op: 'read punts', key: 'vpp', message: 'no session with VPP' });
    return puntStats(session.punts, session.statistics);
  }
}
