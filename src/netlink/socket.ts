// NetlinkSocket: the production transport, an AF_NETLINK socket read by recvmmsg through koffi on libuv's own poll.
//
// Invariants: one arena of JavaScript-owned memory holds the mmsghdr array and the receive slots; the kernel writes
// into it only during recvmmsg. The poll handle stays referenced (a collected one stops silently). No exception
// leaves the poll callback (it would be lost and polling with it): it is thrown again outside, which ends the
// process. Socket errors arrive as status EBADF and stop the handle: the queue is drained and it is
// started again. A loss is told once the queue is known to be empty, however many reads that takes.
// Only datagrams of the kernel (nl_pid 0) are believed.
// Reference: netlink(7), recvmmsg(2), socket(7).

import koffi from 'koffi';
import { assertLittleEndian } from '../lib/bytes.ts';
import {
  bindCall,
  closeFd,
  errnoName,
  getsocknameCall,
  getsockoptCall,
  recvmmsgCall,
  SOCK_RAW_NONBLOCK_CLOEXEC,
  sendCall,
  setsockoptCall,
  socketCall,
  withNetns,
} from '../lib/libc.ts';
import type { MalformedCounts } from './message.ts';
import { MessageBatch } from './message.ts';
import type { NetlinkTransport, TransportCapabilities, TransportCounters, TransportReceiver } from './transport.ts';
import { NetlinkSocketError } from './transport.ts';
import * as k from './uapi.ts';

const EINTR = 4;
const EAGAIN = 11;
const ENOBUFS = 105;
/** libuv's name for "the descriptor has an error", which on netlink is the overrun. */
const UV_EBADF = -9;

const SIZEOF_MMSGHDR = 64;
const SIZEOF_IOVEC = 16;
const SIZEOF_SOCKADDR = 16;
/** Wake-ups that follow each other closer than this, so many in a row, are a storm. */
const STORM_GAP_MS = 0.5;
const STORM_WAKES = 16;
const STEP_MS = 1;
/** recvmmsg rounds of one wake-up: enough to drain a burst, few enough to let timers run. */
const ROUNDS = 16;

export interface NetlinkSocketOptions {
  /** Namespace path to open the socket in; absent for the own one. */
  readonly netns?: string | undefined;
  /** RTNLGRP_* numbers. */
  readonly groups?: readonly number[];
  /** Also these, where the kernel has them; see `missingGroups`. */
  readonly optionalGroups?: readonly number[];
  /** Wanted receive queue in bytes as given to SO_RCVBUFFORCE; the kernel doubles it. Default 64 MiB. */
  readonly receiveBuffer?: number;
  /** Bytes of one datagram; dumps need 32 KiB. Default 16 KiB. */
  readonly slotSize?: number;
  /** Datagrams of one recvmmsg. Default 64. */
  readonly slots?: number;
  readonly malformed?: MalformedCounts;
  /**
   * Read a storm of messages in steps of a millisecond instead of waking for each: the wake-ups cost both the
   * sender (an interrupt to the other core) and us. What comes alone is read at once. Default false.
   */
  readonly moderate?: boolean;
  /** False lets the process end while the socket is open. Default true. */
  readonly keepAlive?: boolean;
}

/** koffi hands the libuv status over first, which its declaration leaves out. */
type PollCallback = (status: number, events: unknown) => void;

export class NetlinkSocket implements NetlinkTransport {
  readonly fd: number;
  readonly portId: number;
  readonly capabilities: TransportCapabilities;
  readonly counters: TransportCounters = { datagrams: 0, bytes: 0, overruns: 0, truncated: 0, foreign: 0 };
  /** Receive queue that the kernel granted, in bytes (doubled, as it counts). */
  readonly receiveBuffer: number;
  /** False when SO_RCVBUFFORCE was refused (no CAP_NET_ADMIN) and net.core.rmem_max limited us. */
  readonly receiveBufferForced: boolean;
  /** Optional groups that this kernel does not have. */
  readonly missingGroups: readonly number[];

  readonly #batch: MessageBatch;
  readonly #arena: Uint8Array;
  readonly #words: Uint32Array;
  readonly #slots: number;
  readonly #slotSize: number;
  readonly #slotStride: number;
  readonly #slotBase: number;
  readonly #nameBase: number;
  readonly #keepAlive: boolean;
  #handle: ReturnType<typeof koffi.node.poll> | undefined;
  #receiver: TransportReceiver | undefined;
  #lost: string | undefined;
  #closed = false;
  readonly #moderate: boolean;
  #wakes = 0;
  #wokenAt = 0;
  #step: NodeJS.Timeout | undefined;
  #goOn: NodeJS.Immediate | undefined;

