// PuntPlane: what the punt manager asks of a data plane besides holding interconnects and punts.

import type { Interconnect, Punt, PuntMatch } from './puntobjects.ts';

/** A reason that packets are punted for, by the name that the data plane has for it. */
export interface PuntReason {
  readonly name: string;
  /** The data plane's number of it, now. */
  readonly number: number;
  /** What was punted for it; undefined where that is not told. */
  readonly packets?: number;
  readonly bytes?: number;
}

/** What became of the packets of an object. */
export interface PuntStat {
  /** Kind and key of the object, or '' for the data plane as a whole. */
  readonly object: string;
  /** 'packets', 'bytes', 'conform-packets', 'exceed-packets', 'no-client', … */
  readonly name: string;
  readonly value: number;
}

/** An interface as punts see it. */
export interface PuntInterface {
  readonly ethernet: boolean;
  readonly up: boolean;
  /** Layer 3 MTU in bytes. */
  readonly mtu: number;
  /** '' when it has none. */
  readonly mac: string;
  /** 'address/length' in the data plane's order, link-local ones excepted; undefined until they were read. */
  readonly addresses: readonly string[] | undefined;
  /** Tables that it is in: see PuntTable; undefined until they were read. */
  readonly table4: number | undefined;
  readonly table6: number | undefined;
}

export interface PuntPlane {
  /** Whether a device that is in no pair has to be opened, as an interconnect of link phy, before punts may name it. */
  readonly opensPhys: boolean;
  /**
   * What it cannot do, with the reason: a PuntFeature, 'link memif', 'socket protocol', 'host tcp', 'police class', …
   * Looked at anew whenever it came up.
   */
  readonly unsupported: ReadonlyMap<string, string>;
  /** Path that clients of punt sockets write to; '' : it has none, `unsupported` has 'socket'. */
  readonly serverSocket: string;
  /** Reasons by name, as read when it came up. */
  readonly reasons: readonly PuntReason[];
  /** Who in the data plane itself takes such packets, so that they cannot be punted: 'VXLAN'; undefined: nobody. */
  takenBy(match: PuntMatch): string | undefined;
  /** What keeps packets from a punt that it can have otherwise, one sentence each. */
  notes(punt: Punt): readonly string[];
  /** An interface of its own by name; undefined where there is none, or where phys are the kernel's devices. */
  interface(name: string): PuntInterface | undefined;
  /** Whether it has a routing table of that number besides those that the mirror makes. */
  hasTable(family: 4 | 6, table: number): boolean;
  /** Whether dump() cannot tell of such an object, so that the journal has to. */
  forgets(object: Interconnect | Punt): boolean;
  /** What the journal says that this generation of the data plane holds: dump() tells of it from now on. */
  recall(generation: string, objects: readonly Punt[]): void;
  /** Fresh counters. Rejects when they cannot be read. */
  stats(): Promise<readonly PuntStat[]>;
}
