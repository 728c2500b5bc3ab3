/**
 * The rules of a fake VPP for interfaces, addresses, neighbours and pairs.
 */
import { afPacketCreateV3, afPacketDelete } from '../../../src/vpp/api/afpacket.ts';
import * as itf from '../../../src/vpp/api/interface.ts';
import * as ip from '../../../src/vpp/api/ip.ts';
import * as lcp from '../../../src/vpp/api/lcp.ts';
import * as neighbor from '../../../src/vpp/api/neighbor.ts';
import * as subif from '../../../src/vpp/api/subinterface.ts';
import { showVersion } from '../../../src/vpp/api/vpe.ts';
import { featureEnableDisable, featureIsEnabled } from '../../../src/vpp/api/xconnect.ts';
import type { Message, MessageValue } from '../../../src/vpp/message.ts';
import { masked } from './fakeentries.ts';
import type { FakeInterface, FakePair, FakeState, Outcome, Values } from './fakestate.ts';
import { ERROR, hex, refused } from './fakestate.ts';

const ALL = 0xffff_ffff;
/** Its arc and the feature that drops IPv4. */
const NO_IP4 = 'ip4-unicast ip4-not-enabled';

/** A rule for something that an interface must be there for. */
function withInterface<M extends Message>(
  state: FakeState,
  of: M,
  rule: (found: FakeInterface, input: MessageValue<M>) => Outcome,
): void {
  state.rule(of, (input: MessageValue<M>) => {
    const found = state.interfaces.get((input as unknown as { sw_if_index: number }).sw_if_index);
    return found === undefined ? refused(ERROR.interface) : rule(found, input);
  });
}

function count(features: Map<string, number>, key: string, enable: boolean): void {
  features.set(key, Math.max(0, (features.get(key) ?? 0) + (enable ? 1 : -1)));
}

function changed(state: FakeState, of: FakeInterface, deleted = false): void {
  const value = { pid: 1, sw_if_index: of.sw_if_index, flags: of.flags, deleted };
  state.emit({ event: itf.swInterfaceEvent, wanted: itf.wantInterfaceEvents, value });
}

/** Neighbours go with an address of theirs. */
function loseNeighbours(state: FakeState, index: number, { address, len }: { address: Uint8Array; len: number }): void {
  type Told = { sw_if_index: number; ip_address: Uint8Array };
  for (const [key, told] of state.neighbors as Map<string, unknown> as Map<string, Told>) {
    const isCovered = hex(masked(told.ip_address, len)) === hex(masked(address, len));
    if (told.sw_if_index === index && isCovered) state.neighbors.delete(key);
  }
}

/** Ends an interface. */
export function deleteInterface(state: FakeState, index: number): Outcome {
  const found = state.interfaces.get(index);
  if (found === undefined) return refused(ERROR.interface);
  state.removeInterface(index);
  changed(state, found, true);
  return {};
}

/** The answer to who made an interface. */
export function interfaceMade(state: FakeState, created: FakeInterface): Outcome {
  changed(state, created);
  return { reply: { sw_if_index: created.sw_if_index } };
}

function addMaking(state: FakeState): void {
  const made = (created: FakeInterface): Outcome => interfaceMade(state, created);
  let loops = 0;
  state.rule(subif.createLoopback, () => made(state.addInterface(`loop${loops++}`, 'Loopback', {})));
  state.rule(subif.deleteLoopback, ({ sw_if_index }: MessageValue<typeof subif.deleteLoopback>) =>
    deleteInterface(state, sw_if_index),
  );
  const hostInterface = (device: string): FakeInterface | undefined =>
    [...state.interfaces.values()].find((each) => each.interface_name === `host-${device}`);
  state.rule(afPacketCreateV3, ({ host_if_name }: MessageValue<typeof afPacketCreateV3>) => {
    if (state.devices?.has(host_if_name) === false) return refused(-71);
    if (hostInterface(host_if_name) !== undefined) return refused(-79);
    return made(state.addInterface(`host-${host_if_name}`, 'af-packet', { flags: 2 }));
  });
  state.rule(afPacketDelete, ({ host_if_name }: MessageValue<typeof afPacketDelete>) => {
    const found = hostInterface(host_if_name);
    return found === undefined ? refused(-11) : deleteInterface(state, found.sw_if_index);
  });
  withInterface(state, subif.createSubif, (parent, input) => {
    const name = `${parent.interface_name}.${input.sub_id}`;
    if ([...state.interfaces.values()].some((each) => each.interface_name === name)) return refused(-56);
    const sub = {
      sub_id: input.sub_id,
      sub_if_flags: input.sub_if_flags,
      sub_outer_vlan_id: input.outer_vlan_id,
      sub_inner_vlan_id: input.inner_vlan_id,
      sub_number_of_tags: (input.sub_if_flags & 4) === 0 ? 1 : 2,
    };
    return made(
      state.addInterface(name, 'sub', { sup_sw_if_index: parent.sw_if_index, type: 1, mtu: [0, 0, 0, 0], sub }),
    );
  });
  state.rule(subif.deleteSubif, ({ sw_if_index }: MessageValue<typeof subif.deleteSubif>) =>
    deleteInterface(state, sw_if_index),
  );
}