  /** Opens, configures and binds the socket. Throws NetlinkSocketError, or the error of entering the namespace. */
  constructor(options: NetlinkSocketOptions = {}) {
    assertLittleEndian();
    this.fd = withNetns(options.netns, () => socketCall(k.AF_NETLINK, SOCK_RAW_NONBLOCK_CLOEXEC, k.NETLINK_ROUTE));
    if (this.fd < 0) throw new NetlinkSocketError('socket', errnoName(koffi.errno()));
    try {
      const forced = this.#setOption(k.SOL_SOCKET, k.SO_RCVBUFFORCE, options.receiveBuffer ?? 64 << 20);
      if (!forced && !this.#setOption(k.SOL_SOCKET, k.SO_RCVBUF, options.receiveBuffer ?? 64 << 20)) {
        throw new NetlinkSocketError('setsockopt SO_RCVBUF', errnoName(koffi.errno()));
      }
      this.receiveBufferForced = forced;
      this.receiveBuffer = this.#getOption(k.SO_RCVBUF, 1)[0] ?? 0;
      this.#setOption(k.SOL_NETLINK, k.NETLINK_CAP_ACK, 1);
      this.capabilities = {
        overrun: true,
        anyGroup: true,
        extendedAck: this.#setOption(k.SOL_NETLINK, k.NETLINK_EXT_ACK, 1),
        strictCheck: this.#setOption(k.SOL_NETLINK, k.NETLINK_GET_STRICT_CHK, 1),
        netns: true,
      };
      const address = new Uint8Array(12);
      address[0] = k.AF_NETLINK;
      if (bindCall(this.fd, address, 12) !== 0) throw new NetlinkSocketError('bind', errnoName(koffi.errno()));
      if (getsocknameCall(this.fd, address, new Uint32Array([12])) !== 0) {
        throw new NetlinkSocketError('getsockname', errnoName(koffi.errno()));
      }
      this.portId = new DataView(address.buffer).getUint32(4, true);
      for (const group of options.groups ?? []) this.join(group);
      this.missingGroups = (options.optionalGroups ?? []).filter((group) => !this.#joinIfKnown(group));
    } catch (error) {
      closeFd(this.fd);
      throw error;
    }
    this.#keepAlive = options.keepAlive ?? true;
    this.#moderate = options.moderate ?? false;
    this.#slots = options.slots ?? 64;
    this.#slotSize = options.slotSize ?? 16384;
    // Slots a power of two apart would share the same few cache lines: their heads are read one after the other.
    this.#slotStride = this.#slotSize + 192;
    this.#nameBase = this.#slots * (SIZEOF_MMSGHDR + SIZEOF_IOVEC);
    this.#slotBase = this.#nameBase + this.#slots * SIZEOF_SOCKADDR;
    this.#arena = new Uint8Array(this.#slotBase + this.#slots * this.#slotStride);
    this.#words = new Uint32Array(this.#arena.buffer);
    this.#batch = new MessageBatch(this.#arena, this.#slots, options.malformed);
    this.#layOut();
  }

  /** Writes the mmsghdr and iovec arrays. Backing stores do not move, so the addresses hold as long as the arena. */
  #layOut(): void {
    const base = koffi.address(this.#arena);
    const view = new DataView(this.#arena.buffer);
    for (let i = 0; i < this.#slots; i++) {
      const header = i * SIZEOF_MMSGHDR;
      const vector = this.#slots * SIZEOF_MMSGHDR + i * SIZEOF_IOVEC;
      view.setBigUint64(header, base + BigInt(this.#nameBase + i * SIZEOF_SOCKADDR), true);
      view.setUint32(header + 8, SIZEOF_SOCKADDR, true);
      view.setBigUint64(header + 16, base + BigInt(vector), true);
      view.setBigUint64(header + 24, 1n, true);
      view.setBigUint64(vector, base + BigInt(this.#slotBase + i * this.#slotStride), true);
      view.setBigUint64(vector + 8, BigInt(this.#slotSize), true);
    }
  }

  #setOption(level: number, name: number, value: number): boolean {
    return setsockoptCall(this.fd, level, name, new Int32Array([value]), 4) === 0;
  }

  #getOption(name: number, words: number): Uint32Array {
    const value = new Uint32Array(words);
    const size = new Uint32Array([4 * words]);
    return getsockoptCall(this.fd, k.SOL_SOCKET, name, value, size) === 0 ? value : new Uint32Array(words);
  }

  /** Joins a multicast group. Throws when the kernel does not know it. */
  join(group: number): void {
    if (this.#joinIfKnown(group)) return;
    throw new NetlinkSocketError('setsockopt NETLINK_ADD_MEMBERSHIP', 'EINVAL', `group ${group}`);
  }

  /** False when the kernel does not know the group. Throws on any other refusal. */
  #joinIfKnown(group: number): boolean {
    if (this.#setOption(k.SOL_NETLINK, k.NETLINK_ADD_MEMBERSHIP, group)) return true;
    const code = errnoName(koffi.errno());
    if (code === 'EINVAL') return false;
    throw new NetlinkSocketError('setsockopt NETLINK_ADD_MEMBERSHIP', code, `group ${group}`);
  }

  drops(): number {
    return this.#closed ? 0 : (this.#getOption(k.SO_MEMINFO, 9)[k.SK_MEMINFO_DROPS] ?? 0);
  }

  send(messages: Uint8Array): void {
    if (this.#closed) throw new NetlinkSocketError('send', 'EBADF', 'closed');
    for (;;) {
      if (sendCall(this.fd, messages, messages.length, 0) === messages.length) return;
      const errno = koffi.errno();
      if (errno !== EINTR) throw new NetlinkSocketError('send', errnoName(errno));
    }
  }

  start(receiver: TransportReceiver): void {
    if (this.#receiver !== undefined) throw new Error('the netlink socket is already started');
    this.#receiver = receiver;
    const handle = koffi.node.poll(this.fd, { readable: true }, this.#onReadable as never);
    this.#handle = handle;
    if (!this.#keepAlive) handle.unref();
  }

  /** Bound once, so that the handle and the restart use the same function. */
  readonly #onReadable: PollCallback = (status) => {
    try {
      if (this.#closed) return;
      if (status < 0 && status !== UV_EBADF) {
        this.#receiver?.onFailed(new NetlinkSocketError('poll', errnoName(status)));
        return;
      }
      try {
        this.receive();
      } finally {
        if (status < 0 && !this.#closed) this.#poll();
      }
      if (this.#moderate && this.#isStorm()) this.#moderateFor();
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
    }
  };

  #poll(): void {
    this.#handle?.start({ readable: true }, this.#onReadable as never);
  }

  /** Whether this wake-up is one of many that follow each other closely. */
  #isStorm(): boolean {
    const now = performance.now();
    this.#wakes = now - this.#wokenAt < STORM_GAP_MS ? this.#wakes + 1 : 0;
    this.#wokenAt = now;
    return this.#wakes >= STORM_WAKES;
  }

  /** Reads in steps, without being woken in between, until a step finds nothing. */
  #moderateFor(): void {
    if (this.#closed) return;
    this.#wakes = 0;
    this.#handle?.stop();
    this.#step = setTimeout(() => {
      this.#step = undefined;
      if (this.#closed) return;
      const before = this.counters.datagrams;
      this.receive();
      if (this.#closed) return;
      if (this.counters.datagrams > before) this.#moderateFor();
      else this.#poll();
    }, STEP_MS);
  }

  /** Whether messages may wait unread because a storm is read in steps, or a loss that is known waits to be told. */
  get moderating(): boolean {
    return this.#step !== undefined || this.#lost !== undefined;
  }

  /** Reads what is queued, up to the round limit. The poll calls it; owners may, to catch up at a chosen moment. */
  receive(): void {
    for (let round = 0; round < ROUNDS && !this.#closed; round++) {
      const count = recvmmsgCall(this.fd, this.#arena, this.#slots, 0, null);
      if (count > 0) this.#deliver(count);
      if (count === this.#slots) continue;
      const errno = count < 0 ? koffi.errno() : EAGAIN;
      if (errno === ENOBUFS) {
        this.counters.overruns++;
        this.#lost = 'overrun';
        continue;
      }
      if (errno === EINTR) continue;
      // A short vector means that the queue ended or an error waits; the poll tells of the latter. Only a loss needs
      // proof that the queue is empty.
      if (count > 0 && this.#lost !== undefined) continue;
      if (count > 0) return;
      if (errno === EAGAIN) this.#queueEmpty();
      else this.#receiver?.onFailed(new NetlinkSocketError('recvmmsg', errnoName(errno)));
      return;
    }
    // The poll wakes nobody for a queue that has just been read empty, and the kernel drops in silence until it is known to be.
    if (this.#lost !== undefined && !this.#closed) this.#goOn ??= setImmediate(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#goOn = undefined;
    if (!this.#closed) this.receive();
  };

  #queueEmpty(): void {
    const cause = this.#lost;
    if (cause === undefined) return;
    this.#lost = undefined;
    this.#receiver?.onOverrun(cause);
  }

  #deliver(count: number): void {
    const batch = this.#batch;
    const words = this.#words;
    batch.datagrams = 0;
    for (let i = 0; i < count; i++) {
      const header = (i * SIZEOF_MMSGHDR) >> 2;
      const length = words[header + 14] as number;
      this.counters.datagrams++;
      this.counters.bytes += length;
      if (words[((this.#nameBase + i * SIZEOF_SOCKADDR) >> 2) + 1] !== 0) {
        this.counters.foreign++;
      } else if (((words[header + 12] as number) & k.MSG_TRUNC) !== 0) {
        this.counters.truncated++;
        this.#lost = 'truncated datagram';
      } else {
        const start = this.#slotBase + i * this.#slotStride;
        batch.add(start, start + length);
      }
    }
    if (batch.datagrams > 0) this.#receiver?.onBatch(batch);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#step);
    this.#step = undefined;
    clearImmediate(this.#goOn);
    this.#handle?.close();
    this.#handle = undefined;
    closeFd(this.fd);
  }
}
