// PuntFacts: addresses and tables of the interfaces that punts are about, whoever has given them.
//
// Invariants: only interfaces that somebody asked for are read, each time VPP's interfaces are, because tables stop VPP's workers for a
// moment; what was not read yet is undefined, and news of it is told like other news of interfaces. The tables that VPP has are
// read again while one that was asked for is missing. Reference: VPP's src/vnet/ip/ip_api.c.

import type { Family } from '../lcp/objects.ts';
import type { PuntInterface } from '../lcp/puntplane.ts';
import { LcpError } from '../lib/errors.ts';
import { ipTableDump } from './api/ip.ts';
import { readAddresses, readTable } from './puntlayer3.ts';
import type { PuntContext } from './puntparts.ts';

/** VPP has deleted the interface meanwhile. */
const NO_SUCH_INTERFACE = -2;

interface Facts {
  /** Which interface the index was then. */
  readonly life: number;
  readonly addresses: readonly string[];
  readonly table4: number;
  readonly table6: number;
}

export class PuntFacts {
  readonly #at: PuntContext;
  /** By the core's name. */
  readonly #asked = new Map<string, Facts | undefined>();
  readonly #missing = new Set<string>();

  constructor(at: PuntContext) {
    this.#at = at;
  }

  interface(name: string): PuntInterface | undefined {
    const { subifs, interfaces } = this.#at;
    const found = subifs.interface(name);
    if (found === undefined) return undefined;
    const facts = this.#asked.get(name);
    if (facts === undefined) {
      this.#asked.set(name, undefined);
      void interfaces.look();
    }
    const known = facts?.life === interfaces.life(found.ifindex) ? facts : undefined;
    const { ethernet, up, mtu, mac } = found;
    const { addresses, table4, table6 } = known ?? {};
    return { ethernet, up, mtu, mac, addresses, table4, table6 };
  }

  hasTable(family: Family, table: number): boolean {
    const key = `${family}:${table}`;
    if (this.#at.tableOf(family, table) !== undefined) return true;
    this.#missing.add(key);
    return false;
  }

  /** Reads them again; whether anything was different. */
  async read(): Promise<boolean> {
    const before = this.#print();
    for (const name of [...this.#asked.keys()]) {
      const facts = await this.#factsOf(name);
      if (facts === undefined && this.#at.subifs.interface(name) === undefined) this.#asked.delete(name);
      else this.#asked.set(name, facts);
    }
    if (this.#missing.size > 0) {
      const rows = await this.#at.client.dump(ipTableDump, {});
      this.#at.others = new Set(rows.map(({ table }) => `${table.is_ip6 ? 6 : 4}:${table.table_id}`));
      for (const key of this.#at.others) this.#missing.delete(key);
    }
    return this.#print() !== before;
  }

  #print(): string {
    return JSON.stringify([[...this.#asked], [...this.#missing]]);
  }

  async #factsOf(name: string): Promise<Facts | undefined> {
    const at = this.#at;
    const index = at.subifs.interface(name)?.ifindex;
    if (index === undefined) return undefined;
    const life = at.interfaces.life(index);
    try {
      const addresses = await readAddresses(at.client, index);
      const [four, six] = [await readTable(at.client, index, 4), await readTable(at.client, index, 6)];
      return { life, addresses, table4: at.tableNumber(4, four), table6: at.tableNumber(6, six) };
    } catch (error) {
      if (error instanceof LcpError && error.retval === NO_SUCH_INTERFACE) return undefined;
      throw error;
    }
  }
}
