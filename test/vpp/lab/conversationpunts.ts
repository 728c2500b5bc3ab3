/**
 * The part of the conversation that is about punts and interconnects: sockets, redirects, policers, mirrors, lists and policies,
 * memifs, DHCP, proxy ARP; also what VPP does wrong, where lcpd goes round it.
 */
import { ipBytes } from '../../../src/lib/ip.ts';
import { abfItfAttachAddDel, abfItfAttachDump, abfPolicyAddDel, abfPolicyDump } from '../../../src/vpp/api/abf.ts';
import { aclAddReplace, aclDel, aclDump } from '../../../src/vpp/api/acl.ts';
import { dhcpClientConfig, dhcpClientDump, dhcpProxyConfig, dhcpProxyDump } from '../../../src/vpp/api/dhcp.ts';
import { swInterfaceDump, swInterfaceSetInterfaceName, swInterfaceTagAddDel } from '../../../src/vpp/api/interface.ts';
import { addDelIpPuntRedirectV2, ipPuntRedirectV2Dump } from '../../../src/vpp/api/ippunt.ts';
import * as memif from '../../../src/vpp/api/memif.ts';
import * as policer from '../../../src/vpp/api/policer.ts';
import * as proxy from '../../../src/vpp/api/proxy.ts';
import { puntSocketDeregister, puntSocketDump, puntSocketRegister, setPunt } from '../../../src/vpp/api/punt.ts';
import { swInterfaceSpanDump, swInterfaceSpanEnableDisable } from '../../../src/vpp/api/span.ts';
import { createLoopback, deleteLoopback } from '../../../src/vpp/api/subinterface.ts';
import { swInterfaceTapV2Dump } from '../../../src/vpp/api/tap.ts';
import { featureIsEnabled, l2XconnectDump, swInterfaceSetL2Xconnect } from '../../../src/vpp/api/xconnect.ts';
import type { Talk } from './talk.ts';

const ALL = 0xffff_ffff;
const [L4, PROTO, EXCEPTION] = [0, 1, 2];
const NO_SUCH_TUNNEL = 2;

/** Interfaces that are there, and one that is not. */
export interface Ends {
  readonly loop: number;
  readonly other: number;
  readonly absent: number;
}

const path = (sw_if_index: number, type: number, nh = '', proto = 0) => ({
  sw_if_index,
  type,
  weight: 1,
  proto,
  nh: nh === '' ? {} : { address: ipBytes(nh) },
  label_stack: [],
});
const DVR = 8;

async function sockets(talk: Talk): Promise<void> {
  const l4 = (af: number, protocol: number, port: number) => ({ type: L4, punt: { l4: { af, protocol, port } } });
  const proto = (protocol: number) => ({ type: PROTO, punt: { ip_proto: { af: 0, protocol } } });
  const reason = (id: number) => ({ type: EXCEPTION, punt: { exception: { id } } });
  const asked = [
    l4(0, 17, 9000),
    l4(1, 17, 9000),
    l4(1, 58, 200),
    l4(0, 58, 200),
    l4(0, 6, 80),
    l4(0, 17, 0xffff),
    proto(89),
    proto(200),
    reason(NO_SUCH_TUNNEL),
    reason(99),
  ];
  for (const punt of asked) await talk.ask(puntSocketRegister, { header_version: 1, punt, pathname: '/run/c' }, []);
  await talk.ask(puntSocketRegister, { header_version: 0, punt: l4(0, 17, 1), pathname: '/run/c' }, []);
  const told = { header_version: 1, punt: l4(0, 17, 9000), pathname: '/run/d' };
  await talk.ask(puntSocketRegister, told, []);
  for (const type of [L4, PROTO, EXCEPTION]) await talk.list(puntSocketDump, { type }, { fields: ['pathname'] });
  for (const punt of asked) await talk.ask(puntSocketDeregister, { punt });
  for (const type of [L4, PROTO, EXCEPTION]) await talk.list(puntSocketDump, { type }, { fields: ['pathname'] });
  const hosts = [l4(0, 17, 9100), l4(1, 17, 9100), l4(0, 6, 80), l4(0, 6, 0xffff), l4(0, 58, 1), proto(89), reason(99)];
  for (const is_add of [true, true, false, false])
    for (const punt of [...hosts, reason(NO_SUCH_TUNNEL)]) await talk.ask(setPunt, { is_add, punt });
}

