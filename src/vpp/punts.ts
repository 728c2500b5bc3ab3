// Punts: interconnects and punts of one session with VPP, by features.
//
// Invariants: one thing is done at a time. What this VPP lacks for a feature is its reason and everything that is asked of it. Objects go
// before their interface; where VPP deletes one by itself, what would be the next one's of its index is taken off at once, and
// put on again when an interface of the name comes back, unless it is not wanted any more.
// Reference: docs/design.md, section 9; VPP's src/vnet/interface.c.

import { isDeepStrictEqual } from 'node:util';
import type { HeldObject, LinkControl, OperationResult } from '../lcp/dataplane.ts';
import { type Interconnect, interfacesOf, type Punt, type PuntFeature, puntKey } from '../lcp/puntobjects.ts';
import { LcpError, messageOf } from '../lib/errors.ts';
import { swInterfaceEvent } from './api/interface.ts';
import { Interconnects } from './interconnects.ts';
import { PuntAbx } from './puntabx.ts';
import { PuntDhcp } from './puntdhcp.ts';
import { PuntFacts } from './puntfacts.ts';
import { puntGaps } from './puntgaps.ts';
import { PuntGroups } from './puntgroups.ts';
import { PuntHosts } from './punthosts.ts';
import { PuntOsi } from './puntosi.ts';
import { PuntContext, type PuntPart } from './puntparts.ts';
import { PuntPolicers } from './puntpolicers.ts';
import { PuntPorts } from './puntports.ts';
import { PuntProxies } from './puntproxies.ts';
import { PuntReasons } from './puntreasons.ts';
import { PuntRedirects } from './puntredirects.ts';
import { PuntSockets } from './puntsockets.ts';
import { PuntSpans } from './puntspans.ts';
import { PuntXconnects } from './puntxconnects.ts';
import { RouterDiscovery } from './routerdiscovery.ts';

export interface PuntOptions {
  /** Of VPP. */
  readonly pid: number;
  /** Path that VPP sends router solicitations and advertisements to, '' where they are left to it. */
  readonly discoverySocket: string;
  /** Path that VPP sends packets to groups to, for ABX; '' where they are left to it. */
  readonly groupSocket: string;
  readonly onRemark: (what: string, message: string) => void;
}

export class Punts {
  readonly at: PuntContext;
  readonly ports: PuntPorts;
  readonly reasons: PuntReasons;
  readonly interconnects: Interconnects;
  readonly policers: PuntPolicers;
  readonly facts: PuntFacts;
  readonly discovery: RouterDiscovery;
  readonly groups: PuntGroups;
  readonly osi: PuntOsi;
  readonly #sockets: PuntSockets;
  readonly #parts = new Map<PuntFeature, PuntPart<never>>();
  readonly #onRemark: (what: string, message: string) => void;
  /** What went with an interface that VPP has deleted, by key. */
  readonly #lost = new Map<string, Punt>();
  #gaps: ReadonlyMap<string, string> = new Map();
  /** The end of the last thing that was asked for. */
  #last: Promise<unknown> = Promise.resolve();
  #stop: () => void = () => undefined;

  constructor(
    parts: ConstructorParameters<typeof PuntContext>[0],
    links: LinkControl,
    { pid, discoverySocket, groupSocket, onRemark }: PuntOptions,
  ) {
    this.at = new PuntContext(parts);
    this.#onRemark = onRemark;
    this.ports = new PuntPorts(parts.client);
    this.reasons = new PuntReasons(parts.client);
    this.interconnects = new Interconnects(this.at, links, pid);
    this.policers = new PuntPolicers(this.at);
    this.facts = new PuntFacts(this.at);
    this.#sockets = new PuntSockets(this.at, this.ports, this.reasons);
    this.discovery = new RouterDiscovery(this.at, this.#sockets, discoverySocket);
    if (discoverySocket !== '') this.#sockets.own.set(discoverySocket, 'router discovery for the hosts of pairs');
    if (groupSocket !== '') this.#sockets.own.set(groupSocket, 'ABX takes packets to groups by it');
    this.groups = new PuntGroups(this.at, this.#sockets, this.ports, groupSocket);
    this.osi = new PuntOsi(this.at, this.#sockets, {
      tapNetns: (name) => this.interconnects.tapNetns(name),
      netnsPath: (netns) => links.netnsPath(netns),
    });
    const isOwn = (index: number) => this.interconnects.isOwn(index);
    const abx = new PuntAbx(this.at, this.groups);
    for (const part of [
      new PuntXconnects(this.at, isOwn),
      new PuntSpans(this.at, isOwn),
      abx,
      this.osi,
      this.#sockets,
      new PuntHosts(this.at, this.ports, this.reasons),
      new PuntRedirects(this.at),
      this.policers,
      new PuntDhcp(this.at),
      new PuntProxies(this.at),
    ])
      this.#parts.set(part.feature, part as unknown as PuntPart<never>);
  }

  /** Reads what VPP has. */
  async open(): Promise<void> {
    this.#gaps = puntGaps(this.at, this.interconnects);
    await this.reasons.read();
    await this.ports.read();
    if (this.#gaps.get('socket') === undefined) await this.#sockets.open();
    const noOsi = await this.osi.open();
    this.#gaps = puntGaps(this.at, this.interconnects, { server: this.#sockets.server, osi: noOsi });
    await this.interconnects.read();
    await this.discovery.open();
    this.at.noteNames();
    if (this.#gaps.get('abx') === undefined) {
      await this.groups.open();
      // packets wait for the rules that VPP has
      await this.#parts.get('abx')?.held();
    }
    this.#stop = this.at.client.on(swInterfaceEvent, ({ sw_if_index, deleted }) => {
      if (!deleted) return;
      const name = this.at.name(sw_if_index);
      void this.#quietly(() => this.#gone(sw_if_index, name));
    });
  }

