// PathTable: path sets under the handles that routes have, encoded once for all routes that use them.
//
// Invariants: VPP has no object for a path set: a handle lives here only, and after a restart the sets are found again in
// the routes that have them. What VPP shows of a set finds its handle by its bytes, else by its legs. Two sets that VPP
// cannot tell apart have one handle; it ends when each of them was removed. A set that is replaced keeps its handle,
// and its routes are sent again by the core.

import { FIRST_HANDLE, MPLS, type Path, type PathSet, pathsText, type RouteFamily, SPECIAL } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import type { Places } from './paths.ts';
import {
  approximated,
  ENDED_PHY,
  isOnLink,
  leadsOn,
  legsOf,
  objection,
  pathsOf,
  specialOf,
  specialPath,
} from './paths.ts';
import type { EncodedPaths, FibPath } from './routebatch.ts';
import { encodePaths } from './routebatch.ts';

/** Which routes paths are encoded for: IPv4, IPv6, a label that is the last one, a label that is not. */
export type PathUse = 4 | 6 | 'last' | 'labelled';

interface Entry {
  /** As the core has them, or as they were read. */
  told: readonly Path[];
  /** As VPP has them. */
  paths: readonly Path[];
  text: string;
  /** Path sets of the core that have the handle, and one for those that were read back. */
  holders: number;
  onLink: boolean;
  /** undefined: an interface of its legs is not there. */
  encoded: Map<PathUse, EncodedPaths | undefined>;
}

const familyOf = (use: PathUse): RouteFamily => (use === 4 || use === 6 ? use : MPLS);

export class PathTable {
  readonly #places: Places;
  readonly #entries = new Map<number, Entry>();
  readonly #byText = new Map<string, number>();
  readonly #byBytes = new Map<string, number>();
  #next = FIRST_HANDLE;

  constructor(places: Places) {
    this.#places = places;
  }

  /** Takes a path set in; `handle` is the one it had, or 0. The handle that it has now: another one with other paths. Throws PORT_REFUSED or REFUSED. */
  set(set: PathSet, handle: number): number {
    const paths = approximated(set.paths);
    for (const path of paths) {
      const wrong = objection(path);
      if (wrong !== undefined) throw new LcpError('REFUSED', { op: 'set path', key: path.phy, message: wrong });
      if (path.phy !== '' && this.#places.ifindex(path.phy) === undefined)
        throw new LcpError('PORT_REFUSED', { op: 'set path', key: path.phy, message: `${path.phy} has no port` });
    }
    const text = pathsText(paths);
    const before = this.#entries.get(handle);
    if (before?.text === text) {
      before.told = set.paths;
      before.encoded.clear();
      return handle;
    }
    // what a handle stands for never changes: a route that has it has these paths
    this.delete(handle);
    return this.#hold(set.paths, paths, text);
  }

  #hold(told: readonly Path[], paths: readonly Path[], text: string): number {
    const known = this.#byText.get(text);
    const entry = known === undefined ? undefined : this.#entries.get(known);
    if (known !== undefined && entry !== undefined) {
      entry.holders++;
      entry.told = told;
      entry.encoded.clear();
      return known;
    }
    const handle = this.#next++;
    this.#entries.set(handle, { told, paths, text, holders: 1, onLink: isOnLink(paths), encoded: new Map() });
    this.#byText.set(text, handle);
    return handle;
  }

  delete(handle: number): void {
    const entry = this.#entries.get(handle);
    if (entry === undefined || --entry.holders > 0) return;
    this.#entries.delete(handle);
    this.#forgetText(handle, entry);
  }

  #forgetText(handle: number, { text }: Entry): void {
    if (this.#byText.get(text) === handle) this.#byText.delete(text);
    for (const [bytes, of] of this.#byBytes) if (of === handle) this.#byBytes.delete(bytes);
  }

  /** Whether routes may lead there. */
  has(target: number): boolean {
    return target < FIRST_HANDLE ? target > 0 && target <= SPECIAL.punt : this.#entries.has(target);
  }

  isOnLink(target: number): boolean {
    return this.#entries.get(target)?.onLink === true;
  }

  /** Whether some leg of a target reaches its packets' own destination on the wire of a phy. */
  isOnLinkOf(target: number, phy: string): boolean {
    return this.#entries.get(target)?.paths.some((path) => path.phy === phy && path.via === '') === true;
  }

  /** Whether packets are looked up once more in the end, by some leg. */
  leadsOn(target: number, family: RouteFamily): boolean {
    if (target === SPECIAL.throw) return true;
    if (target === SPECIAL.punt) return family !== 4;
    return leadsOn(this.#entries.get(target)?.paths ?? [], family);
  }

  paths(handle: number): readonly Path[] | undefined {
    return this.#entries.get(handle)?.told;
  }

  handles(): Iterable<number> {
    return this.#entries.keys();
  }

  /** Interfaces have other numbers now, or tables are others. */
  placesChanged(): void {
    for (const entry of this.#entries.values()) entry.encoded.clear();
    this.#byBytes.clear();
  }

  /** Bytes of a target's paths; undefined when it has none. `next` is where `throw` leads. */
  encoded(target: number, use: PathUse, next: number | undefined): EncodedPaths | undefined {
    if (target < FIRST_HANDLE) {
      const path = specialPath(target, familyOf(use), next, this.#places);
      return path === undefined ? undefined : encodePaths([path]);
    }
    const entry = this.#entries.get(target);
    if (entry === undefined) return undefined;
    if (!entry.encoded.has(use)) {
      const paths = pathsOf(entry.paths, familyOf(use), use === 'labelled', this.#places);
      entry.encoded.set(use, paths === undefined ? undefined : encodePaths(paths));
    }
    return entry.encoded.get(use);
  }

  /** The target that bytes of VPP's paths stand for; `decode` reads them where they were not seen before. */
  targetOf(bytes: string, family: RouteFamily, decode: () => readonly FibPath[]): number {
    const key = `${family} ${bytes}`;
    const known = this.#byBytes.get(key);
    if (known !== undefined) return known;
    const target = this.targetOfPaths(decode(), family);
    this.#byBytes.set(key, target);
    return target;
  }

  /** The target that paths of VPP stand for. */
  targetOfPaths(paths: readonly FibPath[], family: RouteFamily): number {
    return specialOf(paths) || this.#find(legsOf(paths, family, this.#places));
  }

  /** A target that no route can be wanted to have. */
  unwanted(): number {
    return this.#find([{ phy: ENDED_PHY, via: '', weight: 1 }]);
  }

  /** The handle of legs that were read; they hold it from now on. */
  #find(paths: readonly Path[]): number {
    const text = pathsText(paths);
    return this.#byText.get(text) ?? this.#hold(paths, paths, text);
  }
}
