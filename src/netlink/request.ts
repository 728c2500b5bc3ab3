// RtnlRequester: requests that change kernel state, each answered by the kernel's acknowledgement.
//
// Invariants: every request ends: by its ack, by the kernel's refusal, by the time limit, or by the end of the
// socket. At most WINDOW are on their way, because each answer takes receive buffer; the others wait in order. The
// kernel executes requests of one socket in the order sent. Nothing here interprets a refusal as success.
// Reference: netlink(7) NLMSG_ERROR, NETLINK_EXT_ACK.

import { errnoName } from '../lib/libc.ts';
import { AttributeCursor } from './attr.ts';
import type { MessageBatch } from './message.ts';
import { MessageWriter, walkMessages } from './message.ts';
import type { NetlinkTransport } from './transport.ts';
import { NetlinkSocketError } from './transport.ts';
import * as k from './uapi.ts';

const WINDOW = 64;

/** The kernel refused a request, or did not answer it (`code` ETIMEDOUT). */
export class RtnlError extends Error {
  /** errno name: `EEXIST`, `ENODEV`, … */
  readonly code: string;
  readonly errno: number;
  /** The kernel's own words (NLMSGERR_ATTR_MSG), empty when it had none. */
  readonly reason: string;
  /** Byte of the request that it points at (NLMSGERR_ATTR_OFFS), counted from the nlmsghdr. */
  readonly offset: number | undefined;
  readonly messageType: number;

  constructor(messageType: number, errno: number, reason = '', offset?: number) {
    const where = offset === undefined ? '' : ` at byte ${offset}`;
    super(`rtnetlink request ${messageType}: ${errnoName(errno)}${reason === '' ? '' : `: ${reason}`}${where}`);
    this.name = 'RtnlError';
    this.code = errnoName(errno);
    this.errno = Math.abs(errno);
    this.reason = reason;
    this.offset = offset;
    this.messageType = messageType;
  }
}

/** Reads the error and its extended attributes out of the NLMSG_ERROR or NLMSG_DONE at `offset`. */
export function readError(
  batch: MessageBatch,
  offset: number,
  length: number,
  flags: number,
  requestType: number,
): RtnlError | undefined {
  const body = offset + k.NLMSG_HDRLEN;
  if (length < k.NLMSG_HDRLEN + 4) return undefined;
  const errno = -((batch.u32[body >> 2] as number) | 0);
  if (errno === 0) return undefined;
  let attributes = body + 4;
  if ((batch.u16[(offset >> 1) + 2] as number) === k.NLMSG_ERROR) {
    // The request follows the error: whole, or with NETLINK_CAP_ACK only its header.
    const echoed = (flags & k.NLM_F_CAPPED) !== 0 ? k.NLMSG_HDRLEN : (batch.u32[(body + 4) >> 2] as number);
    attributes += (echoed + 3) & ~3;
  }
  let reason = '';
  let at: number | undefined;
  if ((flags & k.NLM_F_ACK_TLVS) !== 0 && attributes <= offset + length) {
    const a = new AttributeCursor(batch, attributes, offset + length);
    while (a.next()) {
      if (a.type === k.NLMSGERR_ATTR_MSG) reason = a.string();
      else if (a.type === k.NLMSGERR_ATTR_OFFS) at = a.u32();
    }
  }
  return new RtnlError(requestType, errno, reason, at);
}

interface Pending {
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  timer: NodeJS.Timeout | undefined;
}

export class RtnlRequester {
  readonly #transport: NetlinkTransport;
  readonly #timeoutMs: number;
  readonly #flying = new Map<number, Pending>();
  readonly #waiting: Pending[] = [];
  #sequence = 0;
  #ended: Error | undefined;

  /** Takes the transport over: it must not be started, and is closed by {@link close}. */
  constructor(transport: NetlinkTransport, options: { readonly timeoutMs?: number } = {}) {
    this.#transport = transport;
    this.#timeoutMs = options.timeoutMs ?? 5000;
    transport.start({
      onBatch: (batch) => {
        walkMessages(batch, (type, flags, offset, length) => this.#onMessage(batch, type, flags, offset, length));
      },
      // Acks may be among the lost messages: whoever waits must ask again.
      onOverrun: (cause) => this.#failAll(() => new NetlinkSocketError('recvmmsg', 'ENOBUFS', cause)),
      onFailed: (error) => this.#end(error),
    });
  }

  /**
   * Sends one request and waits for its ack.
   *
   * @param write writes the body (fixed part and attributes) behind the header
   * @param flags NLM_F_* besides REQUEST and ACK
   * @throws RtnlError (rejection) with the kernel's errno, or ETIMEDOUT
   */
  ack(type: number, flags: number, write: (writer: MessageWriter) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      const writer = new MessageWriter(512).begin(type, flags | k.NLM_F_REQUEST | k.NLM_F_ACK);
      write(writer);
      const bytes = writer.finish().written;
      this.#waiting.push({ type, bytes, resolve, reject, timer: undefined });
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#flying.size < WINDOW && this.#ended === undefined) {
      const request = this.#waiting.shift();
      if (request === undefined) return;
      // 0 is what notifications carry, so it is never one of ours.
      this.#sequence = (this.#sequence % 0x7fffffff) + 1;
      const sequence = this.#sequence;
      new DataView(request.bytes.buffer, request.bytes.byteOffset).setUint32(8, sequence, true);
      this.#flying.set(sequence, request);
      request.timer = setTimeout(() => this.#settle(sequence, new RtnlError(request.type, 110)), this.#timeoutMs);
      try {
        this.#transport.send(request.bytes);
      } catch (error) {
        this.#settle(sequence, error as Error);
      }
    }
  }

  #onMessage(batch: MessageBatch, type: number, flags: number, offset: number, length: number): boolean {
    if (type !== k.NLMSG_ERROR) return true;
    if (length < k.NLMSG_HDRLEN + 4) return false;
    const sequence = batch.u32[(offset >> 2) + 2] as number;
    const request = this.#flying.get(sequence);
    if (request === undefined) return true;
    this.#settle(sequence, readError(batch, offset, length, flags, request.type));
    return true;
  }

  #settle(sequence: number, error: Error | undefined): void {
    const request = this.#flying.get(sequence);
    if (request === undefined) return;
    this.#flying.delete(sequence);
    clearTimeout(request.timer);
    if (error === undefined) request.resolve();
    else request.reject(error);
    this.#pump();
  }

  #failAll(error: () => Error): void {
    for (const sequence of [...this.#flying.keys()]) this.#settle(sequence, error());
  }

  #end(error: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#failAll(() => error);
    for (const request of this.#waiting.splice(0)) request.reject(error);
    this.#transport.close();
  }

  /** Requests without an answer so far are rejected with ECANCELED. */
  close(): void {
    this.#end(new NetlinkSocketError('send', 'ECANCELED', 'closed'));
  }
}
