// Multicast routes.
//
// Names, layouts and CRCs are those of VPP's ip.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { mprefix } from '../address.ts';
import { bool, i32, u8, u32 } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { details, dump, reply, request } from '../message.ts';
import { ipTable } from './ip.ts';
import { mfibEntryFlags, mfibPath } from './mfibtypes.ts';

export const ipMroute = struct({
  table_id: u32,
  entry_flags: mfibEntryFlags,
  rpf_id: u32,
  prefix: mprefix,
  n_paths: u8,
  paths: list(mfibPath, 'n_paths'),
});

export const ipMrouteAddDel = request(
  'ip_mroute_add_del',
  '0dd7e790',
  { is_add: bool, is_multipath: bool, route: ipMroute },
  reply('ip_mroute_add_del_reply', '1992deab', { retval: i32, stats_index: u32 }),
);

export const ipMrouteDetails = details('ip_mroute_details', 'c5cb23fc', { route: ipMroute });

export const ipMrouteDump = dump('ip_mroute_dump', 'b9d2e09e', { table: ipTable }, ipMrouteDetails);
