/**
 * What a fake VPP forwards by: entries of its tables, each of the best of its sources. Beside the routes that it was told
 * these are what VPP has by itself: defaults, its own addresses and the prefixes of these, neighbours below on-link prefixes
 * (of another source and without their paths where the interface is in another table). What VPP shows of paths is less than it was told, as VPP's is.
 */
import { fibSourceAdd, fibSourceDump } from '../../../src/vpp/api/fib.ts';
import { swInterfaceSetTable } from '../../../src/vpp/api/interface.ts';
import * as ip from '../../../src/vpp/api/ip.ts';
import * as route from '../../../src/vpp/api/route.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import type { FibPath } from '../../../src/vpp/routebatch.ts';
import type { FakeInterface, FakeState, Outcome, Values } from './fakestate.ts';
import { ERROR, hex, refused } from './fakestate.ts';

type Route = MessageValue<typeof route.ipRouteAddDelV2>['route'];
type Prefix = Route['prefix'];

/** VPP's own sources: name, id and priority. */
const OWN = [
  ['special', 1, 0],
  ['classify', 2, 1],
  ['proxy', 3, 2],
  ['interface', 4, 3],
  ['API', 8, 128],
  ['CLI', 9, 129],
  ['adjacency', 15, 208],
  ['attached_export', 17, 240],
  ['recursive-resolution', 18, 251],
  ['urpf-exempt', 19, 252],
  ['default-route', 20, 253],
] as const;
const SPECIAL = 1;
const INTERFACE = 4;
const API = 8;
const ADJACENCY = 15;
const BROUGHT = 17;
const DEFAULT_ROUTE = 20;
const NONE = 0xffff_ffff;
const LOCAL = 1;
const DROP = 2;
/** VPP refuses to move an interface that has addresses of the family. */
const HAS_ADDRESSES = -135;

/** The sources of one prefix. */
interface Entry {
  readonly prefix: Prefix;
  readonly paths: Map<number, readonly FibPath[]>;
}

export function masked(address: Uint8Array, length: number): Uint8Array {
  return address.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))) & 0xff);
}

const full = (address: Uint8Array): number => address.length * 8;

function path(address: Uint8Array, more: Partial<FibPath>): FibPath {
  const nh = { address: new Uint8Array(16), via_label: 0, obj_id: 0, classify_table_index: 0 };
  const label = { is_uniform: 0, label: 0, ttl: 0, exp: 0 };
  return {
    sw_if_index: NONE,
    table_id: 0,
    rpf_id: 0,
    weight: 1,
    preference: 0,
    type: 0,
    flags: 0,
    proto: address.length === 16 ? 1 : 0,
    nh,
    n_labels: 0,
    label_stack: Array.from({ length: 16 }, () => label),
    ...more,
  };
}

/** Paths as VPP shows them: one that is local makes all of them local, and nobody learns which labels are uniform. */
function shown(paths: readonly FibPath[]): FibPath[] {
  const isLocal = paths.some(({ type }) => type === LOCAL);
  return paths.map((each) => ({
    ...each,
    type: isLocal ? LOCAL : each.type,
    label_stack: each.label_stack.map((label) => ({ ...label, is_uniform: 0 })),
  }));
}

class Table {
  readonly #entries = new Map<string, Entry>();

  add({ address, len }: Prefix, source: number, paths: readonly FibPath[]): void {
    const prefix = { address: masked(address, len), len };
    const key = `${hex(prefix.address)}/${len}`;
    // as in VPP, an entry is shown with the address that it was made by
    const entry = this.#entries.get(key) ?? { prefix: { address, len }, paths: new Map() };
    this.#entries.set(key, entry);
    entry.paths.set(source, paths);
  }

