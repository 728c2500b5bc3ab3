// The kernel's state in one network namespace: links, addresses, neighbours, nexthops, routes.
//
// Filled by netlink batches, in the kernel's order; every change only says which key to look at again
// (the dirty sets below, which coalesce). Existence is decided by values, never by event types.
//
// What the kernel does without telling, and how it is seen here:
//   link down, last IPv4 address gone     derive.ts stops using legs over it at once, and the routes
//                                         over the device are read again (scoped dump, then sweep)
//   address gone that is a prefsrc        IPv4 routes with it vanish: read again
//   link down or without carrier          nexthop objects over it vanish, and the routes with them:
//                                         modelled at once (#flushNexthops), then read again
//   nexthop object deleted or replaced    its path sets are derived again; on deletion routes go
//   link up, carrier, address added       dead legs come back to life: read again where some were dead
// Reference: fib_sync_down_dev, fib_sync_up, fib_sync_down_addr, nexthop_flush_dev.

import { AF_INET, AF_INET6, ipBytes, wordsOf } from '../lib/ip.ts';
import { type Address, decodeAddress } from '../netlink/address.ts';
import { decodeLink, type Link } from '../netlink/link.ts';
import { forEachMessage, type MessageBatch } from '../netlink/message.ts';
import { decodeNeighbour, type Neighbour } from '../netlink/neighbour.ts';
import { decodeNetconf } from '../netlink/netconf.ts';
import { decodeNexthop, type Nexthop } from '../netlink/nexthop.ts';
import { decodeRoute, RouteMessage } from '../netlink/route.ts';
import * as k from '../netlink/uapi.ts';
import { Doubts, type DumpKind, type DumpScope } from './doubts.ts';
import { type PathSet, PathSets } from './pathsets.ts';
import { Routes } from './routes.ts';

/** Per-interface settings, IPv4 and IPv6. */
export interface Forwarding {
  forwarding4: boolean;
  forwarding6: boolean;
  ignoreLinkdown4: boolean;
  ignoreLinkdown6: boolean;
}

const addressKey = (a: Address): string => `${a.ifindex} ${a.local}/${a.prefixlen}`;
const neighbourKey = (n: Neighbour): string => `${n.ifindex} ${n.dst}`;