  close(): void {
    this.#stop();
    this.discovery.close();
    this.groups.close();
    this.osi.close();
  }

  /** What this VPP cannot do of it, with the reason. */
  unsupported(): ReadonlyMap<string, string> {
    return this.#gaps;
  }

  get serverSocket(): string {
    return this.#sockets.server;
  }

  async #alone<T>(act: () => Promise<T>): Promise<T> {
    const before = this.#last;
    let end: () => void = () => undefined;
    this.#last = new Promise<void>((resolve) => {
      end = resolve;
    });
    await before;
    try {
      this.at.noteNames();
      return await act();
    } finally {
      end();
    }
  }

  /** What nobody waits for: a session that ends is told by itself, all else is a remark. */
  async #quietly(act: () => Promise<void>): Promise<void> {
    try {
      await this.#alone(act);
    } catch (error) {
      if (this.at.client.error !== undefined) return;
      if (!(error instanceof LcpError)) throw error;
      this.#onRemark('punts', messageOf(error));
    }
  }

  /** The part that can do it. Throws NOT_SUPPORTED. */
  #part(punt: Punt): PuntPart<never> {
    const part = this.#parts.get(punt.feature);
    const reason = part === undefined ? 'VPP has nothing of the kind' : this.#gaps.get(punt.feature);
    if (part !== undefined && reason === undefined) return part;
    throw new LcpError('NOT_SUPPORTED', { op: 'punt', key: puntKey(punt), message: reason ?? '' });
  }

  async set(object: Interconnect | Punt): Promise<OperationResult> {
    await this.#alone(async () => {
      // an index that somebody else has by now is not to be named
      await this.at.interfaces.refresh();
      if (object.kind === 'interconnect') return this.interconnects.set(object, (index) => this.#clear(index));
      this.#lost.delete(puntKey(object));
      await this.#part(object).set(object as never);
      const { memory } = this.at;
      // of what an earlier lcpd may have told, this is what there is
      if (memory.known(object).some((known) => isDeepStrictEqual(known, object))) memory.keep(object);
    });
    return { ok: true };
  }

  async delete(object: Interconnect | Punt): Promise<OperationResult> {
    await this.#alone(async () => {
      if (object.kind === 'interconnect') return this.interconnects.delete(object, (index) => this.#clear(index));
      this.#lost.delete(puntKey(object));
      // what cannot be made is not there
      if (this.#gaps.get(object.feature) === undefined) await this.#part(object).delete(object as never);
    });
    return { ok: true };
  }

  /** Everything of ours that VPP has. */
  async dump(): Promise<HeldObject[]> {
    return this.#alone(async () => {
      const held: HeldObject[] = (await this.interconnects.read()).map(({ object }) => ({ object }));
      for (const [feature, part] of this.#parts) {
        if (this.#gaps.get(feature) !== undefined) continue;
        for (const object of await part.held()) held.push({ object });
      }
      return held;
    });
  }

  /** Takes everything of ours out of VPP, what is on interfaces first. */
  async removeAll(): Promise<void> {
    const held = (await this.dump()).map(({ object }) => object as Interconnect | Punt);
    const ordered = [...held.filter(({ kind }) => kind === 'punt'), ...held.filter(({ kind }) => kind !== 'punt')];
    for (const object of ordered) await this.delete(object);
    await this.discovery.remove();
    await this.leave();
  }

  /** Has VPP do by itself what lcpd does for packets while it runs. */
  async leave(): Promise<void> {
    await this.#quietly(() => this.groups.leave());
  }

  /** Takes off what is on an interface that goes. */
  async #clear(index: number, name = this.at.name(index)): Promise<void> {
    for (const [feature, part] of this.#parts) if (this.#gaps.get(feature) === undefined) await part.gone?.(index);
    if (name === undefined) return;
    for (const punt of this.at.memory.all()) {
      if (!interfacesOf(punt).includes(name)) continue;
      this.#lost.set(puntKey(punt), punt);
    }
  }

  async #gone(index: number, name: string | undefined): Promise<void> {
    await this.#clear(index, name);
    for (const punt of this.#lost.values())
      if (name !== undefined && interfacesOf(punt).includes(name)) this.at.memory.drop(punt);
    this.interconnects.forget(index);
  }

  /** VPP's interfaces have been read: what was lost is made again where all its interfaces are back. */
  async looked(): Promise<boolean> {
    const isBack = (punt: Punt) => interfacesOf(punt).every((name) => this.at.subifs.interface(name) !== undefined);
    for (const [key, punt] of [...this.#lost]) {
      if (!isBack(punt)) continue;
      await this.#quietly(async () => {
        // what was done before may have taken it, or its interface
        if (!isBack(punt) || !this.#lost.delete(key)) return;
        await this.#part(punt).set(punt as never);
      });
    }
    const areNotes = await this.groups.looked((again) => this.#quietly(again));
    const areOsiNotes = this.osi.looked();
    return (await this.facts.read()) || areNotes || areOsiNotes;
  }
}
