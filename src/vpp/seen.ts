// SeenInterfaces: what others may change on VPP's interfaces: state, MTU, addresses, what they borrow, tables, sub-interfaces.
//
// VPP tells no change of addresses, MTU, tables or unnumbered, so they are read: together with the interfaces, which are read
// each second and when an event says so. Addresses and interfaces are read without stopping VPP's workers; tables stop them
// for a moment, so a few are read each time, in turns. Nothing is read while lcpd itself changes something: half
// of our change would look like somebody's. Reference: VPP's src/vnet/ip/ip_api.c, interface_api.c.

import type { Seen, SeenSource } from '../lcp/dataplane.ts';
import { type Family, tableKey } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { formatIp } from '../lib/ip.ts';
import type { Addresses } from './addresses.ts';
import { swInterfaceGetTable } from './api/interface.ts';
import { ipAddressDump, ipUnnumberedDump } from './api/ip.ts';
import type { VppClient } from './client.ts';
import type { Interface, Interfaces } from './interfaces.ts';
import { NO_INTERFACE } from './interfaces.ts';
import type { Links } from './links.ts';
import type { Pairs } from './pairs.ts';
import type { Subifs } from './subifs.ts';
import type { Tables } from './tables.ts';

const FAMILIES: readonly Family[] = [4, 6];
/** Interfaces whose addresses, and whose tables, are read in one go. */
const MOST_ADDRESSES = 256;
const MOST_TABLES = 16;
/** VPP has deleted the interface meanwhile. */
const NO_SUCH_INTERFACE = -2;
const NOTHING: ReadonlyMap<string, number> = new Map();

export interface SeenParts {
  readonly client: VppClient;
  readonly interfaces: Interfaces;
  readonly pairs: Pairs;
  readonly subifs: Subifs;
  readonly addresses: Addresses;
  readonly links: Links;
  readonly tables: Tables;
}

/** The next of a list, in turns. */
function turn<T>(all: readonly T[], from: number, most: number): readonly T[] {
  if (all.length <= most) return all;
  return Array.from({ length: most }, (_, i) => all[(from + i) % all.length] as T);
}

export class SeenInterfaces implements SeenSource {
  readonly #of: SeenParts;
  #isFollowed = false;
  /** Whether everything was read once since it is followed. */
  #isRead = false;
  #isReading = false;
  /** The end of the last reading or changing that was asked for. */
  #last: Promise<unknown> = Promise.resolve();
  #turn = 0;
  /** Interfaces that unnumbered ones have their addresses from, and what those have. */
  #lenders = new Map<number, number>();
  #lent = new Map<number, ReadonlyMap<string, number>>();
  #print = '';
  /** State and addresses of interfaces when something of ours ended last: what is otherwise then is somebody else's. */
  #marks = new Map<number, string>();

  constructor(parts: SeenParts) {
    this.#of = parts;
  }

  follow(on: boolean): void {
    if (on === this.#isFollowed) return;
    this.#isFollowed = on;
    this.#isRead = false;
    if (on) void this.#of.interfaces.look();
  }

  /** Reads everything before anybody asks: when a session begins. */
  async first(): Promise<void> {
    this.#isFollowed = true;
    await this.read();
  }

  /** Does something once what was asked for before has ended, and lets nothing else begin before it has. */
  async alone<T>(act: () => Promise<T>): Promise<T> {
    const before = this.#last;
    let end: () => void = () => undefined;
    this.#last = new Promise<void>((resolve) => {
      end = resolve;
    });
    await before;
    const marks = this.#markAll();
    try {
      return await act();
    } finally {
      for (const [index, mark] of this.#markAll()) if (marks.get(index) !== mark) this.#marks.set(index, mark);
      end();
    }
  }

