// Macs: addresses besides an interface's own one that it takes frames to.
//
// Invariants: VPP keeps them for the hardware, shared by its sub-interfaces, and says of none that it has it, so what
// this lcpd asked for is what is known; adding one that is there does nothing. Each is wanted by someone (a host's
// macvlan, a neighbour), and goes with the last who wants it. Reference: VPP's src/vnet/ethernet/interface.c.

import { swInterfaceAddDelMacAddress } from './api/interface.ts';
import type { VppClient } from './client.ts';
import { type Interfaces, macBytes } from './interfaces.ts';

export class Macs {
  readonly #client: VppClient;
  readonly #interfaces: Interfaces;
  /** By hardware's sw_if_index and life (an index is used again, without what was there), then by who wants them. */
  readonly #wanted = new Map<number, { life: number; by: Map<string, readonly string[]> }>();

  constructor(client: VppClient, interfaces: Interfaces) {
    this.#client = client;
    this.#interfaces = interfaces;
  }

  /** Why this VPP takes frames to one address only; undefined when it does not. */
  get unsupported(): string | undefined {
    return this.#client.unsupported(swInterfaceAddDelMacAddress);
  }

  /** All that someone wants an interface to take frames to; [] ends it. Rejects with VPP's refusal. */
  async want(ifindex: number, who: string, macs: readonly string[]): Promise<void> {
    const parent = this.#interfaces.get(ifindex)?.parent ?? ifindex;
    const life = this.#interfaces.life(parent);
    const known = this.#wanted.get(parent);
    const wanted = known?.life === life ? known.by : new Map<string, readonly string[]>();
    this.#wanted.set(parent, { life, by: wanted });
    const before = new Set([...wanted.values()].flat());
    const key = `${ifindex} ${who}`;
    if (macs.length === 0) wanted.delete(key);
    else wanted.set(key, macs);
    const after = new Set([...wanted.values()].flat());
    if (this.unsupported !== undefined) return;
    for (const mac of after) if (!before.has(mac)) await this.#addDel(parent, mac, true);
    for (const mac of before) if (!after.has(mac)) await this.#addDel(parent, mac, false);
  }

  async #addDel(sw_if_index: number, mac: string, isAdd: boolean): Promise<void> {
    if (this.#interfaces.get(sw_if_index) === undefined) return;
    const told = { sw_if_index, addr: macBytes(mac), is_add: isAdd ? 1 : 0 };
    await this.#client.request(swInterfaceAddDelMacAddress, told, { key: mac });
  }
}
