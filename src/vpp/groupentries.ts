// GroupEntries: multicast entries by which packets to groups of the link reach the router itself in VPP, for ABX.
//
// Invariants: an interface accepts groups as those of pairs do (linkgroups.ts); one that is in a pair stays so. What a CNF sends from
// the IPv4 address of its lender VPP drops as spoofed, because it receives the address: it gets an entry for the address and the
// group that is looked up in a table of ours, where groups are received and sources are not. Such an entry is told by that table; it has
// one way only, because VPP's copies of a packet lose its Ethernet header. VPP's API does not find such a way again to remove it, so
// the entry is made and ended by VPP's commands, below what the API has of the same key. The kernel has none for groups of
// the link, so none is the mirror's. Reference: VPP's src/vnet/mfib, src/vnet/fib/fib_path.c, src/vnet/ip/ip4_forward.c.

import { isDeepStrictEqual } from 'node:util';
import type { Family } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { formatIp, ipBytes } from '../lib/ip.ts';
import { fibPathNhProto, fibPathType } from './api/fibtypes.ts';
import { ipTableDump } from './api/ip.ts';
import { mfibItfFlags } from './api/mfibtypes.ts';
import { ipMrouteDump } from './api/mroute.ts';
import { ipRouteAddDel } from './api/route.ts';
import { cliInband } from './api/vpe.ts';
import { type Interfaces, NO_INTERFACE } from './interfaces.ts';
import { acceptGroups, refuseGroups } from './linkgroups.ts';
import type { PuntContext } from './puntparts.ts';
import type { Tables } from './tables.ts';

const { MFIB_API_ITF_FLAG_ACCEPT: ACCEPT } = mfibItfFlags.values;
const { FIB_API_PATH_TYPE_LOCAL: LOCAL, FIB_API_PATH_TYPE_NORMAL: NORMAL } = fibPathType.values;
const BASE = { weight: 1, proto: fibPathNhProto.values.FIB_API_PATH_NH_PROTO_IP4, nh: {}, label_stack: [] };
/** VPP's local0. A source is valid where its route names any interface, also one that is down. */
const ANY_INTERFACE = 0;
/** What the table consists of. */
const ROUTES = [
  { prefix: { address: ipBytes('224.0.0.0'), len: 24 }, path: { ...BASE, type: LOCAL, sw_if_index: NO_INTERFACE } },
  { prefix: { address: ipBytes('0.0.0.0'), len: 0 }, path: { ...BASE, type: NORMAL, sw_if_index: ANY_INTERFACE } },
];

/** An interface that accepts groups of the link. */
export interface Accepting {
  readonly index: number;
  readonly table: number;
  readonly family: Family;
}

/** What comes in by interfaces from one source to one group. */
export interface FromOwn {
  readonly table: number;
  readonly source: string;
  readonly group: string;
  readonly inputs: ReadonlySet<number>;
}

export const acceptingKey = ({ index, table, family }: Accepting): string => `${index} ${table} ${family}`;
export const fromOwnKey = ({ table, source, group }: Omit<FromOwn, 'inputs'>): string => `${table} ${source} ${group}`;

export class GroupEntries {
  readonly #client: PuntContext['client'];
  readonly #tables: Tables;
  readonly #interfaces: Interfaces;
  /** What was told in this session. */
  readonly #accepting = new Map<string, Accepting>();
  readonly #own = new Map<string, FromOwn>();

  constructor({ client, tables, interfaces }: PuntContext) {
    this.#client = client;
    this.#tables = tables;
    this.#interfaces = interfaces;
  }

  /** Finds what an earlier lcpd left. */
  async read(): Promise<void> {
    this.#own.clear();
    const groups = this.#tables.groupTable();
    if (groups === undefined) return;
    for (const { table } of await this.#client.dump(ipTableDump, {})) {
      if (table.is_ip6) continue;
      for (const { route } of await this.#client.dump(ipMrouteDump, { table })) {
        const { prefix, paths } = route;
        if (!paths.some(({ path }) => path.sw_if_index === NO_INTERFACE && path.table_id === groups)) continue;
        const [source, group] = [
          formatIp(prefix.src_address.subarray(0, 4)),
          formatIp(prefix.grp_address.subarray(0, 4)),
        ];
        const inputs = paths.flatMap(({ itf_flags, path }) => ((itf_flags & ACCEPT) === 0 ? [] : [path.sw_if_index]));
        const entry = { table: table.table_id, source, group, inputs: new Set(inputs) };
        this.#own.set(fromOwnKey(entry), entry);
      }
    }
  }

  /** Makes them what they should be. isPaired: of interfaces that accept groups whatever punts there are. */
  async settle(
    accepting: readonly Accepting[],
    own: readonly FromOwn[],
    isPaired: (index: number) => boolean,
  ): Promise<void> {
    const wanted = new Map(accepting.map((each) => [acceptingKey(each), each]));
    for (const [key, each] of [...this.#accepting]) {
      if (wanted.has(key)) continue;
      if (!isPaired(each.index)) await refuseGroups(this.#client, each.index, each.table, each.family);
      this.#accepting.delete(key);
    }
    for (const [key, each] of wanted) {
      if (this.#accepting.has(key)) continue;
      await acceptGroups(this.#client, each.index, each.table, each.family);
      this.#accepting.set(key, each);
    }
    await this.#settleOwn(new Map(own.map((each) => [fromOwnKey(each), each])));
  }

  async #settleOwn(wanted: ReadonlyMap<string, FromOwn>): Promise<void> {
    const isSame = (key: string, { inputs }: FromOwn) =>
      isDeepStrictEqual(wanted.get(key)?.inputs ?? new Set(), inputs) && inputs.size > 0;
    for (const [key, entry] of [...this.#own]) {
      if (isSame(key, entry)) continue;
      await this.#command(`del ${nameOf(entry)}`);
      this.#own.delete(key);
    }
    if (wanted.size === 0) return this.#tables.dropGroups((vpp) => this.#routes(vpp, false));
    const table = await this.#tables.needGroups((vpp) => this.#routes(vpp, true));
    for (const [key, entry] of wanted) {
      if (this.#own.has(key)) continue;
      // what is there by half is known, too
      this.#own.set(key, { ...entry, inputs: new Set() });
      for (const index of entry.inputs) {
        const { name } = this.#interfaces.get(index) ?? {};
        if (name !== undefined) await this.#command(`add ${nameOf(entry)} via ${name} Accept`);
      }
      await this.#command(`add ${nameOf(entry)} via ip4-lookup-in-table ${table} Forward`);
      this.#own.set(key, entry);
    }
  }

  async #routes(table_id: number, is_add: boolean): Promise<void> {
    for (const { prefix, path } of ROUTES) {
      const route = { table_id, prefix, n_paths: 1, paths: [path] };
      await this.#client.request(ipRouteAddDel, { is_add, is_multipath: false, route }, { key: 'table groups' });
    }
  }

  /** A command tells by its words that it did not do it. */
  async #command(words: string): Promise<void> {
    const told = { cmd: `ip mroute ${words}` };
    const { retval, reply } = await this.#client.request(cliInband, told, { key: words, accept: [-1] });
    if (retval !== 0 || reply.trim() !== '')
      throw new LcpError('REFUSED', { op: 'multicast entry', key: words, message: reply.trim().slice(0, 200) });
  }
}

/** As VPP's commands name an entry. */
const nameOf = ({ table, source, group }: FromOwn): string => `table ${table} ${source} ${group}`;
