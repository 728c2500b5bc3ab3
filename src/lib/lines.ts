// LineSplitter: cuts a byte stream into lines at LF, with a limit on what may wait for its end.
//
// Invariants: at most `limit` bytes of an unfinished line are held, in one growing buffer (a peer that sends byte
// by byte costs no more than one that sends at once). After an oversized line the splitter takes nothing more.

const LF = 0x0a;

export class LineSplitter {
  readonly #limit: number;
  #held: Buffer = Buffer.alloc(0);
  #length = 0;
  #overflowed = false;

  /** @param limit most bytes of a line, the LF not counted */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes of the unfinished line. */
  get pending(): number {
    return this.#length;
  }

  /**
   * Takes `chunk` and calls back for each line that it completes, without its LF. The bytes are valid during the
   * call only. Returns false when a line is longer than the limit; the lines before it have been delivered.
   */
  push(chunk: Buffer, onLine: (line: Buffer) => void): boolean {
    if (this.#overflowed) return false;
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LF, start);
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#length + piece.length > this.#limit) {
        this.#overflowed = true;
        this.#held = Buffer.alloc(0);
        this.#length = 0;
        return false;
      }
      if (end < 0) {
        this.#hold(piece);
        return true;
      }
      if (this.#length === 0) {
        onLine(piece);
      } else {
        this.#hold(piece);
        const line = this.#held.subarray(0, this.#length);
        this.#length = 0;
        onLine(line);
      }
      start = end + 1;
    }
  }

  #hold(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (length > this.#held.length) {
      const larger = Buffer.alloc(Math.min(this.#limit, Math.max(256, 2 * length)));
      this.#held.copy(larger, 0, 0, this.#length);
      this.#held = larger;
    }
    piece.copy(this.#held, this.#length);
    this.#length = length;
  }
}
