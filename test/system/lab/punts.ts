/**
 * Punts: a router whose lcpd is asked for punts, by its configuration and reload, or by lcpctl, and what became of them.
 *
 * Invariants: a story sees what an operator sees: rows of lcpctl, lines of the log, devices of the kernel. Entries are those of
 * the configuration, written as JSON, which is YAML as well.
 */
import { readFileSync } from 'node:fs';
import type { PuntChange, PuntRow, PuntStat } from '../../../src/punt/view.ts';
import type { Lab, RouterOptions } from '../lab.ts';
import type { Lcpd } from './lcpd.ts';
import { ipJson, netnsExists } from './netns.ts';
import { Daemon, waitFor } from './process.ts';

export interface Entry {
  readonly name: string;
  readonly type: string;
  readonly [key: string]: unknown;
}

/** What lcpd told of a punt, in its words. */
export interface Told {
  readonly state: string;
  readonly reason: string;
}

/** A device in the namespace of a CNF, with its details. */
export interface CnfLink {
  readonly ifname: string;
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_kind?: string };
}

/** By its alias, which VPP does not give: there all TAPs of a CNF are VPP's. */
export const isPuntTap = (lab: Lab, { ifalias = '', linkinfo }: CnfLink): boolean =>
  lab.dataplane === 'embedded' ? ifalias.startsWith('lcpd punt ') : linkinfo?.info_kind === 'tun';

/** All states that a log tells of a punt, the oldest first. */
export const toldIn = (log: string, name: string): Told[] =>
  log.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return [];
    const { punt, msg, reason = '' } = JSON.parse(line) as { punt?: string; msg: string; reason?: string };
    if (punt?.endsWith(`|${name}`) !== true || !msg.startsWith('punt ')) return [];
    return [{ state: msg.replace(/^punt /, '').toUpperCase(), reason }];
  });

export interface PuntRouterOptions extends RouterOptions {
  /** Phys behind the paired ones, with a host each, in no pair. */
  readonly bare?: number;
  readonly punts?: readonly Entry[];
}

export class Punts {
  readonly lab: Lab;
  readonly #options: PuntRouterOptions;
  #lcpd: Lcpd | undefined;

  constructor(lab: Lab, options: PuntRouterOptions = {}) {
    this.lab = lab;
    this.#options = options;
  }

  get lcpd(): Lcpd {
    if (this.#lcpd === undefined) throw new Error('lcpd was not made');
    return this.#lcpd;
  }

  /** What clients of punt sockets write to. */
  get server(): string {
    const { dir, dataplane } = this.lab;
    return dataplane === 'embedded' ? this.#socket : `${dir}/vpp/punt.sock`;
  }

  /** Of the embedded data plane. */
  get #socket(): string {
    return `${this.lab.dir}/punt.sock`;
  }

