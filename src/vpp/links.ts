// Links: what follows the host: state, MTU, MAC and tables of VPP's interfaces.
//
// Invariants: only what differs from what VPP shows is sent. The table of an interface changes without its addresses, which are
// taken off and put back. A host that belongs to a bridge or bond gets every frame: phy and host are cross-connected.
// Carrier follows the phy by linux_cp itself. Reference: VPP's src/vnet/interface_api.c, src/vnet/l2/l2_input.c.

import type { OperationResult } from '../lcp/dataplane.ts';
import type { Family, Link } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import type { Addresses } from './addresses.ts';
import * as itf from './api/interface.ts';
import { ifStatusFlags } from './api/interfacetypes.ts';
import { mplsInterfaceDump, swInterfaceSetMplsEnable } from './api/mpls.ts';
import { l2XconnectDump, swInterfaceSetL2Xconnect } from './api/xconnect.ts';
import type { Bindings } from './bindings.ts';
import type { VppClient } from './client.ts';
import type { Interface, Interfaces } from './interfaces.ts';
import { macBytes, NO_INTERFACE } from './interfaces.ts';
import { dropIp4, takeIp4 } from './ip4.ts';
import type { Leaks } from './leaks.ts';
import type { Macs } from './macs.ts';
import type { Neighbours } from './neighbours.ts';
import type { Pairs } from './pairs.ts';
import type { Subifs } from './subifs.ts';
import type { Home } from './tables.ts';

const FAMILIES: readonly Family[] = [4, 6];

export interface LinkParts {
  readonly client: VppClient;
  readonly interfaces: Interfaces;
  readonly pairs: Pairs;
  readonly subifs: Subifs;
  readonly addresses: Addresses;
  readonly bindings: Bindings;
  readonly macs: Macs;
  readonly neighbours: Neighbours;
  readonly leaks: Leaks;
  /** VPP table in which everything is punted. */
  readonly puntTable: number;
  /** Key of the table that labels are looked up in by every interface. */
  readonly labelTable: string;
}

export class Links {
  readonly #of: LinkParts;
  /** VPP tables of interfaces, by family and sw_if_index. */
  readonly #tables = new Map<string, number>();
  #labelled = new Set<number>();
  #crossed = new Set<number>();

  constructor(parts: LinkParts) {
    this.#of = parts;
  }

  /** Reads which interfaces take labels and which are cross-connected. */
  async read(): Promise<void> {
    const { client } = this.#of;
    this.#tables.clear();
    const has = (message: typeof mplsInterfaceDump | typeof l2XconnectDump) =>
      client.unsupported(message) === undefined;
    const labelled = has(mplsInterfaceDump) ? await client.dump(mplsInterfaceDump, { sw_if_index: NO_INTERFACE }) : [];
    this.#labelled = new Set(labelled.map(({ sw_if_index }) => sw_if_index));
    const crossed = has(l2XconnectDump) ? await client.dump(l2XconnectDump, {}) : [];
    this.#crossed = new Set(crossed.map(({ rx_sw_if_index }) => rx_sw_if_index));
  }

