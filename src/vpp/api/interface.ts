// Interfaces: state, MTU, MAC, tables, tags and events.
//
// Names, layouts and CRCs are those of VPP's interface.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { macAddress, prefix } from '../address.ts';
import { bool, i32, string, u8, u16, u32, varString } from '../codec.ts';
import { array } from '../compound.ts';
import { details, dump, event, plainReply, reply, request } from '../message.ts';
import { ifStatusFlags, ifType, linkDuplex, rxMode, subIfFlags } from './interfacetypes.ts';

export const swInterfaceDetails = details('sw_interface_details', '6c221fc7', {
  sw_if_index: u32,
  sup_sw_if_index: u32,
  l2_address: macAddress,
  flags: ifStatusFlags,
  type: ifType,
  link_duplex: linkDuplex,
  link_speed: u32,
  link_mtu: u16,
  mtu: array(u32, 4),
  sub_id: u32,
  sub_number_of_tags: u8,
  sub_outer_vlan_id: u16,
  sub_inner_vlan_id: u16,
  sub_if_flags: subIfFlags,
  vtr_op: u32,
  vtr_push_dot1q: u32,
  vtr_tag1: u32,
  vtr_tag2: u32,
  outer_tag: u16,
  b_dmac: macAddress,
  b_smac: macAddress,
  b_vlanid: u16,
  i_sid: u32,
  interface_name: string(64),
  interface_dev_type: string(64),
  tag: string(64),
});

/** 0xffffffff for all interfaces. */
export const swInterfaceDump = dump(
  'sw_interface_dump',
  'aa610c27',
  { sw_if_index: u32, name_filter_valid: bool, name_filter: varString },
  swInterfaceDetails,
);

export const swInterfaceSetFlags = request(
  'sw_interface_set_flags',
  'f5aec1b8',
  { sw_if_index: u32, flags: ifStatusFlags },
  plainReply('sw_interface_set_flags_reply'),
);

export const swInterfaceSetPromisc = request(
  'sw_interface_set_promisc',
  'd40860d4',
  { sw_if_index: u32, promisc_on: bool },
  plainReply('sw_interface_set_promisc_reply'),
);

/** Largest frame without the Ethernet header, in bytes. */
export const hwInterfaceSetMtu = request(
  'hw_interface_set_mtu',
  'e6746899',
  { sw_if_index: u32, mtu: u16 },
  plainReply('hw_interface_set_mtu_reply'),
);

/** Four MTUs in bytes: L3, IPv4, IPv6, MPLS; 0 takes the hardware's. */
export const swInterfaceSetMtu = request(
  'sw_interface_set_mtu',
  '5cbe85e5',
  { sw_if_index: u32, mtu: array(u32, 4) },
  plainReply('sw_interface_set_mtu_reply'),
);

export const wantInterfaceEvents = request(
  'want_interface_events',
  '476f5a08',
  { enable_disable: u32, pid: u32 },
  plainReply('want_interface_events_reply'),
);

/** Only says that something about the interface changed: several changes may be joined in one. */
export const swInterfaceEvent = event('sw_interface_event', '2d3d95a7', {
  pid: u32,
  sw_if_index: u32,
  flags: ifStatusFlags,
  deleted: bool,
});

export const swInterfaceAddDelAddress = request(
  'sw_interface_add_del_address',
  '5463d73b',
  { sw_if_index: u32, is_add: bool, del_all: bool, prefix },
  plainReply('sw_interface_add_del_address_reply'),
);

export const swInterfaceSetTable = request(
  'sw_interface_set_table',
  'df42a577',
  { sw_if_index: u32, is_ipv6: bool, vrf_id: u32 },
  plainReply('sw_interface_set_table_reply'),
);

export const swInterfaceGetTable = request(
  'sw_interface_get_table',
  '2d033de4',
  { sw_if_index: u32, is_ipv6: bool },
  reply('sw_interface_get_table_reply', 'a6eb0109', { retval: i32, vrf_id: u32 }),
);

export const swInterfaceSetUnnumbered = request(
  'sw_interface_set_unnumbered',
  '154a6439',
  { sw_if_index: u32, unnumbered_sw_if_index: u32, is_add: bool },
  plainReply('sw_interface_set_unnumbered_reply'),
);

export const swInterfaceTagAddDel = request(
  'sw_interface_tag_add_del',
  '426f8bc1',
  { is_add: bool, sw_if_index: u32, tag: string(64) },
  plainReply('sw_interface_tag_add_del_reply'),
);

export const swInterfaceSetMacAddress = request(
  'sw_interface_set_mac_address',
  'c536e7eb',
  { sw_if_index: u32, mac_address: macAddress },
  plainReply('sw_interface_set_mac_address_reply'),
);

export const swInterfaceGetMacAddress = request(
  'sw_interface_get_mac_address',
  'f9e6675e',
  { sw_if_index: u32 },
  reply('sw_interface_get_mac_address_reply', '40ef2c08', { retval: i32, mac_address: macAddress }),
);

/** Secondary addresses, of the hardware below an interface. */
export const swInterfaceAddDelMacAddress = request(
  'sw_interface_add_del_mac_address',
  '638bb9f4',
  { sw_if_index: u32, addr: macAddress, is_add: u8 },
  plainReply('sw_interface_add_del_mac_address_reply'),
);

export const swInterfaceSetRxMode = request(
  'sw_interface_set_rx_mode',
  'b04d1cfe',
  { sw_if_index: u32, queue_id_valid: bool, queue_id: u32, mode: rxMode },
  plainReply('sw_interface_set_rx_mode_reply'),
);

export const swInterfaceSetInterfaceName = request(
  'sw_interface_set_interface_name',
  '45a1d548',
  { sw_if_index: u32, name: string(64) },
  plainReply('sw_interface_set_interface_name_reply'),
);
