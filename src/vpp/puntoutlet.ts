// PuntOutlet: frames that leave by an interface of VPP as they are, by VPP's punt socket.
//
// Invariants: frames leave in the order in which they came, whole or not at all: VPP reads one into a buffer of its own and cuts off
// what does not fit. VPP's socket has room for a few (net.unix.max_dgram_qlen), so that what it does not take waits here, up to
// a limit, and is tried again until it is taken. Reference: VPP's src/vnet/ip/punt_node.c; unix(7).

import { UnixDatagram } from '../lib/unixdatagram.ts';

/** struct punt_packetdesc_t: sw_if_index, action; in the byte order of the host. */
export const DESCRIPTOR = 8;
const PUNT_L2 = 0;
const EAGAIN = 11;
/** Until VPP is asked again. */
const RETRY_MS = 1;
/** Bytes that may wait. */
const MOST_WAITING = 512 * 1024;
/** Of one of VPP's buffers, unless its startup.conf says otherwise (buffers { default data-size }). */
export const USUAL_DATA_SIZE = 2048;

/** What became of a frame: `sent` also where it waits. */
export type OutletFate = 'sent' | 'too-long' | 'send-failed';

export class PuntOutlet {
  readonly #socket = new UnixDatagram();
  readonly #server: Uint8Array;
  readonly #mostBytes: number;
  readonly #onLost: () => void;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * `server` is the address (unixAddress) of VPP's socket, `mostBytes` what a buffer of VPP holds; `onLost` is told of a frame that
   * was said to be sent and was not. Throws an Error with the reason.
   */
  constructor(server: Uint8Array, mostBytes: number, onLost: () => void) {
    this.#server = server;
    this.#mostBytes = mostBytes;
    this.#onLost = onLost;
  }

  /** Has a frame leave by an interface. */
  send(ifindex: number, frame: Uint8Array): OutletFate {
    if (frame.length > this.#mostBytes) return 'too-long';
    const datagram = Buffer.alloc(DESCRIPTOR + frame.length);
    datagram.writeUInt32LE(ifindex, 0);
    datagram.writeUInt32LE(PUNT_L2, 4);
    datagram.set(frame, DESCRIPTOR);
    if (this.#waiting.length === 0) {
      const errno = this.#socket.send(this.#server, datagram);
      if (errno === 0) return 'sent';
      if (errno !== EAGAIN) return 'send-failed';
    }
    if (this.#bytes + datagram.length > MOST_WAITING) return 'send-failed';
    this.#waiting.push(datagram);
    this.#bytes += datagram.length;
    this.#timer ??= setTimeout(() => this.#again(), RETRY_MS);
    return 'sent';
  }

  #again(): void {
    this.#timer = undefined;
    let taken = 0;
    for (const datagram of this.#waiting) {
      const errno = this.#socket.send(this.#server, datagram);
      if (errno === EAGAIN) break;
      if (errno !== 0) this.#onLost();
      taken++;
      this.#bytes -= datagram.length;
    }
    this.#waiting = this.#waiting.slice(taken);
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#again(), RETRY_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
    this.#socket.close();
  }
}
