// Interface pairs of the linux_cp plugin.
//
// Names, layouts and CRCs are those of VPP's lcp.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { bool, enumeration, i32, string, u8, u16, u32 } from '../codec.ts';
import { byteList, list } from '../compound.ts';
import { cursorDump, details, plainReply, reply, request } from '../message.ts';

export const lcpDefaultNsSet = request(
  'lcp_default_ns_set',
  '69749409',
  { netns: string(32) },
  plainReply('lcp_default_ns_set_reply'),
);

export const lcpDefaultNsGet = request(
  'lcp_default_ns_get',
  '51077d14',
  {},
  reply('lcp_default_ns_get_reply', '5102feee', { netns: string(32) }),
);

export const lcpItfHostType = enumeration('lcp_itf_host_type', u8, {
  LCP_API_ITF_HOST_TAP: 0,
  LCP_API_ITF_HOST_TUN: 1,
});

export const lcpItfPairAddDel = request(
  'lcp_itf_pair_add_del',
  '40482b80',
  { is_add: bool, sw_if_index: u32, host_if_name: string(16), host_if_type: lcpItfHostType, netns: string(32) },
  plainReply('lcp_itf_pair_add_del_reply'),
);

export const lcpItfPairAddDelV2 = request(
  'lcp_itf_pair_add_del_v2',
  '40482b80',
  { is_add: bool, sw_if_index: u32, host_if_name: string(16), host_if_type: lcpItfHostType, netns: string(32) },
  reply('lcp_itf_pair_add_del_v2_reply', '39452f52', { retval: i32, host_sw_if_index: u32 }),
);

/** Since 24.06; the reply has the ifindex of the host. */
export const lcpItfPairAddDelV3 = request(
  'lcp_itf_pair_add_del_v3',
  '40482b80',
  { is_add: bool, sw_if_index: u32, host_if_name: string(16), host_if_type: lcpItfHostType, netns: string(32) },
  reply('lcp_itf_pair_add_del_v3_reply', 'c2502663', { retval: i32, vif_index: u32, host_sw_if_index: u32 }),
);

export const lcpItfPairDetails = details('lcp_itf_pair_details', '8b5481af', {
  phy_sw_if_index: u32,
  host_sw_if_index: u32,
  vif_index: u32,
  host_if_name: string(16),
  host_if_type: lcpItfHostType,
  netns: string(32),
});

/** The cursor is 0xffffffff for the first page. */
export const lcpItfPairGet = cursorDump(
  'lcp_itf_pair_get',
  'f75ba505',
  { cursor: u32 },
  lcpItfPairDetails,
  reply('lcp_itf_pair_get_reply', '53b48f5d', { retval: i32, cursor: u32 }),
);

/** As `lcp_itf_pair_get`, of one interface; for all of them (0xffffffff) 26.06 answers with the older reply. */
export const lcpItfPairGetV2 = cursorDump(
  'lcp_itf_pair_get_v2',
  '47250981',
  { cursor: u32, sw_if_index: u32 },
  lcpItfPairDetails,
  reply('lcp_itf_pair_get_v2_reply', '53b48f5d', { retval: i32, cursor: u32 }),
  lcpItfPairGet.reply,
);

export const lcpEthertypeEnable = request(
  'lcp_ethertype_enable',
  'f893dae1',
  { ethertype: u16 },
  plainReply('lcp_ethertype_enable_reply'),
);

export const lcpEthertypeGet = request(
  'lcp_ethertype_get',
  '51077d14',
  {},
  reply('lcp_ethertype_get_reply', 'db48c31e', { retval: i32, count: u16, ethertypes: list(u16, 'count') }),
);

export const lcpOsiProtoEnable = request(
  'lcp_osi_proto_enable',
  'bdd70c87',
  { osi_proto: u8 },
  plainReply('lcp_osi_proto_enable_reply'),
);

export const lcpOsiProtoGet = request(
  'lcp_osi_proto_get',
  '51077d14',
  {},
  reply('lcp_osi_proto_get_reply', '3b19a287', { retval: i32, count: u8, osi_protos: byteList(u8, 'count') }),
);

export const lcpSyncUnnumberedSet = request(
  'lcp_sync_unnumbered_set',
  'c264d7bf',
  { is_enable: bool },
  plainReply('lcp_sync_unnumbered_set_reply'),
);

export const lcpSyncUnnumberedGet = request(
  'lcp_sync_unnumbered_get',
  '51077d14',
  {},
  reply('lcp_sync_unnumbered_get_reply', 'f15abb16', { retval: i32, is_enable: bool }),
);

export const lcpItfPairReplaceBegin = request(
  'lcp_itf_pair_replace_begin',
  '51077d14',
  {},
  plainReply('lcp_itf_pair_replace_begin_reply'),
);

export const lcpItfPairReplaceEnd = request(
  'lcp_itf_pair_replace_end',
  '51077d14',
  {},
  plainReply('lcp_itf_pair_replace_end_reply'),
);
