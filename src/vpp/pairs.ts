// Pairs: phys joined with their hosts by linux_cp.
//
// Invariants: VPP is asked what it has, and the answer is the cache. A host that linux_cp made lives as long as its pair:
// a pair whose phy is gone has lost its host too. A pair is ours when its host says so by the alias 'lcpd PHY', and
// any other one is taken over when the core asks for the same. With the backend `attach`, for labs without
// /dev/vhost-net, the host is a kernel interface that VPP has opened already, as host-NAME, and linux_cp_unittest joins it.
// Reference: VPP's src/plugins/linux-cp/lcp_interface.c, lcp_api.c.

import { statSync } from 'node:fs';
import type { HeldObject, LinkControl, OperationResult } from '../lcp/dataplane.ts';
import type { Pair } from '../lcp/objects.ts';
import { LcpError, messageOf } from '../lib/errors.ts';
import { swInterfaceSetFlags } from './api/interface.ts';
import { ifStatusFlags } from './api/interfacetypes.ts';
import { lcpDefaultNsGet, lcpItfHostType, lcpItfPairGet, lcpItfPairGetV2 } from './api/lcp.ts';
import { cliInband } from './api/vpe.ts';
import type { VppClient } from './client.ts';
import type { Interfaces } from './interfaces.ts';
import { NO_INTERFACE } from './interfaces.ts';
import type { MessageValue } from './message.ts';
import type { PairBackend } from './session.ts';
import { pairAddDel, requestVariant } from './variants.ts';

const { LCP_API_ITF_HOST_TAP: TAP, LCP_API_ITF_HOST_TUN: TUN } = lcpItfHostType.values;
const ALIAS = 'lcpd ';

export interface PairOptions {
  readonly backend: PairBackend;
  /** Namespaces that hosts may be in. */
  readonly namespaces: readonly string[];
  /** Index of a kernel interface by its name, for the backend `attach`. */
  readonly ifindexOf: (netns: string, name: string) => number | undefined;
}

type Row = MessageValue<typeof lcpItfPairGet.details>;

export class Pairs {
  readonly #client: VppClient;
  readonly #interfaces: Interfaces;
  readonly #links: LinkControl;
  readonly #options: PairOptions;
  /** By sw_if_index of the phy, sub-interfaces included. */
  #rows = new Map<number, Row>();
  /** What the core asked for, with the index of the host. */
  readonly #asked = new Map<string, { readonly pair: Pair; readonly host: number }>();

  constructor(client: VppClient, interfaces: Interfaces, links: LinkControl, options: PairOptions) {
    this.#client = client;
    this.#interfaces = interfaces;
    this.#links = links;
    this.#options = options;
  }

  async read(): Promise<void> {
    const rows =
      this.#client.unsupported(lcpItfPairGetV2) === undefined
        ? await this.#client.dump(lcpItfPairGetV2, { cursor: NO_INTERFACE, sw_if_index: NO_INTERFACE })
        : await this.#client.dump(lcpItfPairGet, { cursor: NO_INTERFACE });
    this.#rows = new Map(rows.map((row) => [row.phy_sw_if_index, row]));
  }

  /** An interface has gone from VPP; linux_cp lets the pair go with it. */
  gone(ifindex: number): void {
    this.#rows.delete(ifindex);
  }

  /** The pair of a phy or sub-interface, by its sw_if_index. */
  row(ifindex: number): Row | undefined {
    return this.#rows.get(ifindex);
  }

  /** Whether a phy has a pair. */
  has(phy: string): boolean {
    const found = this.#interfaces.byName(phy);
    return found !== undefined && this.#rows.has(found.ifindex);
  }

