// Scope: which kernel tables a monitor keeps in step with, and in which parts they are read.
//
// Invariants: a part is small enough for the kernel to filter (kind, family) and is read as a whole. Links and nexthop
// objects know no family here; all other tables are kept and dumped by family, multicast entries by RTNL_FAMILY_IPMR
// and RTNL_FAMILY_IP6MR. Groups and tables that a kernel was built without are no error.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { DumpFilter } from './dump.ts';
import * as k from './uapi.ts';

export type DumpKind = 'link' | 'rule' | 'netconf' | 'address' | 'nexthop' | 'neighbour' | 'route' | 'mroute';

/** What a monitor subscribes to, as far as the kernel has it. */
export const MONITOR_GROUPS: readonly number[] = [
  k.RTNLGRP_LINK,
  k.RTNLGRP_NEIGH,
  k.RTNLGRP_IPV4_IFADDR,
  k.RTNLGRP_IPV4_MROUTE,
  k.RTNLGRP_IPV4_ROUTE,
  k.RTNLGRP_IPV4_RULE,
  k.RTNLGRP_IPV6_IFADDR,
  k.RTNLGRP_IPV6_MROUTE,
  k.RTNLGRP_IPV6_ROUTE,
  k.RTNLGRP_IPV6_RULE,
  k.RTNLGRP_IPV4_NETCONF,
  k.RTNLGRP_IPV6_NETCONF,
  k.RTNLGRP_MPLS_ROUTE,
  k.RTNLGRP_MPLS_NETCONF,
  k.RTNLGRP_NEXTHOP,
];

/** What a monitor that only follows links subscribes to. */
export const LINK_GROUPS: readonly number[] = [k.RTNLGRP_LINK];

/** Which request dumps a kind. */
export const DUMP_REQUEST: Readonly<Record<DumpKind, number>> = {
  link: k.RTM_GETLINK,
  rule: k.RTM_GETRULE,
  netconf: k.RTM_GETNETCONF,
  address: k.RTM_GETADDR,
  nexthop: k.RTM_GETNEXTHOP,
  neighbour: k.RTM_GETNEIGH,
  route: k.RTM_GETROUTE,
  mroute: k.RTM_GETROUTE,
};

/** In the order of dependence: what refers comes after what it refers to. */
export const SYNC_SCOPES: readonly (readonly [DumpKind, number])[] = [
  ['link', k.AF_UNSPEC],
  ['rule', AF_INET],
  ['rule', AF_INET6],
  ['netconf', AF_INET],
  ['netconf', AF_INET6],
  ['netconf', k.AF_MPLS],
  ['address', AF_INET],
  ['address', AF_INET6],
  ['nexthop', k.AF_UNSPEC],
  ['neighbour', AF_INET],
  ['neighbour', AF_INET6],
  ['route', AF_INET],
  ['route', AF_INET6],
  ['route', k.AF_MPLS],
  ['mroute', k.RTNL_FAMILY_IPMR],
  ['mroute', k.RTNL_FAMILY_IP6MR],
];

/** The parts that a filter without family stands for. */
export function splitFamilies(kind: DumpKind, filter: DumpFilter): readonly DumpFilter[] {
  if (filter.family !== k.AF_UNSPEC || kind === 'link' || kind === 'nexthop') return [filter];
  return SYNC_SCOPES.filter(([of]) => of === kind).map(([, family]) => ({ ...filter, family }));
}

const FAMILY_WORDS: Readonly<Record<number, string>> = {
  [k.AF_UNSPEC]: '',
  [AF_INET]: ' inet',
  [AF_INET6]: ' inet6',
  [k.AF_MPLS]: ' mpls',
  [k.RTNL_FAMILY_IPMR]: ' inet',
  [k.RTNL_FAMILY_IP6MR]: ' inet6',
};

/** A part in words: `route mpls`, `mroute inet6`, `nexthop`. */
export function scopeName(kind: DumpKind, family: number): string {
  return `${kind}${FAMILY_WORDS[family] ?? ` family ${family}`}`;
}

/** EOPNOTSUPP and EAFNOSUPPORT: the kernel was built without the table. */
const NO_SUCH_TABLE: readonly number[] = [95, 97];
/** ENOENT and EINVAL: what older kernels say of tables that not every kernel has. */
const NO_SUCH_EXTRA: readonly number[] = [2, 22];

/** Whether the kernel's refusal of a dump says that there is no such table: nothing of that kind exists. */
export function saysNoSuchTable(kind: DumpKind, family: number, errno: number): boolean {
  if (NO_SUCH_TABLE.includes(errno)) return true;
  const extra = kind === 'rule' || kind === 'mroute' || family === k.AF_MPLS;
  return extra && NO_SUCH_EXTRA.includes(errno);
}
