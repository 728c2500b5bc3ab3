/**
 * A conversation with a VPP, real or fake, of which both must say the same: interfaces, addresses, neighbours, pairs;
 * what concerns tables and routes is in conversationfib.ts, punts
 * in conversationpunts.ts. Both begin with a VPP that has just been started, and with
 * the network devices DEVICES.
 */
import { ipBytes } from '../../../src/lib/ip.ts';
import { afPacketCreateV3, afPacketDelete } from '../../../src/vpp/api/afpacket.ts';
import * as itf from '../../../src/vpp/api/interface.ts';
import * as ip from '../../../src/vpp/api/ip.ts';
import * as lcp from '../../../src/vpp/api/lcp.ts';
import { ipNeighborAddDel, ipNeighborDump } from '../../../src/vpp/api/neighbor.ts';
import { swInterfaceIp6ndRaConfig } from '../../../src/vpp/api/proxy.ts';
import { puntReasonDump } from '../../../src/vpp/api/punt.ts';
import { createLoopback, createSubif, deleteLoopback, deleteSubif } from '../../../src/vpp/api/subinterface.ts';
import { cliInband, showVersion } from '../../../src/vpp/api/vpe.ts';
import {
  featureEnableDisable,
  featureIsEnabled,
  l2XconnectDump,
  swInterfaceSetL2Xconnect,
} from '../../../src/vpp/api/xconnect.ts';
import type { VppClient } from '../../../src/vpp/client.ts';
import { converseFib } from './conversationfib.ts';
import { conversePunts } from './conversationpunts.ts';
import { Talk } from './talk.ts';

const ALL = 0xffff_ffff;
/** An interface that is not there. */
const ABSENT = 1000;

/** Network devices that VPP finds beside it. */
export const DEVICES = ['c0', 'c1'] as const;

/** What is asked of an interface, of one that is there and of one that is not. */
async function interfaces(talk: Talk, loop: number, other: number): Promise<void> {
  for (const sw_if_index of [loop, other, ABSENT]) {
    await talk.ask(itf.swInterfaceSetFlags, { sw_if_index, flags: 1 });
    await talk.ask(itf.swInterfaceSetMtu, { sw_if_index, mtu: [1500, 0, 0, 0] });
    await talk.ask(itf.hwInterfaceSetMtu, { sw_if_index, mtu: 2000 });
    await talk.ask(itf.swInterfaceSetPromisc, { sw_if_index, promisc_on: true });
    await talk.ask(itf.swInterfaceSetRxMode, { sw_if_index, mode: 1 });
    await talk.ask(itf.swInterfaceGetTable, { sw_if_index, is_ipv6: false });
    await talk.ask(itf.swInterfaceTagAddDel, { sw_if_index, is_add: true, tag: 'lcpd' });
    await talk.ask(itf.swInterfaceSetMacAddress, { sw_if_index, mac_address: Uint8Array.of(2, 0, 0, 0, 0, 9) });
    await talk.ask(itf.swInterfaceGetMacAddress, { sw_if_index });
    for (const is_add of [1, 1, 0, 0])
      await talk.ask(itf.swInterfaceAddDelMacAddress, { sw_if_index, is_add, addr: Uint8Array.of(2, 0, 0, 0, 0, 8) });
  }
  await talk.ask(itf.swInterfaceTagAddDel, { sw_if_index: other, is_add: false });
  await talk.ask(itf.swInterfaceSetFlags, { sw_if_index: other, flags: 0 });
  const fields = ['sw_if_index', 'flags', 'mtu', 'link_mtu', 'tag', 'l2_address', 'interface_name'];
  for (const sw_if_index of [loop, other]) await talk.list(itf.swInterfaceDump, { sw_if_index }, { fields });
  await talk.list(itf.swInterfaceDump, { sw_if_index: ABSENT });
}

async function hostInterfaces(talk: Talk): Promise<void> {
  const create = (host_if_name: string) =>
    talk.ask(afPacketCreateV3, { mode: 1, host_if_name, use_random_hw_addr: true, num_rx_queues: 1, num_tx_queues: 1 });
  const made = Number((await create(DEVICES[0])).sw_if_index);
  const fields = ['interface_name', 'interface_dev_type', 'flags', 'type', 'sup_sw_if_index'];
  await talk.list(itf.swInterfaceDump, { sw_if_index: made }, { fields });
  await talk.ask(itf.swInterfaceSetFlags, { sw_if_index: made, flags: 1 });
  await talk.ask(itf.swInterfaceSetPromisc, { sw_if_index: made, promisc_on: true });
  await talk.ask(itf.swInterfaceSetRxMode, { sw_if_index: made, mode: 1 });
  await talk.ask(itf.hwInterfaceSetMtu, { sw_if_index: made, mtu: 1400 });
  await create('absent0');
  await create(DEVICES[0]);
  await create(DEVICES[1]);
  for (let i = 0; i < 2; i++) await talk.ask(afPacketDelete, { host_if_name: DEVICES[0] });
  await talk.ask(afPacketDelete, { host_if_name: DEVICES[1] });
}

