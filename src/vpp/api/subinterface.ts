// Interfaces that VPP makes by itself: sub-interfaces and loopbacks.
//
// Names, layouts and CRCs are those of VPP's interface.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { macAddress } from '../address.ts';
import { bool, i32, u16, u32 } from '../codec.ts';
import { plainReply, reply, request } from '../message.ts';
import { subIfFlags } from './interfacetypes.ts';

export const createSubif = request(
  'create_subif',
  '790ca755',
  { sw_if_index: u32, sub_id: u32, sub_if_flags: subIfFlags, outer_vlan_id: u16, inner_vlan_id: u16 },
  reply('create_subif_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const createVlanSubif = request(
  'create_vlan_subif',
  'af34ac8b',
  { sw_if_index: u32, vlan_id: u32 },
  reply('create_vlan_subif_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const deleteSubif = request('delete_subif', 'f9e6675e', { sw_if_index: u32 }, plainReply('delete_subif_reply'));

export const createLoopback = request(
  'create_loopback',
  '42bb5d22',
  { mac_address: macAddress },
  reply('create_loopback_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const createLoopbackInstance = request(
  'create_loopback_instance',
  'd36a3ee2',
  { mac_address: macAddress, is_specified: bool, user_instance: u32 },
  reply('create_loopback_instance_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const deleteLoopback = request(
  'delete_loopback',
  'f9e6675e',
  { sw_if_index: u32 },
  plainReply('delete_loopback_reply'),
);
