// Mroutes: entries of the kernel's multicast forwarding cache, in VPP's multicast tables.
//
// Invariants: VPP keeps one entry of the source API for a source and group, and shows no source of it: ours are told by
// the preference of their paths, which forwards nothing. A request adds paths or removes them, so that a change is
// what differs. What comes in elsewhere is dropped by VPP, and no packet of it reaches the kernel. A request without
// paths must never be sent: VPP counts them down from none. Reference: VPP's src/vnet/ip/ip_api.c, mroute_add_del_handler.

import type { HeldObject, OperationResult } from '../lcp/dataplane.ts';
import type { Family, Mroute } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { formatIp, ipBytes } from '../lib/ip.ts';
import { addressFamily } from './address.ts';
import { fibPathNhProto, fibPathType } from './api/fibtypes.ts';
import { mfibItfFlags } from './api/mfibtypes.ts';
import { ipMrouteAddDel, ipMrouteDump } from './api/mroute.ts';
import type { VppClient } from './client.ts';
import { NO_INTERFACE } from './interfaces.ts';
import type { Subifs } from './subifs.ts';
import type { Tables } from './tables.ts';

/** Preference of paths that are ours. */
const MARK = 77;
const { MFIB_API_ITF_FLAG_ACCEPT: ACCEPT, MFIB_API_ITF_FLAG_FORWARD: FORWARD } = mfibItfFlags.values;
const { FIB_API_PATH_TYPE_LOCAL: LOCAL, FIB_API_PATH_TYPE_NORMAL: NORMAL } = fibPathType.values;

/** What becomes of packets by each interface: flags by sw_if_index, NO_INTERFACE is the host. */
type Ways = Map<number, number>;

interface Entry {
  readonly table: number;
  readonly family: Family;
  readonly source: string;
  readonly group: string;
  readonly ways: Ways;
}

const groupBits = (family: Family): number => (family === 6 ? 128 : 32);
const zero = (family: Family): string => (family === 6 ? '::' : '0.0.0.0');
const keyOf = (table: number, source: string, group: string): string => `${table} ${source} ${group}`;

export class Mroutes {
  readonly #client: VppClient;
  readonly #subifs: Subifs;
  readonly #tables: Tables;
  /** The VPP table of an interface. */
  readonly #tableOf: (ifindex: number, family: Family) => Promise<number>;
  readonly #entries = new Map<string, Entry>();

  constructor(
    client: VppClient,
    subifs: Subifs,
    tables: Tables,
    tableOf: (ifindex: number, family: Family) => Promise<number>,
  ) {
    this.#client = client;
    this.#subifs = subifs;
    this.#tables = tables;
    this.#tableOf = tableOf;
  }

  /** Reads those that are ours. */
  async read(): Promise<void> {
    this.#entries.clear();
    for (const home of this.#tables.homes()) {
      if (home.family !== 4 && home.family !== 6) continue;
      const table = { table_id: home.vpp, is_ip6: home.family === 6, name: '' };
      for (const { route } of await this.#client.dump(ipMrouteDump, { table })) {
        const { prefix, paths } = route;
        const size = home.family === 6 ? 16 : 4;
        const ours = paths.filter(({ path }) => path.preference === MARK);
        if (ours.length === 0) continue;
        const source = formatIp(prefix.src_address, 0, size);
        const group = formatIp(prefix.grp_address, 0, size);
        const ways = new Map(ours.map(({ path, itf_flags }) => [path.sw_if_index, itf_flags]));
        const shown = source === zero(home.family) ? '' : source;
        this.#entries.set(keyOf(home.vpp, shown, group), {
          table: home.vpp,
          family: home.family,
          source: shown,
          group,
          ways,
        });
      }
    }
  }

  held(): HeldObject[] {
    return [...this.#entries.values()].flatMap(({ family, source, group, ways }) => {
      const phys = (flag: number) =>
        [...ways]
          .filter(([ifindex, flags]) => ifindex !== NO_INTERFACE && (flags & flag) !== 0)
          .map(([ifindex]) => this.#subifs.name(ifindex))
          .filter((phy) => phy !== undefined);
      const [phy] = phys(ACCEPT);
      const host = ways.has(NO_INTERFACE);
      return phy === undefined
        ? []
        : [{ object: { kind: 'mroute', phy, family, source, group, out: phys(FORWARD), host } }];
    });
  }

  #index(phy: string): number {
    const ifindex = this.#subifs.interface(phy)?.ifindex;
    if (ifindex !== undefined && this.#subifs.isUsable(phy)) return ifindex;
    throw new LcpError('PORT_REFUSED', { op: 'set multicast entry', key: phy, message: `${phy} has no pair` });
  }

  async set(m: Mroute): Promise<OperationResult> {
    const input = this.#index(m.phy);
    const wanted: Ways = new Map([[input, ACCEPT]]);
    for (const phy of m.out) {
      const index = this.#index(phy);
      wanted.set(index, (wanted.get(index) ?? 0) | FORWARD);
    }
    if (m.host) wanted.set(NO_INTERFACE, FORWARD);
    const table = await this.#tableOf(input, m.family);
    const key = keyOf(table, m.source, m.group);
    const before: Ways = this.#entries.get(key)?.ways ?? new Map();
    const other = (from: Ways, than: Ways): Ways =>
      new Map([...from].filter(([index, flags]) => than.get(index) !== flags));
    const added = other(wanted, before);
    const gone: Ways = new Map([...before].filter(([index]) => !wanted.has(index)));
    if (added.size > 0) await this.#request(table, m, added, true);
    if (gone.size > 0) await this.#request(table, m, gone, false);
    this.#entries.set(key, { table, family: m.family, source: m.source, group: m.group, ways: wanted });
    return { ok: true };
  }

  async delete(m: Mroute): Promise<OperationResult> {
    for (const [key, { table, source, group, ways }] of [...this.#entries]) {
      const isInput = [...ways].some(([index, flags]) => (flags & ACCEPT) !== 0 && this.#subifs.name(index) === m.phy);
      if (source !== m.source || group !== m.group || !isInput) continue;
      await this.#request(table, m, ways, false);
      this.#entries.delete(key);
    }
    return { ok: true };
  }

  async #request(table_id: number, { family, source, group }: Mroute, ways: Ways, is_add: boolean): Promise<void> {
    const { FIB_API_PATH_NH_PROTO_IP4: ip4, FIB_API_PATH_NH_PROTO_IP6: ip6 } = fibPathNhProto.values;
    const paths = [...ways].map(([sw_if_index, itf_flags]) => ({
      itf_flags,
      path: {
        sw_if_index,
        weight: 1,
        preference: MARK,
        type: sw_if_index === NO_INTERFACE ? LOCAL : NORMAL,
        proto: family === 6 ? ip6 : ip4,
        nh: {},
        label_stack: [],
      },
    }));
    const prefix = {
      af: family === 6 ? addressFamily.values.ADDRESS_IP6 : addressFamily.values.ADDRESS_IP4,
      grp_address_length: groupBits(family) * (source === '' ? 1 : 2),
      grp_address: ipBytes(group),
      src_address: ipBytes(source === '' ? zero(family) : source),
    };
    const route = { table_id, entry_flags: 0, rpf_id: 0, prefix, n_paths: paths.length, paths };
    await this.#client.request(
      ipMrouteAddDel,
      { is_add, is_multipath: true, route },
      { key: `${source || '*'} ${group}` },
    );
  }
}
