// Scope: which kernel tables a monitor keeps in step with, and in which parts they are read.
//
// Invariants: a part is small enough for the kernel to filter (kind, family) and is read as a whole. Links and nexthop
// objects know no family here; all other tables are kept and dumped by family.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { DumpFilter } from './dump.ts';
import * as k from './uapi.ts';

export type DumpKind = 'link' | 'netconf' | 'address' | 'nexthop' | 'neighbour' | 'route';

/** What a monitor subscribes to. */
export const MONITOR_GROUPS: readonly number[] = [
  k.RTNLGRP_LINK,
  k.RTNLGRP_NEIGH,
  k.RTNLGRP_IPV4_IFADDR,
  k.RTNLGRP_IPV4_ROUTE,
  k.RTNLGRP_IPV6_IFADDR,
  k.RTNLGRP_IPV6_ROUTE,
  k.RTNLGRP_IPV4_NETCONF,
  k.RTNLGRP_IPV6_NETCONF,
  k.RTNLGRP_NEXTHOP,
];

/** What a monitor that only follows links subscribes to. */
export const LINK_GROUPS: readonly number[] = [k.RTNLGRP_LINK];

/** Which request dumps a kind. */
export const DUMP_REQUEST: Readonly<Record<DumpKind, number>> = {
  link: k.RTM_GETLINK,
  netconf: k.RTM_GETNETCONF,
  address: k.RTM_GETADDR,
  nexthop: k.RTM_GETNEXTHOP,
  neighbour: k.RTM_GETNEIGH,
  route: k.RTM_GETROUTE,
};

/** In the order of dependence: what refers comes after what it refers to. */
export const SYNC_SCOPES: readonly (readonly [DumpKind, number])[] = [
  ['link', k.AF_UNSPEC],
  ['netconf', AF_INET],
  ['netconf', AF_INET6],
  ['address', AF_INET],
  ['address', AF_INET6],
  ['nexthop', k.AF_UNSPEC],
  ['neighbour', AF_INET],
  ['neighbour', AF_INET6],
  ['route', AF_INET],
  ['route', AF_INET6],
];

/** The parts that a filter without family stands for. */
export function splitFamilies(kind: DumpKind, filter: DumpFilter): readonly DumpFilter[] {
  if (filter.family !== k.AF_UNSPEC || kind === 'link' || kind === 'nexthop') return [filter];
  return [
    { ...filter, family: AF_INET },
    { ...filter, family: AF_INET6 },
  ];
}
