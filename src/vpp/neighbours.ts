// Neighbours: those of the kernel, in VPP's table beside what VPP learns by itself.
//
// Invariants: ours are dynamic entries, as those that VPP learns, so that VPP follows a peer whose MAC moves while the
// kernel, which sees no packet of it, still believes the old one. So VPP does not tell which are ours: those that this
// lcpd set are shown, one that VPP has already is not sent again, and what VPP learned and the kernel lacks is left
// alone. VPP makes a static one dynamic only by removing it first. Reference: VPP's src/vnet/ip-neighbor/ip_neighbor.c.

import type { AdjacencyRow, HeldObject, OperationResult } from '../lcp/dataplane.ts';
import type { Neighbour } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { formatIp, ipBytes } from '../lib/ip.ts';
import { addressFamily } from './address.ts';
import { ipNeighborAddDel, ipNeighborDump, ipNeighborFlags } from './api/neighbor.ts';
import type { VppClient } from './client.ts';
import { macBytes, NO_INTERFACE } from './interfaces.ts';
import type { Subifs } from './subifs.ts';

const { IP_API_NEIGHBOR_FLAG_NONE: DYNAMIC, IP_API_NEIGHBOR_FLAG_STATIC: STATIC } = ipNeighborFlags.values;
/** Retvals of what is absent already: no such interface, no such entry. */
const ABSENT = [-2, -6];

interface Entry {
  readonly mac: string;
  readonly isStatic: boolean;
}

/** Has the host of a phy take frames to a neighbour's address; '' ends it. */
export type HostTakes = (phyIfindex: number, neighbour: string, mac: string) => Promise<void>;

export class Neighbours {
  readonly #client: VppClient;
  readonly #takes: HostTakes;
  readonly #subifs: Subifs;
  /** What VPP has, as far as it was read or written, by sw_if_index and address. */
  readonly #there = new Map<string, Entry>();
  /** What the core asked for, by its key. */
  readonly #ours = new Map<string, Neighbour>();

  constructor(client: VppClient, subifs: Subifs, takes: HostTakes) {
    this.#client = client;
    this.#takes = takes;
    this.#subifs = subifs;
  }

  async read(): Promise<void> {
    this.#there.clear();
    for (const af of [addressFamily.values.ADDRESS_IP4, addressFamily.values.ADDRESS_IP6]) {
      for (const { neighbor } of await this.#client.dump(ipNeighborDump, { sw_if_index: NO_INTERFACE, af })) {
        const mac = Array.from(neighbor.mac_address, (b) => b.toString(16).padStart(2, '0')).join(':');
        const isStatic = (neighbor.flags & STATIC) !== 0;
        this.#there.set(`${neighbor.sw_if_index} ${formatIp(neighbor.ip_address)}`, { mac, isStatic });
      }
    }
  }

  /** Those that were set, with the MAC that VPP has for them now. */
  held(): HeldObject[] {
    const held: HeldObject[] = [];
    for (const neighbour of this.#ours.values()) {
      const index = this.#subifs.interface(neighbour.phy)?.ifindex;
      const there = this.#there.get(`${index} ${neighbour.address}`);
      if (there !== undefined) held.push({ object: { ...neighbour, mac: there.mac } });
    }
    return held;
  }

  /**
   * Ours, as rewrites. VPP counts by adjacency only where its command line has switched that on, and tells an adjacency's index
   * only to who adds the neighbour.
   */
  rows(): AdjacencyRow[] {
    return [...this.#ours.values()].map((n, id) => ({
      id,
      port: this.#subifs.interface(n.phy)?.ifindex ?? 0,
      phy: n.phy,
      family: n.family,
      nexthop: n.address,
      state: 'complete',
      rewrite: n.mac,
    }));
  }

  /** Whether packets to a next hop need no resolution. */
  has(ifindex: number, address: string): boolean {
    return this.#there.has(`${ifindex} ${address}`);
  }

  #key({ phy, address }: Neighbour): string {
    return `${phy} ${address}`;
  }

  async set(n: Neighbour): Promise<OperationResult> {
    const index = this.#subifs.interface(n.phy)?.ifindex;
    if (index === undefined || !this.#subifs.isUsable(n.phy)) {
      throw new LcpError('PORT_REFUSED', { op: 'set neighbour', key: this.#key(n), message: `${n.phy} has no pair` });
    }
    const key = `${index} ${n.address}`;
    const before = this.#there.get(key);
    if (before?.isStatic === true) await this.#request(false, index, n);
    if (before === undefined || before.isStatic || before.mac !== n.mac) await this.#request(true, index, n);
    this.#there.set(key, { mac: n.mac, isStatic: false });
    this.#ours.set(this.#key(n), n);
    await this.#takes(index, n.address, n.mac);
    return { ok: true };
  }

  async delete(n: Neighbour): Promise<OperationResult> {
    this.#ours.delete(this.#key(n));
    const index = this.#subifs.interface(n.phy)?.ifindex;
    if (index === undefined) return { ok: true };
    await this.#takes(index, n.address, '');
    await this.#request(false, index, n);
    this.#there.delete(`${index} ${n.address}`);
    return { ok: true };
  }

  async #request(is_add: boolean, sw_if_index: number, n: Neighbour): Promise<void> {
    const neighbor = { sw_if_index, flags: DYNAMIC, mac_address: macBytes(n.mac), ip_address: ipBytes(n.address) };
    await this.#client.request(
      ipNeighborAddDel,
      { is_add, neighbor },
      { key: this.#key(n), accept: is_add ? [] : ABSENT },
    );
  }

  /** States those of an interface again: VPP removes them with an address of the interface, and when it goes down. */
  async again(phy: string): Promise<void> {
    const index = this.#subifs.interface(phy)?.ifindex;
    if (index === undefined) return;
    for (const n of [...this.#ours.values()]) if (n.phy === phy) await this.#request(true, index, n);
  }

  /** An interface has gone from VPP, and its neighbours. */
  gone(ifindex: number): void {
    for (const key of [...this.#there.keys()]) if (key.startsWith(`${ifindex} `)) this.#there.delete(key);
  }

  /** Removes all of ours on an interface whose pair ends. */
  async forget(phy: string): Promise<void> {
    for (const n of [...this.#ours.values()]) if (n.phy === phy) await this.delete(n);
  }
}
