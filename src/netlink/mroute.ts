// Mroute: an entry of the kernel's multicast forwarding cache (`RTM_NEWROUTE` of RTNL_FAMILY_IPMR and _IP6MR). Read only.
//
// Invariants: it shares message types and attribute numbers with routes and nothing else: the family of the header tells
// them apart. Entries are made through a multicast routing socket (pimd, smcroute), never through netlink. An unresolved
// entry waits for the routing daemon: it has neither an input nor outputs.
// Reference: net/ipv4/ipmr_base.c mr_fill_mroute, linux/rtnetlink.h (struct rta_mfc_stats).

import { AF_INET, AF_INET6, formatIp } from '../lib/ip.ts';
import type { Wire } from './attr.ts';
import { AttributeCursor } from './attr.ts';
import { messageEnd } from './message.ts';
import * as k from './uapi.ts';

export interface MrouteOutput {
  readonly ifindex: number;
  /** Packets must have a greater TTL to go out: 1..254. */
  readonly ttl: number;
}

export interface Mroute {
  /** AF_INET or AF_INET6. */
  readonly family: number;
  readonly table: number;
  /** '' for any. */
  readonly source: string;
  readonly group: string;
  /** Where packets must come in; 0 when unresolved, or when that interface is gone. */
  readonly iif: number;
  readonly oifs: readonly MrouteOutput[];
  /** The kernel asked the routing daemon and holds packets meanwhile. */
  readonly unresolved: boolean;
  /** RTPROT_*: mrouted for everything that came through the socket. */
  readonly protocol: number;
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Packets that came in elsewhere. */
  readonly wrongIf: bigint;
  /** Kernel ticks (100 a second) since a packet used it; RTA_EXPIRES, whatever its name says. */
  readonly lastUse: bigint;
}

type Draft = { -readonly [K in keyof Mroute]: Mroute[K] };

/** Whether a route message of this family is a multicast entry. */
export function isMrouteFamily(family: number): boolean {
  return family === k.RTNL_FAMILY_IPMR || family === k.RTNL_FAMILY_IP6MR;
}

function readAddress(wire: Wire, a: AttributeCursor, size: number): string {
  if (a.size !== size) {
    a.malformed = true;
    return '';
  }
  for (let at = a.value; at < a.value + size; at++)
    if (wire.bytes[at] !== 0) return formatIp(wire.bytes, a.value, size);
  return '';
}

function readOutputs(wire: Wire, a: AttributeCursor): MrouteOutput[] {
  const outputs: MrouteOutput[] = [];
  const end = a.value + a.size;
  let at = a.value;
  while (end - at >= 8) {
    // struct rtnexthop: length, flags, hops (here the TTL threshold), ifindex
    const length = wire.u16[at >> 1] as number;
    if (length < 8 || length > end - at) {
      a.malformed = true;
      return [];
    }
    outputs.push({ ifindex: (wire.u32[(at + 4) >> 2] as number) | 0, ttl: wire.bytes[at + 3] as number });
    at += (length + 3) & ~3;
  }
  return outputs;
}

/** The entry at `offset` (its nlmsghdr), or undefined when the message is malformed or of another family. */
export function decodeMroute(wire: Wire, offset: number): Mroute | undefined {
  const end = messageEnd(wire, offset, 12);
  if (end < 0) return undefined;
  const body = offset + k.NLMSG_HDRLEN;
  const told = wire.bytes[body] as number;
  if (!isMrouteFamily(told)) return undefined;
  const size = told === k.RTNL_FAMILY_IPMR ? 4 : 16;
  let named = false;
  const draft: Draft = {
    family: told === k.RTNL_FAMILY_IPMR ? AF_INET : AF_INET6,
    table: wire.bytes[body + 4] as number,
    source: '',
    group: '',
    iif: 0,
    oifs: [],
    unresolved: ((wire.u32[(body + 8) >> 2] as number) & k.RTNH_F_UNRESOLVED) !== 0,
    protocol: wire.bytes[body + 5] as number,
    packets: 0n,
    bytes: 0n,
    wrongIf: 0n,
    lastUse: 0n,
  };
  const a = new AttributeCursor(wire, body + 12, end);
  while (a.next()) {
    switch (a.type) {
      case k.RTA_SRC:
        draft.source = readAddress(wire, a, size);
        break;
      case k.RTA_DST:
        draft.group = readAddress(wire, a, size);
        named = true;
        break;
      case k.RTA_TABLE:
        draft.table = a.u32();
        break;
      case k.RTA_IIF:
        draft.iif = a.s32();
        break;
      case k.RTA_MULTIPATH:
        draft.oifs = readOutputs(wire, a);
        break;
      case k.RTA_MFC_STATS:
        draft.packets = a.u64();
        draft.bytes = a.u64(8);
        draft.wrongIf = a.u64(16);
        break;
      case k.RTA_EXPIRES:
        draft.lastUse = a.u64();
        break;
    }
  }
  return a.malformed || !named ? undefined : draft;
}
