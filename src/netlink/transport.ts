// Transport: a netlink socket as the rest of this layer sees it: batches in, requests out, loss reported.
//
// Invariants: batches are handed out on the main thread, one at a time, valid during the call only. A transport never
// hides loss: where its implementation cannot see an overrun, `capabilities.overrun` says so, and such a transport
// must not carry a stream whose state matters. After `close()` the receiver is not called again.
// Reference: netlink(7).

import type { MessageBatch } from './message.ts';

/** What an implementation can do; the layers above check instead of hoping. */
export interface TransportCapabilities {
  /** Loss of messages is noticed and reported, and reception goes on afterwards. */
  readonly overrun: boolean;
  /** Groups may be joined after opening, also those above 31. */
  readonly anyGroup: boolean;
  /** NETLINK_GET_STRICT_CHK: filters of dump requests are honoured. */
  readonly strictCheck: boolean;
  /** NETLINK_EXT_ACK: refusals carry the kernel's reason as text. */
  readonly extendedAck: boolean;
  /** May be opened inside another network namespace. */
  readonly netns: boolean;
}

/** What a transport tells its owner. Exceptions thrown in here are bugs and end the process. */
export interface TransportReceiver {
  onBatch(batch: MessageBatch): void;
  /**
   * Messages were lost. Called once the queue behind the loss is read empty: the kernel drops in silence until then,
   * so state read from now on, and only from now on, is followed by every change.
   */
  onOverrun(cause: string): void;
  /** The socket is unusable; close it. */
  onFailed(error: Error): void;
}

/** Counters since the transport was opened. */
export interface TransportCounters {
  datagrams: number;
  bytes: number;
  /** Times that the kernel said ENOBUFS. */
  overruns: number;
  /** Datagrams longer than the receive slot: their tail is lost, so they are discarded and reported as an overrun. */
  truncated: number;
  /** Datagrams of a sender that is not the kernel. */
  foreign: number;
}

export interface NetlinkTransport {
  /** Descriptor, or -1 when the implementation keeps it to itself. */
  readonly fd: number;
  /** nl_pid of our end. */
  readonly portId: number;
  readonly capabilities: TransportCapabilities;
  readonly counters: TransportCounters;
  /** Messages may wait unread on purpose, for a moment. Absent: never. */
  readonly moderating?: boolean;
  /** Starts reception. Once. */
  start(receiver: TransportReceiver): void;
  /** Sends whole messages. Throws NetlinkSocketError when the kernel does not take them. */
  send(messages: Uint8Array): void;
  /** Messages that the kernel dropped because our queue was full; 0 where it cannot be asked. */
  drops(): number;
  close(): void;
}

/** A system call on the socket failed. */
export class NetlinkSocketError extends Error {
  readonly code: string;
  readonly syscall: string;

  constructor(syscall: string, code: string, detail = '') {
    super(`netlink ${syscall}: ${code}${detail === '' ? '' : ` (${detail})`}`);
    this.name = 'NetlinkSocketError';
    this.code = code;
    this.syscall = syscall;
  }
}
