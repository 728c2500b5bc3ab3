/**
 * PuntLife: one punt of each sort that the embedded plane has, and what would tell that one of them was made anew, or doubled, or is
 * there in name only.
 *
 * Invariants: identities are what an operator or a CNF could have written down; a punt works when a packet that was sent for it came.
 */
import { interconnectName } from '../../../src/punt/names.ts';
import { packet4 } from '../../vpp/lab/dhcpframes.ts';
import type { Lab } from '../lab.ts';
import { ip, ipJson, pidsIn } from './netns.ts';
import { ODD_SOURCE } from './oddframes.ts';
import { waitFor } from './process.ts';
import { buildPuntClient, PuntClient } from './puntclient.ts';
import { type CnfLink, type Entry, isPuntTap, type Punts } from './punts.ts';
import { abx, bridge, ospf } from './puntscene.ts';
import { frameOf } from './rawframes.ts';
import { Sniffer } from './sniffer.ts';
import { sendFrames, udpPackets } from './traffic.ts';

interface Tap extends CnfLink {
  readonly ifindex: number;
  readonly address: string;
  readonly master?: string;
}

/** TAPs of punts in a namespace, with all that a CNF could see them change by. */
export const tapsIn = async (lab: Lab, role: string): Promise<string[]> => {
  const links = await ipJson<Tap>(lab.ns(role), '-details', 'link');
  return links
    .filter((link) => isPuntTap(lab, link))
    .map(({ ifindex, ifname, address, master = '' }) => [ifindex, ifname, address, master].join(' '));
};

/** Those that are not created, with why. */
export const open = async (punts: Punts): Promise<string[]> =>
  (await punts.rows())
    .filter(({ state }) => state !== 'CREATED')
    .map(({ id, state, reasons }) => `${id} ${state} ${reasons}`);

export const allCreated = (punts: Punts): Promise<boolean> =>
  waitFor('all to be created', async () => {
    const waiting = await open(punts);
    if (waiting.length > 0) throw new Error(waiting.join('\n'));
    return true;
  });

/** What would tell that a request was made anew. */
export const identities = async (punts: Punts): Promise<string[]> =>
  (await punts.rows()).map(({ id, links, objects }) => JSON.stringify([id, links, objects]));

export async function killForwarder(lab: Lab): Promise<void> {
  const { pid } = (await lab.lcpd.status()).dataplane;
  if (pid === undefined || !(await pidsIn(lab.ns('rtr'))).includes(pid)) throw new Error(`no data plane: pid ${pid}`);
  process.kill(pid, 'SIGKILL');
  await waitFor('the data plane to end', async () => !(await pidsIn(lab.ns('rtr'))).includes(pid));
}

const SOCKET_PORT = 9001;
const clientPath = (lab: Lab): string => `${lab.dir}/client.sock`;

/** One of each that the embedded plane has, over pairs p0 and p1 and bare phys p2, p3 and p4. */
export const oneOfEach = (lab: Lab): Entry[] => {
  const [c1, c2] = [lab.ns('c1'), lab.ns('c2')];
  return [
    { name: 'wire', type: 'hairpin-xconnect', netns: c1, interfaces: ['p2', 'p3'] },
    {
      ...{ name: 'hairpin', type: 'hairpin', netns: c2, interface: 'p4' },
      'hairpin-interface': { name: 'hp0', addresses: ['10.5.0.1/24'] },
    },
    { name: 'mirror', type: 'span', netns: c2, interface: 'p0' },
    abx('routing', c2, ospf),
    { name: 'isis', type: 'isisx', netns: c2, interface: 'p1' },
    { name: 'host', type: 'to-host', netns: '', l3: 'all', l4: 'udp', port: 9000 },
    {
      ...{ name: 'socket', type: 'to-host', netns: '', l3: 'all', l4: 'udp', port: SOCKET_PORT },
      socket: clientPath(lab),
    },
    { name: 'reason', type: 'exception', netns: '', reason: 'ipsec4-no-such-tunnel', socket: clientPath(lab) },
    { name: 'protocol', type: 'ip-protocol', netns: '', l3: 'ipv4', protocol: 112, socket: clientPath(lab) },
    { name: 'icmp6', type: 'icmp6', netns: '', 'icmp-type': 200, socket: clientPath(lab) },
    { name: 'memif', type: 'span', netns: c2, interface: 'p1', interconnect: 'memif' },
    { name: 'relay', type: 'dhcp-proxy', netns: c2, l3: 'ipv4' },
    { name: 'redirect', type: 'ip-redirect', netns: '', l3: 'ipv4', tx: 'p1', 'next-hop': ['10.0.1.2'] },
    { name: 'limit', type: 'police', netns: '', scope: 'ipv6', rate: 100000 },
  ];
};

