// Config: what the operator asked for, with every default filled in.
//
// Invariants: a Config exists only when the whole text was valid; it is never changed in place (a reload makes
// a new one and compares, see diff.ts). YAML keys are kebab-case, these are the same names in camelCase.

import { dirname } from 'node:path/posix';
import type { PuntConfig } from './puntconfig.ts';

/** A host interface: `tap` carries Ethernet frames (multi-point), `tun` carries IP packets (point-to-point). */
export type PairType = 'tap' | 'tun';

/**
 * What becomes of a route whose only way out is a device that is no pair, so that the data plane cannot forward by it:
 * `punt` hands its packets to the kernel, `drop` discards them, `ignore` leaves the route out, and the next less
 * specific one applies.
 */
export const unpairedRoutes = ['punt', 'drop', 'ignore'] as const;
export type UnpairedRoutes = (typeof unpairedRoutes)[number];

/** Log levels, most verbose first. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** One configured phy with its host interface. `phy` is unique, and so is (`netns`, `host`). */
export interface PairConfig {
  /** Name of the netdev that forwards, in lcpd's own namespace; with driver `vpp` of VPP's interface. */
  readonly phy: string;
  /** Name of the interface that the control plane sees. */
  readonly host: string;
  /** Namespace name under /run/netns, the default namespace already applied; undefined = lcpd's own. */
  readonly netns: string | undefined;
  readonly type: PairType;
}

/** Who forwards: lcpd's own forwarding process, or FD.io VPP. */
export const drivers = ['embedded', 'vpp'] as const;
export type Driver = (typeof drivers)[number];

/** How lcpd speaks with VPP; `auto` takes shared memory where libvppapiclient is installed. */
export const vppTransports = ['auto', 'socket', 'shm'] as const;

/**
 * How a phy of VPP and its host are joined: `linux-cp` makes the TAP or TUN; `attach` joins two interfaces that
 * VPP has already, by the test plugin of linux_cp (for labs on kernels without vhost-net).
 */
export const pairBackends = ['linux-cp', 'attach'] as const;

export interface VppConfig {
  /** Unix socket of the binary API. */
  readonly socket: string;
  readonly transport: (typeof vppTransports)[number];
  /** Unix socket of the statistics segment. */
  readonly statsSocket: string;
  readonly pairBackend: (typeof pairBackends)[number];
  /** Numbers of ethertypes, and of OSI protocols, that linux_cp is to hand on between phy and host. */
  readonly ethertypes: readonly number[];
  readonly osi: readonly number[];
  /** Where VPP sends router solicitations and advertisements, which are handed to hosts; '' leaves them to VPP. */
  readonly discoverySocket: string;
  /** Where VPP sends packets to groups for ABX. */
  readonly groupSocket: string;
}

/** Ethertypes and OSI network layer protocols that have a name here. */
export const ethertypeNames: Readonly<Record<string, number>> = {
  pause: 0x8808,
  lacp: 0x8809,
  'isis-jumbo': 0x8870,
  eapol: 0x888e,
  macsec: 0x88e5,
  lldp: 0x88cc,
  ptp: 0x88f7,
  cfm: 0x8902,
};
export const osiNames: Readonly<Record<string, number>> = { clnp: 0x81, 'es-is': 0x82, isis: 0x83 };

/** What goes from VPP to Linux. */
export interface SyncConfig {
  readonly vppToLinux: boolean;
  /** Addresses that an unnumbered interface borrows, too. */
  readonly unnumbered: boolean;
  /** Sub-interfaces that are made in VPP, too. */
  readonly autoSubint: boolean;
}

/** Pairs for interfaces of VPP by their name. */
export interface AutoPairConfig {
  /** With one '*', or none. */
  readonly phy: string;
  /** Its '*' stands for the same. */
  readonly host: string;
  /** The default namespace already applied; undefined = lcpd's own. */
  readonly netns: string | undefined;
}

export interface DataplaneConfig {
  readonly driver: Driver;
  /** Of driver `vpp`; the keys below are of the embedded one. */
  readonly vpp: VppConfig;
  /** Forwarding threads, 1..8. */
  readonly workers: number;
  /** Bytes of table memory reserved (not touched until used). */
  readonly memoryBytes: number;
  /** Unix socket of the forwarder process. */
  readonly socket: string;
}

export interface ControlConfig {
  /** Absolute path of the control socket. */
  readonly socket: string;
  /** File mode of the socket, as a number (0o660). */
  readonly mode: number;
  /** Group that owns the socket; undefined = lcpd's own group. */
  readonly group: string | undefined;
}

export interface LogConfig {
  readonly level: LogLevel;
  /** Levels of single areas (folder names: netlink, lcp, forwarding, …), over `level`. */
  readonly areas: Readonly<Record<string, LogLevel>>;
}

export interface NetlinkConfig {
  /** SO_RCVBUFFORCE of the notification socket, bytes, for each namespace. */
  readonly rxBufferBytes: number;
  /** Decoded messages that may wait for a round before reading pauses (the rest stays in the socket). */
  readonly queueMessages: number;
  /** False: neighbours are not mirrored, for a control plane that resolves by other means. */
  readonly neighbours: boolean;
}

export interface RetryConfig {
  /** First delay before a failed object is tried again, ms; doubles up to `maxMs`. */
  readonly initialMs: number;
  readonly maxMs: number;
}

/** What punts are made with. */
export interface PuntSettings {
  /** Path that clients of punt sockets write to, of the embedded data plane; VPP has its own. */
  readonly socket: string;
  /** Subnets of interconnects are cut from it. */
  readonly interconnectAllocCidr: string;
  /** Directory of memif sockets. */
  readonly memifDirectory: string;
  /** Directory of what is remembered: punts that were asked for over a door, numbers that are kept. */
  readonly state: string;
}

/** The whole configuration. */
export interface Config {
  readonly dataplane: DataplaneConfig;
  /** Default namespace of host interfaces; undefined = lcpd's own. */
  readonly netns: string | undefined;
  readonly pairs: readonly PairConfig[];
  readonly autoPairs: readonly AutoPairConfig[];
  readonly sync: SyncConfig;
  /** Routes that leave by a device that is no pair. */
  readonly unpairedRoutes: UnpairedRoutes;
  /** True: while a phy has no carrier, routes of static origin (rtm_protocol <= RTPROT_STATIC) over it are withdrawn. */
  readonly delStaticOnLinkDown: boolean;
  /** True: while a phy has no carrier, routes of dynamic origin (every other rtm_protocol) over it are withdrawn. */
  readonly delDynamicOnLinkDown: boolean;
  readonly punts: readonly PuntConfig[];
  readonly punt: PuntSettings;
  readonly control: ControlConfig;
  readonly log: LogConfig;
  readonly netlink: NetlinkConfig;
  readonly retry: RetryConfig;
}

/** Default path of the control socket, also lcpctl's. */
export const defaultControlSocket = '/run/lcpd/lcpd.sock';

/** Where a file of lcpd's own is when the configuration does not say: beside the control socket. */
export const besideControl = (controlSocket: string, name: string): string => `${dirname(controlSocket)}/${name}`;

/** Areas that log, by folder. */
export const logAreas = ['main', 'config', 'netlink', 'lcp', 'punt', 'forwarding', 'vpp', 'northbound'] as const;

/** Of an lcpd beside the machine's own: where its sockets are, so that no two share what they remember. */
export const stateDirectory = (controlSocket: string): string =>
  controlSocket === defaultControlSocket ? '/var/lib/lcpd' : dirname(controlSocket);
