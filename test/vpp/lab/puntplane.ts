/**
 * A VPP with phys p0 and p1 and the interface of a CNF c0, all veths, and the VPP driver as its punt plane: no lcpd, no pairs. The
 * CNF's end is eth0 in `cnf`, which stands for the device that VPP's taps have where there is /dev/vhost-net.
 */
import { statSync } from 'node:fs';
import type { Test } from 'tap';
import type { LinkChange, LinkFacts } from '../../../src/lcp/dataplane.ts';
import type { LcpObject, Pair } from '../../../src/lcp/objects.ts';
import { type Interconnect, PLAIN_INTERCONNECT, type Punt, puntKey } from '../../../src/lcp/puntobjects.ts';
import { VppDataPlane } from '../../../src/vpp/driver.ts';
import { addVeth, ip, ipJson } from '../../system/lab/netns.ts';
import { waitFor } from '../../system/lab/process.ts';
import { frameOf, ipPacket, udpPacket } from '../../system/lab/rawframes.ts';
import { capture, sendFrames } from '../../system/lab/traffic.ts';
import { FakeLinks } from '../../unit/vpp/fakelinks.ts';
import type { VppLab } from '../lab.ts';
import type { RealVpp } from './realvpp.ts';

/** Namespaces behind the interfaces, and what they have there. */
const ENDS = [
  ['h0', 'p0', '02:00:00:00:a0:02'],
  ['h1', 'p1', '02:00:00:00:a1:02'],
  ['cnf', 'c0', '02:00:00:00:c0:02'],
] as const;
const HOST_MAC = ENDS[0][2];
export const MULTICAST = '01:80:c2:00:00:00';

/** The kernel's links as an lcpd of the lab has them: hosts of pairs in namespaces of their own, where indices are the same. */
class LabLinks extends FakeLinks {
  readonly #of = new Map<string, FakeLinks>();

  in(netns: string): FakeLinks {
    const links = this.#of.get(netns) ?? new FakeLinks();
    this.#of.set(netns, links);
    return links;
  }

  override set(netns: string, ifindex: number, change: LinkChange): Promise<void> {
    return this.in(netns).set(netns, ifindex, change);
  }

  override get(netns: string, ifindex: number): LinkFacts | undefined {
    return this.in(netns).get(netns, ifindex);
  }

  override nameOf(netns: string, alias: string): string | undefined {
    return this.in(netns).nameOf(netns, alias);
  }

  override netnsPath(netns = ''): string {
    return netns === '' ? super.netnsPath() : `/run/netns/${netns}`;
  }
}

export interface PuntLabOptions {
  readonly plugins?: readonly string[];
  /** Lines inside the section unix of VPP's startup.conf. */
  readonly unix?: string;
}

export class PuntLab {
  readonly t: Test;
  readonly lab: VppLab;
  readonly real: RealVpp;
  readonly remarks: string[] = [];
  readonly netnsId = new FakeLinks().identity;
  readonly links = new LabLinks();
  dataplane: VppDataPlane;
  #captures = 0;

  private constructor(t: Test, lab: VppLab, real: RealVpp) {
    this.t = t;
    this.lab = lab;
    this.real = real;
    this.dataplane = this.#open();
  }

  static async add(t: Test, lab: VppLab, { plugins, unix = '' }: PuntLabOptions = {}): Promise<PuntLab> {
    const rtr = await lab.addNetns('rtr');
    for (const [role, dev, mac] of ENDS) {
      const host = await lab.addNetns(role);
      await addVeth({ ns: rtr, dev }, { ns: host, dev: 'eth0' });
      await ip(rtr, 'link', 'set', dev, 'up');
      await ip(host, 'link', 'set', 'eth0', 'address', mac, 'up');
    }
    const real = await lab.addVpp({
      netns: rtr,
      startup: `punt { socket ${lab.dir}/punt.sock }`,
      unix,
      ...(plugins && { plugins }),
    });
    for (const [, dev] of ENDS) await PuntLab.#openDevice(real, dev);
    for (const line of [
      'set interface ip address host-p0 10.0.0.1/24',
      'set interface ip address host-p0 fd00:0::1/64',
      'set interface ip address host-p1 10.0.1.1/24',
      `set ip neighbor host-p0 10.0.0.2 ${HOST_MAC}`,
      `set ip neighbor host-p0 fd00:0::2 ${HOST_MAC}`,
    ])
      await real.ctl(line);
    const made = new PuntLab(t, lab, real);
    lab.defer(() => made.dataplane.close(true));
    await made.up();
    return made;
  }

