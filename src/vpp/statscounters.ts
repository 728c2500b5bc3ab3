// Counters by what they count: interfaces, errors, routes, out of the vectors of VPP's statistics.
//
// Invariants: an interface is the index of its name in /if/names, and counters are joined to it by index, of one reading.
// Only errors that have happened are rows. A route's counter is at the stats_index that VPP told when it was added.
// Reference: VPP's src/vnet/interface/stats.c, src/vlib/error.c, src/vnet/dpo/load_balance.c.

import type { VppStats } from './stats.ts';
import type { StatRow } from './statssegment.ts';

export interface PacketCount {
  readonly packets: number;
  readonly bytes: number;
}

export interface InterfaceCounters {
  readonly swIfIndex: number;
  /** VPP's name of the interface. */
  readonly name: string;
  readonly rx: PacketCount;
  readonly tx: PacketCount;
  /** Packets by the rest of the name below /if: `drops`, `punt`, `ip4`, `rx-miss`, `rx-unicast` and others. */
  readonly packets: Readonly<Record<string, number>>;
}

export interface ErrorCounter {
  /** Node of VPP's graph. */
  readonly node: string;
  readonly reason: string;
  readonly count: number;
}

const FOLDER = '/if/';
const ERRORS = '/err/';
/** What VPP calls an interface that is gone, until its index is used again. */
const DELETED = 'deleted';

/** Counters of all interfaces, by sw_if_index. Rejects with VPP_STATS. */
export async function interfaceCounters(stats: VppStats): Promise<readonly InterfaceCounters[]> {
  const rows = new Map((await stats.read('/if')).map((row) => [row.name.slice(FOLDER.length), row]));
  const names = rows.get('names');
  if (names?.kind !== 'names') return [];
  const counters = [...rows].filter(([, row]) => row.kind === 'simple' || row.kind === 'combined');
  return names.names.flatMap((name, swIfIndex) => {
    if (name === '' || name === DELETED) return [];
    const packets = Object.fromEntries(
      counters
        .filter(([of]) => of !== 'rx' && of !== 'tx')
        .map(([of, row]) => [of, countAt(row, swIfIndex).packets] as const),
    );
    const both = (of: 'rx' | 'tx'): PacketCount => countAt(rows.get(of), swIfIndex);
    return [{ swIfIndex, name, rx: both('rx'), tx: both('tx'), packets }];
  });
}

/** The counter at an index; zeros where there is none. */
function countAt(row: StatRow | undefined, index: number): PacketCount {
  if (row?.kind === 'simple') return { packets: row.values[index] ?? 0, bytes: 0 };
  if (row?.kind === 'combined') return { packets: row.packets[index] ?? 0, bytes: row.bytes[index] ?? 0 };
  return { packets: 0, bytes: 0 };
}

/** Errors that have happened. Rejects with VPP_STATS. */
export async function errorCounters(stats: VppStats): Promise<readonly ErrorCounter[]> {
  return (await stats.read('/err')).flatMap((row) => {
    const count = row.kind === 'simple' ? (row.values[0] ?? 0) : 0;
    if (count === 0) return [];
    const [node = '', ...reason] = row.name.slice(ERRORS.length).split('/');
    return [{ node, reason: reason.join('/'), count }];
  });
}

/** Counters of routes by stats_index: packets and bytes that were forwarded by each. Rejects with VPP_STATS. */
export async function routeCounters(stats: VppStats): Promise<(statsIndex: number) => PacketCount> {
  const [row] = await stats.read('/net/route/to');
  return (statsIndex) => countAt(row, statsIndex);
}
