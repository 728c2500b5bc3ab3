// The kernel's state in one network namespace: links, addresses, neighbours, nexthops, routes.
//
// Filled by netlink batches, in the kernel's order; every change only says which key to look at again
// (the dirty sets below, which coalesce). Existence is decided by values, never by event types.
// What the kernel does without telling, and how it is seen here:
//   link down, last IPv4 address gone     derive.ts stops using legs over it at once, and the routes
//                                         over the device are read again (scoped dump, then sweep)
//   address gone that is a prefsrc        IPv4 routes with it vanish: read again
//   link down or without carrier          nexthop objects over it vanish, and the routes with them:
//                                         modelled at once (nexthops.ts), then read again
//   enslaved or released                  a VRF moves the device's IPv4 routes, a bond gives it another
//                                         MTU (dev_set_mtu), both without a notice: read again
//   nexthop object deleted or replaced    its path sets are derived again; on deletion routes go
//   link up, carrier, address added       dead legs come back to life: read again where some were dead
// Reference: fib_sync_down_dev, fib_sync_up, fib_sync_down_addr, nexthop_flush_dev.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import { type Address, decodeAddress } from '../netlink/address.ts';
import { decodeLink, type Link } from '../netlink/link.ts';
import { forEachMessage, type MessageBatch } from '../netlink/message.ts';
import { decodeMroute } from '../netlink/mroute.ts';
import { decodeNeighbour, type Neighbour } from '../netlink/neighbour.ts';
import { decodeNetconf, type Netconf } from '../netlink/netconf.ts';
import { decodeNexthop } from '../netlink/nexthop.ts';
import { decodeRoute, RouteMessage } from '../netlink/route.ts';
import { decodeRule } from '../netlink/rule.ts';
import * as k from '../netlink/uapi.ts';
import { Cleared } from './cleared.ts';
import { Doubts, type DumpKind, type DumpScope } from './doubts.ts';
import { Mroutes } from './mroutes.ts';
import { Nexthops } from './nexthops.ts';
import { MPLS, type RouteFamily } from './objects.ts';
import { OwnAddresses, wordOf } from './ownaddresses.ts';
import { OwnGateways } from './owngateways.ts';
import { type PathSet, PathSets } from './pathsets.ts';
import { IPV6_MIN_MTU, RouteDoubts } from './routedoubts.ts';
import type { CarrierPolicy } from './routelegs.ts';
import { Routes } from './routes.ts';
import { Rules } from './rules.ts';
import { Settings } from './settings.ts';

const addressKey = (a: Address): string => `${a.ifindex} ${a.local}/${a.prefixlen}`;
const neighbourKey = (n: Neighbour): string => `${n.ifindex} ${n.dst}`;

