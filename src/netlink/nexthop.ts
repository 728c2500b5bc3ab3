// Nexthop: a nexthop object or group (`RTM_NEWNEXTHOP`), which routes refer to by id, read and requested.
//
// Invariants: a group has `group` and neither interface nor gateway; group weights count from 1. The kernel removes
// objects silently when their device goes down or loses its carrier, and replaces members without a word about the
// routes: who uses ids must keep this table. Weights above 256 (kernel ≥ 6.12) use a second byte.
// Reference: linux/nexthop.h.

import type { Wire } from './attr.ts';
import { AttributeCursor } from './attr.ts';
import { attrMplsEncap, MAX_ENCAP_LABELS, readMplsEncap } from './labelstack.ts';
import type { MessageWriter } from './message.ts';
import { messageEnd } from './message.ts';
import * as k from './uapi.ts';

export interface NexthopMember {
  readonly id: number;
  /** 1..65535. */
  readonly weight: number;
}

/** Timers of a resilient group, in hundredths of a second as the kernel tells them. */
export interface ResilientGroup {
  readonly buckets: number;
  readonly idleTimer: number;
  readonly unbalancedTimer: number;
  /** How long the group has not been as its weights want it, 0 while it is. */
  readonly unbalancedTime: bigint;
}

export interface Nexthop {
  readonly id: number;
  readonly family: number;
  readonly scope: number;
  readonly protocol: number;
  /** RTNH_F_*. */
  readonly flags: number;
  readonly oif?: number;
  readonly gateway?: string;
  readonly blackhole: boolean;
  readonly fdb: boolean;
  readonly group?: readonly NexthopMember[];
  /** NEXTHOP_GRP_TYPE_*; 0 multipath, 1 resilient. */
  readonly groupType?: number;
  readonly resilient?: ResilientGroup;
  /** LWTUNNEL_ENCAP_*. */
  readonly encapType?: number;
  /** Labels that `encap mpls` pushes, outermost first, at most MAX_ENCAP_LABELS. */
  readonly labels: readonly number[];
  /** There are more labels than `labels` holds. */
  readonly tooManyLabels: boolean;
  /** TTL of the labels that are pushed, 0 when not given. */
  readonly ttl: number;
  /** Only in dump filters of some kernels. */
  readonly master?: number;
}

type Draft = { -readonly [K in keyof Nexthop]: Nexthop[K] };

function readGroup(wire: Wire, a: AttributeCursor): NexthopMember[] {
  const members: NexthopMember[] = [];
  // struct nexthop_grp: id u32, weight-1 low byte, weight-1 high byte, two reserved bytes.
  if (a.size % 8 !== 0) a.malformed = true;
  for (let at = a.value; at + 8 <= a.value + a.size; at += 8) {
    const low = wire.bytes[at + 4] as number;
    const high = wire.bytes[at + 5] as number;
    members.push({ id: wire.u32[at >> 2] as number, weight: (high << 8) + low + 1 });
  }
  return members;
}

function readResilient(outer: AttributeCursor): ResilientGroup {
  const timers = { buckets: 0, idleTimer: 0, unbalancedTimer: 0, unbalancedTime: 0n };
  const a = outer.nested();
  while (a.next()) {
    if (a.type === k.NHA_RES_GROUP_BUCKETS) timers.buckets = a.u16();
    else if (a.type === k.NHA_RES_GROUP_IDLE_TIMER) timers.idleTimer = a.u32();
    else if (a.type === k.NHA_RES_GROUP_UNBALANCED_TIMER) timers.unbalancedTimer = a.u32();
    else if (a.type === k.NHA_RES_GROUP_UNBALANCED_TIME) timers.unbalancedTime = a.u64();
  }
  outer.adopt(a);
  return timers;
}

