/**
 * Pool: what random operations are about: few nested prefixes, gateways, addresses, nexthop ids and device names.
 *
 * Invariants: the pool is small, so that operations meet the same object again, cover it and uncover it. It knows the
 * names that devices have now, because devices are renamed. Nothing leaves by a device other than these.
 */
import { canonical } from './addresses.ts';
import type { Random } from './random.ts';

/** What an operation is made of, given the pool. */
export interface Operation {
  /** How often, beside the others. */
  readonly weight: number;
  /** What the kernel must have; see features.ts. Absent: any kernel. */
  readonly needs?: string;
  /** Lines for a script (script.ts): one, or some that belong together. */
  readonly lines: (pool: Pool) => string | readonly string[];
}

/** Routes, addresses and neighbours have a family. */
export type Six = boolean;

export class Pool {
  readonly random: Random;
  readonly ports: number;
  /** Present names: `eN`, and what they are renamed to. */
  readonly #renamed = new Set<number>();
  /** Devices that are no pairs: routes over them are the kernel's. */
  readonly unpaired: readonly string[];
  /**
   * Whether IPv4 routes may be ignored with link down; then none has an IPv6 gateway: the kernel does not mark such a
   * leg RTNH_F_LINKDOWN when it is added without carrier (fib_check_nh_v6_gw), so what it does depends on the past.
   */
  readonly linkdown4: boolean;

  constructor(random: Random, ports: number, unpaired: readonly string[] = []) {
    this.random = random;
    this.ports = ports;
    this.unpaired = unpaired;
    this.linkdown4 = random.chance(50);
  }

  port(): number {
    return this.random.below(this.ports);
  }

  /** The present name of a port's host device. */
  dev(port = this.port()): string {
    return this.#renamed.has(port) ? `uplink${port}` : `e${port}`;
  }

  /** Gives the device its other name, from now on; [old, new]. */
  rename(port: number): [string, string] {
    const old = this.dev(port);
    if (!this.#renamed.delete(port)) this.#renamed.add(port);
    return [old, this.dev(port)];
  }

  /** The hosts were made anew, with the names of the configuration. */
  forgetNames(): void {
    this.#renamed.clear();
  }

  prefix(six: Six): string {
    const r = this.random;
    if (r.chance(3)) return six ? '::/0' : '0.0.0.0/0';
    if (six) {
      const length = r.pick([32, 40, 48, 56, 64, 64, 96, 127, 128]);
      const words = [0x2001, 0xdb8, r.below(2) << 15, r.below(3) << 6, 0, 0, 0, r.below(4)];
      // Bits beyond the length would be refused.
      const kept = words.map((word, i) => {
        const bits = Math.min(16, Math.max(0, length - 16 * i));
        return word & ((0xffff << (16 - bits)) & 0xffff);
      });
      return `${canonical(kept.map((word) => word.toString(16)).join(':'))}/${length}`;
    }
    const length = r.pick([8, 9, 12, 16, 20, 23, 24, 24, 24, 25, 30, 31, 32, 32]);
    const value = ((100 << 24) | (r.below(3) << 22) | (r.below(3) << 15) | (r.below(3) << 8) | r.below(8)) >>> 0;
    const masked = length === 32 ? value : (value & (-1 << (32 - length))) >>> 0;
    return `${[24, 16, 8, 0].map((shift) => (masked >>> shift) & 255).join('.')}/${length}`;
  }

  /** A neighbour's address on a port: .2 is there, the others are not. */
  gateway(six: Six, port = this.port()): string {
    const last = this.random.between(2, 5);
    return six ? `fd00:${port}::${last}` : `10.0.${port}.${last}`;
  }

  /** An address of the router's own, perhaps not there at the moment. */
  own(six: Six, port = this.port()): string {
    const r = this.random;
    return six
      ? r.pick([`fd00:${port}::1`, `fd00:${port}::${r.between(6, 9)}`, `fd00:${port}::a`])
      : r.pick([`10.0.${port}.1`, `10.0.${port}.${r.between(6, 9)}`, `10.0.${port}.20`]);
  }

  /** Ids 1.. are IPv4, 11.. IPv6; from 21 groups of IPv4, from 31 groups of IPv6. */
  nexthopId(six: Six, group: boolean): number {
    return this.random.between(1, 6) + (six ? 10 : 0) + (group ? 20 : 0);
  }

  /** Table 253 (default) follows main in the rules of IPv4; 100 and 1000 are in no rule. */
  table(): string {
    const r = this.random;
    return r.chance(12) ? ` table ${r.pick([100, 253, 1000])}` : '';
  }

  six(): Six {
    return this.random.chance(45);
  }
}
