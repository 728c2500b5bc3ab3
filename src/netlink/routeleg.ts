// RouteLeg: one path of a route message (gateway, interface, labels), read into the leg arrays of a RouteMessage.
//
// Invariants: nothing is allocated. Every field of a leg is overwritten when it begins. An IPv4 or IPv6 route has
// gateways of these two families only; a path of an AF_MPLS route has RTA_VIA and RTA_NEWDST instead of RTA_GATEWAY.
// Reference: linux/rtnetlink.h (struct rtnexthop, struct rtvia), linux/lwtunnel.h.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { Wire } from './attr.ts';
import { findMplsEncap, MAX_ENCAP_LABELS, type MplsEncap, readLabels } from './labelstack.ts';
import type { RouteMessage } from './route.ts';
import * as k from './uapi.ts';

/** Whether an address of the family has that many bytes; 4 where a label takes its place. */
export function fits(family: number, size: number): boolean {
  return size === (family === AF_INET6 ? 16 : 4);
}

/** Sets the gateway of one leg from `size` bytes at `at`. */
function setLegGateway(wire: Wire, at: number, size: number, family: number, m: RouteMessage, leg: number): void {
  m.legGatewayFamily[leg] = family;
  const to = 4 * leg;
  const from = at >> 2;
  m.legGateway[to] = wire.u32[from] as number;
  m.legGateway[to + 1] = size > 4 ? (wire.u32[from + 1] as number) : 0;
  m.legGateway[to + 2] = size > 8 ? (wire.u32[from + 2] as number) : 0;
  m.legGateway[to + 3] = size > 12 ? (wire.u32[from + 3] as number) : 0;
}

/**
 * Sets the gateway of one leg from an RTA_VIA. Its words are two bytes off the alignment, so they are put together from half words. Link-layer
 * addresses (AF_PACKET, in AF_MPLS routes) have any even length up to 16.
 */
export function setLegVia(wire: Wire, at: number, size: number, m: RouteMessage, leg: number): boolean {
  if (size < 2) return false;
  const family = wire.u16[at >> 1] as number;
  const halves = (size - 2) >> 1;
  if (family === k.AF_PACKET) {
    if (m.family !== k.AF_MPLS || size % 2 !== 0 || halves > 8) return false;
  } else if ((family !== AF_INET && family !== AF_INET6) || !fits(family, size - 2)) {
    return false;
  }
  m.legGatewayFamily[leg] = family;
  const half = (at + 2) >> 1;
  for (let i = 0; i < 4; i++) {
    const low = 2 * i < halves ? (wire.u16[half + 2 * i] as number) : 0;
    const high = 2 * i + 1 < halves ? (wire.u16[half + 2 * i + 1] as number) : 0;
    m.legGateway[4 * leg + i] = low | (high << 16);
  }
  return true;
}

/** Sets the label stack of one leg from `size` bytes at `at`. */
export function setLegLabels(wire: Wire, at: number, size: number, m: RouteMessage, leg: number): boolean {
  const told = readLabels(wire, at, size, m.legLabels, leg * MAX_ENCAP_LABELS);
  if (told < 0) return false;
  if (told > MAX_ENCAP_LABELS) m.tooManyLabels = true;
  m.legLabelCount[leg] = Math.min(told, MAX_ENCAP_LABELS);
  return true;
}

const foundEncap: MplsEncap = { at: 0, size: 0, ttl: 0 };

/** Reads RTA_ENCAP, of which the kernel tells the type only afterwards. Other encapsulations are left alone. */
export function setLegEncap(
  wire: Wire,
  from: number,
  end: number,
  type: number,
  m: RouteMessage,
  leg: number,
): boolean {
  if (type !== k.LWTUNNEL_ENCAP_MPLS) return true;
  if (!findMplsEncap(wire, from, end, foundEncap)) return false;
  m.legTtl[leg] = foundEncap.ttl;
  return setLegLabels(wire, foundEncap.at, foundEncap.size, m, leg);
}

/** Reads the attributes of one rtnexthop. */
function readLeg(wire: Wire, from: number, end: number, m: RouteMessage, leg: number): boolean {
  let at = from;
  let encapFrom = 0;
  let encapEnd = 0;
  while (end - at >= 4) {
    const length = wire.u16[at >> 1] as number;
    if (length < 4 || length > end - at) return false;
    const size = length - 4;
    switch ((wire.u16[(at >> 1) + 1] as number) & k.NLA_TYPE_MASK) {
      case k.RTA_GATEWAY:
        if (m.family === k.AF_MPLS || !fits(m.family, size)) return false;
        setLegGateway(wire, at + 4, size, m.family, m, leg);
        break;
      case k.RTA_VIA:
        if (!setLegVia(wire, at + 4, size, m, leg)) return false;
        break;
      case k.RTA_NEWDST:
        if (m.family === k.AF_MPLS && !setLegLabels(wire, at + 4, size, m, leg)) return false;
        break;
      case k.RTA_ENCAP:
        encapFrom = at + 4;
        encapEnd = at + length;
        break;
      case k.RTA_ENCAP_TYPE:
        if (size < 2) return false;
        m.legEncapType[leg] = wire.u16[(at + 4) >> 1] as number;
        break;
    }
    at += (length + 3) & ~3;
  }
  return encapFrom === 0 || setLegEncap(wire, encapFrom, encapEnd, m.legEncapType[leg] as number, m, leg);
}

/** Reads the legs of an RTA_MULTIPATH; legs beyond the room of `m` are only counted. False when malformed. */
export function readMultipath(wire: Wire, from: number, end: number, m: RouteMessage): boolean {
  let at = from;
  m.multipath = true;
  while (end - at >= 8) {
    const length = wire.u16[at >> 1] as number;
    if (length < 8 || length > end - at) return false;
    m.legsTold++;
    if (m.legs < m.legOif.length) {
      const leg = m.legs++;
      m.legFlags[leg] = wire.bytes[at + 2] as number;
      m.legWeight[leg] = (wire.bytes[at + 3] as number) + 1;
      m.legOif[leg] = wire.u32[(at + 4) >> 2] as number;
      m.legGatewayFamily[leg] = 0;
      m.legEncapType[leg] = 0;
      m.legLabelCount[leg] = 0;
      m.legTtl[leg] = 0;
      m.legGateway.fill(0, 4 * leg, 4 * leg + 4);
      if (!readLeg(wire, at + 8, at + length, m, leg)) return false;
    }
    at += (length + 3) & ~3;
  }
  return true;
}
