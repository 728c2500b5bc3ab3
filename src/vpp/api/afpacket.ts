// Host interfaces: a Linux device opened with AF_PACKET.
//
// Names, layouts and CRCs are those of VPP's af_packet.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { macAddress } from '../address.ts';
import { bool, enumeration, i32, string, u16, u32 } from '../codec.ts';
import { details, dump, plainReply, reply, request } from '../message.ts';

export const afPacketCreateV2 = request(
  'af_packet_create_v2',
  '4aff0436',
  {
    hw_addr: macAddress,
    use_random_hw_addr: bool,
    host_if_name: string(64),
    rx_frame_size: u32,
    tx_frame_size: u32,
    rx_frames_per_block: u32,
    tx_frames_per_block: u32,
    flags: u32,
    num_rx_queues: u16,
  },
  reply('af_packet_create_v2_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const afPacketMode = enumeration('af_packet_mode', u32, {
  AF_PACKET_API_MODE_ETHERNET: 1,
  AF_PACKET_API_MODE_IP: 2,
});

export const afPacketFlags = enumeration('af_packet_flags', u32, {
  AF_PACKET_API_FLAG_QDISC_BYPASS: 1,
  AF_PACKET_API_FLAG_CKSUM_GSO: 2,
  AF_PACKET_API_FLAG_VERSION_2: 8,
});

export const afPacketCreateV3 = request(
  'af_packet_create_v3',
  'b3a809d4',
  {
    mode: afPacketMode,
    hw_addr: macAddress,
    use_random_hw_addr: bool,
    host_if_name: string(64),
    rx_frame_size: u32,
    tx_frame_size: u32,
    rx_frames_per_block: u32,
    tx_frames_per_block: u32,
    flags: afPacketFlags,
    num_rx_queues: u16,
    num_tx_queues: u16,
  },
  reply('af_packet_create_v3_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const afPacketDelete = request(
  'af_packet_delete',
  '863fa648',
  { host_if_name: string(64) },
  plainReply('af_packet_delete_reply'),
);

export const afPacketDetails = details('af_packet_details', '58c7c042', { sw_if_index: u32, host_if_name: string(64) });

export const afPacketDump = dump('af_packet_dump', '51077d14', {}, afPacketDetails);
