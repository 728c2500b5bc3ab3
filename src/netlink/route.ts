// RouteMessage: one `RTM_NEWROUTE`/`RTM_DELROUTE`, read into an object that is used again for the next message.
//
// Invariants: decoding allocates nothing, so a full table costs no garbage; every field is overwritten each time.
// Addresses are four words, the network-order bytes loaded as they lie (IPv4 uses word 0, the rest are 0). Every path
// is a leg: a plain route has one, RTA_MULTIPATH has up to MAX_LEGS and `legsTold` says how many were told; a route
// without oif and gateway (blackhole, or a nexthop id with compat mode off) has none. `table` is RTA_TABLE where sent.
// An AF_MPLS route is found by one label: `d0` is its word with only the upper 20 bits kept, `dstLen` is 20. Of families
// that are not in ROUTE_FAMILIES (multicast entries have their own: mroute.ts) only `family` is set.
// Reference: linux/rtnetlink.h; RFC 5549 (RTA_VIA); net/mpls/af_mpls.c.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { Wire } from './attr.ts';
import { LABEL_LENGTH, labelKey, MAX_ENCAP_LABELS } from './labelstack.ts';
import { messageEnd } from './message.ts';
import { fits, readMultipath, setLegEncap, setLegLabels, setLegVia } from './routeleg.ts';
import * as k from './uapi.ts';

export { MAX_ENCAP_LABELS };

/** Most legs that are kept of one multipath route. */
export const MAX_LEGS = 256;

export class RouteMessage {
  family = 0;
  dstLen = 0;
  srcLen = 0;
  tos = 0;
  table = 0;
  /** RTPROT_*. */
  protocol = 0;
  scope = 0;
  /** RTN_*. */
  type = 0;
  /** RTM_F_* above, RTNH_F_* of a single leg in the low byte. */
  flags = 0;
  d0 = 0;
  d1 = 0;
  d2 = 0;
  d3 = 0;
  s0 = 0;
  s1 = 0;
  s2 = 0;
  s3 = 0;
  /** The metric; smaller wins. */
  priority = 0;
  /** Of the plain route; 0 when absent. Also in leg 0. */
  oif = 0;
  /** Family of the plain route's gateway, 0 when it has none. Also in leg 0. */
  gatewayFamily = 0;
  g0 = 0;
  g1 = 0;
  g2 = 0;
  g3 = 0;
  hasPrefsrc = false;
  p0 = 0;
  p1 = 0;
  p2 = 0;
  p3 = 0;
  /** Nexthop object, 0 when none. */
  nhId = 0;
  /** RTAX_MTU, 0 when absent. */
  mtu = 0;
  /** RTA_METRICS as one number, 0 for none: routes that differ in them only are two. */
  metrics = 0;
  /** Kernel ticks (100 a second) until the route expires, 0 when it does not. */
  expires = 0;
  /** LWTUNNEL_ENCAP_* of the plain route, 0 when none. */
  encapType = 0;
  /** RTA_TTL_PROPAGATE of an AF_MPLS route: 0 or 1, -1 when absent. */
  ttlPropagate = -1;
  /** Some leg has more than MAX_ENCAP_LABELS labels; only the first are kept. */
  tooManyLabels = false;
  /** RFC 4191 preference, -1 when absent. */
  pref = -1;
  multipath = false;
  /** Legs kept: 0..MAX_LEGS. */
  legs = 0;
  /** Legs told; more than `legs` when the route has too many. */
  legsTold = 0;
  readonly legOif = new Int32Array(MAX_LEGS);
  /** 1..256. */
  readonly legWeight = new Uint16Array(MAX_LEGS);
  /** RTNH_F_*. */
  readonly legFlags = new Uint8Array(MAX_LEGS);
  /** AF_INET, AF_INET6 or 0 without gateway; in AF_MPLS routes also AF_PACKET: a link-layer address in the words. */
  readonly legGatewayFamily = new Uint8Array(MAX_LEGS);
  /** Four words for each leg. */
  readonly legGateway = new Uint32Array(4 * MAX_LEGS);
  /** LWTUNNEL_ENCAP_*, 0 when none. */
  readonly legEncapType = new Uint16Array(MAX_LEGS);
  /** MAX_ENCAP_LABELS for each leg, outermost first: of `encap mpls`, in AF_MPLS routes of RTA_NEWDST. */
  readonly legLabels = new Uint32Array(MAX_ENCAP_LABELS * MAX_LEGS);
  /** Labels kept of each leg. */
  readonly legLabelCount = new Uint8Array(MAX_LEGS);
  /** MPLS_IPTUNNEL_TTL, 0 when absent. */
  readonly legTtl = new Uint8Array(MAX_LEGS);
}

