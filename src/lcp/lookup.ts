// Lookup: what a packet for an address would find in the data plane's own tables, in the operator's names.

import { LcpError } from '../lib/errors.ts';
import { formatIp, maskBytes, parseIp, wordsOf } from '../lib/ip.ts';
import type { Core } from './core.ts';
import type { LookupAnswer } from './dataplane.ts';
import { LOOKUP_TABLES4, LOOKUP_TABLES6 } from './derive.ts';
import type { Namespace } from './namespace.ts';
import { type Family, FIRST_HANDLE, neighbourKey, SPECIAL, SPECIAL_NAMES, tableKey } from './objects.ts';
import { pathRows } from './routerows.ts';
import { hostName } from './show.ts';
import type { LookupFound, LookupRequest, LookupRow, LookupType } from './view.ts';

const familyName = (address: string): Family => (address.includes(':') ? 6 : 4);

/** Legs of a prefix that leaves by devices which are no pairs, from the kernel's own entry. */
const kernelPaths = (core: Core, ns: Namespace, family: Family, table: number, address: Uint8Array, plen: number) => {
  const routes = family === 4 ? ns.routes4 : ns.routes6;
  const [a0 = 0, a1 = 0, a2 = 0, a3 = 0] = wordsOf(maskBytes(address, plen));
  const record = routes.prefixes.find(table, plen, a0, a1, a2, a3);
  if (record === 0) return [];
  const entry = core.reconciler.routes.best(ns, routes, record);
  return pathRows(ns, ns.pathsets.get(routes.prefixes.pathset[entry] as number));
};

/** One row for each address asked, in order. */
export const lookupRows = async (core: Core, request: LookupRequest): Promise<LookupRow[]> => {
  const netns = request.netns ?? core.defaultNetns();
  const ns = core.reconciler.namespaces.get(netns);
  if (ns === undefined) throw new LcpError('NO_SUCH_NETNS', { op: 'look up in', key: netns });
  const rows = new Array<LookupRow>(request.addresses.length);
  const tableOf = new Map<number, number>();
  for (const row of core.reconciler.delta.rows('table')) {
    if (row.actual?.kind === 'table') tableOf.set(row.handle, row.actual.table);
  }
  for (const family of [4, 6] as const) {
    const asked: { index: number; text: string; bytes: Uint8Array }[] = [];
    request.addresses.forEach((address, index) => {
      const bytes = parseIp(address);
      if (bytes === undefined) rows[index] = { address, error: 'not an IP address' };
      else if (familyName(address) === family) asked.push({ index, text: formatIp(bytes), bytes });
    });
    if (asked.length === 0) continue;
    const always: readonly number[] = family === 4 ? LOOKUP_TABLES4 : LOOKUP_TABLES6;
    const handles = (request.table === undefined ? always : [request.table])
      .map((table) => core.reconciler.delta.row('table', tableKey(netns, family, table))?.handle ?? 0)
      .filter((handle) => handle !== 0);
    const merged = family === 4 && request.table === undefined && handles.length > 1;
    const found = await core.dataplane.lookup(
      family,
      handles,
      merged,
      asked.map((a) => a.text),
    );
    asked.forEach(({ index, text, bytes }, i) => {
      const answer = found[i] ?? { table: 0, target: 0, prefixlen: 0 };
      rows[index] = rowOf(core, ns, family, text, bytes, answer, tableOf.get(answer.table));
    });
  }
  return rows;
};

const hasNeighbour = (core: Core, phy: string, address: string): boolean =>
  core.reconciler.pairs.spec(phy)?.type === 'tun' ||
  core.reconciler.delta.row('neighbour', neighbourKey(phy, address))?.actual !== undefined;

const rowOf = (
  core: Core,
  ns: Namespace,
  family: Family,
  address: string,
  bytes: Uint8Array,
  { target, prefixlen }: LookupAnswer,
  table: number | undefined,
): LookupFound => {
  const base = { address, netns: ns.name };
  if (table === undefined || target === SPECIAL.none) return { ...base, type: 'none', paths: [] };
  const prefix = `${formatIp(maskBytes(bytes, prefixlen))}/${prefixlen}`;
  if (target === SPECIAL.punt) {
    const paths = kernelPaths(core, ns, family, table, bytes, prefixlen);
    const shown = paths.map(({ via, dev, weight }) => ({
      ...(via === undefined ? {} : { via }),
      dev,
      weight,
      complete: false,
    }));
    return { ...base, table, prefix, type: 'punt', paths: shown };
  }
  if (target < FIRST_HANDLE) {
    return { ...base, table, prefix, type: SPECIAL_NAMES[target] as LookupType, paths: [] };
  }
  const paths = (core.dataplane.paths(target) ?? []).map((p) => ({
    ...(p.via === '' ? {} : { via: p.via }),
    dev: hostName(core, p.phy),
    weight: p.weight,
    // the neighbour of an attached leg is the destination itself
    complete: p.via === '' ? hasNeighbour(core, p.phy, address) : p.complete,
  }));
  return { ...base, table, prefix, type: 'unicast', paths };
};
