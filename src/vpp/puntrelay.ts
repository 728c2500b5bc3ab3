// PuntRelay: packets that VPP hands to a socket of lcpd's as frames, and that go back to leave by an interface of VPP.
//
// Invariants: every byte is hostile, what claims to be something is read again, and no more than `rate` a second goes on.
// A wake-up takes few, so that signals and timers have their turn. A frame goes back as it came (puntoutlet.ts). Nobody but VPP can
// send to the socket, and VPP's bursts are not cut short at what a queue holds, because it is connected to VPP's. What another
// program has of VPP stays its own. Reference: VPP's src/vnet/ip/punt_node.c; unix(7).

import { statSync } from 'node:fs';
import type { CounterRow } from '../lcp/dataplane.ts';
import { matchText, type PuntMatch } from '../lcp/puntobjects.ts';
import { LcpError } from '../lib/errors.ts';
import { UnixDatagram, unixAddress } from '../lib/unixdatagram.ts';
import { lcpItfHostType } from './api/lcp.ts';
import { DESCRIPTOR, PuntOutlet } from './puntoutlet.ts';
import type { PuntContext } from './puntparts.ts';
import { NO_SOCKET_HINT, type PuntSockets } from './puntsockets.ts';
import { RateLimit } from './ratelimit.ts';

/** Frames of one wake-up. */
const AT_ONCE = 64;
const RECEIVE_BUFFER = 256 * 1024;
/** More than a device can have. */
const MOST_BYTES = 65_552;

/** What becomes of a packet: a name to count it by, and the interface that it leaves by, undefined for none. */
export interface Way<F extends string> {
  readonly fate: F;
  readonly to: number | undefined;
}

/** What became of the frames by name: those of `Way` besides. */
export type RelayFate = 'no-host' | 'over-limit' | 'malformed' | 'too-long' | 'send-failed';

export interface RelayOptions<P, F extends string> {
  readonly at: PuntContext;
  readonly sockets: PuntSockets;
  /** Of ours, that VPP sends to; '' for nothing to do. */
  readonly path: string;
  /** Packets a second, and at once. */
  readonly rate: number;
  readonly fates: readonly F[];
  /** What is known of a frame, undefined where it is not what was asked for. */
  read(frame: Uint8Array): P | undefined;
  way(packet: P, ifindex: number): Way<F>;
}

export class PuntRelay<P, F extends string> {
  readonly counts: Record<F | RelayFate, number>;
  readonly #options: RelayOptions<P, F>;
  readonly #buffer = new Uint8Array(MOST_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  #socket: UnixDatagram | undefined;
  #outlet: PuntOutlet | undefined;
  readonly #limit: RateLimit;

  constructor(options: RelayOptions<P, F>) {
    this.#options = options;
    this.#limit = new RateLimit(options.rate);
    const fates = [...options.fates, 'no-host', 'over-limit', 'malformed', 'too-long', 'send-failed'];
    this.counts = Object.fromEntries(fates.map((fate) => [fate, 0])) as Record<F | RelayFate, number>;
  }

  /** Whether VPP's frames arrive here. */
  get isOpen(): boolean {
    return this.#outlet !== undefined;
  }

  /** Takes frames from now on, before anything is registered, so that nothing is lost. Throws an Error with the reason. */
  open(): void {
    const { path, sockets } = this.#options;
    const address = sockets.server === '' ? undefined : unixAddress(sockets.server);
    if (address === undefined) throw new Error(`VPP has no punt socket: ${NO_SOCKET_HINT}`);
    const { gid } = statSync(sockets.server);
    const socket = new UnixDatagram();
    this.#socket = socket;
    socket.bind(path, { gid, receiveBuffer: RECEIVE_BUFFER });
    socket.connect(address);
    const outlet = new PuntOutlet(address, sockets.dataSize, () => this.counts['send-failed']++);
    this.#outlet = outlet;
    socket.follow(() => this.#onReadable(socket, outlet));
  }

  /** Has VPP hand over what matches. Throws REFUSED where somebody else has it; `hint` is what helps besides. */
  async register(match: PuntMatch, hint: string): Promise<void> {
    const { sockets, path } = this.#options;
    const there = await sockets.there(match);
    if (there?.path === path && matchText(there.match) === matchText(match)) return;
    if (there !== undefined)
      throw new LcpError('REFUSED', {
        op: 'punt',
        key: matchText(match),
        message: `VPP hands ${matchText(there.match)} to ${there.path}, for somebody else`,
        hint: `let that program go, or ${hint}`,
      });
    await sockets.register(match, path);
  }

  /** Takes it back where it is ours. */
  async release(match: PuntMatch): Promise<void> {
    const { sockets, path } = this.#options;
    const there = await sockets.there(match);
    if (there?.path === path && matchText(there.match) === matchText(match)) await sockets.deregister(match);
  }

  /** What was counted, as other counters of the data plane are: 'PREFIX/FATE'. */
  rows(prefix: string): CounterRow[] {
    const named = Object.entries<number>(this.counts).map(([what, value]) => ({
      phy: '',
      name: `${prefix}/${what}`,
      value,
    }));
    return this.isOpen ? named : [];
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#outlet?.close();
    this.#outlet = undefined;
  }

  #onReadable(socket: UnixDatagram, outlet: PuntOutlet): void {
    for (let n = 0; n < AT_ONCE && this.#socket === socket; n++) {
      const length = socket.receive(this.#buffer);
      if (length < 0) return;
      this.counts[this.#handOn(outlet, length)]++;
    }
  }

  #handOn(outlet: PuntOutlet, length: number): F | RelayFate {
    if (length > MOST_BYTES || length < DESCRIPTOR) return 'malformed';
    const frame = this.#buffer.subarray(DESCRIPTOR, length);
    const packet = this.#options.read(frame);
    if (packet === undefined) return 'malformed';
    if (!this.#limit.take()) return 'over-limit';
    const { fate, to } = this.#options.way(packet, this.#view.getUint32(0, true));
    if (to === undefined) return 'no-host';
    const sent = outlet.send(to, frame);
    return sent === 'sent' ? fate : sent;
  }
}

/** The host of the pair of the device that an interface is of; of a TUN there is none, because its frames have no headers. */
export function hostOf({ interfaces, pairs }: PuntContext, ifindex: number): number | undefined {
  const row = pairs.row(interfaces.get(ifindex)?.parent ?? ifindex);
  return row?.host_if_type === lcpItfHostType.values.LCP_API_ITF_HOST_TAP ? row.host_sw_if_index : undefined;
}
