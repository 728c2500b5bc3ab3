// CnfDevices: the devices that a data plane has put into the namespaces of CNFs, and hosts of routed interconnects: kept as
// their wishes say, whoever changes them.
//
// What is in a device goes with it; of what lcpd makes besides, VRF devices, it deletes those that carry its mark and that no
// wish names any more. Those of a former life are looked for once, when the first wishes are told: before, nobody knows what is
// needed. A namespace is known by its identity; one that is wanted nowhere is not kept open.

import { isDeepStrictEqual } from 'node:util';
import { type CnfHost, type CnfWish, wishOfDevice, wishOfHost } from './cnfdevice.ts';
import { CnfKeeper, type CnfShared, type CnfState } from './cnfkeeper.ts';
import { type CnfKernel, linuxCnfKernel } from './cnfnetns.ts';
import { isProgrammingError, messageOf } from './lib/errors.ts';
import type { Logger } from './lib/log.ts';
import type { CnfDevice } from './punt/derive.ts';

const POLL_MS = 1000;

export interface CnfDevicesOptions {
  readonly log: Logger;
  /** How often to look without being told, ms. Default 1000. */
  readonly pollMs?: number;
  /** Clock ms. Default performance.now. */
  readonly now?: () => number;
  /** Default: this machine's. */
  readonly kernel?: CnfKernel;
}

export class CnfDevices {
  /** Called when the state of a device changed; never from within {@link want}. */
  onChange: () => void = () => undefined;
  /** What others changed and was put right, and requests that the kernel refused, since the start. */
  readonly counters = { mended: 0, refused: 0 };
  readonly #shared: CnfShared;
  readonly #watch: { close(): void };
  readonly #keepers = new Map<string, CnfKeeper>();
  #devices: readonly CnfDevice[] | undefined;
  #hosts: readonly CnfHost[] = [];
  #search: Promise<void> = Promise.resolve();
  #closed = false;

  constructor({
    log,
    pollMs = POLL_MS,
    now = () => performance.now(),
    kernel = linuxCnfKernel(pollMs),
  }: CnfDevicesOptions) {
    this.#shared = {
      kernel,
      log,
      now,
      pollMs,
      counters: this.counters,
      needed: (identity) => this.#needed(identity),
      onChange: () => this.onChange(),
    };
    this.#watch = kernel.watch((netns) => this.#keepers.get(netns)?.renamed());
  }

  #needed(identity: string): ReadonlySet<string> | undefined {
    if (this.#devices === undefined) return undefined;
    return new Set(this.#devices.flatMap(({ netnsId, vrf }) => (netnsId === identity && vrf ? [vrf.name] : [])));
  }

  /** Makes these the devices that are wanted; of two with one name in a namespace the first is. */
  want(devices: readonly CnfDevice[]): void {
    const isFirst = this.#devices === undefined;
    if (this.#closed || isDeepStrictEqual(devices, this.#devices)) return;
    this.#devices = devices;
    this.#tell();
    if (isFirst) this.#search = this.#searchOthers();
  }

  /** Makes these the hosts that are wanted. */
  wantHosts(hosts: readonly CnfHost[]): void {
    if (this.#closed || isDeepStrictEqual(hosts, this.#hosts)) return;
    this.#hosts = hosts;
    this.#tell();
  }

  #tell(): void {
    for (const [netns, keeper] of this.#keepers) if (keeper.isDone) this.#keepers.delete(netns);
    const wishes = new Map<string, Map<string, CnfWish>>([...this.#keepers.keys()].map((netns) => [netns, new Map()]));
    for (const wish of [...(this.#devices ?? []).map(wishOfDevice), ...this.#hosts.map(wishOfHost)]) {
      const ofNetns = wishes.get(wish.netns) ?? new Map<string, CnfWish>();
      if (!ofNetns.has(wish.name)) ofNetns.set(wish.name, wish);
      wishes.set(wish.netns, ofNetns);
    }
    for (const [netns, ofNetns] of wishes) this.#keeper(netns).want([...ofNetns.values()]);
  }

  #keeper(netns: string): CnfKeeper {
    const known = this.#keepers.get(netns);
    if (known !== undefined && !known.isDone) return known;
    const keeper = new CnfKeeper(netns, this.#shared);
    this.#keepers.set(netns, keeper);
    return keeper;
  }

  /** One after the other: there may be many, and most have nothing of ours. */
  async #searchOthers(): Promise<void> {
    let names: string[] = [];
    try {
      names = this.#shared.kernel.names();
    } catch (error) {
      if (isProgrammingError(error)) throw error;
      this.#shared.log.warn({ reason: messageOf(error) }, 'no search for VRF devices of a former life');
    }
    for (const netns of ['', ...names]) {
      if (this.#closed) return;
      if (this.#keepers.has(netns)) continue;
      await this.#keeper(netns).look();
    }
  }

  /** 'absent': not there yet, or not yet looked at. */
  state(netns: string, name: string): CnfState {
    return this.#keepers.get(netns)?.state(name) ?? 'absent';
  }

  /** Lets go of everything; devices and VRFs stay as they are. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch.close();
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.close()));
    await this.#search;
    this.#keepers.clear();
  }

  /** Wants nothing any more: removes the VRF devices that were made, and lets go of the rest. */
  async release(): Promise<void> {
    if (this.#closed) return;
    this.#devices = [];
    this.#hosts = [];
    this.#tell();
    await this.#search;
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.look()));
    await this.close();
  }
}
