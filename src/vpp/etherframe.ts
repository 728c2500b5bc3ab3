// EtherFrame: where an Ethernet frame's type is, behind its tags. Reference: IEEE 802.3, 802.1Q, 802.1ad.

export const MAC_BYTES = 12;
export const TAG_BYTES = 4;
export const MOST_TAGS = 2;
export const TPIDS = [0x8100, 0x88a8, 0x9100];
const VLAN = 0xfff;

/** A number of two bytes; 0 stands for what is not there. */
export const at16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** The tags of a frame, the outer one first, as TPID * 2^16 + VLAN, and where the type is behind them. */
export function readTags(frame: Uint8Array): { readonly tags: readonly number[]; readonly at: number } {
  const tags: number[] = [];
  let at = MAC_BYTES;
  for (; tags.length < MOST_TAGS && TPIDS.includes(at16(frame, at)); at += TAG_BYTES)
    tags.push(at16(frame, at) * 0x1_0000 + (at16(frame, at + 2) & VLAN));
  return { tags, at };
}
