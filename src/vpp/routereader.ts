// RouteReader: the entries of ours that VPP's tables have.
//
// Invariants: VPP tells of an entry its best source and the paths of that; one whose best source is another is not told
// when a source is asked for. So a table is read whole, once, and a route of ours below a better one is not seen: the
// core sends it again. What has no mark of ours is not handed over.

import { newRouteBatch, ROUTE_WORDS, type RouteBatch } from '../lcp/dataplane.ts';
import { type Family, SPECIAL } from '../lcp/objects.ts';
import { fibPath } from './api/fibtypes.ts';
import { ipRouteV2Dump } from './api/route.ts';
import type { VppClient } from './client.ts';
import { isMarked, specialOf } from './paths.ts';
import type { PathTable } from './pathtable.ts';
import { isLimitedBroadcast, maskWord, type Prefix } from './prefixset.ts';
import { type FibPath, RouteRow } from './routebatch.ts';
import type { Sources } from './sources.ts';
import type { Home } from './tables.ts';

const BATCH = 4096;
/** Where the next hop's address lies in a path. */
const NEXT_HOP_AT = 26;

/** The path without its next hop. */
const attached = (path: FibPath): FibPath => ({ ...path, nh: { ...path.nh, address: new Uint8Array(16) } });

/** Calls back for each entry whose best source is `source`, or for every one (0); the row is used again for the next. */
export async function readSource(
  client: VppClient,
  source: number,
  { vpp, family }: Home,
  onRow: (row: RouteRow, bytes: Uint8Array) => void,
): Promise<void> {
  const row = new RouteRow(client.binding.bound(ipRouteV2Dump.details));
  const table = { table_id: vpp, is_ip6: family === 6, name: '' };
  await client.dumpRows(ipRouteV2Dump, { src: source, table }, (bytes, view, at, end) => {
    row.read(bytes, view, at, end);
    // an entry that an interface made first has the interface's address
    row.w0 = maskWord(row.w0, 0, row.length);
    row.w1 = maskWord(row.w1, 32, row.length);
    row.w2 = maskWord(row.w2, 64, row.length);
    row.w3 = maskWord(row.w3, 96, row.length);
    onRow(row, bytes);
  });
}

/** The routes of the local table that a home has. */
export async function readLocals(
  client: VppClient,
  source: number,
  home: Home,
): Promise<(Prefix & { readonly target: number })[]> {
  const found: (Prefix & { target: number })[] = [];
  await readSource(client, source, home, (row) => {
    if (isLimitedBroadcast(row.length, row.w0, row.w1)) return;
    found.push({
      target: specialOf(row.decodePaths()) || SPECIAL.local,
      length: row.length,
      words: [row.w0, row.w1, row.w2, row.w3],
    });
  });
  return found;
}

/** Prefixes of a home that have routes of ours, or may have them below a better entry. */
export async function readOurs(
  client: VppClient,
  { local, route, api }: Sources,
  home: Home,
): Promise<(Prefix & { readonly isApi: boolean })[]> {
  const found: (Prefix & { isApi: boolean })[] = [];
  await readSource(client, 0, home, (row) => {
    const { length, w0, w1, w2, w3 } = row;
    const isApi = home.onLink.has(length, w0, w1, w2, w3) || (row.source === api && isMarked(row.decodePaths()));
    if (isApi || row.source === route || row.source === local) found.push({ isApi, length, words: [w0, w1, w2, w3] });
  });
  return found;
}

/** Packs routes as they come. */
class Packer {
  readonly batches: RouteBatch[] = [];
  readonly #family: Family;
  readonly #handle: number;
  #last: RouteBatch;

  constructor(family: Family, handle: number) {
    this.#family = family;
    this.#handle = handle;
    this.#last = newRouteBatch(family, BATCH);
  }

