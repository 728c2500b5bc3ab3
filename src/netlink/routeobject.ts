// Route: a route as a plain object, for requests, display and tests; the bulk path uses RouteMessage.
//
// Invariants: `dst` is always written with its length and its host bits as the kernel has them. One leg is sent as a
// plain route unless `multipath` says otherwise, as the kernel itself does. A gateway of the other family becomes
// RTA_VIA, as does every gateway of an AF_MPLS route, whose `dst` is its label. Weights count from 1.
// Reference: linux/rtnetlink.h.

import { formatMac, parseMac } from '../lib/bytes.ts';
import { familyOf, formatWords, ipBytes, type Prefix, parsePrefix } from '../lib/ip.ts';
import { attrLabels, attrMplsEncap, LABEL_LENGTH, labelBytes, labelOf, MAX_ENCAP_LABELS } from './labelstack.ts';
import type { MessageWriter } from './message.ts';
import type { RouteMessage } from './route.ts';
import * as k from './uapi.ts';

export interface RouteLeg {
  readonly oif?: number;
  /** An address; over an Ethernet neighbour without one (AF_MPLS only) its link-layer address. */
  readonly gateway?: string;
  /** 1..256. */
  readonly weight: number;
  /** RTNH_F_*. */
  readonly flags: number;
  readonly encapType?: number;
  /** Pushed by `encap mpls`, or what an AF_MPLS route swaps its label for; outermost first. */
  readonly labels?: readonly number[];
  /** Only the first MAX_ENCAP_LABELS labels of the route's legs are kept. */
  readonly tooManyLabels?: boolean;
  /** Of the labels that `encap mpls` pushes. */
  readonly ttl?: number;
}

export interface Route {
  readonly family: number;
  /** `10.0.0.0/8`; the default route is `0.0.0.0/0` or `::/0`. The label of an AF_MPLS route: `100`. */
  readonly dst: string;
  readonly src?: string;
  readonly tos: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
  readonly priority: number;
  readonly prefsrc?: string;
  readonly nhId?: number;
  readonly mtu?: number;
  /** Kernel ticks, 100 a second. */
  readonly expires?: number;
  readonly pref?: number;
  /** Of an AF_MPLS route: whether a popped TTL goes into the packet below; absent where the kernel's default holds. */
  readonly ttlPropagate?: boolean;
  readonly multipath: boolean;
  readonly legs: readonly RouteLeg[];
}

type Draft = { -readonly [K in keyof Route]: Route[K] };
type LegDraft = { -readonly [K in keyof RouteLeg]: RouteLeg[K] };

/** What is kept of a link-layer gateway does not say how long it is; other than Ethernet has no MPLS. */
const MAC_BYTES = 6;

function legToObject(m: RouteMessage, i: number): RouteLeg {
  const leg: LegDraft = { weight: m.legWeight[i] as number, flags: m.legFlags[i] as number };
  const oif = m.legOif[i] as number;
  if (oif !== 0) leg.oif = oif;
  const family = m.legGatewayFamily[i] as number;
  if (family !== 0) {
    const words = m.legGateway.subarray(4 * i, 4 * i + 4);
    if (family === k.AF_PACKET) leg.gateway = formatMac(new Uint8Array(words.slice().buffer), 0, MAC_BYTES);
    else leg.gateway = formatWords(family, words[0] as number, words[1], words[2], words[3]);
  }
  const encapType = m.legEncapType[i] as number;
  if (encapType !== 0) leg.encapType = encapType;
  const count = m.legLabelCount[i] as number;
  if (count > 0) {
    leg.labels = [...m.legLabels.subarray(i * MAX_ENCAP_LABELS, i * MAX_ENCAP_LABELS + count)];
    if (m.tooManyLabels) leg.tooManyLabels = true;
  }
  const ttl = m.legTtl[i] as number;
  if (ttl !== 0) leg.ttl = ttl;
  return leg;
}

/** A copy of the message that stays valid. Only for routes of ROUTE_FAMILIES. */
export function routeToObject(m: RouteMessage): Route {
  const route: Draft = {
    family: m.family,
    dst: m.family === k.AF_MPLS ? `${labelOf(m.d0)}` : `${formatWords(m.family, m.d0, m.d1, m.d2, m.d3)}/${m.dstLen}`,
    tos: m.tos,
    table: m.table,
    protocol: m.protocol,
    scope: m.scope,
    type: m.type,
    flags: m.flags,
    priority: m.priority,
    multipath: m.multipath,
    legs: Array.from({ length: m.legs }, (_, i) => legToObject(m, i)),
  };
  if (m.srcLen > 0) route.src = `${formatWords(m.family, m.s0, m.s1, m.s2, m.s3)}/${m.srcLen}`;
  if (m.hasPrefsrc) route.prefsrc = formatWords(m.family, m.p0, m.p1, m.p2, m.p3);
  if (m.nhId !== 0) route.nhId = m.nhId;
  if (m.mtu !== 0) route.mtu = m.mtu;
  if (m.expires !== 0) route.expires = m.expires;
  if (m.pref >= 0) route.pref = m.pref;
  if (m.ttlPropagate >= 0) route.ttlPropagate = m.ttlPropagate !== 0;
  return route;
}

