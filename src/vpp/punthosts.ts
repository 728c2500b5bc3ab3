// Hosts: packets for the router itself that VPP punts, to the pair of their interface or to where redirects say.
//
// Invariants: VPP has no dump of it, but shows which node has a UDP port and who gets a reason: what is there and was not put
// there by lcpd is left as it is. Ports that nobody has are punted since linux_cp is loaded, protocols and ICMPv6 types that
// VPP has no node for always: that is asked for in vain and never taken back. Reference: VPP's src/vnet/ip/punt.c,
// src/plugins/linux-cp/lcp_interface.c.

import { matchText, type ToHost } from '../lcp/puntobjects.ts';
import { setPunt } from './api/punt.ts';
import { conflict, type PuntContext, type PuntPart, unable } from './puntparts.ts';
import { ANY_PORT, type PuntPorts, UDP } from './puntports.ts';
import type { PuntReasons } from './puntreasons.ts';
import { askSwallowing, puntOf } from './puntsockets.ts';

/** Sinks that punt on to the host. */
const HOST_NODES = ['ip4-punt', 'ip6-punt'];

export class PuntHosts implements PuntPart<'host'> {
  readonly feature = 'host';
  readonly #at: PuntContext;
  readonly #ports: PuntPorts;
  readonly #reasons: PuntReasons;

  constructor(at: PuntContext, ports: PuntPorts, reasons: PuntReasons) {
    this.#at = at;
    this.#ports = ports;
    this.#reasons = reasons;
  }

  async #tell(is_add: boolean, { match }: ToHost): Promise<void> {
    await askSwallowing(this.#at, setPunt, { is_add, punt: puntOf(match, this.#reasons) }, matchText(match));
  }

  /** Whether VPP punts it by a request that can be taken back; undefined where it always does. */
  async #isThere(punt: ToHost): Promise<boolean | undefined> {
    const { match } = punt;
    if (match.by === 'reason') {
      const sinks = await this.#reasons.sinks(this.#reasons.id(match.reason));
      return sinks.some((node) => HOST_NODES.includes(node));
    }
    if (match.by === 'port' && match.port === ANY_PORT) return undefined;
    if (match.by === 'port' && match.protocol !== UDP)
      throw unable(punt, 'VPP punts the TCP ports that nobody has all together, and no single one');
    await this.#ports.read();
    const by = this.#ports.takenBy(match);
    if (by !== undefined) throw conflict(punt, `VPP itself takes it: ${by}`, 'VPP has no way to share it');
    const taker = this.#ports.taker(match);
    if (taker === 'socket') throw conflict(punt, 'VPP hands it to a socket already');
    return match.by === 'port' ? taker === 'punt' : undefined;
  }

  async set(punt: ToHost): Promise<void> {
    const isThere = await this.#isThere(punt);
    if (isThere === true) return;
    this.#at.memory.keep(punt);
    if (isThere === false) await this.#tell(true, punt);
  }

  async delete(punt: ToHost): Promise<void> {
    const { match } = punt;
    if (this.#at.memory.known(punt).length === 0) return;
    const isReason = match.by === 'reason';
    const isLost = isReason && !this.#reasons.all().some(({ name }) => name === match.reason);
    if (!isLost && (await this.#isHeld(punt)) && (isReason || (match.by === 'port' && match.port !== ANY_PORT)))
      await this.#tell(false, punt);
    this.#at.memory.drop(punt);
  }

  /** As far as VPP shows it. */
  async #isHeld({ match }: ToHost): Promise<boolean> {
    if (match.by === 'reason') {
      const id = this.#reasons.all().find(({ name }) => name === match.reason)?.number;
      return id !== undefined && (await this.#reasons.sinks(id)).some((node) => HOST_NODES.includes(node));
    }
    if (match.by !== 'port' || match.port === ANY_PORT) return true;
    await this.#ports.read();
    return this.#ports.taker(match) === 'punt';
  }

  async held(): Promise<ToHost[]> {
    const held: ToHost[] = [];
    for (const known of this.#at.memory.of('host')) if (await this.#isHeld(known)) held.push(known);
    return held;
  }
}
