/**
 * The rules of a fake VPP for taps, memifs, names and DHCP clients.
 */
import { dhcpClientConfig, dhcpClientDump, dhcpProxyConfig, dhcpProxyDump } from '../../../src/vpp/api/dhcp.ts';
import { swInterfaceSetInterfaceName } from '../../../src/vpp/api/interface.ts';
import * as memif from '../../../src/vpp/api/memif.ts';
import {
  proxyArpAddDel,
  proxyArpDump,
  proxyArpIntfcDump,
  proxyArpIntfcEnableDisable,
} from '../../../src/vpp/api/proxy.ts';
import { swInterfaceTapV2Dump, tapCreateV3, tapDeleteV2 } from '../../../src/vpp/api/tap.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import { deleteInterface, interfaceMade } from './fakeinterfaces.ts';
import type { FakeState, Outcome, Values } from './fakestate.ts';
import { ERROR, hex, refused } from './fakestate.ts';

const ALL = 0xffff_ffff;
const SYSCALL = -11;
const INVALID_ARGUMENT = -73;
const ALREADY_THERE = -68;
const IN_USE = -74;
const NO_DESTINATION = -58;
const NO_SOURCE = -57;
/** What VPP says of a relay that has no VPN, with its bytes the other way round. */
const NO_VSS = 0x7b00_0000;

export function addCnfRules(state: FakeState): void {
  addTaps(state);
  addMemifs(state);
  addDhcp(state);
  addProxies(state);
  state.rule(swInterfaceSetInterfaceName, ({ sw_if_index, name }: MessageValue<typeof swInterfaceSetInterfaceName>) => {
    const found = state.interfaces.get(sw_if_index);
    if (found === undefined) return refused(ERROR.interface);
    // two of one name are no matter to it
    found.interface_name = name;
    return {};
  });
}

function addTaps(state: FakeState): void {
  const taps = new Map<number, Values>();
  let next = 0;
  state.rule(tapCreateV3, (input: MessageValue<typeof tapCreateV3>): Outcome => {
    const { host_namespace, host_if_name, tag, mac_address, id } = input;
    if (!state.namespaces.has(host_namespace)) return refused(SYSCALL);
    const isTaken = state
      .taps()
      .some(
        (each) => each.host_if_name === host_if_name && each.host_namespace === host_namespace && host_if_name !== '',
      );
    if (isTaken) return refused(SYSCALL);
    const number = id === ALL ? next++ : id;
    const made = state.addInterface(`tap${number}`, 'tap', {
      tag,
      ...(!input.use_random_mac && { l2_address: mac_address }),
    });
    taps.set(made.sw_if_index, { ...input, id: number, sw_if_index: made.sw_if_index, dev_name: made.interface_name });
    return interfaceMade(state, made);
  });
  state.rule(tapDeleteV2, ({ sw_if_index }: MessageValue<typeof tapDeleteV2>) => {
    taps.delete(sw_if_index);
    return deleteInterface(state, sw_if_index);
  });
  state.rule(swInterfaceTapV2Dump, ({ sw_if_index }: MessageValue<typeof swInterfaceTapV2Dump>) => ({
    rows: [...taps.values()].filter(
      (each) => state.interfaces.has(Number(each.sw_if_index)) && [ALL, each.sw_if_index].includes(sw_if_index),
    ),
  }));
  state.taps = () => [...taps.values()].filter((each) => state.interfaces.has(Number(each.sw_if_index)));
}

function addMemifs(state: FakeState): void {
  const sockets = new Map<number, string>([[0, '/run/vpp/memif.sock']]);
  const memifs = new Map<number, Values>();
  let nextSocket = 1000;
  state.rule(
    memif.memifSocketFilenameAddDelV2,
    ({ is_add, socket_id, socket_filename }: MessageValue<typeof memif.memifSocketFilenameAddDelV2>): Outcome => {
      if (socket_id === 0) return refused(INVALID_ARGUMENT);
      if (is_add) {
        const id = socket_id === ALL ? nextSocket++ : socket_id;
        sockets.set(id, socket_filename);
        return { reply: { socket_id: id } };
      }
      if ([...memifs.values()].some((each) => each.socket_id === socket_id))
        return { reply: { retval: IN_USE, socket_id } };
      return sockets.delete(socket_id) ? { reply: { socket_id } } : { reply: { retval: INVALID_ARGUMENT, socket_id } };
    },
  );
  state.rule(memif.memifSocketFilenameDump, () => ({
    rows: [...sockets].map(([socket_id, socket_filename]) => ({ socket_id, socket_filename })),
  }));
  state.rule(memif.memifCreateV2, (input: MessageValue<typeof memif.memifCreateV2>): Outcome => {
    const { socket_id, id, hw_addr } = input;
    if (!sockets.has(socket_id)) return refused(INVALID_ARGUMENT);
    if ([...memifs.values()].some((each) => each.socket_id === socket_id && each.id === id))
      return refused(ALREADY_THERE);
    const made = state.addInterface(`memif${socket_id}/${id}`, 'memif', { l2_address: hw_addr });
    memifs.set(made.sw_if_index, { ...input, sw_if_index: made.sw_if_index });
    return interfaceMade(state, made);
  });
  state.rule(memif.memifDelete, ({ sw_if_index }: MessageValue<typeof memif.memifDelete>): Outcome => {
    if (!memifs.delete(sw_if_index)) return refused(ERROR.interface);
    return deleteInterface(state, sw_if_index);
  });
  state.rule(memif.memifDump, () => ({
    rows: [...memifs.values()].map((each) => {
      const { interface_name: if_name = '', l2_address: hw_addr } =
        state.interfaces.get(Number(each.sw_if_index)) ?? {};
      return { ...each, ring_size: 1, buffer_size: 0, if_name, hw_addr };
    }),
  }));
}

