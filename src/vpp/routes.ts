// Routes: batches of routes on their way into VPP, and what holds the tables together.
//
// Invariants: no object is made for a route. A route is an entry of our source in the home of its table and its copies; one
// of the local table in every home that is looked up behind it. On-link routes are VPP's source API's, because VPP attaches
// only those; which prefixes these are is kept, so that the other entry goes when a route changes between the two. So is a default route that is looked up again, because VPP takes packets for the
// router itself only from sources that it has a way to, and exempts such entries of that source alone. A table
// without answer has such an entry at 0/0, below any route of ours, that leads to the next table. What VPP serves by its interfaces (link-local, multicast) is taken and not sent.

import { ROUTE_WORDS, type RouteBatch } from '../lcp/dataplane.ts';
import { MPLS, SPECIAL } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import { ipRouteAddDelV2 } from './api/route.ts';
import { FrameBatch } from './batch.ts';
import { NO_ANSWER } from './bulk.ts';
import type { VppClient } from './client.ts';
import { LabelRoutes } from './labelroutes.ts';
import type { PathTable } from './pathtable.ts';
import { type Member, maskWord } from './prefixset.ts';
import type { EncodedPaths } from './routebatch.ts';
import { RouteEncoder } from './routebatch.ts';
import { RouteFailures } from './routefailures.ts';
import { readLocals, readOurs } from './routereader.ts';
import type { Sources } from './sources.ts';
import type { Home, Tables } from './tables.ts';
import { LOCAL, MAIN } from './tables.ts';

const ENOENT = -2;
const EINVAL = -22;
const ENOTCONN = -107;
const NO_PATHS: EncodedPaths = { count: 0, bytes: new Uint8Array(0) };

/** Whether no bit of an address lies beyond its prefix length. */
function isPrefix(family: number, length: number, w0: number, w1: number, w2: number, w3: number): boolean {
  if (length > (family === 4 ? 32 : 128)) return false;
  if (family === 4) return maskWord(w0, 0, length) === w0;
  return (
    maskWord(w0, 0, length) === w0 &&
    maskWord(w1, 32, length) === w1 &&
    maskWord(w2, 64, length) === w2 &&
    maskWord(w3, 96, length) === w3
  );
}

/** Whether VPP looks a prefix up elsewhere: multicast, and link-local addresses, which every interface has of its own. */
export function isServedByVpp(family: number, length: number, w0: number): boolean {
  const first = w0 & 0xff;
  if (family === 4) return length >= 4 && (first & 0xf0) === 0xe0;
  return (length >= 8 && first === 0xff) || (length >= 10 && first === 0xfe && ((w0 >>> 8) & 0xc0) === 0x80);
}

/** An on-link route as a home has it. */
export interface OnLinkRoute {
  readonly home: Home;
  readonly member: Member;
  readonly paths: EncodedPaths;
}

/** Requests for routes, each with the route of the batch that it is of. */
class Outgoing {
  readonly frames = new FrameBatch(ipRouteAddDelV2);
  owners = new Uint32Array(4096);
  retvals = new Int32Array(4096);

  own(route: number): void {
    const { count } = this.frames;
    if (count > this.owners.length) {
      const owners = new Uint32Array(2 * count);
      owners.set(this.owners);
      this.owners = owners;
    }
    this.owners[count - 1] = route;
  }
}

export class Routes {
  readonly failures = new RouteFailures();
  readonly labels: LabelRoutes;
  readonly #client: VppClient;
  readonly #sources: Sources;
  readonly #tables: Tables;
  readonly #paths: PathTable;
  readonly #encoder: RouteEncoder;
  readonly #idle: Outgoing[] = [];

  constructor(client: VppClient, sources: Sources, tables: Tables, paths: PathTable) {
    this.#client = client;
    this.#sources = sources;
    this.#tables = tables;
    this.#paths = paths;
    this.labels = new LabelRoutes(client, paths);
    this.#encoder = new RouteEncoder(client.binding.bound(ipRouteAddDelV2));
  }

