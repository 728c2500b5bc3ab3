// Counters by what they count: interfaces, errors, punts, routes, out of the vectors of VPP's statistics.
//
// Invariants: an interface is the index of its name in /if/names, and counters are joined to it by index, of one reading.
// The name is the one that the interface was made with. Only errors that have happened are rows. A route's counter is at the
// stats_index that VPP tells with the route.
// Reference: VPP's src/vnet/interface/stats.c, src/vnet/ip-neighbor/ip_neighbor.c, src/vlib/error.c, src/vlib/punt.c,
// src/vnet/dpo/load_balance.c.

import { LcpError } from '../lib/errors.ts';
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
  /**
   * Packets by the rest of the name below /if: `drops`, `punt`, `ip4`, `rx-miss`, `rx-unicast` and others; and by
   * `arp-rx-requests`, `nd-tx-replies` and the like for those below /net/arp and /net/ip6-nd.
   */
  readonly packets: Readonly<Record<string, number>>;
}

export interface ErrorCounter {
  /** Node of VPP's graph. */
  readonly node: string;
  readonly reason: string;
  readonly count: number;
}

export interface PuntCounter {
  /** VPP's number of the reason; its names are told by the API. */
  readonly reason: number;
  readonly count: PacketCount;
}

export interface Counters {
  readonly interfaces: readonly InterfaceCounters[];
  readonly errors: readonly ErrorCounter[];
  readonly punts: readonly PuntCounter[];
}

const ERRORS = '/err/';
const PUNTS = '/net/punt';
const POLICERS = '/net/policer';
const ALL = /^\/(if|err|net\/arp|net\/ip6-nd)\/|^\/net\/punt$/;
/** Where counters of interfaces are, and what their names begin with here. */
const FOLDERS = [
  ['/if/', ''],
  ['/net/arp/', 'arp-'],
  ['/net/ip6-nd/', 'nd-'],
] as const;
/** What VPP calls an interface that is gone, until its index is used again. */
const DELETED = 'deleted';

/** All of them, as of one moment. Rejects with VPP_STATS. */
export async function readCounters(stats: VppStats): Promise<Counters> {
  const rows = await stats.read(ALL);
  return { interfaces: interfacesOf(rows), errors: errorsOf(rows), punts: puntsOf(rows) };
}

/** Counters of all interfaces, by sw_if_index. Rejects with VPP_STATS. */
export async function interfaceCounters(stats: VppStats): Promise<readonly InterfaceCounters[]> {
  return interfacesOf(await stats.read(ALL));
}

/** Errors that have happened. Rejects with VPP_STATS. */
export async function errorCounters(stats: VppStats): Promise<readonly ErrorCounter[]> {
  return errorsOf(await stats.read('/err'));
}

/** What was forwarded by routes, by their stats_index; undefined where VPP counts none. Rejects with VPP_STATS. */
export async function routeCounters(
  stats: VppStats,
  indices: readonly number[],
): Promise<readonly PacketCount[] | undefined> {
  const [row] = await stats.read('/net/route/to', indices);
  return row?.kind === 'combined' ? indices.map((_index, n) => countAt(row, n)) : undefined;
}

/** What policers let by and did not, by `conform`, `exceed` and `violate`, then by index. Rejects with VPP_STATS. */
export async function policerCounters(stats: VppStats): Promise<ReadonlyMap<string, readonly PacketCount[]>> {
  const rows = await stats.read(POLICERS);
  return new Map(
    rows.flatMap((row) => {
      if (row.kind !== 'combined') return [];
      const counts = Array.from(row.packets, (_packets, index) => countAt(row, index));
      return [[row.name.slice(POLICERS.length + 1), counts] as const];
    }),
  );
}

/** Throws VPP_STATS when the names are missing: counters without them are nobody's. */
function interfacesOf(rows: readonly StatRow[]): readonly InterfaceCounters[] {
  const named = new Map(
    rows.flatMap((row) => {
      const [folder, prefix] = FOLDERS.find(([each]) => row.name.startsWith(each)) ?? [];
      return folder === undefined ? [] : [[prefix + row.name.slice(folder.length).replaceAll('/', '-'), row] as const];
    }),
  );
  const names = named.get('names');
  if (names?.kind !== 'names') {
    throw new LcpError('VPP_STATS', { op: 'read statistics', message: 'no names of interfaces are in the segment' });
  }
  const counters = [...named].filter(([, row]) => row.kind === 'simple' || row.kind === 'combined');
  return names.names.flatMap((name, swIfIndex) => {
    if (name === '' || name === DELETED) return [];
    const packets = Object.fromEntries(
      counters
        .filter(([of]) => of !== 'rx' && of !== 'tx')
        .map(([of, row]) => [of, countAt(row, swIfIndex).packets] as const),
    );
    const both = (of: 'rx' | 'tx'): PacketCount => countAt(named.get(of), swIfIndex);
    return [{ swIfIndex, name, rx: both('rx'), tx: both('tx'), packets }];
  });
}

function errorsOf(rows: readonly StatRow[]): readonly ErrorCounter[] {
  return rows.flatMap((row) => {
    const count = row.kind === 'simple' && row.name.startsWith(ERRORS) ? (row.values[0] ?? 0) : 0;
    if (count === 0) return [];
    const [node = '', ...reason] = row.name.slice(ERRORS.length).split('/');
    return [{ node, reason: reason.join('/'), count }];
  });
}

/** By reason; reason 0 is none. */
function puntsOf(rows: readonly StatRow[]): readonly PuntCounter[] {
  const row = rows.find(({ name }) => name === PUNTS);
  if (row?.kind !== 'combined') return [];
  return Array.from(row.packets, (_packets, reason) => ({ reason, count: countAt(row, reason) })).slice(1);
}

/** The counter at an index; zeros where there is none. */
function countAt(row: StatRow | undefined, index: number): PacketCount {
  if (row?.kind === 'simple') return { packets: row.values[index] ?? 0, bytes: 0 };
  if (row?.kind === 'combined') return { packets: row.packets[index] ?? 0, bytes: row.bytes[index] ?? 0 };
  return { packets: 0, bytes: 0 };
}
