// RtnlDumper: dumps of kernel tables, streamed as batches, one after the other on a socket of their own.
//
// Invariants: one dump at a time; each ends. A dump is complete only if the kernel ended it with NLMSG_DONE without
// error and no part, DONE included, carried NLM_F_DUMP_INTR. EBUSY is tried again. A filter that names a table or a
// device which is not there selects nothing: that is a complete dump of nothing. Batches may also hold the DONE.
// A kernel without the family of a request answers with all families that it has: none of that is handed out, and the
// dump is a complete one of nothing (`absent`).
// Reference: netlink(7); NETLINK_GET_STRICT_CHK in linux/netlink.h for filters.

import type { MessageBatch } from './message.ts';
import { MessageWriter, walkMessages } from './message.ts';
import { isMrouteFamily } from './mroute.ts';
import { readError } from './request.ts';
import type { NetlinkTransport } from './transport.ts';
import * as k from './uapi.ts';

const EBUSY = 16;
const ENODEV = 19;
const ENOENT = 2;
const ETIMEDOUT = 110;
const ENOBUFS = 105;
const ECANCELED = 125;
/** Ends of a dump that are ours and not the kernel's. */
const OUR_OWN: readonly number[] = [ENOBUFS, ECANCELED, ETIMEDOUT];
const BUSY_TRIES = 10;
const BUSY_DELAY_MS = 20;

/** Which objects of a kind a dump asks for; the kernel filters. */
export interface DumpFilter {
  /** AF_INET, AF_INET6, AF_MPLS, RTNL_FAMILY_IPMR, RTNL_FAMILY_IP6MR, or 0 for all. */
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
  /** The kernel does not know the family and showed others instead: nothing of the wanted one exists. */
  readonly absent: boolean;
}

/** How the kernel says that it has neither the message type nor a table for it. */
const EOPNOTSUPP = 95;

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
    case k.RTM_GETRULE:
      w.u8(family).u8(0).u16(0).u32(0).u32(0);
      break;
    case k.RTM_GETNETCONF:
      w.u8(family).u8(0).u16(0);
      break;
    default:
      throw new RangeError(`no dump of message type ${type}`);
  }
}

/** Requests that a kernel without the family answers with all families that it has (rtnl_dump_all). */
const DUMPS_ALL: readonly number[] = [k.RTM_GETROUTE, k.RTM_GETADDR, k.RTM_GETNETCONF];
const NOTHING_OF_IT: DumpResult = {
  complete: true,
  interrupted: false,
  error: 0,
  reason: '',
  messages: 0,
  absent: true,
};

/** The family of the first rtnetlink message, undefined when there is none. */
function firstFamily(batch: MessageBatch): number | undefined {
  let family: number | undefined;
  walkMessages(batch, (type, _flags, offset, length) => {
    if (family === undefined && type >= k.RTM_BASE && length > k.NLMSG_HDRLEN) {
      family = batch.bytes[offset + k.NLMSG_HDRLEN];
    }
    return true;
  });
  return family;
}

function encodeRequest(type: number, filter: DumpFilter): Uint8Array {
  const writer = new MessageWriter(128).begin(type, k.NLM_F_REQUEST | k.NLM_F_DUMP);
  encodeFilter(writer, type, filter);
  return writer.finish().written;
}

type BatchHandler = (batch: MessageBatch) => void;

interface Running {
  readonly type: number;
  /** The one asked for, 0 for all. */
  readonly family: number;
  /** Whether the first message was of another family. */
  foreignFamily: boolean;
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
  /** Multicast families that were answered with others: a kernel does not learn them while it runs. */
  readonly #absent = new Set<number>();

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
    const request = encodeRequest(type, filter);
    const result = this.#last.then(() => this.#askOnce(type, filter, request, onBatch));
    this.#last = result;
    return result;
  }

  /** To be shown all families costs as much as all tables are long, so it is avoided where it can be known before. */
  async #askOnce(type: number, filter: DumpFilter, request: Uint8Array, onBatch: BatchHandler): Promise<DumpResult> {
    const { family } = filter;
    if (type === k.RTM_GETROUTE && this.#absent.has(family)) return NOTHING_OF_IT;
    if (type === k.RTM_GETROUTE && family === k.AF_MPLS) {
      // Its settings come and go with the module that routes, and of those there are few in any family.
      const settings = { family };
      const probe = encodeRequest(k.RTM_GETNETCONF, settings);
      const { error, absent } = await this.#tryDump(k.RTM_GETNETCONF, settings, probe, () => undefined);
      if (absent || error === EOPNOTSUPP) return NOTHING_OF_IT;
    }
    const result = await this.#tryDump(type, filter, request, onBatch);
    if (result.absent && isMrouteFamily(family)) this.#absent.add(family);
    return result;
  }

  async #tryDump(type: number, filter: DumpFilter, request: Uint8Array, onBatch: BatchHandler): Promise<DumpResult> {
    const filtered = filter.table !== undefined || filter.oif !== undefined;
    for (let attempt = 1; ; attempt++) {
      const result = await this.#once(type, filter.family, request, onBatch);
      if (filtered && (result.error === ENOENT || result.error === ENODEV)) {
        return { ...result, complete: !result.interrupted, error: 0 };
      }
      if (result.error !== EBUSY || attempt === BUSY_TRIES) return result;
      await new Promise((resolve) => setTimeout(resolve, BUSY_DELAY_MS));
    }
  }

  #once(type: number, family: number, request: Uint8Array, onBatch: BatchHandler): Promise<DumpResult> {
    return new Promise((finish) => {
      if (this.#closed) {
        finish({ complete: false, interrupted: false, error: ECANCELED, reason: 'closed', messages: 0, absent: false });
        return;
      }
      this.#sequence = (this.#sequence % 0x7fffffff) + 1;
      const sequence = this.#sequence;
      new DataView(request.buffer, request.byteOffset).setUint32(8, sequence, true);
      const watchdog = setInterval(() => this.#watch(sequence), this.#timeoutMs);
      const begun = { foreignFamily: false, interrupted: false, messages: 0, seen: 0 };
      this.#running = { type, family, sequence, onBatch, finish, watchdog, ...begun };
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
    const first = running.messages === 0 && running.family !== 0 && DUMPS_ALL.includes(running.type);
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
    if (first && !foreign) {
      const family = firstFamily(batch);
      running.foreignFamily = family !== undefined && family !== running.family;
    }
    // Parts of another dump never share a batch with ours unless ours began after a time-out: drop that batch.
    if (foreign) running.interrupted = true;
    else if (!running.foreignFamily) running.onBatch(batch);
    if (done !== undefined) this.#finish(done.error, done.reason);
  }

  #finish(error: number, reason: string): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    clearInterval(running.watchdog);
    const { interrupted, messages } = running;
    // However such an answer ended, it had nothing of what was asked for. Only our own end is no answer.
    const absent = running.foreignFamily && !OUR_OWN.includes(error);
    if (absent) running.finish({ ...NOTHING_OF_IT, messages });
    else running.finish({ complete: error === 0 && !interrupted, interrupted, error, reason, messages, absent });
  }

  /** Ends the running dump, and those that wait, with ECANCELED. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#finish(ECANCELED, 'closed');
    this.#transport.close();
  }
}
