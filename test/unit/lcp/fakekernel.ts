// FakeKernel: one network namespace of a small Linux: it changes, tells what Linux tells, is silent where Linux is
// silent, can be dumped in scopes, and answers like `ip route get`.
//
// Invariants: `told` holds the notices that nobody has read yet, in order. Kernel routes of addresses (connected,
// local, prefix) are made and removed with them. Reference: fib_frontend.c, fib_semantics.c (fib_sync_down_dev,
// fib_sync_up, fib_sync_down_addr), addrconf.c, route.c (fib6_ifdown), nexthop.c (nexthop_flush_dev).

import type { DumpKind, DumpScope } from '../../../src/lcp/doubts.ts';
import { AF_INET, AF_INET6, familyOf, formatIp, ipBytes, maskBytes, maxPrefixLength } from '../../../src/lib/ip.ts';
import type { AddressRequest } from '../../../src/netlink/address.ts';
import type { LinkRequest } from '../../../src/netlink/link.ts';
import type { NeighbourRequest } from '../../../src/netlink/neighbour.ts';
import type { NexthopRequest } from '../../../src/netlink/nexthop.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type AddMode, type FakeLeg, type FakeRoute, FakeRoutes, type RouteSpec } from './fakeroutes.ts';
import type { Message } from './kernelbytes.ts';
import * as bytes from './kernelbytes.ts';

export interface FakeLink {
  readonly ifindex: number;
  name: string;
  up: boolean;
  carrier: boolean;
  mtu: number;
  mac: string;
  readonly type: number;
  readonly kind?: string;
  /** Index of the device below. */
  readonly link?: number;
  readonly tunType?: 'tap' | 'tun';
  alias?: string;
  altnames: string[];
}

/** What `ip route get` says: a type, or the legs over which packets go. */
export interface RouteAnswer {
  readonly type: number;
  readonly table: number;
  readonly prefixlen: number;
  readonly legs: readonly { oif: number; gateway: string; weight: number }[];
}

const MACVLAN_MODE_BRIDGE = 4;
const TABLES4 = [k.RT_TABLE_LOCAL, k.RT_TABLE_MAIN];
const TABLES6 = [k.RT_TABLE_LOCAL, k.RT_TABLE_MAIN];

export class FakeKernel {
  readonly links = new Map<number, FakeLink>();
  readonly addresses: AddressRequest[] = [];
  readonly neighbours: NeighbourRequest[] = [];
  readonly nexthops = new Map<number, NexthopRequest>();
  /** Interfaces that ignore routes with link down, by family. */
  readonly ignoring = { 4: new Set<number>(), 6: new Set<number>() };
  readonly told: Message[] = [];
  readonly routes = new FakeRoutes(
    (m) => this.told.push(m),
    (r, oif) => this.#linkdown(r, oif),
  );
  #ifindex: number;

  constructor(firstIfindex = 1) {
    this.#ifindex = firstIfindex;
  }

  /** Notices since the last call. */
  take(): Message[] {
    return this.told.splice(0);
  }

  linkNamed(name: string): FakeLink {
    for (const l of this.links.values()) if (l.name === name) return l;
    throw new Error(`no link ${name}`);
  }

