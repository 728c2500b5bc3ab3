// RtnlDumper: dumps of kernel tables, streamed as batches, one after the other on a socket of their own.
//
// Invariants: one dump at a time; each ends. A dump is complete only if the kernel ended it with NLMSG_DONE without
// error and no part, DONE included, carried NLM_F_DUMP_INTR. EBUSY is tried again. A filter that names a table or a
// device which is not there selects nothing: that is a complete dump of nothing. Batches may also hold the DONE.
// Reference: netlink(7); NETLINK_GET_STRICT_CHK in linux/netlink.h for filters.

import type { MessageBatch } from './message.ts';
import { MessageWriter, walkMessages } from './message.ts';
import { readError } from './request.ts';
import type { NetlinkTransport } from './transport.ts';
import * as k from './uapi.ts';

const EBUSY = 16;
const ENODEV = 19;
const ENOENT = 2;
const ETIMEDOUT = 110;
const ENOBUFS = 105;
const ECANCELED = 125;
const BUSY_TRIES = 10;
const BUSY_DELAY_MS = 20;

/** Which objects of a kind a dump asks for; the kernel filters. */
export interface DumpFilter {
  /** AF_INET, AF_INET6 or 0 for all. */
  readonly family: number;
  /** Routes of one table. */
  readonly table?: number;
  /** Routes, neighbours, addresses or nexthops of one interface. */
  readonly oif?: number;
}

export interface DumpResult {
  /** Read to its end, without interruption and error: what it did not show does not exist. */
  readonly complete: boolean;
  /** NLM_F_DUMP_INTR was seen: the table changed in a way that may have hidden entries. */
  readonly interrupted: boolean;
  /** errno of the refusal, 0 when none. */
  readonly error: number;
  readonly reason: string;
  /** rtnetlink messages of it. */
  readonly messages: number;
}

/** Writes the request body of a dump: the fixed part of the kind, and its filter. */
function encodeFilter(w: MessageWriter, type: number, filter: DumpFilter): void {
  const { family, table, oif } = filter;
  switch (type) {
    case k.RTM_GETLINK:
      w.u8(family).u8(0).u16(0).u32(0).u32(0).u32(0).attrU32(k.IFLA_EXT_MASK, k.RTEXT_FILTER_SKIP_STATS);
      break;
    case k.RTM_GETADDR:
      w.u8(family)
        .u8(0)
        .u16(0)
        .u32(oif ?? 0);
      break;
    case k.RTM_GETNEIGH:
      w.u8(family).u8(0).u16(0).u32(0).u32(0);
      if (oif !== undefined) w.attrU32(k.NDA_IFINDEX, oif);
      break;
    case k.RTM_GETROUTE:
      w.u8(family).u8(0).u16(0);
      w.u8(table === undefined ? 0 : table > 255 ? k.RT_TABLE_COMPAT : table);
      w.u8(0).u16(0).u32(0);
      if (table !== undefined) w.attrU32(k.RTA_TABLE, table);
      if (oif !== undefined) w.attrU32(k.RTA_OIF, oif);
      break;
    case k.RTM_GETNEXTHOP:
      w.u8(family).u8(0).u16(0).u32(0);
      if (oif !== undefined) w.attrU32(k.NHA_OIF, oif);
      break;
    case k.RTM_GETNETCONF:
      w.u8(family).u8(0).u16(0);
      break;
    default:
      throw new RangeError(`no dump of message type ${type}`);
  }
}

type BatchHandler = (batch: MessageBatch) => void;

interface Running {
  readonly type: number;
  readonly sequence: number;
  readonly onBatch: BatchHandler;
  readonly finish: (result: DumpResult) => void;
  interrupted: boolean;
  messages: number;
  /** Total at the last look of the watchdog. */
  seen: number;
  watchdog: NodeJS.Timeout;
}

