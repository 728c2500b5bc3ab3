// TAP and TUN devices.
//
// Names, layouts and CRCs are those of VPP's tapv2.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { ip4Address, ip4Prefix, ip6Address, ip6Prefix, macAddress } from '../address.ts';
import { bool, enumeration, i32, string, u8, u16, u32, varString } from '../codec.ts';
import { details, dump, plainReply, reply, request } from '../message.ts';

export const tapFlags = enumeration('tap_flags', u32, {
  TAP_API_FLAG_GSO: 1,
  TAP_API_FLAG_CSUM_OFFLOAD: 2,
  TAP_API_FLAG_PERSIST: 4,
  TAP_API_FLAG_ATTACH: 8,
  TAP_API_FLAG_TUN: 16,
  TAP_API_FLAG_GRO_COALESCE: 32,
  TAP_API_FLAG_PACKED: 64,
  TAP_API_FLAG_IN_ORDER: 128,
  TAP_API_FLAG_CONSISTENT_QP: 256,
});

export const tapCreateV2 = request(
  'tap_create_v2',
  '2d0d6570',
  {
    id: u32,
    use_random_mac: bool,
    mac_address: macAddress,
    num_rx_queues: u8,
    tx_ring_sz: u16,
    rx_ring_sz: u16,
    host_mtu_set: bool,
    host_mtu_size: u32,
    host_mac_addr_set: bool,
    host_mac_addr: macAddress,
    host_ip4_prefix_set: bool,
    host_ip4_prefix: ip4Prefix,
    host_ip6_prefix_set: bool,
    host_ip6_prefix: ip6Prefix,
    host_ip4_gw_set: bool,
    host_ip4_gw: ip4Address,
    host_ip6_gw_set: bool,
    host_ip6_gw: ip6Address,
    tap_flags: tapFlags,
    host_namespace_set: bool,
    host_namespace: string(64),
    host_if_name_set: bool,
    host_if_name: string(64),
    host_bridge_set: bool,
    host_bridge: string(64),
    tag: varString,
  },
  reply('tap_create_v2_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const tapCreateV3 = request(
  'tap_create_v3',
  '3f3fd1df',
  {
    id: u32,
    use_random_mac: bool,
    mac_address: macAddress,
    num_rx_queues: u16,
    num_tx_queues: u16,
    tx_ring_sz: u16,
    rx_ring_sz: u16,
    host_mtu_set: bool,
    host_mtu_size: u32,
    host_mac_addr_set: bool,
    host_mac_addr: macAddress,
    host_ip4_prefix_set: bool,
    host_ip4_prefix: ip4Prefix,
    host_ip6_prefix_set: bool,
    host_ip6_prefix: ip6Prefix,
    host_ip4_gw_set: bool,
    host_ip4_gw: ip4Address,
    host_ip6_gw_set: bool,
    host_ip6_gw: ip6Address,
    tap_flags: tapFlags,
    host_namespace_set: bool,
    host_namespace: string(64),
    host_if_name_set: bool,
    host_if_name: string(64),
    host_bridge_set: bool,
    host_bridge: string(64),
    tag: varString,
  },
  reply('tap_create_v3_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const tapDeleteV2 = request(
  'tap_delete_v2',
  'f9e6675e',
  { sw_if_index: u32 },
  plainReply('tap_delete_v2_reply'),
);

export const swInterfaceTapV2Details = details('sw_interface_tap_v2_details', '1e2b2a47', {
  sw_if_index: u32,
  id: u32,
  tx_ring_sz: u16,
  rx_ring_sz: u16,
  host_mtu_size: u32,
  host_mac_addr: macAddress,
  host_ip4_prefix: ip4Prefix,
  host_ip6_prefix: ip6Prefix,
  tap_flags: tapFlags,
  dev_name: string(64),
  host_if_name: string(64),
  host_namespace: string(64),
  host_bridge: string(64),
});

export const swInterfaceTapV2Dump = dump(
  'sw_interface_tap_v2_dump',
  'f9e6675e',
  { sw_if_index: u32 },
  swInterfaceTapV2Details,
);
