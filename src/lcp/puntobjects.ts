// The objects that carry punted packets, as plain data: what a data plane holds besides the mirror.
//
// They are derived from punt requests (src/punt) and reconciled like all others: keyed, idempotent, dumped where the
// data plane can. Interfaces are named as everywhere: phys and sub-interfaces by their names, interconnects by theirs.
// What a data plane cannot dump is remembered in the journal (src/punt/journal.ts), which answers for it at adoption.

import type { PoliceScope } from '../lib/policescopes.ts';
import type { Family } from './objects.ts';

export const LINKS = ['tap', 'memif', 'phy'] as const;
/**
 * tap: a device in a network namespace; memif: shared memory, the data plane is the master; phy: a device of lcpd's own
 * namespace that is in no pair, opened as it is (data planes with interfaces of their own need none).
 */
export type LinkType = (typeof LINKS)[number];

/**
 * phyIfindex of a pair whose phy is an interconnect that has no device in lcpd's namespace: its layer 3 side, on a data
 * plane where that is a pair. No link has this index, so nothing is made to follow the host but the port.
 */
export const INTERCONNECT_PHY = 2 ** 31 - 1;

/** An interface that the data plane has for punts. Its peer is the CNF: a container or the host's own stack. */
export interface Interconnect {
  readonly kind: 'interconnect';
  /** At most 15 bytes: of the data plane's interface and, with link tap, of the device in the CNF's namespace. */
  readonly name: string;
  readonly link: LinkType;
  /** Namespace of the CNF's device, '' is lcpd's own; identity as in Pair. Both '' unless link is tap. */
  readonly netns: string;
  readonly netnsId: string;
  /** Of link phy, else 0. */
  readonly phyIfindex: number;
  /** MAC addresses: of the data plane's side and of the CNF's. '' with link phy. */
  readonly mac: string;
  readonly peerMac: string;
  /** Layer 3 MTU in bytes, 0: as the link is made. */
  readonly mtu: number;
  /** Whether the CNF may send frames that are to be segmented. */
  readonly gso: boolean;
  /** Of a memif: path of the control socket, secret; '' otherwise. */
  readonly socket: string;
  readonly secret: string;
  /** Layer 3 of the data plane's side, in the order in which it is to be given: 'address/length'; none: a plain L2 link. */
  readonly addresses: readonly string[];
  /** Interface whose addresses it borrows (unnumbered), '': none. */
  readonly lender: string;
  /** Table of both families: see PuntTable. */
  readonly table: PuntTable;
  /** The data plane asks for its IPv4 address by DHCP. */
  readonly dhcpClient: boolean;
  /** Identity of the request that it was made for first: data planes with tags write it there. */
  readonly owner: string;
}

/** What its port and device are made of: where that is another, they are made anew, and what was on them is gone. */
export const wireText = (i: Interconnect): string =>
  JSON.stringify([i.link, i.netns, i.netnsId, i.phyIfindex, i.mac, i.peerMac, i.mtu, i.gso, i.socket, i.secret]);

/** What an interconnect is when nothing is said: a link that carries frames and nothing else. */
export const PLAIN_INTERCONNECT: Omit<Interconnect, 'kind' | 'name' | 'link'> = {
  netns: '',
  netnsId: '',
  phyIfindex: 0,
  mac: '',
  peerMac: '',
  mtu: 0,
  gso: false,
  socket: '',
  secret: '',
  addresses: [],
  lender: '',
  table: 0,
  dhcpClient: false,
  owner: '',
};

/** A routing table by its number: the kernel's, in the namespace that lcpd mirrors; 0 and 254 are main. */
export type PuntTable = number;

/** Every frame that comes in by from leaves by to unchanged, whatever it is. */
export interface Xconnect {
  readonly kind: 'punt';
  readonly feature: 'xconnect';
  readonly from: string;
  readonly to: string;
}

/** Copies of what comes in by (rx) or leaves by (tx) an interface leave by to, as they were. */
export interface Span {
  readonly kind: 'punt';
  readonly feature: 'span';
  readonly from: string;
  readonly to: string;
  readonly rx: boolean;
  readonly tx: boolean;
}

export interface AclRule {
  readonly permit: boolean;
  readonly family: Family;
  /** 'address/length' */
  readonly source: string;
  readonly destination: string;
  /** IP protocol, 0: any. */
  readonly protocol: number;
  /** First and last source port of TCP and UDP, type of ICMP and ICMPv6. [0, 65535] otherwise. */
  readonly sourcePorts: readonly [first: number, last: number];
  /** The same of the destination port, of the code. */
  readonly destinationPorts: readonly [first: number, last: number];
  /** Of TCP: flags & mask = value. */
  readonly flagsMask: number;
  readonly flagsValue: number;
}

