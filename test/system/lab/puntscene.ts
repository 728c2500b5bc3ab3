/**
 * Scenes: what stories of punts have in common: a CNF that bridges, what is seen of its devices, frames and rules of routing
 * protocols.
 */
import type { Lab } from '../lab.ts';
import { inNetns, ip, ipJson } from './netns.ts';
import { ODD_SOURCE, ospfPacket, tcpPacket } from './oddframes.ts';
import { run, waitFor } from './process.ts';
import type { Entry } from './punts.ts';
import { frameOf } from './rawframes.ts';
import { ping, sendFrames } from './traffic.ts';

export const embeddedOnly = {
  not: { vpp: 'stories of VPP are in test/vpp', 'linux-cp': 'stories of VPP are in test/vpp' },
};

/** Of a story about TAPs of CNFs: attached pairs are for where VPP cannot make any. */
export const withTaps = { not: { vpp: 'VPP makes TAPs in the level qemu' } };

/** What VPP has not, by the words of its gaps (docs/support-matrix.md), and stories leave out there. */
const VPP_LACKS = ['proxy 6'] as const;
export const lacks = (lab: Lab, what: (typeof VPP_LACKS)[number]): boolean =>
  lab.dataplane !== 'embedded' && VPP_LACKS.includes(what);

/** What the MAC of a CNF's end of an ABX is like: VPP sends packets on with the destination that they came with. */
export const abxMac = async (lab: Lab): Promise<RegExp> =>
  lab.dataplane === 'embedded' ? /^02:fe:/ : new RegExp(`^${await macIn(lab, 'cp', 'e0')}$`);

/** Whether the router has the interface of a HAIRPIN: a host of the control plane, or VPP's own. */
export const hasHairpin = async (lab: Lab, name: string): Promise<boolean> =>
  lab.dataplane === 'embedded'
    ? (await lab.link('cp', name)) !== undefined
    : (await lab.vppctl('show interface address')).includes(`${name} (up)`);

/** The CNF patches its devices together, whatever the frames are. */
export async function bridge(lab: Lab, role: string, ...devices: string[]): Promise<void> {
  const ns = lab.ns(role);
  await ip(
    ns,
    'link',
    'add',
    'br0',
    'type',
    'bridge',
    'stp_state',
    '0',
    'mcast_snooping',
    '0',
    'group_fwd_mask',
    '0xfff8',
  );
  // and the firewall, where it is loaded, does not look into them
  const off = ['iptables', 'ip6tables', 'arptables'].map((name) => `net.bridge.bridge-nf-call-${name}=0`);
  await run(inNetns(ns, ['sysctl', '-q', '-e', '-w', 'net.ipv6.conf.br0.disable_ipv6=1', ...off]));
  for (const device of devices) await ip(ns, 'link', 'set', device, 'master', 'br0');
  await ip(ns, 'link', 'set', 'br0', 'up');
}

export const macIn = async (lab: Lab, role: string, dev: string): Promise<string> =>
  (await lab.waitLink(role, dev)).address ?? '';

/** Global ones. */
export const addressesIn = async (lab: Lab, role: string, dev: string): Promise<string[]> => {
  const all = await ipJson<{ ifname: string; addr_info: { local: string; prefixlen: number; scope: string }[] }>(
    lab.ns(role),
    'address',
  );
  const own = all.find(({ ifname }) => ifname === dev)?.addr_info ?? [];
  return own.filter(({ scope }) => scope === 'global').map(({ local, prefixlen }) => `${local}/${prefixlen}`);
};

/** Who answers for an address, as a namespace has learned it. */
export const neighbour = (lab: Lab, role: string, dev: string, address: string): Promise<string> =>
  waitFor(`${address} to be known in ${role}`, async () => {
    await ping(lab.ns(role), address, { count: 1 });
    const all = await ipJson<{ dst: string; lladdr?: string }>(lab.ns(role), 'neighbour', 'show', 'dev', dev);
    return all.find(({ dst }) => dst === address)?.lladdr;
  });

export const ospf = { protocol: 'ospf', destination: 'local' };
export const bgp = { protocol: 'tcp', destination: 'local', 'destination-port': 179 };
export const abx = (name: string, netns: string, ...ingress: object[]): Entry => ({
  ...{ name, type: 'abx', netns, interface: 'p0', ingress },
});

/** Frames of h0 to the router, by what they are. */
export async function framesTo(lab: Lab): Promise<Record<'ospf4' | 'ospf6' | 'bgp' | 'ssh', Buffer>> {
  const mac = await macIn(lab, 'cp', 'e0');
  const frame = (packet: Buffer) => frameOf(mac, ODD_SOURCE, packet);
  return {
    ospf4: frame(ospfPacket('10.0.0.2', '10.0.0.1', 7)),
    ospf6: frame(ospfPacket('fd00:0::2', 'fd00:0::1', 7)),
    bgp: frame(tcpPacket('10.0.0.2', '10.0.0.1', 179)),
    ssh: frame(tcpPacket('10.0.0.2', '10.0.0.1', 22)),
  };
}

export const toSocket = (name: string, port: number, socket: string, more: object = {}): Entry => ({
  ...{ name, type: 'to-host', netns: '', l3: 'ipv4', l4: 'udp', port, socket },
  ...more,
});

/** What the phy N answers to, in a pair or in none. */
export async function phyMac(lab: Lab, n: number): Promise<string> {
  if (lab.dataplane === 'embedded') return macIn(lab, 'rtr', `p${n}`);
  const shown = await lab.vppctl(`show hardware-interfaces p${n}`);
  return /Ethernet address (\S+)/.exec(shown)?.[1] ?? '';
}

/** A frame for the router itself, which enters by the phy N from its wire. */
export const into = async (lab: Lab, n: number, packet: Buffer): Promise<Buffer> =>
  frameOf(await phyMac(lab, n), ODD_SOURCE, packet);

/** Sends frames into the phy N. */
export const send = (lab: Lab, n: number, ...frames: readonly Buffer[]): Promise<string> =>
  sendFrames(
    lab.ns(`h${n}`),
    'eth0',
    frames.map((frame) => frame.toString('hex')),
  );

/** The same frame with another destination. */
export const toMac = (frame: Buffer, mac: string): string => mac.replaceAll(':', '') + frame.toString('hex').slice(12);
