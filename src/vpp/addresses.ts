// Addresses: those of hosts, on the interfaces of VPP, which answers ARP and ND for them and has them as sources.
//
// Invariants: VPP routes the whole prefix of an address to its interface, so only an address whose prefix the kernel
// routes there too has its length; any other is a host's, and so is one that VPP refuses because the prefix overlaps
// another interface's. After a restart the length of those is not to be told: removing one is put off a moment, in
// which the core asks for it as it is. VPP has one link-local address an interface, and IPv6 ends with it, so it is
// swapped and never removed while others are there. Reference: VPP's src/vnet/ip/ip_interface.c, ip6_link.c.

import type { HeldObject, OperationResult } from '../lcp/dataplane.ts';
import type { Address, Family } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { formatIp, ipBytes, isLinkLocal6 } from '../lib/ip.ts';
import { isLinkLocal, maxLength, within } from './address.ts';
import { swInterfaceAddDelAddress } from './api/interface.ts';
import * as ip from './api/ip.ts';
import { swInterfaceIp6ndRaConfig } from './api/proxy.ts';
import type { VppClient } from './client.ts';
import { renewGlean } from './gleans.ts';
import { takeIp4 } from './ip4.ts';
import type { Leaks } from './leaks.ts';
import { acceptGroups } from './linkgroups.ts';
import type { Pairs } from './pairs.ts';
import type { Session } from './session.ts';
import type { Sources } from './sources.ts';
import type { Subifs } from './subifs.ts';

/** How long an address that was found is kept after it was removed, for it may only be asked for in another way. */
const GRACE_MS = 2000;
const ADDRESS_IN_USE = -105;
/** ip6_link is on, or off, already. */
const ENABLED_ALREADY = [-81, -160];
const ABSENT = [-2, -60, -105, -106];
const OVERLAPS = [ADDRESS_IN_USE, -88, -99, -135];

/** What one interface has. */
interface Had {
  /** Prefix length by address, link-local ones excepted. */
  readonly lengths: Map<string, number>;
  /** '' where IPv6 is off. */
  linkLocal: string;
  /** Link-local addresses that the kernel has, the last is VPP's. */
  readonly linkLocals: string[];
  /** VPP tables, by family. */
  tables: Record<Family, number>;
}

export class Addresses {
  readonly #client: VppClient;
  readonly #sources: Sources;
  readonly #subifs: Subifs;
  readonly #pairs: Pairs;
  readonly #leaks: Leaks;
  readonly #had = new Map<number, Had>();
  /** What the core asked for, by interface and address. */
  readonly #asked = new Map<string, Address>();
  /** Removals that are put off. */
  readonly #late = new Map<string, NodeJS.Timeout>();

  constructor({ client, sources }: Pick<Session, 'client' | 'sources'>, subifs: Subifs, pairs: Pairs, leaks: Leaks) {
    this.#client = client;
    this.#sources = sources;
    this.#subifs = subifs;
    this.#pairs = pairs;
    this.#leaks = leaks;
  }

