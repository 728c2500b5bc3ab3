// Answers to ARP and neighbour solicitations for others, and router advertisements.
//
// Names, layouts and CRCs are those of VPP's arp.api, ip6_nd.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { ip4Address, ip6Address, prefix } from '../address.ts';
import { bool, u8, u32 } from '../codec.ts';
import { struct } from '../compound.ts';
import { details, dump, plainReply, request } from '../message.ts';

export const proxyArp = struct({ table_id: u32, low: ip4Address, hi: ip4Address });

export const proxyArpAddDel = request(
  'proxy_arp_add_del',
  '1823c3e7',
  { is_add: bool, proxy: proxyArp },
  plainReply('proxy_arp_add_del_reply'),
);

export const proxyArpDetails = details('proxy_arp_details', '5b948673', { proxy: proxyArp });

export const proxyArpDump = dump('proxy_arp_dump', '51077d14', {}, proxyArpDetails);

export const proxyArpIntfcEnableDisable = request(
  'proxy_arp_intfc_enable_disable',
  'ae6cfcfb',
  { sw_if_index: u32, enable: bool },
  plainReply('proxy_arp_intfc_enable_disable_reply'),
);

export const proxyArpIntfcDetails = details('proxy_arp_intfc_details', 'f6458e5f', { sw_if_index: u32 });

export const proxyArpIntfcDump = dump('proxy_arp_intfc_dump', '51077d14', {}, proxyArpIntfcDetails);

export const swInterfaceIp6ndRaConfig = request(
  'sw_interface_ip6nd_ra_config',
  '3eb00b1c',
  {
    sw_if_index: u32,
    suppress: u8,
    managed: u8,
    other: u8,
    ll_option: u8,
    send_unicast: u8,
    cease: u8,
    is_no: bool,
    default_router: u8,
    max_interval: u32,
    min_interval: u32,
    lifetime: u32,
    initial_count: u32,
    initial_interval: u32,
  },
  plainReply('sw_interface_ip6nd_ra_config_reply'),
);

export const swInterfaceIp6ndRaPrefix = request(
  'sw_interface_ip6nd_ra_prefix',
  '82cc1b28',
  {
    sw_if_index: u32,
    prefix,
    use_default: bool,
    no_advertise: bool,
    off_link: bool,
    no_autoconfig: bool,
    no_onlink: bool,
    is_no: bool,
    val_lifetime: u32,
    pref_lifetime: u32,
  },
  plainReply('sw_interface_ip6nd_ra_prefix_reply'),
);

export const ip6ndProxyEnableDisable = request(
  'ip6nd_proxy_enable_disable',
  '7daa1e3a',
  { sw_if_index: u32, is_enable: bool },
  plainReply('ip6nd_proxy_enable_disable_reply'),
);

export const ip6ndProxyAddDel = request(
  'ip6nd_proxy_add_del',
  'c2e4a686',
  { sw_if_index: u32, is_add: bool, ip: ip6Address },
  plainReply('ip6nd_proxy_add_del_reply'),
);

export const ip6ndProxyDetails = details('ip6nd_proxy_details', '30b9ff4a', { sw_if_index: u32, ip: ip6Address });

export const ip6ndProxyDump = dump('ip6nd_proxy_dump', '51077d14', {}, ip6ndProxyDetails);
