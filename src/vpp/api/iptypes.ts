// Words of IP in the API: protocols, DSCP.
//
// Names, layouts and CRCs are those of VPP's ip_types.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { enumeration, u8 } from '../codec.ts';

export const ipProto = enumeration('ip_proto', u8, {
  IP_API_PROTO_HOPOPT: 0,
  IP_API_PROTO_ICMP: 1,
  IP_API_PROTO_IGMP: 2,
  IP_API_PROTO_TCP: 6,
  IP_API_PROTO_UDP: 17,
  IP_API_PROTO_GRE: 47,
  IP_API_PROTO_ESP: 50,
  IP_API_PROTO_AH: 51,
  IP_API_PROTO_ICMP6: 58,
  IP_API_PROTO_EIGRP: 88,
  IP_API_PROTO_OSPF: 89,
  IP_API_PROTO_SCTP: 132,
  IP_API_PROTO_RESERVED: 255,
});
