// Layer 3 of interconnects: tables, addresses, borrowed addresses, MTU, DHCP client, state.
//
// Invariants: VPP moves no interface with addresses to another table, and a subnet's first address is its source: what is wrong is taken
// off from there on and given again, tables first, addresses in their order. An address of the DHCP client is VPP's own business, and so are
// link-local ones. Reference: VPP's src/vnet/ip/ip_api.c, interface_api.c, src/plugins/dhcp/client.c.

import type { Family } from '../lcp/objects.ts';
import type { Interconnect } from '../lcp/puntobjects.ts';
import { LcpError } from '../lib/errors.ts';
import { formatIp, parsePrefix } from '../lib/ip.ts';
import { isLinkLocal } from './address.ts';
import { dhcpClientConfig, dhcpClientDump } from './api/dhcp.ts';
import {
  swInterfaceAddDelAddress,
  swInterfaceGetTable,
  swInterfaceSetFlags,
  swInterfaceSetMtu,
  swInterfaceSetTable,
  swInterfaceSetUnnumbered,
} from './api/interface.ts';
import { ifStatusFlags } from './api/interfacetypes.ts';
import { ipAddressDump, ipUnnumberedDump } from './api/ip.ts';
import type { VppClient } from './client.ts';
import type { Interface } from './interfaces.ts';
import type { PuntContext } from './puntparts.ts';

const FAMILIES: readonly Family[] = [4, 6];
const HOSTNAME = 'lcpd';
/** MTU of VPP's interfaces by themselves. */
export const OWN_MTU = 9000;
const { IF_STATUS_API_FLAG_ADMIN_UP: UP } = ifStatusFlags.values;

/** Layer 3 as VPP has it, by its numbers. */
export interface Layer3 {
  /** 'address/length', in VPP's order. */
  readonly addresses: readonly string[];
  readonly tables: Readonly<Record<Family, number>>;
  readonly lender: number | undefined;
  readonly dhcpClient: boolean;
}

const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4);

/** Addresses of an interface in VPP's order, link-local ones excepted. */
export async function readAddresses(client: VppClient, sw_if_index: number): Promise<string[]> {
  const rows = await Promise.all([false, true].map((is_ipv6) => client.dump(ipAddressDump, { sw_if_index, is_ipv6 })));
  const texts = rows.flat().map(({ prefix }) => [formatIp(prefix.address), prefix.len] as const);
  return texts.flatMap(([address, length]) => (isLinkLocal(address) ? [] : [`${address}/${length}`]));
}

export async function readTable(client: VppClient, sw_if_index: number, family: Family): Promise<number> {
  return (await client.request(swInterfaceGetTable, { sw_if_index, is_ipv6: family === 6 })).vrf_id;
}

export class PuntLayer3 {
  readonly #at: PuntContext;

  constructor(at: PuntContext) {
    this.#at = at;
  }

  /** Why this VPP has no DHCP client, undefined when it has. */
  get noDhcp(): string | undefined {
    return this.#at.lacks('dhcp_plugin', dhcpClientConfig, dhcpClientDump);
  }

