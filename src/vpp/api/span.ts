// Copies of what interfaces take and send.
//
// Names, layouts and CRCs are those of VPP's span.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { bool, enumeration, u32 } from '../codec.ts';
import { details, dump, plainReply, request } from '../message.ts';

export const spanState = enumeration('span_state', u32, {
  SPAN_STATE_API_DISABLED: 0,
  SPAN_STATE_API_RX: 1,
  SPAN_STATE_API_TX: 2,
  SPAN_STATE_API_RX_TX: 3,
});

/** The state is that of the two interfaces together: what it does not say is taken off. */
export const swInterfaceSpanEnableDisable = request(
  'sw_interface_span_enable_disable',
  '23ddd96b',
  { sw_if_index_from: u32, sw_if_index_to: u32, state: spanState, is_l2: bool },
  plainReply('sw_interface_span_enable_disable_reply'),
);

export const swInterfaceSpanDetails = details('sw_interface_span_details', '8a20e79f', {
  sw_if_index_from: u32,
  sw_if_index_to: u32,
  state: spanState,
  is_l2: bool,
});

export const swInterfaceSpanDump = dump('sw_interface_span_dump', 'd6cf0c3d', { is_l2: bool }, swInterfaceSpanDetails);
