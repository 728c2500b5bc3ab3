/**
 * The rules of a fake VPP for tables, sources and routes of IPv4, IPv6, MPLS and multicast.
 */
import { fibSourceAdd, fibSourceDump } from '../../../src/vpp/api/fib.ts';
import * as ip from '../../../src/vpp/api/ip.ts';
import * as mpls from '../../../src/vpp/api/mpls.ts';
import * as mroute from '../../../src/vpp/api/mroute.ts';
import * as route from '../../../src/vpp/api/route.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import type { FibPath } from '../../../src/vpp/routebatch.ts';
import type { FakeState, Outcome, Values } from './fakestate.ts';
import { ERROR, hex, refused } from './fakestate.ts';

type Route = MessageValue<typeof route.ipRouteAddDelV2>['route'];

/** Number of VPP's source API; what `src` 0 means. */
const SOURCE_API = 8;
/** Numbers of the first source that is added. */
const FIRST_SOURCE = 23;

const familyOf = (address: Uint8Array): number => (address.length === 16 ? 6 : 4);
/** Paths are one when all but weight and preference is the same. */
const pathKey = ({ weight: _weight, preference: _preference, ...rest }: FibPath): string =>
  JSON.stringify(rest, (_name, value: unknown) => (value instanceof Uint8Array ? hex(value) : value));

/** No weight is one. */
const weighed = (path: FibPath): FibPath => ({ ...path, weight: path.weight || 1 });

function applyRoute(state: FakeState, is_add: boolean, is_multipath: boolean, told: Route): Outcome {
  const { table_id, prefix } = told;
  const paths = told.paths.map(weighed);
  if (!state.tables.has(`${familyOf(prefix.address)}:${table_id}`)) return refused(ERROR.fib);
  if (is_add && paths.length === 0) return refused(-52);
  if (paths.some((path) => path.sw_if_index !== 0xffff_ffff && !state.interfaces.has(path.sw_if_index))) {
    return refused(-54);
  }
  const src = told.src === 0 ? SOURCE_API : told.src;
  const key = `${familyOf(prefix.address)}:${table_id} ${hex(prefix.address)}/${prefix.len} ${src}`;
  const there = state.routes.get(key) as Route | undefined;
  const named = new Set(paths.map(pathKey));
  const others = (there?.paths ?? []).filter((path) => !named.has(pathKey(path)));
  const next = is_multipath ? (is_add ? [...others, ...paths] : others) : is_add ? paths : [];
  if (next.length === 0) state.routes.delete(key);
  else state.routes.set(key, { ...told, src, n_paths: next.length, paths: next, stats_index: state.routes.size + 1 });
  return { reply: { stats_index: state.routes.size } };
}

/** Whether a prefix covers an address of its family. */
function covers(prefix: Route['prefix'], address: Uint8Array): boolean {
  if (prefix.address.length !== address.length) return false;
  for (let bit = 0; bit < prefix.len; bit++) {
    const mask = 0x80 >> (bit & 7);
    if (((prefix.address[bit >> 3] ?? 0) & mask) !== ((address[bit >> 3] ?? 0) & mask)) return false;
  }
  return true;
}

function lookup(state: FakeState, table: number, exact: number, prefix: Route['prefix']): Outcome {
  if (!state.tables.has(`${familyOf(prefix.address)}:${table}`)) return refused(ERROR.fib);
  const best = ([...state.routes.values()] as Route[])
    .filter((each) => each.table_id === table && covers(each.prefix, prefix.address))
    .filter((each) => (exact === 0 ? each.prefix.len <= prefix.len : each.prefix.len === prefix.len))
    .sort((a, b) => b.prefix.len - a.prefix.len)[0];
  return best === undefined ? refused(ERROR.entry) : { reply: { route: best } };
}

function addRoutes(state: FakeState): void {
  type V2 = MessageValue<typeof route.ipRouteAddDelV2>;
  state.rule(route.ipRouteAddDelV2, (input: V2) => applyRoute(state, input.is_add, input.is_multipath, input.route));
  state.rule(route.ipRouteAddDel, ({ is_add, is_multipath, route: told }: MessageValue<typeof route.ipRouteAddDel>) =>
    applyRoute(state, is_add, is_multipath, { ...told, src: 0 }),
  );
  const rows = (table: { table_id: number; is_ip6: boolean }, src: number): Values[] =>
    ([...state.routes.values()] as Route[])
      .filter((each) => each.table_id === table.table_id && (each.prefix.address.length === 16) === table.is_ip6)
      .filter((each) => src === 0 || each.src === src)
      .map((each) => ({ route: each }));
  state.rule(route.ipRouteDump, ({ table }: MessageValue<typeof route.ipRouteDump>) => ({ rows: rows(table, 0) }));
  state.rule(route.ipRouteV2Dump, ({ table, src }: MessageValue<typeof route.ipRouteV2Dump>) => ({
    rows: rows(table, src),
  }));
  for (const of of [route.ipRouteLookup, route.ipRouteLookupV2]) {
    state.rule(of, ({ table_id, exact, prefix }: MessageValue<typeof route.ipRouteLookupV2>) =>
      lookup(state, table_id, exact, prefix),
    );
  }
}

