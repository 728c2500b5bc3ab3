// Neighbour: an ARP or ND entry (`RTM_NEWNEIGH`), read and requested.
//
// Invariants: only the states in NUD_VALID carry a usable link-layer address; INCOMPLETE, FAILED and NONE do not.
// Proxy entries (NTF_PROXY) have none either. Bridge forwarding entries share the message type and differ by
// family AF_BRIDGE; they may have no `dst`.
// Reference: linux/neighbour.h; RFC 4861 for the states.

import { parseMac } from '../lib/bytes.ts';
import type { Wire } from './attr.ts';
import { AttributeCursor } from './attr.ts';
import type { MessageWriter } from './message.ts';
import { messageEnd } from './message.ts';
import * as k from './uapi.ts';

/** States in which the link-layer address may be used. */
export const NUD_VALID = k.NUD_PERMANENT | k.NUD_NOARP | k.NUD_REACHABLE | k.NUD_PROBE | k.NUD_STALE | k.NUD_DELAY;

export interface Neighbour {
  readonly family: number;
  readonly ifindex: number;
  readonly state: number;
  readonly flags: number;
  /** RTN_* of the address. */
  readonly type: number;
  /** Canonical text; empty for bridge forwarding entries. */
  readonly dst: string;
  readonly lladdr?: string;
  /** NTF_EXT_*. */
  readonly extFlags?: number;
  readonly vlan?: number;
  readonly master?: number;
  /** RTPROT_* of who made it. */
  readonly protocol?: number;
}

type Draft = { -readonly [K in keyof Neighbour]: Neighbour[K] };

/** The neighbour at `offset` (its nlmsghdr), or undefined when the message is malformed. */
export function decodeNeighbour(wire: Wire, offset: number): Neighbour | undefined {
  const end = messageEnd(wire, offset, 12);
  if (end < 0) return undefined;
  const body = offset + k.NLMSG_HDRLEN;
  const draft: Draft = {
    family: wire.bytes[body] as number,
    ifindex: wire.u32[(body >> 2) + 1] as number,
    state: wire.u16[(body >> 1) + 4] as number,
    flags: wire.bytes[body + 10] as number,
    type: wire.bytes[body + 11] as number,
    dst: '',
  };
  const a = new AttributeCursor(wire, body + 12, end);
  while (a.next()) {
    switch (a.type) {
      case k.NDA_DST:
        draft.dst = a.ip();
        break;
      case k.NDA_LLADDR:
        if (a.size > 0) draft.lladdr = a.mac();
        break;
      case k.NDA_FLAGS_EXT:
        draft.extFlags = a.u32();
        break;
      case k.NDA_VLAN:
        draft.vlan = a.u16();
        break;
      case k.NDA_MASTER:
        draft.master = a.u32();
        break;
      case k.NDA_PROTOCOL:
        draft.protocol = a.u8();
        break;
    }
  }
  if (draft.dst === '' && draft.family !== k.AF_BRIDGE) return undefined;
  return a.malformed ? undefined : draft;
}

export interface NeighbourRequest {
  readonly family: number;
  readonly ifindex: number;
  readonly state?: number;
  readonly flags?: number;
  readonly type?: number;
  readonly dst: string;
  readonly lladdr?: string;
  readonly extFlags?: number;
  readonly vlan?: number;
  readonly protocol?: number;
}

/** Writes ndmsg and attributes. Throws on text that is not an address. */
export function encodeNeighbour(w: MessageWriter, r: NeighbourRequest): void {
  w.u8(r.family).u8(0).u16(0).u32(r.ifindex);
  w.u16(r.state ?? k.NUD_NONE)
    .u8(r.flags ?? 0)
    .u8(r.type ?? 0);
  if (r.dst !== '') w.attrIp(k.NDA_DST, r.dst);
  if (r.lladdr !== undefined) {
    const mac = parseMac(r.lladdr);
    if (mac === undefined) throw new Error(`not a link-layer address: ${r.lladdr.slice(0, 64)}`);
    w.attrBytes(k.NDA_LLADDR, mac);
  }
  if (r.extFlags !== undefined) w.attrU32(k.NDA_FLAGS_EXT, r.extFlags);
  if (r.vlan !== undefined) w.attrU16(k.NDA_VLAN, r.vlan);
  if (r.protocol !== undefined) w.attrU8(k.NDA_PROTOCOL, r.protocol);
}
