// Words of policers in the API.
//
// Names, layouts and CRCs are those of VPP's policer_types.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { bool, enumeration, u8, u32, u64 } from '../codec.ts';
import { struct } from '../compound.ts';

export const sse2QosRateType = enumeration('sse2_qos_rate_type', u8, {
  SSE2_QOS_RATE_API_KBPS: 0,
  SSE2_QOS_RATE_API_PPS: 1,
  SSE2_QOS_RATE_API_INVALID: 2,
});

export const sse2QosRoundType = enumeration('sse2_qos_round_type', u8, {
  SSE2_QOS_ROUND_API_TO_CLOSEST: 0,
  SSE2_QOS_ROUND_API_TO_UP: 1,
  SSE2_QOS_ROUND_API_TO_DOWN: 2,
  SSE2_QOS_ROUND_API_INVALID: 3,
});

export const sse2QosPolicerType = enumeration('sse2_qos_policer_type', u8, {
  SSE2_QOS_POLICER_TYPE_API_1R2C: 0,
  SSE2_QOS_POLICER_TYPE_API_1R3C_RFC_2697: 1,
  SSE2_QOS_POLICER_TYPE_API_2R3C_RFC_2698: 2,
  SSE2_QOS_POLICER_TYPE_API_2R3C_RFC_4115: 3,
  SSE2_QOS_POLICER_TYPE_API_2R3C_RFC_MEF5CF1: 4,
  SSE2_QOS_POLICER_TYPE_API_MAX: 5,
});

export const sse2QosActionType = enumeration('sse2_qos_action_type', u8, {
  SSE2_QOS_ACTION_API_DROP: 0,
  SSE2_QOS_ACTION_API_TRANSMIT: 1,
  SSE2_QOS_ACTION_API_MARK_AND_TRANSMIT: 2,
});

export const sse2QosAction = struct({ type: sse2QosActionType, dscp: u8 });

export const policerConfig = struct({
  cir: u32,
  eir: u32,
  cb: u64,
  eb: u64,
  rate_type: sse2QosRateType,
  round_type: sse2QosRoundType,
  type: sse2QosPolicerType,
  color_aware: bool,
  conform_action: sse2QosAction,
  exceed_action: sse2QosAction,
  violate_action: sse2QosAction,
});