/** The nexthop at `offset` (its nlmsghdr), or undefined when the message is malformed or has no id. */
export function decodeNexthop(wire: Wire, offset: number): Nexthop | undefined {
  const end = messageEnd(wire, offset, 8);
  if (end < 0) return undefined;
  const body = offset + k.NLMSG_HDRLEN;
  const draft: Draft = {
    id: 0,
    family: wire.bytes[body] as number,
    scope: wire.bytes[body + 1] as number,
    protocol: wire.bytes[body + 2] as number,
    flags: wire.u32[(body >> 2) + 1] as number,
    blackhole: false,
    fdb: false,
    labels: [],
    tooManyLabels: false,
    ttl: 0,
  };
  let encap: { start: number; end: number } | undefined;
  const a = new AttributeCursor(wire, body + 8, end);
  while (a.next()) {
    switch (a.type) {
      case k.NHA_ID:
        draft.id = a.u32();
        break;
      case k.NHA_OIF:
        draft.oif = a.u32();
        break;
      case k.NHA_GATEWAY:
        draft.gateway = a.ip();
        break;
      case k.NHA_BLACKHOLE:
        draft.blackhole = true;
        break;
      case k.NHA_FDB:
        draft.fdb = true;
        break;
      case k.NHA_GROUP:
        draft.group = readGroup(wire, a);
        break;
      case k.NHA_GROUP_TYPE:
        draft.groupType = a.u16();
        break;
      case k.NHA_RES_GROUP:
        draft.resilient = readResilient(a);
        break;
      case k.NHA_ENCAP_TYPE:
        draft.encapType = a.u16();
        break;
      case k.NHA_ENCAP:
        encap = { start: a.value - 4, end: a.value + a.size };
        break;
      case k.NHA_MASTER:
        draft.master = a.u32();
        break;
    }
  }
  // The type tells how to read the encapsulation, and it follows it.
  if (encap !== undefined && draft.encapType === k.LWTUNNEL_ENCAP_MPLS) {
    const inner = new AttributeCursor(wire, encap.start, encap.end);
    inner.next();
    const read = readMplsEncap(wire, inner);
    draft.labels = read.labels;
    draft.tooManyLabels = read.told > MAX_ENCAP_LABELS;
    draft.ttl = read.ttl;
    a.adopt(inner);
  }
  return a.malformed || draft.id === 0 ? undefined : draft;
}

export interface NexthopRequest {
  /** 0 lets the kernel choose. */
  readonly id: number;
  readonly family?: number;
  readonly scope?: number;
  readonly protocol?: number;
  readonly flags?: number;
  readonly oif?: number;
  readonly gateway?: string;
  readonly blackhole?: boolean;
  readonly fdb?: boolean;
  readonly group?: readonly NexthopMember[];
  readonly groupType?: number;
  readonly resilient?: Partial<ResilientGroup>;
  /** `encap mpls`, outermost label first. */
  readonly labels?: readonly number[];
  readonly ttl?: number;
}

/** Writes nhmsg and attributes. Throws on text that is not an address. */
export function encodeNexthop(w: MessageWriter, r: NexthopRequest): void {
  w.u8(r.family ?? k.AF_UNSPEC)
    .u8(r.scope ?? 0)
    .u8(r.protocol ?? 0)
    .u8(0)
    .u32(r.flags ?? 0);
  if (r.id !== 0) w.attrU32(k.NHA_ID, r.id);
  if (r.group !== undefined) {
    const bytes = new Uint8Array(8 * r.group.length);
    const words = new Uint32Array(bytes.buffer);
    for (const [i, member] of r.group.entries()) {
      words[2 * i] = member.id;
      bytes[8 * i + 4] = (member.weight - 1) & 0xff;
      bytes[8 * i + 5] = (member.weight - 1) >> 8;
    }
    w.attrBytes(k.NHA_GROUP, bytes);
  }
  if (r.groupType !== undefined) w.attrU16(k.NHA_GROUP_TYPE, r.groupType);
  if (r.resilient !== undefined) {
    const nest = w.beginNest(k.NHA_RES_GROUP);
    const { buckets, idleTimer, unbalancedTimer } = r.resilient;
    if (buckets !== undefined) w.attrU16(k.NHA_RES_GROUP_BUCKETS, buckets);
    if (idleTimer !== undefined) w.attrU32(k.NHA_RES_GROUP_IDLE_TIMER, idleTimer);
    if (unbalancedTimer !== undefined) w.attrU32(k.NHA_RES_GROUP_UNBALANCED_TIMER, unbalancedTimer);
    w.endNest(nest);
  }
  if (r.blackhole === true) w.attrFlag(k.NHA_BLACKHOLE);
  if (r.oif !== undefined) w.attrU32(k.NHA_OIF, r.oif);
  if (r.gateway !== undefined) w.attrIp(k.NHA_GATEWAY, r.gateway);
  if (r.labels !== undefined && r.labels.length > 0) {
    attrMplsEncap(w, { encap: k.NHA_ENCAP, encapType: k.NHA_ENCAP_TYPE }, r.labels, r.ttl);
  }
  if (r.fdb === true) w.attrFlag(k.NHA_FDB);
}
