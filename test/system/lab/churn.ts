/**
 * Churn: random operations on the tables of a namespace, as lines for `ip -force -batch`.
 *
 * Invariants: prefixes come from a small nested pool, so that operations meet the same route again, cover it and
 * uncover it. Lines may be refused by the kernel (a gateway that is not reachable, a route that is not there): what it
 * then holds is right by definition. Nothing leaves by a device other than e0 … eN.
 */
import type { Random } from './random.ts';

export class Churn {
  readonly #random: Random;
  readonly #ports: number;

  constructor(random: Random, ports: number) {
    this.#random = random;
    this.#ports = ports;
  }

  /** Nexthop objects to begin with, so that the first routes have some to refer to. */
  nexthops(): string[] {
    const lines: string[] = [];
    for (const [six, first] of [
      [false, 1],
      [true, 11],
    ] as const) {
      for (let n = 0; n < 6; n++) {
        const port = n % this.#ports;
        lines.push(`nexthop replace id ${first + n} via ${this.#gateway(six, port)} dev e${port}`);
      }
      for (let n = 0; n < 6; n++)
        lines.push(`nexthop replace id ${first + 20 + n} group ${first + n},2/${first + ((n + 1) % 6)}`);
    }
    return lines;
  }

  batch(length: number): string[] {
    return Array.from({ length }, () => this.#line());
  }

  #line(): string {
    switch (this.#random.weighted({ route: 70, nexthop: 10, address: 8, neighbour: 8, link: 4 })) {
      case 'route':
        return this.#route();
      case 'nexthop':
        return this.#nexthop();
      case 'address':
        return this.#address();
      case 'neighbour':
        return this.#neighbour();
      case 'link':
        return `link set ${this.#dev()} ${this.#random.chance(30) ? 'down' : 'up'}`;
    }
  }