function addTables(state: FakeState): void {
  type Table = MessageValue<typeof ip.ipTableAddDelV2>;
  const addDel = ({ is_add, table }: Pick<Table, 'is_add' | 'table'>): Outcome => {
    const family = table.is_ip6 ? 6 : 4;
    const key = `${family}:${table.table_id}`;
    if (is_add) state.tables.set(key, table.name === '' ? `ipv${family}-VRF:${table.table_id}` : table.name);
    else if (table.table_id !== 0) state.tables.delete(key);
    return {};
  };
  state.rule(ip.ipTableAddDel, addDel);
  state.rule(ip.ipTableAddDelV2, addDel);
  state.rule(ip.ipTableDump, () => ({
    rows: [...state.tables].flatMap(([key, name]) => {
      const [family, id] = key.split(':');
      return family === 'mpls' ? [] : [{ table: { table_id: Number(id), is_ip6: family === '6', name } }];
    }),
  }));
  state.rule(fibSourceAdd, ({ src }: MessageValue<typeof fibSourceAdd>) => {
    // As VPP: a name that is there already gets another number.
    const id = FIRST_SOURCE + state.sources.size;
    state.sources.set(id, { ...src, id });
    return { reply: { id } };
  });
  state.rule(fibSourceDump, () => ({ rows: [...state.sources.values()].map((src) => ({ src })) }));
}

function addMpls(state: FakeState): void {
  state.rule(mpls.mplsTableAddDel, ({ mt_is_add, mt_table }: MessageValue<typeof mpls.mplsTableAddDel>) => {
    if (mt_is_add) state.tables.set(`mpls:${mt_table.mt_table_id}`, mt_table.mt_name);
    else state.tables.delete(`mpls:${mt_table.mt_table_id}`);
    return {};
  });
  state.rule(mpls.mplsRouteAddDel, ({ mr_is_add, mr_route }: MessageValue<typeof mpls.mplsRouteAddDel>) => {
    if (!state.tables.has(`mpls:${mr_route.mr_table_id}`)) return refused(ERROR.fib);
    const key = `${mr_route.mr_table_id} ${mr_route.mr_label} ${mr_route.mr_eos}`;
    if (mr_is_add) state.mplsRoutes.set(key, mr_route);
    else state.mplsRoutes.delete(key);
    return { reply: { stats_index: state.mplsRoutes.size } };
  });
  state.rule(mpls.mplsRouteDump, () => ({ rows: [...state.mplsRoutes.values()].map((each) => ({ mr_route: each })) }));
  state.rule(mpls.swInterfaceSetMplsEnable, (input: MessageValue<typeof mpls.swInterfaceSetMplsEnable>) => {
    const found = state.interfaces.get(input.sw_if_index);
    if (found === undefined) return refused(ERROR.interface);
    if (!state.tables.has('mpls:0')) return refused(ERROR.fib);
    found.mpls = Math.max(0, found.mpls + (input.enable ? 1 : -1));
    return {};
  });
  state.rule(mroute.ipMrouteAddDel, ({ is_add, route: told }: MessageValue<typeof mroute.ipMrouteAddDel>) => {
    const { prefix, table_id } = told;
    if (!state.tables.has(`${prefix.af === 1 ? 6 : 4}:${table_id}`)) return refused(ERROR.fib);
    const key = `${table_id} ${prefix.af} ${hex(prefix.src_address)} ${hex(prefix.grp_address)}/${prefix.grp_address_length}`;
    const paths = told.paths.map((each) => ({ ...each, path: weighed(each.path) }));
    if (is_add) state.mroutes.set(key, { ...told, paths });
    else state.mroutes.delete(key);
    return { reply: { stats_index: state.mroutes.size } };
  });
  state.rule(mroute.ipMrouteDump, () => ({ rows: [...state.mroutes.values()].map((each) => ({ route: each })) }));
}

export function addFibRules(state: FakeState): void {
  addTables(state);
  addRoutes(state);
  addMpls(state);
}
