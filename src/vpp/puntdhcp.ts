// DHCP relays: DHCP of the clients in a table goes to a server, with VPP's address as its source.
//
// Invariants: the servers of a table share one source, that of the first, so that another source takes the place of all of ours, and is
// refused beside a server of somebody else's. VPP makes tables that are not there: only those that are there are
// asked for. Whose a relay is VPP does not tell: memory does. Reference: VPP's src/plugins/dhcp/dhcp_proxy.c.

import type { Family } from '../lcp/objects.ts';
import type { DhcpProxy } from '../lcp/puntobjects.ts';
import { formatIp, ipBytes, parseIp } from '../lib/ip.ts';
import { dhcpProxyConfig, dhcpProxyDump } from './api/dhcp.ts';
import { conflict, type PuntContext, type PuntPart } from './puntparts.ts';

const FAMILIES: readonly Family[] = [4, 6];

/** One server of a table, by VPP's numbers. */
interface Entry {
  readonly family: Family;
  readonly table: number;
  readonly serverTable: number;
  readonly server: string;
  readonly source: string;
}

export class PuntDhcp implements PuntPart<'dhcp-proxy'> {
  readonly feature = 'dhcp-proxy';
  readonly #at: PuntContext;

  constructor(at: PuntContext) {
    this.#at = at;
  }

  async #entries(family: Family): Promise<Entry[]> {
    const rows = await this.#at.client.dump(dhcpProxyDump, { is_ip6: family === 6 });
    const text = ({ un }: { un: Uint8Array }) => formatIp(un, 0, family === 6 ? 16 : 4);
    return rows.flatMap((row) =>
      row.servers.map(({ server_vrf_id, dhcp_server }) => ({
        family,
        table: row.rx_vrf_id,
        serverTable: server_vrf_id,
        server: text(dhcp_server),
        source: text(row.dhcp_src_address),
      })),
    );
  }

  #entry({ family, table, serverTable, server, source }: DhcpProxy): Entry {
    const at = this.#at;
    return { family, table: at.table(family, table), serverTable: at.table(family, serverTable), server, source };
  }

  async #tell(is_add: boolean, { table, serverTable, server, source }: Entry): Promise<void> {
    const told = {
      rx_vrf_id: table,
      server_vrf_id: serverTable,
      is_add,
      dhcp_server: ipBytes(server),
      dhcp_src_address: ipBytes(source),
    };
    await this.#at.client.request(dhcpProxyConfig, told, { key: server });
  }

  #isOurs(entry: Entry): boolean {
    return this.#at.memory.of('dhcp-proxy').some((known) => this.#is(entry, known));
  }

  #is(entry: Entry, known: DhcpProxy): boolean {
    const at = this.#at;
    if (entry.family !== known.family || entry.server !== known.server || entry.source !== known.source) return false;
    const [table, server] = [at.tableOf(known.family, known.table), at.tableOf(known.family, known.serverTable)];
    return entry.table === table && entry.serverTable === server;
  }

  async set(punt: DhcpProxy): Promise<void> {
    const length = punt.family === 6 ? 16 : 4;
    for (const text of [punt.server, punt.source]) {
      const bytes = parseIp(text);
      if (bytes?.length !== length || bytes.every((byte) => byte === 0))
        throw conflict(punt, `${text} is no address of a server or relay`, 'correct the address');
    }
    const wanted = this.#entry(punt);
    const beside = (await this.#entries(punt.family)).filter(({ table }) => table === wanted.table);
    const isThere = beside.some((each) => each.serverTable === wanted.serverTable && each.server === wanted.server);
    const others = beside.filter(({ source }) => source !== wanted.source);
    if (isThere && others.length === 0) return;
    if (others.some((each) => !this.#isOurs(each))) {
      const [first] = others;
      throw conflict(punt, `VPP relays DHCP of table ${punt.table} from ${first?.source}, by somebody else's wish`);
    }
    for (const each of others) await this.#tell(false, each);
    this.#at.memory.keep(punt);
    await this.#tell(true, wanted);
    // those that had to go with their source come back with this one
    for (const each of others)
      if (each.server !== wanted.server || each.serverTable !== wanted.serverTable)
        await this.#tell(true, { ...each, source: wanted.source });
  }

  async delete(punt: DhcpProxy): Promise<void> {
    const { memory } = this.#at;
    const known = memory.known(punt);
    if (known.length === 0) return;
    for (const each of await this.#entries(punt.family))
      if (known.some((one) => this.#is(each, one))) await this.#tell(false, each);
    memory.drop(punt);
  }

  async held(): Promise<DhcpProxy[]> {
    const known = this.#at.memory.of('dhcp-proxy');
    if (known.length === 0) return [];
    const entries = (await Promise.all(FAMILIES.map((family) => this.#entries(family)))).flat();
    return known.filter((punt) => entries.some((each) => this.#is(each, punt)));
  }
}