  /** Where the kernel has the host of a phy, of a pair of ours. */
  host(phy: string): { readonly netns: string; readonly ifindex: number } | undefined {
    const row = this.#rows.get(this.#interfaces.byName(phy)?.ifindex ?? NO_INTERFACE);
    const found = row === undefined ? undefined : (this.#asked.get(phy) ?? this.#recognised(phy, row));
    return found && { netns: found.pair.netns, ifindex: found.host };
  }

  /** Hosts with their phys, both by sw_if_index, sub-interfaces included. */
  hosts(): Map<number, number> {
    return new Map([...this.#rows].map(([phy, { host_sw_if_index }]) => [host_sw_if_index, phy]));
  }

  /** sw_if_indices of the phys that have pairs, sub-interfaces included. */
  paired(): Iterable<number> {
    return this.#rows.keys();
  }

  /** The pairs that are ours. */
  held(): HeldObject[] {
    const held: HeldObject[] = [];
    for (const row of this.#rows.values()) {
      const phy = this.#interfaces.get(row.phy_sw_if_index);
      if (phy === undefined || phy.parent !== phy.ifindex) continue;
      const found = this.#asked.get(phy.name) ?? this.#recognised(phy.name, row);
      if (found !== undefined) held.push({ object: { ...found.pair, phyIfindex: phy.ifindex }, handle: found.host });
    }
    return held;
  }

  /** A pair of an earlier lcpd: its host has our alias. */
  #recognised(phy: string, row: Row): { pair: Pair; host: number } | undefined {
    const isAttached = this.#options.backend === 'attach';
    const candidates = isAttached ? this.#options.namespaces : [row.netns];
    const netns = candidates.find((name) => this.#links.nameOf(name, ALIAS + phy) !== undefined);
    if (netns === undefined) return undefined;
    const host = isAttached ? this.#attachedName(row) : row.host_if_name;
    const ifindex = isAttached ? this.#options.ifindexOf(netns, host) : row.vif_index;
    if (ifindex === undefined) return undefined;
    const type = row.host_if_type === TUN ? 'tun' : 'tap';
    const netnsId = this.#identity(netns);
    const pair: Pair = { kind: 'pair', phy, phyIfindex: row.phy_sw_if_index, host, netns, netnsId, type };
    this.#asked.set(phy, { pair, host: ifindex });
    return { pair, host: ifindex };
  }

  #attachedName(row: Row): string {
    return (this.#interfaces.get(row.host_sw_if_index)?.name ?? '').replace(/^host-/, '');
  }

  /** "dev:ino" of a namespace, '' when it is gone. */
  #identity(netns: string): string {
    try {
      const { dev, ino } = statSync(this.#links.netnsPath(netns));
      return `${dev}:${ino}`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return '';
    }
  }

  /** Makes a pair; what differs from what is there is made anew, after `clear` has removed what is on it. */
  async set(pair: Pair, held: number, clear: () => Promise<void>): Promise<OperationResult> {
    const phy = this.#interfaces.byName(pair.phy);
    if (pair.phyIfindex === 0) return { ok: true, handle: held };
    if (phy === undefined || phy.ifindex !== pair.phyIfindex) {
      throw new LcpError('PHY_GONE', { op: 'make pair', key: pair.phy, message: `VPP has no interface ${pair.phy}` });
    }
    const asked = this.#asked.get(pair.phy);
    const row = this.#rows.get(phy.ifindex);
    // linux_cp itself does not mind
    if ([...this.#rows.values()].some(({ host_sw_if_index }) => host_sw_if_index === phy.ifindex)) {
      throw new LcpError('PORT_REFUSED', {
        op: 'make pair',
        key: pair.phy,
        message: `${pair.phy} is the host of another pair`,
      });
    }
    if (row !== undefined) {
      const host = this.#options.backend === 'attach' ? this.#attachedName(row) : row.host_if_name;
      const isSame = host === pair.host && (this.#options.backend === 'attach' || this.#isMade(row, pair));
      if (isSame && (asked === undefined || asked.pair.netnsId === pair.netnsId)) return this.#adorned(pair, row);
      await clear();
      await this.#remove(phy.ifindex, row, pair.phy);
    }
    await this.#make(pair, phy.ifindex);
    await this.read();
    await this.#interfaces.refresh();
    const made = this.#rows.get(phy.ifindex);
    if (made === undefined)
      throw new LcpError('REFUSED', { op: 'make pair', key: pair.phy, message: 'VPP does not show it' });
    return this.#adorned(pair, made);
  }

  /** Whether linux_cp made this very pair and its host is still there. */
  #isMade(row: Row, pair: Pair): boolean {
    const type = row.host_if_type === TUN ? 'tun' : 'tap';
    return row.netns === pair.netns && type === pair.type && this.#links.get(pair.netns, row.vif_index) !== undefined;
  }

  /** linux_cp takes no namespace for its default one, and lcpd for its own. */
  async #checkNamespace({ netns, phy }: Pair): Promise<void> {
    if (netns !== '' || this.#client.unsupported(lcpDefaultNsGet) !== undefined) return;
    const { netns: preset } = await this.#client.request(lcpDefaultNsGet, {});
    if (preset === '') return;
    throw new LcpError('HOST_DEVICE', {
      op: 'make pair',
      key: phy,
      message: `VPP would make the host in its default namespace ${preset}`,
      hint: `say netns: ${preset} for the pair, or take \`default netns\` out of linux-cp {} of VPP's startup.conf`,
    });
  }

  async #make(pair: Pair, ifindex: number): Promise<void> {
    if (this.#options.backend === 'attach') {
      await this.attach(pair.phy, `host-${pair.host}`);
      return;
    }
    await this.#checkNamespace(pair);
    await this.#addDel(true, ifindex, pair.host, pair.netns, pair.type === 'tun' ? TUN : TAP, pair.phy);
  }

  async #addDel(
    is_add: boolean,
    ifindex: number,
    host: string,
    netns: string,
    type: number,
    key: string,
  ): Promise<void> {
    const input = { is_add, sw_if_index: ifindex, host_if_name: host, host_if_type: type, netns };
    try {
      await requestVariant(this.#client, pairAddDel, input, { key });
    } catch (error) {
      if (!(error instanceof LcpError) || error.retval === undefined) throw error;
      const hint = is_add
        ? "check that VPP may open /dev/net/tun and /dev/vhost-net (modprobe vhost_net), that the namespace exists and that the host's name is free there"
        : error.hint;
      throw new LcpError('HOST_DEVICE', {
        op: is_add ? 'make pair' : 'remove pair',
        key,
        message: messageOf(error),
        hint,
        cause: error,
      });
    }
  }

  /** Joins two interfaces of VPP, by its test plugin, and puts the host's up, as linux_cp does with those it makes. */
  async attach(phy: string, host: string): Promise<void> {
    const side = this.#interfaces.byName(host);
    if (side === undefined) {
      throw new LcpError('HOST_DEVICE', {
        op: 'attach pair',
        key: phy,
        message: `VPP has no interface ${host}`,
        hint: 'with pair-backend: attach, VPP must have opened the host by `create host-interface name HOST`',
      });
    }
    const { reply } = await this.#client.request(
      cliInband,
      { cmd: `test lcp add phy ${phy} host ${host}` },
      { key: phy },
    );
    if (reply.trim() !== '') throw new LcpError('HOST_DEVICE', { op: 'attach pair', key: phy, message: reply.trim() });
    const up = { sw_if_index: side.ifindex, flags: ifStatusFlags.values.IF_STATUS_API_FLAG_ADMIN_UP };
    await this.#client.request(swInterfaceSetFlags, up, { key: host });
  }

  /** Says on the host whose it is; gives its index. */
  async #adorned(pair: Pair, row: Row): Promise<OperationResult> {
    const isAttached = this.#options.backend === 'attach';
    const host = isAttached ? this.#options.ifindexOf(pair.netns, pair.host) : row.vif_index;
    if (host === undefined) {
      const message = `no interface ${pair.host} in namespace ${pair.netns || 'of lcpd'}`;
      throw new LcpError('HOST_DEVICE', { op: 'attach pair', key: pair.phy, message });
    }
    const alias = ALIAS + pair.phy;
    if (this.#links.nameOf(pair.netns, alias) === undefined) await this.#links.set(pair.netns, host, { alias });
    this.#asked.set(pair.phy, { pair, host });
    return { ok: true, handle: host };
  }

  async delete(pair: Pair): Promise<OperationResult> {
    const phy = this.#interfaces.byName(pair.phy);
    const row = phy === undefined ? undefined : this.#rows.get(phy.ifindex);
    if (phy !== undefined && row !== undefined) await this.#remove(phy.ifindex, row, pair.phy);
    this.#asked.delete(pair.phy);
    return { ok: true };
  }

  async #remove(ifindex: number, row: Row, phy: string): Promise<void> {
    if (this.#options.backend === 'attach') {
      const { reply } = await this.#client.request(cliInband, { cmd: `test lcp del phy ${phy}` }, { key: phy });
      if (reply.trim() !== '')
        throw new LcpError('HOST_DEVICE', { op: 'detach pair', key: phy, message: reply.trim() });
    } else {
      await this.#addDel(false, ifindex, row.host_if_name, row.netns, row.host_if_type, phy);
    }
    this.#rows.delete(ifindex);
    await this.#interfaces.refresh();
  }

  /**
   * Joins a sub-interface with the VLAN device that stands for it, so that its packets are punted there. `hostSide` makes
   * the host's sub-interface where linux_cp does not, and gives its name.
   */
  async setSub(
    ifindex: number,
    name: string,
    host: string,
    netns: string,
    hostSide: () => Promise<string>,
  ): Promise<void> {
    const row = this.#rows.get(ifindex);
    const isAttached = this.#options.backend === 'attach';
    if (row !== undefined && (isAttached || row.host_if_name === host)) return;
    if (row !== undefined) await this.#remove(ifindex, row, name);
    if (isAttached) await this.attach(this.#interfaces.get(ifindex)?.name ?? name, await hostSide());
    else await this.#addDel(true, ifindex, host, netns, TAP, name);
    await this.read();
  }

  /** Lets the pair of a sub-interface go. */
  async deleteSub(ifindex: number, name: string): Promise<void> {
    const row = this.#rows.get(ifindex);
    if (row !== undefined) await this.#remove(ifindex, row, this.#interfaces.get(ifindex)?.name ?? name);
  }
}