  async set(link: Link): Promise<OperationResult> {
    const { subifs, pairs, interfaces } = this.#of;
    const found = subifs.interface(link.phy);
    const isSub = found !== undefined && found.parent !== found.ifindex;
    if (found === undefined || isSub !== (link.parent !== '') || !subifs.isUsable(link.phy)) {
      throw new LcpError('PORT_REFUSED', { op: 'set link', key: link.phy, message: `${link.phy} has no pair` });
    }
    // one that could not be used when the batch began
    if (!this.#of.bindings.isWished(link)) {
      this.#of.bindings.wish(link);
      await this.#of.bindings.settle(new Set([link.phy]));
    }
    if (!isSub) await this.#hardware(found, link);
    await this.#of.macs.want(found.ifindex, 'host', link.macs);
    await this.#state(found, link);
    // After its state, and while it is up: linux_cp gives the VLAN device the state that the sub-interface has, and one
    // that goes down loses what it has. One that is down needs no pair yet.
    if (isSub && link.up)
      await pairs.setSub(found.ifindex, link.phy, link.host, link.netns, () => subifs.hostSide(found));
    await this.#bind(found, 4, link);
    await this.#bind(found, 6, link);
    await this.#labels(found, link);
    await takeIp4(this.#of.client, found.ifindex, link.phy);
    await this.#cross(found, link.phy, link.l2);
    await interfaces.refresh();
    return { ok: true };
  }

  /** MAC and MTU of a phy. */
  async #hardware({ ifindex: sw_if_index, mac, hardwareMtu }: Interface, link: Link): Promise<void> {
    const { client } = this.#of;
    const options = { key: link.phy };
    if (link.mac !== '' && mac !== '' && link.mac !== mac)
      await client.request(itf.swInterfaceSetMacAddress, { sw_if_index, mac_address: macBytes(link.mac) }, options);
    if (link.phyMtu > hardwareMtu)
      await client.request(itf.hwInterfaceSetMtu, { sw_if_index, mtu: link.phyMtu }, options);
  }