function addState(state: FakeState): void {
  state.rule(itf.swInterfaceDump, ({ sw_if_index }: MessageValue<typeof itf.swInterfaceDump>) => ({
    rows: [...state.interfaces.values()]
      .filter((each) => sw_if_index === ALL || each.sw_if_index === sw_if_index)
      .map((each) => ({ ...each, ...each.sub, sw_if_index: each.sw_if_index, interface_dev_type: each.dev })),
  }));
  state.rule(itf.wantInterfaceEvents, () => ({}));
  withInterface(state, itf.swInterfaceSetFlags, (found, { flags }) => {
    // The link of a loopback goes with it.
    const link = found.dev === 'Loopback' ? 0 : found.flags & 2;
    found.flags = (flags & 1) === 0 ? link : 3;
    changed(state, found);
    return {};
  });
  withInterface(state, itf.swInterfaceSetMtu, (found, { mtu }) => {
    found.mtu = [...mtu];
    return {};
  });
  withInterface(state, itf.hwInterfaceSetMtu, (found, { mtu }) => {
    if (found.dev === 'Loopback') return refused(-126);
    found.link_mtu = mtu;
    return {};
  });
  withInterface(state, itf.swInterfaceSetMacAddress, (found, { mac_address }) => {
    found.l2_address = mac_address;
    return {};
  });
  withInterface(state, itf.swInterfaceGetMacAddress, (found) => ({ reply: { mac_address: found.l2_address } }));
  withInterface(state, itf.swInterfaceAddDelMacAddress, ({ macs }, { addr, is_add }) => {
    if (is_add === 0) macs.delete(hex(addr));
    else macs.add(hex(addr));
    return {};
  });
  withInterface(state, itf.swInterfaceSetPromisc, ({ dev }) =>
    ['Loopback', 'af-packet'].includes(dev) ? refused(ERROR.unspecified) : {},
  );
  withInterface(state, itf.swInterfaceSetRxMode, () => ({}));
  withInterface(state, itf.swInterfaceTagAddDel, (found, { is_add, tag }) => {
    found.tag = is_add ? tag : '';
    return {};
  });
  withInterface(state, itf.swInterfaceSetTable, (found, { is_ipv6, vrf_id }) => {
    if (!state.tables.has(`${is_ipv6 ? 6 : 4}:${vrf_id}`)) return refused(ERROR.fib);
    if (is_ipv6) found.table6 = vrf_id;
    else found.table4 = vrf_id;
    return {};
  });
  withInterface(state, itf.swInterfaceGetTable, (found, { is_ipv6 }) => ({
    reply: { vrf_id: is_ipv6 ? found.table6 : found.table4 },
  }));
}

