// SocketTransport: VPP's binary API over its unix stream socket.
//
// Invariants: one session, opened by sockclnt_create, whose ids are fixed because they are needed to learn the others.
// Bytes are read into one buffer and handed over in place. Anything that is not a frame, a stream that ends in the
// middle of one, and a first answer that is not the table end the session with VPP_PROTOCOL or VPP_CONNECT.
// Who closes says so before (sockclnt_delete): VPP overlooks the end of a stream where errno still is EAGAIN of something
// else, then turns around the dead descriptor for ever, and hangs when there are sixteen of them.
// Reference: VPP's src/vlibmemory/socket_api.c, src/vlibmemory/memclnt.api.

import { createConnection, type Socket } from 'node:net';
import { LcpError, messageOf, systemErrorOf } from '../lib/errors.ts';
import { sockclntCreate, sockclntCreateReply, sockclntDelete } from './api/memclnt.ts';
import { FrameSplitter, writeFrameHeader } from './frames.ts';
import { HEAD_SIZE, nameCrc } from './message.ts';
import { MessageTable } from './messagetable.ts';
import type { TransportCounters, TransportReceiver, VppSession, VppTransport } from './transport.ts';
import { FRAME_HEADER } from './transport.ts';
import { Wire } from './wire.ts';

/** Ids of the first two messages of every session, in every VPP since 17.10. */
export const SOCKCLNT_CREATE_ID = 15;
export const SOCKCLNT_CREATE_REPLY_ID = 16;

const OPEN_CONTEXT = 0x6c637064;

export interface SocketOptions {
  readonly path: string;
  /** How long opening may take. Default 5000. */
  readonly openTimeoutMs?: number;
  /** Bytes read at once. Default 256 KiB. */
  readonly readBuffer?: number;
}

const connectHints: Readonly<Record<string, string>> = {
  ENOENT: 'VPP does not run, or its startup.conf has no socksvr section, or another socket-name',
  ECONNREFUSED: 'the socket is left of a VPP that has ended; start VPP',
  EACCES: "lcpd may not open the socket: add it to VPP's group (unix { gid } in startup.conf), or run it as root",
};

/** Opening in progress: who is told of its end. */
interface Opening {
  readonly resolve: (session: VppSession) => void;
  readonly reject: (error: LcpError) => void;
  readonly timer: NodeJS.Timeout;
}

export class SocketTransport implements VppTransport {
  readonly kind = 'socket';
  readonly place: string;
  readonly counters: TransportCounters = { sentBytes: 0, receivedBytes: 0, received: 0 };
  readonly #options: SocketOptions;
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  readonly #splitter: FrameSplitter;
  #socket: Socket | undefined;
  #receiver: TransportReceiver | undefined;
  #opening: Opening | undefined;
  /** The frame that ends the session, while there is one. */
  #leave: Uint8Array | undefined;
  #closed = false;

  constructor(options: SocketOptions) {
    this.place = options.path;
    this.#options = options;
    this.#buffer = new Uint8Array(options.readBuffer ?? 256 << 10);
    this.#view = new DataView(this.#buffer.buffer);
    this.#splitter = new FrameSplitter((bytes, view, at, end) => this.#onFrame(bytes, view, at, end));
  }

