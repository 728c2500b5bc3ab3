// PuntPorts: who in VPP takes packets for the router itself: by UDP port, IP protocol, ICMPv6 type.
//
// Invariants: registering what somebody has takes it from him without a word, and letting it go leaves nobody there. So what
// VPP's own protocols use is refused by name, loaded or not, and what nodes of this VPP have by what it shows. The ports of lcpd's own
// punts are told by the node that has them. Reference: VPP's src/vnet/udp/udp_local.h, udp_cli.c, src/vnet/ip/ip4_forward.c.

import type { Family } from '../lcp/objects.ts';
import type { PuntMatch } from '../lcp/puntobjects.ts';
import { cliInband } from './api/vpe.ts';
import type { VppClient } from './client.ts';

export const TCP = 6;
export const UDP = 17;
export const ICMP6 = 58;
/** All ports that nobody has. */
export const ANY_PORT = 0xffff;

const PORTS: Readonly<Record<number, string>> = {
  53: 'DNS',
  67: 'DHCP',
  68: 'DHCP',
  500: 'IKEv2',
  2152: 'GTP-U',
  3784: 'BFD',
  3785: 'BFD echo',
  4341: 'LISP',
  4342: 'LISP control',
  4500: 'IPsec NAT traversal',
  4739: 'IPFIX',
  4784: 'BFD multihop',
  4789: 'VXLAN',
  4790: 'VXLAN-GPE',
  6081: 'GENEVE',
  6633: 'vPath',
  48879: 'VXLAN-GBP',
  53053: 'DNS',
};
const PORTS6: Readonly<Record<number, string>> = { 546: 'DHCPv6', 547: 'DHCPv6' };
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  2: 'IGMP',
  4: 'IP in IP',
  6: 'TCP',
  17: 'UDP',
  41: 'IPv6 in IP',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  58: 'ICMPv6',
  112: 'VRRP',
  132: 'SCTP',
};
const TYPES6: Readonly<Record<number, string>> = {
  128: 'ping',
  130: 'MLD',
  131: 'MLD',
  132: 'MLD',
  133: 'router discovery',
  134: 'router discovery',
  135: 'neighbour discovery',
  136: 'neighbour discovery',
  143: 'MLD',
};
/** Numbers of protocols that `show ip local` tells by name, beside those above. */
const NAMES: Readonly<Record<string, number>> = {
  ICMP: 1,
  IGMP: 2,
  IP_IN_IP: 4,
  TCP: TCP,
  UDP: UDP,
  IPV6: 41,
  GRE: 47,
  IPSEC_ESP: 50,
  IPSEC_AH: 51,
  ICMP6: ICMP6,
  EIGRP: 88,
  OSPF: 89,
  PIM: 103,
  VRRP: 112,
  L2TP: 115,
  SCTP: 132,
  UDP_LITE: 136,
  MPLS_IN_IP: 137,
};
/** Nodes that packets are punted by. */
const PUNT = /^ip[46]-udp-punt$/;
const SOCKET = /^ip[46]-(udp|proto)-punt-socket$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: VPP colours its tables
const COLOURS = /\u001b\[[0-9;]*m/g;

/** How a port or protocol is taken: by a punt of somebody, or by a node of VPP's own. */
export type Taker = 'punt' | 'socket' | { readonly node: string };

export class PuntPorts {
  readonly #client: VppClient;
  #ports = new Map<string, string>();
  #protocols = new Map<string, string>();

  constructor(client: VppClient) {
    this.#client = client;
  }

  /** Reads what VPP shows now. */
  async read(): Promise<void> {
    const show = async (cmd: string): Promise<string[]> => {
      const { reply } = await this.#client.request(cliInband, { cmd }, { accept: [-1] });
      return reply.replace(COLOURS, '').split('\n');
    };
    this.#ports = new Map();
    for (const line of await show('show udp ports')) {
      const [, port, family, node = ''] = /^\s*(\d+)\s+ip([46])\s+(\S+)/.exec(line) ?? [];
      if (port !== undefined) this.#ports.set(`${family}/${port}`, node);
    }
    this.#protocols = new Map();
    for (const [family, cmd] of [[4, 'show ip local'] as const, [6, 'show ip6 local'] as const]) {
      for (const line of await show(cmd)) {
        const [, name = '', node = ''] = /^(\w+): (\S+)$/.exec(line.trim()) ?? [];
        const number = NAMES[name] ?? (/^\d+$/.test(name) ? Number(name) : undefined);
        if (number !== undefined) this.#protocols.set(`${family}/${number}`, node);
      }
    }
  }

  /** Who has such packets by VPP's own account, as last read. */
  taker(match: PuntMatch): Taker | undefined {
    const node = this.#nodeOf(match);
    if (node === undefined) return undefined;
    return PUNT.test(node) ? 'punt' : SOCKET.test(node) ? 'socket' : { node };
  }

  #nodeOf(match: PuntMatch): string | undefined {
    if (match.by === 'port' && match.protocol === UDP) return this.#ports.get(`${match.family}/${match.port}`);
    if (match.by === 'protocol') return this.#protocols.get(`${match.family}/${match.protocol}`);
    return undefined;
  }

  /** The protocol or node of VPP that such packets are for; undefined where they can be punted. */
  takenBy(match: PuntMatch): string | undefined {
    const taker = this.taker(match);
    if (typeof taker === 'object') return nameOf(match) ?? taker.node;
    return taker === undefined ? nameOf(match) : undefined;
  }
}

function nameOf(match: PuntMatch): string | undefined {
  switch (match.by) {
    case 'port':
      return match.protocol === UDP ? (PORTS[match.port] ?? PORTS6Of(match.family)[match.port]) : undefined;
    case 'protocol':
      return PROTOCOLS[match.protocol];
    case 'icmp6':
      return TYPES6[match.type];
    case 'reason':
      return undefined;
  }
}

const PORTS6Of = (family: Family): Readonly<Record<number, string>> => (family === 6 ? PORTS6 : {});