export class Namespace {
  /** Configured name; '' is lcpd's own. */
  readonly name: string;
  readonly links = new Map<number, Link>();
  readonly addresses = new Map<string, Address>();
  readonly neighbours = new Map<string, Neighbour>();
  readonly settings = new Settings();
  readonly pathsets = new PathSets();
  readonly #ownAddresses = new OwnAddresses();
  readonly #own = new OwnGateways(this.#ownAddresses);
  readonly routes4 = new Routes(4, this.pathsets, this.#own);
  readonly routes6 = new Routes(6, this.pathsets);
  readonly routesMpls = new Routes(MPLS, this.pathsets);
  /** Of every family. */
  readonly routes: readonly Routes[] = [this.routes4, this.routes6, this.routesMpls];
  readonly rules = new Rules();
  readonly mroutes = new Mroutes();

  /** 'absent': no such namespace; 'syncing': being read; 'in-sync'. */
  state: 'absent' | 'syncing' | 'in-sync' = 'absent';
  /** "dev:ino" while it exists. */
  identity = '';
  /** Whether it has been read completely once, or found absent: deletes may be believed. */
  known = false;
  /** False: neighbours are learned by other means than this mirror. */
  followsNeighbours = true;

  readonly dirtyLinks = new Set<number>();
  readonly dirtyNeighbours = new Set<string>();
  readonly dirtyPathsets = new Set<PathSet>();
  readonly doubts = new Doubts();
  readonly #routeDoubts = new RouteDoubts(this.links, this.#ownAddresses, this.pathsets, this.doubts);
  readonly cleared = new Cleared(this.links, this.pathsets, this.dirtyPathsets);
  readonly nexthops = new Nexthops(this.pathsets, this.routes, this.dirtyPathsets, this.doubts);
  /** Called after every batch that changed something. */
  onChange: () => void = () => undefined;

  #epoch = 1;
  readonly #dumpEpoch = new Map<string, number>();
  /** Device that the running dump is restricted to. */
  #dumpOif: number | undefined;
  readonly #seen = new Map<string, number>();
  readonly #message = new RouteMessage();

  constructor(name: string) {
    this.name = name;
    // MPLS dumps know no device to filter by, and its one route a label has no shadow
    this.routes4.onDoubt = (ifindex) => this.doubts.add('route', AF_INET, ifindex || undefined);
    this.routes6.onDoubt = (ifindex) => this.doubts.add('route', AF_INET6, ifindex || undefined);
  }

  /** A dump begins: what it shows from here on counts as seen. */
  dumpBegin(kind: DumpKind, scope: DumpScope): void {
    this.#epoch++;
    this.#dumpOif = scope.oif;
    if (kind === 'route') this.routes6.dumpBegin(this.state !== 'in-sync');
    this.#dumpEpoch.set(`${kind} ${scope.family}`, this.#epoch);
  }

  /** A dump ended; complete says that it may sweep what it did not show, within its scope. */
  dumpEnd(kind: DumpKind, complete: boolean, scope: DumpScope): void {
    const epoch = this.#dumpEpoch.get(`${kind} ${scope.family}`);
    if (!complete || epoch === undefined) return;
    const { family, oif } = scope;
    const within = (o: { family: number; ifindex: number }): boolean =>
      (family === 0 || o.family === family) && (oif === undefined || o.ifindex === oif);
    const unseen = (key: string): boolean => (this.#seen.get(`${kind} ${key}`) ?? 0) < epoch;
    switch (kind) {
      case 'link':
        for (const i of [...this.links.keys()]) if (unseen(String(i))) this.#removeLink(i);
        break;
      case 'address':
        for (const a of [...this.addresses.values()]) if (within(a) && unseen(addressKey(a))) this.#removeAddress(a);
        break;
      case 'neighbour':
        for (const n of [...this.neighbours.values()]) {
          if (within(n) && unseen(neighbourKey(n))) this.#removeNeighbour(n);
        }
        break;
      case 'nexthop':
        this.nexthops.sweep(epoch);
        break;
      case 'route':
        for (const af of family === k.AF_UNSPEC ? [AF_INET, AF_INET6, k.AF_MPLS] : [family]) {
          this.#routesOf(af)?.sweep(scope, epoch, this.state === 'in-sync');
          if (af === AF_INET6 && scope.table === undefined) this.cleared.read(oif);
        }
        if (this.state !== 'in-sync') this.#routeDoubts.synced(performance.now());
        break;
      case 'rule':
        if (this.rules.sweep(family, epoch)) this.#rulesChanged();
        break;
      case 'mroute':
        this.mroutes.sweep(family === k.RTNL_FAMILY_IP6MR ? AF_INET6 : AF_INET, epoch);
        break;
      case 'netconf':
        break; // goes with its link
    }
    this.onChange();
  }

  /** Of an address family; undefined for those that are not mirrored. */
  #routesOf = (af: number): Routes | undefined => this.routes[[AF_INET, AF_INET6, k.AF_MPLS].indexOf(af)];
  routesOf(family: RouteFamily): Routes {
    return family === 4 ? this.routes4 : family === 6 ? this.routes6 : this.routesMpls;
  }

  /** Whose routes are withdrawn with their carrier: takes effect on what is read from then on. */
  set carrierPolicy(policy: CarrierPolicy) {
    for (const routes of [this.routes4, this.routes6]) routes.legs.carrierPolicy = policy;
  }
  get carrierPolicy(): CarrierPolicy {
    return this.routes4.legs.carrierPolicy;
  }

  /** Forgets everything: the namespace has gone. */
  clear(): void {
    // routes first: what goes with a link looks through all of them
    for (const routes of this.routes) {
      routes.removeIf(() => true);
      routes.sources.clear();
    }
    for (const i of [...this.links.keys()]) this.#removeLink(i);
    for (const a of [...this.addresses.values()]) this.#removeAddress(a);
    for (const n of [...this.neighbours.values()]) this.#removeNeighbour(n);
    this.nexthops.sweep(Number.POSITIVE_INFINITY);
    this.rules.clear();
    this.mroutes.clear();
    this.settings.clear();
    this.#seen.clear();
    this.doubts.clear();
    this.onChange();
  }

  /** Applies a batch of messages; malformed ones are counted by the batch and skipped. */
  apply(batch: MessageBatch): void {
    const fromDump = batch.fromDump;
    forEachMessage(batch, (type, flags, offset) => {
      switch (type) {
        case k.RTM_NEWROUTE:
        case k.RTM_DELROUTE: {
          const m = this.#message;
          if (!decodeRoute(batch, offset, m)) return false;
          const routes = this.#routesOf(m.family);
          if (routes === undefined) return this.#applyMroute(batch, offset, m.family, type === k.RTM_NEWROUTE);
          if (type === k.RTM_NEWROUTE) routes.add(m, flags, fromDump ? batch.part : 0, this.#epoch, this.#dumpOif);
          else routes.remove(m, this.#epoch);
          if (type === k.RTM_NEWROUTE && !fromDump) {
            if (m.nhId !== 0) this.nexthops.named(m.nhId, m.family);
            this.#routeDoubts.told(m);
          }
          return true;
        }
        case k.RTM_NEWNEIGH:
        case k.RTM_DELNEIGH: {
          if (!this.followsNeighbours) return true;
          const n = decodeNeighbour(batch, offset);
          if (n === undefined) return false;
          if ((n.family !== AF_INET && n.family !== AF_INET6) || n.dst === '') return true;
          if (type === k.RTM_NEWNEIGH) this.#setNeighbour(n);
          else this.#removeNeighbour(n);
          return true;
        }
        case k.RTM_NEWLINK:
        case k.RTM_DELLINK: {
          const link = decodeLink(batch, offset);
          if (link === undefined) return false;
          // bridge ports and IPv6 settings share the message; only AF_UNSPEC speaks of the device
          if (link.family !== k.AF_UNSPEC) return true;
          if (type === k.RTM_NEWLINK) this.#setLink(link);
          else this.#removeLink(link.ifindex);
          return true;
        }
        case k.RTM_NEWADDR:
        case k.RTM_DELADDR: {
          const a = decodeAddress(batch, offset);
          if (a === undefined) return false;
          if (type === k.RTM_NEWADDR) this.#setAddress(a);
          else this.#removeAddress(a);
          return true;
        }
        case k.RTM_NEWNEXTHOP:
        case k.RTM_DELNEXTHOP: {
          const n = decodeNexthop(batch, offset);
          if (n === undefined) return false;
          if (type === k.RTM_NEWNEXTHOP) this.nexthops.take(n, this.#epoch, this.#own.hasThatOf(n), fromDump);
          else this.nexthops.remove(n.id);
          return true;
        }
        case k.RTM_NEWRULE:
        case k.RTM_DELRULE: {
          const r = decodeRule(batch, offset);
          if (r === undefined) return false;
          // multicast routing has rules of its own: which entry is used follows from where a packet comes in
          if (r.family !== AF_INET && r.family !== AF_INET6) return true;
          if (type === k.RTM_NEWRULE ? this.rules.set(r, this.#epoch) : this.rules.remove(r)) this.#rulesChanged();
          if (type === k.RTM_DELRULE) this.doubts.add('rule', r.family); // there may have been two of it
          return true;
        }
        case k.RTM_NEWNETCONF: {
          const c = decodeNetconf(batch, offset);
          if (c === undefined) return false;
          if (c.ifindex !== k.NETCONFA_IFINDEX_DEFAULT) this.#setNetconf(c, fromDump);
          return true;
        }
        default:
          return true;
      }
    });
    this.onChange();
  }

  #applyMroute(batch: MessageBatch, offset: number, family: number, isNew: boolean): boolean {
    if (family !== k.RTNL_FAMILY_IPMR && family !== k.RTNL_FAMILY_IP6MR) return true;
    const m = decodeMroute(batch, offset);
    if (m === undefined) return false;
    if (!isNew) this.mroutes.remove(m);
    else if (this.mroutes.set(m, this.#epoch) && !batch.fromDump) this.doubts.add('mroute', family);
    return true;
  }

  /** What every interface is looked up in may be another now. */
  #rulesChanged(): void {
    for (const ifindex of this.links.keys()) this.dirtyLinks.add(ifindex);
    for (const p of this.pathsets.all()) if (p.legs.length > 0) this.dirtyPathsets.add(p);
  }

  #see = (kind: DumpKind, key: string): unknown => this.#seen.set(`${kind} ${key}`, this.#epoch);
  #unsee = (kind: DumpKind, key: string): unknown => this.#seen.delete(`${kind} ${key}`);

  #setLink(link: Link): void {
    const before = this.links.get(link.ifindex);
    this.links.set(link.ifindex, link);
    this.#see('link', String(link.ifindex));
    this.dirtyLinks.add(link.ifindex);
    const wasUp = before !== undefined && (before.flags & k.IFF_UP) !== 0;
    const isUp = (link.flags & k.IFF_UP) !== 0;
    // the carrier may be told before the kernel acts on it (linkwatch_do_dev), and that the device runs only afterwards
    const sameCarrier = (((before?.flags ?? 0) ^ link.flags) & (k.IFF_LOWER_UP | k.IFF_RUNNING)) === 0;
    if (!isUp || (link.flags & (k.IFF_RUNNING | k.IFF_LOWER_UP)) === 0) this.nexthops.flush(link.ifindex);
    // one that is down loses its IPv6 legs then, with skip_notify_on_dev_down without any notice
    if (link.mtu < IPV6_MIN_MTU && (before?.mtu ?? 0) >= IPV6_MIN_MTU) this.doubts.add('route', AF_INET6, link.ifindex);
    if (wasUp === isUp && sameCarrier && before?.master === link.master && before !== undefined) return;
    this.reviewDevice(link.ifindex);
    this.cleared.forget(link.ifindex);
    if (before === undefined) return;
    if (before.master !== link.master) this.doubts.add('link', k.AF_UNSPEC);
    if (wasUp && !isUp) {
      // fib6_ifdown: told later or, with net.ipv6.route.skip_notify_on_dev_down, never; made anew they come last
      this.routes6.removeOver(link.ifindex, (i) => ((this.links.get(i)?.flags ?? 0) & k.IFF_UP) === 0, true);
      this.doubts.add('address', AF_INET6, link.ifindex); // those that are kept become tentative
    }
    if (wasUp !== isUp || before.master !== link.master) this.#routeDoubts.over(link.ifindex);
    if (!sameCarrier && (link.flags & k.IFF_LOWER_UP) !== 0) this.#routeDoubts.dead(link.ifindex);
    this.doubts.add('netconf', AF_INET6); // ignore_routes_with_linkdown of one device is never told
  }

  #removeLink(ifindex: number): void {
    if (!this.links.delete(ifindex)) return;
    this.#unsee('link', String(ifindex));
    this.settings.delete(ifindex);
    this.cleared.forget(ifindex);
    this.dirtyLinks.add(ifindex);
    for (const a of [...this.addresses.values()]) if (a.ifindex === ifindex) this.#removeAddress(a);
    for (const n of [...this.neighbours.values()]) if (n.ifindex === ifindex) this.#removeNeighbour(n);
    this.nexthops.flush(ifindex);
    this.#reviewLegsOver(ifindex);
    if (this.mroutes.names(ifindex)) {
      this.mroutes.review(); // it has gone from the entries in silence
      this.doubts.add('mroute', k.AF_UNSPEC);
    }
    // IPv4 routes go without a notice, legs of multipath routes die: the ifindex is no filter any more
    const over = [...this.pathsets.usingIfindex(ifindex)];
    for (const routes of this.routes) routes.removeOver(ifindex, (i) => i === ifindex);
    if (over.some((p) => p.refs > 0)) for (const af of [AF_INET, AF_INET6]) this.doubts.add('route', af);
    if (over.some((p) => p.family === MPLS)) this.doubts.add('route', k.AF_MPLS);
  }

  #setAddress(a: Address): void {
    const key = addressKey(a);
    if (!this.addresses.has(key)) {
      this.#routeDoubts.dead(a.ifindex);
      this.#ownAddresses.count(a, 1);
    }
    this.addresses.set(key, a);
    this.#see('address', key);
    this.dirtyLinks.add(a.ifindex);
  }

  #removeAddress(a: Address): void {
    if (!this.addresses.delete(addressKey(a))) return;
    this.#unsee('address', addressKey(a));
    this.#ownAddresses.count(a, -1);
    this.dirtyLinks.add(a.ifindex);
    const last = !this.#ownAddresses.anyOn(a.family, a.ifindex);
    // IPv6 was switched off there, or the MTU became too small for it: legs of multipath routes died
    if (last && a.family === AF_INET6) this.doubts.add('route', AF_INET6, a.ifindex);
    if (a.family !== AF_INET) return;
    const word = wordOf(a.local);
    for (const p of this.pathsets.all()) {
      if (p.refs === 0) continue;
      if (p.prefsrc === word) this.doubts.add('route', AF_INET);
      else if (last && p.legs.some((l) => l.ifindex === a.ifindex)) this.doubts.add('route', AF_INET, a.ifindex);
    }
  }

  #setNeighbour(n: Neighbour): void {
    const key = neighbourKey(n);
    this.neighbours.set(key, n);
    this.#see('neighbour', key);
    this.dirtyNeighbours.add(key);
  }

  #removeNeighbour(n: Neighbour): void {
    const key = neighbourKey(n);
    if (!this.neighbours.delete(key)) return;
    this.#unsee('neighbour', key);
    this.dirtyNeighbours.add(key);
  }

  #setNetconf(told: Netconf, fromDump: boolean): void {
    const { ifindex, ignoreRoutesWithLinkdown } = told;
    if (!this.settings.set(told) && fromDump) return;
    this.dirtyLinks.add(ifindex);
    if (ignoreRoutesWithLinkdown === undefined) return;
    for (const i of ifindex === k.NETCONFA_IFINDEX_ALL ? this.links.keys() : [ifindex]) {
      this.#reviewLegsOver(i);
      this.#routeDoubts.dead(i);
    }
  }

  /** Path sets whose usable legs may have changed with a device: derive them again. */
  #reviewLegsOver(ifindex: number): void {
    for (const p of this.pathsets.usingIfindex(ifindex)) this.dirtyPathsets.add(p);
    this.nexthops.reviewOver(ifindex);
  }

  /** Everything over a device must be derived again: it changed its state, or a pair with it came or went. */
  reviewDevice(ifindex: number): void {
    this.dirtyLinks.add(ifindex);
    for (const [key, n] of this.neighbours) if (n.ifindex === ifindex) this.dirtyNeighbours.add(key);
    this.mroutes.review();
    this.#reviewLegsOver(ifindex);
  }
}