/** What a route request may say. Defaults: table main, protocol static, type unicast, scope universe. */
export interface RouteRequest {
  /** AF_MPLS: `dst` is a label. The other families are seen from `dst`. */
  readonly family?: number;
  readonly dst: string;
  readonly src?: string;
  readonly tos?: number;
  readonly table?: number;
  readonly protocol?: number;
  readonly scope?: number;
  readonly type?: number;
  readonly flags?: number;
  readonly priority?: number;
  readonly prefsrc?: string;
  readonly nhId?: number;
  readonly mtu?: number;
  readonly pref?: number;
  readonly ttlPropagate?: boolean;
  /** Sends RTA_MULTIPATH also for one leg. */
  readonly multipath?: boolean;
  readonly legs?: readonly RouteRequestLeg[];
}

export interface RouteRequestLeg {
  readonly oif?: number;
  readonly gateway?: string;
  readonly weight?: number;
  readonly flags?: number;
  readonly labels?: readonly number[];
  readonly ttl?: number;
}

function attrGateway(w: MessageWriter, family: number, gateway: string): void {
  const mac = family === k.AF_MPLS ? parseMac(gateway) : undefined;
  const other = mac === undefined ? familyOf(gateway) : k.AF_PACKET;
  if (other === family) {
    w.attrIp(k.RTA_GATEWAY, gateway);
    return;
  }
  const address = mac ?? ipBytes(gateway);
  const via = new Uint8Array(2 + address.length);
  new DataView(via.buffer).setUint16(0, other, true);
  via.set(address, 2);
  w.attrBytes(k.RTA_VIA, via);
}

function attrPath(w: MessageWriter, family: number, leg: RouteRequestLeg): void {
  const labels = leg.labels ?? [];
  if (family === k.AF_MPLS && labels.length > 0) attrLabels(w, k.RTA_NEWDST, labels);
  if (leg.gateway !== undefined) attrGateway(w, family, leg.gateway);
  if (family !== k.AF_MPLS && labels.length > 0) {
    attrMplsEncap(w, { encap: k.RTA_ENCAP, encapType: k.RTA_ENCAP_TYPE }, labels, leg.ttl);
  }
}

function encodeLegs(w: MessageWriter, family: number, legs: readonly RouteRequestLeg[]): void {
  const nest = w.beginNest(k.RTA_MULTIPATH, false);
  for (const leg of legs) {
    // struct rtnexthop starts with its own 16-bit length, where an attribute has its length too.
    const mark = w.beginNest(0, false);
    w.patchU16(mark + 2, (leg.flags ?? 0) | (((leg.weight ?? 1) - 1) << 8));
    w.u32(leg.oif ?? 0);
    attrPath(w, family, leg);
    w.endNest(mark);
  }
  w.endNest(nest);
}

/** An AF_MPLS destination: one word with the bottom-of-stack bit, as the kernel wants it. */
function parseLabel(text: string): Prefix | undefined {
  if (!/^[0-9]{1,7}$/.test(text)) return undefined;
  const label = Number(text);
  if (label > 0xfffff) return undefined;
  return { family: k.AF_MPLS, bytes: labelBytes(label), length: LABEL_LENGTH };
}

/** Writes rtmsg and attributes. Throws on text that is not a prefix, a label or an address. */
export function encodeRoute(w: MessageWriter, r: RouteRequest): void {
  const dst = r.family === k.AF_MPLS ? parseLabel(r.dst) : parsePrefix(r.dst);
  const src = r.src === undefined ? undefined : parsePrefix(r.src);
  if (dst === undefined) throw new Error(`not a prefix: ${r.dst.slice(0, 64)}`);
  if (r.src !== undefined && src === undefined) throw new Error(`not a prefix: ${r.src.slice(0, 64)}`);
  const table = r.table ?? k.RT_TABLE_MAIN;
  const legs = r.legs ?? [];
  const first = legs[0];
  const multipath = r.multipath ?? legs.length > 1;
  const flags = (r.flags ?? 0) | (multipath ? 0 : (first?.flags ?? 0));
  w.u8(dst.family)
    .u8(dst.length)
    .u8(src?.length ?? 0)
    .u8(r.tos ?? 0);
  w.u8(table > 255 ? k.RT_TABLE_COMPAT : table).u8(r.protocol ?? k.RTPROT_STATIC);
  w.u8(r.scope ?? k.RT_SCOPE_UNIVERSE)
    .u8(r.type ?? k.RTN_UNICAST)
    .u32(flags);
  // AF_MPLS has one table and refuses the attribute.
  if (dst.family !== k.AF_MPLS) w.attrU32(k.RTA_TABLE, table);
  if (dst.length > 0) w.attrBytes(k.RTA_DST, dst.bytes);
  if (src !== undefined && src.length > 0) w.attrBytes(k.RTA_SRC, src.bytes);
  if (r.priority !== undefined && r.priority !== 0) w.attrU32(k.RTA_PRIORITY, r.priority);
  if (r.prefsrc !== undefined) w.attrIp(k.RTA_PREFSRC, r.prefsrc);
  if (r.mtu !== undefined) {
    const nest = w.beginNest(k.RTA_METRICS, false);
    w.attrU32(k.RTAX_MTU, r.mtu).endNest(nest);
  }
  if (r.pref !== undefined) w.attrU8(k.RTA_PREF, r.pref);
  if (r.ttlPropagate !== undefined) w.attrU8(k.RTA_TTL_PROPAGATE, Number(r.ttlPropagate));
  if (r.nhId !== undefined) {
    // The object brings the path itself: the kernel refuses both.
    w.attrU32(k.RTA_NH_ID, r.nhId);
    return;
  }
  if (multipath) {
    encodeLegs(w, dst.family, legs);
  } else if (first !== undefined) {
    attrPath(w, dst.family, first);
    if (first.oif !== undefined) w.attrU32(k.RTA_OIF, first.oif);
  }
}
