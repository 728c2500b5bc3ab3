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

export const ipDscp = enumeration('ip_dscp', u8, {
  IP_API_DSCP_CS0: 0,
  IP_API_DSCP_CS1: 8,
  IP_API_DSCP_AF11: 10,
  IP_API_DSCP_AF12: 12,
  IP_API_DSCP_AF13: 14,
  IP_API_DSCP_CS2: 16,
  IP_API_DSCP_AF21: 18,
  IP_API_DSCP_AF22: 20,
  IP_API_DSCP_AF23: 22,
  IP_API_DSCP_CS3: 24,
  IP_API_DSCP_AF31: 26,
  IP_API_DSCP_AF32: 28,
  IP_API_DSCP_AF33: 30,
  IP_API_DSCP_CS4: 32,
  IP_API_DSCP_AF41: 34,
  IP_API_DSCP_AF42: 36,
  IP_API_DSCP_AF43: 38,
  IP_API_DSCP_CS5: 40,
  IP_API_DSCP_EF: 46,
  IP_API_DSCP_CS6: 48,
  IP_API_DSCP_CS7: 50,
});
