// LabelStack: the MPLS labels that a path pushes or swaps to (RTA_NEWDST, `encap mpls`), read and written.
//
// Invariants: labels are host-order numbers, outermost first. On the wire each is a word in network order, the label in
// its upper 20 bits and the bottom-of-stack bit in the last word only: anything else is malformed. At most
// MAX_ENCAP_LABELS are kept; how many were told is returned. Reading into a caller's memory allocates nothing.
// Reference: RFC 3032, linux/mpls.h, linux/mpls_iptunnel.h.

import type { AttributeCursor, Wire } from './attr.ts';
import type { MessageWriter } from './message.ts';
import * as k from './uapi.ts';

/** Most labels that are kept of one leg. */
export const MAX_ENCAP_LABELS = 8;

/** Bits of a label: what an AF_MPLS route has as prefix length. */
export const LABEL_LENGTH = 20;

/** Where the upper 20 bits of a word lie after a plain load of its network-order bytes. */
const LABEL_BITS = 0x00f0ffff;
const BOTTOM_BIT = 0x00010000;

/** The label word as it lies, without traffic class, bottom-of-stack bit and TTL. */
export function labelKey(word: number): number {
  return word & LABEL_BITS;
}

/** The label number of a word as it lies. */
export function labelOf(word: number): number {
  return ((word & 0xff) << 12) | (((word >>> 8) & 0xff) << 4) | ((word >>> 20) & 0xf);
}

/** Keeps the labels of `size` bytes in `labels` from `to` on. Returns how many were told, -1 when malformed. */
export function readLabels(wire: Wire, at: number, size: number, labels: Uint32Array, to: number): number {
  if (size < 4 || size % 4 !== 0) return -1;
  const told = size >> 2;
  for (let i = 0; i < told; i++) {
    const word = wire.u32[(at >> 2) + i] as number;
    if (((word & BOTTOM_BIT) !== 0) !== (i === told - 1)) return -1;
    if (i < MAX_ENCAP_LABELS) labels[to + i] = labelOf(word);
  }
  return told;
}

/** Where the parts of an `encap mpls` lie: found without allocating, read by the caller. */
export interface MplsEncap {
  /** Offset and bytes of the stack. */
  at: number;
  size: number;
  /** MPLS_IPTUNNEL_TTL, 0 when absent. */
  ttl: number;
}

/** Looks through the nest of an RTA_ENCAP or NHA_ENCAP of LWTUNNEL_ENCAP_MPLS. False when it is malformed. */
export function findMplsEncap(wire: Wire, from: number, end: number, found: MplsEncap): boolean {
  found.at = found.size = found.ttl = 0;
  let at = from;
  while (end - at >= 4) {
    const length = wire.u16[at >> 1] as number;
    if (length < 4 || length > end - at) return false;
    switch ((wire.u16[(at >> 1) + 1] as number) & k.NLA_TYPE_MASK) {
      case k.MPLS_IPTUNNEL_DST:
        found.at = at + 4;
        found.size = length - 4;
        break;
      case k.MPLS_IPTUNNEL_TTL:
        if (length < 5) return false;
        found.ttl = wire.bytes[at + 4] as number;
        break;
    }
    at += (length + 3) & ~3;
  }
  return found.size > 0;
}

/** A label stack as the kernel wants it. Throws RangeError on what is no label. */
export function labelBytes(...labels: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * labels.length);
  const view = new DataView(bytes.buffer);
  for (const [i, label] of labels.entries()) {
    if (!Number.isInteger(label) || label < 0 || label > 0xfffff) throw new RangeError(`not an MPLS label: ${label}`);
    view.setUint32(4 * i, ((label << 12) | (i === labels.length - 1 ? 0x100 : 0)) >>> 0);
  }
  return bytes;
}

/** Writes a stack as the value of an attribute. */
export function attrLabels(w: MessageWriter, type: number, labels: readonly number[]): void {
  w.attrBytes(type, labelBytes(...labels));
}

/** Writes the attributes of an `encap mpls`; `ttl` 0 leaves the kernel's default. */
export function attrMplsEncap(
  w: MessageWriter,
  types: { readonly encap: number; readonly encapType: number },
  labels: readonly number[],
  ttl = 0,
): void {
  // Strict checking of nexthop objects wants the NESTED bit, routes are older than it.
  const nest = w.beginNest(types.encap, types.encap === k.NHA_ENCAP);
  attrLabels(w, k.MPLS_IPTUNNEL_DST, labels);
  if (ttl !== 0) w.attrU8(k.MPLS_IPTUNNEL_TTL, ttl);
  w.endNest(nest).attrU16(types.encapType, k.LWTUNNEL_ENCAP_MPLS);
}

const scratch = new Uint32Array(MAX_ENCAP_LABELS);

/** The labels and TTL of the encapsulation that a cursor is at. What is malformed is noted in the cursor. */
export function readMplsEncap(wire: Wire, a: AttributeCursor): { labels: number[]; ttl: number; told: number } {
  const found: MplsEncap = { at: 0, size: 0, ttl: 0 };
  const ok = findMplsEncap(wire, a.value, a.value + a.size, found);
  const told = ok ? readLabels(wire, found.at, found.size, scratch, 0) : -1;
  if (told < 0) a.malformed = true;
  return { labels: [...scratch.subarray(0, Math.max(0, Math.min(told, MAX_ENCAP_LABELS)))], ttl: found.ttl, told };
}
