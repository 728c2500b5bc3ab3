// NodeNetlinkTransport: a transport over the npm package node-netlink, for small volumes without koffi's poll.
//
// Invariants: requests go one at a time, because the package numbers them itself and we put our number back into the
// answers. It goes deaf at the first overrun without telling (`capabilities.overrun` is false), copies a dump for
// each of its messages, prints two warnings for each notification that answers somebody else's request, and opens
// its socket on a pool thread, so only in our own namespace. Each open socket occupies one of libuv's four pool threads
// for good, so two are the most that leave room to send. The package is optional and stays a separate package.
// Reference: node-netlink 0.0.4 (LGPL-2.1), used unmodified.

import { MalformedCounts, MessageBatch, MessageWriter } from './message.ts';
import type { NetlinkTransport, TransportCapabilities, TransportCounters, TransportReceiver } from './transport.ts';
import { NetlinkSocketError } from './transport.ts';
import * as k from './uapi.ts';

interface Packet {
  readonly header: {
    readonly nlmsg_type: bigint;
    readonly nlmsg_flags: bigint;
    readonly nlmsg_seq?: bigint;
    readonly nlmsg_pid?: bigint;
  };
  readonly payload: Buffer;
}

/** What we use of the package, which has no declarations. */
interface PackageSocket {
  readonly nl_pid: bigint;
  tryTalk(message: Packet, options: { timeout: number }): Promise<unknown>;
  close(): Promise<void>;
  on(event: 'message', listener: (packet: Packet) => void): void;
}

interface PackageModule {
  open(options: { family: number; groups: number }): Promise<PackageSocket>;
}

/** Sockets at once; one more than three would block the pool, and with it every send and all file access. */
const MAX_OPEN = 2;
let openCount = 0;
const closing = new Set<Promise<void>>();

/** Longest wait for one answer; the layers above give up earlier. */
const TALK_TIMEOUT_MS = 60_000;

interface Outgoing {
  readonly sequence: number;
  readonly packet: Packet;
}

class NodeNetlinkTransport implements NetlinkTransport {
  readonly fd = -1;
  readonly portId: number;
  readonly capabilities: TransportCapabilities = {
    overrun: false,
    anyGroup: false,
    strictCheck: false,
    extendedAck: false,
    netns: false,
  };
  readonly counters: TransportCounters = { datagrams: 0, bytes: 0, overruns: 0, truncated: 0, foreign: 0 };
  readonly #socket: PackageSocket;
  readonly #malformed: MalformedCounts;
  readonly #outgoing: Outgoing[] = [];
  #current: Outgoing | undefined;
  #receiver: TransportReceiver | undefined;
  #closed = false;

  constructor(socket: PackageSocket, malformed: MalformedCounts) {
    this.#socket = socket;
    this.#malformed = malformed;
    this.portId = Number(socket.nl_pid);
    socket.on('message', (packet) => this.#onPacket(packet));
  }

  start(receiver: TransportReceiver): void {
    if (this.#receiver !== undefined) throw new Error('the netlink transport is already started');
    this.#receiver = receiver;
  }

  send(messages: Uint8Array): void {
    if (this.#closed) throw new NetlinkSocketError('send', 'EBADF', 'closed');
    const view = new DataView(messages.buffer, messages.byteOffset, messages.length);
    for (let at = 0; at + k.NLMSG_HDRLEN <= messages.length; ) {
      const length = view.getUint32(at, true);
      if (length < k.NLMSG_HDRLEN || at + length > messages.length) throw new NetlinkSocketError('send', 'EINVAL');
      this.#outgoing.push({
        sequence: view.getUint32(at + 8, true),
        packet: {
          header: {
            nlmsg_type: BigInt(view.getUint16(at + 4, true)),
            // The package insists on the ack, which a dump never sends.
            nlmsg_flags: BigInt(view.getUint16(at + 6, true) | k.NLM_F_ACK),
          },
          payload: Buffer.from(messages.slice(at + k.NLMSG_HDRLEN, at + length)),
        },
      });
      at += (length + 3) & ~3;
    }
    this.#pump();
  }

  #pump(): void {
    if (this.#current !== undefined || this.#closed) return;
    const next = this.#outgoing.shift();
    if (next === undefined) return;
    this.#current = next;
    this.#socket
      .tryTalk(next.packet, { timeout: TALK_TIMEOUT_MS })
      .catch((error: Error) => {
        if (!this.#closed) this.#receiver?.onFailed(error);
      })
      .finally(() => {
        this.#current = undefined;
        this.#pump();
      });
  }

  #onPacket(packet: Packet): void {
    if (this.#closed) return;
    const { header, payload } = packet;
    const isAnswer = this.#current !== undefined && Number(header.nlmsg_pid ?? 0n) === this.portId;
    const sequence = isAnswer ? (this.#current?.sequence ?? 0) : Number(header.nlmsg_seq ?? 0n);
    const bytes = new MessageWriter(k.NLMSG_HDRLEN + payload.length + 4)
      .begin(Number(header.nlmsg_type), Number(header.nlmsg_flags), sequence)
      .raw(payload)
      .finish().written;
    this.counters.datagrams++;
    this.counters.bytes += bytes.length;
    const batch = new MessageBatch(bytes, 1, this.#malformed);
    batch.add(0, bytes.length);
    this.#receiver?.onBatch(batch);
  }

  drops(): number {
    return 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const end = this.#socket
      .close()
      .catch((error: Error) => process.emitWarning(error))
      .finally(() => {
        openCount--;
        closing.delete(end);
      });
    closing.add(end);
  }
}

/**
 * Opens the fallback transport in our own namespace.
 *
 * @param groups RTNLGRP_* up to 32: the package binds with the 32-bit mask
 * @param load how to get the package; tests hand in another
 * @throws NetlinkSocketError ENOPKG when the package is not installed or does not load, EMFILE beyond two at once
 */
export async function openNodeNetlink(
  groups: readonly number[],
  malformed = new MalformedCounts(),
  load: () => Promise<unknown> = loadPackage,
): Promise<NetlinkTransport> {
  let mask = 0;
  for (const group of groups) {
    if (group < 1 || group > 32) throw new RangeError(`node-netlink cannot join group ${group}: only 1 to 32`);
    mask |= 1 << (group - 1);
  }
  let loaded: PackageModule;
  try {
    loaded = ((await load()) as { default: PackageModule }).default;
  } catch (error) {
    const hint = 'install the optional npm package node-netlink, or use the koffi socket';
    throw new NetlinkSocketError('load node-netlink', 'ENOPKG', `${hint}: ${(error as Error).message}`);
  }
  await Promise.all(closing);
  if (openCount >= MAX_OPEN)
    throw new NetlinkSocketError('open node-netlink', 'EMFILE', `more than ${MAX_OPEN} at once`);
  openCount++;
  try {
    return new NodeNetlinkTransport(await loaded.open({ family: k.NETLINK_ROUTE, groups: mask >>> 0 }), malformed);
  } catch (error) {
    openCount--;
    throw error;
  }
}

function loadPackage(): Promise<unknown> {
  // Named in a variable because the package has no type declarations to resolve.
  const name = 'node-netlink';
  return import(name);
}
