// ShmTransport: VPP's binary API through its shared memory, by libvppapiclient.
//
// Invariants: one session a process, because libvppapiclient has one; while the last one is not gone, opening says so
// and the owner takes the socket. Nothing here waits for VPP (native/lcpvpp.h). That VPP ended is seen by its process,
// because memory does not tell. What comes from the library is read as from a socket, frames cut anywhere.
// Reference: VPP's src/vpp-api/client/vppapiclient.h.

import { LcpError } from '../lib/errors.ts';
import { errnoName } from '../lib/libc.ts';
import { FrameSplitter } from './frames.ts';
import type { ShmLibrary } from './shmlibrary.ts';
import { STATE, shmLibrary, whenReadable } from './shmlibrary.ts';
import type { TransportCounters, TransportReceiver, VppSession, VppTransport } from './transport.ts';

export interface ShmOptions {
  /** Prefix of VPP's api-segment; '' for none. */
  readonly prefix?: string;
  /** libvppapiclient, by name or path. Default `libvppapiclient.so`. */
  readonly library?: string;
  /** VPP's API socket, by which a VPP that sleeps is woken; '' for none: then it takes up to 10 ms to notice a message. */
  readonly socket?: string;
  /** How long opening may take. Default 12,000: libvppapiclient tries for ten seconds. */
  readonly openTimeoutMs?: number;
}

const EBUSY = 16;
/** Reads of one wake-up: enough to drain a burst, few enough to let timers run. */
const ROUNDS = 16;

export class ShmTransport implements VppTransport {
  readonly kind = 'shm';
  readonly place: string;
  readonly counters: TransportCounters = { sentBytes: 0, receivedBytes: 0, received: 0 };
  readonly #options: ShmOptions;
  readonly #buffer = new Uint8Array(256 << 10);
  readonly #view = new DataView(this.#buffer.buffer);
  readonly #splitter = new FrameSplitter((bytes, view, at, end) => {
    this.counters.received++;
    if (!this.#isClosed) this.#receiver?.onMessage(bytes, view, at, end);
  });
  #library: ShmLibrary | undefined;
  #receiver: TransportReceiver | undefined;
  #isClosed = false;
  #stopReading: (() => void) | undefined;
  #stopWatching: (() => void) | undefined;
  #pending: { resolve: (session: VppSession) => void; reject: (error: LcpError) => void } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ShmOptions = {}) {
    this.#options = options;
    this.place = `shared memory ${options.prefix === undefined || options.prefix === '' ? '' : `${options.prefix}-`}vpe-api`;
  }

  open(clientName: string, receiver: TransportReceiver): Promise<VppSession> {
    if (this.#library !== undefined) throw new Error('the transport is already open');
    this.#receiver = receiver;
    return new Promise((resolve, reject) => {
      const library = shmLibrary();
      const { prefix = '', library: name = 'libvppapiclient.so', socket = '', openTimeoutMs = 12_000 } = this.#options;
      const result = library.open(name, prefix, clientName, socket);
      if (result < 0) {
        const hint = 'the last session in shared memory has not ended; the socket is used';
        throw this.#error(errnoName(result), result === -EBUSY ? hint : undefined);
      }
      this.#library = library;
      this.#pending = { resolve, reject };
      this.#timer = setTimeout(() => this.#fail(this.#error('VPP does not answer')), openTimeoutMs);
      this.#stopReading = whenReadable(library.eventfd(), () => this.#onReadable(library));
    });
  }

  /** Ends the session when this process does; VPP's, of the same pid namespace. */
  watch(pid: number): void {
    const library = this.#library;
    if (library === undefined || this.#isClosed || this.#stopWatching !== undefined) return;
    const fd = library.pidfd(pid);
    // VPP in another pid namespace, or an old kernel: a silent VPP is then found by its silence.
    if (fd < 0) return;
    const stop = whenReadable(fd, () => this.#fail(this.#error('VPP has ended')));
    this.#stopWatching = () => {
      stop();
      library.closeFd(fd);
    };
  }

  send(frames: Uint8Array): void {
    if (this.#library === undefined || this.#isClosed) return;
    const result = this.#library.write(frames, frames.length);
    if (result === 0) this.counters.sentBytes += frames.length;
    // What wrote it is in the middle of something: it hears of the end afterwards.
    else setImmediate(() => this.#fail(this.#error(`cannot send: ${this.#library?.reason() || errnoName(result)}`)));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#stopReading?.();
    this.#stopWatching?.();
    this.#library?.close();
    this.#pending?.reject(this.#error('closed'));
    this.#pending = undefined;
  }

  #onReadable(library: ShmLibrary): void {
    for (let round = 0; round < ROUNDS && !this.#isClosed; round++) {
      // The state first: what was received before the session failed is still read.
      const state = library.state();
      const length = library.read(this.#buffer, this.#buffer.length);
      if (state === STATE.open && this.#pending !== undefined) this.#opened(library);
      if (length > 0) this.#received(length);
      else if (state === STATE.failed) this.#fail(this.#error(library.reason()));
      if (length < this.#buffer.length) return;
    }
  }

  #received(length: number): void {
    this.counters.receivedBytes += length;
    try {
      this.#splitter.push(this.#buffer, this.#view, length);
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      this.#fail(error);
    }
  }

  #opened(library: ShmLibrary): void {
    clearTimeout(this.#timer);
    this.#pending?.resolve({
      // libvppapiclient writes the number of its client into every message.
      clientIndex: 0,
      namesKnown: false,
      idOf(nameCrc) {
        const id = library.messageId(nameCrc);
        return id < 0 ? undefined : id;
      },
      crcOf: () => undefined,
    });
    this.#pending = undefined;
  }

  #error(message: string, hint?: string): LcpError {
    return new LcpError('VPP_CONNECT', {
      op: 'use',
      key: this.place,
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #fail(error: LcpError): void {
    if (this.#isClosed) return;
    const opening = this.#pending;
    this.#pending = undefined;
    this.close();
    if (opening === undefined) this.#receiver?.onClosed(error);
    else opening.reject(error);
  }
}
