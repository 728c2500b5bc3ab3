/**
 * VmPool: the pool of a kernel that has everything: beside the hosts of pairs, devices that stand on them or on
 * nothing, as ports with networks of their own; and the tables of VRFs and rules.
 *
 * Invariants: port n has 10.0.n.0/24 and fd00:n::/64 whatever device it is. Ports from `hosts` on may not exist at the
 * moment; what names them is then refused.
 */
import { Pool } from './churnpool.ts';
import type { Random } from './random.ts';

export interface Vlan {
  readonly name: string;
  /** Name of the VLAN device below, or number of the host below. */
  readonly lower: string | number;
  readonly protocol: '802.1Q' | '802.1ad';
  readonly id: number;
}

/** dot1q, dot1ad, QinQ, QinAD, one tag too many, and a tag of another host. */
export const vlans: readonly Vlan[] = [
  { name: 'q100', lower: 0, protocol: '802.1Q', id: 100 },
  { name: 'ad200', lower: 1, protocol: '802.1ad', id: 200 },
  { name: 'qq7', lower: 'q100', protocol: '802.1Q', id: 7 },
  { name: 'adq7', lower: 'ad200', protocol: '802.1Q', id: 7 },
  { name: 'qqq9', lower: 'qq7', protocol: '802.1Q', id: 9 },
  { name: 'q300', lower: 2, protocol: '802.1Q', id: 300 },
];

/** VRF devices and their tables. */
export const vrfs: readonly { readonly name: string; readonly table: number }[] = [
  { name: 'red', table: 100 },
  { name: 'blue', table: 101 },
  { name: 'green', table: 102 },
  { name: 'gold', table: 103 },
];

/** Table that plain rules and rules with `iif` lead to: with VRF, local, main and default as many as a lookup has. */
export const ruleTable = 77;

/** Devices that no packet of a pair passes. */
export const plainDevices = ['d0', 'bond0', 'm0', 'br0', 'gre7'] as const;

const names: readonly string[] = [...vlans.map((v) => v.name), ...plainDevices];

export class VmPool extends Pool {
  constructor(random: Random, hosts: number, unpaired: readonly string[] = []) {
    super(random, hosts, unpaired);
  }

  /** Mostly the host of a pair, else any other device. */
  override port(): number {
    const r = this.random;
    return r.chance(75) ? r.below(this.ports) : this.ports + r.below(names.length);
  }

  /** The host of a pair. */
  host(): number {
    return this.random.below(this.ports);
  }

  override dev(port = this.port()): string {
    return names[port - this.ports] ?? super.dev(port);
  }

  /** No other name: Linux 6.1 renames devices that are down only; see churndevices.ts. */
  override rename(port: number): [string, string] {
    return [this.dev(port), this.dev(port)];
  }

  /** Gives a host its other name, from now on; [old, new]. */
  renameHost(port: number): [string, string] {
    return super.rename(port);
  }

  override table(): string {
    const r = this.random;
    if (!r.chance(40)) return '';
    return ` table ${r.pick([...vrfs.map((v) => v.table), ...vrfs.map((v) => v.table), ruleTable, 253, 1000])}`;
  }

  vrf(): { readonly name: string; readonly table: number } {
    return this.random.pick(vrfs);
  }

  /** Port of a device that is no host of a pair. */
  portOf(name: string): number {
    return this.ports + names.indexOf(name);
  }

  /** Gives a port its addresses back, as whoever moves a device does. */
  addresses(port: number): string[] {
    const dev = this.dev(port);
    return [`address replace 10.0.${port}.1/24 dev ${dev}`, `address replace fd00:${port}::1/64 dev ${dev}`];
  }
}

/** The operations below are about such a pool only. */
export function vmPool(pool: Pool): VmPool {
  if (!(pool instanceof VmPool)) throw new Error('operations on VRFs, VLANs and labels need their own pool');
  return pool;
}
