// MPLS: tables, label routes, interfaces, bindings.
//
// Names, layouts and CRCs are those of VPP's mpls.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { prefix } from '../address.ts';
import { bool, i32, string, u8, u32 } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { details, dump, plainReply, reply, request } from '../message.ts';
import { fibPath } from './fibtypes.ts';

export const mplsTable = struct({ mt_table_id: u32, mt_name: string(64) });

export const mplsTableAddDel = request(
  'mpls_table_add_del',
  '57817512',
  { mt_is_add: bool, mt_table: mplsTable },
  plainReply('mpls_table_add_del_reply'),
);

export const mplsTableDetails = details('mpls_table_details', 'f03ecdc8', { mt_table: mplsTable });

export const mplsTableDump = dump('mpls_table_dump', '51077d14', {}, mplsTableDetails);

export const mplsRoute = struct({
  mr_table_id: u32,
  mr_label: u32,
  mr_eos: u8,
  mr_eos_proto: u8,
  mr_is_multicast: bool,
  mr_n_paths: u8,
  mr_paths: list(fibPath, 'mr_n_paths'),
});

export const mplsRouteAddDel = request(
  'mpls_route_add_del',
  '8e1d1e07',
  { mr_is_add: bool, mr_is_multipath: bool, mr_route: mplsRoute },
  reply('mpls_route_add_del_reply', '1992deab', { retval: i32, stats_index: u32 }),
);

export const mplsRouteDetails = details('mpls_route_details', '9b5043dc', { mr_route: mplsRoute });

export const mplsRouteDump = dump('mpls_route_dump', '935fdefa', { table: mplsTable }, mplsRouteDetails);

export const swInterfaceSetMplsEnable = request(
  'sw_interface_set_mpls_enable',
  'ae6cfcfb',
  { sw_if_index: u32, enable: bool },
  plainReply('sw_interface_set_mpls_enable_reply'),
);

export const mplsInterfaceDetails = details('mpls_interface_details', '0b45011c', { sw_if_index: u32 });

export const mplsInterfaceDump = dump('mpls_interface_dump', 'f9e6675e', { sw_if_index: u32 }, mplsInterfaceDetails);

export const mplsIpBindUnbind = request(
  'mpls_ip_bind_unbind',
  'c7533b32',
  { mb_mpls_table_id: u32, mb_label: u32, mb_ip_table_id: u32, mb_is_bind: bool, mb_prefix: prefix },
  plainReply('mpls_ip_bind_unbind_reply'),
);