async function redirects(talk: Talk, { loop, other, absent }: Ends): Promise<void> {
  const isOn = () =>
    talk.ask(featureIsEnabled, { arc_name: 'ip4-punt', feature_name: 'ip4-punt-redirect', sw_if_index: 0 });
  const tell = (is_add: boolean, rx_sw_if_index: number, af: number, paths: ReturnType<typeof path>[]) =>
    talk.ask(addDelIpPuntRedirectV2, { is_add, punt: { rx_sw_if_index, af, paths } });
  await tell(true, ALL, 0, [path(other, DVR)]);
  await tell(true, ALL, 0, [path(other, 0, '10.0.0.2')]);
  await tell(true, loop, 0, [path(other, DVR)]);
  await tell(true, loop, 1, [path(other, DVR, '', 1)]);
  await tell(true, loop, 0, [path(absent, 0, '10.0.0.2')]);
  for (const af of [0, 1])
    for (const index of [ALL, loop]) await talk.list(ipPuntRedirectV2Dump, { sw_if_index: index, af });
  // three were put on, one of them in place of another
  for (let i = 0; i < 3; i++) {
    await tell(false, i === 0 ? ALL : loop, 0, []);
    await isOn();
  }
  await tell(false, loop, 1, []);
}

async function policers(talk: Talk): Promise<void> {
  const infos = {
    cir: 1000,
    cb: 100n,
    rate_type: 1,
    conform_action: { type: 1 },
    exceed_action: { type: 0 },
    violate_action: { type: 0 },
  };
  const isOn = async (): Promise<void> => {
    for (const feature_name of ['ip4-punt-policer', 'error-punt'])
      await talk.ask(featureIsEnabled, { arc_name: 'ip4-punt', feature_name, sw_if_index: 0 });
  };
  for (const name of ['a', 'a', 'b']) await talk.ask(policer.policerAdd, { name, infos });
  const fields = ['name', 'cir', 'cb', 'rate_type'];
  for (const policer_index of [ALL, 1, 7]) await talk.list(policer.policerDumpV2, { policer_index }, { fields });
  for (const policer_index of [1, 7])
    await talk.ask(policer.policerUpdate, { policer_index, infos: { ...infos, cir: 500 } });
  await talk.list(policer.policerDumpV2, { policer_index: 1 }, { fields });
  // it is put on twice, and off once more than that
  for (const is_add of [true, true, false, false, false, true, false]) {
    await talk.ask(policer.ipPuntPolice, { policer_index: 0, is_add, is_ip6: false });
    await isOn();
  }
  for (const policer_index of [0, 0, 1]) await talk.ask(policer.policerDel, { policer_index });
}

/** Arcs that nothing was ever put on. */
async function untouched(talk: Talk): Promise<void> {
  for (const arc_name of ['ip4-punt', 'ip6-punt'])
    for (const feature_name of [`${arc_name}-policer`, 'error-punt'])
      await talk.ask(featureIsEnabled, { arc_name, feature_name, sw_if_index: 0 });
}

async function mirrors(talk: Talk, { loop, other, absent }: Ends): Promise<void> {
  for (const [from, to, state] of [
    [loop, other, 3],
    [loop, other, 1],
    [loop, loop, 3],
    [loop, absent, 2],
    [loop, other, 0],
    [loop, absent, 0],
  ] as const) {
    await talk.ask(swInterfaceSpanEnableDisable, { sw_if_index_from: from, sw_if_index_to: to, state });
    await talk.list(swInterfaceSpanDump, { is_l2: false });
  }
}

