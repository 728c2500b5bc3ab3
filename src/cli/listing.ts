// Listings: for each `lcpctl show` what is asked, the columns and the order.
//
// Invariants: columns are for eyes and may change; scripts use --json, which is the rows as lcpd gives them.

import type { NexthopRow, PathRow } from '../lcp/view.ts';
import type { MethodName, Methods } from '../northbound/protocol.ts';
import { byAddress, byName, byNumber, type Order } from './order.ts';
import type { Column } from './table.ts';
import { formatDuration, formatTime } from './time.ts';

/** What a list method's rows look like on a terminal. */
export interface Listing<Row> {
  readonly summary: string;
  readonly columns: readonly Column<Row>[];
  readonly orders: readonly Order<Row>[];
}

type RowOf<M extends MethodName> = Methods[M]['event'];
type ListMethod =
  | 'pairs'
  | 'links'
  | 'addresses'
  | 'neighbours'
  | 'routes'
  | 'nexthops'
  | 'rules'
  | 'subifs'
  | 'mroutes'
  | 'unsupported'
  | 'adjacencies'
  | 'punts'
  | 'counters'
  | 'failures'
  | 'messages'
  | 'interfaces';

/** `via 192.0.2.1 dev e0 weight 2 linkdown`; the weight only where there is a choice. */
export function formatPath(path: PathRow, single: boolean): string {
  const via = path.via === undefined ? [] : [`via ${path.via}`];
  const weight = single ? [] : [`weight ${path.weight}`];
  const labels = path.labels === undefined ? [] : [`label ${path.labels.join('/')}`];
  const punted = path.punted === true ? ['punted'] : [];
  return [...labels, ...via, `dev ${path.dev}`, ...weight, ...(path.flags ?? []), ...punted].join(' ');
}

export function formatPaths(paths: readonly PathRow[]): string {
  return paths.map((path) => formatPath(path, paths.length === 1)).join(', ');
}

function formatNexthop(row: NexthopRow): string {
  if (row.group !== undefined) return `group ${row.group.map(({ id, weight }) => `${id} weight ${weight}`).join(', ')}`;
  if (row.blackhole === true) return 'blackhole';
  return [row.via === undefined ? '' : `via ${row.via}`, row.dev === undefined ? '' : `dev ${row.dev}`]
    .join(' ')
    .trim();
}

const duration = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : formatDuration(ms));