  /** Whether anything was different. */
  async read(): Promise<boolean> {
    if (!this.#isFollowed || this.#isReading) return false;
    this.#isReading = true;
    try {
      return await this.alone(() => this.#read());
    } finally {
      this.#isReading = false;
    }
  }

  async #read(): Promise<boolean> {
    const { client, interfaces, addresses, links } = this.#of;
    const isThere = (index: number) => interfaces.get(index) !== undefined;
    const paired = this.#indices();
    const rows = await client.dump(ipUnnumberedDump, { sw_if_index: NO_INTERFACE });
    const lenders = new Map(rows.map((row) => [row.sw_if_index, row.ip_sw_if_index]));
    const most = this.#isRead ? MOST_ADDRESSES : paired.length;
    const looked = turn(paired, this.#turn * MOST_ADDRESSES, most);
    const asked = new Set([...looked, ...[...lenders.values()].filter(isThere)]);
    const found = new Map(await Promise.all([...asked].map(async (i) => [i, await this.#addressesOf(i)] as const)));
    const bound = turn(paired, this.#turn * MOST_TABLES, this.#isRead ? MOST_TABLES : paired.length);
    const tables = await Promise.all(
      bound.flatMap((i) => FAMILIES.map(async (f) => [i, f, await this.#tableOf(i, f)] as const)),
    );
    this.#turn++;
    // one that was deleted just now has nothing: that is no change of its addresses
    const lives = new Map(looked.map((i) => [i, interfaces.life(i)]));
    if (looked.some((i) => (addresses.known(i)?.size ?? 0) > (found.get(i)?.size ?? 0))) await interfaces.refresh();
    const still = looked.filter((i) => isThere(i) && lives.get(i) === interfaces.life(i));
    this.#lenders = lenders;
    this.#lent = new Map([...lenders.values()].map((i) => [i, found.get(i) ?? NOTHING]));
    for (const index of still) await addresses.had(index);
    for (const index of still) addresses.found(index, found.get(index) ?? NOTHING);
    for (const [index, family, table] of tables) if (table !== undefined) links.foundTable(index, family, table);
    for (const index of still) {
      const before = this.#marks.get(index);
      if (before !== undefined && before !== this.#markOf(index) && interfaces.get(index)?.up === true)
        await addresses.changedElsewhere(index);
    }
    this.#marks = this.#markAll();
    this.#isRead = true;
    return this.#isOther();
  }

  #markOf(index: number): string {
    const { interfaces, addresses } = this.#of;
    return `${interfaces.get(index)?.up} ${JSON.stringify([...(addresses.known(index) ?? [])].sort())}`;
  }

  #markAll(): Map<number, string> {
    const indices = this.#isFollowed ? this.#indices() : [];
    return new Map(indices.filter((i) => this.#of.addresses.known(i) !== undefined).map((i) => [i, this.#markOf(i)]));
  }

  /** Phys with a pair and their sub-interfaces. */
  #indices(): number[] {
    const { interfaces, pairs } = this.#of;
    const all = [...interfaces.all()].filter(({ parent }) => pairs.row(parent) !== undefined);
    return all.map(({ ifindex }) => ifindex);
  }

  #isOther(): boolean {
    const of = [...this.all()].map(([phy, { addresses, borrowed, ...rest }]) => [
      phy,
      rest,
      [...(addresses ?? [])].sort(),
      [...borrowed].sort(),
    ]);
    const print = JSON.stringify(of);
    const isOther = print !== this.#print;
    this.#print = print;
    return isOther;
  }

  async #addressesOf(sw_if_index: number): Promise<ReadonlyMap<string, number>> {
    const { client } = this.#of;
    const [four, six] = await Promise.all(
      [false, true].map((is_ipv6) => client.dump(ipAddressDump, { sw_if_index, is_ipv6 })),
    );
    return new Map([...(four ?? []), ...(six ?? [])].map(({ prefix }) => [formatIp(prefix.address), prefix.len]));
  }

  /** undefined when the interface is gone. */
  async #tableOf(sw_if_index: number, family: Family): Promise<number | undefined> {
    const asked = { sw_if_index, is_ipv6: family === 6 };
    try {
      return (await this.#of.client.request(swInterfaceGetTable, asked)).vrf_id;
    } catch (error) {
      if (error instanceof LcpError && error.retval === NO_SUCH_INTERFACE) return undefined;
      throw error;
    }
  }

  get(phy: string): Seen | undefined {
    const found = this.#isRead ? this.#of.subifs.interface(phy) : undefined;
    return found === undefined ? undefined : this.#seen(found);
  }

  *all(): Iterable<readonly [string, Seen]> {
    if (!this.#isRead) return;
    const { interfaces, subifs } = this.#of;
    for (const index of this.#indices()) {
      const found = interfaces.get(index);
      if (found === undefined || (found.parent !== index && found.tags.length === 0)) continue;
      yield [subifs.phyOf(found), this.#seen(found)];
    }
  }

  #seen(of: Interface): Seen {
    const { interfaces, pairs, addresses } = this.#of;
    const { ifindex, parent } = of;
    const lender = this.#lenders.get(ifindex);
    return {
      id: `${ifindex}.${interfaces.life(ifindex)}`,
      parent: parent === ifindex ? '' : (interfaces.get(parent)?.name ?? ''),
      tags: of.tags,
      subId: of.subId,
      up: of.up,
      mtu: of.mtu,
      paired: pairs.row(ifindex) !== undefined,
      addresses: addresses.known(ifindex),
      borrowed: (lender === undefined ? undefined : this.#lent.get(lender)) ?? NOTHING,
      tables: this.#tablesOf(ifindex),
    };
  }

  #tablesOf(ifindex: number): Readonly<Record<Family, string>> | undefined {
    const { links, tables } = this.#of;
    const [four, six] = FAMILIES.map((family) => {
      const id = links.knownTable(ifindex, family);
      if (id === undefined) return undefined;
      const home = tables.homeOf(family, id);
      return home === undefined ? `own ${id}` : tableKey(home.netns, family, home.table);
    });
    return four === undefined || six === undefined ? undefined : { 4: four, 6: six };
  }
}
