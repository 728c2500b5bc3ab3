/**
 * Churn: random operations on every object that the kernel of a namespace has, as lines of a script (script.ts).
 *
 * Invariants: an operation that the kernel has no object for (`needs`) is left out, so one generator serves every
 * kernel. A group's weight is its share of all operations, an operation's its share of the group.
 */
import {
  addressOperations,
  allNexthops,
  linkOperations,
  neighbourOperations,
  nexthopOperations,
  settingOperations,
} from './churnlinks.ts';
import type { Operation, Pool } from './churnpool.ts';
import { routeOperations } from './churnroutes.ts';

/** Operations by name, and their share. */
export type Groups = Readonly<
  Record<string, { readonly weight: number; readonly of: Readonly<Record<string, Operation>> }>
>;

const groups: Groups = {
  route: { weight: 68, of: routeOperations },
  nexthop: { weight: 10, of: nexthopOperations },
  address: { weight: 8, of: addressOperations },
  neighbour: { weight: 7, of: neighbourOperations },
  link: { weight: 5, of: linkOperations },
  setting: { weight: 2, of: settingOperations },
};

/** Every feature that some operation needs. */
export const needs: readonly string[] = [
  ...new Set(
    Object.values(groups).flatMap((g) => Object.values(g.of).flatMap((o) => (o.needs === undefined ? [] : [o.needs]))),
  ),
];

export class Churn {
  readonly #pool: Pool;
  readonly #has: ReadonlySet<string>;
  readonly #groups: Groups;

  /** @param has which of `needs` the kernel has; @param more operations beside those on any kernel */
  constructor(pool: Pool, has: ReadonlySet<string>, more: Groups = {}) {
    this.#pool = pool;
    this.#has = has;
    this.#groups = { ...groups, ...more };
  }

  /** Names of the operations that this kernel can take. */
  get operations(): string[] {
    return Object.entries(this.#groups).flatMap(([group, { of }]) =>
      Object.entries(of)
        .filter(([, o]) => this.#possible(o))
        .map(([name]) => `${group}.${name}`),
    );
  }

  #possible(o: Operation): boolean {
    return o.needs === undefined || this.#has.has(o.needs);
  }

  nexthops(): string[] {
    return allNexthops(this.#pool);
  }

  /** At least so many lines. */
  batch(length: number): string[] {
    const lines: string[] = [];
    while (lines.length < length) lines.push(...this.#one());
    return lines;
  }

  #one(): readonly string[] {
    const weights = (of: object, weight: (name: string) => number): Record<string, number> =>
      Object.fromEntries(Object.keys(of).map((name) => [name, weight(name)]));
    const random = this.#pool.random;
    const all = this.#groups;
    const group = all[random.weighted(weights(all, (name) => all[name]?.weight ?? 0))];
    if (group === undefined) throw new Error('no such group of operations');
    const chosen = random.weighted(
      weights(group.of, (name) => {
        const o = group.of[name] as Operation;
        return this.#possible(o) ? o.weight : 0;
      }),
    );
    const lines = group.of[chosen]?.lines(this.#pool) ?? [];
    return typeof lines === 'string' ? [lines] : lines;
  }
}