  all(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  /** Entries that cover an address with at most some bits, the most specific first. */
  covering(address: Uint8Array, most: number): readonly Entry[] {
    return this.all()
      .filter(({ prefix }) => prefix.len <= most && prefix.address.length === address.length)
      .filter(({ prefix }) => hex(masked(address, prefix.len)) === hex(masked(prefix.address, prefix.len)))
      .sort((a, b) => b.prefix.len - a.prefix.len);
  }
}

export function addEntryRules(state: FakeState): void {
  const added: { id: number; name: string; priority: number }[] = [];
  const rankOf = (source: number): number => {
    const own = OWN.find(([, id]) => id === source)?.[2];
    const slot = added.findIndex(({ id }) => id === source);
    return own !== undefined ? own * 1000 : (added[slot]?.priority ?? 999) * 1000 + slot + 1;
  };
  const bestOf = ({ paths }: Entry): number => [...paths.keys()].sort((a, b) => rankOf(a) - rankOf(b))[0] as number;

  const isIn = (of: FakeInterface, six: boolean, table: number): boolean => (six ? of.table6 : of.table4) === table;
  const addInterfaces = (into: Table, six: boolean, table: number): void => {
    for (const each of state.interfaces.values()) {
      if (!isIn(each, six, table)) continue;
      for (const { address, len } of each.addresses.values()) {
        if ((address.length === 16) !== six) continue;
        into.add({ address, len: full(address) }, INTERFACE, [path(address, { type: LOCAL })]);
        const isUp = (each.flags & 1) !== 0;
        if (len < full(address) && isUp)
          into.add({ address, len }, INTERFACE, [path(address, { sw_if_index: each.sw_if_index })]);
      }
    }
  };
  /** Neighbours are entries where what covers them is on-link by the same interface. */
  const addNeighbours = (into: Table, six: boolean, table: number): void => {
    type Told = { sw_if_index: number; ip_address: Uint8Array };
    for (const { sw_if_index, ip_address } of state.neighbors.values() as Iterable<Told>) {
      if ((ip_address.length === 16) !== six) continue;
      const [cover] = into.covering(ip_address, full(ip_address) - 1);
      const best = cover === undefined ? 0 : bestOf(cover);
      const paths = cover?.paths.get(best) ?? [];
      if (![API, INTERFACE].includes(best) || !paths.some((each) => each.sw_if_index === sw_if_index)) continue;
      const owner = state.interfaces.get(sw_if_index);
      if (owner === undefined || !isIn(owner, six, table)) {
        into.add({ address: ip_address, len: full(ip_address) }, BROUGHT, [path(ip_address, {})]);
        continue;
      }
      const nh = { ...path(ip_address, {}).nh, address: Uint8Array.from({ length: 16 }, (_, i) => ip_address[i] ?? 0) };
      into.add({ address: ip_address, len: full(ip_address) }, ADJACENCY, [path(ip_address, { sw_if_index, nh })]);
    }
  };
  const tableOf = (six: boolean, id: number): Table => {
    const table = new Table();
    const zero = new Uint8Array(six ? 16 : 4);
    table.add({ address: zero, len: 0 }, DEFAULT_ROUTE, [path(zero, { type: DROP })]);
    const broadcast = Uint8Array.of(255, 255, 255, 255);
    if (!six) table.add({ address: broadcast, len: 32 }, DEFAULT_ROUTE, [path(zero, { type: DROP })]);
    const special: Prefix[] = six
      ? [{ address: Uint8Array.from({ length: 16 }, (_, i) => [0xfe, 0x80][i] ?? 0), len: 10 }]
      : [
          { address: zero, len: 32 },
          { address: Uint8Array.of(224, 0, 0, 0), len: 4 },
          { address: Uint8Array.of(240, 0, 0, 0), len: 4 },
        ];
    for (const prefix of special) table.add(prefix, SPECIAL, [path(zero, { type: DROP })]);
    for (const told of state.routes.values() as Iterable<Route>) {
      if (told.table_id === id && (told.prefix.address.length === 16) === six)
        table.add(told.prefix, told.src, told.paths);
    }
    addInterfaces(table, six, id);
    addNeighbours(table, six, id);
    return table;
  };
  const rowOf = (table_id: number, entry: Entry): Values => {
    const src = bestOf(entry);
    const paths = shown(entry.paths.get(src) ?? []);
    return { route: { table_id, stats_index: 1, prefix: entry.prefix, src, n_paths: paths.length, paths } };
  };

  state.rule(fibSourceAdd, ({ src }: MessageValue<typeof fibSourceAdd>) => {
    // As VPP: a name that is there already gets another number.
    const id = 23 + added.length;
    added.push({ ...src, id });
    state.sources.set(id, { ...src, id });
    return { reply: { id } };
  });
  state.rule(fibSourceDump, () => ({
    rows: [...OWN.map(([name, id, priority]) => ({ name, id, priority })), ...added].map((src) => ({ src })),
  }));
  state.rule(route.ipRouteV2Dump, ({ table, src }: MessageValue<typeof route.ipRouteV2Dump>) => ({
    rows: tableOf(table.is_ip6, table.table_id)
      .all()
      .filter((entry) => src === 0 || bestOf(entry) === src)
      .map((entry) => rowOf(table.table_id, entry)),
  }));
  state.rule(
    route.ipRouteLookupV2,
    ({ table_id, exact, prefix }: MessageValue<typeof route.ipRouteLookupV2>): Outcome => {
      const six = prefix.address.length === 16;
      if (!state.tables.has(`${six ? 6 : 4}:${table_id}`)) return refused(ERROR.fib);
      const [best] = tableOf(six, table_id).covering(prefix.address, prefix.len);
      if (best === undefined || (exact !== 0 && best.prefix.len !== prefix.len)) return refused(ERROR.entry);
      return { reply: rowOf(table_id, best) };
    },
  );
  addTableRules(state);
}

/** A table ends with its routes, and an interface does not move with its addresses. */
function addTableRules(state: FakeState): void {
  type Add = Pick<MessageValue<typeof ip.ipTableAddDelV2>, 'is_add' | 'table'>;
  const addDel = ({ is_add, table }: Add): Outcome => {
    const family = table.is_ip6 ? 6 : 4;
    const key = `${family}:${table.table_id}`;
    const name = table.name === '' ? `ipv${family}-VRF:${table.table_id}` : table.name;
    if (is_add) state.tables.set(key, state.tables.get(key) ?? name);
    else if (table.table_id !== 0) {
      state.tables.delete(key);
      for (const [at, told] of state.routes as Map<string, unknown> as Map<string, Route>) {
        if (told.table_id === table.table_id && (told.prefix.address.length === 16) === table.is_ip6)
          state.routes.delete(at);
      }
    }
    return {};
  };
  state.rule(ip.ipTableAddDel, addDel);
  state.rule(ip.ipTableAddDelV2, addDel);
  state.rule(
    swInterfaceSetTable,
    ({ sw_if_index, is_ipv6, vrf_id }: MessageValue<typeof swInterfaceSetTable>): Outcome => {
      const found = state.interfaces.get(sw_if_index);
      if (found === undefined) return refused(ERROR.interface);
      if (!state.tables.has(`${is_ipv6 ? 6 : 4}:${vrf_id}`)) return refused(ERROR.fib);
      const has = [...found.addresses.values()].some(({ address }) => (address.length === 16) === is_ipv6);
      if (has) return refused(HAS_ADDRESSES);
      if (is_ipv6) found.table6 = vrf_id;
      else found.table4 = vrf_id;
      return {};
    },
  );
}
