/**
 * The rules of a fake VPP for cross-connects and multicast tables.
 */
import { mplsInterfaceDump, mplsTableDump } from '../../../src/vpp/api/mpls.ts';
import { ipMrouteAddDel, ipMrouteDump } from '../../../src/vpp/api/mroute.ts';
import { swInterfaceIp6ndRaConfig } from '../../../src/vpp/api/proxy.ts';
import { l2XconnectDump, swInterfaceSetL2Xconnect } from '../../../src/vpp/api/xconnect.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import type { FakeState, Outcome, Values } from './fakestate.ts';
import { ERROR, hex, refused } from './fakestate.ts';

type Mroute = MessageValue<typeof ipMrouteAddDel>['route'];

/** Plugins of a VPP that is set up for lcpd. */
export const PLUGINS: readonly string[] = ['linux_cp_plugin.so', 'linux_cp_unittest_plugin.so', 'ping_plugin.so'];

export function addPluginRules(state: FakeState): void {
  state.rule(swInterfaceIp6ndRaConfig, ({ sw_if_index }: MessageValue<typeof swInterfaceIp6ndRaConfig>) =>
    state.interfaces.has(sw_if_index) ? {} : refused(ERROR.interface),
  );
  const { crossed } = state;
  state.rule(swInterfaceSetL2Xconnect, (input: MessageValue<typeof swInterfaceSetL2Xconnect>) => {
    const ends = input.enable ? [input.rx_sw_if_index, input.tx_sw_if_index] : [input.rx_sw_if_index];
    if (ends.some((end) => !state.interfaces.has(end))) return refused(ERROR.interface);
    if (input.enable) crossed.set(input.rx_sw_if_index, input.tx_sw_if_index);
    else crossed.delete(input.rx_sw_if_index);
    return {};
  });
  state.rule(l2XconnectDump, () => ({
    rows: [...crossed].map(([rx_sw_if_index, tx_sw_if_index]) => ({ rx_sw_if_index, tx_sw_if_index })),
  }));
  state.rule(mplsInterfaceDump, ({ sw_if_index: asked }: MessageValue<typeof mplsInterfaceDump>) => ({
    rows: [...state.interfaces.values()]
      .filter(({ mpls, sw_if_index }) => mpls > 0 && (asked === 0xffff_ffff || asked === sw_if_index))
      .map(({ sw_if_index }) => ({ sw_if_index })),
  }));
  state.rule(mplsTableDump, () => ({
    rows: [...state.tables].flatMap(([key, mt_name]) => {
      const [family, id] = key.split(':');
      return family === 'mpls' ? [{ mt_table: { mt_table_id: Number(id), mt_name } }] : [];
    }),
  }));
  addMulticast(state);
}

/** Paths are added to an entry and taken from it; it ends with the last. */
function addMulticast(state: FakeState): void {
  state.rule(ipMrouteAddDel, ({ is_add, route }: MessageValue<typeof ipMrouteAddDel>): Outcome => {
    const { prefix, table_id } = route;
    if (!state.tables.has(`${prefix.af === 1 ? 6 : 4}:${table_id}`)) return refused(ERROR.fib);
    // No weight is one.
    const paths = route.paths.map((each) => ({ ...each, path: { ...each.path, weight: each.path.weight || 1 } }));
    if (paths.length === 0) return refused(-52);
    const key = `${table_id} ${prefix.af} ${hex(prefix.src_address)} ${hex(prefix.grp_address)}/${prefix.grp_address_length}`;
    const before = (state.mroutes.get(key) as Mroute | undefined)?.paths ?? [];
    const named = new Set(paths.map(({ path }) => path.sw_if_index));
    const others = before.filter(({ path }) => !named.has(path.sw_if_index));
    const next = is_add ? [...others, ...paths] : others;
    if (next.length === 0) state.mroutes.delete(key);
    else state.mroutes.set(key, { ...route, n_paths: next.length, paths: next } as unknown as Values);
    return { reply: { stats_index: state.mroutes.size } };
  });
  state.rule(ipMrouteDump, ({ table }: MessageValue<typeof ipMrouteDump>) => ({
    rows: ([...state.mroutes.values()] as unknown as Mroute[])
      .filter((each) => each.table_id === table.table_id && (each.prefix.af === 1) === table.is_ip6)
      .map((each) => ({ route: each })),
  }));
}
