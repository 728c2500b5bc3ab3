// PuntPlaces: interfaces as punts see them, from the mirror: a phy or sub-interface by its host, since what the control plane
// gave the host is what it is; else the data plane's own interface; else a device of lcpd's namespace.

import * as k from '../netlink/uapi.ts';
import type { DataPlane } from './dataplane.ts';
import type { DeltaTable } from './delta.ts';
import { ingressOf } from './derivelink.ts';
import type { Namespace } from './namespace.ts';
import type { Family } from './objects.ts';
import type { Pairs } from './pairs.ts';
import { KernelPhys } from './phys.ts';
import type { PuntInterface } from './puntplane.ts';

export interface PuntPlace extends PuntInterface {
  /** Of a device that the data plane has not got yet, else 0. */
  readonly ifindex: number;
  /** It is the phy of a pair, or a sub-interface of one. */
  readonly paired: boolean;
}

const MAIN = 254;

export class PuntPlaces {
  readonly #namespaces: ReadonlyMap<string, Namespace>;
  readonly #pairs: Pairs;
  readonly #delta: DeltaTable;
  readonly #dataplane: DataPlane;

  constructor(namespaces: ReadonlyMap<string, Namespace>, pairs: Pairs, delta: DeltaTable, dataplane: DataPlane) {
    this.#namespaces = namespaces;
    this.#pairs = pairs;
    this.#delta = delta;
    this.#dataplane = dataplane;
  }

  /** In the kernel's order; link-local ones excepted. */
  #addresses(ns: Namespace, ifindex: number): string[] {
    const found: string[] = [];
    for (const a of ns.addresses.values()) {
      if (a.ifindex === ifindex && a.scope === k.RT_SCOPE_UNIVERSE) found.push(`${a.local}/${a.prefixlen}`);
    }
    return found;
  }

  interface(name: string): PuntPlace | undefined {
    const { netns, ifindex } = this.#pairs.device(name) ?? { netns: '', ifindex: 0 };
    const ns = this.#namespaces.get(netns);
    const host = ns?.links.get(ifindex);
    if (ns !== undefined && host !== undefined && ifindex !== 0) {
      const { vrfTable } = ingressOf(ns, ifindex);
      return {
        ethernet: host.mac !== undefined && host.mac !== '',
        up: (host.flags & k.IFF_UP) !== 0,
        mtu: host.mtu,
        mac: host.mac ?? '',
        addresses: this.#addresses(ns, ifindex),
        table4: vrfTable,
        table6: vrfTable,
        ifindex: 0,
        paired: true,
      };
    }
    const own = this.#dataplane.punts?.interface(name);
    if (own !== undefined) return { ...own, ifindex: 0, paired: this.#pairs.spec(name) !== undefined };
    return this.#interconnect(name) ?? this.#device(name);
  }

  #interconnect(name: string): PuntPlace | undefined {
    const object = this.#delta.row('interconnect', name)?.actual;
    if (object?.kind !== 'interconnect' || object.link === 'phy') return undefined;
    const { mac, mtu, addresses, table } = object;
    return { ethernet: true, up: true, mtu, mac, addresses, table4: table, table6: table, ifindex: 0, paired: false };
  }

  /** A phy that is to be in a pair waits for it. */
  #device(name: string): PuntPlace | undefined {
    const ns = this.#namespaces.get('');
    if (this.#dataplane.punts?.opensPhys !== true || ns === undefined || this.#pairs.spec(name) !== undefined)
      return undefined;
    const phy = new KernelPhys(ns).byName(name);
    if (phy === undefined) return undefined;
    const { ifindex, ethernet, up, mtu, mac } = phy;
    const addresses = this.#addresses(ns, ifindex);
    return { ethernet, up, mtu, mac, addresses, table4: 0, table6: 0, ifindex, paired: false };
  }

  /** Whether the kernel's default namespace or the data plane has such a table. */
  hasTable(family: Family, table: number, netns: string): boolean {
    if (table === 0 || table === MAIN) return true;
    const ns = this.#namespaces.get(netns);
    for (const link of ns?.links.values() ?? []) if (link.info?.vrf?.table === table) return true;
    if ((ns?.routesOf(family).entriesIn(table) ?? 0) > 0) return true;
    return this.#dataplane.punts?.hasTable(family, table) ?? false;
  }
}
