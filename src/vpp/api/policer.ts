// Policers, and where they apply.
//
// Names, layouts and CRCs are those of VPP's policer.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { bool, i32, string, u32, u64 } from '../codec.ts';
import { details, dump, plainReply, reply, request } from '../message.ts';
import { policerConfig, sse2QosAction, sse2QosPolicerType, sse2QosRateType, sse2QosRoundType } from './policertypes.ts';

export const policerAddDel = request(
  'policer_add_del',
  '2b31dd38',
  {
    is_add: bool,
    name: string(64),
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
  },
  reply('policer_add_del_reply', 'a177cef2', { retval: i32, policer_index: u32 }),
);

export const policerAdd = request(
  'policer_add',
  '4d949e35',
  { name: string(64), infos: policerConfig },
  reply('policer_add_reply', 'a177cef2', { retval: i32, policer_index: u32 }),
);

export const policerUpdate = request(
  'policer_update',
  'fd039ef0',
  { policer_index: u32, infos: policerConfig },
  plainReply('policer_update_reply'),
);

export const policerDel = request('policer_del', '7ff7912e', { policer_index: u32 }, plainReply('policer_del_reply'));

export const policerInput = request(
  'policer_input',
  '233f0ef5',
  { name: string(64), sw_if_index: u32, apply: bool },
  plainReply('policer_input_reply'),
);

export const policerOutput = request(
  'policer_output',
  '233f0ef5',
  { name: string(64), sw_if_index: u32, apply: bool },
  plainReply('policer_output_reply'),
);

export const policerDetails = details('policer_details', '72d0e248', {
  name: string(64),
  cir: u32,
  eir: u32,
  cb: u64,
  eb: u64,
  rate_type: sse2QosRateType,
  round_type: sse2QosRoundType,
  type: sse2QosPolicerType,
  conform_action: sse2QosAction,
  exceed_action: sse2QosAction,
  violate_action: sse2QosAction,
  single_rate: bool,
  color_aware: bool,
  scale: u32,
  cir_tokens_per_period: u32,
  pir_tokens_per_period: u32,
  current_limit: u32,
  current_bucket: u32,
  extended_limit: u32,
  extended_bucket: u32,
  last_update_time: u64,
});

export const policerDump = dump(
  'policer_dump',
  '35f1ae0f',
  { match_name_valid: bool, match_name: string(64) },
  policerDetails,
);

export const policerDumpV2 = dump('policer_dump_v2', '7ff7912e', { policer_index: u32 }, policerDetails);

/** What is punted of a family: the feature is put on again each time it is asked for, and the index is not looked at. */
export const ipPuntPolice = request(
  'ip_punt_police',
  'db867cea',
  { policer_index: u32, is_add: bool, is_ip6: bool },
  plainReply('ip_punt_police_reply'),
);