async function addresses(talk: Talk, loop: number): Promise<void> {
  const address = { address: ipBytes('10.1.0.1'), len: 24 };
  for (const is_add of [true, false, false, true]) {
    await talk.ask(itf.swInterfaceAddDelAddress, { sw_if_index: loop, is_add, prefix: address });
  }
  await talk.ask(itf.swInterfaceAddDelAddress, { sw_if_index: ABSENT, is_add: true, prefix: address });
  const six = { address: ipBytes('2001:db8::1'), len: 64 };
  await talk.ask(itf.swInterfaceAddDelAddress, { sw_if_index: loop, is_add: true, prefix: six });
  for (const is_ipv6 of [false, true]) await talk.list(ip.ipAddressDump, { sw_if_index: loop, is_ipv6 });
  await talk.list(ip.ipAddressDump, { sw_if_index: ABSENT, is_ipv6: false });
}

async function ip4(talk: Talk, loop: number, other: number): Promise<void> {
  const asked = { arc_name: 'ip4-unicast', feature_name: 'ip4-not-enabled' };
  await talk.ask(featureIsEnabled, { ...asked, sw_if_index: loop });
  await talk.ask(featureIsEnabled, { ...asked, sw_if_index: ABSENT });
  await talk.ask(featureEnableDisable, { ...asked, sw_if_index: ABSENT, enable: true });
  const prefix = { address: ipBytes('10.8.0.1'), len: 24 };
  for (const enable of [false, false, true]) {
    await talk.ask(featureEnableDisable, { ...asked, sw_if_index: other, enable });
    await talk.ask(featureIsEnabled, { ...asked, sw_if_index: other });
    for (const is_add of [true, false]) {
      await talk.ask(itf.swInterfaceAddDelAddress, { sw_if_index: other, is_add, prefix });
      await talk.ask(featureIsEnabled, { ...asked, sw_if_index: other });
    }
  }
}

async function crossConnects(talk: Talk, loop: number, other: number): Promise<void> {
  for (const [rx_sw_if_index, tx_sw_if_index, enable] of [
    [loop, other, true],
    [other, loop, true],
    [ABSENT, loop, true],
    [loop, ABSENT, true],
    [loop, other, false],
    [loop, other, false],
    [other, loop, false],
    [ABSENT, loop, false],
  ] as const) {
    await talk.ask(swInterfaceSetL2Xconnect, { rx_sw_if_index, tx_sw_if_index, enable });
    await talk.list(l2XconnectDump, {});
  }
}

async function puntReasons(talk: Talk): Promise<void> {
  for (const name of ['', 'ipsec4-no-such-tunnel', 'absent'])
    await talk.list(puntReasonDump, { reason: { id: 0, name } });
}

/** What is borrowed, and from whom; the interface that is asked of has an address. */
async function unnumbered(talk: Talk, loop: number, other: number): Promise<void> {
  for (const [sw_if_index, unnumbered_sw_if_index, is_add] of [
    [loop, other, true],
    [ABSENT, other, true],
    [loop, ABSENT, true],
    [loop, other, false],
  ] as const) {
    await talk.ask(itf.swInterfaceSetUnnumbered, { sw_if_index, unnumbered_sw_if_index, is_add });
    await talk.list(ip.ipUnnumberedDump, { sw_if_index: ALL });
    await talk.list(ip.ipUnnumberedDump, { sw_if_index: loop });
  }
}

async function protocols(talk: Talk): Promise<void> {
  for (const ethertype of [0x88cc, 0xcc88, 0x0988, 0x3412, 0x0008]) {
    await talk.ask(lcp.lcpEthertypeEnable, { ethertype });
    await talk.ask(lcp.lcpEthertypeGet, {});
  }
  for (const osi_proto of [0x83, 0xff]) await talk.ask(lcp.lcpOsiProtoEnable, { osi_proto });
  await talk.ask(lcp.lcpOsiProtoGet, {});
}

