// PrefixSet: the few prefixes of a VPP table that need more than one entry, or another one than they say.
//
// Invariants: a prefix is its length and the four words that routes have: the network-order bytes as they lie on this host.
// Asking costs one load where no prefix of that length is in it, because it is asked for every route.

export type Words = readonly [number, number, number, number];

export interface Prefix {
  readonly length: number;
  readonly words: Words;
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

export class PrefixSet {
  readonly #ofLength = new Uint32Array(129);
  readonly #prefixes = new Map<string, Prefix>();

  has(length: number, w0: number, w1: number, w2: number, w3: number): boolean {
    return this.#ofLength[length] !== 0 && this.#prefixes.has(`${length} ${w0} ${w1} ${w2} ${w3}`);
  }

  add(length: number, w0: number, w1: number, w2: number, w3: number): void {
    if (this.has(length, w0, w1, w2, w3)) return;
    this.#prefixes.set(`${length} ${w0} ${w1} ${w2} ${w3}`, { length, words: [w0, w1, w2, w3] });
    this.#ofLength[length] = (this.#ofLength[length] as number) + 1;
  }

  delete(length: number, w0: number, w1: number, w2: number, w3: number): void {
    if (this.#ofLength[length] !== 0 && this.#prefixes.delete(`${length} ${w0} ${w1} ${w2} ${w3}`))
      this.#ofLength[length] = (this.#ofLength[length] as number) - 1;
  }

  all(): Iterable<Prefix> {
    return this.#prefixes.values();
  }
}
