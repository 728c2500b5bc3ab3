// RateLimit: as many a second as said, and as many at once.

export class RateLimit {
  readonly #rate: number;
  #allowance: number;
  #at = performance.now();

  /** `rate` a second. */
  constructor(rate: number) {
    this.#rate = rate;
    this.#allowance = rate;
  }

  /** Whether another one may go now; it counts then. */
  take(): boolean {
    const now = performance.now();
    this.#allowance = Math.min(this.#rate, this.#allowance + ((now - this.#at) * this.#rate) / 1000);
    this.#at = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }
}
