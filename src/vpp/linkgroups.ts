// Link groups: multicast of the link, which routing protocols join and Linux takes on every interface.
//
// Invariants: VPP drops it unless the interface accepts it and the entry has a leg to the host; both are told, the second
// once a table by its nature. Telling it again does nothing. Reference: VPP's src/vnet/mfib/mfib_entry.c; RFC 5771, 4291.

import type { Family } from '../lcp/objects.ts';
import { ipBytes } from '../lib/ip.ts';
import { fibPathNhProto, fibPathType } from './api/fibtypes.ts';
import { mfibItfFlags } from './api/mfibtypes.ts';
import { ipMrouteAddDel } from './api/mroute.ts';
import type { VppClient } from './client.ts';
import { NO_INTERFACE } from './interfaces.ts';

/** VPP has deleted the interface meanwhile, and takes back nothing of it. */
const NO_MATCHING_INTERFACE = -54;
const { MFIB_API_ITF_FLAG_ACCEPT: ACCEPT, MFIB_API_ITF_FLAG_FORWARD: FORWARD } = mfibItfFlags.values;

/** Has an interface accept groups of the link, in the table that it is in, and has the host get them. */
export async function acceptGroups(
  client: VppClient,
  sw_if_index: number,
  table_id: number,
  family: Family,
): Promise<void> {
  const base = baseOf(family);
  const local = { ...base, sw_if_index: NO_INTERFACE, type: fibPathType.values.FIB_API_PATH_TYPE_LOCAL };
  const paths = [
    { itf_flags: ACCEPT, path: { ...base, sw_if_index } },
    { itf_flags: FORWARD, path: local },
  ];
  await tell(client, true, table_id, family, paths);
}

/** Has it accept them no more; the table's leg to the host stays. */
export async function refuseGroups(
  client: VppClient,
  sw_if_index: number,
  table_id: number,
  family: Family,
): Promise<void> {
  await tell(client, false, table_id, family, [{ itf_flags: ACCEPT, path: { ...baseOf(family), sw_if_index } }]);
}

function baseOf(family: Family) {
  const { FIB_API_PATH_NH_PROTO_IP4: ip4, FIB_API_PATH_NH_PROTO_IP6: ip6 } = fibPathNhProto.values;
  return { proto: family === 6 ? ip6 : ip4, weight: 1, nh: {}, label_stack: [] };
}

type Paths = readonly {
  readonly itf_flags: number;
  readonly path: ReturnType<typeof baseOf> & { readonly sw_if_index: number };
}[];

async function tell(client: VppClient, is_add: boolean, table_id: number, family: Family, paths: Paths): Promise<void> {
  const prefix = {
    af: family === 6 ? 1 : 0,
    grp_address_length: family === 6 ? 8 : 24,
    grp_address: ipBytes(family === 6 ? 'ff00::' : '224.0.0.0'),
    src_address: new Uint8Array(family === 6 ? 16 : 4),
  };
  const route = { table_id, entry_flags: 0, rpf_id: 0, prefix, n_paths: paths.length, paths };
  const accept = is_add ? [] : [NO_MATCHING_INTERFACE];
  await client.request(ipMrouteAddDel, { is_add, is_multipath: true, route }, { key: 'link-local groups', accept });
}
