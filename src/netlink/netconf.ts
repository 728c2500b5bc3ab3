// Netconf: forwarding settings of one interface, or of all or new ones, per family (`RTM_NEWNETCONF`). AF_MPLS has `input`.
//
// Invariants: read only; requests change them through /proc/sys. `ifindex` is NETCONFA_IFINDEX_ALL (-1) or
// NETCONFA_IFINDEX_DEFAULT (-2) for the settings that are not an interface's. A notification carries only what changed,
// and RTM_DELNETCONF (the interface is gone, or has no such family any more) only the interface.
// Reference: linux/netconf.h, Documentation/networking/ip-sysctl.rst (ignore_routes_with_linkdown).

import type { Wire } from './attr.ts';
import { AttributeCursor } from './attr.ts';
import type { MessageWriter } from './message.ts';
import { messageEnd } from './message.ts';
import * as k from './uapi.ts';

export interface Netconf {
  readonly family: number;
  readonly ifindex: number;
  readonly forwarding?: boolean;
  readonly ignoreRoutesWithLinkdown?: boolean;
  readonly rpFilter?: number;
  readonly mcForwarding?: boolean;
  readonly proxyNeigh?: boolean;
  /** AF_MPLS: labelled packets are taken in. */
  readonly input?: boolean;
  readonly bcForwarding?: boolean;
}

type Draft = { -readonly [K in keyof Netconf]: Netconf[K] };

/** The settings at `offset` (its nlmsghdr), or undefined when the message is malformed or names no interface. */
export function decodeNetconf(wire: Wire, offset: number): Netconf | undefined {
  // The body is one byte, padded by the attributes behind it.
  const end = messageEnd(wire, offset, 1);
  if (end < 0) return undefined;
  const body = offset + k.NLMSG_HDRLEN;
  let named = false;
  const draft: Draft = { family: wire.bytes[body] as number, ifindex: 0 };
  const a = new AttributeCursor(wire, body + 4, end);
  while (a.next()) {
    switch (a.type) {
      case k.NETCONFA_IFINDEX:
        draft.ifindex = a.s32();
        named = true;
        break;
      case k.NETCONFA_FORWARDING:
        draft.forwarding = a.s32() !== 0;
        break;
      case k.NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN:
        draft.ignoreRoutesWithLinkdown = a.s32() !== 0;
        break;
      case k.NETCONFA_RP_FILTER:
        draft.rpFilter = a.s32();
        break;
      case k.NETCONFA_MC_FORWARDING:
        draft.mcForwarding = a.s32() !== 0;
        break;
      case k.NETCONFA_PROXY_NEIGH:
        draft.proxyNeigh = a.s32() !== 0;
        break;
      case k.NETCONFA_INPUT:
        draft.input = a.s32() !== 0;
        break;
      case k.NETCONFA_BC_FORWARDING:
        draft.bcForwarding = a.s32() !== 0;
        break;
    }
  }
  return a.malformed || !named ? undefined : draft;
}

/** Writes netconfmsg and attributes, as the kernel would. */
export function encodeNetconf(w: MessageWriter, n: Netconf): void {
  w.u8(n.family).u8(0).u16(0).attrU32(k.NETCONFA_IFINDEX, n.ifindex);
  if (n.forwarding !== undefined) w.attrU32(k.NETCONFA_FORWARDING, Number(n.forwarding));
  if (n.rpFilter !== undefined) w.attrU32(k.NETCONFA_RP_FILTER, n.rpFilter);
  if (n.mcForwarding !== undefined) w.attrU32(k.NETCONFA_MC_FORWARDING, Number(n.mcForwarding));
  if (n.proxyNeigh !== undefined) w.attrU32(k.NETCONFA_PROXY_NEIGH, Number(n.proxyNeigh));
  if (n.input !== undefined) w.attrU32(k.NETCONFA_INPUT, Number(n.input));
  if (n.bcForwarding !== undefined) w.attrU32(k.NETCONFA_BC_FORWARDING, Number(n.bcForwarding));
  if (n.ignoreRoutesWithLinkdown !== undefined) {
    w.attrU32(k.NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, Number(n.ignoreRoutesWithLinkdown));
  }
}
