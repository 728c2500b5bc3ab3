// Punted IP packets that are sent on: redirects and container proxies.
//
// Names, layouts and CRCs are those of VPP's ip.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { addressFamily, prefix } from '../address.ts';
import { bool, u32 } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { details, dump, plainReply, request } from '../message.ts';
import { fibPath } from './fibtypes.ts';

export const puntRedirectV2 = struct({
  rx_sw_if_index: u32,
  af: addressFamily,
  n_paths: u32,
  paths: list(fibPath, 'n_paths'),
});

export const addDelIpPuntRedirectV2 = request(
  'add_del_ip_punt_redirect_v2',
  '9e804227',
  { is_add: bool, punt: puntRedirectV2 },
  plainReply('add_del_ip_punt_redirect_v2_reply'),
);

export const ipPuntRedirectV2Details = details('ip_punt_redirect_v2_details', '7ba42e1d', { punt: puntRedirectV2 });

export const ipPuntRedirectV2Dump = dump(
  'ip_punt_redirect_v2_dump',
  'd817a484',
  { sw_if_index: u32, af: addressFamily },
  ipPuntRedirectV2Details,
);

export const ipContainerProxyAddDel = request(
  'ip_container_proxy_add_del',
  '7df1dff1',
  { pfx: prefix, sw_if_index: u32, is_add: bool },
  plainReply('ip_container_proxy_add_del_reply'),
);

export const ipContainerProxyDetails = details('ip_container_proxy_details', 'a8085523', { sw_if_index: u32, prefix });

export const ipContainerProxyDump = dump('ip_container_proxy_dump', '51077d14', {}, ipContainerProxyDetails);
