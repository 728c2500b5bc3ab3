// RouterDiscovery: router solicitations and advertisements, which VPP keeps to itself, for the hosts of pairs.
//
// Invariants: VPP hands both ICMPv6 types to a socket of ours, as frames, and we hand each back by VPP's punt socket to go
// out by the host of the pair that it came in by, so that the kernel has it as it was received, tags and all. A frame that is
// none of these is not handed on, and no more of them a second than RATE. VPP keeps the types for a socket once they were
// registered, so what another program has stays its own. Nothing of this is needed for packets to pass.
// Reference: VPP's src/vnet/ip/punt.c, punt_node.c; RFC 4861 section 4.

import { statSync } from 'node:fs';
import type { CounterRow } from '../lcp/dataplane.ts';
import { matchText, type PuntMatch } from '../lcp/puntobjects.ts';
import { LcpError, messageOf } from '../lib/errors.ts';
import { UnixDatagram, unixAddress } from '../lib/unixdatagram.ts';
import { lcpItfHostType } from './api/lcp.ts';
import type { PuntContext } from './puntparts.ts';
import { NO_SOCKET_HINT, type PuntSockets } from './puntsockets.ts';

const SOLICITATION = 133;
const ADVERTISEMENT = 134;
const TYPES = [SOLICITATION, ADVERTISEMENT];

/** struct punt_packetdesc_t: sw_if_index, action; in the byte order of the host. */
const DESCRIPTOR = 8;
const PUNT_L2 = 0;

const MAC_BYTES = 12;
const TAG_BYTES = 4;
const TPIDS = [0x8100, 0x88a8, 0x9100];
const ETHERTYPE_IP6 = 0x86dd;
const IP6_HEADER = 40;
const NEXT_HEADER_AT = 6;
const PROTOCOL_ICMP6 = 58;

/** Packets a second, and at once: what a segment with hundreds of routers sends, and nothing to a process. */
const RATE = 1000;
/** Frames of one wake-up, so that signals and timers have their turn. */
const AT_ONCE = 64;
const RECEIVE_BUFFER = 256 * 1024;
/** More than a device can have. */
const MOST_BYTES = 65_552;

/** What became of the frames, by name. */
export type DiscoveryCounts = Record<'to-host' | 'no-host' | 'over-limit' | 'malformed' | 'send-failed', number>;

/** Whether a frame is what was asked for, whatever it claims to be. */
function isDiscovery(frame: Uint8Array): boolean {
  const at16 = (at: number): number => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  let at = MAC_BYTES;
  for (let tags = 0; tags < 2 && TPIDS.includes(at16(at)); tags++) at += TAG_BYTES;
  const ip = at + 2;
  if (at16(at) !== ETHERTYPE_IP6 || frame.length < ip + IP6_HEADER + 8) return false;
  return frame[ip + NEXT_HEADER_AT] === PROTOCOL_ICMP6 && TYPES.includes(frame[ip + IP6_HEADER] ?? 0);
}

export class RouterDiscovery {
  readonly counts: DiscoveryCounts = { 'to-host': 0, 'no-host': 0, 'over-limit': 0, malformed: 0, 'send-failed': 0 };
  /** Why the kernel does not get them, '' when it does. */
  reason = '';
  readonly #at: PuntContext;
  readonly #sockets: PuntSockets;
  /** Of ours, that VPP sends to; '' for nothing to do. */
  readonly #path: string;
  readonly #buffer = new Uint8Array(MOST_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  #socket: UnixDatagram | undefined;
  #server: Uint8Array = new Uint8Array(0);
  #allowance = RATE;
  #allowedAt = 0;

  constructor(at: PuntContext, sockets: PuntSockets, path: string) {
    this.#at = at;
    this.#sockets = sockets;
    this.#path = path;
  }

  /** Has VPP hand them over; what is in the way becomes the reason. */
  async open(): Promise<void> {
    const { server } = this.#sockets;
    if (this.#path === '') return;
    const address = server === '' ? undefined : unixAddress(server);
    if (address === undefined) {
      this.reason = `they end in VPP, which has no punt socket: ${NO_SOCKET_HINT}`;
      return;
    }
    this.#server = address;
    try {
      this.#listen(statSync(server).gid);
      for (const type of TYPES) await this.#register(type);
    } catch (error) {
      // the session's end is told by itself, and the next one tries again
      this.reason = `they end in VPP: ${messageOf(error)}`;
      if (this.#at.client.error !== undefined) throw error;
    }
  }

  #listen(gid: number): void {
    const socket = new UnixDatagram();
    this.#socket = socket;
    // before anything is registered, so that nothing is lost
    socket.bind(this.#path, { gid, receiveBuffer: RECEIVE_BUFFER });
    socket.follow(() => this.#onReadable(socket));
  }

  async #register(type: number): Promise<void> {
    const match: PuntMatch = { by: 'icmp6', type };
    const there = await this.#sockets.there(match);
    if (there?.path === this.#path && matchText(there.match) === matchText(match)) return;
    if (there !== undefined)
      throw new LcpError('REFUSED', {
        op: 'punt',
        key: matchText(match),
        message: `VPP hands ${matchText(there.match)} to ${there.path}, for somebody else`,
        hint: 'let that program go, or set dataplane.vpp.router-discovery to false',
      });
    await this.#sockets.register(match, this.#path);
  }

  /** Takes it back, for an lcpd that leaves nothing behind. */
  async remove(): Promise<void> {
    for (const type of this.#socket === undefined ? [] : TYPES) {
      const match: PuntMatch = { by: 'icmp6', type };
      if ((await this.#sockets.there(match))?.path === this.#path) await this.#sockets.deregister(match);
    }
  }

  /** What was counted, as other counters of the data plane are. */
  rows(): CounterRow[] {
    const named = Object.entries(this.counts).map(([what, value]) => ({ phy: '', name: `nd/${what}`, value }));
    return this.#socket === undefined ? [] : named;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  #onReadable(socket: UnixDatagram): void {
    for (let n = 0; n < AT_ONCE && this.#socket === socket; n++) {
      const length = socket.receive(this.#buffer);
      if (length < 0) return;
      this.counts[this.#handOn(socket, length)]++;
    }
  }

  #handOn(socket: UnixDatagram, length: number): keyof DiscoveryCounts {
    if (length > MOST_BYTES || !isDiscovery(this.#buffer.subarray(DESCRIPTOR, length))) return 'malformed';
    if (!this.#isAllowed()) return 'over-limit';
    const host = this.#hostOf(this.#view.getUint32(0, true));
    if (host === undefined) return 'no-host';
    this.#view.setUint32(0, host, true);
    this.#view.setUint32(4, PUNT_L2, true);
    return socket.send(this.#server, this.#buffer.subarray(0, length)) === 0 ? 'to-host' : 'send-failed';
  }

  /** Of the pair of the device that an interface is of; of a TUN there is none, because its frames have no headers. */
  #hostOf(ifindex: number): number | undefined {
    const { interfaces, pairs } = this.#at;
    const row = pairs.row(interfaces.get(ifindex)?.parent ?? ifindex);
    return row?.host_if_type === lcpItfHostType.values.LCP_API_ITF_HOST_TAP ? row.host_sw_if_index : undefined;
  }

  #isAllowed(): boolean {
    const now = performance.now();
    this.#allowance = Math.min(RATE, this.#allowance + ((now - this.#allowedAt) * RATE) / 1000);
    this.#allowedAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }
}
