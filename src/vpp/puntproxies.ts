// Proxy ARP: questions for addresses of a range that come in by an interface are answered with its own MAC.
//
// Invariants: VPP has ranges by table and interfaces that answer for all ranges of their table, so both are kept while one of
// ours needs them; a range that somebody else has is refused, and stays. VPP keeps an interface that is gone in its list and refuses to take it
// off: what comes under its index is turned off and on again before it is relied on. Of IPv6 it answers on every
// interface of the table, also to the owner's own neighbours, so that is not asked for.
// Reference: VPP's src/vnet/arp/arp_proxy.c, src/vnet/ip6-nd/ip6_nd.c.

import type { ProxyNeighbour } from '../lcp/puntobjects.ts';
import { formatIp, ipBytes, parseIp } from '../lib/ip.ts';
import { proxyArpAddDel, proxyArpDump, proxyArpIntfcDump, proxyArpIntfcEnableDisable } from './api/proxy.ts';
import { conflict, type PuntContext, type PuntPart, unable } from './puntparts.ts';

interface Range {
  readonly table: number;
  readonly low: string;
  readonly high: string;
}

const isSame = (a: Range, b: Range): boolean => a.table === b.table && a.low === b.low && a.high === b.high;

export const NO_ND =
  'VPP would answer for such an address on every interface of its table, also where its owner is, whose traffic it would take';

export class PuntProxies implements PuntPart<'proxy'> {
  readonly feature = 'proxy';
  readonly #at: PuntContext;
  /** Interfaces that were turned on in this session, by index and life. */
  readonly #on = new Set<string>();

  constructor(at: PuntContext) {
    this.#at = at;
  }

  async #ranges(): Promise<Range[]> {
    const rows = await this.#at.client.dump(proxyArpDump, {});
    return rows.map(({ proxy }) => ({ table: proxy.table_id, low: formatIp(proxy.low), high: formatIp(proxy.hi) }));
  }

  async #interfaces(): Promise<Set<number>> {
    const rows = await this.#at.client.dump(proxyArpIntfcDump, {});
    return new Set(rows.map(({ sw_if_index }) => sw_if_index));
  }

  async #tellRange(is_add: boolean, { table, low, high }: Range): Promise<void> {
    const proxy = { table_id: table, low: ipBytes(low), hi: ipBytes(high) };
    await this.#at.client.request(proxyArpAddDel, { is_add, proxy }, { key: low });
  }

  async #enable(sw_if_index: number, enable: boolean): Promise<void> {
    const key = this.#at.name(sw_if_index);
    await this.#at.client.request(proxyArpIntfcEnableDisable, { sw_if_index, enable }, { key });
  }

  #range({ table, low, high }: ProxyNeighbour): Range | undefined {
    const vpp = this.#at.tableOf(4, table);
    return vpp === undefined ? undefined : { table: vpp, low, high };
  }

  /** Which interface an index is now. */
  #life(index: number): string {
    return `${index}.${this.#at.interfaces.life(index)}`;
  }

  async set(punt: ProxyNeighbour): Promise<void> {
    if (punt.family === 6) throw unable(punt, NO_ND);
    const [low, high] = [parseIp(punt.low), parseIp(punt.high)];
    if (low?.length !== 4 || high?.length !== 4 || Buffer.compare(low, high) > 0)
      throw conflict(punt, `${punt.low} to ${punt.high} is no range of IPv4 addresses`, 'correct the range');
    const index = this.#at.index(punt.on);
    const wanted = { table: this.#at.table(4, punt.table), low: punt.low, high: punt.high };
    const before = this.#at.memory.known(punt);
    if (before.some(({ high, table }) => high !== punt.high || table !== punt.table)) await this.delete(punt);
    const isThere = (await this.#ranges()).some((each) => isSame(each, wanted));
    if (isThere && !this.#at.memory.of('proxy').some((each) => isSameRange(this.#range(each), wanted)))
      throw conflict(punt, `VPP answers for ${punt.low} to ${punt.high} already, by somebody else's wish`);
    this.#at.memory.keep(punt);
    if (!isThere) await this.#tellRange(true, wanted);
    const isOn = (await this.#interfaces()).has(index);
    if (isOn && this.#on.has(this.#life(index))) return;
    if (isOn) await this.#enable(index, false);
    await this.#enable(index, true);
    this.#on.add(this.#life(index));
  }

  async delete(punt: ProxyNeighbour): Promise<void> {
    const { memory, subifs } = this.#at;
    const known = memory.known(punt);
    if (known.length === 0) return;
    memory.drop(punt);
    const others = memory.of('proxy');
    for (const range of known.map((each) => this.#range(each))) {
      const isNeeded = range === undefined || others.some((each) => isSameRange(this.#range(each), range));
      if (!isNeeded && (await this.#ranges()).some((each) => isSame(each, range))) await this.#tellRange(false, range);
    }
    const index = subifs.interface(punt.on)?.ifindex;
    if (index === undefined || others.some(({ on }) => on === punt.on)) return;
    this.#on.delete(this.#life(index));
    if ((await this.#interfaces()).has(index)) await this.#enable(index, false);
  }

  async held(): Promise<ProxyNeighbour[]> {
    const known = this.#at.memory.of('proxy');
    if (known.length === 0) return [];
    const [ranges, interfaces] = [await this.#ranges(), await this.#interfaces()];
    return known.filter((punt) => {
      const range = this.#range(punt);
      const index = this.#at.subifs.interface(punt.on)?.ifindex;
      const isOn = index !== undefined && interfaces.has(index);
      return isOn && ranges.some((each) => isSameRange(range, each));
    });
  }
}

const isSameRange = (a: Range | undefined, b: Range): boolean => a !== undefined && isSame(a, b);
