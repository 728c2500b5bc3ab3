// FakeTransport: a transport whose kernel is the test: it sees what was sent and says what comes back.

import { MalformedCounts, MessageBatch, MessageWriter } from '../../../src/netlink/message.ts';
import type { NetlinkTransport, TransportReceiver } from '../../../src/netlink/transport.ts';
import * as k from '../../../src/netlink/uapi.ts';

export interface Sent {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

export class FakeTransport implements NetlinkTransport {
  readonly fd = -1;
  readonly portId = 1;
  readonly capabilities;
  readonly counters = { datagrams: 0, bytes: 0, overruns: 0, truncated: 0, foreign: 0 };
  readonly sent: Sent[] = [];
  readonly malformed: MalformedCounts;
  closed = false;
  dropped = 0;
  receiver: TransportReceiver | undefined;
  /** Answers what was just sent. */
  onSent: (sent: Sent) => void = () => undefined;

  constructor(options: { overrun?: boolean; malformed?: MalformedCounts } = {}) {
    this.capabilities = {
      overrun: options.overrun ?? true,
      anyGroup: true,
      strictCheck: true,
      extendedAck: true,
      netns: true,
    };
    this.malformed = options.malformed ?? new MalformedCounts();
  }

  start(receiver: TransportReceiver): void {
    this.receiver = receiver;
  }

  send(messages: Uint8Array): void {
    const view = new DataView(messages.buffer, messages.byteOffset);
    const sent = {
      type: view.getUint16(4, true),
      flags: view.getUint16(6, true),
      sequence: view.getUint32(8, true),
      body: messages.slice(k.NLMSG_HDRLEN),
    };
    this.sent.push(sent);
    this.onSent(sent);
  }

  drops(): number {
    return this.dropped;
  }

  close(): void {
    this.closed = true;
  }

  /** One datagram with the messages that `write` writes. */
  say(write: (writer: MessageWriter) => void): void {
    const writer = new MessageWriter();
    write(writer);
    const batch = new MessageBatch(writer.written.slice(), 1, this.malformed);
    batch.add(0, batch.bytes.length);
    this.receiver?.onBatch(batch);
  }

  /** NLMSG_DONE, or with `errno` its failure. */
  done(sequence: number, errno = 0, flags = 0): void {
    this.say((w) =>
      w
        .begin(k.NLMSG_DONE, k.NLM_F_MULTI | flags, sequence)
        .u32(-errno >>> 0)
        .finish(),
    );
  }

  /** NLMSG_ERROR with the header of the request behind it, as NETLINK_CAP_ACK leaves it. */
  error(sent: Sent, errno: number): void {
    this.say((w) => {
      w.begin(k.NLMSG_ERROR, k.NLM_F_CAPPED, sent.sequence).u32(-errno >>> 0);
      w.u32(16 + sent.body.length)
        .u16(sent.type)
        .u16(sent.flags)
        .u32(sent.sequence)
        .u32(0)
        .finish();
    });
  }
}

/** Writes an IPv4 route `10.<n>.0.0/16 dev 3`. */
export function route(w: MessageWriter, type: number, n: number, flags = 0, sequence = 0): void {
  w.begin(type, flags, sequence).u8(2).u8(16).u8(0).u8(0).u8(254).u8(4).u8(0).u8(1).u32(0);
  w.attrBytes(k.RTA_DST, new Uint8Array([10, n, 0, 0]))
    .attrU32(k.RTA_OIF, 3)
    .finish();
}
