// Neighbours of both families.
//
// Names, layouts and CRCs are those of VPP's ip_neighbor.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { address, addressFamily, macAddress } from '../address.ts';
import { bool, enumeration, f64, i32, u8, u32 } from '../codec.ts';
import { struct } from '../compound.ts';
import { details, dump, event, plainReply, reply, request } from '../message.ts';

export const ipNeighborFlags = enumeration('ip_neighbor_flags', u8, {
  IP_API_NEIGHBOR_FLAG_NONE: 0,
  IP_API_NEIGHBOR_FLAG_STATIC: 1,
  IP_API_NEIGHBOR_FLAG_NO_FIB_ENTRY: 2,
});

export const ipNeighbor = struct({
  sw_if_index: u32,
  flags: ipNeighborFlags,
  mac_address: macAddress,
  ip_address: address,
});

export const ipNeighborAddDel = request(
  'ip_neighbor_add_del',
  '0607c257',
  { is_add: bool, neighbor: ipNeighbor },
  reply('ip_neighbor_add_del_reply', '1992deab', { retval: i32, stats_index: u32 }),
);

export const ipNeighborDetails = details('ip_neighbor_details', 'e29d79f0', { age: f64, neighbor: ipNeighbor });

export const ipNeighborDump = dump(
  'ip_neighbor_dump',
  'd817a484',
  { sw_if_index: u32, af: addressFamily },
  ipNeighborDetails,
);

export const ipNeighborConfig = request(
  'ip_neighbor_config',
  'f4a5cf44',
  { af: addressFamily, max_number: u32, max_age: u32, recycle: bool },
  plainReply('ip_neighbor_config_reply'),
);

export const ipNeighborConfigGet = request(
  'ip_neighbor_config_get',
  'a5db7bf7',
  { af: addressFamily },
  reply('ip_neighbor_config_get_reply', '798e6fdd', {
    retval: i32,
    af: addressFamily,
    max_number: u32,
    max_age: u32,
    recycle: bool,
  }),
);

export const ipNeighborFlush = request(
  'ip_neighbor_flush',
  '16aa35d2',
  { af: addressFamily, sw_if_index: u32 },
  plainReply('ip_neighbor_flush_reply'),
);

export const ipNeighborReplaceBegin = request(
  'ip_neighbor_replace_begin',
  '51077d14',
  {},
  plainReply('ip_neighbor_replace_begin_reply'),
);

export const ipNeighborReplaceEnd = request(
  'ip_neighbor_replace_end',
  '51077d14',
  {},
  plainReply('ip_neighbor_replace_end_reply'),
);

export const wantIpNeighborEvents = request(
  'want_ip_neighbor_events',
  '73e70a86',
  { enable: bool, pid: u32, ip: address, sw_if_index: u32 },
  plainReply('want_ip_neighbor_events_reply'),
);

export const wantIpNeighborEventsV2 = request(
  'want_ip_neighbor_events_v2',
  '73e70a86',
  { enable: bool, pid: u32, ip: address, sw_if_index: u32 },
  plainReply('want_ip_neighbor_events_v2_reply'),
);

export const ipNeighborEvent = event('ip_neighbor_event', 'bdb092b2', { pid: u32, neighbor: ipNeighbor });

export const ipNeighborEventFlags = enumeration('ip_neighbor_event_flags', u32, {
  IP_NEIGHBOR_API_EVENT_FLAG_ADDED: 1,
  IP_NEIGHBOR_API_EVENT_FLAG_REMOVED: 2,
});

export const ipNeighborEventV2 = event('ip_neighbor_event_v2', 'c1d53dc0', {
  pid: u32,
  flags: ipNeighborEventFlags,
  neighbor: ipNeighbor,
});
