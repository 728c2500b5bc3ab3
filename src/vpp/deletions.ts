// Deletions: interfaces that VPP has deleted, for those who know something of them.
//
// Invariants: what is known of an interface goes with it at once, so that the next one of its number is told all. A phy of a pair that is there
// again, under its number and name, when interfaces are read next has been seen gone by nobody, though its pair went: it is told by
// its name, once. Reference: VPP's src/vnet/interface.c, src/plugins/linux-cp/lcp_interface.c.

import { swInterfaceEvent } from './api/interface.ts';
import type { VppClient } from './client.ts';
import type { Interfaces } from './interfaces.ts';
import type { Pairs } from './pairs.ts';

export class Deletions {
  readonly #interfaces: Interfaces;
  /** Phys of pairs by index, since interfaces were read last. */
  readonly #phys = new Map<number, string>();

  /** `parts` are those who know something. */
  constructor(
    client: VppClient,
    interfaces: Interfaces,
    pairs: Pairs,
    parts: readonly { gone(ifindex: number): void }[],
  ) {
    this.#interfaces = interfaces;
    client.on(swInterfaceEvent, ({ sw_if_index, deleted }) => {
      if (!deleted) return;
      const phy = interfaces.get(sw_if_index);
      if (phy?.parent === sw_if_index && pairs.row(sw_if_index) !== undefined) this.#phys.set(sw_if_index, phy.name);
      for (const part of parts) part.gone(sw_if_index);
    });
  }

  /** Interfaces have been read: tells of a phy that was made again, if there is one. */
  replaced(tell: (phy: string) => void): void {
    const found = [...this.#phys].find(([index, name]) => this.#interfaces.get(index)?.name === name);
    this.#phys.clear();
    if (found !== undefined) tell(found[1]);
  }
}
