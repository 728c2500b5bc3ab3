/**
 * What a fake VPP shows on its command line.
 */

import { ipBytes } from '../../../src/lib/ip.ts';
import { cliInband } from '../../../src/vpp/api/vpe.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import { PUNT_REASONS } from './fakepunts.ts';
import type { FakeState, Outcome, Values } from './fakestate.ts';
import { hex } from './fakestate.ts';

const NONE = 0xffff_ffff;
/** An IPv4 address as VPP's union has it. */
const union = (text: string): Uint8Array => Buffer.concat([ipBytes(text), Buffer.alloc(12)]);
const YELLOW = '\u001b[33m';
const END = '\u001b[0m';
const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'ICMP',
  17: 'UDP',
  50: 'IPSEC_ESP',
  58: 'ICMP6',
  89: 'OSPF',
};

function show(state: FakeState, cmd: string): string | undefined {
  if (cmd === 'show lcp') return state.showLcp;
  if (cmd === 'show plugins') return state.plugins.map((name, i) => `  ${i + 1}. ${name}  26.06\n`).join('');
  if (cmd === 'show udp ports') {
    const rows = [...state.udpPorts].map(([key, node]) => {
      const [family, port] = key.split('/');
      return `${port}${END}   ip${family}${END} ${node}${END} (nil)${END}\n`;
    });
    return `${YELLOW}port${END} ${YELLOW}proto${END} ${YELLOW}node${END} ${YELLOW}desc ${END}\n${rows.join('')}`;
  }
  const [, six] = /^show ip(6?) local$/.exec(cmd) ?? [];
  if (six !== undefined) {
    const rows = [...state.protocols].flatMap(([key, node]) => {
      const [family, protocol] = key.split('/');
      if ((family === '6') !== (six === '6')) return [];
      return [`${PROTOCOL_NAMES[Number(protocol)] ?? protocol}: ${node}\n`];
    });
    return `Protocols handled by ip${six === '6' ? 6 : 4}_local\n${rows.join('')}`;
  }
  if (cmd === 'show punt db') {
    const rows = PUNT_REASONS.flatMap((name, i) =>
      state.sinksOf(i + 1).map((node) => ` [${i + 1}] ${name} flags: ${name.slice(5, 6)}  -> ${node}\n`),
    );
    return `${rows.join('')}\nDerived data-plane data-base:\n`;
  }
  const [, name] = /^show mode (\S+)$/.exec(cmd) ?? [];
  if (name === undefined) return undefined;
  const bridge = state.bridged.get(name);
  return bridge === undefined ? `l3 ${name}\n` : `l2 bridge ${name} bd_id ${bridge} shg 0\n`;
}

export function addCliRules(state: FakeState): void {
  const find = (name: string): number | undefined =>
    [...state.interfaces.values()].find(({ interface_name }) => interface_name === name)?.sw_if_index;
  const joinPair = (phy: string, host: string): string => {
    const [phy_sw_if_index, host_sw_if_index] = [find(phy), find(host)];
    if (phy_sw_if_index === undefined || host_sw_if_index === undefined) return 'unknown input\n';
    const row = { phy_sw_if_index, host_sw_if_index, vif_index: 1, host_if_name: 'tap1', host_if_type: 0, netns: '' };
    state.pairs.set(phy_sw_if_index, row);
    return '';
  };
  /** Of IPv4, a source and a group; a command adds to an entry, or ends it. */
  const mroute = (cmd: string): Outcome | undefined => {
    const [, verb, table = '', source = '', group = '', via = '', flag] =
      /^ip mroute (add|del) table (\d+) (\S+) (\S+)(?: via (.+) (Accept|Forward))?$/.exec(cmd) ?? [];
    if (verb === undefined) return undefined;
    const refusal = (words: string): Outcome => ({ reply: { retval: -1, reply: `ip mroute: ${words}` } });
    if (!state.tables.has(`4:${table}`)) return refusal(`Nonexistent table id ${table}`);
    const key = `${table} 0 ${hex(union(source))} ${hex(union(group))}/64`;
    if (verb === 'del') {
      state.mroutes.delete(key);
      return { reply: { reply: '' } };
    }
    const lookup = /^ip4-lookup-in-table (\d+)$/.exec(via)?.[1];
    const sw_if_index = lookup === undefined ? find(via) : NONE;
    if (sw_if_index === undefined) return refusal(`unknown input '${via}'`);
    const there = (state.mroutes.get(key)?.paths ?? []) as Values[];
    const path = { sw_if_index, table_id: Number(lookup ?? 0), weight: 1, nh: {}, label_stack: [] };
    const paths = [...there, { itf_flags: flag === 'Accept' ? 2 : 0, path }];
    const prefix = { af: 0, grp_address_length: 64, grp_address: union(group), src_address: union(source) };
    state.mroutes.set(key, { table_id: Number(table), prefix, n_paths: paths.length, paths });
    return { reply: { reply: '' } };
  };
  state.rule(cliInband, ({ cmd }: MessageValue<typeof cliInband>) => {
    state.commands.push(cmd);
    const [, verb, phy = '', host = ''] = /^test lcp (add|del) phy (\S+)(?: host (\S+))?$/.exec(cmd) ?? [];
    if (verb === 'add') return { reply: { reply: joinPair(phy, host) } };
    if (verb === 'del') return { reply: { reply: state.pairs.delete(find(phy) ?? -1) ? '' : 'ERROR rv:-2\n' } };
    return mroute(cmd) ?? { reply: { reply: show(state, cmd) ?? `fake: ${cmd}\n` } };
  });
}