/** Families whose routes are read. */
export const ROUTE_FAMILIES: readonly number[] = [AF_INET, AF_INET6, k.AF_MPLS];

function clear(m: RouteMessage): void {
  m.d0 = m.d1 = m.d2 = m.d3 = 0;
  m.s0 = m.s1 = m.s2 = m.s3 = 0;
  m.g0 = m.g1 = m.g2 = m.g3 = 0;
  m.p0 = m.p1 = m.p2 = m.p3 = 0;
  m.priority = 0;
  m.oif = 0;
  m.gatewayFamily = 0;
  m.hasPrefsrc = false;
  m.nhId = 0;
  m.mtu = 0;
  m.metrics = 0;
  m.expires = 0;
  m.encapType = 0;
  m.ttlPropagate = -1;
  m.tooManyLabels = false;
  m.pref = -1;
  m.multipath = false;
  m.legs = 0;
  m.legsTold = 0;
}

/** Reads RTA_METRICS: RTAX_MTU, and a number that tells one set of them from another (FNV-1a over the words). */
function readMetrics(wire: Wire, from: number, end: number, m: RouteMessage): boolean {
  let at = from;
  m.metrics = 0x811c9dc5;
  for (let word = from >> 2; word < end >> 2; word++) {
    m.metrics = Math.imul(m.metrics ^ (wire.u32[word] as number), 0x01000193) >>> 0;
  }
  while (end - at >= 4) {
    const length = wire.u16[at >> 1] as number;
    if (length < 4 || length > end - at) return false;
    if (((wire.u16[(at >> 1) + 1] as number) & k.NLA_TYPE_MASK) === k.RTAX_MTU) {
      if (length < 8) return false;
      m.mtu = wire.u32[(at + 4) >> 2] as number;
    }
    at += (length + 3) & ~3;
  }
  return true;
}

/** Presents the plain path as leg 0. The gateway was already written there while it was read. */
function finishPlain(m: RouteMessage): void {
  if (m.oif === 0 && m.gatewayFamily === 0) return;
  m.legs = 1;
  m.legsTold = 1;
  m.legOif[0] = m.oif;
  m.legWeight[0] = 1;
  m.legFlags[0] = m.flags & 0xff;
  m.legEncapType[0] = m.encapType;
  m.legGatewayFamily[0] = m.gatewayFamily;
  m.legGateway[0] = m.g0;
  m.legGateway[1] = m.g1;
  m.legGateway[2] = m.g2;
  m.legGateway[3] = m.g3;
}

/**
 * Reads the route at `offset` (its nlmsghdr) into `m`. False when the message is malformed; `m` is then undefined
 * and must not be used.
 */
