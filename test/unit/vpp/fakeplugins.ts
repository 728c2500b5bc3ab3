/**
 * The rules of a fake VPP for its command line, cross-connects and multicast tables.
 */
import { mplsInterfaceDump, mplsTableDump } from '../../../src/vpp/api/mpls.ts';
import { ipMrouteAddDel, ipMrouteDump } from '../../../src/vpp/api/mroute.ts';
import { swInterfaceIp6ndRaConfig } from '../../../src/vpp/api/proxy.ts';
import { puntReasonDump } from '../../../src/vpp/api/punt.ts';
import { cliInband } from '../../../src/vpp/api/vpe.ts';
import { l2XconnectDump, swInterfaceSetL2Xconnect } from '../../../src/vpp/api/xconnect.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import type { FakeState, Outcome, Values } from './fakestate.ts';
import { ERROR, hex, refused } from './fakestate.ts';

type Mroute = MessageValue<typeof ipMrouteAddDel>['route'];

/** Plugins of a VPP that is set up for lcpd. */
export const PLUGINS: readonly string[] = ['linux_cp_plugin.so', 'linux_cp_unittest_plugin.so', 'ping_plugin.so'];

/** In the order in which VPP numbers them, from 1. */
const PUNT_REASONS = ['ipsec4-spi-o-udp-0', 'ipsec4-no-such-tunnel', 'ipsec6-no-such-tunnel', 'ipsec6-spi-o-udp-0'];

export function addPluginRules(state: FakeState): void {
  const find = (name: string): number | undefined =>
    [...state.interfaces.values()].find(({ interface_name }) => interface_name === name)?.sw_if_index;
  const joinPair = (phy: string, host: string): string => {
    const [phy_sw_if_index, host_sw_if_index] = [find(phy), find(host)];
    if (phy_sw_if_index === undefined || host_sw_if_index === undefined) return 'unknown input\n';
    const row = { phy_sw_if_index, host_sw_if_index, vif_index: 1, host_if_name: 'tap1', host_if_type: 0, netns: '' };
    state.pairs.set(phy_sw_if_index, row);
    return '';
  };
  state.rule(cliInband, ({ cmd }: MessageValue<typeof cliInband>) => {
    const [, verb, phy = '', host = ''] = /^test lcp (add|del) phy (\S+)(?: host (\S+))?$/.exec(cmd) ?? [];
    if (verb === 'add') return { reply: { reply: joinPair(phy, host) } };
    if (verb === 'del') return { reply: { reply: state.pairs.delete(find(phy) ?? -1) ? '' : 'ERROR rv:-2\n' } };
    if (cmd === 'show lcp') return { reply: { reply: state.showLcp } };
    if (cmd === 'show plugins')
      return { reply: { reply: state.plugins.map((name, i) => `  ${i + 1}. ${name}  26.06\n`).join('') } };
    return { reply: { reply: `fake: ${cmd}\n` } };
  });

  state.rule(swInterfaceIp6ndRaConfig, ({ sw_if_index }: MessageValue<typeof swInterfaceIp6ndRaConfig>) =>
    state.interfaces.has(sw_if_index) ? {} : refused(ERROR.interface),
  );
  state.rule(puntReasonDump, ({ reason: { name: asked } }: MessageValue<typeof puntReasonDump>) => ({
    rows: PUNT_REASONS.map((name, i) => ({ reason: { id: i + 1, name } })).filter(
      ({ reason: { name } }) => asked === '' || asked === name,
    ),
  }));
  const crossed = new Map<number, number>();
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