export const listings: { readonly [M in ListMethod]: Listing<RowOf<M>> } = {
  pairs: {
    summary: 'phys with their host interfaces, and why one is not up',
    columns: [
      { title: 'PHY', value: (row) => row.phy },
      { title: 'HOST', value: (row) => row.host },
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'TYPE', value: (row) => row.type },
      { title: 'STATE', value: (row) => row.state },
      { title: 'PORT', value: (row) => row.port },
      { title: 'CARRIER', value: (row) => row.carrier },
      { title: 'MTU', value: (row) => row.mtu },
      { title: 'MAC', value: (row) => row.mac },
      { title: 'REASON', value: (row) => row.reason },
    ],
    orders: [byName((row) => row.phy)],
  },
  links: {
    summary: 'links of all namespaces as lcpd sees them',
    columns: [
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'INDEX', value: (row) => row.ifindex },
      { title: 'NAME', value: (row) => row.name },
      { title: 'KIND', value: (row) => row.kind },
      { title: 'STATE', value: (row) => row.operstate },
      { title: 'MTU', value: (row) => row.mtu },
      { title: 'MAC', value: (row) => row.mac },
      { title: 'MASTER', value: (row) => row.master },
      { title: 'LINK', value: (row) => row.link },
      { title: 'FLAGS', value: (row) => row.flags.join(',') },
    ],
    orders: [byName((row) => row.netns), byNumber((row) => row.ifindex)],
  },
  addresses: {
    summary: 'addresses of all namespaces',
    columns: [
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'DEV', value: (row) => row.dev },
      { title: 'ADDRESS', value: (row) => row.address },
      { title: 'PEER', value: (row) => row.peer },
      { title: 'SCOPE', value: (row) => row.scope },
      { title: 'FLAGS', value: (row) => row.flags.join(',') },
    ],
    orders: [byName((row) => row.netns), byName((row) => row.dev), byAddress((row) => row.address)],
  },
  neighbours: {
    summary: 'neighbours of all namespaces',
    columns: [
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'DEV', value: (row) => row.dev },
      { title: 'ADDRESS', value: (row) => row.address },
      { title: 'MAC', value: (row) => row.mac },
      { title: 'STATE', value: (row) => row.state },
      { title: 'INSTALLED', value: (row) => row.installed },
    ],
    orders: [byName((row) => row.netns), byName((row) => row.dev), byAddress((row) => row.address)],
  },
  routes: {
    summary: 'routes of all namespaces, whether they are best and in the data plane',
    columns: [
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'TABLE', value: (row) => row.table },
      { title: 'PREFIX', value: (row) => row.prefix },
      { title: 'TYPE', value: (row) => row.type },
      { title: 'PROTOCOL', value: (row) => row.protocol },
      { title: 'METRIC', value: (row) => row.metric },
      { title: 'BEST', value: (row) => row.best },
      { title: 'INSTALLED', value: (row) => row.installed },
      { title: 'PATHS', value: (row) => formatPaths(row.paths) },
      { title: 'REASON', value: (row) => row.reason },
    ],
    orders: [
      byName((row) => row.netns),
      byNumber((row) => row.table),
      byAddress((row) => row.prefix),
      byNumber((row) => row.metric),
    ],
  },
  nexthops: {
    summary: 'nexthop objects of all namespaces',
    columns: [
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'ID', value: (row) => row.id },
      { title: 'FAMILY', value: (row) => row.family },
      { title: 'NEXTHOP', value: formatNexthop },
    ],
    orders: [byName((row) => row.netns), byNumber((row) => row.id)],
  },
  rules: {
    summary: 'policy routing rules, and whether the data plane follows them',
    columns: [
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'FAMILY', value: (row) => row.family },
      { title: 'PRIORITY', value: (row) => row.priority },
      { title: 'RULE', value: (row) => row.rule },
      { title: 'HONOURED', value: (row) => row.honoured },
      { title: 'REASON', value: (row) => row.reason },
    ],
    orders: [byName((row) => row.netns), byName((row) => row.family), byNumber((row) => row.priority)],
  },
  subifs: {
    summary: 'tagged sub-interfaces: VLAN devices on hosts',
    columns: [
      { title: 'NAME', value: (row) => row.name },
      { title: 'HOST', value: (row) => row.host },
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'TAGS', value: (row) => row.tags.join(', ') },
      { title: 'STATE', value: (row) => row.state },
      { title: 'PORT', value: (row) => row.port },
      { title: 'VRF', value: (row) => row.vrf },
      { title: 'MTU', value: (row) => row.mtu },
      { title: 'MAC', value: (row) => row.mac },
      { title: 'REASON', value: (row) => row.reason },
    ],
    orders: [byName((row) => row.name)],
  },
  mroutes: {
    summary: 'multicast forwarding entries, and whether the data plane replicates',
    columns: [
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'SOURCE', value: (row) => row.source },
      { title: 'GROUP', value: (row) => row.group },
      { title: 'IIF', value: (row) => row.iif },
      { title: 'OIFS', value: (row) => row.oifs.join(' ') },
      { title: 'INSTALLED', value: (row) => row.installed },
      { title: 'HOST', value: (row) => row.host },
      { title: 'REASON', value: (row) => row.reason },
    ],
    orders: [byName((row) => row.netns), byAddress((row) => row.group), byAddress((row) => row.source)],
  },
  unsupported: {
    summary: 'kernel state that the data plane cannot follow',
    columns: [
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'KIND', value: (row) => row.kind },
      { title: 'OBJECT', value: (row) => row.key },
      { title: 'DIFFERS', value: (row) => row.differs },
      { title: 'REASON', value: (row) => row.reason },
    ],
    orders: [byName((row) => row.netns), byName((row) => row.kind), byName((row) => row.key)],
  },
  adjacencies: {
    summary: 'link-layer rewrites of the data plane, with what they have sent',
    columns: [
      { title: 'ID', value: (row) => row.id },
      { title: 'PHY', value: (row) => row.phy },
      { title: 'HOST', value: (row) => row.host },
      { title: 'FAMILY', value: (row) => row.family },
      { title: 'NEXTHOP', value: (row) => row.nexthop },
      { title: 'STATE', value: (row) => row.state },
      { title: 'PACKETS', value: (row) => row.packets },
      { title: 'BYTES', value: (row) => row.bytes },
      { title: 'REWRITE', value: (row) => row.rewrite },
    ],
    orders: [byName((row) => row.phy), byAddress((row) => row.nexthop), byNumber((row) => row.id)],
  },
  punts: {
    summary: 'packets given to the host interfaces, by reason',
    columns: [
      { title: 'PHY', value: (row) => row.phy },
      { title: 'REASON', value: (row) => row.reason },
      { title: 'PACKETS', value: (row) => row.packets },
    ],
    orders: [byName((row) => row.phy), byName((row) => row.reason)],
  },
  counters: {
    summary: 'named counters of the data plane that are not zero',
    columns: [
      { title: 'PHY', value: (row) => row.phy },
      { title: 'COUNTER', value: (row) => row.name },
      { title: 'VALUE', value: (row) => row.value },
    ],
    orders: [byName((row) => row.phy), byName((row) => row.name)],
  },
  failures: {
    summary: 'what the data plane refuses, why, for how long, and when it is tried again',
    columns: [
      { title: 'KIND', value: (row) => row.kind },
      { title: 'KEY', value: (row) => row.key },
      { title: 'ERROR', value: (row) => row.error },
      { title: 'CODE', value: (row) => row.code },
      { title: 'AGE', value: (row) => duration(row.ageMs) },
      { title: 'TIMES', value: (row) => row.attempts },
      { title: 'RETRY', value: (row) => duration(row.retryMs) },
      { title: 'HINT', value: (row) => row.hint },
    ],
    orders: [],
  },
  messages: {
    summary: 'the last messages between lcpd and VPP, with their first bytes',
    columns: [
      { title: 'TIME', value: (row) => formatTime(row.time) },
      { title: 'DIRECTION', value: (row) => row.direction },
      { title: 'MESSAGE', value: (row) => row.name },
      { title: 'COUNT', value: (row) => row.count },
      { title: 'LENGTH', value: (row) => row.length },
      { title: 'NOTE', value: (row) => row.note },
      { title: 'BYTES', value: (row) => row.bytes },
    ],
    orders: [],
  },
  interfaces: {
    summary: 'traffic of each pair',
    columns: [
      { title: 'PHY', value: (row) => row.phy },
      { title: 'HOST', value: (row) => row.host },
      { title: 'NETNS', value: (row) => row.netns },
      { title: 'RX-PACKETS', value: (row) => row.rxPackets },
      { title: 'RX-BYTES', value: (row) => row.rxBytes },
      { title: 'TX-PACKETS', value: (row) => row.txPackets },
      { title: 'TX-BYTES', value: (row) => row.txBytes },
      { title: 'PUNTS', value: (row) => row.punts },
      { title: 'DROPS', value: (row) => row.drops },
    ],
    orders: [byName((row) => row.phy)],
  },
};

export type { ListMethod };
