// Leaks: on-link routes in other tables than their interface's, which are out while that interface changes.
//
// Invariants: VPP copies the neighbours and addresses of an interface into each other table that has a route to its subnet on
// the link. VPP 26.06 ends with a signal, or stands still, where two tables have such a route and the interface's own entry of the subnet
// goes, and where its pool of entries grows while it copies anew (the entry that is worked on has moved then). Both happen
// when an interface gets another table, is stopped or loses an address. So what it is the link of is withdrawn before,
// and put back behind, where nothing has changed or removed it meanwhile. An lcpd that is killed in between finds them
// missing. Where nothing is leaked nothing is sent, but
// for an interface that changes its table: then its own go and come, too. Reference: VPP's src/vnet/fib/fib_attached_export.c.

import type { Family } from '../lcp/objects.ts';
import type { Member } from './prefixset.ts';
import type { Routes } from './routes.ts';

export class Leaks {
  readonly #routes: Routes;
  /** What is out: a change within a change leaves it alone. */
  readonly #out = new Set<Member>();

  constructor(routes: Routes) {
    this.#routes = routes;
  }

  /**
   * Does something to an interface while no table but its own has a route of ours to what is on its link, and none at all when it
   * moves `from` a VPP table `to` another one.
   */
  async without<T>(phy: string, family: Family, from: number, to: number, act: () => Promise<T>): Promise<T> {
    const found = this.#routes.onLinkBy(phy, family, from === to ? to : undefined);
    const leaked = found.filter(({ member }) => !this.#out.has(member));
    // its own first: what is in other tables follows that
    leaked.sort((a, b) => Number(b.home.vpp === to) - Number(a.home.vpp === to));
    for (const { member } of leaked) this.#out.add(member);
    try {
      await this.#routes.writeOnLink(leaked, false);
      return await act();
    } finally {
      for (const { member } of leaked) this.#out.delete(member);
      await this.#routes.writeOnLink(leaked, true);
    }
  }
}
