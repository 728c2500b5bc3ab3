// Redirects of punted IP packets: by family and the interface that they came in by, or any.
//
// Invariants: VPP counts how often redirects were added and never checks that one is there: an entry is added only
// where none is, taken off only where one is, and replaced by both. An entry says nothing of who made it: memory does. The
// one of an interface with a pair is linux_cp's. Reference: VPP's src/vnet/ip/ip4_punt_drop.c, ip_punt_drop.c.

import type { Family } from '../lcp/objects.ts';
import type { Redirect } from '../lcp/puntobjects.ts';
import { formatIp } from '../lib/ip.ts';
import { addDelIpPuntRedirectV2, ipPuntRedirectV2Dump } from './api/ippunt.ts';
import { NO_INTERFACE } from './interfaces.ts';
import { conflict, type PuntContext, type PuntPart, pathOut, readPath } from './puntparts.ts';

const FAMILIES: readonly Family[] = [4, 6];

/** An entry of VPP. */
interface Entry {
  readonly family: Family;
  /** sw_if_index, NO_INTERFACE for any. */
  readonly rx: number;
  readonly tx: number;
  readonly nexthop: string;
  readonly paths: number;
}

export class PuntRedirects implements PuntPart<'redirect'> {
  readonly feature = 'redirect';
  readonly #at: PuntContext;

  constructor(at: PuntContext) {
    this.#at = at;
  }

  async #entries(family: Family): Promise<Entry[]> {
    const asked = { sw_if_index: NO_INTERFACE, af: family === 6 ? 1 : 0 };
    const rows = await this.#at.client.dump(ipPuntRedirectV2Dump, asked);
    return rows.map(({ punt }) => {
      const { index: tx, isDvr, address } = readPath(punt.paths[0]);
      const nexthop = isDvr ? '' : formatIp(address, 0, family === 6 ? 16 : 4);
      return { family, rx: punt.rx_sw_if_index, tx, nexthop, paths: punt.paths.length };
    });
  }

  #wanted({ family, rx, tx, nexthop }: Redirect): Entry {
    const at = this.#at;
    return { family, rx: rx === '' ? NO_INTERFACE : at.index(rx), tx: at.index(tx), nexthop, paths: 1 };
  }

  async #tell(is_add: boolean, entry: Entry, key: string): Promise<void> {
    const { family, rx: rx_sw_if_index, tx, nexthop } = entry;
    const paths = is_add ? [pathOut(tx, family, nexthop)] : [];
    const punt = { rx_sw_if_index, af: family === 6 ? 1 : 0, paths };
    await this.#at.client.request(addDelIpPuntRedirectV2, { is_add, punt }, { key });
  }

  async set(punt: Redirect): Promise<void> {
    const { memory, pairs } = this.#at;
    const wanted = this.#wanted(punt);
    if (pairs.row(wanted.rx) !== undefined) {
      const hint = 'what VPP punts of it goes to the host of the pair: remove the pair, or leave the redirect out';
      throw conflict(punt, `${punt.rx} has a pair, whose redirect linux_cp has put there`, hint);
    }
    const there = (await this.#entries(punt.family)).find(({ rx }) => rx === wanted.rx);
    if (there !== undefined && isSame(there, wanted)) return;
    if (there !== undefined) {
      if (!memory.known(punt).some((known) => this.#isOurs(there, known)))
        throw conflict(punt, `VPP has another IPv${punt.family} redirect for ${punt.rx || 'any interface'}`);
      await this.#tell(false, there, punt.rx);
    }
    memory.keep(punt);
    await this.#tell(true, wanted, punt.rx);
  }

  /** Whether an entry is what was told for a punt; its interfaces may have gone since. */
  #isOurs({ rx, tx, nexthop, paths }: Entry, known: Redirect): boolean {
    const at = this.#at;
    const rxName = rx === NO_INTERFACE ? '' : at.name(rx);
    return paths === 1 && rxName === known.rx && at.name(tx) === known.tx && nexthop === known.nexthop;
  }

  async delete(punt: Redirect): Promise<void> {
    const { memory } = this.#at;
    const known = memory.known(punt);
    if (known.length === 0) return;
    for (const entry of await this.#entries(punt.family))
      if (known.some((each) => this.#isOurs(entry, each))) await this.#tell(false, entry, punt.rx);
    memory.drop(punt);
  }

  async held(): Promise<Redirect[]> {
    const entries = (await Promise.all(FAMILIES.map((family) => this.#entries(family)))).flat();
    return this.#at.memory
      .of('redirect')
      .filter((known) => entries.some((entry) => entry.family === known.family && this.#isOurs(entry, known)));
  }

  async gone(index: number): Promise<void> {
    const { memory } = this.#at;
    for (const family of FAMILIES) {
      for (const entry of await this.#entries(family)) {
        if (entry.rx !== index && entry.tx !== index) continue;
        const known = memory.of('redirect').find((each) => each.family === family && this.#isOurs(entry, each));
        if (known === undefined) continue;
        await this.#tell(false, entry, known.rx);
      }
    }
  }
}

const isSame = (a: Entry, b: Entry): boolean =>
  a.rx === b.rx && a.tx === b.tx && a.nexthop === b.nexthop && a.paths === b.paths;
