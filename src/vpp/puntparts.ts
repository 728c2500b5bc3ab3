// What every feature of punts has in common: what it is asked, and by what it finds interfaces and tables.
//
// Invariants: everything is validated before it is sent, because VPP's handlers of punts check little and answer some of it with
// nothing. What VPP has is read before each change, and what is there and not ours is a conflict: it is refused and
// left as it is. Reference: VPP's src/vnet/ip/punt_api.c, ip_punt_drop.c.

import type { Family } from '../lcp/objects.ts';
import { type Punt, type PuntFeature, type PuntTable, puntKey } from '../lcp/puntobjects.ts';
import { LcpError } from '../lib/errors.ts';
import { ipBytes } from '../lib/ip.ts';
import { fibPathNhProto, fibPathType } from './api/fibtypes.ts';
import type { VppClient } from './client.ts';
import type { Interface, Interfaces } from './interfaces.ts';
import type { Message } from './message.ts';
import type { Pairs } from './pairs.ts';
import type { PuntMemory, PuntOf } from './puntmemory.ts';
import type { Subifs } from './subifs.ts';
import { MAIN, type Tables } from './tables.ts';

/** What VPP tells of one feature, and changes. Answers are errors: REFUSED, NOT_SUPPORTED, PHY_GONE. */
export interface PuntPart<F extends PuntFeature> {
  readonly feature: F;
  set(punt: PuntOf<F>): Promise<void>;
  delete(punt: PuntOf<F>): Promise<void>;
  /** Those of ours that VPP has now. */
  held(): Promise<PuntOf<F>[]>;
  /** Takes off what is on an interface that VPP has deleted, of which no more is there than its index. */
  gone?(index: number): Promise<void>;
}

export class PuntContext {
  readonly client: VppClient;
  readonly interfaces: Interfaces;
  readonly subifs: Subifs;
  readonly pairs: Pairs;
  readonly memory: PuntMemory;
  /** Tables that VPP got from others since the mirror read them, by family and number. */
  others: ReadonlySet<string> = new Set();
  readonly tables: Tables;
  readonly #first: string;
  /** Names that interfaces had which are gone, until something else has their index. */
  readonly #lastNames = new Map<number, string>();

  constructor(
    parts: Pick<PuntContext, 'client' | 'interfaces' | 'subifs' | 'pairs' | 'memory'> & {
      tables: Tables;
      first: string;
    },
  ) {
    this.client = parts.client;
    this.interfaces = parts.interfaces;
    this.subifs = parts.subifs;
    this.pairs = parts.pairs;
    this.memory = parts.memory;
    this.tables = parts.tables;
    this.#first = parts.first;
  }

  /** The interface of a name. Throws PHY_GONE. */
  interface(name: string): Interface {
    const found = this.subifs.interface(name);
    if (found === undefined)
      throw new LcpError('PHY_GONE', { op: 'punt', key: name, message: `VPP has no interface ${name}` });
    return found;
  }

  index(name: string): number {
    return this.interface(name).ifindex;
  }

  /** The name of an index, also of an interface that has just gone. */
  name(index: number): string | undefined {
    return this.subifs.name(index) ?? this.#lastNames.get(index);
  }

  /** Notes the names that there are, for when they are gone. */
  noteNames(): void {
    for (const each of this.interfaces.all()) this.#lastNames.set(each.ifindex, this.subifs.phyOf(each));
  }

  /** VPP's table of a number, undefined where there is none. */
  tableOf(family: Family, table: PuntTable): number | undefined {
    const home = this.tables.home(this.#first, family, table === 0 ? MAIN : table);
    return home?.vpp ?? (this.others.has(`${family}:${table}`) ? table : undefined);
  }

  /** The same. Throws REFUSED. */
  table(family: Family, table: PuntTable): number {
    const found = this.tableOf(family, table);
    if (found === undefined)
      throw new LcpError('REFUSED', {
        op: 'punt',
        key: `table ${table}`,
        message: `VPP has no IPv${family} table ${table}`,
      });
    return found;
  }

  /** The number by which a table of VPP is known here. */
  tableNumber(family: Family, vpp: number): number {
    const home = this.tables.homeOf(family, vpp);
    return home === undefined || home.netns !== this.#first ? vpp : home.table === MAIN ? 0 : home.table;
  }

  /** The first of messages that this VPP lacks, as a reason; `plugin` is what has them. */
  lacks(plugin: string, ...messages: readonly Message[]): string | undefined {
    for (const message of messages) {
      const reason = this.client.unsupported(message);
      if (reason !== undefined) return plugin === '' ? reason : `${plugin} is not loaded: ${reason}`;
    }
    return undefined;
  }
}

/** Something of another's is where ours would be. */
export function conflict(punt: Punt, message: string, hint = 'remove it in VPP, or leave this punt out'): LcpError {
  return new LcpError('REFUSED', { op: 'punt', key: puntKey(punt), message, hint });
}

export function unable(punt: Punt, message: string, hint?: string): LcpError {
  return new LcpError('NOT_SUPPORTED', {
    op: 'punt',
    key: puntKey(punt),
    message,
    ...(hint !== undefined && { hint }),
  });
}

const { FIB_API_PATH_TYPE_DVR: DVR, FIB_API_PATH_TYPE_NORMAL: NORMAL } = fibPathType.values;

/** A path out of an interface: with the frame's own Ethernet header, or to a next hop. */
export function pathOut(sw_if_index: number, family: Family, nexthop = '') {
  const { FIB_API_PATH_NH_PROTO_IP4: ip4, FIB_API_PATH_NH_PROTO_IP6: ip6 } = fibPathNhProto.values;
  return {
    sw_if_index,
    weight: 1,
    type: nexthop === '' ? DVR : NORMAL,
    proto: family === 6 ? ip6 : ip4,
    nh: nexthop === '' ? {} : { address: ipBytes(nexthop) },
    label_stack: [],
  };
}

/** What a path of a dump is: of type DVR, with no next hop. */
export function readPath(path: { sw_if_index: number; type: number; nh: { address: Uint8Array } } | undefined): {
  readonly index: number;
  readonly isDvr: boolean;
  readonly address: Uint8Array;
} {
  return {
    index: path?.sw_if_index ?? 0,
    isDvr: path?.type === DVR,
    address: path?.nh.address ?? new Uint8Array(16),
  };
}
