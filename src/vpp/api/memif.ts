// Interfaces over shared memory, and the sockets that their peers meet at.
//
// Names, layouts and CRCs are those of VPP's memif.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { macAddress } from '../address.ts';
import { bool, enumeration, i32, string, u8, u16, u32, varString } from '../codec.ts';
import { details, dump, plainReply, reply, request } from '../message.ts';
import { ifStatusFlags } from './interfacetypes.ts';

export const memifRole = enumeration('memif_role', u32, { MEMIF_ROLE_API_MASTER: 0, MEMIF_ROLE_API_SLAVE: 1 });

export const memifMode = enumeration('memif_mode', u32, {
  MEMIF_MODE_API_ETHERNET: 0,
  MEMIF_MODE_API_IP: 1,
  MEMIF_MODE_API_PUNT_INJECT: 2,
});

/** VPP chooses the id where 0xffffffff is asked for. */
export const memifSocketFilenameAddDelV2 = request(
  'memif_socket_filename_add_del_v2',
  '34223bdf',
  { is_add: bool, socket_id: u32, socket_filename: varString },
  reply('memif_socket_filename_add_del_v2_reply', '9f29bdb9', { retval: i32, socket_id: u32 }),
);

export const memifSocketFilenameDetails = details('memif_socket_filename_details', '7ff326f7', {
  socket_id: u32,
  socket_filename: string(108),
});

export const memifSocketFilenameDump = dump('memif_socket_filename_dump', '51077d14', {}, memifSocketFilenameDetails);

export const memifCreateV2 = request(
  'memif_create_v2',
  '8c7de5f7',
  {
    role: memifRole,
    mode: memifMode,
    rx_queues: u8,
    tx_queues: u8,
    id: u32,
    socket_id: u32,
    ring_size: u32,
    buffer_size: u16,
    no_zero_copy: bool,
    use_dma: bool,
    hw_addr: macAddress,
    secret: string(24),
  },
  reply('memif_create_v2_reply', '5383d31f', { retval: i32, sw_if_index: u32 }),
);

export const memifDelete = request('memif_delete', 'f9e6675e', { sw_if_index: u32 }, plainReply('memif_delete_reply'));

export const memifDetails = details('memif_details', 'da34feb9', {
  sw_if_index: u32,
  hw_addr: macAddress,
  id: u32,
  role: memifRole,
  mode: memifMode,
  zero_copy: bool,
  socket_id: u32,
  ring_size: u32,
  buffer_size: u16,
  flags: ifStatusFlags,
  if_name: string(64),
});

export const memifDump = dump('memif_dump', '51077d14', {}, memifDetails);
