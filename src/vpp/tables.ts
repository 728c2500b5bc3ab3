// Tables: the kernel's routing tables and the VPP tables that stand for them.
//
// Invariants: a kernel table has a home, a VPP table. The main table of the first namespace is VPP's table 0 and its
// other tables keep their number; those of other namespaces are found by VPP's name of them, 'lcpd NETNS/v4/100'. The
// local table has the home of the main one: Linux looks both up as one. Where some interfaces go on from a table to another
// table than others do, it has copies besides: homes with the same routes that lead elsewhere ('lcpd NETNS/v4/100 #1').
// A home is there while a kernel table, an interface or a path set needs it; a VPP table that somebody else made is used
// and never removed. The handle of a table follows from its home, so that it is the same after a restart.

import { type Family, MPLS, type RouteFamily, type Table, tableKey } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { ipTableDump } from './api/ip.ts';
import { mplsTableAddDel, mplsTableDump } from './api/mpls.ts';
import type { VppClient } from './client.ts';
import { PrefixSet } from './prefixset.ts';
import { requestVariant, tableAddDel } from './variants.ts';

export const MAIN = 254;
export const LOCAL = 255;
const PREFIX = 'lcpd ';
/** First VPP table of namespaces that are not the first: no kernel uses such numbers for VRFs. */
const FIRST_OTHER = 0x0f00_0000;
/** Tables in which everything is punted. */
const PUNT = 0x0eff_ffff;
/** Table in which what CNFs send to groups is looked up (groupentries.ts); of IPv4 alone. */
const GROUPS = 0x0eff_fffe;
/** Handles of tables above: their numbers do not fit into them. */
const FIRST_FAR_HANDLE = 0xf000_0000;
const MAX_NEAR = 0x1000_0000;

/** A VPP table that stands for a kernel table. */
export interface Home {
  readonly vpp: number;
  readonly netns: string;
  readonly family: RouteFamily;
  /** The kernel's number: never LOCAL. */
  readonly table: number;
  /** Which of the copies it is, 0: the home itself. */
  readonly copy: number;
  /** Of a home itself: what else has its routes. */
  readonly copies: Home[];
  /** Whether it has those routes; only a new copy has not. */
  isFilled: boolean;
  /** Not made by us: never removed. */
  readonly isForeign: boolean;
  /** VPP had it before us, so that a kernel table may have been meant; until the core says which it has. */
  isFound: boolean;
  /** Who besides kernel tables needs it. */
  readonly users: Set<string>;
  /** The VPP table that is looked up when this one has nothing; undefined: none, null: not known. */
  next: number | undefined | null;
  /** Whether it has the routes of the local table too. */
  hasLocal: boolean;
  /** Whether what it holds was read, or is known because it was made by this lcpd. */
  isRead: boolean;
  /** Whether packets to 255.255.255.255 are taken, as Linux takes them without a route. */
  takesBroadcast: boolean;
  /** Prefixes whose entry is of VPP's source API, because they are on-link. */
  readonly onLink: PrefixSet;
  /** Prefixes that lead to the next table. */
  readonly throws: PrefixSet;
}

/** A kernel table, as routes refer to it. */
export interface Held {
  readonly table: Table;
  readonly handle: number;
  readonly home: Home;
}

/** The parts of a key of lcp/objects.ts, or of VPP's name of a table. */
export function parseTableKey(key: string): Table | undefined {
  const [, netns = '', text = '', table = ''] = /^(.*)\/(v4|v6|mpls)\/([0-9]+)$/.exec(key) ?? [];
  const family = ({ v4: 4, v6: 6, mpls: MPLS } as const)[text];
  return family === undefined ? undefined : { kind: 'table', netns, family, table: Number(table) };
}

/** VPP's name of a home without the prefix. */
const nameOf = (netns: string, family: RouteFamily, table: number, copy: number): string =>
  `${tableKey(netns, family, table)}${copy === 0 ? '' : ` #${copy}`}`;