const tapOf = (selector: string, netns: number): string => interconnectName('tap', `${selector}|netns::${netns}`);
/** Of namespace c2, the second in the configuration. */
export const hairpinTap = tapOf('vpp/interface/p4', 2);
/** What the interface behind the HAIRPIN would have been called: its MACs follow from it. */
export const unnamedHairpinTap = tapOf('vpp/hairpin/interface/hp0', 2);
export const relayTap = tapOf('vpp/vrf/0', 2);
export const mirrorTap = tapOf('vpp/span/interface/p0', 2);
export const abxTap = tapOf('vpp/interface/p0', 2);
export const isisTap = tapOf('vpp/interface/p1', 2);
/** TAPs of oneOfEach by namespace, sorted. */
export const TAPS = {
  c1: [tapOf('vpp/interface/p2', 1), tapOf('vpp/interface/p3', 1)].sort(),
  c2: [hairpinTap, 'hp0', relayTap, mirrorTap, abxTap, isisTap].sort(),
} as const;

/** Links of bare phys are up. */
export async function bareUp(lab: Lab, ...phys: number[]): Promise<void> {
  for (const n of phys) await ip(lab.ns('rtr'), 'link', 'set', `p${n}`, 'up');
}

/** From host to address, each through another punt or none. */
export const WAYS = [
  ['h0', '10.0.1.2'],
  ['h2', '10.9.9.3'],
  ['h4', '10.5.0.1'],
] as const;

/** Both CNFs bridge, and hosts behind them have addresses. */
export async function bridgeAll(lab: Lab): Promise<void> {
  await bridge(lab, 'c1', ...TAPS.c1);
  await bridge(lab, 'c2', hairpinTap, 'hp0');
  await ip(lab.ns('h2'), 'address', 'add', '10.9.9.2/24', 'dev', 'eth0');
  await ip(lab.ns('h3'), 'address', 'add', '10.9.9.3/24', 'dev', 'eth0');
  await ip(lab.ns('h4'), 'address', 'add', '10.5.0.2/24', 'dev', 'eth0');
}

/** A client at the socket and somebody who listens behind the relay. */
export class Witnesses {
  readonly #lab: Lab;
  readonly #client: PuntClient;
  #server: Sniffer;
  #mark = 0xa10000;

  private constructor(lab: Lab, client: PuntClient, server: Sniffer) {
    this.#lab = lab;
    this.#client = client;
    this.#server = server;
  }

  static #listen = (lab: Lab): Promise<Sniffer> => Sniffer.on(lab, lab.ns('c2'), relayTap, 'in', 'udp dst port 67');

  static async add(lab: Lab): Promise<Witnesses> {
    await buildPuntClient();
    const client = new PuntClient(clientPath(lab));
    lab.defer(() => client.stop());
    await client.ready();
    return new Witnesses(lab, client, await Witnesses.#listen(lab));
  }

  /** For TAPs that were made anew. */
  async listenAgain(): Promise<void> {
    this.#server = await Witnesses.#listen(this.#lab);
  }

  /** A datagram of h0 reaches the client, once. */
  async socket(): Promise<void> {
    const before = this.#client.got().length;
    await udpPackets(this.#lab.ns('h0'), '10.0.0.1', SOCKET_PORT, 1, 1);
    await waitFor('the datagram at the client', () => this.#client.got().length === before + 1);
  }

  /** A DISCOVER of h0 reaches the server, once, from the relay's own address, which is told. */
  async relay(): Promise<string> {
    const mark = (this.#mark++).toString(16);
    const discover = packet4({ mark, options: '350101ff' });
    const frame = frameOf('ff:ff:ff:ff:ff:ff', ODD_SOURCE, Buffer.from(discover, 'hex'));
    const mine = (): string[] => this.#server.frames().filter((hex) => hex.slice(28).includes(`aa${mark}`));
    await sendFrames(this.#lab.ns('h0'), 'eth0', [frame.toString('hex')]);
    const relayed = await waitFor('the DISCOVER behind the relay', () => mine()[0]);
    if (mine().length > 1) throw new Error(`the DISCOVER came ${mine().length} times`);
    return relayed.slice(52, 60);
  }
}
