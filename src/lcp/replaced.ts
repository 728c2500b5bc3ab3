// Replaced: prefixes with an entry that was overwritten by a notice soon after a dump.
//
// A dump shows already what notices on their way will tell. A replacement among those overwrites what the dump left
// in that place, perhaps a shadow; and when its own end is told next, the shadow would be lost. So for a while it
// is remembered by which devices the overwritten entries left, and they are read again when the replacement goes.

/** How long after a dump notices may be older than it: they wait in a queue or in the socket. */
export const LATE_MS = 1000;

export class Replaced {
  readonly #devices = new Map<number, Set<number>>();
  /** Until when replacements are remembered, ms of performance.now(). */
  #until = 0;

  dumped(now: number): void {
    this.#until = now + LATE_MS;
  }

  /** Whether a notice may be older than a dump. */
  isLate(now: number): boolean {
    return now <= this.#until;
  }

  /** A notice overwrites an entry of the record that left by these devices; none: it named none. */
  note(record: number, ifindexes: readonly number[], now: number): void {
    if (!this.isLate(now)) {
      this.#devices.clear();
      return;
    }
    // a set: a prefix may be replaced a hundred thousand times in that while
    const devices = this.#devices.get(record) ?? new Set<number>();
    for (const ifindex of ifindexes.length > 0 ? ifindexes : [0]) devices.add(ifindex);
    this.#devices.set(record, devices);
  }

  /** A notice ends an entry of the record: the devices to read again, 0 for all. */
  take(record: number): readonly number[] {
    if (this.#devices.size === 0) return [];
    const devices = [...(this.#devices.get(record) ?? [])];
    this.#devices.delete(record);
    return devices;
  }
}