/** The kernel table and the number of the copy that a name stands for. */
function parseName(name: string): readonly [Table | undefined, copy: number] {
  const [, key = '', copy = '0'] = /^(.*?)(?: #([1-9][0-9]{0,8}))?$/.exec(name) ?? [];
  return [parseTableKey(key), Number(copy)];
}

const familyCode = (family: RouteFamily): number => (family === MPLS ? 3 : family === 6 ? 2 : 1);

export class Tables {
  readonly #client: VppClient;
  readonly #first: string;
  /** By the key of the kernel table they are named after. */
  readonly #homes = new Map<string, Home>();
  readonly #byVpp = new Map<string, Home>();
  readonly #held = new Map<string, Held>();
  readonly #byHandle = new Map<number, Held>();
  /** VPP tables that others have, by family and number. */
  readonly #foreign = new Set<string>();
  readonly #punts = new Set<Family>();
  #hasGroups = false;
  #nextFar = FIRST_FAR_HANDLE;

  /** `first` is the namespace whose tables keep their numbers. */
  constructor(client: VppClient, first: string) {
    this.#client = client;
    this.#first = first;
  }

  /** Finds the homes that VPP has. */
  async read(): Promise<void> {
    const rows = (await this.#client.dump(ipTableDump, {})).map(({ table }) => ({
      family: table.is_ip6 ? (6 as const) : (4 as const),
      id: table.table_id,
      name: table.name,
    }));
    const labels =
      this.#client.unsupported(mplsTableDump) === undefined ? await this.#client.dump(mplsTableDump, {}) : [];
    const mpls = labels.map(({ mt_table: t }) => ({ family: MPLS, id: t.mt_table_id, name: t.mt_name }) as const);
    const copies: (() => Promise<unknown>)[] = [];
    for (const { family, id, name } of [...rows, ...mpls]) {
      const [named, copy] = name.startsWith(PREFIX) ? parseName(name.slice(PREFIX.length)) : [undefined, 0];
      if (named?.family === family && copy > 0)
        copies.push(async () => {
          const of = await this.need(named.netns, family, named.table);
          this.#add(named.netns, family, of.table, id, false, copy);
        });
      else if (named?.family === family) this.#add(named.netns, family, named.table, id, false).isFound = true;
      else if (id === PUNT && name.startsWith(PREFIX) && family !== MPLS) this.#punts.add(family);
      else if (id === GROUPS && name.startsWith(PREFIX) && family === 4) this.#hasGroups = true;
      else if (family === MPLS || id >= GROUPS) this.#foreign.add(`${family}:${id}`);
      else if (id !== 0) this.#add(this.#first, family, id, id, true);
    }
    for (const family of [4, 6] as const) this.#add(this.#first, family, MAIN, 0, true);
    for (const add of copies) await add();
    for (const home of this.#homes.values()) home.isRead = false;
  }

  #add(netns: string, family: RouteFamily, table: number, vpp: number, isForeign: boolean, copy = 0): Home {
    const home: Home = {
      vpp,
      netns,
      family,
      table,
      copy,
      copies: [],
      isFilled: true,
      isForeign,
      isFound: false,
      users: new Set(),
      next: null,
      hasLocal: table === MAIN && family !== MPLS,
      isRead: true,
      takesBroadcast: false,
      onLink: new PrefixSet(),
      throws: new PrefixSet(),
    };
    if (copy > 0) this.home(netns, family, table)?.copies.push(home);
    this.#homes.set(nameOf(netns, family, table, copy), home);
    this.#byVpp.set(`${family}:${vpp}`, home);
    return home;
  }

  /** Homes and their copies. */
  homes(): Iterable<Home> {
    return this.#homes.values();
  }

  home(netns: string, family: RouteFamily, table: number): Home | undefined {
    return this.#homes.get(tableKey(netns, family, table === LOCAL ? MAIN : table));
  }

  homeOf(family: RouteFamily, vpp: number): Home | undefined {
    return this.#byVpp.get(`${family}:${vpp}`);
  }

  held(): Iterable<Held> {
    return this.#held.values();
  }

  heldAs(netns: string, family: RouteFamily, table: number): Held | undefined {
    return this.#held.get(tableKey(netns, family, table));
  }

  byHandle(handle: number): Held | undefined {
    return this.#byHandle.get(handle);
  }

  /** The home of a kernel table, made when it is not there. */
  async need(netns: string, family: RouteFamily, asked: number): Promise<Home> {
    const table = asked === LOCAL ? MAIN : asked;
    const there = this.home(netns, family, table);
    if (there !== undefined) return there;
    const name = `${PREFIX}${tableKey(netns, family, table)}`;
    const vpp = this.#numberFor(netns, family, table);
    const isForeign = this.#foreign.has(`${family}:${vpp}`);
    if (!isForeign) await this.#addDel(true, family, vpp, name);
    return this.#add(netns, family, table, vpp, isForeign);
  }

  /** Makes another copy of a home, which is empty yet. */
  async copy({ netns, family, table, copies }: Home): Promise<Home> {
    const taken = new Set(copies.map(({ copy }) => copy));
    let copy = 1;
    while (taken.has(copy)) copy++;
    const vpp = this.#freeNumber(family);
    await this.#addDel(true, family, vpp, `${PREFIX}${nameOf(netns, family, table, copy)}`);
    const made = this.#add(netns, family, table, vpp, false, copy);
    made.isFilled = false;
    return made;
  }

  #numberFor(netns: string, family: RouteFamily, table: number): number {
    if (netns === this.#first && family === MPLS) return 0;
    if (netns === this.#first && table < GROUPS) return table;
    return this.#freeNumber(family);
  }

  #freeNumber(family: RouteFamily): number {
    for (let vpp = FIRST_OTHER; ; vpp++) {
      if (!this.#byVpp.has(`${family}:${vpp}`) && !this.#foreign.has(`${family}:${vpp}`)) return vpp;
    }
  }

  async #addDel(is_add: boolean, family: RouteFamily, table_id: number, name: string): Promise<void> {
    const options = { key: `table ${name.slice(PREFIX.length)}` };
    if (family === MPLS) {
      const mt_table = { mt_table_id: table_id, mt_name: name };
      await this.#client.request(mplsTableAddDel, { mt_is_add: is_add, mt_table }, options);
      return;
    }
    const table = { table_id, is_ip6: family === 6, name };
    await requestVariant(this.#client, tableAddDel, { is_add, table, create_mfib: true }, options);
  }

  /** Makes the table in which all is punted; `fill` writes what it consists of. */
  async needPunt(family: Family, fill: (vpp: number) => Promise<void>): Promise<void> {
    if (this.#punts.has(family)) return;
    await this.#addDel(true, family, PUNT, `${PREFIX}punt`);
    await fill(PUNT);
    this.#punts.add(family);
  }

  /** Ends that table; `empty` takes out what it consists of. */
  async dropPunt(family: Family, empty: (vpp: number) => Promise<void>): Promise<void> {
    if (!this.#punts.delete(family)) return;
    await empty(PUNT);
    await this.#addDel(false, family, PUNT, `${PREFIX}punt`);
  }

  puntTable(): number {
    return PUNT;
  }

  /** Makes the table for groups; `fill` writes what it consists of. Doing it again does nothing. */
  async needGroups(fill: (vpp: number) => Promise<void>): Promise<number> {
    if (!this.#hasGroups) {
      await this.#addDel(true, 4, GROUPS, `${PREFIX}groups`);
      await fill(GROUPS);
      this.#hasGroups = true;
    }
    return GROUPS;
  }

  /** Ends that table; `empty` takes out what it consists of. */
  async dropGroups(empty: (vpp: number) => Promise<void>): Promise<void> {
    if (!this.#hasGroups) return;
    await empty(GROUPS);
    await this.#addDel(false, 4, GROUPS, `${PREFIX}groups`);
    this.#hasGroups = false;
  }

  /** The table for groups, undefined where there is none. */
  groupTable(): number | undefined {
    return this.#hasGroups ? GROUPS : undefined;
  }

  /** Takes a kernel table in. */
  async set(table: Table): Promise<Held> {
    const key = tableKey(table.netns, table.family, table.table);
    const there = this.#held.get(key);
    if (there !== undefined) return there;
    return this.adopt(table, await this.need(table.netns, table.family, table.table));
  }

  /** Takes in a kernel table whose home is known. */
  adopt(table: Table, home: Home): Held {
    const key = tableKey(table.netns, table.family, table.table);
    const there = this.#held.get(key);
    if (there !== undefined) return there;
    const held = { table, handle: this.#handleOf(home, table.table === LOCAL), home };
    this.#held.set(key, held);
    this.#byHandle.set(held.handle, held);
    return held;
  }

  #handleOf({ vpp, family }: Home, isLocal: boolean): number {
    if (vpp >= MAX_NEAR) return this.#nextFar++;
    return (vpp << 3) | (familyCode(family) << 1) | (isLocal ? 1 : 0);
  }

  /** Lets a kernel table go, whose routes are gone; its home stays. */
  drop(table: Table): void {
    const key = tableKey(table.netns, table.family, table.table);
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#byHandle.delete(held.handle);
    if (table.table !== LOCAL) held.home.isFound = false;
  }

  /** Whether a kernel table, an interface or a path set needs a home. */
  isNeeded(home: Home): boolean {
    if (home.copy > 0) return home.users.size > 0;
    const isHeld = (table: number) => this.#held.has(tableKey(home.netns, home.family, table));
    return home.users.size + home.copies.length > 0 || isHeld(home.table) || (home.table === MAIN && isHeld(LOCAL));
  }

  /** Removes a home that nothing needs any more. */
  async release(home: Home): Promise<void> {
    if (this.isNeeded(home) || home.isForeign) return;
    const name = nameOf(home.netns, home.family, home.table, home.copy);
    await this.#addDel(false, home.family, home.vpp, `${PREFIX}${name}`);
    this.#homes.delete(name);
    const copies = this.home(home.netns, home.family, home.table)?.copies;
    if (home.copy > 0) copies?.splice(copies.indexOf(home), 1);
    this.#byVpp.delete(`${home.family}:${home.vpp}`);
  }

  /** As an error where a table must be. */
  required(handle: number): Held {
    const held = this.#byHandle.get(handle);
    if (held === undefined)
      throw new LcpError('REFUSED', { op: 'find table', key: String(handle), message: 'no such table' });
    return held;
  }
}
