// PuntConfig: one punt that is asked for, checked and with every default filled in.
//
// Invariants: the same shape as PuntRequest of src/punt/request.ts, which this folder may not know; a test has the compiler
// compare the two. Words and units are explained there.

import type { PoliceScope } from '../lib/policescopes.ts';

export const puntTypes = [
  'to-host',
  'ip-protocol',
  'icmp6',
  'exception',
  'ip-redirect',
  'police',
  'hairpin-xconnect',
  'hairpin',
  'span',
  'abx',
  'dhcp-proxy',
  'isisx',
] as const;
export type PuntType = (typeof puntTypes)[number];

export const l3Words = ['ipv4', 'ipv6', 'all'] as const;
export type L3Word = (typeof l3Words)[number];

export const interconnectWords = ['tap', 'memif', 'af-unix'] as const;
export type InterconnectWord = (typeof interconnectWords)[number];

/**
 * Packets a second that are let through when nothing is said: what protocols of a busy router need with room to spare, and
 * far less than what keeps a control plane from its work. BFD and routing come first, what only answers strangers last.
 */
export const policeRates: Readonly<Record<PoliceScope, number>> = {
  ipv4: 20_000,
  ipv6: 20_000,
  arp: 1000,
  nd: 1000,
  icmp: 1000,
  bgp: 10_000,
  ospf: 5000,
  ldp: 2000,
  bfd: 20_000,
  ssh: 2000,
  snmp: 1000,
  dhcp: 1000,
  lacp: 500,
  lldp: 200,
  isis: 5000,
  ttl: 200,
  unknown: 200,
};

type Range = readonly [first: number, last: number];

/** One rule of an ABX. */
export interface PuntRuleConfig {
  readonly permit: boolean;
  /** 'address/length', 'any' or 'local'. */
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePorts: Range;
  readonly destinationPorts: Range;
  readonly flagsMask: number;
  readonly flagsValue: number;
}

interface InVrf {
  readonly vrf: number;
  readonly withoutCnfVrf: boolean;
}

export type PuntSpecConfig =
  | {
      readonly type: 'to-host';
      readonly l3: L3Word;
      readonly l4: 'udp' | 'tcp';
      readonly port: number;
      readonly socket: string;
    }
  | { readonly type: 'ip-protocol'; readonly l3: L3Word; readonly protocol: number; readonly socket: string }
  | { readonly type: 'icmp6'; readonly icmpType: number; readonly socket: string }
  | { readonly type: 'exception'; readonly reason: string; readonly socket: string }
  | {
      readonly type: 'ip-redirect';
      readonly l3: L3Word;
      readonly rx: string;
      readonly tx: string;
      readonly nextHops: readonly string[];
    }
  | {
      readonly type: 'police';
      readonly scope: PoliceScope;
      readonly unit: 'pps' | 'kbps';
      readonly rate: number;
      readonly burst: number;
    }
  | { readonly type: 'hairpin-xconnect'; readonly interfaces: readonly [string, string] }
  | {
      readonly type: 'hairpin';
      readonly interface: string;
      readonly hairpin: {
        readonly name: string;
        readonly mac: string;
        readonly addresses: readonly string[];
        readonly vrf: number;
        readonly dhcpClient: boolean;
        readonly mtu: number;
      };
    }
  | { readonly type: 'span'; readonly interface: string; readonly direction: 'rx' | 'tx' | 'both' }
  | (InVrf & {
      readonly type: 'abx';
      readonly interface: string;
      readonly ingress: readonly PuntRuleConfig[];
      readonly egress: readonly PuntRuleConfig[];
    })
  | (InVrf & { readonly type: 'dhcp-proxy'; readonly l3: L3Word })
  | (InVrf & { readonly type: 'isisx'; readonly interface: string });

export interface PuntConfig {
  /** `cnf` is the namespace; `key` is 'config' for what the configuration file asks for. */
  readonly id: { readonly cnf: string; readonly key: string; readonly label: string };
  /** '' is lcpd's own. */
  readonly netns: string;
  readonly interconnect: InterconnectWord;
  readonly gso: boolean;
  readonly spec: PuntSpecConfig;
}

/** Identity as text: the same for a request that is changed. */
export const puntIdText = ({ id }: PuntConfig): string => `${id.cnf}|${id.key}|${id.label}`;
