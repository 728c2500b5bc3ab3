// IP on interfaces: tables, addresses, link-local, flow hash, path MTU, punt redirects.
//
// Names, layouts and CRCs are those of VPP's ip.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { address, addressFamily, ip6Address, prefix } from '../address.ts';
import { bool, enumeration, i32, string, u16, u32 } from '../codec.ts';
import { struct } from '../compound.ts';
import { cursorDump, details, dump, message, plainReply, reply, request } from '../message.ts';

export const ipTable = struct({ table_id: u32, is_ip6: bool, name: string(64) });

export const ipTableAddDel = request(
  'ip_table_add_del',
  '0ffdaec0',
  { is_add: bool, table: ipTable },
  plainReply('ip_table_add_del_reply'),
);

export const ipTableAddDelV2 = request(
  'ip_table_add_del_v2',
  '14e5081f',
  { table: ipTable, create_mfib: bool, is_add: bool },
  plainReply('ip_table_add_del_v2_reply'),
);

export const ipTableAllocate = request(
  'ip_table_allocate',
  'b9d2e09e',
  { table: ipTable },
  reply('ip_table_allocate_reply', '1728303a', { retval: i32, table: ipTable }),
);

export const ipTableDetails = details('ip_table_details', 'c79fca0f', { table: ipTable });

export const ipTableDump = dump('ip_table_dump', '51077d14', {}, ipTableDetails);

export const ipTableReplaceBegin = request(
  'ip_table_replace_begin',
  'b9d2e09e',
  { table: ipTable },
  plainReply('ip_table_replace_begin_reply'),
);

export const ipTableReplaceEnd = request(
  'ip_table_replace_end',
  'b9d2e09e',
  { table: ipTable },
  plainReply('ip_table_replace_end_reply'),
);

export const ipTableFlush = request(
  'ip_table_flush',
  'b9d2e09e',
  { table: ipTable },
  plainReply('ip_table_flush_reply'),
);

export const ipMtableDetails = message('ip_mtable_details', 'b9d2e09e', 'both', { table: ipTable });

export const ipMtableDump = dump('ip_mtable_dump', '51077d14', {}, ipMtableDetails);

export const swInterfaceIp6EnableDisable = request(
  'sw_interface_ip6_enable_disable',
  'ae6cfcfb',
  { sw_if_index: u32, enable: bool },
  plainReply('sw_interface_ip6_enable_disable_reply'),
);

export const swInterfaceIp4EnableDisable = request(
  'sw_interface_ip4_enable_disable',
  'ae6cfcfb',
  { sw_if_index: u32, enable: bool },
  plainReply('sw_interface_ip4_enable_disable_reply'),
);

export const swInterfaceIp6SetLinkLocalAddress = request(
  'sw_interface_ip6_set_link_local_address',
  '1c10f15f',
  { sw_if_index: u32, ip: ip6Address },
  plainReply('sw_interface_ip6_set_link_local_address_reply'),
);

export const swInterfaceIp6GetLinkLocalAddress = request(
  'sw_interface_ip6_get_link_local_address',
  'f9e6675e',
  { sw_if_index: u32 },
  reply('sw_interface_ip6_get_link_local_address_reply', 'd16b7130', { retval: i32, ip: ip6Address }),
);

export const ipAddressDetails = details('ip_address_details', 'ee29b797', { sw_if_index: u32, prefix });

export const ipAddressDump = dump('ip_address_dump', '2d033de4', { sw_if_index: u32, is_ipv6: bool }, ipAddressDetails);

export const ipUnnumberedDetails = details('ip_unnumbered_details', 'cc59bd42', {
  sw_if_index: u32,
  ip_sw_if_index: u32,
});

export const ipUnnumberedDump = dump('ip_unnumbered_dump', 'f9e6675e', { sw_if_index: u32 }, ipUnnumberedDetails);

export const ipFlowHashConfig = enumeration('ip_flow_hash_config', u32, {
  IP_API_FLOW_HASH_SRC_IP: 1,
  IP_API_FLOW_HASH_DST_IP: 2,
  IP_API_FLOW_HASH_SRC_PORT: 4,
  IP_API_FLOW_HASH_DST_PORT: 8,
  IP_API_FLOW_HASH_PROTO: 16,
  IP_API_FLOW_HASH_REVERSE: 32,
  IP_API_FLOW_HASH_SYMETRIC: 64,
  IP_API_FLOW_HASH_FLOW_LABEL: 128,
});

export const setIpFlowHashV2 = request(
  'set_ip_flow_hash_v2',
  '6d132100',
  { table_id: u32, af: addressFamily, flow_hash_config: ipFlowHashConfig },
  plainReply('set_ip_flow_hash_v2_reply'),
);

export const ipFlowHashConfigV2 = enumeration('ip_flow_hash_config_v2', u32, {
  IP_API_V2_FLOW_HASH_SRC_IP: 1,
  IP_API_V2_FLOW_HASH_DST_IP: 2,
  IP_API_V2_FLOW_HASH_SRC_PORT: 4,
  IP_API_V2_FLOW_HASH_DST_PORT: 8,
  IP_API_V2_FLOW_HASH_PROTO: 16,
  IP_API_V2_FLOW_HASH_REVERSE: 32,
  IP_API_V2_FLOW_HASH_SYMETRIC: 64,
  IP_API_V2_FLOW_HASH_FLOW_LABEL: 128,
  IP_API_V2_FLOW_HASH_GTPV1_TEID: 256,
});

export const setIpFlowHashV3 = request(
  'set_ip_flow_hash_v3',
  'b7876e07',
  { table_id: u32, af: addressFamily, flow_hash_config: ipFlowHashConfigV2 },
  plainReply('set_ip_flow_hash_v3_reply'),
);

export const ipPathMtu = struct({ client_index: u32, context: u32, table_id: u32, nh: address, path_mtu: u16 });

export const ipPathMtuUpdate = request(
  'ip_path_mtu_update',
  '10bbe5cb',
  { pmtu: ipPathMtu },
  plainReply('ip_path_mtu_update_reply'),
);

export const ipPathMtuDetails = details('ip_path_mtu_details', 'ac9539a7', { pmtu: ipPathMtu });

export const ipPathMtuGet = cursorDump(
  'ip_path_mtu_get',
  'f75ba505',
  { cursor: u32 },
  ipPathMtuDetails,
  reply('ip_path_mtu_get_reply', '53b48f5d', { retval: i32, cursor: u32 }),
);