  async #state({ ifindex: sw_if_index, mtu, up }: Interface, link: Link): Promise<void> {
    const { client, addresses } = this.#of;
    const options = { key: link.phy };
    if (link.mtu !== mtu)
      await client.request(itf.swInterfaceSetMtu, { sw_if_index, mtu: [link.mtu, 0, 0, 0] }, options);
    const flags = link.up ? ifStatusFlags.values.IF_STATUS_API_FLAG_ADMIN_UP : 0;
    if (link.up === up) return;
    await this.#still(sw_if_index, link.phy, 4, () =>
      this.#still(sw_if_index, link.phy, 6, async () => {
        await client.request(itf.swInterfaceSetFlags, { sw_if_index, flags }, options);
      }),
    );
    if (link.up) await addresses.started(sw_if_index);
  }

  /** Does something to an interface that stays in its table, while that is the only one with its neighbours. */
  async #still(sw_if_index: number, phy: string, family: Family, act: () => Promise<void>): Promise<void> {
    const table = await this.tableOf(sw_if_index, family);
    await this.#of.leaks.without(phy, family, table, table, act);
  }

  /** The VPP table that an interface is in, as far as it is known. */
  knownTable(sw_if_index: number, family: Family): number | undefined {
    return this.#tables.get(`${family} ${sw_if_index}`);
  }

  /** Takes the VPP table that an interface is in now. */
  foundTable(sw_if_index: number, family: Family, vrf_id: number): void {
    this.#tables.set(`${family} ${sw_if_index}`, vrf_id);
  }

  /** The VPP table that an interface is in. */
  async tableOf(sw_if_index: number, family: Family): Promise<number> {
    const key = `${family} ${sw_if_index}`;
    const known = this.#tables.get(key);
    if (known !== undefined) return known;
    const { vrf_id } = await this.#of.client.request(itf.swInterfaceGetTable, { sw_if_index, is_ipv6: family === 6 });
    this.#tables.set(key, vrf_id);
    return vrf_id;
  }

  async #bind({ ifindex }: Interface, family: Family, link: Link): Promise<void> {
    const { bindings } = this.#of;
    const home = bindings.homeFor(link.phy, family === 4 ? link.lookup4 : link.lookup6, family);
    await this.#putInto(ifindex, family, link.phy, home);
  }

  /** Puts an interface that is bound already into another home. */
  async move(phy: string, family: Family, home: Home): Promise<void> {
    const found = this.#of.subifs.interface(phy);
    if (found !== undefined) await this.#putInto(found.ifindex, family, phy, home);
  }

  async #putInto(sw_if_index: number, family: Family, phy: string, home: Home | undefined): Promise<void> {
    const { bindings, addresses, neighbours, leaks, client, puntTable } = this.#of;
    // one that is looked up in nothing is the kernel's: its packets are punted
    const vrf_id = home?.vpp ?? puntTable;
    const before = await this.tableOf(sw_if_index, family);
    if (before !== vrf_id) {
      const move = async () => {
        await client.request(itf.swInterfaceSetTable, { sw_if_index, is_ipv6: family === 6, vrf_id }, { key: phy });
      };
      const moveBare = () => addresses.without(sw_if_index, family, vrf_id, move);
      await leaks.without(phy, family, before, vrf_id, moveBare);
      this.#tables.set(`${family} ${sw_if_index}`, vrf_id);
      // they went with the addresses
      await neighbours.again(phy);
    } else (await addresses.had(sw_if_index)).tables[family] = vrf_id;
    await bindings.bound(phy, family, home);
  }

  /** Whether some interface is in a home. */
  async isInhabited({ family, vpp }: Home): Promise<boolean> {
    if (family !== 4 && family !== 6) return false;
    for (const { ifindex } of [...this.#of.interfaces.all()])
      if ((await this.tableOf(ifindex, family)) === vpp) return true;
    return false;
  }

  async #labels({ ifindex: sw_if_index }: Interface, link: Link): Promise<void> {
    const [labels] = link.lookupMpls;
    const enable = labels !== undefined;
    if (enable && labels !== this.#of.labelTable) {
      throw new LcpError('NOT_SUPPORTED', {
        op: 'bind labels',
        key: link.phy,
        message: `VPP's interfaces have one label table, which is ${this.#of.labelTable}`,
      });
    }
    if (this.#labelled.has(sw_if_index) === enable) return;
    await this.#of.client.request(swInterfaceSetMplsEnable, { sw_if_index, enable }, { key: link.phy });
    if (enable) this.#labelled.add(sw_if_index);
    else this.#labelled.delete(sw_if_index);
  }

  /** Joins phy and host of a bridge's or bond's port, or parts them. */
  async #cross({ ifindex }: Interface, phy: string, enable: boolean): Promise<void> {
    if (this.#crossed.has(ifindex) === enable) return;
    const { client, pairs } = this.#of;
    const host = pairs.row(ifindex)?.host_sw_if_index;
    if (host === undefined) return;
    for (const [rx_sw_if_index, tx_sw_if_index] of [[ifindex, host] as const, [host, ifindex] as const]) {
      await client.request(swInterfaceSetL2Xconnect, { rx_sw_if_index, tx_sw_if_index, enable }, { key: phy });
    }
    if (enable) this.#crossed.add(ifindex);
    else this.#crossed.delete(ifindex);
  }

  /** An interface has gone from VPP: the next one of its number is as VPP makes it. */
  gone(ifindex: number): void {
    for (const family of FAMILIES) this.#tables.delete(`${family} ${ifindex}`);
    this.#labelled.delete(ifindex);
    this.#crossed.delete(ifindex);
  }

  /** The pair of an interface ends: its table is VPP's main one again, and it is as VPP has it by itself. */
  async forget(phy: string): Promise<void> {
    const { subifs, addresses, bindings, leaks, client, macs } = this.#of;
    const found = subifs.interface(phy);
    if (found !== undefined) {
      const { ifindex: sw_if_index } = found;
      await addresses.forget(sw_if_index);
      await macs.want(sw_if_index, 'host', []);
      await dropIp4(client, sw_if_index, phy);
      for (const family of FAMILIES) {
        const table = await this.tableOf(sw_if_index, family);
        const message = { sw_if_index, is_ipv6: family === 6, vrf_id: 0 };
        if (table !== 0)
          await leaks.without(phy, family, table, 0, () =>
            client.request(itf.swInterfaceSetTable, message, { key: phy }),
          );
        this.#tables.delete(`${family} ${sw_if_index}`);
      }
      if (this.#labelled.delete(sw_if_index))
        await client.request(swInterfaceSetMplsEnable, { sw_if_index, enable: false }, { key: phy });
      await this.#cross(found, phy, false);
    }
    await bindings.forget(phy);
  }
}
