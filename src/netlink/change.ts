// Changes: the kernel writes of the daemon, one function for each thing that can be asked for.
//
// Invariants: each resolves when the kernel has done it and rejects with RtnlError when it refused; none repeats or
// looks first. Deleting what is absent is a refusal here (ENOENT, ESRCH, ENODEV): what that means is the caller's.
// Reference: rtnetlink(7), ip-link(8), ip-route(8), ip-nexthop(8), ip-neighbour(8) for what each maps to.

import { familyOf } from '../lib/ip.ts';
import type { AddressRequest } from './address.ts';
import { encodeAddress } from './address.ts';
import type { LinkRequest } from './link.ts';
import { encodeLink } from './link.ts';
import type { NeighbourRequest } from './neighbour.ts';
import { encodeNeighbour } from './neighbour.ts';
import type { NexthopRequest } from './nexthop.ts';
import { encodeNexthop } from './nexthop.ts';
import type { RtnlRequester } from './request.ts';
import type { RouteRequest } from './routeobject.ts';
import { encodeRoute } from './routeobject.ts';
import * as k from './uapi.ts';

/** What may be changed on an existing link. */
export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  readonly carrier?: boolean;
  readonly promisc?: boolean;
  readonly multicast?: boolean;
  readonly alias?: string;
  /** IN6_ADDR_GEN_MODE_* */
  readonly addrGenMode?: number;
  readonly name?: string;
  /** Open descriptor of the namespace to move it to. */
  readonly netnsFd?: number;
  /** 0 releases it. */
  readonly master?: number;
}

/** Changes what is given, in one request. A rename needs a link that is down on kernels before 6.2. */
export function setLink(requester: RtnlRequester, ifindex: number, change: LinkChange): Promise<void> {
  const { up, promisc, multicast, ...rest } = change;
  let flags = 0;
  let mask = 0;
  for (const [wanted, bit] of [
    [up, k.IFF_UP],
    [promisc, k.IFF_PROMISC],
    [multicast, k.IFF_MULTICAST],
  ] as const) {
    if (wanted === undefined) continue;
    mask |= bit;
    if (wanted) flags |= bit;
  }
  return requester.ack(k.RTM_NEWLINK, 0, (w) => encodeLink(w, { ...rest, ifindex, flags, change: mask }));
}

/** Makes a link of a kind. EEXIST when the name is taken. */
export function newLink(requester: RtnlRequester, link: LinkRequest & { readonly kind: string }): Promise<void> {
  return requester.ack(k.RTM_NEWLINK, k.NLM_F_CREATE | k.NLM_F_EXCL, (w) => encodeLink(w, link));
}

/** Names a link of that name for those who look for their own. */
export function setAlias(requester: RtnlRequester, name: string, alias: string): Promise<void> {
  return requester.ack(k.RTM_NEWLINK, 0, (w) => encodeLink(w, { name, alias }));
}

export function delLink(requester: RtnlRequester, ifindex: number): Promise<void> {
  return requester.ack(k.RTM_DELLINK, 0, (w) => encodeLink(w, { ifindex }));
}

/** Adds an address; EEXIST when it is there. */
export function addAddress(requester: RtnlRequester, address: AddressRequest): Promise<void> {
  return requester.ack(k.RTM_NEWADDR, k.NLM_F_CREATE | k.NLM_F_EXCL, (w) => encodeAddress(w, address));
}

export function delAddress(requester: RtnlRequester, address: AddressRequest): Promise<void> {
  return requester.ack(k.RTM_DELADDR, 0, (w) => encodeAddress(w, address));
}

/** Adds a route; EEXIST when its key is taken. */
export function addRoute(requester: RtnlRequester, route: RouteRequest): Promise<void> {
  return requester.ack(k.RTM_NEWROUTE, k.NLM_F_CREATE | k.NLM_F_EXCL, (w) => encodeRoute(w, route));
}

/** Adds a route or puts it in the place of the first with its key. */
export function replaceRoute(requester: RtnlRequester, route: RouteRequest): Promise<void> {
  return requester.ack(k.RTM_NEWROUTE, k.NLM_F_CREATE | k.NLM_F_REPLACE, (w) => encodeRoute(w, route));
}

/** Adds behind an existing route with the same key: IPv4 a shadow, IPv6 one more leg. */
export function appendRoute(requester: RtnlRequester, route: RouteRequest): Promise<void> {
  return requester.ack(k.RTM_NEWROUTE, k.NLM_F_CREATE | k.NLM_F_APPEND, (w) => encodeRoute(w, route));
}

/** Scope and protocol are only compared when given. */
export function delRoute(requester: RtnlRequester, route: RouteRequest): Promise<void> {
  const any = { protocol: 0, scope: k.RT_SCOPE_NOWHERE, type: k.RTN_UNSPEC, ...route };
  return requester.ack(k.RTM_DELROUTE, 0, (w) => encodeRoute(w, any));
}

/** Adds a neighbour or changes it. */
export function newNeighbour(requester: RtnlRequester, neighbour: NeighbourRequest): Promise<void> {
  return requester.ack(k.RTM_NEWNEIGH, k.NLM_F_CREATE | k.NLM_F_REPLACE, (w) => encodeNeighbour(w, neighbour));
}

export function delNeighbour(requester: RtnlRequester, neighbour: NeighbourRequest): Promise<void> {
  return requester.ack(k.RTM_DELNEIGH, 0, (w) => encodeNeighbour(w, neighbour));
}

/** Asks the kernel to resolve an address now, as if it had a packet for it: ARP or ND goes out. */
export function useNeighbour(requester: RtnlRequester, ifindex: number, ip: string): Promise<void> {
  const entry = { family: familyOf(ip), ifindex, dst: ip, state: k.NUD_NONE, flags: k.NTF_USE };
  return requester.ack(k.RTM_NEWNEIGH, k.NLM_F_CREATE, (w) => encodeNeighbour(w, entry));
}

/** Makes a nexthop object or replaces the one with its id. */
export function newNexthop(requester: RtnlRequester, nexthop: NexthopRequest): Promise<void> {
  return requester.ack(k.RTM_NEWNEXTHOP, k.NLM_F_CREATE | k.NLM_F_REPLACE, (w) => encodeNexthop(w, nexthop));
}

/** Takes the routes that use it along. */
export function delNexthop(requester: RtnlRequester, id: number): Promise<void> {
  return requester.ack(k.RTM_DELNEXTHOP, 0, (w) => encodeNexthop(w, { id }));
}
