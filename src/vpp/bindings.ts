// Bindings: in which order interfaces look tables up, as VPP tables that lead to each other.
//
// Invariants: an interface of VPP is in one table of each family. What it is looked up in after that follows from the table:
// so where interfaces go on from a table to different ones, or only some look up the local table with it, each way has a
// home of its own, all but one of them copies. A way that VPP has is kept. The local table is no step of its own: it is
// looked up together with the table behind it. Tables that the kernel has not are left out of the way until it has them.
// A copy is filled before anything leads to it, and ends when no way leads through it and no interface is in it.
// Reference: docs/design.md, which tables.

import type { RouteBatch } from '../lcp/dataplane.ts';
import { type Family, type Link, tableKey } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import type { Routes } from './routes.ts';
import type { Home, Tables } from './tables.ts';
import { LOCAL, MAIN, parseTableKey } from './tables.ts';

const FAMILIES: readonly Family[] = [4, 6];

/** A table on the way, and whether the local one is looked up with it. */
interface Step {
  readonly netns: string;
  readonly table: number;
  readonly hasLocal: boolean;
}

/** What an interface asked for. */
interface Wish {
  readonly 4: readonly string[];
  readonly 6: readonly string[];
}

/** The steps of a lookup; undefined when VPP cannot take them. */
export function stepsOf(keys: readonly string[]): readonly Step[] | undefined {
  const steps: Step[] = [];
  let hasLocal = false;
  for (const key of keys) {
    const named = parseTableKey(key);
    if (named === undefined) return undefined;
    if (named.table === LOCAL) {
      hasLocal = true;
      continue;
    }
    steps.push({ netns: named.netns, table: named.table, hasLocal: hasLocal || named.table === MAIN });
    hasLocal = false;
  }
  return hasLocal ? undefined : steps;
}

/** How packets go on from a home. */
interface Way {
  readonly next: Home | undefined;
  readonly hasLocal: boolean;
}

export interface BindingsParts {
  /** What a home has, as batches of routes. */
  routesOf(home: Home): Promise<readonly RouteBatch[]>;
  /** Puts an interface that was bound into another home. */
  move(phy: string, family: Family, home: Home): Promise<void>;
  /** Whether some interface of VPP is in a home. */
  isInhabited(home: Home): Promise<boolean>;
}

const isSame = (a: Way, b: Way): boolean => a.next === b.next && a.hasLocal === b.hasLocal;

export class Bindings {
  readonly #tables: Tables;
  readonly #routes: Routes;
  readonly #parts: BindingsParts;
  readonly #wishes = new Map<string, Wish>();
  /** Homes that an interface was looked up in: what others lead to is of an earlier lcpd, which is not to be undone yet. */
  readonly #managed = new Set<Home>();
  /** How all ways lead. */
  readonly #ways = new Map<Home, Way>();
  /** Where the way of an interface begins, by family and phy. */
  readonly #firsts = new Map<string, Home>();
  #isSettled = true;

  constructor(tables: Tables, routes: Routes, parts: BindingsParts) {
    this.#tables = tables;
    this.#routes = routes;
    this.#parts = parts;
  }

  /** Whether VPP's tables lead as was wished when they were settled last. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Says what an interface is looked up in, before any of a batch is set: what they agree on is no conflict. */
  wish({ phy, lookup4, lookup6 }: Link): void {
    this.#wishes.set(phy, { 4: lookup4, 6: lookup6 });
  }

  /** Whether an interface is known to be looked up as a link says. */
  isWished({ phy, lookup4, lookup6 }: Link): boolean {
    const wish = this.#wishes.get(phy);
    return wish?.[4].join() === lookup4.join() && wish[6].join() === lookup6.join();
  }

