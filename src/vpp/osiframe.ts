// OsiFrame: frames of OSI protocols, as IS-IS is, and the filter by which a packet socket sees them and nothing else.
//
// Invariants: nothing is believed that is not within the frame. Tags are passed over, by the filter too where they are in
// the frame: a received one the kernel has taken out before the filter runs.
// Reference: ISO 10589 8.4; IEEE 802.3, 802.1Q; RFC 1195; draft-ietf-isis-ext-eth (jumbo frames); the kernel's include/uapi/linux/filter.h.

import { at16, MAC_BYTES, MOST_TAGS, readTags, TAG_BYTES, TPIDS } from './etherframe.ts';

/** Below it is the length of an LLC frame, not an ethertype. */
const FIRST_ETHERTYPE = 0x600;
/** LLC frames whose length does not go where an ethertype is. */
const JUMBO_LLC = 0x8870;
/** DSAP and SSAP of OSI's network layer. */
const SAPS = 0xfefe;
/** Unnumbered information. */
const CONTROL = 0x03;

export interface OsiFrame {
  /** Network layer protocol identifier (ISO 9577): IS-IS 0x83. */
  readonly protocol: number;
  /** TPID * 2^16 + VLAN of each tag, the outer one first. */
  readonly tags: readonly number[];
}

/** What it is, undefined for any other frame and for what is cut short. */
export function readOsiFrame(frame: Uint8Array): OsiFrame | undefined {
  const { tags, at } = readTags(frame);
  const length = at16(frame, at);
  if (frame.length < at + 6 || (length >= FIRST_ETHERTYPE && length !== JUMBO_LLC)) return undefined;
  if (at16(frame, at + 2) !== SAPS || frame[at + 4] !== CONTROL) return undefined;
  return { protocol: frame[at + 5] ?? 0, tags };
}

/** Opcodes of classic BPF: loads at a place into A, jumps on A, the end. */
const [LDH, LDB, JEQ, JGE, RET] = [0x28, 0x30, 0x15, 0x35, 0x06];
/** Place from which a byte is the packet's type (PACKET_OUTGOING, …). */
const PACKET_TYPE = 0xffff_f004;
const PACKET_OUTGOING = 4;
const WHOLE = 0x4_0000;

type Step = readonly [code: number, k: number, then?: string, otherwise?: string];

/** sock_filter instructions of named places; a jump goes to the next one where it is not said, or ''. */
function assemble(steps: readonly (Step | string)[]): Buffer {
  const places = new Map<string, number>();
  const code: Step[] = [];
  for (const step of steps) {
    if (typeof step === 'string') places.set(step, code.length);
    else code.push(step);
  }
  const bytes = Buffer.alloc(code.length * 8);
  code.forEach(([op, k, then, otherwise], i) => {
    const jump = (place = '') => (place === '' ? 0 : (places.get(place) ?? 0) - i - 1);
    bytes.writeUInt16LE(op, i * 8);
    bytes.writeUInt8(jump(then), i * 8 + 2);
    bytes.writeUInt8(jump(otherwise), i * 8 + 3);
    bytes.writeUInt32LE(k, i * 8 + 4);
  });
  return bytes;
}

/** Passes frames of OSI, any number of whose tags up to two are in the frame: those that the kernel sends, or those that it gets. */
export function osiFilter(way: 'sent' | 'received'): Buffer {
  const steps: (Step | string)[] = [[LDB, PACKET_TYPE]];
  steps.push(way === 'sent' ? [JEQ, PACKET_OUTGOING, '', 'no'] : [JEQ, PACKET_OUTGOING, 'no', '']);
  for (let tags = 0; tags <= MOST_TAGS; tags++) {
    const at = MAC_BYTES + tags * TAG_BYTES;
    steps.push(`tags ${tags}`, [LDH, at]);
    if (tags < MOST_TAGS) for (const tpid of TPIDS) steps.push([JEQ, tpid, `tags ${tags + 1}`]);
    steps.push([JEQ, JUMBO_LLC, `llc ${tags}`], [JGE, FIRST_ETHERTYPE, 'no'], `llc ${tags}`);
    steps.push([LDH, at + 2], [JEQ, SAPS, '', 'no'], [LDB, at + 4], [JEQ, CONTROL, 'yes', 'no']);
  }
  return assemble([...steps, 'yes', [RET, WHOLE], 'no', [RET, 0]]);
}
