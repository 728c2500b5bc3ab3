// Lists of rules for IP packets.
//
// Names, layouts and CRCs are those of VPP's acl.api, acl_types.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { prefix } from '../address.ts';
import { enumeration, i32, string, u8, u16, u32 } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { details, dump, plainReply, reply, request } from '../message.ts';
import { ipProto } from './iptypes.ts';

export const aclAction = enumeration('acl_action', u8, {
  ACL_ACTION_API_DENY: 0,
  ACL_ACTION_API_PERMIT: 1,
  ACL_ACTION_API_PERMIT_REFLECT: 2,
});

export const aclRule = struct({
  is_permit: aclAction,
  src_prefix: prefix,
  dst_prefix: prefix,
  proto: ipProto,
  srcport_or_icmptype_first: u16,
  srcport_or_icmptype_last: u16,
  dstport_or_icmpcode_first: u16,
  dstport_or_icmpcode_last: u16,
  tcp_flags_mask: u8,
  tcp_flags_value: u8,
});

/** A new list where the index is 0xffffffff, else that one is replaced at once. */
export const aclAddReplace = request(
  'acl_add_replace',
  'ee5c2f18',
  { acl_index: u32, tag: string(64), count: u32, r: list(aclRule, 'count') },
  reply('acl_add_replace_reply', 'ac407b0c', { acl_index: u32, retval: i32 }),
);

export const aclDel = request('acl_del', 'ef34fea4', { acl_index: u32 }, plainReply('acl_del_reply'));

export const aclDetails = details('acl_details', '95babae0', {
  acl_index: u32,
  tag: string(64),
  count: u32,
  r: list(aclRule, 'count'),
});

/** 0xffffffff for all lists. */
export const aclDump = dump('acl_dump', 'ef34fea4', { acl_index: u32 }, aclDetails);
