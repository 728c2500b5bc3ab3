// What VPP punts: by port, protocol or reason, to the host or to sockets.
//
// Names, layouts and CRCs are those of VPP's punt.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { addressFamily } from '../address.ts';
import { bool, enumeration, i32, string, u16, u32, varString } from '../codec.ts';
import { struct, union } from '../compound.ts';
import { details, dump, plainReply, reply, request } from '../message.ts';
import { ipProto } from './iptypes.ts';

export const puntType = enumeration('punt_type', u32, {
  PUNT_API_TYPE_L4: 0,
  PUNT_API_TYPE_IP_PROTO: 1,
  PUNT_API_TYPE_EXCEPTION: 2,
});

export const puntException = struct({ id: u32 });

export const puntL4 = struct({ af: addressFamily, protocol: ipProto, port: u16 });

export const puntIpProto = struct({ af: addressFamily, protocol: ipProto });

export const puntUnion = union({ exception: puntException, l4: puntL4, ip_proto: puntIpProto });

export const punt = struct({ type: puntType, punt: puntUnion });

export const setPunt = request('set_punt', '47d0e347', { is_add: bool, punt }, plainReply('set_punt_reply'));

export const puntSocketRegister = request(
  'punt_socket_register',
  '7875badb',
  { header_version: u32, punt, pathname: string(108) },
  reply('punt_socket_register_reply', 'bd30ae90', { retval: i32, pathname: string(108) }),
);

export const puntSocketDeregister = request(
  'punt_socket_deregister',
  '75afa766',
  { punt },
  plainReply('punt_socket_deregister_reply'),
);

export const puntSocketDetails = details('punt_socket_details', '330466e4', { punt, pathname: string(108) });

export const puntSocketDump = dump('punt_socket_dump', '916fb004', { type: puntType }, puntSocketDetails);

export const puntReason = struct({ id: u32, name: varString });

export const puntReasonDetails = details('punt_reason_details', '2c9d4a40', { reason: puntReason });

export const puntReasonDump = dump('punt_reason_dump', '5c0dd4fe', { reason: puntReason }, puntReasonDetails);