  add(target: number, { length, w0, w1, w2, w3 }: RouteRow): void {
    if (this.#last.count === BATCH) this.#last = newRouteBatch(this.#family, BATCH);
    if (this.#last.count === 0) this.batches.push(this.#last);
    const { words } = this.#last;
    const at = this.#last.count++ * ROUTE_WORDS;
    words[at] = this.#handle;
    words[at + 1] = target;
    words[at + 2] = length;
    words[at + 3] = w0;
    words[at + 4] = w1;
    words[at + 5] = w2;
    words[at + 6] = w3;
  }
}

/** Tells targets from the bytes of paths; rows with the same paths come in a row, so those are compared first. */
class Targets {
  readonly #paths: PathTable;
  readonly #family: Family;
  readonly #host: number;
  #bytes = Buffer.alloc(0);
  #target = 0;

  constructor(paths: PathTable, family: Family) {
    this.#paths = paths;
    this.#family = family;
    this.#host = family === 6 ? 128 : 32;
  }

  /** Whether a path of a host route has the host as its next hop: so VPP has an on-link leg to it. */
  #isItself({ w0, w1, w2, w3 }: RouteRow, shown: Buffer, path: number): boolean {
    const words = this.#family === 6 ? [w0, w1, w2, w3] : [w0];
    return words.every((word, i) => shown.readUInt32LE(path * fibPath.size + NEXT_HOP_AT + 4 * i) === word >>> 0);
  }

  #leadsToItself(row: RouteRow, shown: Buffer): boolean {
    for (let i = 0; i < row.paths; i++) if (this.#isItself(row, shown, i)) return true;
    return false;
  }

  of(row: RouteRow, bytes: Uint8Array): number {
    const shown = Buffer.from(bytes.buffer, bytes.byteOffset + row.pathsAt, row.paths * fibPath.size);
    if (row.length === this.#host && this.#leadsToItself(row, shown)) {
      const paths = row.decodePaths().map((path, i) => (this.#isItself(row, shown, i) ? attached(path) : path));
      return this.#paths.targetOfPaths(paths, this.#family);
    }
    if (this.#bytes.equals(shown)) return this.#target;
    this.#bytes = Buffer.from(shown);
    this.#target = this.#paths.targetOf(shown.toString('latin1'), this.#family, () => row.decodePaths());
    return this.#target;
  }
}

export interface ReadContext {
  readonly client: VppClient;
  readonly sources: Sources;
  readonly paths: PathTable;
  /** Whether an interface has a pair. */
  isPaired(ifindex: number): boolean;
}

/** The routes of a home, in batches. */
export interface ReadRoutes {
  readonly main: RouteBatch[];
  /** Those of the local table. */
  readonly local: RouteBatch[];
}

/**
 * Reads a home, and finds out what it leads to. A prefix that VPP has by an address of an interface is an on-link route: what
 * we have below it is not shown, and says the same.
 */
export async function readHome(
  context: ReadContext,
  home: Home,
  mainHandle: number,
  localHandle: number,
): Promise<ReadRoutes> {
  const { client, sources, paths } = context;
  const family = home.family === 6 ? 6 : 4;
  const main = new Packer(family, mainHandle);
  const local = new Packer(family, localHandle);
  const targets = new Targets(paths, family);
  let next: number | undefined | null;
  await readSource(client, 0, home, (row, bytes) => {
    const { length, w0, w1, w2, w3, source } = row;
    if (source === sources.local && isLimitedBroadcast(length, w0, w1)) home.takesBroadcast = true;
    else if (source === sources.local) {
      home.hasLocal = true;
      local.add(targets.of(row, bytes), row);
    } else if (source === sources.route) {
      const target = targets.of(row, bytes);
      if (target === SPECIAL.throw) home.throws.add(length, w0, w1, w2, w3);
      if (length === 0) next = null;
      main.add(target, row);
    } else if (source === sources.api) {
      const shown = row.decodePaths();
      if (!isMarked(shown)) return;
      const [first] = shown;
      const leads = length === 0 && first?.preference === SPECIAL.throw;
      if (leads) next = first.table_id;
      if (leads) return;
      const target = targets.of(row, bytes);
      home.onLink.add(length, w0, w1, w2, w3, target);
      main.add(target, row);
    } else if (source === sources.interface && length < (family === 6 ? 128 : 32)) {
      const [only] = row.decodePaths();
      if (only === undefined || !context.isPaired(only.sw_if_index)) return;
      // in a table that is known, one that the kernel has not there is the address's alone
      if (home.isRead && !home.onLink.has(length, w0, w1, w2, w3)) return;
      const target = targets.of(row, bytes);
      home.onLink.add(length, w0, w1, w2, w3, target);
      main.add(target, row);
    }
  });
  home.next = next;
  home.isRead = true;
  return { main: main.batches, local: local.batches };
}