  open(clientName: string, receiver: TransportReceiver): Promise<VppSession> {
    if (this.#socket !== undefined) throw new Error('the transport is already open');
    this.#receiver = receiver;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(new LcpError('VPP_CONNECT', { op: 'open', key: this.place, message: 'VPP does not answer' }));
      }, this.#options.openTimeoutMs ?? 5000);
      this.#opening = { resolve, reject, timer };
      const onread = { buffer: this.#buffer, callback: (length: number) => this.#onRead(length) };
      const socket = createConnection({ path: this.place, onread });
      this.#socket = socket;
      socket.on('connect', () => this.send(openFrame(clientName)));
      socket.on('error', (error) => this.#onError(error));
      socket.on('close', () => this.#onEnd());
      socket.on('end', () => this.#onEnd());
    });
  }

  send(frames: Uint8Array): void {
    const socket = this.#socket;
    if (socket === undefined || this.#closed) return;
    if (socket.writableCorked === 0) {
      // What is sent in one turn of the event loop leaves by one system call.
      socket.cork();
      process.nextTick(() => socket.uncork());
    }
    this.counters.sentBytes += frames.length;
    socket.write(frames);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#opening?.timer);
    this.#opening?.reject(new LcpError('VPP_CONNECT', { op: 'open', key: this.place, message: 'closed' }));
    this.#opening = undefined;
    this.#takeLeave();
  }

  /** Closes the socket behind what was sent; the kernel keeps it for VPP. */
  #takeLeave(): void {
    const socket = this.#socket;
    if (this.#leave !== undefined && socket?.writable === true) {
      while (socket.writableCorked > 0) socket.uncork();
      socket.write(this.#leave);
    }
    socket?.destroy();
  }

  #onRead(length: number): boolean {
    if (this.#closed) return false;
    this.counters.receivedBytes += length;
    try {
      this.#splitter.push(this.#buffer, this.#view, length);
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      this.#fail(error);
    }
    return !this.#closed;
  }

  #onFrame(bytes: Uint8Array, view: DataView, at: number, end: number): void {
    if (this.#closed) return;
    this.counters.received++;
    if (this.#opening === undefined) this.#receiver?.onMessage(bytes, view, at, end);
    else this.#onOpened(this.#opening, bytes, view, at, end);
  }

  #onOpened(opening: Opening, bytes: Uint8Array, view: DataView, at: number, end: number): void {
    const id = view.getUint16(at);
    if (id !== SOCKCLNT_CREATE_REPLY_ID) throw notATable(`it begins with message ${id}`);
    const wire = new Wire(bytes).aim(at + 2, end);
    const [, context] = [wire.take(4), wire.view.getUint32(wire.take(4))];
    const answer = sockclntCreateReply.body.read(wire);
    if (context !== OPEN_CONTEXT) throw notATable('it answers somebody else');
    if (answer.response !== 0) throw notATable(`VPP refuses with ${answer.response}`);
    const table = new MessageTable(answer.message_table);
    clearTimeout(opening.timer);
    this.#opening = undefined;
    const leaveId = table.idOf(nameCrc(sockclntDelete));
    if (leaveId !== undefined) this.#leave = leaveFrame(leaveId, answer.index);
    opening.resolve({
      clientIndex: answer.index,
      namesKnown: true,
      idOf: (nameCrc) => table.idOf(nameCrc),
      crcOf: (name) => table.crcOf(name),
    });
  }

  #onError(error: Error): void {
    const { code, errno } = systemErrorOf(error);
    const hint = code === undefined ? undefined : connectHints[code];
    this.#fail(
      new LcpError('VPP_CONNECT', {
        op: this.#opening === undefined ? 'use' : 'open',
        key: this.place,
        message: code ?? messageOf(error),
        cause: error,
        ...(errno === undefined ? {} : { errno }),
        ...(hint === undefined ? {} : { hint }),
      }),
    );
  }

  #onEnd(): void {
    const message = this.#splitter.whole ? 'VPP ended the connection' : 'VPP ended the connection inside a message';
    this.#fail(new LcpError('VPP_CONNECT', { op: 'use', key: this.place, message }));
  }

  /** Ends the session for good and tells whoever waits. */
  #fail(error: LcpError): void {
    if (this.#closed) return;
    const opening = this.#opening;
    this.#opening = undefined;
    this.#closed = true;
    this.#takeLeave();
    if (opening === undefined) {
      this.#receiver?.onClosed(error);
      return;
    }
    clearTimeout(opening.timer);
    opening.reject(error);
  }
}

function notATable(message: string): LcpError {
  return new LcpError('VPP_PROTOCOL', { op: 'open', message: `the answer is not a table of messages: ${message}` });
}

/** The frame that opens a session. */
function openFrame(clientName: string): Uint8Array {
  const size = HEAD_SIZE[sockclntCreate.head] + sockclntCreate.body.size;
  const frame = new Uint8Array(FRAME_HEADER + size);
  const wire = new Wire(frame);
  writeFrameHeader(frame, wire.view, 0, size);
  wire.at = FRAME_HEADER;
  wire.view.setUint16(wire.room(2), SOCKCLNT_CREATE_ID);
  wire.view.setUint32(wire.room(4), OPEN_CONTEXT);
  sockclntCreate.body.write(wire, { name: clientName });
  return frame;
}

/** The frame that ends a session. */
function leaveFrame(id: number, index: number): Uint8Array {
  const size = HEAD_SIZE[sockclntDelete.head] + sockclntDelete.body.size;
  const frame = new Uint8Array(FRAME_HEADER + size);
  const wire = new Wire(frame);
  writeFrameHeader(frame, wire.view, 0, size);
  wire.at = FRAME_HEADER;
  wire.view.setUint16(wire.room(2), id);
  wire.view.setUint32(wire.room(4), index);
  wire.room(4);
  sockclntDelete.body.write(wire, { index });
  return frame;
}