  #port(): number {
    return this.#random.below(this.#ports);
  }

  #dev(): string {
    return `e${this.#port()}`;
  }

  #prefix(six: boolean): string {
    const r = this.#random;
    if (r.chance(3)) return six ? '::/0' : '0.0.0.0/0';
    if (six) {
      const length = r.pick([32, 40, 48, 56, 64, 64, 96, 127, 128]);
      const words = [0x2001, 0xdb8, r.below(2) << 15, r.below(3) << 6, 0, 0, 0, r.below(4)];
      // Bits beyond the length would be refused.
      const kept = words.map((word, i) => {
        const bits = Math.min(16, Math.max(0, length - 16 * i));
        return word & ((0xffff << (16 - bits)) & 0xffff);
      });
      return `${kept.map((word) => word.toString(16)).join(':')}/${length}`;
    }
    const length = r.pick([8, 9, 12, 16, 20, 23, 24, 24, 24, 25, 30, 31, 32, 32]);
    const value = ((100 << 24) | (r.below(3) << 22) | (r.below(3) << 15) | (r.below(3) << 8) | r.below(8)) >>> 0;
    const masked = length === 32 ? value : (value & (-1 << (32 - length))) >>> 0;
    return `${[24, 16, 8, 0].map((shift) => (masked >>> shift) & 255).join('.')}/${length}`;
  }

  #gateway(six: boolean, port = this.#port()): string {
    const last = this.#random.between(2, 5);
    return six ? `fd00:${port}::${last}` : `10.0.${port}.${last}`;
  }

  /** One leg without its weight. */
  #leg(six: boolean): string {
    const r = this.#random;
    const port = this.#port();
    if (!six && r.chance(10)) return `via inet6 fd00:${port}::${r.between(2, 4)} dev e${port}`;
    return r.chance(15) ? `dev e${port}` : `via ${this.#gateway(six, port)}${r.chance(70) ? ` dev e${port}` : ''}`;
  }

  #route(): string {
    const r = this.#random;
    const six = r.chance(45);
    const prefix = this.#prefix(six);
    const metric = r.chance(35) ? ` metric ${r.pick([10, 20, 100, 1024])}` : '';
    // Table 253 (default) is the one that follows main in the rules of IPv4; 100 is in no rule.
    const table = r.chance(12) ? ` table ${r.pick([100, 253])}` : '';
    const verb = r.weighted({ add: 30, replace: 30, append: 12, prepend: 4, change: 4, del: 20 });
    if (verb === 'del' && r.chance(60)) return `route del ${prefix}${metric}${table}`;
    const head = `route ${verb}`;
    const beside = verb === 'append' || verb === 'prepend';
    // IPv6 beside equal keys: gateways only. Anything else may come to lie between the legs of a multipath route, where
    // the kernel finds it when the legs before it are dead, but shows it to nobody (fib6_dump_node).
    if (beside && six) return `${head} ${prefix} via ${this.#gateway(six)}${metric}${table}`;
    // Of equal IPv4 default routes the kernel takes one whose gateway answered lately (fib_select_default).
    if (beside && prefix === '0.0.0.0/0') return `route replace ${prefix} ${this.#leg(six)}${metric}${table}`;
    switch (r.weighted({ leg: 55, multipath: 20, special: 15, nhid: 10 })) {
      case 'leg':
        return `${head} ${prefix} ${this.#leg(six)}${metric}${table}${r.chance(10) ? ' onlink' : ''}${r.chance(10) ? ' mtu 1400' : ''}`;
      case 'multipath': {
        const legs = Array.from(
          { length: r.between(2, 4) },
          () => ` nexthop ${this.#leg(six)} weight ${r.between(1, 4)}`,
        );
        return `${head} ${prefix}${metric}${table}${legs.join('')}`;
      }
      case 'special':
        return `${head} ${r.pick(['blackhole', 'unreachable', 'prohibit', 'throw'])} ${prefix}${metric}${table}`;
      case 'nhid':
        return `${head} ${prefix} nhid ${this.#nexthopId(six, r.chance(40))}${metric}${table}`;
    }
  }

  /** Ids 1.. are IPv4, 11.. IPv6; from 21 groups of IPv4, from 31 groups of IPv6. */
  #nexthopId(six: boolean, group: boolean): number {
    return this.#random.between(1, 6) + (six ? 10 : 0) + (group ? 20 : 0);
  }

  #nexthop(): string {
    const r = this.#random;
    const six = r.chance(45);
    const group = r.chance(30);
    const id = this.#nexthopId(six, group);
    if (r.chance(25)) return `nexthop del id ${id}`;
    if (group) {
      const members = new Set(Array.from({ length: r.between(1, 3) }, () => this.#nexthopId(six, false)));
      return `nexthop replace id ${id} group ${[...members].map((m) => `${m},${r.between(1, 3)}`).join('/')}`;
    }
    // Of IPv4: iproute2 takes the family of a blackhole from a word that a batch line cannot have.
    if (!six && r.chance(10)) return `nexthop replace id ${id} blackhole`;
    const port = this.#port();
    return `nexthop replace id ${id} via ${this.#gateway(six, port)} dev e${port}`;
  }

  #address(): string {
    const r = this.#random;
    const port = this.#port();
    const six = r.chance(45);
    const address = six
      ? r.pick([
          `fd00:${port}::${r.between(6, 9)}/64`,
          `2001:db8:0:${(r.below(3) << 6).toString(16)}::${r.below(4)}/64`,
          `fd00:${port}::a/128`,
        ])
      : r.pick([
          `10.0.${port}.${r.between(6, 9)}/24`,
          `100.${r.below(3) << 6}.0.${r.between(1, 4)}/24`,
          `10.0.${port}.20/32`,
        ]);
    return `address ${r.chance(60) ? 'replace' : 'del'} ${address} dev e${port}`;
  }

  #neighbour(): string {
    const r = this.#random;
    const port = this.#port();
    const address = this.#gateway(r.chance(45), port);
    if (r.chance(30)) return `neighbour del ${address} dev e${port}`;
    const mac = `02:00:00:00:0${port}:${r.between(10, 99)}`;
    return `neighbour replace ${address} lladdr ${mac} dev e${port} nud ${r.pick(['permanent', 'reachable', 'stale', 'noarp'])}`;
  }
}
