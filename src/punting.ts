// Punting: the punt manager joined with mirror, data plane, journal and the kernels of CNFs.
//
// Interconnects that the control plane is to have as interfaces become pairs like those of the configuration, and their hosts
// are given what the request says. Namespaces of CNFs are watched for their links, so that a device of a former life is found.

import { join } from 'node:path';
import { CnfDevices } from './cnfdevices.ts';
import type { Config } from './config/config.ts';
import type { StateChanges } from './lcp/core.ts';
import type { DataPlane } from './lcp/dataplane.ts';
import type { PairSpec } from './lcp/pairs.ts';
import { PuntPlaces } from './lcp/puntplaces.ts';
import type { PuntPlane } from './lcp/puntplane.ts';
import type { Reconciler } from './lcp/reconcile.ts';
import type { Logger } from './lib/log.ts';
import { netnsIdentity, netnsPath } from './netlink/netns.ts';
import type { PuntDoor } from './northbound/puntmethods.ts';
import type { RoutedEnd } from './punt/derive.ts';
import type { PuntEnv } from './punt/env.ts';
import { Journal } from './punt/journal.ts';
import { Punts } from './punt/punts.ts';
import type { PuntChange, PuntLink } from './punt/view.ts';
import { puntDoor } from './puntdoor.ts';

export interface PuntingParts {
  readonly config: Config;
  readonly reconciler: Reconciler;
  readonly dataplane: DataPlane;
  readonly plane: PuntPlane;
  readonly changes: StateChanges;
  readonly log: Logger;
  readonly now: () => number;
  /** Rounds are to be run. */
  wake(cause: string): void;
  /** Pairs, or namespaces that are to be watched, are others. */
  repair(): void;
}

/** As its CNF sees it. */
const linkText = ({ cnf, shared }: PuntLink): string =>
  [cnf.name, cnf.mac, ...cnf.addresses, ...(shared ? ['shared'] : [])].join(' ');

export class Punting {
  readonly punts: Punts;
  readonly #parts: PuntingParts;
  readonly #journal: Journal;
  readonly #devices: CnfDevices;
  readonly #mirrored: string;
  #routed: readonly RoutedEnd[] = [];
  #watched = '';

  /** Opens the journal. Throws LcpError PUNT_JOURNAL. */
  constructor(parts: PuntingParts) {
    const { config, reconciler, dataplane, plane, log, now, wake } = parts;
    this.#parts = parts;
    this.#journal = new Journal(join(config.punt.state, 'punts.journal'));
    const { cut } = this.#journal;
    if (cut > 0) log.warn({ bytes: cut }, 'the journal of punts ended in half a record, which is cut off');
    this.#mirrored = config.netns ?? config.pairs[0]?.netns ?? '';
    this.#devices = new CnfDevices({ log, now });
    const { namespaces, pairs, delta } = reconciler;
    const places = new PuntPlaces(namespaces, pairs, delta, dataplane);
    const env: PuntEnv = {
      plane,
      interface: (name) => places.interface(name),
      hasTable: (family, table) => places.hasTable(family, table, this.#mirrored),
      netns: (name) => netnsIdentity(name === '' ? '/proc/self/ns/net' : netnsPath(name)),
      mirrored: this.#mirrored,
      allocCidr: config.punt.interconnectAllocCidr,
      memifDirectory: config.punt.memifDirectory,
    };
    this.punts = new Punts({
      env,
      plane,
      journal: this.#journal,
      rows: delta,
      devices: this.#devices,
      routed: (ends) => this.#route(ends),
      generation: () => dataplane.info().generation,
      now,
    });
    this.punts.onAgain = () => wake('punts');
    this.punts.onSettled = () => this.#watch();
    this.#devices.onChange = () => this.punts.settle();
    this.punts.watch((change) => this.#tell(change));
    this.configure(config);
    reconciler.further = this.punts;
  }

  #tell({ id, about, state, reasons, links }: PuntChange): void {
    const { log, changes } = this.#parts;
    if (about === 'links') {
      const shown = links.map(linkText).join('; ');
      log.info({ punt: id, links: shown }, 'links of a punt are others than before');
      changes.publish('punt', 'links', id, shown);
      return;
    }
    const reason = reasons.join('; ');
    const level = state === 'FAILED' || state === 'BUSY' ? 'warn' : 'info';
    log[level]({ punt: id, ...(reason ? { reason } : {}) }, `punt ${state.toLowerCase()}`);
    changes.publish('punt', state, id, reason);
  }

  /** Namespaces that punts are about are watched. */
  #watch(): void {
    const watched = this.namespaces().join(' ');
    if (watched === this.#watched) return;
    this.#watched = watched;
    setImmediate(this.#parts.repair);
  }

  #route(ends: readonly RoutedEnd[]): void {
    this.#routed = ends;
    this.#devices.wantHosts(ends.map(({ phy: name, ...end }) => ({ ...end, name })));
    // at once: what a former life has made is not to be deleted before it is asked for again
    this.#parts.repair();
  }

  /** What lcpctl asks by. */
  get door(): PuntDoor {
    return puntDoor(this.punts, 'cli', () => this.#mirrored);
  }

  /** Takes over what a configuration asks for. */
  configure({ punts }: Config): void {
    this.punts.configure(punts);
  }

  /** Interconnects that are to be pairs. */
  pairSpecs(): PairSpec[] {
    return this.#routed.map(({ phy, netns }) => ({ phy, host: phy, netns, type: 'tap' }));
  }

  /** Those of CNFs, those that are not there included. */
  namespaces(): string[] {
    return this.punts.namespaces();
  }

  /** A namespace has come, gone or been replaced. */
  netnsChanged(): void {
    this.punts.review();
    this.#parts.wake('namespaces');
  }

  /** leave: all stays as it is; otherwise everything that was made is gone already, but what is the kernels'. */
  async close(leave: boolean): Promise<void> {
    await (leave ? this.#devices.close() : this.#devices.release());
    this.#journal.close();
  }
}