export class Namespace {
  /** Configured name; '' is lcpd's own. */
  readonly name: string;
  readonly links = new Map<number, Link>();
  readonly addresses = new Map<string, Address>();
  readonly neighbours = new Map<string, Neighbour>();
  readonly nexthops = new Map<number, Nexthop>();
  readonly netconf = new Map<number, Forwarding>();
  readonly pathsets = new PathSets();
  readonly routes4 = new Routes(4, this.pathsets);
  readonly routes6 = new Routes(6, this.pathsets);

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
  }

  /** A dump begins: what it shows from here on counts as seen. */
  dumpBegin(kind: DumpKind, scope: DumpScope): void {
    this.#epoch++;
    this.#dumpOif = scope.oif;
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
        for (const id of [...this.nexthops.keys()]) if (unseen(String(id))) this.#removeNexthop(id);
        break;
      case 'route':
        if (family !== AF_INET6) this.routes4.sweep(scope, epoch, this.state === 'in-sync');
        if (family !== AF_INET) this.routes6.sweep(scope, epoch, this.state === 'in-sync');
        break;
      case 'netconf':
        break; // goes with its link
    }
    this.onChange();
  }

  /** Forgets everything: the namespace has gone. */
  clear(): void {
    // routes first: what goes with a link looks through all of them
    this.routes4.removeIf(() => true);
    this.routes6.removeIf(() => true);
    for (const i of [...this.links.keys()]) this.#removeLink(i);
    for (const a of [...this.addresses.values()]) this.#removeAddress(a);
    for (const n of [...this.neighbours.values()]) this.#removeNeighbour(n);
    for (const id of [...this.nexthops.keys()]) this.#removeNexthop(id);
    this.netconf.clear();
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
          const routes = m.family === AF_INET ? this.routes4 : m.family === AF_INET6 ? this.routes6 : undefined;
          if (routes === undefined) return true;
          if (type === k.RTM_NEWROUTE) routes.add(m, flags, fromDump, this.#epoch, this.#dumpOif);
          else routes.remove(m, this.#epoch);
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
          if (type === k.RTM_NEWNEXTHOP) this.#setNexthop(n);
          else this.#removeNexthop(n.id);
          return true;
        }
        case k.RTM_NEWNETCONF: {
          const c = decodeNetconf(batch, offset);
          if (c === undefined) return false;
          if (c.ifindex !== k.NETCONFA_IFINDEX_DEFAULT) {
            this.#setNetconf(c.ifindex, c.family, c.forwarding, c.ignoreRoutesWithLinkdown);
          }
          return true;
        }
        default:
          return true;
      }
    });
    this.onChange();
  }

  #see(kind: DumpKind, key: string): void {
    this.#seen.set(`${kind} ${key}`, this.#epoch);
  }
  #unsee(kind: DumpKind, key: string): void {
    this.#seen.delete(`${kind} ${key}`);
  }

  /** Legs over a device that were told to be dead may live again: nobody tells. */
  #doubtDead(ifindex: number): void {
    for (const p of this.pathsets.usingIfindex(ifindex)) {
      if (!p.legs.some((l) => l.ifindex === ifindex && (l.flags & k.RTNH_F_DEAD) !== 0)) continue;
      this.doubts.add('route', p.family === 4 ? AF_INET : AF_INET6, ifindex);
    }
  }

  #setLink(link: Link): void {
    const before = this.links.get(link.ifindex);
    this.links.set(link.ifindex, link);
    this.#see('link', String(link.ifindex));
    this.dirtyLinks.add(link.ifindex);
    const wasUp = before !== undefined && (before.flags & k.IFF_UP) !== 0;
    const isUp = (link.flags & k.IFF_UP) !== 0;
    const hadCarrier = before !== undefined && (before.flags & k.IFF_LOWER_UP) !== 0;
    const hasCarrier = (link.flags & k.IFF_LOWER_UP) !== 0;
    if (wasUp === isUp && hadCarrier === hasCarrier && before?.master === link.master && before !== undefined) return;
    this.#reviewLegsOver(link.ifindex);
    if (before === undefined) return;
    if (before.master !== link.master) {
      this.doubts.add('route', AF_INET, link.ifindex);
      this.doubts.add('route', AF_INET6, link.ifindex);
    }
    if ((wasUp && !isUp) || (hadCarrier && !hasCarrier)) this.#flushNexthops(link.ifindex);
    if (wasUp !== isUp) {
      this.doubts.add('route', AF_INET, link.ifindex);
      this.doubts.add('route', AF_INET6, link.ifindex);
    } else if (hasCarrier && !hadCarrier) {
      this.#doubtDead(link.ifindex);
    }
  }

  #removeLink(ifindex: number): void {
    if (!this.links.delete(ifindex)) return;
    this.#unsee('link', String(ifindex));
    this.netconf.delete(ifindex);
    this.dirtyLinks.add(ifindex);
    for (const a of [...this.addresses.values()]) if (a.ifindex === ifindex) this.#removeAddress(a);
    for (const n of [...this.neighbours.values()]) if (n.ifindex === ifindex) this.#removeNeighbour(n);
    this.#flushNexthops(ifindex);
    this.#reviewLegsOver(ifindex);
    // IPv4 routes go without a notice, legs of multipath routes die: the ifindex is no filter any more
    const over = new Set([...this.pathsets.usingIfindex(ifindex)].map((p) => p.id));
    const dead = new Set([...over].filter((id) => this.pathsets.get(id)?.legs.every((l) => l.ifindex === ifindex)));
    if (dead.size > 0) {
      const t4 = this.routes4.prefixes;
      this.routes4.removeIf((e) => dead.has(t4.pathset[e] as number));
      const t6 = this.routes6.prefixes;
      this.routes6.removeIf((e) => dead.has(t6.pathset[e] as number));
    }
    if (over.size > dead.size) {
      this.doubts.add('route', AF_INET);
      this.doubts.add('route', AF_INET6);
    }
  }

  #setAddress(a: Address): void {
    const key = addressKey(a);
    if (!this.addresses.has(key) && a.family === AF_INET) this.#doubtDead(a.ifindex);
    this.addresses.set(key, a);
    this.#see('address', key);
    this.dirtyLinks.add(a.ifindex);
  }

  #removeAddress(a: Address): void {
    if (!this.addresses.delete(addressKey(a))) return;
    this.#unsee('address', addressKey(a));
    this.dirtyLinks.add(a.ifindex);
    if (a.family !== AF_INET) return;
    const word = wordsOf(ipBytes(a.local))[0] as number;
    let last = true;
    for (const other of this.addresses.values())
      if (other.family === AF_INET && other.ifindex === a.ifindex) last = false;
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

  #setNexthop(n: Nexthop): void {
    this.nexthops.set(n.id, n);
    this.#see('nexthop', String(n.id));
    this.#reviewNexthop(n.id);
  }

  /** A nexthop object is gone, and with it every route that names it; groups lose the member. */
  #removeNexthop(id: number): void {
    if (!this.nexthops.delete(id)) return;
    this.#unsee('nexthop', String(id));
    const users = new Set([...this.pathsets.usingNexthop(id)].map((p) => p.id));
    if (users.size > 0) {
      const t4 = this.routes4.prefixes;
      this.routes4.removeIf((e) => users.has(t4.pathset[e] as number));
      const t6 = this.routes6.prefixes;
      this.routes6.removeIf((e) => users.has(t6.pathset[e] as number));
    }
    for (const other of [...this.nexthops.values()]) {
      if (other.group === undefined || !other.group.some((m) => m.id === id)) continue;
      const rest = other.group.filter((m) => m.id !== id);
      if (rest.length === 0) this.#removeNexthop(other.id);
      else this.#setNexthop({ ...other, group: rest });
    }
  }

  /** nexthop_flush_dev: objects over a device that is down or has no carrier go without a notice. */
  #flushNexthops(ifindex: number): void {
    let some = false;
    for (const n of [...this.nexthops.values()]) {
      if (n.oif !== ifindex || n.blackhole) continue;
      some = true;
      this.#removeNexthop(n.id);
    }
    if (some) this.doubts.add('nexthop', k.AF_UNSPEC);
  }

  #setNetconf(ifindex: number, family: number, forwarding?: boolean, ignoreLinkdown?: boolean): void {
    const c = this.netconf.get(ifindex) ?? {
      forwarding4: false,
      forwarding6: false,
      ignoreLinkdown4: false,
      ignoreLinkdown6: false,
    };
    if (family === AF_INET) {
      c.forwarding4 = forwarding ?? c.forwarding4;
      c.ignoreLinkdown4 = ignoreLinkdown ?? c.ignoreLinkdown4;
    } else if (family === AF_INET6) {
      c.forwarding6 = forwarding ?? c.forwarding6;
      c.ignoreLinkdown6 = ignoreLinkdown ?? c.ignoreLinkdown6;
    }
    this.netconf.set(ifindex, c);
    this.dirtyLinks.add(ifindex);
    if (ignoreLinkdown === undefined) return;
    for (const i of ifindex === k.NETCONFA_IFINDEX_ALL ? this.links.keys() : [ifindex]) {
      this.#reviewLegsOver(i);
      this.#doubtDead(i);
    }
  }

  /** Path sets whose usable legs may have changed with a device: derive them again. */
  #reviewLegsOver(ifindex: number): void {
    for (const p of this.pathsets.usingIfindex(ifindex)) this.dirtyPathsets.add(p);
    for (const n of this.nexthops.values()) if (n.oif === ifindex) this.#reviewNexthop(n.id);
  }

  #reviewNexthop(id: number): void {
    for (const p of this.pathsets.usingNexthop(id)) this.dirtyPathsets.add(p);
    for (const n of this.nexthops.values()) {
      if (n.group?.some((m) => m.id === id))
        for (const p of this.pathsets.usingNexthop(n.id)) this.dirtyPathsets.add(p);
    }
  }

  /** Everything over a device must be derived again: a pair with it came or went. */
  reviewDevice(ifindex: number): void {
    this.dirtyLinks.add(ifindex);
    for (const [key, n] of this.neighbours) if (n.ifindex === ifindex) this.dirtyNeighbours.add(key);
    this.#reviewLegsOver(ifindex);
  }
}
