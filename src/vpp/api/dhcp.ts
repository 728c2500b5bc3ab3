// DHCP: relays (proxies) and clients.
//
// Names, layouts and CRCs are those of VPP's dhcp.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { address, addressFamily, addressUnion, macAddress } from '../address.ts';
import { bool, bytes, enumeration, string, u8, u32 } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { details, dump, plainReply, request } from '../message.ts';
import { ipDscp } from './iptypes.ts';

export const vssType = enumeration('vss_type', u32, {
  VSS_TYPE_API_ASCII: 0,
  VSS_TYPE_API_VPN_ID: 1,
  VSS_TYPE_API_INVALID: 123,
  VSS_TYPE_API_DEFAULT: 255,
});

/** The source counts for the first server of a table only. */
export const dhcpProxyConfig = request(
  'dhcp_proxy_config',
  '4058a689',
  { rx_vrf_id: u32, server_vrf_id: u32, is_add: bool, dhcp_server: address, dhcp_src_address: address },
  plainReply('dhcp_proxy_config_reply'),
);

/** As sixteen bytes: VPP says IPv4 of IPv6 ones here. */
export const dhcpAddress = struct({ af: addressFamily, un: addressUnion });

export const dhcpServer = struct({ server_vrf_id: u32, dhcp_server: dhcpAddress });

export const dhcpProxyDetails = details('dhcp_proxy_details', 'dcbaf540', {
  rx_vrf_id: u32,
  vss_oui: u32,
  vss_fib_id: u32,
  vss_type: vssType,
  is_ipv6: bool,
  vss_vpn_ascii_id: string(129),
  dhcp_src_address: dhcpAddress,
  count: u8,
  servers: list(dhcpServer, 'count'),
});

export const dhcpProxyDump = dump('dhcp_proxy_dump', '5c5b063f', { is_ip6: bool }, dhcpProxyDetails);

export const dhcpClient = struct({
  sw_if_index: u32,
  hostname: string(64),
  id: bytes(64),
  want_dhcp_event: bool,
  set_broadcast_flag: bool,
  dscp: ipDscp,
  pid: u32,
});

export const dhcpClientConfig = request(
  'dhcp_client_config',
  '1af013ea',
  { is_add: bool, client: dhcpClient },
  plainReply('dhcp_client_config_reply'),
);

export const dhcpClientState = enumeration('dhcp_client_state', u32, {
  DHCP_CLIENT_STATE_API_DISCOVER: 0,
  DHCP_CLIENT_STATE_API_REQUEST: 1,
  DHCP_CLIENT_STATE_API_BOUND: 2,
});

export const domainServer = struct({ address });

export const dhcpLease = struct({
  sw_if_index: u32,
  state: dhcpClientState,
  is_ipv6: bool,
  hostname: string(64),
  mask_width: u8,
  host_address: address,
  router_address: address,
  host_mac: macAddress,
  count: u8,
  domain_server: list(domainServer, 'count'),
});

export const dhcpClientDetails = details('dhcp_client_details', '8897b2d8', { client: dhcpClient, lease: dhcpLease });

export const dhcpClientDump = dump('dhcp_client_dump', '51077d14', {}, dhcpClientDetails);