function addDhcp(state: FakeState): void {
  const clients = new Map<number, Values>();
  state.rule(dhcpClientConfig, ({ is_add, client }: MessageValue<typeof dhcpClientConfig>): Outcome => {
    const { sw_if_index } = client;
    if (!state.interfaces.has(sw_if_index)) return refused(ERROR.interface);
    if (is_add === clients.has(sw_if_index)) return refused(ERROR.value);
    if (is_add) clients.set(sw_if_index, client);
    else clients.delete(sw_if_index);
    return {};
  });
  state.rule(dhcpClientDump, () => ({
    rows: [...clients].map(([sw_if_index, client]) => ({ client, lease: { sw_if_index, hostname: client.hostname } })),
  }));

  interface Relay {
    readonly source: Uint8Array;
    readonly servers: { readonly server_vrf_id: number; readonly address: Uint8Array }[];
  }
  const relays = new Map<string, Relay>();
  const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
  state.rule(dhcpProxyConfig, (input: MessageValue<typeof dhcpProxyConfig>): Outcome => {
    const { dhcp_server: server, dhcp_src_address: source, is_add, rx_vrf_id, server_vrf_id } = input;
    if (isZero(server)) return refused(NO_DESTINATION);
    if (isZero(source)) return refused(NO_SOURCE);
    const key = `${server.length === 16} ${rx_vrf_id}`;
    const relay = relays.get(key) ?? { source, servers: [] };
    const at = relay.servers.findIndex(
      (each) => each.server_vrf_id === server_vrf_id && hex(each.address) === hex(server),
    );
    if (is_add && at < 0) relay.servers.push({ server_vrf_id, address: server });
    if (!is_add && at >= 0) relay.servers.splice(at, 1);
    if (relay.servers.length === 0) relays.delete(key);
    else relays.set(key, relay);
    return {};
  });
  // the family of addresses is said to be IPv4, whatever they are
  const told = (bytes: Uint8Array) => ({ af: 0, un: bytes });
  state.rule(dhcpProxyDump, ({ is_ip6 }: MessageValue<typeof dhcpProxyDump>) => ({
    rows: [...relays].flatMap(([key, { source, servers }]) => {
      const [six, rx] = key.split(' ');
      if ((six === 'true') !== is_ip6) return [];
      const rows = servers.map(({ server_vrf_id, address }) => ({ server_vrf_id, dhcp_server: told(address) }));
      const relay = { rx_vrf_id: Number(rx), vss_type: NO_VSS, is_ipv6: is_ip6, dhcp_src_address: told(source) };
      return [{ ...relay, count: rows.length, servers: rows }];
    }),
  }));
}

function addProxies(state: FakeState): void {
  const ranges = new Map<string, Values>();
  const on = new Set<number>();
  state.rule(proxyArpAddDel, ({ is_add, proxy }: MessageValue<typeof proxyArpAddDel>): Outcome => {
    if (!state.tables.has(`4:${proxy.table_id}`)) return refused(ERROR.fib);
    const key = `${proxy.table_id} ${hex(proxy.low)} ${hex(proxy.hi)}`;
    if (is_add) ranges.set(key, { proxy });
    else if (!ranges.delete(key)) return refused(ERROR.entry);
    return {};
  });
  state.rule(proxyArpDump, () => ({ rows: [...ranges.values()] }));
  state.rule(
    proxyArpIntfcEnableDisable,
    ({ sw_if_index, enable }: MessageValue<typeof proxyArpIntfcEnableDisable>): Outcome => {
      if (!state.interfaces.has(sw_if_index)) return refused(ERROR.interface);
      if (enable) on.add(sw_if_index);
      else on.delete(sw_if_index);
      return {};
    },
  );
  // an interface that is gone stays in it
  state.rule(proxyArpIntfcDump, () => ({
    rows: [...on].sort((a, b) => a - b).map((sw_if_index) => ({ sw_if_index })),
  }));
}