  close(): void {
    for (const timer of this.#late.values()) clearTimeout(timer);
    this.#late.clear();
  }

  /** What is known of an interface, undefined until it was read. */
  known(ifindex: number): ReadonlyMap<string, number> | undefined {
    return this.#had.get(ifindex)?.lengths;
  }

  /** Takes what VPP has on an interface now. */
  found(ifindex: number, lengths: ReadonlyMap<string, number>): void {
    const had = this.#had.get(ifindex);
    if (had === undefined) return;
    had.lengths.clear();
    for (const [address, length] of lengths) had.lengths.set(address, length);
  }

  /** Reads those of all interfaces with a pair. */
  async read(): Promise<void> {
    const paired = new Set(this.#pairs.paired());
    for (const ifindex of [...this.#had.keys()]) if (!paired.has(ifindex)) this.#had.delete(ifindex);
    await Promise.all([...paired].map((ifindex) => this.#read(ifindex)));
  }

  /** What an interface has; read once. */
  async had(ifindex: number): Promise<Had> {
    return this.#had.get(ifindex) ?? this.#read(ifindex);
  }

  async #read(sw_if_index: number): Promise<Had> {
    const had: Had = this.#had.get(sw_if_index) ?? {
      lengths: new Map(),
      linkLocal: '',
      linkLocals: [],
      tables: { 4: 0, 6: 0 },
    };
    const [four, six, linkLocal] = await Promise.all([
      this.#client.dump(ip.ipAddressDump, { sw_if_index, is_ipv6: false }),
      this.#client.dump(ip.ipAddressDump, { sw_if_index, is_ipv6: true }),
      this.#linkLocalOf(sw_if_index),
    ]);
    had.lengths.clear();
    for (const { prefix } of [...four, ...six]) had.lengths.set(formatIp(prefix.address), prefix.len);
    had.linkLocal = linkLocal;
    this.#had.set(sw_if_index, had);
    return had;
  }

  /** '' when IPv6 is off. */
  async #linkLocalOf(sw_if_index: number): Promise<string> {
    try {
      const reply = await this.#client.request(ip.swInterfaceIp6GetLinkLocalAddress, { sw_if_index });
      return isLinkLocal6(reply.ip) ? formatIp(reply.ip) : '';
    } catch (error) {
      if (error instanceof LcpError && error.code === 'REFUSED') return '';
      throw error;
    }
  }

  /** Of interfaces with pairs. Those of a length that the kernel does not have are told as VPP has them. */
  held(): HeldObject[] {
    const held: HeldObject[] = [];
    for (const [ifindex, { lengths, linkLocal }] of this.#had) {
      const phy = this.#subifs.name(ifindex);
      if (phy === undefined || !this.#subifs.isUsable(phy)) continue;
      for (const [address, length] of lengths) held.push({ object: this.#toldAs(phy, address, length) });
      // VPP has one of them, the others wait to take its place
      for (const [key, asked] of linkLocal === '' ? [] : this.#asked) {
        if (key.startsWith(`${ifindex} `) && isLinkLocal(asked.address)) held.push({ object: asked });
      }
    }
    return held;
  }

  #toldAs(phy: string, address: string, length: number): Address {
    const family = address.includes(':') ? 6 : 4;
    const asked = this.#asked.get(`${this.#subifs.interface(phy)?.ifindex} ${address}`);
    if (asked !== undefined) return asked;
    return { kind: 'address', phy, family, address, prefixlen: length, connected: length < maxLength(family) };
  }

  async set(a: Address): Promise<OperationResult> {
    const ifindex = this.#subifs.interface(a.phy)?.ifindex;
    if (ifindex === undefined || !this.#subifs.isUsable(a.phy)) {
      throw new LcpError('PORT_REFUSED', {
        op: 'set address',
        key: `${a.phy} ${a.address}`,
        message: `${a.phy} has no pair`,
      });
    }
    const key = `${ifindex} ${a.address}`;
    clearTimeout(this.#late.get(key));
    this.#late.delete(key);
    const had = await this.had(ifindex);
    if (isLinkLocal(a.address)) await this.#setLinkLocal(ifindex, had, a.address);
    else await this.#setGlobal(ifindex, had, a);
    this.#asked.set(key, a);
    return { ok: true };
  }

  /** Those of an interface in whose subnets an address is, with their length. */
  #around(had: Had, of: Address): [string, number][] {
    const most = maxLength(of.family);
    return [...had.lengths].filter(([a, length]) => a !== of.address && length < most && within(of.address, a, length));
  }

  /** Length that an address has in VPP, where all addresses of one subnet on an interface have the same. */
  #lengthFor(ifindex: number, had: Had, a: Address): number {
    if (a.connected) return a.prefixlen;
    const shared = this.#around(had, a).find(([of]) => this.#asked.get(`${ifindex} ${of}`)?.connected !== false);
    return shared?.[1] ?? maxLength(a.family);
  }

  async #setGlobal(ifindex: number, had: Had, a: Address): Promise<void> {
    const wanted = this.#lengthFor(ifindex, had, a);
    if (had.lengths.get(a.address) !== wanted)
      await this.#withoutLeaks(had, a, () => this.#setLength(ifindex, had, a, wanted));
  }

  #withoutLeaks({ tables }: Had, { phy, family }: Address, act: () => Promise<void>): Promise<void> {
    return this.#leaks.without(phy, family, tables[family], tables[family], act);
  }

  async #setLength(ifindex: number, had: Had, a: Address, wanted: number): Promise<void> {
    const before = had.lengths.get(a.address);
    const key = `${a.phy} ${a.address}/${a.prefixlen}`;
    // without one that is connected all of a subnet are alone
    const isAlone = wanted === maxLength(a.family);
    const others = [...had.lengths].filter(([of, length]) => of !== a.address && length > wanted);
    const inside = isAlone ? this.#around(had, a) : others.filter(([of]) => within(of, a.address, wanted));
    for (const [address, length] of inside) await this.#addDel(ifindex, had, address, length, false, key);
    if (before !== undefined) await this.#addDel(ifindex, had, a.address, before, false, key);
    try {
      await this.#addDel(ifindex, had, a.address, wanted, true, key);
      for (const [address] of inside) await this.#addDel(ifindex, had, address, wanted, true, key);
    } catch (error) {
      for (const [address, length] of inside) {
        if (!had.lengths.has(address)) await this.#addDel(ifindex, had, address, length, true, key);
      }
      const overlaps = error instanceof LcpError && OVERLAPS.includes(error.retval ?? 0);
      if (!overlaps || isAlone) throw error;
      await this.#addDel(ifindex, had, a.address, maxLength(a.family), true, key);
    }
    if (before === undefined && this.#count(had, a.family) === 1)
      await acceptGroups(this.#client, ifindex, had.tables[a.family], a.family);
  }

  async #addDel(
    sw_if_index: number,
    had: Had,
    address: string,
    len: number,
    is_add: boolean,
    key: string,
  ): Promise<void> {
    const prefix = { address: ipBytes(address), len };
    const options = { key, accept: is_add ? [] : ABSENT };
    await this.#client.request(swInterfaceAddDelAddress, { sw_if_index, is_add, del_all: false, prefix }, options);
    if (is_add) had.lengths.set(address, len);
    else had.lengths.delete(address);
    if (!is_add && prefix.address.length === 16) await this.#keepLinkLocal(sw_if_index, had);
    // VPP turns IPv6 on with its first address, and gives itself a link-local one
    if (is_add && prefix.address.length === 16 && had.linkLocal === '') {
      had.linkLocal = await this.#linkLocalOf(sw_if_index);
      await this.#silence(sw_if_index, key);
    }
    if (is_add) await this.#renewGlean(had, address, len);
  }

  async #renewGlean({ tables }: Had, address: string, len: number): Promise<void> {
    const family = address.includes(':') ? 6 : 4;
    if (len < maxLength(family)) await renewGlean(this.#client, this.#sources, tables[family], address);
  }

  /** An interface was started: VPP has made its entries anew. */
  async started(ifindex: number): Promise<void> {
    const had = await this.had(ifindex);
    for (const [address, length] of had.lengths) await this.#renewGlean(had, address, length);
  }

  /** Somebody else started an interface or changed its addresses: what VPP makes of that by itself is put right. */
  async changedElsewhere(ifindex: number): Promise<void> {
    const had = await this.had(ifindex);
    const isSix = (address: string) => address.includes(':');
    const addresses = [...had.lengths.keys()];
    if (had.linkLocal === '' && addresses.some(isSix)) {
      had.linkLocal = await this.#linkLocalOf(ifindex);
      await this.#silence(ifindex, addresses.join(' '));
    }
    for (const family of [4, 6] as const)
      if (addresses.some((each) => isSix(each) === (family === 6)))
        await acceptGroups(this.#client, ifindex, had.tables[family], family);
    await this.started(ifindex);
    await takeIp4(this.#client, ifindex, addresses.join(' '));
  }

  /** VPP turns IPv6 off with its last address, link-local ones apart. */
  async #keepLinkLocal(sw_if_index: number, had: Had): Promise<void> {
    if (had.linkLocal === '' || [...had.lengths.keys()].some((each) => each.includes(':'))) return;
    had.linkLocal = await this.#linkLocalOf(sw_if_index);
    const last = had.linkLocals.at(-1);
    if (last !== undefined) await this.#setLinkLocal(sw_if_index, had, last);
  }

  /** How many addresses of a family an interface has, link-local ones apart. */
  #count(had: Had, family: Family): number {
    return [...had.lengths.keys()].filter((address) => address.includes(':') === (family === 6)).length;
  }

  /** Advertising routers is the control plane's: VPP does it by itself wherever IPv6 is on. */
  async #silence(sw_if_index: number, key: string): Promise<void> {
    if (this.#client.unsupported(swInterfaceIp6ndRaConfig) !== undefined) return;
    await this.#client.request(swInterfaceIp6ndRaConfig, { sw_if_index, suppress: 1 }, { key });
  }

  async #setLinkLocal(sw_if_index: number, had: Had, address: string): Promise<void> {
    if (!had.linkLocals.includes(address)) had.linkLocals.push(address);
    if (had.linkLocal === address) return;
    const key = `${this.#subifs.name(sw_if_index)} ${address}`;
    if (had.linkLocal === '') {
      const options = { key, accept: ENABLED_ALREADY };
      await this.#client.request(ip.swInterfaceIp6EnableDisable, { sw_if_index, enable: true }, options);
      await this.#silence(sw_if_index, key);
      await acceptGroups(this.#client, sw_if_index, had.tables[6], 6);
    }
    await this.#client.request(ip.swInterfaceIp6SetLinkLocalAddress, { sw_if_index, ip: ipBytes(address) }, { key });
    had.linkLocal = address;
  }

  async delete(a: Address): Promise<OperationResult> {
    const ifindex = this.#subifs.interface(a.phy)?.ifindex;
    if (ifindex === undefined) return { ok: true };
    const key = `${ifindex} ${a.address}`;
    const had = await this.had(ifindex);
    if (isLinkLocal(a.address)) {
      await this.#deleteLinkLocal(ifindex, had, a.address);
      this.#asked.delete(key);
    } else if (this.#asked.has(key) || had.lengths.get(a.address) !== maxLength(a.family)) {
      await this.#deleteGlobal(ifindex, had, a);
    } else {
      const later = () => {
        this.#late.delete(key);
        // a session that has ended meanwhile is told by itself, and the next one reads what is there
        this.#deleteGlobal(ifindex, had, a).catch((error: unknown) => {
          if (!(error instanceof LcpError)) throw error;
        });
      };
      this.#late.set(key, setTimeout(later, GRACE_MS).unref());
    }
    return { ok: true };
  }

