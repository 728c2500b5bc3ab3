// Message: one message of VPP's API as our own table, and how it is answered.
//
// Invariants: a name with a CRC is one layout for ever; VPP computes the CRC from the definition. `fields` leaves out
// what every message of its head has: the id (u16 at 0) and, by the head, client_index and context. A request is
// answered by one reply, a dump by details until the control_ping behind it is answered, a cursor by details and
// then a reply that says where to go on. Field names are VPP's. Reference: VPP's *.api files; docs on the binary API.

import { i32 } from './codec.ts';
import type { Fields, StructCodec, StructInput, StructValue } from './compound.ts';
import { struct } from './compound.ts';

/** What lies between the id and the fields. `both`: client_index, context. */
export type Head = 'both' | 'context' | 'client' | 'none';

/** Bytes in front of the fields. */
export const HEAD_SIZE: Readonly<Record<Head, number>> = { both: 10, context: 6, client: 6, none: 2 };
/** Where the context lies. */
export const CONTEXT_AT: Readonly<Record<Head, number>> = { both: 6, context: 2, client: -1, none: -1 };

export interface Message<F extends Fields = Fields> {
  readonly name: string;
  /** Eight hexadecimal digits. */
  readonly crc: string;
  readonly head: Head;
  readonly body: StructCodec<F>;
}

export interface Request<F extends Fields = Fields, R extends Fields = Fields> extends Message<F> {
  readonly answer: 'reply';
  readonly reply: Message<R>;
}

export interface Dump<F extends Fields = Fields, D extends Fields = Fields> extends Message<F> {
  readonly answer: 'details';
  readonly details: Message<D>;
}

export interface CursorDump<F extends Fields = Fields, D extends Fields = Fields, R extends Fields = Fields>
  extends Message<F> {
  readonly answer: 'cursor';
  readonly details: Message<D>;
  readonly reply: Message<R>;
  /** A reply of the same fields that VPP sends instead by mistake. */
  readonly mistaken: Message<R> | undefined;
}

export type MessageInput<M> = M extends Message<infer F> ? StructInput<F> : never;
export type MessageValue<M> = M extends Message<infer F> ? StructValue<F> : never;

/** A message by itself: an event, a keepalive. */
export function message<const F extends Fields>(name: string, crc: string, head: Head, fields: F): Message<F> {
  return { name, crc, head, body: struct(fields) };
}

/** The reply of a request. */
export function reply<const F extends Fields>(name: string, crc: string, fields: F): Message<F> {
  return message(name, crc, 'context', fields);
}

/** The reply that only says whether it went well: 0, or a negative number of `errno.ts`. */
export function plainReply(name: string): Message<{ readonly retval: typeof i32 }> {
  return reply(name, 'e8d4e804', { retval: i32 });
}

/** One row of a dump. */
export function details<const F extends Fields>(name: string, crc: string, fields: F): Message<F> {
  return message(name, crc, 'context', fields);
}

/** Sent by VPP without being asked each time. */
export function event<const F extends Fields>(name: string, crc: string, fields: F): Message<F> {
  return message(name, crc, 'client', fields);
}

/** A message that one reply answers. */
export function request<const F extends Fields, R extends Fields>(
  name: string,
  crc: string,
  fields: F,
  answer: Message<R>,
): Request<F, R> {
  return { ...message(name, crc, 'both', fields), answer: 'reply', reply: answer };
}

/** A message that any number of details answer; a control_ping behind it marks their end. */
export function dump<const F extends Fields, D extends Fields>(
  name: string,
  crc: string,
  fields: F,
  rows: Message<D>,
): Dump<F, D> {
  return { ...message(name, crc, 'both', fields), answer: 'details', details: rows };
}

/** A message that details and then a reply answer; `fields` and `answer` have a cursor. */
export function cursorDump<const F extends Fields, D extends Fields, R extends Fields>(
  name: string,
  crc: string,
  fields: F,
  rows: Message<D>,
  answer: Message<R>,
  mistaken?: Message<R>,
): CursorDump<F, D, R> {
  return { ...message(name, crc, 'both', fields), answer: 'cursor', details: rows, reply: answer, mistaken };
}

/** The name under which VPP's message table has it. */
export function nameCrc(of: Message): string {
  return `${of.name}_${of.crc}`;
}

/**
 * Offset of a field from the message's first byte, by path (`route.prefix.len`); -1 when there is none. Fields behind
 * one that varies have no offset of their own, and neither has what is inside a list.
 */
export function offsetOf(of: Message, path: string): number {
  let at = HEAD_SIZE[of.head];
  let codec: StructCodec = of.body;
  for (const [depth, name] of path.split('.').entries()) {
    if (depth > 0 && codec === undefined) return -1;
    const names = Object.keys(codec.fields);
    const index = names.indexOf(name);
    if (index < 0) return -1;
    for (const before of names.slice(0, index)) at += codec.fields[before]?.size ?? 0;
    const field = codec.fields[name];
    if (depth === path.split('.').length - 1) return at;
    if (field === undefined || !('fields' in field)) return -1;
    codec = field as StructCodec;
  }
  return -1;
}