async function linkLocals(talk: Talk, loop: number, other: number): Promise<void> {
  const address = ipBytes('fe80::5');
  for (const sw_if_index of [other, ABSENT]) {
    await talk.ask(ip.swInterfaceIp6SetLinkLocalAddress, { sw_if_index, ip: address });
    await talk.ask(ip.swInterfaceIp6GetLinkLocalAddress, { sw_if_index });
    for (const enable of [true, true, false, false]) {
      await talk.ask(ip.swInterfaceIp6EnableDisable, { sw_if_index, enable });
    }
  }
  await talk.ask(ip.swInterfaceIp6SetLinkLocalAddress, { sw_if_index: loop, ip: address });
  await talk.ask(ip.swInterfaceIp6GetLinkLocalAddress, { sw_if_index: loop });
  for (const sw_if_index of [loop, ABSENT]) await talk.ask(swInterfaceIp6ndRaConfig, { sw_if_index, suppress: 1 });
}

async function neighbours(talk: Talk, loop: number): Promise<void> {
  const four = { mac_address: Uint8Array.of(2, 0, 0, 0, 0, 2), ip_address: ipBytes('10.1.0.2'), flags: 1 };
  const six = { ...four, ip_address: ipBytes('2001:db8::2') };
  for (const is_add of [true, true, false, false]) {
    for (const neighbor of [four, six]) {
      await talk.ask(ipNeighborAddDel, { is_add, neighbor: { ...neighbor, sw_if_index: loop } });
    }
    for (const af of [0, 1]) await talk.list(ipNeighborDump, { sw_if_index: loop, af }, { fields: ['neighbor'] });
  }
  await talk.ask(ipNeighborAddDel, { is_add: true, neighbor: { ...four, sw_if_index: ABSENT } });
}

async function subInterfaces(talk: Talk, loop: number): Promise<void> {
  const sub = { sw_if_index: loop, sub_id: 100, sub_if_flags: 18, outer_vlan_id: 100 };
  const { sw_if_index: made } = await talk.ask(createSubif, sub);
  await talk.ask(createSubif, sub);
  await talk.ask(createSubif, { ...sub, sw_if_index: ABSENT });
  const fields = [
    'sup_sw_if_index',
    'sub_id',
    'sub_outer_vlan_id',
    'sub_if_flags',
    'sub_number_of_tags',
    'interface_name',
    'type',
  ];
  await talk.list(itf.swInterfaceDump, { sw_if_index: Number(made) }, { fields });
  for (let i = 0; i < 2; i++) await talk.ask(deleteSubif, { sw_if_index: Number(made) });
}

async function pairs(talk: Talk, loop: number): Promise<void> {
  await talk.ask(lcp.lcpDefaultNsSet, { netns: 'cp' });
  await talk.ask(lcp.lcpDefaultNsGet, {});
  for (const message of [lcp.lcpItfPairAddDel, lcp.lcpItfPairAddDelV2, lcp.lcpItfPairAddDelV3]) {
    await talk.ask(message, { is_add: true, sw_if_index: ABSENT, host_if_name: 'e0' });
    await talk.ask(message, { is_add: false, sw_if_index: loop });
  }
  await talk.list(lcp.lcpItfPairGet, { cursor: ALL });
  for (const sw_if_index of [loop, ALL]) await talk.list(lcp.lcpItfPairGetV2, { cursor: ALL, sw_if_index });
  await talk.ask(lcp.lcpDefaultNsSet, { netns: '' });
}

export async function converse(client: VppClient): Promise<Talk> {
  const talk = new Talk(client);
  await talk.ask(showVersion, {}, ['program']);
  await talk.ask(cliInband, { cmd: 'show version' }, []);
  await talk.ask(itf.wantInterfaceEvents, { enable_disable: 1, pid: 1 });
  const loop = Number((await talk.ask(createLoopback, {})).sw_if_index);
  const other = Number((await talk.ask(createLoopback, {})).sw_if_index);
  await interfaces(talk, loop, other);
  await crossConnects(talk, loop, other);
  await addresses(talk, loop);
  await ip4(talk, loop, other);
  await unnumbered(talk, loop, other);
  await linkLocals(talk, loop, other);
  await puntReasons(talk);
  await protocols(talk);
  await converseFib(talk, { loop, other, absent: ABSENT });
  await neighbours(talk, loop);
  await subInterfaces(talk, loop);
  await pairs(talk, loop);
  await hostInterfaces(talk);
  await conversePunts(talk, { loop, other, absent: ABSENT });
  for (let i = 0; i < 2; i++) await talk.ask(deleteLoopback, { sw_if_index: other });
  return talk;
}