  async #deleteGlobal(ifindex: number, had: Had, a: Address): Promise<void> {
    const length = had.lengths.get(a.address);
    const asked = this.#asked.get(`${ifindex} ${a.address}`);
    // the same address may be asked for with two lengths; VPP has it once
    if (asked !== undefined && asked.prefixlen !== a.prefixlen) return;
    this.#asked.delete(`${ifindex} ${a.address}`);
    if (length === undefined) return;
    await this.#withoutLeaks(had, a, async () => {
      await this.#addDel(ifindex, had, a.address, length, false, `${a.phy} ${a.address}/${a.prefixlen}`);
      if (length < maxLength(a.family)) await this.#reshape(ifindex, had);
    });
    if (a.family === 4) await takeIp4(this.#client, ifindex, a.phy);
  }

  /** Gives addresses their own length that had that of a subnet which is gone. */
  async #reshape(ifindex: number, had: Had): Promise<void> {
    for (const [key, other] of [...this.#asked]) {
      if (!key.startsWith(`${ifindex} `) || isLinkLocal(other.address)) continue;
      if (had.lengths.get(other.address) !== this.#lengthFor(ifindex, had, other))
        await this.#setGlobal(ifindex, had, other);
    }
  }

  async #deleteLinkLocal(sw_if_index: number, had: Had, address: string): Promise<void> {
    const at = had.linkLocals.indexOf(address);
    if (at >= 0) had.linkLocals.splice(at, 1);
    if (had.linkLocal !== address) return;
    const other = had.linkLocals.at(-1);
    if (other !== undefined) return this.#setLinkLocal(sw_if_index, had, other);
    if ([...had.lengths.keys()].some((each) => each.includes(':'))) return;
    await this.#turnOff(sw_if_index, had);
  }

  async #turnOff(sw_if_index: number, had: Had): Promise<void> {
    const options = { key: `${this.#subifs.name(sw_if_index)} IPv6`, accept: [...ENABLED_ALREADY, ...ABSENT] };
    await this.#client.request(ip.swInterfaceIp6EnableDisable, { sw_if_index, enable: false }, options);
    had.linkLocal = '';
  }

  /** Does something to an interface that VPP refuses while it has addresses of a family, which are back afterwards. */
  async without(ifindex: number, family: Family, table: number, act: () => Promise<void>): Promise<void> {
    const had = await this.had(ifindex);
    const ofFamily = [...had.lengths].filter(([address]) => address.includes(':') === (family === 6));
    for (const [address, length] of ofFamily) await this.#addDel(ifindex, had, address, length, false, address);
    // groups of the link are accepted in the table in which IPv6 was turned on
    const linkLocal = family === 6 ? had.linkLocal : '';
    if (linkLocal !== '') await this.#turnOff(ifindex, had);
    try {
      await act();
      had.tables[family] = table;
    } finally {
      if (linkLocal !== '') await this.#setLinkLocal(ifindex, had, linkLocal);
      for (const [address, length] of ofFamily) await this.#addDel(ifindex, had, address, length, true, address);
      if (ofFamily.length > 0) await acceptGroups(this.#client, ifindex, had.tables[family], family);
    }
  }

  /** An interface has gone from VPP, and all that it had. */
  gone(ifindex: number): void {
    this.#had.delete(ifindex);
    for (const key of [...this.#asked.keys(), ...this.#late.keys()]) {
      if (!key.startsWith(`${ifindex} `)) continue;
      clearTimeout(this.#late.get(key));
      this.#late.delete(key);
      this.#asked.delete(key);
    }
  }

  /** Removes all of an interface whose pair ends. */
  async forget(ifindex: number): Promise<void> {
    const had = this.#had.get(ifindex);
    for (const [key, a] of [...this.#asked]) {
      if (key.startsWith(`${ifindex} `)) await this.delete(a);
    }
    if (had !== undefined) this.#had.delete(ifindex);
  }
}
