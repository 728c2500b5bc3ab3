// What the contract's tests ask of a data plane that is opened for them, in few words.

import { expect } from 'vitest';
import { type DataPlane, newRouteBatch, ROUTE_WORDS, type RouteBatch } from '../../../src/lcp/dataplane.ts';
import {
  keyOf,
  type LcpObject,
  type Link,
  MPLS,
  type Neighbour,
  type Pair,
  type Path,
  type PathSet,
  pathsText,
  type RouteFamily,
  type Table,
} from '../../../src/lcp/objects.ts';
import { parsePrefix, wordsOf } from '../../../src/lib/ip.ts';

/**
 * What a data plane of another sort than the embedded one does otherwise; each is said in the driver's documentation.
 * joined-local: the local table is one with the table behind it, whether the kernel looks them up so or not.
 * lasting-pairs: a pair that is there and asked for again is not made anew, so that what is on it stays.
 * shared-neighbours: after a restart it does not tell which neighbours are ours from those it learned.
 * reserved-labels: labels below 16 are its own. any-tables: no limit of tables to look up in.
 * foreign-trace: packets in it are traced by its own tools.
 */
export type Otherwise =
  | 'joined-local'
  | 'lasting-pairs'
  | 'shared-neighbours'
  | 'reserved-labels'
  | 'any-tables'
  | 'foreign-trace';

export interface Opened {
  readonly dataplane: DataPlane;
  readonly otherwise?: readonly Otherwise[];
  /** Every state reported so far. */
  readonly states: readonly string[];
  readonly pairs: readonly [Pair, Pair];
  /** Whether the pair's host interface exists now. */
  hostExists(pair: Pair): boolean | Promise<boolean>;
  again(): Promise<Opened>;
  cleanup(): Promise<void>;
}

/** A route of table handle: prefix, or label in decimal, to target. */
export type Row = readonly [table: number, prefix: string, target: number];

const labelPrefix = (label: number) => ({
  bytes: Uint8Array.of(label >>> 12, (label >>> 4) & 0xff, (label << 4) & 0xff, 0),
  length: 20,
});

export const contractLab = (opened: () => Opened) => {
  const one = async (op: 'set' | 'delete', object: LcpObject, handle = 0) => {
    const [result] = await opened().dataplane.apply([{ op, object, handle }]);
    if (result === undefined) throw new Error('no answer');
    return result;
  };
  /** Sets and gives the handle; fails when it is refused. */
  const put = async (object: LcpObject, handle = 0): Promise<number> => {
    const result = await one('set', object, handle);
    expect(result, result.message ?? '').toMatchObject({ ok: true });
    return result.handle ?? 0;
  };
  const held = async (kind: string): Promise<string[]> =>
    (await opened().dataplane.dump())
      .filter(({ object }) => object.kind === kind)
      .map(({ object, handle }) =>
        `${object.kind === 'pathset' ? pathsText(object.paths) : keyOf(object)} ${handle ?? ''}`.trim(),
      )
      .sort();
  const is = (what: Otherwise): boolean => opened().otherwise?.includes(what) === true;
  const pairs = async (): Promise<[number, number]> => [await put(opened().pairs[0]), await put(opened().pairs[1])];
  const table = (family: RouteFamily, id: number): Table => ({
    kind: 'table',
    netns: opened().pairs[0].netns,
    family,
    table: id,
  });
  const leg = (at: 0 | 1, via: string, weight = 1): Path => ({ phy: opened().pairs[at].phy, via, weight });
  const set = (...paths: Path[]): PathSet => ({ kind: 'pathset', id: 'test#1', paths });
  const neighbour = (address: string, mac = '02:00:00:00:00:01'): Neighbour => ({
    kind: 'neighbour',
    phy: opened().pairs[0].phy,
    family: address.includes(':') ? 6 : 4,
    address,
    mac,
  });

  const batchOf = (family: RouteFamily, rows: readonly Row[]): RouteBatch => {
    const batch = newRouteBatch(family, rows.length);
    for (const [handle, text, target] of rows) {
      const prefix = family === MPLS ? labelPrefix(Number(text)) : parsePrefix(text);
      if (prefix === undefined) throw new Error(text);
      batch.words.set([handle, target, prefix.length, ...wordsOf(prefix.bytes)], batch.count++ * ROUTE_WORDS);
    }
    return batch;
  };
  const route = async (family: RouteFamily, ...rows: Row[]): Promise<{ failed: number; ok: boolean[] }> => {
    const batch = batchOf(family, rows);
    const failed = await opened().dataplane.applyRoutes(batch);
    return { failed, ok: [...batch.results.subarray(0, batch.count)].map((r) => r === 0) };
  };
  const routes = async (handle: number, family: RouteFamily): Promise<string[]> => {
    const out: string[] = [];
    await opened().dataplane.dumpRoutes(handle, family, ({ words, count }) => {
      for (let i = 0; i < count; i++) {
        const w = words.subarray(i * ROUTE_WORDS, (i + 1) * ROUTE_WORDS);
        const address = [...w.subarray(3, family === 6 ? 7 : 4)].join('.');
        out.push(`${address}/${(w[2] as number) & 0xff} ${w[1]}`);
      }
    });
    return out.sort();
  };
  const find = async (
    family: RouteFamily,
    tables: number[],
    merged: boolean,
    ...addresses: string[]
  ): Promise<string[]> =>
    (await opened().dataplane.lookup(family, tables, merged, addresses)).map(
      (a) => `${a.table} ${a.target}/${a.prefixlen}`,
    );
  /** Of the first pair, up, with nothing to look up in. */
  const link = (hostIfindex: number, change: Partial<Link> = {}): Link => ({
    kind: 'link',
    phy: opened().pairs[0].phy,
    phyIfindex: opened().pairs[0].phyIfindex,
    hostIfindex,
    netns: opened().pairs[0].netns,
    up: true,
    mtu: 1400,
    phyMtu: 1400,
    mac: '02:00:00:00:00:42',
    carrier: true,
    promisc: true,
    host: opened().pairs[0].host,
    forwarding4: true,
    forwarding6: false,
    source4: '10.0.0.1',
    source6: 'fd00::1',
    lookup4: [],
    lookup6: [],
    parent: '',
    macs: ['02:00:5e:00:01:01'],
    l2: false,
    merged4: true,
    lookupMpls: [],
    ...change,
  });
  return { is, one, put, held, pairs, table, leg, set, neighbour, route, routes, find, link };
};