  /** Fills batch.results; how many failed. */
  async apply(batch: RouteBatch): Promise<number> {
    if (batch.family === MPLS) return this.labels.apply(batch, (handle) => this.#tables.byHandle(handle)?.home);
    const out = this.#idle.pop() ?? new Outgoing();
    out.frames.clear();
    for (let i = 0; i < batch.count; i++) batch.results[i] = this.#encode(batch, i, out);
    await this.#send(out, batch);
    this.#idle.push(out);
    let failed = 0;
    for (let i = 0; i < batch.count; i++) if (batch.results[i] !== 0) failed++;
    return failed;
  }

  /** Sends what was encoded; a session that ends fails all of it. */
  async #send(out: Outgoing, batch: RouteBatch): Promise<void> {
    const { frames } = out;
    if (out.retvals.length < frames.count) out.retvals = new Int32Array(2 * frames.count);
    try {
      await this.#client.bulk(frames, { retvals: out.retvals });
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      out.retvals.fill(ENOTCONN, 0, frames.count);
    }
    for (let f = 0; f < frames.count; f++) {
      const retval = out.retvals[f] as number;
      const owner = out.owners[f] as number;
      if (retval === 0 || batch.results[owner] !== 0) continue;
      batch.results[owner] = retval;
      if (retval !== ENOTCONN && retval !== NO_ANSWER) this.failures.count(retval, batch, owner);
    }
  }

  /** Encodes one route of a batch; a negative errno when it cannot be. */
  #encode(batch: RouteBatch, i: number, out: Outgoing): number {
    const { words, family } = batch;
    const at = i * ROUTE_WORDS;
    const target = words[at + 1] as number;
    const length = words[at + 2] as number;
    const w0 = words[at + 3] as number;
    const six = family === 6;
    const w1 = six ? (words[at + 4] as number) : 0;
    const w2 = six ? (words[at + 5] as number) : 0;
    const w3 = six ? (words[at + 6] as number) : 0;
    const held = this.#tables.byHandle(words[at] as number);
    if (held === undefined || held.table.family !== family) return ENOENT;
    if (!isPrefix(family, length, w0, w1, w2, w3)) return EINVAL;
    if (target !== SPECIAL.none && !this.#paths.has(target)) return EINVAL;
    if (isServedByVpp(family, length, w0)) return 0;
    if (held.table.table !== LOCAL) {
      let result = this.#encodeIn(held.home, i, out, target, length, w0, w1, w2, w3);
      for (const copy of held.home.copies) result ||= this.#encodeIn(copy, i, out, target, length, w0, w1, w2, w3);
      return result;
    }
    const use = six ? 6 : 4;
    const paths = target === SPECIAL.none ? NO_PATHS : this.#paths.encoded(target, use, undefined);
    if (paths === undefined) return EINVAL;
    for (const home of this.#tables.homes()) {
      if (home.hasLocal && home.netns === held.table.netns && home.family === family)
        this.#add(out, i, home, this.#sources.local, length, w0, w1, w2, w3, paths);
    }
    return 0;
  }

