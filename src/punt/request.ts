// PuntRequest: what somebody asks to be punted, checked and with every default filled in.
//
// Invariants: a request that exists is valid in itself (config/punts.ts for what is written); whether it can be had here and
// now is derive.ts's to say. Sources: Ligato's punt plugin (to-host, exception, ip-redirect), VPP's punt infrastructure
// (ip-protocol, icmp6, police), StoneWork's punt manager (the others).

import type { AclRule, Police } from '../lcp/puntobjects.ts';

/** Who asks: the CNF ('' is the host itself), the item that asks, and which of the item's punts it is. */
export interface PuntId {
  readonly cnf: string;
  readonly key: string;
  readonly label: string;
}

export const idText = ({ cnf, key, label }: PuntId): string => `${cnf}|${key}|${label}`;

export type L3 = 'ipv4' | 'ipv6' | 'all';
export type InterconnectType = 'tap' | 'memif' | 'af-unix';

/** A rule as it is asked for: networks may be 'any' or 'local', the addresses of the interface. */
export interface RuleSpec extends Omit<AclRule, 'family' | 'source' | 'destination'> {
  readonly source: string;
  readonly destination: string;
}

export interface ToHostSpec {
  readonly type: 'to-host';
  readonly l3: L3;
  readonly l4: 'udp' | 'tcp';
  /** 65535: all that nobody has. */
  readonly port: number;
  /** Of the client; '' : the packets go to the host. */
  readonly socket: string;
}

export interface ProtocolSpec {
  readonly type: 'ip-protocol';
  readonly l3: L3;
  readonly protocol: number;
  readonly socket: string;
}

export interface Icmp6Spec {
  readonly type: 'icmp6';
  readonly icmpType: number;
  readonly socket: string;
}

export interface ExceptionSpec {
  readonly type: 'exception';
  readonly reason: string;
  readonly socket: string;
}

export interface RedirectSpec {
  readonly type: 'ip-redirect';
  readonly l3: L3;
  /** '' : any. */
  readonly rx: string;
  readonly tx: string;
  /** One of each family of l3; none: frames leave as they were received. */
  readonly nextHops: readonly string[];
}

export interface PoliceSpec extends Pick<Police, 'scope' | 'unit' | 'rate' | 'burst'> {
  readonly type: 'police';
}

export interface HairpinXconnectSpec {
  readonly type: 'hairpin-xconnect';
  readonly interfaces: readonly [string, string];
}

export interface HairpinSpec {
  readonly type: 'hairpin';
  readonly interface: string;
  readonly hairpin: {
    readonly name: string;
    /** '' : by the rules of names.ts. */
    readonly mac: string;
    readonly addresses: readonly string[];
    readonly vrf: number;
    readonly dhcpClient: boolean;
    /** 0: as the link is made. */
    readonly mtu: number;
  };
}

export interface SpanSpec {
  readonly type: 'span';
  readonly interface: string;
  readonly direction: 'rx' | 'tx' | 'both';
}

export interface AbxSpec {
  readonly type: 'abx';
  readonly interface: string;
  readonly vrf: number;
  readonly withoutCnfVrf: boolean;
  readonly ingress: readonly RuleSpec[];
  readonly egress: readonly RuleSpec[];
}

export interface DhcpProxySpec {
  readonly type: 'dhcp-proxy';
  /** Families that are relayed. */
  readonly l3: L3;
  readonly vrf: number;
  readonly withoutCnfVrf: boolean;
}

export interface IsisxSpec {
  readonly type: 'isisx';
  readonly interface: string;
  readonly vrf: number;
  readonly withoutCnfVrf: boolean;
}

export type PuntSpec =
  | ToHostSpec
  | ProtocolSpec
  | Icmp6Spec
  | ExceptionSpec
  | RedirectSpec
  | PoliceSpec
  | HairpinXconnectSpec
  | HairpinSpec
  | SpanSpec
  | AbxSpec
  | DhcpProxySpec
  | IsisxSpec;

export interface PuntRequest {
  readonly id: PuntId;
  /** Namespace of the CNF's devices, '' is lcpd's own. */
  readonly netns: string;
  readonly interconnect: InterconnectType;
  readonly gso: boolean;
  readonly spec: PuntSpec;
}