  static async #openDevice(real: RealVpp, dev: string): Promise<void> {
    await real.ctl(`create host-interface name ${dev}`);
    await real.ctl(`set interface state host-${dev} up`);
  }

  /** The host of a phy's pair, in a namespace of its own where it has the same name. */
  async addPair(phy: string, host: string): Promise<Pair> {
    const netns = await this.lab.addNetns(host);
    await addVeth({ ns: this.lab.ns('rtr'), dev: host }, { ns: netns, dev: host });
    await ip(this.lab.ns('rtr'), 'link', 'set', host, 'up');
    await ip(netns, 'link', 'set', host, 'up');
    await this.openDevice(host);
    const [link] = await ipJson<{ ifindex: number }>(netns, 'link', 'show', 'dev', host);
    this.links.in(netns).add(host, link?.ifindex ?? 0);
    await waitFor(`lcpd to see host-${host}`, () => this.dataplane.phys.byName(`host-${host}`) !== undefined);
    const { dev, ino } = statSync(this.links.netnsPath(netns));
    const phyIfindex = this.dataplane.port(phy) ?? 0;
    const pair: Pair = { kind: 'pair', phy, phyIfindex, host, netns, netnsId: `${dev}:${ino}`, type: 'tap' };
    await this.put(pair);
    return pair;
  }

  /** A plain one, with a socket and a secret of its own. */
  memif(name: string, change: Partial<Interconnect> = {}): Interconnect {
    const own = { socket: `${this.lab.dir}/memif/${name}.sock`, secret: `secret-${name}`, owner: name };
    return { kind: 'interconnect', name, link: 'memif', ...PLAIN_INTERCONNECT, ...own, ...change };
  }

  openDevice(dev: string): Promise<void> {
    return PuntLab.#openDevice(this.real, dev);
  }

  #open(): VppDataPlane {
    const dataplane = new VppDataPlane(
      {
        open: { transport: 'socket', socket: { path: this.real.socket }, shm: {} },
        statsSocket: this.real.statsSocket,
        pairBackend: 'attach',
        discoverySocket: '',
        groupSocket: `${this.lab.dir}/groups.sock`,
        namespaces: [''],
        ifindexOf: (netns, name) => this.links.in(netns).ifindexOf(name),
        pollMs: 200,
      },
      this.links,
    );
    dataplane.connect({
      onState: () => undefined,
      onEvent: (event) => {
        if (event.event === 'remark') this.remarks.push(event.message);
      },
      onPhys: () => undefined,
    });
    return dataplane;
  }

  up(): Promise<boolean> {
    return waitFor('the driver to be up', () => this.dataplane.info().state === 'up');
  }

  /** Another lcpd: the one before leaves everything, its journal says what it made. */
  async again(...journal: readonly Punt[]): Promise<void> {
    await this.dataplane.close(true);
    this.dataplane = this.#open();
    await this.up();
    this.dataplane.punts.recall(this.dataplane.info().generation, journal);
  }

  async one(op: 'set' | 'delete', object: LcpObject) {
    const [result] = await this.dataplane.apply([{ op, object, handle: 0 }]);
    return result;
  }

  async put(...objects: readonly LcpObject[]): Promise<void> {
    for (const object of objects) {
      const result = await this.one('set', object);
      const name = object.kind === 'punt' ? puntKey(object) : object.kind;
      this.t.ok(result?.ok, `${name} is set ${result?.message ?? ''}`);
    }
  }

  async drop(...objects: readonly LcpObject[]): Promise<void> {
    for (const object of objects) this.t.ok((await this.one('delete', object))?.ok, 'it is deleted');
  }

  /** Keys of the punts that are held. */
  async keys(): Promise<string[]> {
    const held = await this.dataplane.dump();
    return held.flatMap(({ object }) => (object.kind === 'punt' ? [puntKey(object)] : [])).sort();
  }

  mac(name: string): string {
    return this.dataplane.phys.byName(name)?.mac ?? '';
  }

  /** A frame of the host behind p0 to the router's own address. */
  udp(port: number, ttl = 64, to = '10.0.0.1'): Buffer {
    const from = to.includes(':') ? 'fd00:0::2' : '10.0.0.2';
    return frameOf(this.mac('host-p0'), HOST_MAC, udpPacket(from, to, port, Buffer.from('punted'), ttl));
  }

  packet(proto: number, payload: Uint8Array, ttl = 64): Buffer {
    const packet = ipPacket({ src: '10.0.0.2', dst: '10.0.0.1', proto, ttl, payload });
    return frameOf(this.mac('host-p0'), HOST_MAC, packet);
  }

  send(role: string, ...frames: readonly Buffer[]): Promise<string> {
    return sendFrames(
      this.lab.ns(role),
      'eth0',
      frames.map((frame) => frame.toString('hex')),
    );
  }

  /** Frames that arrive behind an interface while something is sent, as they are, those of interest. */
  async seen(role: string, isMeant: (hex: string) => boolean, during: () => Promise<unknown>): Promise<string[]> {
    const logFile = `${this.lab.dir}/capture-${this.#captures++}.log`;
    const at = { ns: this.lab.ns(role), dev: 'eth0', filter: '-xx -Q in', logFile, until: /never/ };
    return framesIn(await capture(at, during)).filter(isMeant);
  }

  async show(line: string): Promise<string> {
    return (await this.real.ctl(line)).stdout;
  }
}

/** Frames out of tcpdump's hexadecimal lines. */
function framesIn(log: string): string[] {
  const frames: string[] = [];
  for (const line of log.split('\n')) {
    const [, at, words] = /^\s+0x([0-9a-f]{4}):\s+([0-9a-f ]+?)\s*$/.exec(line) ?? [];
    if (at === undefined || words === undefined) continue;
    if (at === '0000') frames.push('');
    frames.push((frames.pop() ?? '') + words.replaceAll(' ', ''));
  }
  return frames;
}