export class RtnlDumper {
  readonly #transport: NetlinkTransport;
  readonly #timeoutMs: number;
  #running: Running | undefined;
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * Takes the transport over: it must not be started, and is closed by {@link close}.
   *
   * @param options.timeoutMs a dump that brings nothing for so long has failed. Default 30 s
   */
  constructor(transport: NetlinkTransport, options: { readonly timeoutMs?: number } = {}) {
    this.#transport = transport;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    transport.start({
      onBatch: (batch) => this.#onBatch(batch),
      onOverrun: (cause) => this.#finish(ENOBUFS, cause),
      onFailed: (error) => this.#finish(ECANCELED, error.message),
    });
  }

  /**
   * Runs a dump after those asked for before. The result never rejects: what went wrong is in it. Throws RangeError
   * for a message type that has no dump.
   */
  dump(type: number, filter: DumpFilter, onBatch: BatchHandler): Promise<DumpResult> {
    const writer = new MessageWriter(128).begin(type, k.NLM_F_REQUEST | k.NLM_F_DUMP);
    encodeFilter(writer, type, filter);
    const request = writer.finish().written;
    const filtered = filter.table !== undefined || filter.oif !== undefined;
    const result = this.#last.then(() => this.#tryDump(type, request, filtered, onBatch));
    this.#last = result;
    return result;
  }

  async #tryDump(type: number, request: Uint8Array, filtered: boolean, onBatch: BatchHandler): Promise<DumpResult> {
    for (let attempt = 1; ; attempt++) {
      const result = await this.#once(type, request, onBatch);
      if (filtered && (result.error === ENOENT || result.error === ENODEV)) {
        return { ...result, complete: !result.interrupted, error: 0 };
      }
      if (result.error !== EBUSY || attempt === BUSY_TRIES) return result;
      await new Promise((resolve) => setTimeout(resolve, BUSY_DELAY_MS));
    }
  }

  #once(type: number, request: Uint8Array, onBatch: BatchHandler): Promise<DumpResult> {
    return new Promise((finish) => {
      if (this.#closed) {
        finish({ complete: false, interrupted: false, error: ECANCELED, reason: 'closed', messages: 0 });
        return;
      }
      this.#sequence = (this.#sequence % 0x7fffffff) + 1;
      const sequence = this.#sequence;
      new DataView(request.buffer, request.byteOffset).setUint32(8, sequence, true);
      const watchdog = setInterval(() => this.#watch(sequence), this.#timeoutMs);
      this.#running = { type, sequence, onBatch, finish, interrupted: false, messages: 0, seen: 0, watchdog };
      try {
        this.#transport.send(request);
      } catch (error) {
        this.#finish(ECANCELED, (error as Error).message);
      }
    });
  }

  #watch(sequence: number): void {
    const running = this.#running;
    if (running === undefined || running.sequence !== sequence) return;
    if (running.messages === running.seen) this.#finish(ETIMEDOUT, 'no progress');
    else running.seen = running.messages;
  }

  #onBatch(batch: MessageBatch): void {
    const running = this.#running;
    if (running === undefined) return;
    let done: { error: number; reason: string } | undefined;
    let foreign = false;
    walkMessages(batch, (type, flags, offset, length) => {
      // Late parts of a dump that timed out have another number.
      if (batch.u32[(offset >> 2) + 2] !== running.sequence) {
        foreign = true;
        return true;
      }
      if ((flags & k.NLM_F_DUMP_INTR) !== 0) running.interrupted = true;
      if (type >= k.RTM_BASE) {
        running.messages++;
      } else if (type === k.NLMSG_DONE || type === k.NLMSG_ERROR) {
        const error = readError(batch, offset, length, flags, running.type);
        done = { error: error?.errno ?? 0, reason: error?.reason ?? '' };
      } else if (type === k.NLMSG_OVERRUN) {
        done = { error: ENOBUFS, reason: 'NLMSG_OVERRUN' };
      }
      return true;
    });
    batch.fromDump = true;
    // Parts of another dump never share a batch with ours unless ours began after a time-out: drop that batch.
    if (foreign) running.interrupted = true;
    else running.onBatch(batch);
    if (done !== undefined) this.#finish(done.error, done.reason);
  }

  #finish(error: number, reason: string): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    clearInterval(running.watchdog);
    const { interrupted, messages } = running;
    running.finish({ complete: error === 0 && !interrupted, interrupted, error, reason, messages });
  }

  /** Ends the running dump, and those that wait, with ECANCELED. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#finish(ECANCELED, 'closed');
    this.#transport.close();
  }
}
