// PrefixSet: the few prefixes of a VPP table that need more than one entry, or another one than they say.
//
// Invariants: a prefix is its length and the four words that routes have: the network-order bytes as they lie on this host.
// Asking makes nothing, because it is asked for every route.

export type Words = readonly [number, number, number, number];

export interface Prefix {
  readonly length: number;
  readonly words: Words;
}

/** A prefix of a set, with where its route leads if that matters. */
export interface Member extends Prefix {
  readonly target: number;
}

/** Bits of an address word, as it lies on this host, that belong to its first `bits` bits. */
const MASKS = Uint32Array.from({ length: 33 }, (_, bits) => {
  const mask = bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
  const bytes = Uint8Array.of(mask >>> 24, mask >>> 16, mask >>> 8, mask);
  return new Uint32Array(bytes.buffer)[0] as number;
});

/** What of the word that begins at bit `before` belongs to a prefix of `length` bits. */
export const maskWord = (word: number, before: number, length: number): number =>
  (word & (MASKS[Math.min(32, Math.max(0, length - before))] as number)) >>> 0;

/** Whether a prefix is 255.255.255.255, which is no route of the kernel. */
export const isLimitedBroadcast = (length: number, w0: number, w1: number): boolean =>
  length === 32 && w0 === 0xffff_ffff && w1 === 0;

const isSame = ({ words: [, a, b, c] }: Prefix, w1: number, w2: number, w3: number): boolean =>
  a === w1 && b === w2 && c === w3;

export class PrefixSet {
  /** By length, then by the first word. */
  readonly #ofLength: (Map<number, Member[]> | undefined)[] = new Array(129).fill(undefined);

  has(length: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const like = this.#ofLength[length]?.get(w0);
    return like?.some((prefix) => isSame(prefix, w1, w2, w3)) === true;
  }

  /** Whether it has a member still, as it was told then. */
  holds(member: Member): boolean {
    return this.#ofLength[member.length]?.get(member.words[0])?.includes(member) === true;
  }

  add(length: number, w0: number, w1: number, w2: number, w3: number, target = 0): void {
    const there = this.#ofLength[length]?.get(w0)?.find((prefix) => isSame(prefix, w1, w2, w3));
    if (there?.target === target) return;
    this.delete(length, w0, w1, w2, w3);
    const ofLength = this.#ofLength[length] ?? new Map<number, Member[]>();
    this.#ofLength[length] = ofLength;
    const prefix: Member = { length, words: [w0, w1, w2, w3], target };
    ofLength.set(w0, [...(ofLength.get(w0) ?? []), prefix]);
  }

  delete(length: number, w0: number, w1: number, w2: number, w3: number): void {
    const ofLength = this.#ofLength[length];
    const like = ofLength?.get(w0);
    if (ofLength === undefined || like === undefined) return;
    const others = like.filter((prefix) => !isSame(prefix, w1, w2, w3));
    if (others.length > 0) ofLength.set(w0, others);
    else ofLength.delete(w0);
    if (ofLength.size === 0) this.#ofLength[length] = undefined;
  }

  all(): Member[] {
    return this.#ofLength.flatMap((ofLength) => [...(ofLength?.values() ?? [])].flat());
  }
}