  #linkRequest(l: FakeLink): LinkRequest {
    const tun = { persist: true, vnetHdr: true, packetInfo: false, multiQueue: false };
    return {
      ifindex: l.ifindex,
      type: l.type,
      flags: (l.up ? k.IFF_UP : 0) | (l.up && l.carrier ? k.IFF_LOWER_UP : 0),
      name: l.name,
      mtu: l.mtu,
      ...(l.mac === '' ? {} : { mac: l.mac }),
      ...(l.kind === undefined ? {} : { kind: l.kind }),
      ...(l.link === undefined ? {} : { link: l.link }),
      ...(l.kind === 'macvlan' ? { info: { macvlan: { mode: MACVLAN_MODE_BRIDGE } } } : {}),
      ...(l.tunType === undefined ? {} : { info: { tun: { type: l.tunType, ...tun } } }),
      ...(l.alias === undefined ? {} : { alias: l.alias }),
      altnames: l.altnames,
    };
  }

  addLink(name: string, more: Partial<FakeLink> = {}): FakeLink {
    const ifindex = this.#ifindex++;
    const mac = `02:00:00:00:00:${ifindex.toString(16).padStart(2, '0')}`;
    const link = { ifindex, name, up: true, carrier: true, mtu: 1500, mac, type: 1, altnames: [], ...more };
    this.links.set(ifindex, link);
    this.told.push(bytes.newLink(this.#linkRequest(link)));
    return link;
  }

  setLink(l: FakeLink, change: Partial<Pick<FakeLink, 'name' | 'up' | 'carrier' | 'mtu' | 'mac' | 'alias'>>): void {
    const was = { ...l };
    Object.assign(l, change);
    this.told.push(bytes.newLink(this.#linkRequest(l)));
    if (was.up && !l.up) this.#down(l);
    else if (!was.up && l.up) this.#up(l);
    else if (l.up && was.carrier && !l.carrier) this.#flushNexthops(l.ifindex);
  }

  delLink(l: FakeLink): void {
    if (l.up) this.setLink(l, { up: false });
    for (const a of this.addresses.filter((o) => o.ifindex === l.ifindex)) this.delAddress(a);
    for (const r of [...this.routes.all()]) {
      if (!r.legs.some((leg) => leg.oif === l.ifindex)) continue;
      if (r.family === AF_INET6)
        for (const leg of r.legs.filter((o) => o.oif === l.ifindex)) this.routes.removeLeg(r, leg);
      else if (r.legs.every((leg) => leg.dead || leg.oif === l.ifindex)) this.routes.drop(r);
    }
    this.links.delete(l.ifindex);
    this.ignoring[4].delete(l.ifindex);
    this.ignoring[6].delete(l.ifindex);
    this.told.push(bytes.delLink(this.#linkRequest(l)));
  }

  /** fib_disable_ip: IPv4 routes over a device go, or their legs die, without a word. */
  #disable4(ifindex: number): void {
    for (const r of [...this.routes.all()]) {
      if (r.family !== AF_INET || r.type === k.RTN_LOCAL || !r.legs.some((l) => l.oif === ifindex)) continue;
      for (const leg of r.legs) if (leg.oif === ifindex) leg.dead = true;
      if (r.legs.every((l) => l.dead)) this.routes.drop(r);
    }
  }

  #down(l: FakeLink): void {
    this.#flushNexthops(l.ifindex);
    this.#disable4(l.ifindex);
    for (const a of this.addresses.filter((o) => o.ifindex === l.ifindex && o.family === AF_INET6)) this.delAddress(a);
    for (const r of [...this.routes.all()]) {
      if (r.family !== AF_INET6 || r.type !== k.RTN_UNICAST || !r.legs.some((leg) => leg.oif === l.ifindex)) continue;
      for (const leg of r.legs) if (leg.oif === l.ifindex) leg.dead = true;
      if (r.legs.every((leg) => leg.dead)) this.routes.remove(r);
    }
    for (const n of this.neighbours.filter((o) => o.ifindex === l.ifindex)) this.delNeighbour(n);
  }

  #up(l: FakeLink): void {
    const own4 = this.addresses.filter((a) => a.ifindex === l.ifindex && a.family === AF_INET);
    for (const a of own4) this.#connect4(a);
    for (const r of this.routes.all()) {
      if (r.family === AF_INET && own4.length === 0) continue;
      for (const leg of r.legs) if (leg.oif === l.ifindex) leg.dead = false;
    }
  }

  #network(a: AddressRequest): string {
    return `${formatIp(maskBytes(ipBytes(a.local), a.prefixlen))}/${a.prefixlen}`;
  }

  #connect4(a: AddressRequest): void {
    const { ifindex: oif, local: prefsrc } = a;
    const kernel = { protocol: k.RTPROT_KERNEL, prefsrc, legs: [{ oif }] };
    if (this.links.get(oif)?.up === true && a.prefixlen < 32) {
      this.routes.add({ dst: this.#network(a), scope: k.RT_SCOPE_LINK, ...kernel }, 'append');
    }
    const own = { dst: `${prefsrc}/32`, table: k.RT_TABLE_LOCAL, type: k.RTN_LOCAL, scope: k.RT_SCOPE_HOST, ...kernel };
    this.routes.add(own, 'append');
  }

  addAddress(a: { ifindex: number; local: string; prefixlen: number }): void {
    const family = familyOf(a.local);
    const known = this.addresses.some(
      (o) => o.ifindex === a.ifindex && o.local === a.local && o.prefixlen === a.prefixlen,
    );
    if (known || (family === AF_INET6 && this.links.get(a.ifindex)?.up !== true)) return;
    const address: AddressRequest = { ...a, family, scope: k.RT_SCOPE_UNIVERSE };
    this.addresses.push(address);
    this.told.push(bytes.newAddress(address));
    if (family === AF_INET) {
      this.#connect4(address);
      if (this.links.get(a.ifindex)?.up !== true) return;
      for (const r of this.routes.all()) {
        if (r.family === AF_INET) for (const leg of r.legs) if (leg.oif === a.ifindex) leg.dead = false;
      }
      return;
    }
    const kernel = { protocol: k.RTPROT_KERNEL, legs: [{ oif: a.ifindex }] };
    const own = { table: k.RT_TABLE_LOCAL, type: k.RTN_LOCAL, metric: 0 };
    this.routes.add({ dst: `${a.local}/128`, ...own, ...kernel }, 'append');
    this.routes.add({ dst: this.#network(address), metric: 256, ...kernel }, 'append');
  }

  delAddress(a: AddressRequest): void {
    this.addresses.splice(this.addresses.indexOf(a), 1);
    this.told.push(bytes.delAddress(a));
    const network = this.#network(a);
    const shared = this.addresses.some((o) => o.ifindex === a.ifindex && this.#network(o) === network);
    const elsewhere = this.addresses.some((o) => o.local === a.local);
    for (const r of [...this.routes.all()]) {
      if (r.protocol !== k.RTPROT_KERNEL || r.family !== a.family) continue;
      const mine = r.family === AF_INET ? r.prefsrc === a.local : r.legs[0]?.oif === a.ifindex;
      const own = r.table === k.RT_TABLE_LOCAL && r.dst === `${a.local}/${maxPrefixLength(a.family)}` && mine;
      const connected = r.table === k.RT_TABLE_MAIN && r.dst === network && r.legs[0]?.oif === a.ifindex && mine;
      if (own && r.legs[0]?.oif === a.ifindex) this.routes.remove(r);
      else if (connected && (r.family === AF_INET || !shared)) this.routes.remove(r);
    }
    if (a.family !== AF_INET) return;
    for (const r of [...this.routes.all()]) if (!elsewhere && r.prefsrc === a.local) this.routes.drop(r);
    const last = !this.addresses.some((o) => o.ifindex === a.ifindex && o.family === AF_INET);
    if (last) this.#disable4(a.ifindex);
  }

  setNeighbour(n: { ifindex: number; dst: string; lladdr?: string; state?: number }): void {
    if (this.links.get(n.ifindex)?.up !== true) return;
    const entry: NeighbourRequest = { state: k.NUD_REACHABLE, type: k.RTN_UNICAST, ...n, family: familyOf(n.dst) };
    const at = this.neighbours.findIndex((o) => o.ifindex === n.ifindex && o.dst === n.dst);
    if (at < 0) this.neighbours.push(entry);
    else this.neighbours[at] = entry;
    this.told.push(bytes.newNeighbour(entry));
  }

  delNeighbour(n: NeighbourRequest): void {
    this.neighbours.splice(this.neighbours.indexOf(n), 1);
    this.told.push(bytes.delNeighbour(n));
  }

  /** Makes or replaces an object; a group must be of objects that exist. */
  setNexthop(n: NexthopRequest): boolean {
    const link = n.oif === undefined ? undefined : this.links.get(n.oif);
    if (n.oif !== undefined && (link?.up !== true || !link.carrier)) return false;
    if (n.group?.some((m) => this.nexthops.get(m.id)?.group !== undefined || !this.nexthops.has(m.id))) return false;
    const before = this.nexthops.get(n.id);
    const member = [...this.nexthops.values()].some((g) => g.group?.some((m) => m.id === n.id));
    if (n.blackhole === true && member) return false;
    if (before !== undefined && (before.group === undefined) !== (n.group === undefined)) return false;
    const entry = { ...n, ...(n.gateway === undefined ? {} : { family: familyOf(n.gateway) }) };
    this.nexthops.set(n.id, entry);
    this.told.push(bytes.newNexthop(entry));
    return true;
  }

  delNexthop(id: number): void {
    const n = this.nexthops.get(id);
    if (n === undefined) return;
    this.told.push(bytes.delNexthop(n));
    this.#loseNexthop(id);
  }

  #loseNexthop(id: number): void {
    this.nexthops.delete(id);
    for (const r of [...this.routes.all()]) if (r.nhId === id) this.routes.drop(r);
    for (const [other, n] of this.nexthops) {
      if (n.group?.some((m) => m.id === id) !== true) continue;
      const group = n.group.filter((m) => m.id !== id);
      if (group.length === 0) this.#loseNexthop(other);
      else this.nexthops.set(other, { ...n, group });
    }
  }

  #flushNexthops(ifindex: number): void {
    for (const n of [...this.nexthops.values()]) if (n.oif === ifindex) this.#loseNexthop(n.id);
  }

  setIgnoring(family: 4 | 6, ifindex: number, on: boolean): void {
    if (on) this.ignoring[family].add(ifindex);
    else this.ignoring[family].delete(ifindex);
    this.told.push(this.#netconf(family, ifindex));
  }

  #netconf(family: 4 | 6, ifindex: number): Message {
    const af = family === 4 ? AF_INET : AF_INET6;
    return bytes.newNetconf({ family: af, ifindex, ignoreRoutesWithLinkdown: this.ignoring[family].has(ifindex) });
  }

  /** As `ip route`; refuses legs over devices that are not up, as the kernel does. */
  addRoute(spec: RouteSpec, mode: AddMode = 'add'): boolean {
    if (spec.legs?.some((l) => this.links.get(l.oif)?.up !== true) === true) return false;
    if (spec.nhId !== undefined && !this.nexthops.has(spec.nhId)) return false;
    const local = spec.prefsrc === undefined || this.addresses.some((a) => a.local === spec.prefsrc);
    return local && this.routes.add(spec, mode);
  }

  /** What a dump of a part of a table shows. */
  dump(kind: DumpKind, scope: DumpScope): Message[] {
    const { family, oif, table } = scope;
    const of = (o: { family?: number; ifindex?: number }): boolean =>
      (family === 0 || o.family === family) && (oif === undefined || o.ifindex === oif);
    switch (kind) {
      case 'link':
        return [...this.links.values()].map((l) => bytes.newLink(this.#linkRequest(l)));
      case 'netconf':
        return [...this.links.keys(), k.NETCONFA_IFINDEX_ALL].map((i) => this.#netconf(family === AF_INET6 ? 6 : 4, i));
      case 'address':
        return this.addresses.filter(of).map((a) => bytes.newAddress(a));
      case 'neighbour':
        return this.neighbours.filter(of).map((n) => bytes.newNeighbour(n));
      case 'nexthop':
        return [...this.nexthops.values()].map((n) => bytes.newNexthop(n));
      case 'route':
        return [...this.routes.all()]
          .filter((r) => (family === 0 || r.family === family) && (table === undefined || r.table === table))
          .filter((r) => oif === undefined || this.legsOf(r).some((l) => l.oif === oif))
          .map((r) => bytes.newRoute(this.routes.request(r), 0));
      case 'rule':
      case 'mroute':
        return [];
    }
  }

  /** Legs of a route with nexthop objects opened. */
  legsOf(r: FakeRoute): FakeLeg[] {
    if (r.nhId === undefined) return r.legs;
    const n = this.nexthops.get(r.nhId);
    const members = n?.group ?? (n === undefined ? [] : [{ id: n.id, weight: 1 }]);
    return members.flatMap(({ id, weight }) => {
      const m = this.nexthops.get(id);
      if (m?.oif === undefined) return [];
      return [{ oif: m.oif, weight, dead: false, ...(m.gateway === undefined ? {} : { gateway: m.gateway }) }];
    });
  }

  #ignores(r: FakeRoute, oif: number): boolean {
    const own = this.ignoring[r.family === AF_INET6 ? 6 : 4];
    return own.has(oif) || (r.family === AF_INET && own.has(k.NETCONFA_IFINDEX_ALL));
  }

  /** fib_nexthop_info: what a leg without carrier is shown with. */
  #linkdown(r: FakeRoute, oif: number): number {
    const link = this.links.get(oif);
    if (link?.up !== true || link.carrier) return 0;
    return k.RTNH_F_LINKDOWN | (this.#ignores(r, oif) ? k.RTNH_F_DEAD : 0);
  }

  #usable(r: FakeRoute, leg: FakeLeg): boolean {
    const link = this.links.get(leg.oif);
    if (leg.dead || link?.up !== true) return false;
    return link.carrier || !this.#ignores(r, leg.oif);
  }

  /** `ip route get`, undefined: network is unreachable. */
  routeGet(address: string): RouteAnswer | undefined {
    const six = familyOf(address) === AF_INET6;
    // IPv4 keeps local and main in one trie while there are no rules of its own; IPv6 asks one after the other
    const rounds = six ? TABLES6.map((t) => [t]) : [TABLES4, [k.RT_TABLE_DEFAULT]];
    for (const tables of rounds) {
      const answer = this.#lookup(tables, address, six ? 128 : 32);
      // throw goes on with the next rule
      if (answer !== undefined && answer.type !== k.RTN_THROW) return answer;
    }
    return undefined;
  }

  #lookup(tables: readonly number[], address: string, longest: number): RouteAnswer | undefined {
    for (let prefixlen = longest; prefixlen >= 0; prefixlen--) {
      for (const table of tables) {
        const chain = this.routes.at(table, address, prefixlen);
        const ends = (r: FakeRoute) => r.nhId !== undefined && this.nexthops.get(r.nhId)?.blackhole === true;
        for (const r of chain) {
          const answer = { type: r.type, table, prefixlen, legs: [] };
          if (r.tos !== 0) continue;
          const legs = this.legsOf(r).filter((l) => this.#usable(r, l));
          if (r.type === k.RTN_UNICAST && legs.length === 0 && !ends(r)) continue;
          // IPv6's find_rr_leaf: a nexthop object that is a blackhole ends the search among equals
          const ended = r.family === AF_INET6 ? chain.some((o) => o.metric === r.metric && ends(o)) : ends(r);
          if (ended) return { ...answer, type: k.RTN_BLACKHOLE };
          if (r.type !== k.RTN_UNICAST) return answer;
          return { ...answer, legs: legs.map((l) => ({ oif: l.oif, gateway: l.gateway ?? '', weight: l.weight })) };
        }
      }
    }
    return undefined;
  }
}
