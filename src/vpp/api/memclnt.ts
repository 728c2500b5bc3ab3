// Messages of the API itself: sessions, liveness, versions, definitions.
//
// Names, layouts and CRCs are those of VPP's memclnt.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { i32, string, u16, u32, varString } from '../codec.ts';
import { list, struct } from '../compound.ts';
import { message, plainReply, reply, request } from '../message.ts';

export const getFirstMsgId = request(
  'get_first_msg_id',
  'ebf79a66',
  { name: string(64) },
  reply('get_first_msg_id_reply', '7d337472', { retval: i32, first_msg_id: u16 }),
);

export const moduleVersion = struct({ major: u32, minor: u32, patch: u32, name: string(64) });

export const apiVersions = request(
  'api_versions',
  '51077d14',
  {},
  reply('api_versions_reply', '5f0d99d6', { retval: i32, count: u32, api_versions: list(moduleVersion, 'count') }),
);

/** Opens a session on the socket; the first message. */
export const sockclntCreate = message('sockclnt_create', '455fb9c4', 'context', { name: string(64) });

export const messageTableEntry = struct({ index: u16, name: string(64) });

export const sockclntCreateReply = message('sockclnt_create_reply', '35166268', 'both', {
  response: i32,
  index: u32,
  count: u16,
  message_table: list(messageTableEntry, 'count'),
});

export const sockclntDelete = request(
  'sockclnt_delete',
  '8ac76db6',
  { index: u32 },
  reply('sockclnt_delete_reply', '8f38b1ee', { response: i32 }),
);

/** Asked by VPP of a silent client; the client answers. */
export const memclntKeepalive = request('memclnt_keepalive', '51077d14', {}, plainReply('memclnt_keepalive_reply'));

/** Answered when everything sent before it has been handled. */
export const controlPing = request(
  'control_ping',
  '51077d14',
  {},
  reply('control_ping_reply', 'f6b0b8ca', { retval: i32, client_index: u32, vpe_pid: u32 }),
);

/** The definitions of everything this VPP has, as JSON text of some megabytes. */
export const getApiJson = request(
  'get_api_json',
  '51077d14',
  {},
  reply('get_api_json_reply', 'ea715b59', { retval: i32, json: varString }),
);
