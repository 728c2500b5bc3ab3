// Bindings: in which order interfaces look tables up, as VPP tables that lead to each other.
//
// Invariants: an interface of VPP is in one table of each family. What it is looked up in after that follows from the table:
// so interfaces that share their first table share all of them, and one that cannot is refused by name. The local table
// is no step of its own: it is looked up together with the table behind it. Tables that the kernel has not are left
// out of the way until it has them. Reference: docs/design.md, which tables.

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

export class Bindings {
  readonly #tables: Tables;
  readonly #routes: Routes;
  readonly #wishes = new Map<string, Wish>();
  /** Homes that an interface was looked up in: what others lead to is of an earlier lcpd, which is not to be undone yet. */
  readonly #managed = new Set<Home>();
  /** Interfaces whose way VPP cannot have besides another's. */
  readonly #conflicts = new Map<string, string>();

  constructor(tables: Tables, routes: Routes) {
    this.#tables = tables;
    this.#routes = routes;
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

  /** The home of what a lookup begins with; undefined when it is looked up in nothing. */
  async homeOf(keys: readonly string[], family: Family): Promise<Home | undefined> {
    const steps = stepsOf(keys);
    if (steps === undefined) {
      throw new LcpError('NOT_SUPPORTED', {
        op: 'bind tables',
        key: keys.join(' '),
        message: 'VPP cannot look up the local table last',
      });
    }
    const [first] = steps;
    return first === undefined ? undefined : this.#tables.need(first.netns, family, first.table);
  }

  /** The interface is in a home now, and needs no other one. */
  async bound(phy: string, family: Family, home: Home | undefined): Promise<void> {
    home?.users.add(phy);
    if (home !== undefined) await this.#routes.takeBroadcast(home, true);
    for (const other of [...this.#tables.homes()]) {
      if (other.family === family && other !== home && other.users.delete(phy)) await this.releaseEmpty(other);
    }
  }

  /** Removes a home that nothing needs, with what we put into it. */
  async releaseEmpty(home: Home): Promise<void> {
    if (this.#tables.isNeeded(home)) return;
    await this.#routes.empty(home);
    await this.#tables.release(home);
    this.#managed.delete(home);
  }

  /** Why an interface cannot have its tables, undefined when it can. */
  conflict(phy: string): string | undefined {
    return this.#conflicts.get(phy);
  }

  /** Makes VPP's tables lead where all interfaces want them to. */
  async settle(): Promise<void> {
    this.#conflicts.clear();
    for (const family of FAMILIES) {
      const next = new Map<Home, Home | undefined>();
      const locals = new Set<Home>();
      for (const [phy, wish] of this.#wishes) await this.#join(phy, wish[family], family, next, locals);
      for (const home of next.keys()) this.#managed.add(home);
      for (const home of this.#managed) {
        if (home.family !== family) continue;
        await this.#routes.copyLocals(home, locals.has(home) || home.table === MAIN);
        await this.#routes.chain(home, next.get(home)?.vpp);
      }
    }
  }

  /** Adds the way of one interface to that of all. */
  async #join(
    phy: string,
    keys: readonly string[],
    family: Family,
    next: Map<Home, Home | undefined>,
    locals: Set<Home>,
  ): Promise<void> {
    const steps = stepsOf(keys) ?? [];
    const [first] = steps;
    if (first === undefined) return;
    const way = [{ home: await this.#tables.need(first.netns, family, first.table), hasLocal: first.hasLocal }];
    for (const { netns, table, hasLocal } of steps.slice(1)) {
      const held = this.#tables.heldAs(netns, family, table);
      if (held !== undefined) way.push({ home: held.home, hasLocal });
    }
    for (const [i, { home, hasLocal }] of way.entries()) {
      const after = way[i + 1]?.home;
      const isOther = next.has(home) && next.get(home) !== after;
      if (isOther || (!hasLocal && locals.has(home))) {
        const key = tableKey(home.netns, family, home.table);
        this.#conflicts.set(phy, `another interface goes on from table ${key} to another table than ${phy}`);
        return;
      }
    }
    for (const [i, { home, hasLocal }] of way.entries()) {
      next.set(home, way[i + 1]?.home);
      if (hasLocal) locals.add(home);
    }
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