async function policies(talk: Talk, { loop, other }: Ends): Promise<void> {
  const rule = {
    is_permit: 1,
    src_prefix: { address: ipBytes('0.0.0.0'), len: 0 },
    dst_prefix: { address: ipBytes('10.0.0.1'), len: 32 },
    proto: 89,
    srcport_or_icmptype_last: 65535,
    dstport_or_icmpcode_last: 65535,
  };
  await talk.ask(aclAddReplace, { acl_index: ALL, tag: 'one', r: [rule] });
  await talk.ask(aclAddReplace, { acl_index: ALL, tag: 'two', r: [] });
  await talk.ask(aclAddReplace, { acl_index: 0, tag: 'three', r: [rule, rule] });
  await talk.ask(aclAddReplace, { acl_index: 99, tag: 'four', r: [rule] });
  for (const acl_index of [ALL, 1]) await talk.list(aclDump, { acl_index });
  const policy = { policy_id: 8, acl_index: 0, paths: [path(other, DVR)] };
  await talk.ask(abfPolicyAddDel, { is_add: true, policy });
  await talk.ask(abfPolicyAddDel, { is_add: true, policy: { ...policy, acl_index: 1 } });
  await talk.ask(abfPolicyAddDel, { is_add: true, policy: { ...policy, paths: [path(loop, DVR)] } });
  await talk.ask(abfPolicyAddDel, { is_add: true, policy: { ...policy, paths: [] } });
  await talk.list(abfPolicyDump, {});
  const attach = { policy_id: 8, sw_if_index: loop, priority: 3, is_ipv6: false };
  for (const is_add of [true, true]) await talk.ask(abfItfAttachAddDel, { is_add, attach });
  await talk.list(abfItfAttachDump, {});
  await talk.ask(aclDel, { acl_index: 0 });
  await talk.ask(abfPolicyAddDel, { is_add: false, policy: { ...policy, paths: [path(loop, DVR)] } });
  for (const is_add of [false, false]) await talk.ask(abfItfAttachAddDel, { is_add, attach });
  for (let i = 0; i < 2; i++) await talk.ask(abfPolicyAddDel, { is_add: false, policy });
  await talk.list(abfPolicyDump, {});
  for (const acl_index of [0, 0, 1]) await talk.ask(aclDel, { acl_index });
}

async function memifs(talk: Talk, { absent }: Ends): Promise<void> {
  const filename = (is_add: boolean, socket_id: number) =>
    talk.ask(memif.memifSocketFilenameAddDelV2, { is_add, socket_id, socket_filename: is_add ? '/run/m.sock' : '' });
  for (const id of [5, 6, 0]) await filename(true, id);
  await talk.list(memif.memifSocketFilenameDump, {}, { only: ({ socket_id }) => socket_id !== 0 });
  const told = { id: 1, socket_id: 5, hw_addr: Uint8Array.of(2, 0xfd, 0, 0, 0, 1), secret: 'abc', ring_size: 1024 };
  const made = Number((await talk.ask(memif.memifCreateV2, told)).sw_if_index);
  await talk.ask(memif.memifCreateV2, told);
  await talk.ask(memif.memifCreateV2, { ...told, socket_id: 99 });
  for (const sw_if_index of [made, absent]) await talk.ask(swInterfaceSetInterfaceName, { sw_if_index, name: 'loop0' });
  await talk.ask(swInterfaceTagAddDel, { is_add: true, sw_if_index: made, tag: 'left' });
  const fields = ['sw_if_index', 'hw_addr', 'id', 'role', 'mode', 'socket_id', 'if_name'];
  await talk.list(memif.memifDump, {}, { fields });
  await filename(false, 5);
  for (const is_add of [true, true]) await talk.ask(dhcpClientConfig, { is_add, client: { sw_if_index: made } });
  await talk.list(dhcpClientDump, {}, { fields: ['client'] });
  for (const is_add of [false, false]) await talk.ask(dhcpClientConfig, { is_add, client: { sw_if_index: made } });
  for (let i = 0; i < 2; i++) await talk.ask(memif.memifDelete, { sw_if_index: made });
  // the tag does not stay for who has the index next
  const next = Number((await talk.ask(createLoopback, {}, ['sw_if_index'])).sw_if_index);
  await talk.list(swInterfaceDump, { sw_if_index: next }, { fields: ['sw_if_index', 'tag'] });
  await talk.ask(deleteLoopback, { sw_if_index: next });
  for (const id of [5, 6, 6]) await filename(false, id);
  await talk.list(swInterfaceTapV2Dump, { sw_if_index: ALL });
}

