// Paths of unicast routes.
//
// Names, layouts and CRCs are those of VPP's fib_types.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { addressUnion } from '../address.ts';
import { enumeration, u8, u32 } from '../codec.ts';
import { array, struct } from '../compound.ts';

export const fibPathType = enumeration('fib_path_type', u32, {
  FIB_API_PATH_TYPE_NORMAL: 0,
  FIB_API_PATH_TYPE_LOCAL: 1,
  FIB_API_PATH_TYPE_DROP: 2,
  FIB_API_PATH_TYPE_UDP_ENCAP: 3,
  FIB_API_PATH_TYPE_BIER_IMP: 4,
  FIB_API_PATH_TYPE_ICMP_UNREACH: 5,
  FIB_API_PATH_TYPE_ICMP_PROHIBIT: 6,
  FIB_API_PATH_TYPE_SOURCE_LOOKUP: 7,
  FIB_API_PATH_TYPE_DVR: 8,
  FIB_API_PATH_TYPE_INTERFACE_RX: 9,
  FIB_API_PATH_TYPE_CLASSIFY: 10,
});

export const fibPathFlags = enumeration('fib_path_flags', u32, {
  FIB_API_PATH_FLAG_NONE: 0,
  FIB_API_PATH_FLAG_RESOLVE_VIA_ATTACHED: 1,
  FIB_API_PATH_FLAG_RESOLVE_VIA_HOST: 2,
  FIB_API_PATH_FLAG_POP_PW_CW: 4,
});

export const fibPathNhProto = enumeration('fib_path_nh_proto', u32, {
  FIB_API_PATH_NH_PROTO_IP4: 0,
  FIB_API_PATH_NH_PROTO_IP6: 1,
  FIB_API_PATH_NH_PROTO_MPLS: 2,
  FIB_API_PATH_NH_PROTO_ETHERNET: 3,
  FIB_API_PATH_NH_PROTO_BIER: 4,
});

export const fibPathNh = struct({ address: addressUnion, via_label: u32, obj_id: u32, classify_table_index: u32 });

export const fibMplsLabel = struct({ is_uniform: u8, label: u32, ttl: u8, exp: u8 });

export const fibPath = struct({
  sw_if_index: u32,
  table_id: u32,
  rpf_id: u32,
  weight: u8,
  preference: u8,
  type: fibPathType,
  flags: fibPathFlags,
  proto: fibPathNhProto,
  nh: fibPathNh,
  n_labels: u8,
  label_stack: array(fibMplsLabel, 16),
});
