// Address: an IP address on an interface (`RTM_NEWADDR`), read and requested.
//
// Invariants: `local` is the interface's own address. On a point-to-point link `address` is the peer; elsewhere both
// are the same. IPv6 tells IFA_LOCAL only with a peer, so IFA_ADDRESS stands in for it. `flags` are the 32-bit
// IFA_FLAGS where the kernel sends them. A tentative or DADFAILED address is not usable yet or ever.
// Reference: linux/if_addr.h; RFC 4862 for tentative, preferred and valid.

import type { Wire } from './attr.ts';
import { AttributeCursor } from './attr.ts';
import type { MessageWriter } from './message.ts';
import { messageEnd } from './message.ts';
import * as k from './uapi.ts';

/** Lifetime that never ends, in seconds. */
export const LIFETIME_FOREVER = 0xffffffff;

export interface Address {
  readonly family: number;
  readonly ifindex: number;
  readonly prefixlen: number;
  /** Canonical text. */
  readonly local: string;
  /** The peer on point-to-point links, otherwise equal to `local`. */
  readonly address: string;
  readonly flags: number;
  readonly scope: number;
  readonly label?: string;
  readonly broadcast?: string;
  /** Seconds; {@link LIFETIME_FOREVER} without end. */
  readonly preferredLft: number;
  readonly validLft: number;
  /** IFAPROT_*: who made it (kernel ≥ 5.18). */
  readonly proto?: number;
  /** Metric of the prefix route. */
  readonly priority?: number;
}

type Draft = { -readonly [K in keyof Address]: Address[K] };

/** The address at `offset` (its nlmsghdr), or undefined when the message is malformed or carries no address. */
export function decodeAddress(wire: Wire, offset: number): Address | undefined {
  const end = messageEnd(wire, offset, 8);
  if (end < 0) return undefined;
  const body = offset + k.NLMSG_HDRLEN;
  const draft: Draft = {
    family: wire.bytes[body] as number,
    prefixlen: wire.bytes[body + 1] as number,
    flags: wire.bytes[body + 2] as number,
    scope: wire.bytes[body + 3] as number,
    ifindex: wire.u32[(body >> 2) + 1] as number,
    local: '',
    address: '',
    preferredLft: LIFETIME_FOREVER,
    validLft: LIFETIME_FOREVER,
  };
  const a = new AttributeCursor(wire, body + 8, end);
  while (a.next()) {
    switch (a.type) {
      case k.IFA_LOCAL:
        draft.local = a.ip();
        break;
      case k.IFA_ADDRESS:
        draft.address = a.ip();
        break;
      case k.IFA_LABEL:
        draft.label = a.string();
        break;
      case k.IFA_BROADCAST:
        draft.broadcast = a.ip();
        break;
      case k.IFA_FLAGS:
        draft.flags = a.u32();
        break;
      case k.IFA_PROTO:
        draft.proto = a.u8();
        break;
      case k.IFA_RT_PRIORITY:
        draft.priority = a.u32();
        break;
      case k.IFA_CACHEINFO:
        draft.preferredLft = a.u32();
        if (a.size < 8) a.malformed = true;
        else draft.validLft = wire.u32[(a.value >> 2) + 1] as number;
        break;
    }
  }
  if (draft.local === '') draft.local = draft.address;
  if (draft.address === '') draft.address = draft.local;
  return a.malformed || draft.local === '' ? undefined : draft;
}

export interface AddressRequest {
  readonly family: number;
  readonly ifindex: number;
  readonly prefixlen: number;
  readonly local: string;
  readonly address?: string;
  readonly flags?: number;
  readonly scope?: number;
  readonly label?: string;
  readonly broadcast?: string;
  readonly preferredLft?: number;
  readonly validLft?: number;
  readonly proto?: number;
  readonly priority?: number;
}

/** Writes ifaddrmsg and attributes. Throws on text that is not an address. */
export function encodeAddress(w: MessageWriter, r: AddressRequest): void {
  const flags = r.flags ?? 0;
  w.u8(r.family)
    .u8(r.prefixlen)
    .u8(flags & 0xff)
    .u8(r.scope ?? 0)
    .u32(r.ifindex);
  w.attrIp(k.IFA_ADDRESS, r.address ?? r.local).attrIp(k.IFA_LOCAL, r.local);
  if (r.broadcast !== undefined) w.attrIp(k.IFA_BROADCAST, r.broadcast);
  if (r.label !== undefined) w.attrString(k.IFA_LABEL, r.label);
  if (r.proto !== undefined) w.attrU8(k.IFA_PROTO, r.proto);
  if (r.priority !== undefined) w.attrU32(k.IFA_RT_PRIORITY, r.priority);
  if (flags !== 0) w.attrU32(k.IFA_FLAGS, flags);
  if (r.preferredLft !== undefined || r.validLft !== undefined) {
    const info = new Uint32Array([r.preferredLft ?? LIFETIME_FOREVER, r.validLft ?? LIFETIME_FOREVER, 0, 0]);
    w.attrBytes(k.IFA_CACHEINFO, new Uint8Array(info.buffer));
  }
}
