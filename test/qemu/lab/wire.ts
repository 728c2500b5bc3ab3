/**
 * Wire: a VPP with one phy, the namespace of its hosts, and a neighbour on the other end of the phy's cable.
 *
 * Invariants: the phy is a veth that VPP has opened as host interface; its kernel does not speak there (no IPv6), as
 * VPP does. Checksums are complete on the cable, since VPP looks at them. Addresses are the same in VPP and on the host:
 * `10.0.0.1/24`, `2001:db8::1/64`; the neighbour is `.2`. VPP has no ping plugin: what answers is the kernel.
 */
import { ipBytes } from '../../../src/lib/ip.ts';
import { afPacketCreateV3 } from '../../../src/vpp/api/afpacket.ts';
import * as itf from '../../../src/vpp/api/interface.ts';
import { lcpItfPairAddDelV3 } from '../../../src/vpp/api/lcp.ts';
import { ipMrouteAddDel } from '../../../src/vpp/api/mroute.ts';
import type { VppClient } from '../../../src/vpp/client.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import { addVeth, inNetns, ip, ipJson, sysctl } from '../../system/lab/netns.ts';
import { run } from '../../system/lab/process.ts';
import type { RealVpp } from '../../vpp/lab/realvpp.ts';
import type { VppLab } from '../../vpp/lab.ts';

/** No interface, where VPP has an index. */
export const NONE = 0xffff_ffff;
const UP = 1;
const ACCEPT = 2;
const FORWARD = 4;
const LOCAL = 1;
/** Of the phy, also of a VPP that was started again: the neighbour remembers it. */
const MAC = Uint8Array.of(2, 0xfe, 0, 0, 0, 1);
/** An emulated processor makes VPP seem to hang. */
const hangMs = 20_000;

export interface KernelLink {
  readonly ifname: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly address: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind: string };
}

export type PairReply = MessageValue<typeof lcpItfPairAddDelV3.reply>;

export class Wire {
  readonly vpp: RealVpp;
  /** Of VPP, of the hosts, of the neighbour. */
  readonly namespaces: { readonly vpp: string; readonly cp: string; readonly far: string };
  client: VppClient;
  phy = NONE;
  readonly #lab: VppLab;

  private constructor(lab: VppLab, vpp: RealVpp, client: VppClient, namespaces: Wire['namespaces']) {
    this.#lab = lab;
    this.vpp = vpp;
    this.client = client;
    this.namespaces = namespaces;
  }

  static async start(lab: VppLab): Promise<Wire> {
    const namespaces = { vpp: await lab.addNetns('vpp'), cp: await lab.addNetns('cp'), far: await lab.addNetns('far') };
    const { vpp, far } = namespaces;
    await addVeth({ ns: vpp, dev: 'p0' }, { ns: far, dev: 'w0' });
    await sysctl(vpp, { 'net.ipv6.conf.p0.disable_ipv6': 1 });
    for (const [ns, dev] of [[vpp, 'p0'] as const, [far, 'w0'] as const]) {
      await run(inNetns(ns, ['ethtool', '-K', dev, 'tx', 'off']));
      await ip(ns, 'link', 'set', dev, 'up');
    }
    for (const address of ['10.0.0.2/24', '2001:db8::2/64']) await ip(far, 'addr', 'add', address, 'dev', 'w0');
    const real = await lab.addVpp({ netns: vpp, plugins: ['linux_cp', 'tap', 'af_packet'] });
    const wire = new Wire(lab, real, await lab.connect(real, 'socket', { hangMs }), namespaces);
    await wire.addPhy();
    return wire;
  }

  /** The phy, up, with the MTU of its device: VPP would say 9000. */
  async addPhy(): Promise<void> {
    const made = await this.client.request(afPacketCreateV3, {
      mode: 1,
      host_if_name: 'p0',
      hw_addr: MAC,
      num_rx_queues: 1,
      num_tx_queues: 1,
    });
    this.phy = made.sw_if_index;
    await this.client.request(itf.swInterfaceSetMtu, { sw_if_index: this.phy, mtu: [1500, 0, 0, 0] });
    await this.setUp(this.phy);
  }

  async setUp(sw_if_index: number): Promise<void> {
    await this.client.request(itf.swInterfaceSetFlags, { sw_if_index, flags: UP });
  }

  /** After VPP was started again. */
  async reconnect(): Promise<void> {
    this.client = await this.#lab.connect(this.vpp, 'socket', { hangMs });
  }

  addPair(host_if_name: string, sw_if_index = this.phy, netns = this.namespaces.cp): Promise<PairReply> {
    return this.client.request(lcpItfPairAddDelV3, { is_add: true, sw_if_index, host_if_name, netns });
  }

  delPair(sw_if_index = this.phy): Promise<PairReply> {
    return this.client.request(lcpItfPairAddDelV3, { is_add: false, sw_if_index });
  }

  /** An address on both sides of a pair. */
  async addAddress(dev: string, sw_if_index: number, address: string): Promise<void> {
    const [text = '', length = ''] = address.split('/');
    const prefix = { address: ipBytes(text), len: Number(length) };
    await this.client.request(itf.swInterfaceAddDelAddress, { sw_if_index, is_add: true, prefix });
    await ip(this.namespaces.cp, 'addr', 'add', address, 'dev', dev);
  }

  /** Link-local IPv4 groups that come in by an interface are punted. */
  async acceptGroups(sw_if_index: number): Promise<void> {
    const prefix = { af: 0, grp_address_length: 24, grp_address: ipBytes('224.0.0.0') };
    const accept = { itf_flags: ACCEPT, path: { sw_if_index, rpf_id: NONE, weight: 1 } };
    const forward = { itf_flags: FORWARD, path: { sw_if_index: NONE, rpf_id: NONE, type: LOCAL, weight: 1 } };
    const route = { prefix, n_paths: 2, paths: [accept, forward] };
    await this.client.request(ipMrouteAddDel, { is_add: true, is_multipath: true, route });
  }

  async vppInterface(sw_if_index: number): Promise<MessageValue<typeof itf.swInterfaceDetails>> {
    const [row] = await this.client.dump(itf.swInterfaceDump, { sw_if_index });
    if (row === undefined) throw new Error(`VPP has no interface ${sw_if_index}`);
    return row;
  }

  /** The links of the hosts' namespace by name, without lo. */
  async links(): Promise<ReadonlyMap<string, KernelLink>> {
    const links = await ipJson<KernelLink>(this.namespaces.cp, '-d', 'link');
    return new Map(links.filter(({ ifname }) => ifname !== 'lo').map((link) => [link.ifname, link]));
  }

  async link(name: string): Promise<KernelLink> {
    const link = (await this.links()).get(name);
    if (link === undefined) throw new Error(`the hosts' namespace has no ${name}`);
    return link;
  }
}