  /** Forgets an interface; its table stays while others need it. */
  async forget(phy: string): Promise<void> {
    if (!this.#wishes.delete(phy)) return;
    await this.settle();
    for (const home of [...this.#tables.homes()]) {
      if (home.users.delete(phy)) await this.releaseEmpty(home);
    }
  }

  /** The home of what a lookup that is no interface's begins with; undefined when it is looked up in nothing. */
  async homeOf(keys: readonly string[], family: Family): Promise<Home | undefined> {
    const [first] = this.#stepsOf(keys);
    return first === undefined ? undefined : this.#tables.need(first.netns, family, first.table);
  }

  /** The home that an interface is to be in, whose wish is settled; undefined when it is looked up in nothing. */
  homeFor(phy: string, keys: readonly string[], family: Family): Home | undefined {
    if (this.#stepsOf(keys).length === 0) return undefined;
    const home = this.#firsts.get(`${family} ${phy}`);
    if (home === undefined)
      throw new LcpError('REFUSED', { op: 'bind tables', key: phy, message: `the tables of ${phy} could not be made` });
    return home;
  }

  #stepsOf(keys: readonly string[]): readonly Step[] {
    const steps = stepsOf(keys);
    if (steps === undefined) {
      throw new LcpError('NOT_SUPPORTED', {
        op: 'bind tables',
        key: keys.join(' '),
        message: 'VPP cannot look up the local table last',
      });
    }
    return steps;
  }

  /** The interface is in a home now, and needs no other one. */
  async bound(phy: string, family: Family, home: Home | undefined): Promise<void> {
    home?.users.add(phy);
    if (home !== undefined) await this.#routes.takeBroadcast(home, true);
    for (const other of [...this.#tables.homes()]) {
      if (other.family !== family || other === home) continue;
      if (other.users.delete(phy)) await this.releaseEmpty(other);
      else await this.#endCopy(other);
    }
  }

  /** Removes a home that nothing needs, with what we put into it. */
  async releaseEmpty(home: Home): Promise<void> {
    const isThere = this.#tables.homeOf(home.family, home.vpp) === home;
    if (!isThere || this.#tables.isNeeded(home) || this.#ways.has(home)) return;
    await this.#routes.empty(home);
    await this.#tables.release(home);
    this.#managed.delete(home);
    const { copy, netns, family, table } = home;
    const of = copy === 0 ? undefined : this.#tables.home(netns, family, table);
    if (of !== undefined) await this.releaseEmpty(of);
  }

  /**
   * Makes VPP's tables lead where all interfaces want them to, and moves those that are in another home now, except some
   * whose links are about to be set.
   */
  async settle(except: ReadonlySet<string> = new Set()): Promise<void> {
    this.#isSettled = false;
    this.#ways.clear();
    this.#firsts.clear();
    for (const family of FAMILIES) await this.#plan(family);
    for (const home of this.#ways.keys()) this.#managed.add(home);
    for (const home of this.#managed) {
      const way = this.#ways.get(home);
      await this.#routes.copyLocals(home, way?.hasLocal ?? home.table === MAIN);
      await this.#routes.chain(home, way?.next?.vpp);
    }
    for (const [key, home] of this.#firsts) if (!except.has(key.slice(2))) await this.#moveInto(key.slice(2), home);
    for (const home of [...this.#tables.homes()]) await this.#endCopy(home);
    this.#isSettled = true;
  }

  /** Moves an interface that is bound elsewhere; one that is not yet is bound when its link is set. */
  async #moveInto(phy: string, home: Home): Promise<void> {
    if (home.users.has(phy)) return;
    const isBound = [...this.#tables.homes()].some(({ family, users }) => family === home.family && users.has(phy));
    if (isBound && (home.family === 4 || home.family === 6)) await this.#parts.move(phy, home.family, home);
  }

  /** Ends a copy that nothing leads through; one of an earlier lcpd may have interfaces that are not known yet. */
  async #endCopy(home: Home): Promise<void> {
    if (home.copy === 0 || this.#ways.has(home) || this.#tables.isNeeded(home)) return;
    const isReached = [...this.#tables.homes()].some(({ family, next }) => family === home.family && next === home.vpp);
    if (!isReached && !(await this.#parts.isInhabited(home))) await this.releaseEmpty(home);
  }

  /** Finds the ways of all interfaces, first those that VPP has already. */
  async #plan(family: Family): Promise<void> {
    const open = new Map<string, readonly Step[]>();
    for (const [phy, wish] of this.#wishes) {
      const [first, ...rest] = stepsOf(wish[family]) ?? [];
      if (first === undefined) continue;
      await this.#tables.need(first.netns, family, first.table);
      const held = rest.filter(({ netns, table }) => this.#tables.heldAs(netns, family, table) !== undefined);
      open.set(phy, [first, ...held]);
    }
    for (const [phy, steps] of open) if (this.#placeAsItIs(`${family} ${phy}`, steps, family)) open.delete(phy);
    for (const [phy, steps] of open) {
      let next: Home | undefined;
      for (const { netns, table, hasLocal } of steps.toReversed()) {
        const home = await this.#tables.need(netns, family, table);
        next = await this.#homeThat(home, { next, hasLocal });
      }
      if (next !== undefined) this.#firsts.set(`${family} ${phy}`, next);
    }
  }

  /** Takes a way that VPP's tables have from end to end. */
  #placeAsItIs(key: string, steps: readonly Step[], family: Family): boolean {
    const found: [Home, Way][] = [];
    for (const { netns, table, hasLocal } of steps.toReversed()) {
      const way = { next: found.at(-1)?.[0], hasLocal };
      const same = this.#variants(this.#tables.home(netns, family, table)).find((home) => this.#leads(home, way));
      if (same === undefined) return false;
      found.push([same, way]);
    }
    for (const [home, way] of found) this.#ways.set(home, way);
    const first = found.at(-1)?.[0];
    if (first !== undefined) this.#firsts.set(key, first);
    return true;
  }

  #variants(home: Home | undefined): readonly Home[] {
    return home === undefined ? [] : [home, ...home.copies];
  }

  /** Whether a home leads so, by what is planned or else by what VPP has. */
  #leads(home: Home, way: Way): boolean {
    const planned = this.#ways.get(home);
    if (planned !== undefined) return isSame(planned, way);
    // of one that was found, no local routes may mean that there were none
    const isLocal = home.hasLocal === way.hasLocal || !this.#managed.has(home);
    return home.isFilled && (home.next ?? undefined) === way.next?.vpp && isLocal;
  }

  /** The home or a copy of it that leads so; made when all others lead elsewhere. */
  async #homeThat(home: Home, way: Way): Promise<Home> {
    const variants = this.#variants(home);
    const there = variants.find((each) => this.#leads(each, way)) ?? variants.find((each) => !this.#ways.has(each));
    const found = there ?? (await this.#tables.copy(home));
    if (!found.isFilled) await this.#routes.fill(found, await this.#parts.routesOf(home));
    this.#ways.set(found, way);
    return found;
  }

  /** The kernel tables that a VPP table stands for, with those behind it. */
  keysFrom(family: Family, vpp: number): readonly string[] {
    const keys: string[] = [];
    const seen = new Set<Home>();
    let home = this.#tables.homeOf(family, vpp);
    while (home !== undefined && !seen.has(home)) {
      seen.add(home);
      if (home.hasLocal) keys.push(tableKey(home.netns, family, LOCAL));
      keys.push(tableKey(home.netns, family, home.table));
      home = typeof home.next === 'number' ? this.#tables.homeOf(family, home.next) : undefined;
    }
    return keys;
  }
}
