// Statistics: what VPP counts, for one session with it, as rows of lcpctl.
//
// Invariants: opened with the session and closed with it, so that nothing of a VPP that has ended is told. Nothing else
// depends on it: what cannot be opened or read is an error of who asks, and the next who asks makes it anew. Names are an
// interface to scripts and are listed in docs/operations.md: append freely. What belongs to the host of a pair is told with
// the phy, behind `host-`; what belongs to no interface has no phy. Interfaces are named as the API names them, because
// the segment keeps the name that one was made with.
// Reference: VPP's src/vnet/interface.h, src/plugins/linux-cp/lcp_node.c.

import type { CounterRow } from '../lcp/dataplane.ts';
import { LcpError } from '../lib/errors.ts';
import { puntReasonDump } from './api/punt.ts';
import type { VppClient } from './client.ts';
import { VppStats } from './stats.ts';
import {
  type Counters,
  type ErrorCounter,
  type InterfaceCounters,
  type PacketCount,
  type PuntCounter,
  policerCounters,
  readCounters,
  routeCounters,
} from './statscounters.ts';

/** Whose counters an interface's are. */
export interface Owner {
  readonly phy: string;
  /** It is the host of the phy. */
  readonly isHost: boolean;
}

/** VPP's index of what has no counter. */
export const NO_COUNTER = 0xffff_ffff;
const NO_REASONS: ReadonlyMap<number, string> = new Map();
/** Names that say more here than in VPP: listings add up what begins with `drop-`. */
const SAID: Readonly<Record<string, string>> = { drops: 'drop-total', punt: 'drop-punt' };

export class Statistics {
  readonly #path: string;
  readonly #client: VppClient;
  /** Names of VPP's punt reasons by number, when they have been read. */
  #reasons: ReadonlyMap<number, string> | undefined;
  #opening: Promise<VppStats> | undefined;
  /** The last opening failed. */
  #isMissing = false;
  #isClosed = false;

  /** Begins to open what is at `path`; whether that succeeds is told to who asks. */
  constructor(path: string, client: VppClient) {
    this.#path = path;
    this.#client = client;
    this.#begin();
  }

  #begin(): void {
    this.#opened().catch((error: unknown) => {
      if (!(error instanceof LcpError)) throw error;
    });
  }

  #opened(): Promise<VppStats> {
    this.#opening ??= VppStats.open(this.#path).then(
      (stats) => {
        this.#isMissing = false;
        if (this.#isClosed) stats.close();
        return stats;
      },
      (error: unknown) => {
        this.#isMissing = true;
        this.#opening = undefined;
        throw error;
      },
    );
    return this.#opening;
  }

  /** Asks the reader; one that fails is let go. Rejects with VPP_STATS. */
  async #ask<T>(question: (stats: VppStats) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new LcpError('VPP_STATS', { op: 'read', key: this.#path, message: 'VPP has ended' });
    const opening = this.#opened();
    const stats = await opening;
    try {
      return await question(stats);
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined;
      stats.close();
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    // one that is still being opened is closed when it is, and one that cannot be opened has nothing to close
    this.#opening?.then(
      (stats) => stats.close(),
      () => undefined,
    );
  }

  /** All counters, zeros too. `ownerOf` is undefined for an interface that the API has not told yet. Rejects with VPP_STATS. */
  async rows(ownerOf: (swIfIndex: number) => Owner | undefined): Promise<CounterRow[]> {
    const { counters, unreadable } = await this.#ask(async (stats) => {
      const before = stats.counters.damaged;
      return { counters: await readCounters(stats), unreadable: stats.counters.damaged - before };
    });
    const reasons = counters.punts.length === 0 ? NO_REASONS : await this.#reasonNames();
    return [
      ...counters.interfaces.flatMap((each) => interfaceRows(each, ownerOf(each.swIfIndex))),
      ...counters.punts.map((each) => puntRow(each, reasons)),
      ...counters.errors.map(errorRow),
      { phy: '', name: 'stats-unreadable', value: unreadable },
    ];
  }

  /**
   * What went by routes, by the index that VPP told with each; undefined where that is not counted, and, so that lookups do
   * not wait for what is not there, for all when the last opening failed. Rejects with VPP_STATS.
   */
  async routes(indices: readonly number[]): Promise<readonly (PacketCount | undefined)[]> {
    const wanted = indices.filter((index) => index !== NO_COUNTER);
    if (this.#isMissing && !this.#isClosed) this.#begin();
    if (wanted.length === 0 || this.#isMissing) return indices.map(() => undefined);
    const counts = await this.#ask((stats) => routeCounters(stats, wanted));
    let next = 0;
    return indices.map((index) => (index === NO_COUNTER ? undefined : counts?.[next++]));
  }

  /** What punts are counted by. Rejects with VPP_STATS. */
  async punts(): Promise<{
    readonly counters: Counters;
    readonly policed: ReadonlyMap<string, readonly PacketCount[]>;
  }> {
    return this.#ask(async (stats) => ({
      counters: await readCounters(stats),
      policed: await policerCounters(stats),
    }));
  }

  async #reasonNames(): Promise<ReadonlyMap<number, string>> {
    if (this.#client.unsupported(puntReasonDump) !== undefined) return NO_REASONS;
    if (this.#reasons === undefined) {
      const rows = await this.#client.dump(puntReasonDump, { reason: { id: 0, name: '' } });
      this.#reasons = new Map(rows.map(({ reason }) => [reason.id, reason.name]));
    }
    return this.#reasons;
  }
}

function interfaceRows({ name, rx, tx, packets }: InterfaceCounters, owner: Owner | undefined): CounterRow[] {
  const { phy, isHost } = owner ?? { phy: name, isHost: false };
  const values: readonly (readonly [string, number])[] = [
    ['rx-packets', rx.packets],
    ['rx-bytes', rx.bytes],
    ['tx-packets', tx.packets],
    ['tx-bytes', tx.bytes],
    ...Object.entries(packets).map(([of, value]) => [SAID[of] ?? of, value] as const),
  ];
  const rows = values.map(([of, value]) => ({ phy, name: isHost ? `host-${of}` : of, value }));
  // linux_cp counts no punts: what was sent to the host was punted
  return isHost ? [...rows, { phy, name: 'punt-host', value: tx.packets }] : rows;
}

function puntRow({ reason, count }: PuntCounter, names: ReadonlyMap<number, string>): CounterRow {
  return { phy: '', name: `punt-${names.get(reason) ?? `reason-${reason}`}`, value: count.packets };
}

function errorRow({ node, reason, count }: ErrorCounter): CounterRow {
  return { phy: '', name: `err/${node}/${reason}`, value: count };
}
