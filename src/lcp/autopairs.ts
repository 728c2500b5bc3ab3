// AutoPairs: pairs for interfaces of the data plane whose names match a pattern of the configuration.
//
// Invariants: a pair that the configuration names comes first; of two that would have one host, the one that was there
// first has it, and the other is told. What the star of a phy's pattern stands for is put in the place of that of the
// host, with '-' for everything that a Linux interface is better not called by. A pair lasts while its interface does: one that
// is not there after the data plane was started again is waited for, because interfaces come one by one.

import type { PhySource } from './dataplane.ts';
import type { PairSpec } from './pairs.ts';

export interface AutoPair {
  /** Name of interfaces, with at most one '*', which stands for any characters. */
  readonly phy: string;
  /** Name of the host; its '*' stands for the same. */
  readonly host: string;
  readonly netns: string;
}

/** Longest name of a Linux interface, in bytes. */
const NAME_BYTES = 15;

/** What the star stands for in a name, '' without a star; undefined when the name does not match. */
export const starOf = (pattern: string, name: string): string | undefined => {
  const at = pattern.indexOf('*');
  if (at < 0) return pattern === name ? '' : undefined;
  const [before, after] = [pattern.slice(0, at), pattern.slice(at + 1)];
  const isMatch = name.length >= before.length + after.length && name.startsWith(before) && name.endsWith(after);
  return isMatch ? name.slice(before.length, name.length - after.length) : undefined;
};

/** Host of an interface by a pattern that it matches. */
export const hostOf = (pattern: AutoPair, star: string): string =>
  pattern.host.replace('*', () => star.replace(/[^A-Za-z0-9_.-]+/g, '-').replace(/^-|-$/g, ''));

export class AutoPairs {
  #patterns: readonly AutoPair[] = [];
  #specs = new Map<string, PairSpec>();
  /** Names that the data plane has shown since it was started. */
  #shown = new Set<string>();
  /** Why an interface that matches has no pair, by its name. */
  readonly problems = new Map<string, string>();

  configure(patterns: readonly AutoPair[]): void {
    this.#patterns = patterns;
  }

  /** The data plane was started again: what it does not have yet may come. */
  started(): void {
    this.#shown.clear();
  }

  /** The pairs to be beside those that the configuration names. */
  specs(phys: PhySource | undefined, named: readonly PairSpec[]): PairSpec[] {
    const names = new Set(phys?.names?.() ?? []);
    const taken = new Map(named.map((spec) => [`${spec.netns} ${spec.host}`, spec.phy]));
    const isNamed = new Set(named.map(({ phy }) => phy));
    const next = new Map<string, PairSpec>();
    this.problems.clear();
    const kept = [...this.#specs.keys()].filter((phy) => names.has(phy) || !this.#shown.has(phy));
    for (const phy of new Set([...kept, ...[...names].sort()])) {
      if (isNamed.has(phy)) continue;
      const spec = this.#specOf(phy, phys);
      if (spec === undefined) continue;
      const place = `${spec.netns} ${spec.host}`;
      const owner = taken.get(place);
      if (owner !== undefined) this.problems.set(phy, `host ${spec.host} is that of ${owner}`);
      else if (Buffer.byteLength(spec.host) > NAME_BYTES || /^\.*$/.test(spec.host))
        this.problems.set(phy, `host "${spec.host}" is no interface name of 1 to ${NAME_BYTES} bytes`);
      else {
        taken.set(place, phy);
        next.set(phy, spec);
      }
    }
    for (const name of names) this.#shown.add(name);
    this.#specs = next;
    return [...next.values()];
  }

  #specOf(phy: string, phys: PhySource | undefined): PairSpec | undefined {
    for (const pattern of this.#patterns) {
      const star = starOf(pattern.phy, phy);
      if (star === undefined) continue;
      const wire = phys?.byName(phy);
      const type = wire === undefined ? (this.#specs.get(phy)?.type ?? 'tap') : wire.ethernet ? 'tap' : 'tun';
      return { phy, host: hostOf(pattern, star), netns: pattern.netns, type };
    }
    return undefined;
  }
}
