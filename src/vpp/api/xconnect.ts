// Cross-connects and features of interfaces.
//
// Names, layouts and CRCs are those of VPP's l3xc.api, l2.api, feature.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { bool, i32, string, u8, u32 } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { details, dump, message, plainReply, reply, request } from '../message.ts';
import { fibPath } from './fibtypes.ts';

export const l3xc = struct({ sw_if_index: u32, is_ip6: bool, n_paths: u8, paths: list(fibPath, 'n_paths') });

export const l3xcUpdate = request(
  'l3xc_update',
  'e96aabdf',
  { l3xc },
  reply('l3xc_update_reply', '1992deab', { retval: i32, stats_index: u32 }),
);

export const l3xcDel = request(
  'l3xc_del',
  'e7dbef91',
  { sw_if_index: u32, is_ip6: bool },
  plainReply('l3xc_del_reply'),
);

export const l3xcDetails = details('l3xc_details', 'bc5bf852', { l3xc });

export const l3xcDump = dump('l3xc_dump', 'f9e6675e', { sw_if_index: u32 }, l3xcDetails);

export const swInterfaceSetL2Xconnect = request(
  'sw_interface_set_l2_xconnect',
  '4fa28a85',
  { rx_sw_if_index: u32, tx_sw_if_index: u32, enable: bool },
  plainReply('sw_interface_set_l2_xconnect_reply'),
);

export const l2PatchAddDel = request(
  'l2_patch_add_del',
  'a1f6a6f3',
  { rx_sw_if_index: u32, tx_sw_if_index: u32, is_add: bool },
  plainReply('l2_patch_add_del_reply'),
);

export const l2XconnectDetails = details('l2_xconnect_details', '472b6b67', {
  rx_sw_if_index: u32,
  tx_sw_if_index: u32,
});

export const l2XconnectDump = dump('l2_xconnect_dump', '51077d14', {}, l2XconnectDetails);

/** Puts a node on a feature arc of an interface. */
export const featureEnableDisable = request(
  'feature_enable_disable',
  '7531c862',
  { sw_if_index: u32, enable: bool, arc_name: string(64), feature_name: string(64) },
  plainReply('feature_enable_disable_reply'),
);

export const featureIsEnabled = request(
  'feature_is_enabled',
  '55db09e2',
  { arc_name: string(64), feature_name: string(64), sw_if_index: u32 },
  message('feature_is_enabled_reply', '03f284b5', 'both', { retval: i32, is_enabled: bool }),
);