  #encodeIn(
    home: Home,
    i: number,
    out: Outgoing,
    target: number,
    length: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
  ): number {
    const { api, route } = this.#sources;
    const wasOnLink = home.onLink.has(length, w0, w1, w2, w3);
    if (target === SPECIAL.none) {
      if (wasOnLink) this.#leaveApi(home, i, out, length, w0, w1, w2, w3);
      this.#add(out, i, home, route, length, w0, w1, w2, w3, NO_PATHS);
      home.throws.delete(length, w0, w1, w2, w3);
      return 0;
    }
    const paths = this.#paths.encoded(target, home.family === 6 ? 6 : 4, home.next ?? undefined);
    if (paths === undefined) return EINVAL;
    // What is new comes before what is old goes: packets find one of them.
    if (this.#paths.isOnLink(target) || (length === 0 && this.#paths.leadsOn(target, home.family))) {
      this.#add(out, i, home, api, length, w0, w1, w2, w3, paths);
      this.#add(out, i, home, route, length, w0, w1, w2, w3, NO_PATHS);
      // VPP 26.06 forgets the source of an entry whose interface is in another table when its pool of entries grows just
      // then (fib_attached_export_import moves what its callers point to), and has it when it is told once more.
      if (this.#paths.isOnLink(target)) this.#add(out, i, home, api, length, w0, w1, w2, w3, paths);
      home.onLink.add(length, w0, w1, w2, w3, target);
    } else {
      this.#add(out, i, home, route, length, w0, w1, w2, w3, paths);
      if (wasOnLink) this.#leaveApi(home, i, out, length, w0, w1, w2, w3);
    }
    if (target === SPECIAL.throw) home.throws.add(length, w0, w1, w2, w3);
    else home.throws.delete(length, w0, w1, w2, w3);
    return 0;
  }

  /** Takes the entry of the source API back; at 0/0 it leads on. */
  #leaveApi(
    home: Home,
    i: number,
    out: Outgoing,
    length: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
  ): void {
    const paths = length === 0 ? this.#leading(home, home.next) : NO_PATHS;
    this.#add(out, i, home, this.#sources.api, length, w0, w1, w2, w3, paths);
    home.onLink.delete(length, w0, w1, w2, w3);
  }

  /** Adds the request for one entry; without paths the entry is removed. */
  #add(
    out: Outgoing,
    owner: number,
    { vpp, family }: Home,
    source: number,
    length: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    paths: EncodedPaths,
  ): void {
    const how = { isAdd: paths.count > 0, isMultipath: false, tableId: vpp, source };
    this.#encoder.add(out.frames, how, family === 6 ? AF_INET6 : AF_INET, length, w0, w1, w2, w3, paths);
    out.own(owner);
  }

  /** Sends requests that are no routes of the core's; rejects with the first that is refused. */
  async #write(op: string, home: Home, encode: (out: Outgoing) => void): Promise<void> {
    const out = new Outgoing();
    encode(out);
    if (out.frames.count === 0) return;
    const retvals = new Int32Array(out.frames.count);
    await this.#client.bulk(out.frames, { retvals });
    const refused = retvals.find((retval) => retval !== 0);
    if (refused !== undefined) throw this.failures.error(op, `table ${home.netns}/${home.table}`, refused);
  }

  /** Fills the table in which all is punted. */
  async fillPunt(family: 4 | 6, vpp: number): Promise<void> {
    const home = { vpp, family, netns: '', table: vpp } as Home;
    const local = this.#paths.encoded(SPECIAL.local, family, undefined) ?? NO_PATHS;
    await this.#write('make punt table', home, (out) =>
      this.#add(out, 0, home, this.#sources.route, 0, 0, 0, 0, 0, local),
    );
    await this.takeBroadcast(home, true);
  }

  /** Takes out what fillPunt wrote. */
  async emptyPunt(family: 4 | 6, vpp: number): Promise<void> {
    const home = { vpp, family, netns: '', table: vpp, takesBroadcast: true } as Home;
    await this.#write('end punt table', home, (out) =>
      this.#add(out, 0, home, this.#sources.route, 0, 0, 0, 0, 0, NO_PATHS),
    );
    await this.takeBroadcast(home, false);
  }

  /**
   * Lets packets to 255.255.255.255 (DHCP) go to the host: Linux takes them without a route, VPP drops them by one of its own.
   */
  async takeBroadcast(home: Home, isTaken: boolean): Promise<void> {
    if (home.family !== 4 || home.takesBroadcast === isTaken) return;
    const paths = isTaken ? this.#paths.encoded(SPECIAL.broadcast, 4, undefined) : undefined;
    await this.#write('take broadcasts', home, (out) =>
      this.#add(out, 0, home, this.#sources.local, 32, 0xffff_ffff, 0, 0, 0, paths ?? NO_PATHS),
    );
    home.takesBroadcast = isTaken;
  }

  /** Paths of the entry at 0/0 that leads to the next table. */
  #leading({ family }: Home, next: number | undefined | null): EncodedPaths {
    return (typeof next === 'number' && this.#paths.encoded(SPECIAL.throw, family === 6 ? 6 : 4, next)) || NO_PATHS;
  }

  /** Makes a home go on with another VPP table where it has no route, or with none. */
  async chain(home: Home, next: number | undefined): Promise<void> {
    // in a table that is VPP's own, what cannot be read may be somebody else's default route
    if (home.next === null && next === undefined && home.isForeign) home.next = undefined;
    if (home.next === next || home.family === MPLS) return;
    const { api, route } = this.#sources;
    const leading = this.#leading(home, next);
    const thrown = this.#paths.encoded(SPECIAL.throw, home.family, next) ?? NO_PATHS;
    await this.#write('chain tables', home, (out) => {
      if (!home.onLink.has(0, 0, 0, 0, 0)) this.#add(out, 0, home, api, 0, 0, 0, 0, 0, leading);
      for (const { length, words } of home.throws.all()) this.#add(out, 0, home, route, length, ...words, thrown);
    });
    home.next = next;
  }

  /** On-link routes by an interface, in all homes of a family but one. */
  onLinkBy(phy: string, family: 4 | 6, except: number | undefined): OnLinkRoute[] {
    const found: OnLinkRoute[] = [];
    for (const home of this.#tables.homes()) {
      if (home.family !== family || home.vpp === except) continue;
      for (const member of home.onLink.all()) {
        if (!this.#paths.isOnLinkOf(member.target, phy)) continue;
        const paths = this.#paths.encoded(member.target, family, home.next ?? undefined);
        if (paths !== undefined) found.push({ home, member, paths });
      }
    }
    return found;
  }

  /** Takes on-link routes out for a moment, or puts those back that are wanted still. */
  async writeOnLink(routes: readonly OnLinkRoute[], isAdd: boolean): Promise<void> {
    for (const { home, member, paths } of routes) {
      const { length, words } = member;
      const isThere = this.#tables.homeOf(home.family, home.vpp) === home;
      if (!isThere || !home.onLink.holds(member)) continue;
      await this.#write(isAdd ? 'put on-link route back' : 'withdraw on-link route', home, (out) => {
        this.#add(out, 0, home, this.#sources.api, length, ...words, isAdd ? paths : NO_PATHS);
        // twice, as in #encodeIn
        if (isAdd) this.#add(out, 0, home, this.#sources.api, length, ...words, paths);
      });
    }
  }

  /** Writes the routes of the local table into a home, or takes them out of it. */
  async copyLocals(home: Home, isAdd: boolean): Promise<void> {
    if (home.hasLocal === isAdd || home.family === MPLS) return;
    const from = isAdd ? this.#tables.home(home.netns, home.family, MAIN) : home;
    home.hasLocal = isAdd;
    if (from === undefined || (isAdd && from === home)) return;
    const { local } = this.#sources;
    const rows = await readLocals(this.#client, local, from);
    await this.#write('copy local routes', home, (out) => {
      for (const { length, words, target } of rows) {
        const paths = this.#paths.encoded(target, home.family === 6 ? 6 : 4, undefined) ?? NO_PATHS;
        this.#add(out, 0, home, local, length, ...words, isAdd ? paths : NO_PATHS);
      }
    });
  }

  /** Writes routes that were read from a home into a new copy of it. One that cannot be encoded is missed by the next dump. */
  async fill(copy: Home, batches: readonly RouteBatch[]): Promise<void> {
    for (const { words, count } of batches) {
      await this.#write('copy table', copy, (out) => {
        for (let i = 0; i < count; i++) {
          const [, target = 0, length = 0, w0 = 0, w1 = 0, w2 = 0, w3 = 0] = words.subarray(i * ROUTE_WORDS);
          this.#encodeIn(copy, i, out, target, length, w0, w1, w2, w3);
        }
      });
    }
    copy.isFilled = true;
  }

  /** Removes what is ours from a home: routes, copies of the local table, what leads on. */
  async empty(home: Home): Promise<void> {
    home.takesBroadcast = true; // as far as is known here
    await this.takeBroadcast(home, false);
    await this.remove(home, true, [home]);
    await this.remove(home, false);
    await this.chain(home, undefined);
  }

  /** Removes the routes of a kernel table, whose home stays; those of the local one from some homes, or from all. */
  async remove(home: Home, isLocal: boolean, from: Iterable<Home> = this.#tables.homes()): Promise<void> {
    if (home.family === MPLS) return this.labels.clear(home);
    const { local } = this.#sources;
    if (!isLocal) {
      for (const each of [home, ...home.copies]) await this.#removeRoutes(each);
      return;
    }
    for (const each of [...from]) {
      if (!each.hasLocal || each.netns !== home.netns || each.family !== home.family) continue;
      const rows = await readLocals(this.#client, local, each);
      await this.#write('empty table', each, (out) => {
        for (const { length, words } of rows) this.#add(out, 0, each, local, length, ...words, NO_PATHS);
      });
    }
  }

  async #removeRoutes(home: Home): Promise<void> {
    const { api, route } = this.#sources;
    const rows = await readOurs(this.#client, this.#sources, home);
    await this.#write('empty table', home, (out) => {
      for (const { length, words, isApi } of rows) {
        if (isApi)
          this.#add(out, 0, home, api, length, ...words, length === 0 ? this.#leading(home, home.next) : NO_PATHS);
        this.#add(out, 0, home, route, length, ...words, NO_PATHS);
        home.onLink.delete(length, ...words);
        home.throws.delete(length, ...words);
      }
    });
  }
}