  async #leases(): Promise<Map<number, string>> {
    if (this.noDhcp !== undefined) return new Map();
    const rows = await this.#at.client.dump(dhcpClientDump, {});
    return new Map(
      rows.map(({ client, lease }) => [client.sw_if_index, `${formatIp(lease.host_address)}/${lease.mask_width}`]),
    );
  }

  async read(sw_if_index: number): Promise<Layer3> {
    const { client } = this.#at;
    const leases = await this.#leases();
    const lease = leases.get(sw_if_index);
    const borrowed = await client.dump(ipUnnumberedDump, { sw_if_index });
    const lender = borrowed.find((row) => row.sw_if_index === sw_if_index)?.ip_sw_if_index;
    const [four, six] = [await readTable(client, sw_if_index, 4), await readTable(client, sw_if_index, 6)];
    const addresses = await readAddresses(client, sw_if_index);
    return {
      // an unnumbered interface shows the addresses that it borrows
      addresses: lender === undefined ? addresses.filter((each) => each !== lease) : [],
      tables: { 4: four, 6: six },
      lender,
      dhcpClient: lease !== undefined,
    };
  }

  /** Whether only another interface can be in the tables that are wanted: VPP moves none that has addresses. */
  isElsewhere(of: Interconnect, has: Layer3): boolean {
    const wanted = this.#tables(of);
    return FAMILIES.some((family) => has.tables[family] !== wanted[family]);
  }

  /** Makes an interface what it should be; tables only where it is new. */
  async set(of: Interconnect, { ifindex, mtu, up }: Interface, isNew: boolean): Promise<void> {
    if (of.dhcpClient && this.noDhcp !== undefined)
      throw new LcpError('NOT_SUPPORTED', { op: 'punt', key: of.name, message: this.noDhcp });
    const lender = of.lender === '' ? undefined : this.#at.index(of.lender);
    const has = await this.read(ifindex);
    if (isNew) await this.#setTables(of, ifindex, has);
    if (has.lender !== undefined && has.lender !== lender) await this.#borrow(of.name, has.lender, ifindex, false);
    if (has.dhcpClient && !of.dhcpClient) await this.#dhcp(of.name, ifindex, false);
    for (const family of FAMILIES) {
      const there = has.addresses.filter((each) => familyOf(each) === family);
      const asked = of.addresses.filter((each) => familyOf(each) === family);
      const other = there.findIndex((each, n) => each !== asked[n]);
      const kept = other < 0 ? there.length : other;
      for (const each of there.slice(kept)) await this.#address(of.name, ifindex, each, false);
      for (const each of asked.slice(kept)) await this.#address(of.name, ifindex, each, true);
    }
    if (lender !== undefined && has.lender !== lender) await this.#borrow(of.name, lender, ifindex, true);
    const { client } = this.#at;
    const asked = of.mtu === 0 ? OWN_MTU : of.mtu;
    if (asked !== mtu) {
      const told = { sw_if_index: ifindex, mtu: [asked, 0, 0, 0] };
      await client.request(swInterfaceSetMtu, told, { key: of.name });
    }
    if (!up) await client.request(swInterfaceSetFlags, { sw_if_index: ifindex, flags: UP }, { key: of.name });
    if (of.dhcpClient && !has.dhcpClient) await this.#dhcp(of.name, ifindex, true);
  }

  async #setTables(of: Interconnect, ifindex: number, has: Layer3): Promise<void> {
    const wanted = this.#tables(of);
    for (const family of FAMILIES)
      if (has.tables[family] !== wanted[family]) await this.#table(of.name, ifindex, family, wanted[family]);
  }

  /** VPP's tables of an interconnect; one that only one family has is that family's alone. */
  #tables({ table, name }: Interconnect): Record<Family, number> {
    const at = this.#at;
    const [four, six] = FAMILIES.map((family) => at.tableOf(family, table));
    if (four === undefined && six === undefined)
      throw new LcpError('REFUSED', { op: 'punt', key: name, message: `VPP has no table ${table}` });
    return { 4: four ?? 0, 6: six ?? 0 };
  }

  /** Takes off what would keep an interface from going, or stay for the next one of its index. */
  async clear(name: string, sw_if_index: number): Promise<void> {
    const { lender, dhcpClient } = await this.read(sw_if_index);
    if (dhcpClient) await this.#dhcp(name, sw_if_index, false);
    if (lender !== undefined) await this.#borrow(name, lender, sw_if_index, false);
  }

  async #borrow(key: string, lender: number, borrower: number, is_add: boolean): Promise<void> {
    // VPP's names say it the other way round
    const told = { sw_if_index: lender, unnumbered_sw_if_index: borrower, is_add };
    await this.#at.client.request(swInterfaceSetUnnumbered, told, { key });
  }

  async #address(key: string, sw_if_index: number, text: string, is_add: boolean): Promise<void> {
    const prefix = parsePrefix(text);
    if (prefix === undefined)
      throw new LcpError('REFUSED', { op: 'punt', key, message: `${text} is no address with a length` });
    const told = { sw_if_index, is_add, del_all: false, prefix: { address: prefix.bytes, len: prefix.length } };
    await this.#at.client.request(swInterfaceAddDelAddress, told, { key });
  }

  async #table(key: string, sw_if_index: number, family: Family, vrf_id: number): Promise<void> {
    await this.#at.client.request(swInterfaceSetTable, { sw_if_index, is_ipv6: family === 6, vrf_id }, { key });
  }

  async #dhcp(key: string, sw_if_index: number, is_add: boolean): Promise<void> {
    const client = { sw_if_index, hostname: HOSTNAME, set_broadcast_flag: true, pid: process.pid };
    await this.#at.client.request(dhcpClientConfig, { is_add, client }, { key });
  }
}