export function decodeRoute(wire: Wire, offset: number, m: RouteMessage): boolean {
  const end = messageEnd(wire, offset, 12);
  if (end < 0) return false;
  const { bytes, u16, u32 } = wire;
  const body = offset + k.NLMSG_HDRLEN;
  clear(m);
  m.family = bytes[body] as number;
  m.dstLen = bytes[body + 1] as number;
  m.srcLen = bytes[body + 2] as number;
  m.tos = bytes[body + 3] as number;
  m.table = bytes[body + 4] as number;
  m.protocol = bytes[body + 5] as number;
  m.scope = bytes[body + 6] as number;
  m.type = bytes[body + 7] as number;
  m.flags = u32[(body + 8) >> 2] as number;
  const isMpls = m.family === k.AF_MPLS;
  if (m.family === AF_INET || m.family === AF_INET6) {
    const bits = m.family === AF_INET ? 32 : 128;
    if (m.dstLen > bits || m.srcLen > bits) return false;
  } else if (!isMpls) {
    return true;
  } else if (m.dstLen !== LABEL_LENGTH) {
    return false;
  }
  m.legLabelCount[0] = 0;
  m.legTtl[0] = 0;
  let hasDst = false;
  let hasMultipath = false;
  let encapFrom = 0;
  let encapEnd = 0;
  let at = body + 12;
  while (end - at >= 4) {
    const length = u16[at >> 1] as number;
    if (length < 4 || length > end - at) return false;
    const size = length - 4;
    const word = (at + 4) >> 2;
    switch ((u16[(at >> 1) + 1] as number) & k.NLA_TYPE_MASK) {
      case k.RTA_DST:
        if (!fits(m.family, size)) return false;
        hasDst = true;
        m.d0 = u32[word] as number;
        if (size === 16) {
          m.d1 = u32[word + 1] as number;
          m.d2 = u32[word + 2] as number;
          m.d3 = u32[word + 3] as number;
        }
        break;
      case k.RTA_SRC:
        if (!fits(m.family, size)) return false;
        m.s0 = u32[word] as number;
        if (size === 16) {
          m.s1 = u32[word + 1] as number;
          m.s2 = u32[word + 2] as number;
          m.s3 = u32[word + 3] as number;
        }
        break;
      case k.RTA_GATEWAY:
        if (isMpls || !fits(m.family, size)) return false;
        m.gatewayFamily = m.family;
        m.g0 = u32[word] as number;
        if (size === 16) {
          m.g1 = u32[word + 1] as number;
          m.g2 = u32[word + 2] as number;
          m.g3 = u32[word + 3] as number;
        }
        break;
      case k.RTA_VIA:
        if (hasMultipath || !setLegVia(wire, at + 4, size, m, 0)) return false;
        m.gatewayFamily = m.legGatewayFamily[0] as number;
        m.g0 = m.legGateway[0] as number;
        m.g1 = m.legGateway[1] as number;
        m.g2 = m.legGateway[2] as number;
        m.g3 = m.legGateway[3] as number;
        break;
      case k.RTA_PREFSRC:
        if (!fits(m.family, size)) return false;
        m.hasPrefsrc = true;
        m.p0 = u32[word] as number;
        if (size === 16) {
          m.p1 = u32[word + 1] as number;
          m.p2 = u32[word + 2] as number;
          m.p3 = u32[word + 3] as number;
        }
        break;
      case k.RTA_OIF:
        if (size < 4) return false;
        m.oif = u32[word] as number;
        break;
      case k.RTA_PRIORITY:
        if (size < 4) return false;
        m.priority = u32[word] as number;
        break;
      case k.RTA_TABLE:
        if (size < 4) return false;
        m.table = u32[word] as number;
        break;
      case k.RTA_NH_ID:
        if (size < 4) return false;
        m.nhId = u32[word] as number;
        break;
      case k.RTA_METRICS:
        if (!readMetrics(wire, at + 4, at + length, m)) return false;
        break;
      case k.RTA_CACHEINFO:
        // struct rta_cacheinfo: clntref, lastuse, expires (signed ticks), …
        if (size < 12) return false;
        m.expires = (u32[word + 2] as number) | 0;
        break;
      case k.RTA_PREF:
        if (size < 1) return false;
        m.pref = bytes[at + 4] as number;
        break;
      case k.RTA_ENCAP_TYPE:
        if (size < 2) return false;
        m.encapType = u16[(at + 4) >> 1] as number;
        break;
      case k.RTA_ENCAP:
        encapFrom = at + 4;
        encapEnd = at + length;
        break;
      case k.RTA_NEWDST:
        if (isMpls && (hasMultipath || !setLegLabels(wire, at + 4, size, m, 0))) return false;
        break;
      case k.RTA_TTL_PROPAGATE:
        if (size < 1) return false;
        m.ttlPropagate = bytes[at + 4] === 0 ? 0 : 1;
        break;
      case k.RTA_MULTIPATH:
        if (hasMultipath || !readMultipath(wire, at + 4, at + length, m)) return false;
        hasMultipath = true;
        break;
    }
    at += (length + 3) & ~3;
  }
  if (isMpls) {
    if (!hasDst) return false;
    m.d0 = labelKey(m.d0);
  }
  if (hasMultipath) return true;
  finishPlain(m);
  return encapFrom === 0 || setLegEncap(wire, encapFrom, encapEnd, m.encapType, m, 0);
}