function addAddresses(state: FakeState): void {
  withInterface(state, itf.swInterfaceAddDelAddress, (found, { is_add, del_all, prefix }) => {
    const key = `${hex(prefix.address)}/${prefix.len}`;
    const fours = () => [...found.addresses.values()].filter(({ address }) => address.length === 4).length;
    const before = fours();
    if (del_all) found.addresses.clear();
    else if (is_add && found.addresses.has(key)) return refused(ERROR.exists);
    else if (is_add) found.addresses.set(key, prefix);
    else if (!found.addresses.delete(key)) return refused(-60);
    else loseNeighbours(state, found.sw_if_index, prefix);
    // told at the first and the last one, whatever was done to the feature in between
    if ((before === 0) !== (fours() === 0)) count(found.features, NO_IP4, before !== 0);
    return {};
  });
  withInterface(state, ip.ipAddressDump, (found, { is_ipv6 }) => ({
    rows: [...found.addresses.values()]
      .filter(({ address }) => (address.length === 16) === is_ipv6)
      .map((prefix) => ({ sw_if_index: found.sw_if_index, prefix })),
  }));
  withInterface(state, ip.swInterfaceIp6EnableDisable, (found, { enable }) => {
    if (found.ip6 && enable) return refused(ERROR.exists);
    found.ip6 = enable;
    return {};
  });
  withInterface(state, featureEnableDisable, ({ features }, { arc_name, feature_name, enable }) => {
    count(features, `${arc_name} ${feature_name}`, enable);
    return {};
  });
  // of an arc of punts that nothing was ever put on it says yes, where it means that it knows nothing of it
  const isUnknown = (features: ReadonlyMap<string, number>, arc: string): boolean =>
    arc.endsWith('-punt') && ![...features.keys()].some((key) => key.startsWith(`${arc} `));
  withInterface(state, featureIsEnabled, ({ features }, { arc_name, feature_name }) => ({
    reply: {
      is_enabled: isUnknown(features, arc_name) || (features.get(`${arc_name} ${feature_name}`) ?? 0) > 0,
    },
  }));
  withInterface(state, ip.swInterfaceIp6SetLinkLocalAddress, (found, { ip: address }) => {
    found.ip6 = true;
    found.linkLocal = address;
    return {};
  });
  withInterface(state, ip.swInterfaceIp6GetLinkLocalAddress, (found) => ({ reply: { ip: found.linkLocal } }));
  state.rule(
    neighbor.ipNeighborAddDel,
    ({ is_add, neighbor: told }: MessageValue<typeof neighbor.ipNeighborAddDel>) => {
      if (!state.interfaces.has(told.sw_if_index)) return refused(ERROR.interface);
      const key = `${told.sw_if_index} ${hex(told.ip_address)}`;
      if (is_add) state.neighbors.set(key, told);
      else if (!state.neighbors.delete(key)) return refused(ERROR.entry);
      return {};
    },
  );
  state.rule(neighbor.ipNeighborDump, ({ sw_if_index, af }: MessageValue<typeof neighbor.ipNeighborDump>) => ({
    rows: ([...state.neighbors.values()] as { sw_if_index: number; ip_address: Uint8Array }[])
      .filter((each) => sw_if_index === ALL || each.sw_if_index === sw_if_index)
      .filter((each) => (each.ip_address.length === 16 ? 1 : 0) === af)
      .map((each) => ({ age: 0, neighbor: each })),
  }));
}

function addPairs(state: FakeState): void {
  type Add = MessageValue<typeof lcp.lcpItfPairAddDelV3>;
  const addDel = ({ is_add, sw_if_index, host_if_name, host_if_type, netns }: Add): Outcome => {
    if (!state.interfaces.has(sw_if_index)) return refused(ERROR.interface);
    const there = state.pairs.get(sw_if_index);
    if (!is_add) {
      if (there === undefined) return refused(ERROR.interface);
      deleteInterface(state, there.host_sw_if_index);
      state.pairs.delete(sw_if_index);
      return { reply: { vif_index: 0, host_sw_if_index: 0 } };
    }
    if (there !== undefined) return refused(ERROR.exists);
    const host = state.addInterface(`tap${4096 + state.pairs.size}`, 'tap', { flags: 3 });
    const ends = { host_sw_if_index: host.sw_if_index, vif_index: 100 + host.sw_if_index };
    state.pairs.set(sw_if_index, { phy_sw_if_index: sw_if_index, ...ends, host_if_name, host_if_type, netns });
    return { reply: ends };
  };
  for (const of of [lcp.lcpItfPairAddDel, lcp.lcpItfPairAddDelV2, lcp.lcpItfPairAddDelV3]) state.rule(of, addDel);
  const page = (from: number): Outcome => {
    const all: readonly FakePair[] = [...state.pairs.values()];
    const start = from === ALL ? 0 : from;
    const end = Math.min(all.length, start + 2);
    const reply = end < all.length ? { retval: -165, cursor: end } : { cursor: ALL };
    return { rows: all.slice(start, end) as unknown as Values[], reply };
  };
  state.rule(lcp.lcpItfPairGet, ({ cursor }: MessageValue<typeof lcp.lcpItfPairGet>) => page(cursor));
  state.rule(lcp.lcpItfPairGetV2, ({ cursor, sw_if_index }: MessageValue<typeof lcp.lcpItfPairGetV2>) => {
    if (sw_if_index === ALL) return page(cursor);
    const found = state.pairs.get(sw_if_index);
    if (found === undefined) return refused(ERROR.interface);
    return { rows: [found as unknown as Values], reply: { cursor: ALL } };
  });
  state.rule(lcp.lcpDefaultNsSet, ({ netns }: MessageValue<typeof lcp.lcpDefaultNsSet>) => {
    state.defaultNs = netns;
    return {};
  });
  state.rule(lcp.lcpDefaultNsGet, () => ({ reply: { netns: state.defaultNs } }));
}

export function addInterfaceRules(state: FakeState): void {
  addMaking(state);
  addState(state);
  addAddresses(state);
  addPairs(state);
  state.rule(showVersion, () => ({ reply: { program: 'vpe', version: '26.06-fake' } }));
}
