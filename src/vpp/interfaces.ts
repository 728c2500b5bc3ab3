// Interfaces: what VPP has, as the source of phys.
//
// Invariants: the one cache of interfaces, read whole each time; an event only says that it is old. VPP tells no change
// of MTU, MAC or name, so that it is read again now and then. An interface of VPP is named as VPP shows it; its
// sw_if_index holds until it is deleted and may then be another's. Reference: VPP's src/vnet/interface_api.c.

import type { Phy, PhySource } from '../lcp/dataplane.ts';
import { swInterfaceDump, swInterfaceEvent, wantInterfaceEvents } from './api/interface.ts';
import { ifStatusFlags, subIfFlags } from './api/interfacetypes.ts';
import type { VppClient } from './client.ts';
import type { MessageValue } from './message.ts';

/** sw_if_index of no interface, or of all of them. */
export const NO_INTERFACE = 0xffff_ffff;
const DOT1Q = 0x8100_0000;
const DOT1AD = 0x88a8_0000;
/** How long events are gathered before interfaces are read. */
const GATHER_MS = 10;

export interface Interface extends Phy {
  readonly name: string;
  /** Its own ifindex unless it is a sub-interface. */
  readonly parent: number;
  /** Of a sub-interface that matches exactly these tags: outer first, TPID * 65536 + VLAN id. */
  readonly tags: readonly number[];
  readonly subId: number;
  /** MTU of the hardware, in bytes of layer 3. */
  readonly hardwareMtu: number;
  /** VPP's word for its driver: dpdk, af-packet, tap, … */
  readonly device: string;
  /** What somebody wrote on it, '' for nothing. */
  readonly tag: string;
}

export const macText = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(':');

/** Bytes of a MAC in text, as messages have them. */
export const macBytes = (text: string): Uint8Array =>
  Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));

type Row = MessageValue<typeof swInterfaceDump.details>;

function tagsOf(row: Row): readonly number[] {
  const { values: flags } = subIfFlags;
  if ((row.sub_if_flags & flags.SUB_IF_API_FLAG_EXACT_MATCH) === 0) return [];
  const outer = (row.sub_if_flags & flags.SUB_IF_API_FLAG_DOT1AD) === 0 ? DOT1Q : DOT1AD;
  const inner = row.sub_number_of_tags === 2 ? [DOT1Q + row.sub_inner_vlan_id] : [];
  return row.sub_number_of_tags === 0 ? [] : [outer + row.sub_outer_vlan_id, ...inner];
}

function interfaceOf(row: Row): Interface {
  const { IF_STATUS_API_FLAG_ADMIN_UP: up, IF_STATUS_API_FLAG_LINK_UP: carrier } = ifStatusFlags.values;
  const mac = macText(row.l2_address);
  return {
    ifindex: row.sw_if_index,
    name: row.interface_name,
    parent: row.sup_sw_if_index,
    // those without Ethernet have no MAC
    ethernet: mac !== '00:00:00:00:00:00',
    up: (row.flags & up) !== 0,
    carrier: (row.flags & carrier) !== 0,
    mtu: row.mtu[0] === 0 ? row.link_mtu : (row.mtu[0] ?? 0),
    hardwareMtu: row.link_mtu,
    maxMtu: 0,
    mac: mac === '00:00:00:00:00:00' ? '' : mac,
    tags: tagsOf(row),
    subId: row.sub_id,
    device: row.interface_dev_type,
    tag: row.tag,
  };
}

export class Interfaces implements PhySource {
  readonly #client: VppClient;
  readonly #onChange: () => void;
  #byIndex = new Map<number, Interface>();
  #byName = new Map<string, Interface>();
  #print = '';
  #gather: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  #closed = false;
  /** How often an index has been another interface's. */
  readonly #lives = new Map<number, number>();
  /** What is read besides, each time; whether it was different. */
  also: () => Promise<boolean> = () => Promise.resolve(false);

  constructor(client: VppClient, onChange: () => void) {
    this.#client = client;
    this.#onChange = onChange;
  }

  /** Reads them, and again whenever something changes. */
  async open(pollMs: number): Promise<void> {
    const again = () => {
      this.#gather ??= setTimeout(() => {
        this.#gather = undefined;
        void this.#readAgain();
      }, GATHER_MS);
    };
    this.#client.on(swInterfaceEvent, ({ sw_if_index, deleted }) => {
      if (deleted) this.#lives.set(sw_if_index, this.life(sw_if_index) + 1);
      again();
    });
    await this.#client.request(wantInterfaceEvents, { enable_disable: 1, pid: process.pid });
    await this.refresh();
    this.#poll = setInterval(again, pollMs).unref();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#gather);
    clearInterval(this.#poll);
  }

  /** A session that ends meanwhile is told by itself. */
  async #readAgain(): Promise<void> {
    try {
      if (this.#closed) return;
      const isOther = await this.refresh();
      if ((await this.also()) || isOther) this.#onChange();
    } catch (error) {
      if (this.#client.error === undefined) throw error;
    }
  }

  /** Whether anything was different. */
  async refresh(): Promise<boolean> {
    const rows = await this.#client.dump(swInterfaceDump, {
      sw_if_index: NO_INTERFACE,
      name_filter_valid: false,
      name_filter: '',
    });
    const found = rows.filter(({ sw_if_index }) => sw_if_index !== 0).map(interfaceOf);
    const print = JSON.stringify(found);
    if (print === this.#print) return false;
    this.#print = print;
    this.#byIndex = new Map(found.map((each) => [each.ifindex, each]));
    this.#byName = new Map(found.map((each) => [each.name, each]));
    return true;
  }

  /** Tells an interface from an earlier one with the same index. */
  life(ifindex: number): number {
    return this.#lives.get(ifindex) ?? 0;
  }

  /** Interfaces are to be read now, not at the next turn. */
  async look(): Promise<void> {
    await this.#readAgain();
  }

  byName(phy: string): Interface | undefined {
    return this.#byName.get(phy);
  }

  get(ifindex: number): Interface | undefined {
    return this.#byIndex.get(ifindex);
  }

  all(): Iterable<Interface> {
    return this.#byIndex.values();
  }
}
