// Unicast routes and lookups, in both versions.
//
// Names, layouts and CRCs are those of VPP's ip.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { prefix } from '../address.ts';
import { bool, i32, u8, u32 } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { details, dump, reply, request } from '../message.ts';
import { fibPath } from './fibtypes.ts';
import { ipTable } from './ip.ts';

export const ipRoute = struct({
  table_id: u32,
  stats_index: u32,
  prefix,
  n_paths: u8,
  paths: list(fibPath, 'n_paths'),
});

/** As `ip_route_add_del_v2`, always of the source API. */
export const ipRouteAddDel = request(
  'ip_route_add_del',
  'b8ecfe0d',
  { is_add: bool, is_multipath: bool, route: ipRoute },
  reply('ip_route_add_del_reply', '1992deab', { retval: i32, stats_index: u32 }),
);

export const ipRouteV2 = struct({
  table_id: u32,
  stats_index: u32,
  prefix,
  n_paths: u8,
  src: u8,
  paths: list(fibPath, 'n_paths'),
});

/** Without `is_multipath`, adding replaces all paths of the source and deleting removes the entry. */
export const ipRouteAddDelV2 = request(
  'ip_route_add_del_v2',
  '521ef330',
  { is_add: bool, is_multipath: bool, route: ipRouteV2 },
  reply('ip_route_add_del_v2_reply', '1992deab', { retval: i32, stats_index: u32 }),
);

export const ipRouteDetails = details('ip_route_details', 'bda8f315', { route: ipRoute });

export const ipRouteDump = dump('ip_route_dump', 'b9d2e09e', { table: ipTable }, ipRouteDetails);

export const ipRouteV2Details = details('ip_route_v2_details', 'b09aa6c0', { route: ipRouteV2 });

/** Source 0 for every entry, another for those that have it; what is told is the best source and its paths. */
export const ipRouteV2Dump = dump('ip_route_v2_dump', 'd16f72e6', { src: u8, table: ipTable }, ipRouteV2Details);

export const ipRouteLookup = request(
  'ip_route_lookup',
  '710d6471',
  { table_id: u32, exact: u8, prefix },
  reply('ip_route_lookup_reply', '5d8febcb', { retval: i32, route: ipRoute }),
);

export const ipRouteLookupV2 = request(
  'ip_route_lookup_v2',
  '710d6471',
  { table_id: u32, exact: u8, prefix },
  reply('ip_route_lookup_v2_reply', '84cc9e03', { retval: i32, route: ipRouteV2 }),
);
