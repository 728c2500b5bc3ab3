// Forwarding of what a list of rules permits: policies, and the interfaces that they apply to.
//
// Names, layouts and CRCs are those of VPP's abf.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { bool, u8, u32 } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { details, dump, plainReply, request } from '../message.ts';
import { fibPath } from './fibtypes.ts';

export const abfPolicy = struct({ policy_id: u32, acl_index: u32, n_paths: u8, paths: list(fibPath, 'n_paths') });

/** Paths are added to a policy that is there, and taken from it; it ends with the last. */
export const abfPolicyAddDel = request(
  'abf_policy_add_del',
  'c6131197',
  { is_add: bool, policy: abfPolicy },
  plainReply('abf_policy_add_del_reply'),
);

export const abfPolicyDetails = details('abf_policy_details', 'b7487fa4', { policy: abfPolicy });

export const abfPolicyDump = dump('abf_policy_dump', '51077d14', {}, abfPolicyDetails);

export const abfItfAttach = struct({ policy_id: u32, sw_if_index: u32, priority: u32, is_ipv6: bool });

export const abfItfAttachAddDel = request(
  'abf_itf_attach_add_del',
  '25c8621b',
  { is_add: bool, attach: abfItfAttach },
  plainReply('abf_itf_attach_add_del_reply'),
);

export const abfItfAttachDetails = details('abf_itf_attach_details', '7819523e', { attach: abfItfAttach });

export const abfItfAttachDump = dump('abf_itf_attach_dump', '51077d14', {}, abfItfAttachDetails);
