// UpwardTables: an interface that is moved to another table in the data plane takes its host into the VRF of that table.
//
// The kernel's value is the table of the VRF that the host is in; a host that belongs to a bridge or bond is
// left alone. Families are compared one by one, because a data plane moves them one by one, and the kernel both at once: the
// second follows from the first. A table that no VRF device has stays as it is and is told.

import { RT_TABLE_MAIN } from '../netlink/uapi.ts';
import type { Namespace } from './namespace.ts';
import { type Family, tableKey } from './objects.ts';
import type { Threeway } from './threeway.ts';
import type { Joined, UpwardParts } from './upward.ts';
import type { Send } from './upwardsubifs.ts';

const FAMILIES: readonly Family[] = [4, 6];

/** Of a host in no VRF. */
const MAIN = 'main';

/** Table of the VRF that a link is in, MAIN when in none; undefined when something else has it. */
const vrfTable = (ns: Namespace, ifindex: number): string | undefined => {
  const master = ns.links.get(ifindex)?.master;
  if (master === undefined) return MAIN;
  const vrf = ns.links.get(master);
  return vrf?.kind === 'vrf' ? `${vrf.info?.vrf?.table ?? ''}` : undefined;
};

/** Number of a kernel table; as it is told where it is no table of the namespace. */
const kernelTable = (ns: Namespace, family: Family, table: string): string => {
  if (table === tableKey(ns.name, family, RT_TABLE_MAIN)) return MAIN;
  const prefix = tableKey(ns.name, family, 0).slice(0, -1);
  return table.startsWith(prefix) ? table.slice(prefix.length) : table;
};

const vrfOf = (ns: Namespace, table: string): number | undefined => {
  for (const l of ns.links.values()) if (l.kind === 'vrf' && `${l.info?.vrf?.table}` === table) return l.ifindex;
  return undefined;
};

const keyOf = (phy: string, family: Family): string => `${phy} table${family}`;

export class UpwardTables {
  readonly #parts: UpwardParts;
  readonly #values: Threeway;
  readonly #send: Send;

  constructor(parts: UpwardParts, values: Threeway, send: Send) {
    this.#parts = parts;
    this.#values = values;
    this.#send = send;
  }

  review({ phy, seen, ns, ifindex }: Joined): void {
    const kernel = vrfTable(ns, ifindex);
    if (seen.tables === undefined || kernel === undefined) return;
    for (const family of FAMILIES) {
      const own = kernelTable(ns, family, seen.tables[family]);
      const key = keyOf(phy, family);
      if (this.#values.judge(key, kernel, own, this.#parts.now()) !== 'up' || ns.state !== 'in-sync') continue;
      if (this.isMoving(phy)) continue;
      const vrf = own === MAIN ? 0 : vrfOf(ns, own);
      const text = `${ns.links.get(ifindex)?.name} into ${own === MAIN ? 'no VRF' : `the VRF of table ${own}`}`;
      if (vrf !== undefined) {
        const change = { master: vrf };
        this.#send(key, kernel, own, own, { netns: ns.name, ifindex, text, what: 'link', change });
        continue;
      }
      const reason = `no VRF device in namespace ${ns.name || "(lcpd's own)"} has table ${own}`;
      if (this.#values.refused(key, kernel, own, `${text}: ${reason}`, this.#parts.now()))
        this.#parts.told('refused', text, reason);
    }
  }

  /** Whether the host of an interface is on its way to another VRF. */
  isMoving(phy: string): boolean {
    return FAMILIES.some((family) => this.#values.isFlying(keyOf(phy, family)));
  }

  /** The data plane was given the tables that follow from the kernel. */
  programmed({ phy, seen, ns, ifindex }: Joined): void {
    const kernel = vrfTable(ns, ifindex);
    if (seen.tables === undefined || kernel === undefined) return;
    for (const family of FAMILIES) {
      this.#values.programmed(keyOf(phy, family), kernel, kernelTable(ns, family, seen.tables[family]));
    }
  }
}
