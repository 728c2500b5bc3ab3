// RouterDiscovery: router solicitations and advertisements, which VPP keeps to itself, for the hosts of pairs.
//
// Invariants: VPP hands both ICMPv6 types to a relay, and each goes back to leave by the host of the pair that it came in by, so
// that the kernel has it as it was received, tags and all. VPP keeps the types for a socket once they were registered, so what
// another program has stays its own. Nothing of this is needed for packets to pass. Reference: RFC 4861 section 4.

import type { CounterRow } from '../lcp/dataplane.ts';
import type { PuntMatch } from '../lcp/puntobjects.ts';
import { messageOf } from '../lib/errors.ts';
import { type IpPacket, readIpFrame } from './ipframe.ts';
import type { PuntContext } from './puntparts.ts';
import { hostOf, PuntRelay } from './puntrelay.ts';
import type { PuntSockets } from './puntsockets.ts';

const SOLICITATION = 133;
const ADVERTISEMENT = 134;
const TYPES = [SOLICITATION, ADVERTISEMENT];
const PROTOCOL_ICMP6 = 58;
const ICMP_HEADER = 8;
/** What a segment with hundreds of routers sends, and nothing to a process. */
const RATE = 1000;
const HINT = 'set dataplane.vpp.router-discovery to false';

const matchOf = (type: number): PuntMatch => ({ by: 'icmp6', type });

/** The packet, where it is what was asked for, whatever it claims to be. */
function readDiscovery(frame: Uint8Array): IpPacket | undefined {
  const packet = readIpFrame(frame);
  if (packet?.family !== 6 || packet.protocol !== PROTOCOL_ICMP6 || packet.payload.length < ICMP_HEADER)
    return undefined;
  return TYPES.includes(packet.payload[0] ?? 0) ? packet : undefined;
}

export class RouterDiscovery {
  /** Why the kernel does not get them, '' when it does. */
  reason = '';
  readonly #at: PuntContext;
  readonly #path: string;
  readonly #relay: PuntRelay<IpPacket, 'to-host'>;

  /** `path` is of our socket; '' for nothing to do. */
  constructor(at: PuntContext, sockets: PuntSockets, path: string) {
    this.#at = at;
    this.#path = path;
    this.#relay = new PuntRelay({
      at,
      sockets,
      path,
      rate: RATE,
      fates: ['to-host'],
      read: readDiscovery,
      way: (_packet, ifindex) => ({ fate: 'to-host', to: hostOf(at, ifindex) }),
    });
  }

  get counts(): Readonly<PuntRelay<IpPacket, 'to-host'>['counts']> {
    return this.#relay.counts;
  }

  /** Has VPP hand them over; what is in the way becomes the reason. */
  async open(): Promise<void> {
    if (this.#path === '') return;
    try {
      this.#relay.open();
      for (const type of TYPES) await this.#relay.register(matchOf(type), HINT);
    } catch (error) {
      // the session's end is told by itself, and the next one tries again
      this.reason = `they end in VPP: ${messageOf(error)}`;
      if (this.#at.client.error !== undefined) throw error;
    }
  }

  /** Takes it back, for an lcpd that leaves nothing behind. */
  async remove(): Promise<void> {
    for (const type of this.#relay.isOpen ? TYPES : []) await this.#relay.release(matchOf(type));
  }

  rows(): CounterRow[] {
    return this.#relay.rows('nd');
  }

  close(): void {
    this.#relay.close();
  }
}