  #config(entries: readonly Entry[]): string {
    const { extra = '', ...rest } = this.#options;
    const { lab } = this;
    const text = `punt: { state: ${lab.dir}/state, memif-directory: ${lab.dir}/memif, socket: ${this.#socket} }\n`;
    return lab.config({ ...rest, extra: `${extra}${text}punts: ${JSON.stringify(entries)}\n` });
  }

  /** The usual router, with further phys, running. */
  async start(): Promise<Lcpd> {
    const { lab } = this;
    const { ports = 2, bare = 0, punts = [], kernelForwards = false } = this.#options;
    await lab.addNetns('rtr');
    await lab.addNetns('cp', kernelForwards);
    for (let n = 0; n < ports + bare; n++) await lab.addHost(n);
    await lab.addPlane(ports, bare);
    this.prepare(punts);
    await this.lcpd.start();
    await lab.addressHosts(this.lcpd, ports);
    return this.lcpd;
  }

  /** Its lcpd, not started. */
  prepare(entries: readonly Entry[]): Lcpd {
    this.#lcpd = this.lab.addLcpd(this.#config(entries));
    return this.#lcpd;
  }

  /** Makes these the punts of the configuration file. */
  write(...entries: readonly Entry[]): void {
    this.lcpd.writeConfig(this.#config(entries));
  }

  /** Makes these the punts of the configuration, by reload. Rejects with what lcpctl says when it refuses. */
  async configure(...entries: readonly Entry[]): Promise<void> {
    this.write(...entries);
    const done = await this.lcpd.ctl(['reload']);
    if (done.code !== 0) throw new Error(`reload: ${done.stdout}${done.stderr}`);
  }

  /** All states that were told of a punt, the oldest first. */
  told(name: string): Told[] {
    return toldIn(readFileSync(`${this.lcpd.dir}/lcpd.log`, 'utf8'), name);
  }

  /** `lcpctl punt watch` from now on. Returns what gives all that it has printed of a punt so far. */
  async watch(): Promise<(name: string) => PuntChange[]> {
    const { lab, lcpd } = this;
    const file = `${lcpd.dir}/watch.log`;
    const daemon = new Daemon('lcpctl punt watch', lcpd.ctlCommand(['--json', 'punt', 'watch']), file);
    lab.defer(() => daemon.stop());
    const printed = (): PuntChange[] => {
      const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
      return lines.map((line) => JSON.parse(line) as PuntChange);
    };
    // it does not say since when it watches
    await waitFor('lcpctl to watch', async () => {
      await lcpd.ctl(['punt', 'add', 'police', 'nudge', 'scope=arp', 'rate=50000', '--netns', '']);
      await lcpd.ctl(['punt', 'del', 'nudge']);
      return printed().length > 0;
    });
    return (name) => printed().filter(({ id }) => id.endsWith(`|${name}`));
  }

  /** Waits until the last word of a punt is that state, and its reason matches. */
  is(name: string, state: string, reason = /^/): Promise<Told> {
    return waitFor(`punt ${name} to be ${state} ${reason}`, () => {
      const told = this.told(name);
      const last = told.at(-1);
      if (last?.state === state && reason.test(last.reason)) return last;
      throw new Error(`it was told ${JSON.stringify(told)}`);
    });
  }

  /** All of these. */
  async are(state: string, ...names: readonly string[]): Promise<void> {
    for (const name of names) await this.is(name, state);
  }

  rows(): Promise<PuntRow[]> {
    return this.lcpd.json<PuntRow[]>(['punt', 'list']);
  }

  /** Kinds and keys of what all punts are made of. */
  async objects(): Promise<string[]> {
    return (await this.rows()).flatMap(({ objects }) => objects).sort();
  }

  /** A counter of lcpctl punt stats; object '' is the data plane as a whole. */
  async stat(object: string, name: string): Promise<number> {
    const all = await this.lcpd.json<PuntStat[]>(['punt', 'stats']);
    return all.find((row) => row.object === object && row.name === name)?.value ?? Number.NaN;
  }

  /** Names of the TAPs of punts in a namespace. */
  async taps(role: string): Promise<string[]> {
    const ns = role === '' ? '' : this.lab.ns(role);
    if (!(await netnsExists(ns))) return [];
    const links = await ipJson<CnfLink>(ns, '-details', 'link');
    return links.filter((link) => isPuntTap(this.lab, link)).map(({ ifname }) => ifname);
  }

  /** MAC of the data plane's side of a TAP. */
  async opposite(tap: string): Promise<string> {
    const links = (await this.rows()).flatMap((row) => row.links);
    const link = links.find(({ cnf }) => cnf.name === tap);
    if (link === undefined) throw new Error(`no punt has ${tap}: ${JSON.stringify(links)}`);
    return link.vpp.mac;
  }

  noTaps(role: string): Promise<boolean> {
    return waitFor(`no TAP of a punt in ${role}`, async () => {
      const taps = await this.taps(role);
      if (taps.length > 0) throw new Error(`there are ${taps.join(' ')}`);
      return true;
    });
  }
}
