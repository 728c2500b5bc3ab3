// Twins: IPv6 routes that are equal in everything, which `replace` makes when another one gives way to the like of one
// that is there (fib6_add_rt2node looks for duplicates only where it adds).
//
// A dump shows both; but a dump that goes on after a change of the tree may also show a route a second time
// (fib6_dump_table), which is then in another datagram. Within one datagram the table does not change: what is
// shown twice there is there twice.

export class Twins {
  #part = 0;
  readonly #shown = new Set<number>();

  /** Entry e is shown in datagram `part` of a dump. */
  show(e: number, part: number): void {
    this.#turn(part);
    this.#shown.add(e);
  }

  /** Whether the datagram has shown entry e before. */
  has(e: number, part: number): boolean {
    this.#turn(part);
    return this.#shown.has(e);
  }

  #turn(part: number): void {
    if (part === this.#part) return;
    this.#part = part;
    this.#shown.clear();
  }
}
