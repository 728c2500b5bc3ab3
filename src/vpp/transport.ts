// VppTransport: what carries messages to VPP and back, over a socket or through shared memory.
//
// Invariants: messages travel as frames, in both directions and on every transport: 16 bytes of which the length of
// the message (u32 at 8, network order) counts, then the message. A transport opens one session and is used up when
// that ends, which it tells once. What it hands over is valid during the call only; what it is given to send stays
// untouched by the caller until it is answered. Reference: VPP's src/vlibapi/memory_shared.h, msgbuf_t.

import type { LcpError } from '../lib/errors.ts';

/** Bytes in front of every message. */
export const FRAME_HEADER = 16;
/** Where the length of the message lies in them. */
export const FRAME_LENGTH_AT = 8;
/** Longest message that is believed; the definitions of a whole VPP have 4 MB. */
export const MAX_MESSAGE = 32 << 20;

/** What VPP told about its messages when the session was opened. */
export interface VppSession {
  /** The number that requests carry as client_index. */
  readonly clientIndex: number;
  /** Id of a message by name and CRC; undefined when this VPP does not have it. */
  idOf(nameCrc: string): number | undefined;
  /** CRC that this VPP has for a name; undefined when it has none, or when the transport cannot tell. */
  crcOf(name: string): string | undefined;
  /** Whether `crcOf` knows all names. */
  readonly namesKnown: boolean;
}

export interface TransportReceiver {
  /** A message lies in `bytes` from `at` to `end`; it has at least its id. */
  onMessage(bytes: Uint8Array, view: DataView, at: number, end: number): void;
  /** The session ended, by an error or by VPP. Not called after `close`. */
  onClosed(error: LcpError): void;
}

export interface TransportCounters {
  sentBytes: number;
  receivedBytes: number;
  received: number;
}

export interface VppTransport {
  readonly kind: 'socket' | 'shm';
  /** Path or segment, for people. */
  readonly place: string;
  readonly counters: TransportCounters;
  /** Rejects with VPP_CONNECT or VPP_PROTOCOL. Called once. */
  open(clientName: string, receiver: TransportReceiver): Promise<VppSession>;
  /** Ends the session when VPP's process does, for transports that do not hear of it otherwise. */
  watch?(pid: number): void;
  /** Sends whole frames. */
  send(frames: Uint8Array): void;
  close(): void;
}
