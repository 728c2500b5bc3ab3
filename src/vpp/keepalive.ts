// Keepalive: VPP asks a client of its memory that was silent for long whether it lives, and forgets it otherwise.
//
// Reference: VPP's src/vlibmemory/memclnt.api, memclnt_keepalive.

import { memclntKeepalive } from './api/memclnt.ts';
import type { Bound } from './binding.ts';
import { writeFrameHeader } from './frames.ts';
import { CONTEXT_AT, HEAD_SIZE } from './message.ts';
import { FRAME_HEADER } from './transport.ts';
import { Wire } from './wire.ts';

/** The frame that answers a keepalive between two offsets. Throws VPP_PROTOCOL when that is too short. */
export function keepaliveAnswer(reply: Bound, bytes: Uint8Array, at: number, end: number): Uint8Array {
  const question = new Wire(bytes).aim(at + CONTEXT_AT[memclntKeepalive.head], end);
  const context = question.view.getUint32(question.take(4));
  const length = HEAD_SIZE.context + memclntKeepalive.reply.body.size;
  const answer = new Wire(new Uint8Array(FRAME_HEADER + length));
  writeFrameHeader(answer.bytes, answer.view, 0, length);
  answer.view.setUint16(FRAME_HEADER, reply.id);
  answer.view.setUint32(FRAME_HEADER + CONTEXT_AT.context, context);
  return answer.bytes;
}
