// Lookup: what a packet for an address would find in the data plane's own tables, in the operator's names.

import { LcpError } from '../lib/errors.ts';
import { formatIp, maskBytes, parseIp, wordsOf } from '../lib/ip.ts';
import type { Core } from './core.ts';
import type { LookupAnswer } from './dataplane.ts';
import { legsOf, pathOf, usable } from './derive.ts';
import { ingressOf, ingressOfVrf } from './derivelink.ts';
import type { Namespace } from './namespace.ts';
import {
  type Family,
  FIRST_HANDLE,
  MPLS,
  neighbourKey,
  type RouteFamily,
  SPECIAL,
  SPECIAL_NAMES,
  tableKey,
} from './objects.ts';
import type { Leg } from './pathsets.ts';
import { pathRows } from './routerows.ts';
import { NO_VRF, type TableOrder } from './rules.ts';
import { hostName } from './show.ts';
import type { LookupFound, LookupPath, LookupRequest, LookupRow, LookupType } from './view.ts';

/** What is looked up: canonical text, and the bytes as routes have them. */
interface Question {
  readonly family: RouteFamily;
  readonly text: string;
  readonly bytes: Uint8Array;
}

/** The one table that labels are looked up in. */
const LABELS: TableOrder = { tables: [0], merged: false };
const MOST_LABEL = 2 ** 20 - 1;

const ipOf = (address: string): Question | undefined => {
  const bytes = parseIp(address);
  return bytes && { family: bytes.length === 4 ? 4 : 6, text: formatIp(bytes), bytes };
};

const labelOf = (text: string): Question | undefined => {
  const label = Number(text);
  if (!/^[0-9]{1,7}$/.test(text) || label > MOST_LABEL) return undefined;
  return { family: MPLS, text: String(label), bytes: Uint8Array.of(label >> 12, label >> 4, label << 4, 0) };
};

/** Live legs of a prefix that leave by no interface of the data plane, from the kernel's own entry. */
const kernelPaths = (
  core: Core,
  ns: Namespace,
  family: RouteFamily,
  table: number,
  address: Uint8Array,
  plen: number,
) => {
  const routes = ns.routesOf(family);
  const [a0 = 0, a1 = 0, a2 = 0, a3 = 0] = wordsOf(maskBytes(address, plen));
  const record = routes.prefixes.find(table, plen, a0, a1, a2, a3);
  if (record === 0) return [];
  const entry = core.reconciler.routes.best(ns, routes, record);
  const set = ns.pathsets.get(routes.prefixes.pathset[entry] as number);
  const legs = set === undefined ? [] : legsOf(ns, set);
  if (set === undefined || legs === 'blackhole') return [];
  const { pairs } = core.reconciler;
  const isKernels = (leg: Leg) => usable(ns, leg, set) && pathOf(ns, pairs, leg, set.family).phy === '';
  return pathRows(ns, pairs, set).filter((_, i) => isKernels(legs[i] as Leg));
};

/** Tables that a packet is looked up in that comes in by the device or VRF asked for, else by no VRF. */
const orderFor = (ns: Namespace, family: Family, { table, vrf, iif }: LookupRequest): TableOrder => {
  if (table !== undefined) return { tables: [table], merged: false };
  if (iif !== undefined) {
    for (const l of ns.links.values()) if (l.name === iif) return ns.rules.tablesFor(family, ingressOf(ns, l.ifindex));
    throw new LcpError('NO_SUCH_LINK', { op: 'look up from', key: iif });
  }
  const ingress = vrf === undefined ? NO_VRF : ingressOfVrf(ns, vrf);
  if (ingress === undefined) throw new LcpError('NO_SUCH_LINK', { op: 'look up in VRF', key: vrf ?? '' });
  return ns.rules.tablesFor(family, ingress);
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
  const questions = request.addresses.map((address) => (request.mpls === true ? labelOf(address) : ipOf(address)));
  questions.forEach((question, index) => {
    const address = request.addresses[index] as string;
    if (question === undefined) rows[index] = { address, error: request.mpls ? 'not a label' : 'not an IP address' };
  });
  for (const family of request.mpls === true ? ([MPLS] as const) : ([4, 6] as const)) {
    const asked = questions.flatMap((q, index) => (q?.family === family ? [{ index, ...q }] : []));
    if (asked.length === 0) continue;
    const order = family === MPLS ? LABELS : orderFor(ns, family, request);
    const handles = order.tables
      .map((table) => core.reconciler.delta.row('table', tableKey(netns, family, table))?.handle ?? 0)
      .filter((handle) => handle !== 0);
    const merged = order.merged && handles.length > 1;
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
  family: RouteFamily,
  address: string,
  bytes: Uint8Array,
  { target, prefixlen, counted }: LookupAnswer,
  table: number | undefined,
): LookupFound => {
  const base = { address, netns: ns.name, ...counted };
  if (table === undefined || target === SPECIAL.none) return { ...base, type: 'none', paths: [] };
  const prefix = family === MPLS ? address : `${formatIp(maskBytes(bytes, prefixlen))}/${prefixlen}`;
  if (target === SPECIAL.punt) {
    const paths = kernelPaths(core, ns, family, table, bytes, prefixlen);
    const shown = paths.map(({ via, dev, weight, labels }) => ({
      ...(via === undefined ? {} : { via }),
      dev,
      weight,
      ...(labels === undefined ? {} : { labels }),
      complete: false,
    }));
    return { ...base, table, prefix, type: 'punt', paths: shown };
  }
  if (target < FIRST_HANDLE) {
    return { ...base, table, prefix, type: SPECIAL_NAMES[target] as LookupType, paths: [] };
  }
  const held = core.dataplane.paths(target) ?? [];
  const paths: LookupPath[] = held
    .filter((p) => p.phy !== '')
    .map((p) => ({
      ...(p.via === '' ? {} : { via: p.via }),
      dev: hostName(core, p.phy),
      weight: p.weight,
      ...(p.labels === undefined || p.labels.length === 0 ? {} : { labels: [...p.labels] }),
      // the neighbour of an attached leg is the destination itself
      complete: p.via === '' ? hasNeighbour(core, p.phy, address) : p.complete,
    }));
  // by which device the others leave, or into which VRF they lead, is the kernel's to know
  if (held.some((p) => p.phy === '')) {
    for (const { via, dev, weight, labels, punted } of kernelPaths(core, ns, family, table, bytes, prefixlen)) {
      paths.push({
        ...(via === undefined ? {} : { via }),
        dev,
        weight,
        ...(labels === undefined ? {} : { labels }),
        complete: !punted,
        ...(punted && { punted }),
      });
    }
  }
  return { ...base, table, prefix, type: 'unicast', paths };
};
