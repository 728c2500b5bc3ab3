// Kernel bytes: rtnetlink messages as the kernel would send them, and batches of them, so that tests drive
// Namespace.apply with what it gets in life.
//
// Invariants: one message is one datagram; a batch owns its bytes.

import { type AddressRequest, encodeAddress } from '../../../src/netlink/address.ts';
import { encodeLink, type LinkRequest } from '../../../src/netlink/link.ts';
import { MessageBatch, MessageWriter } from '../../../src/netlink/message.ts';
import { encodeNeighbour, type NeighbourRequest } from '../../../src/netlink/neighbour.ts';
import { encodeNetconf, type Netconf } from '../../../src/netlink/netconf.ts';
import { encodeNexthop, type NexthopRequest } from '../../../src/netlink/nexthop.ts';
import { decodeRoute, RouteMessage } from '../../../src/netlink/route.ts';
import { encodeRoute, type RouteRequest } from '../../../src/netlink/routeobject.ts';
import { encodeRule, type RuleRequest } from '../../../src/netlink/rule.ts';
import * as k from '../../../src/netlink/uapi.ts';

export type Message = Uint8Array;

const message = (type: number, flags: number, body: (w: MessageWriter) => void): Message => {
  const w = new MessageWriter(256).begin(type, flags);
  body(w);
  return w.finish().written.slice();
};

export const newLink = (r: LinkRequest): Message => message(k.RTM_NEWLINK, 0, (w) => encodeLink(w, r));
export const delLink = (r: LinkRequest): Message => message(k.RTM_DELLINK, 0, (w) => encodeLink(w, r));
export const newAddress = (r: AddressRequest): Message => message(k.RTM_NEWADDR, 0, (w) => encodeAddress(w, r));
export const delAddress = (r: AddressRequest): Message => message(k.RTM_DELADDR, 0, (w) => encodeAddress(w, r));
export const newNeighbour = (r: NeighbourRequest): Message => message(k.RTM_NEWNEIGH, 0, (w) => encodeNeighbour(w, r));
export const delNeighbour = (r: NeighbourRequest): Message => message(k.RTM_DELNEIGH, 0, (w) => encodeNeighbour(w, r));
export const newNexthop = (r: NexthopRequest): Message => message(k.RTM_NEWNEXTHOP, 0, (w) => encodeNexthop(w, r));
export const delNexthop = (r: NexthopRequest): Message => message(k.RTM_DELNEXTHOP, 0, (w) => encodeNexthop(w, r));
export const newNetconf = (n: Netconf): Message => message(k.RTM_NEWNETCONF, 0, (w) => encodeNetconf(w, n));
export const newRule = (r: RuleRequest): Message => message(k.RTM_NEWRULE, 0, (w) => encodeRule(w, r));
export const delRule = (r: RuleRequest): Message => message(k.RTM_DELRULE, 0, (w) => encodeRule(w, r));

/** A multicast entry, as mr_fill_mroute writes it; '' for any source. */
export interface MrouteText {
  readonly source?: string;
  readonly group: string;
  /** 0 or absent: the kernel leaves it out. */
  readonly iif?: number;
  readonly oifs?: readonly { readonly ifindex: number; readonly ttl?: number }[];
  readonly table?: number;
  readonly unresolved?: boolean;
}

const RTPROT_MROUTED = 17;
const mrouteBody = (m: MrouteText) => (w: MessageWriter) => {
  const six = m.group.includes(':');
  const bits = six ? 128 : 32;
  w.u8(six ? k.RTNL_FAMILY_IP6MR : k.RTNL_FAMILY_IPMR)
    .u8(bits)
    .u8(bits)
    .u8(0);
  w.u8(m.table ?? k.RT_TABLE_DEFAULT)
    .u8(RTPROT_MROUTED)
    .u8(k.RT_SCOPE_UNIVERSE)
    .u8(k.RTN_MULTICAST);
  w.u32(m.unresolved === true ? k.RTNH_F_UNRESOLVED : 0).attrU32(k.RTA_TABLE, m.table ?? k.RT_TABLE_DEFAULT);
  w.attrIp(k.RTA_SRC, m.source || (six ? '::' : '0.0.0.0')).attrIp(k.RTA_DST, m.group);
  if (m.iif) w.attrU32(k.RTA_IIF, m.iif);
  if (m.unresolved === true) return;
  const nest = w.beginNest(k.RTA_MULTIPATH, false);
  for (const { ifindex, ttl } of m.oifs ?? []) {
    // struct rtnexthop: length, flags, hops, ifindex
    w.u16(8)
      .u8(0)
      .u8(ttl ?? 1)
      .u32(ifindex);
  }
  w.endNest(nest);
};
export const newMroute = (m: MrouteText): Message => message(k.RTM_NEWROUTE, 0, mrouteBody(m));
export const delMroute = (m: MrouteText): Message => message(k.RTM_DELROUTE, 0, mrouteBody(m));

/** A route with an encapsulation, which the product never asks the kernel for. */
export type RouteText = RouteRequest & { readonly encapType?: number };

const routeBody = (r: RouteText) => (w: MessageWriter) => {
  encodeRoute(w, r);
  if (r.encapType !== undefined) w.attrU16(k.RTA_ENCAP_TYPE, r.encapType);
};
export const newRoute = (r: RouteText, flags = k.NLM_F_CREATE | k.NLM_F_EXCL): Message =>
  message(k.RTM_NEWROUTE, flags, routeBody(r));
export const delRoute = (r: RouteText): Message => message(k.RTM_DELROUTE, 0, routeBody(r));

/** Messages as one receive call brings them. */
export const batchFrom = (messages: readonly Message[], fromDump = false): MessageBatch => {
  const bytes = new Uint8Array(messages.reduce((sum, m) => sum + m.length, 0));
  const batch = new MessageBatch(bytes, messages.length);
  let at = 0;
  for (const m of messages) {
    bytes.set(m, at);
    batch.add(at, at + m.length);
    at += m.length;
  }
  batch.fromDump = fromDump;
  return batch;
};

/** The route in decoded form, for tests of Routes alone. */
export const routeMessage = (r: RouteText): RouteMessage => {
  const m = new RouteMessage();
  const { bytes, u16, u32 } = batchFrom([newRoute(r)]);
  if (!decodeRoute({ bytes, u16, u32 }, 0, m)) throw new Error(`not a route: ${JSON.stringify(r)}`);
  return m;
};

/** Numbers that a seed repeats (xorshift32). */
export const seeded = (seed: number): ((below: number) => number) => {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
};

/** The seed of this run: SEED in the environment; in CI always the same, else another every time. Tests print it. */
export const runSeed = (): number =>
  Number(process.env.SEED ?? (process.env.CI === undefined ? Date.now() % 1_000_000_007 : 20_261_121));