async function relays(talk: Talk): Promise<void> {
  const four = { dhcp_server: ipBytes('10.0.0.2'), dhcp_src_address: ipBytes('10.0.0.1') };
  const six = { dhcp_server: ipBytes('fd00::2'), dhcp_src_address: ipBytes('fd00::1') };
  const second = { dhcp_server: ipBytes('10.0.0.3'), dhcp_src_address: ipBytes('10.0.0.9') };
  const zero = { ...four, dhcp_server: ipBytes('0.0.0.0') };
  const none = { ...four, dhcp_src_address: ipBytes('0.0.0.0') };
  for (const is_add of [true, true, false, false]) {
    for (const each of [four, second, six, zero, none]) await talk.ask(dhcpProxyConfig, { is_add, ...each });
    for (const is_ip6 of [false, true]) await talk.list(dhcpProxyDump, { is_ip6 });
  }
}

async function proxies(talk: Talk, { loop, absent }: Ends): Promise<void> {
  const range = { table_id: 0, low: ipBytes('10.0.0.0'), hi: ipBytes('10.0.0.9') };
  for (const is_add of [true, true, false, false]) {
    for (const each of [range, { ...range, table_id: 55 }])
      await talk.ask(proxy.proxyArpAddDel, { is_add, proxy: each });
    await talk.list(proxy.proxyArpDump, {});
  }
  for (const enable of [true, true, false]) {
    for (const sw_if_index of [loop, absent]) await talk.ask(proxy.proxyArpIntfcEnableDisable, { sw_if_index, enable });
    await talk.list(proxy.proxyArpIntfcDump, {});
  }
}

/** What is left of an interface that is deleted. */
async function remains(talk: Talk, { loop, other }: Ends): Promise<void> {
  const gone = Number((await talk.ask(createLoopback, {}, ['sw_if_index'])).sw_if_index);
  const redirect = { rx_sw_if_index: gone, af: 0, paths: [path(other, DVR)] };
  await talk.ask(addDelIpPuntRedirectV2, { is_add: true, punt: redirect });
  const span = { sw_if_index_from: gone, sw_if_index_to: other };
  await talk.ask(swInterfaceSpanEnableDisable, { ...span, state: 3 });
  const cross = (rx_sw_if_index: number, tx_sw_if_index: number, enable: boolean) =>
    talk.ask(swInterfaceSetL2Xconnect, { rx_sw_if_index, tx_sw_if_index, enable });
  await cross(gone, other, true);
  await cross(other, gone, true);
  await cross(loop, gone, true);
  await talk.ask(proxy.proxyArpIntfcEnableDisable, { sw_if_index: gone, enable: true });
  await talk.ask(deleteLoopback, { sw_if_index: gone });
  await talk.list(ipPuntRedirectV2Dump, { sw_if_index: ALL, af: 0 });
  await talk.list(swInterfaceSpanDump, { is_l2: false });
  await talk.list(l2XconnectDump, {});
  await talk.list(proxy.proxyArpIntfcDump, {});
  await talk.ask(proxy.proxyArpIntfcEnableDisable, { sw_if_index: gone, enable: false });
  await cross(gone, other, false);
  await cross(loop, other, false);
  await talk.ask(swInterfaceSpanEnableDisable, { ...span, state: 0 });
  await talk.ask(addDelIpPuntRedirectV2, { is_add: false, punt: { ...redirect, paths: [] } });
  await talk.list(l2XconnectDump, {});
}

export async function conversePunts(talk: Talk, ends: Ends): Promise<void> {
  await untouched(talk);
  await sockets(talk);
  await redirects(talk, ends);
  await policers(talk);
  await mirrors(talk, ends);
  await policies(talk, ends);
  await memifs(talk, ends);
  await relays(talk);
  await proxies(talk, ends);
  await remains(talk, ends);
}