/** IP packets that come in by from and match leave by to as they came: ACL-based x-connect. Later rules are looked at last. */
export interface Abx {
  readonly kind: 'punt';
  readonly feature: 'abx';
  readonly from: string;
  readonly to: string;
  /** Several of one interface: the lowest number first. */
  readonly priority: number;
  readonly rules: readonly AclRule[];
  /** What the destination MAC of unicast frames becomes, '': it stays. */
  readonly dstMac: string;
}

/** Frames of an OSI protocol (IS-IS 0x83) that come in by from leave by to unchanged; several to: a copy each. */
export interface Osi {
  readonly kind: 'punt';
  readonly feature: 'osi';
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
}

/**
 * Which packets for the router itself. port 65535 of UDP or TCP: all ports that nobody has. reason: what the data
 * plane calls an exception.
 */
export type PuntMatch =
  | { readonly by: 'port'; readonly family: Family; readonly protocol: number; readonly port: number }
  | { readonly by: 'icmp6'; readonly type: number }
  | { readonly by: 'protocol'; readonly family: Family; readonly protocol: number }
  | { readonly by: 'reason'; readonly reason: string };

/** Such packets go to a client's AF_UNIX datagram socket, in the format of VPP's punt socket. */
export interface ToSocket {
  readonly kind: 'punt';
  readonly feature: 'socket';
  readonly match: PuntMatch;
  /** The client's path. */
  readonly path: string;
}

/** Such packets go to the host: the pair of the interface they came in by, or where redirects say. */
export interface ToHost {
  readonly kind: 'punt';
  readonly feature: 'host';
  readonly match: PuntMatch;
}

/** Where punted IP packets without a pair go: to a next hop over tx. */
export interface Redirect {
  readonly kind: 'punt';
  readonly feature: 'redirect';
  readonly family: Family;
  /** '' : any interface without a redirect of its own. */
  readonly rx: string;
  readonly tx: string;
  /** '' : the frame leaves by tx as it was received. */
  readonly nexthop: string;
}

/** A limit to what is punted: of one family as a whole, or of a class. */
export interface Police {
  readonly kind: 'punt';
  readonly feature: 'police';
  readonly scope: PoliceScope;
  readonly unit: 'pps' | 'kbps';
  /** In the unit. */
  readonly rate: number;
  /** With pps in milliseconds of the rate, with kbps in bytes. */
  readonly burst: number;
}

/** DHCP of clients in table goes to the server, as a relay's. */
export interface DhcpProxy {
  readonly kind: 'punt';
  readonly feature: 'dhcp-proxy';
  readonly family: Family;
  readonly table: PuntTable;
  readonly serverTable: PuntTable;
  readonly server: string;
  /** Address of the data plane that the server answers to. */
  readonly source: string;
}

/** Questions for addresses low..high (ARP, ND) that come in by an interface are answered with its own MAC. */
export interface ProxyNeighbour {
  readonly kind: 'punt';
  readonly feature: 'proxy';
  readonly on: string;
  readonly family: Family;
  readonly table: PuntTable;
  readonly low: string;
  readonly high: string;
}

export type Punt = Xconnect | Span | Abx | Osi | ToSocket | ToHost | Redirect | Police | DhcpProxy | ProxyNeighbour;
export type PuntFeature = Punt['feature'];

/** Text of a match, canonical: 'udp4/9000', 'icmp6/135', 'ip4/89', 'reason/ipsec4-no-such-tunnel'. */
export function matchText(m: PuntMatch): string {
  switch (m.by) {
    case 'port':
      return `${m.protocol === 6 ? 'tcp' : m.protocol === 17 ? 'udp' : `${m.protocol}/`}${m.family}/${m.port}`;
    case 'icmp6':
      return `icmp6/${m.type}`;
    case 'protocol':
      return `ip${m.family}/${m.protocol}`;
    case 'reason':
      return `reason/${m.reason}`;
  }
}

/** The key of a punt within its kind. */
export function puntKey(p: Punt): string {
  switch (p.feature) {
    case 'xconnect':
      return `xconnect ${p.from}`;
    case 'span':
    case 'abx':
      return `${p.feature} ${p.from} ${p.to}`;
    case 'osi':
      return `osi ${p.from} ${p.to} ${p.protocol}`;
    case 'socket':
    case 'host':
      return `${p.feature} ${matchText(p.match)}`;
    case 'redirect':
      return `redirect ip${p.family} ${p.rx || 'any'}`;
    case 'police':
      return `police ${p.scope}`;
    case 'dhcp-proxy':
      return `dhcp-proxy ip${p.family} ${p.table} ${p.server}`;
    case 'proxy':
      return `proxy ${p.on} ${p.low}`;
  }
}

/** Interfaces that a punt is about: it goes before any of them does. */
export function interfacesOf(p: Punt): string[] {
  switch (p.feature) {
    case 'xconnect':
    case 'span':
    case 'abx':
    case 'osi':
      return [p.from, p.to];
    case 'redirect':
      return p.rx === '' ? [p.tx] : [p.rx, p.tx];
    case 'proxy':
      return [p.on];
    default:
      return [];
  }
}
