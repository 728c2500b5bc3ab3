// Sides: the two that mirror the kernel's routes into a VPP: lcpd beside it, and linux_nl within it.
//
// Invariants: either has a VPP of its own, set up alike and as a router in use would be: without pauses in its main loop.
// Pairs are joined by linux_cp_unittest for both, so that no /dev/vhost-net is needed. Routes leave by 10.0.1.0/24.

import { Lcpd } from '../../test/system/lab/lcpd.ts';
import { addNetns, addVeth, delNetns, ip } from '../../test/system/lab/netns.ts';
import { waitFor } from '../../test/system/lab/process.ts';
import { PLUGINS, RealVpp } from '../../test/vpp/lab/realvpp.ts';
import { openInterfaces } from '../../test/vpp/lab/router.ts';
import { Probe } from './probe.ts';

const stem = `lcpbench${process.pid}`;

/** The one address of a control plane, on the host e0. */
const ADDRESS = '10.0.1.1/24';
/** VPP's name of the phy. */
export const PHY = 'host-p0';
/** Prefixes of the bench's length that VPP has besides the bench's: that of the address. */
export const OWN = 1;
/** Of linux_nl's e0, because the second pair is joined with that index. */
const HOST_INDEX = '2';

export interface Side {
  readonly name: string;
  readonly vpp: RealVpp;
  readonly probe: Probe;
  /** The namespace whose routes are mirrored. */
  readonly cp: string;
  close(): Promise<void>;
}

export interface SideOptions {
  readonly prefix: string;
  readonly dir: string;
  /** Of startup.conf, whole sections. */
  readonly startup?: string;
}

/** What both have: namespaces with their end, a VPP and its probe. */
class Bed {
  readonly namespaces: string[] = [];
  vpp: RealVpp | undefined;
  probe: Probe | undefined;

  async netns(role: string): Promise<string> {
    const name = `${stem}-${role}`;
    this.namespaces.push(name);
    await addNetns(name);
    return name;
  }

  async start(vpp: RealVpp): Promise<Probe> {
    this.vpp = vpp;
    await vpp.start();
    this.probe = await Probe.open(vpp, OWN);
    return this.probe;
  }

  async close(): Promise<void> {
    this.probe?.close();
    await this.vpp?.remove();
    for (const ns of this.namespaces) await delNetns(ns);
  }
}

export interface LcpdSideOptions extends SideOptions {
  readonly transport: 'auto' | 'socket' | 'shm';
}

/** lcpd, and a VPP whose memory is where a VPP has it by default: /dev/shm must be the bench's own. */
export class LcpdSide implements Side {
  readonly name = 'lcpd';
  readonly vpp: RealVpp;
  readonly probe: Probe;
  readonly cp: string;
  readonly lcpd: Lcpd;
  readonly #bed: Bed;

  private constructor(bed: Bed, vpp: RealVpp, probe: Probe, cp: string, lcpd: Lcpd) {
    this.#bed = bed;
    this.vpp = vpp;
    this.probe = probe;
    this.cp = cp;
    this.lcpd = lcpd;
  }

  /** With lcpd not started yet. */
  static async open({ prefix, dir, startup = '', transport }: LcpdSideOptions): Promise<LcpdSide> {
    const bed = new Bed();
    try {
      const [rtr, cp, peer] = [await bed.netns('rtr'), await bed.netns('cp'), await bed.netns('peer')];
      await addVeth({ ns: rtr, dev: 'p0' }, { ns: peer, dev: 'q0' });
      await addVeth({ ns: rtr, dev: 'e0' }, { ns: cp, dev: 'e0' });
      for (const dev of ['p0', 'e0']) await ip(rtr, 'link', 'set', dev, 'up');
      await ip(peer, 'link', 'set', 'q0', 'up');
      await ip(cp, 'link', 'set', 'e0', 'up');
      await ip(cp, 'address', 'add', ADDRESS, 'dev', 'e0');
      const vpp = new RealVpp({ prefix, dir: `${dir}/vpp`, netns: rtr, segment: '', startup });
      const probe = await bed.start(vpp);
      await openInterfaces(vpp, 1);
      const config = [
        'dataplane:',
        '  driver: vpp',
        `  vpp: { socket: ${vpp.socket}, transport: ${transport}, stats-socket: ${vpp.statsSocket}, pair-backend: attach }`,
        `netns: ${cp}`,
        `pairs: [ { phy: ${PHY}, host: e0 } ]`,
        `control: { socket: ${dir}/lcpd/lcpd.sock }`,
        '',
      ].join('\n');
      return new LcpdSide(bed, vpp, probe, cp, new Lcpd({ ns: rtr, dir: `${dir}/lcpd`, config }));
    } catch (error) {
      await bed.close();
      throw error;
    }
  }

  /** Starts lcpd for a kernel without the bench's routes. */
  async start(): Promise<void> {
    await this.lcpd.start();
    await this.lcpd.waitPair(PHY, 'up');
    await this.lcpd.synced();
  }

  async close(): Promise<void> {
    await this.lcpd.stop();
    await this.#bed.close();
  }
}

/** linux_nl as it comes, in the namespace that its VPP runs in. */
export class NativeSide implements Side {
  readonly name = 'linux_nl';
  readonly vpp: RealVpp;
  readonly probe: Probe;
  readonly cp: string;
  readonly #bed: Bed;

  private constructor(bed: Bed, vpp: RealVpp, probe: Probe, cp: string) {
    this.#bed = bed;
    this.vpp = vpp;
    this.probe = probe;
    this.cp = cp;
  }

  static async open({ prefix, dir, startup = '' }: SideOptions): Promise<NativeSide> {
    const bed = new Bed();
    try {
      const [cp, peer] = [await bed.netns('nl'), await bed.netns('nlpeer')];
      await ip(cp, 'link', 'add', 'x0', 'type', 'veth', 'peer', 'name', 'e0', 'index', HOST_INDEX);
      await addVeth({ ns: cp, dev: 'p0' }, { ns: peer, dev: 'q0' });
      for (const dev of ['p0', 'x0']) await ip(cp, 'link', 'set', dev, 'up');
      await ip(peer, 'link', 'set', 'q0', 'up');
      const plugins = [...PLUGINS, 'linux_nl'];
      const segment = `${stem}-nl`;
      const vpp = new RealVpp({ prefix, dir: `${dir}/nlvpp`, netns: cp, segment, startup, plugins });
      const side = new NativeSide(bed, vpp, await bed.start(vpp), cp);
      await side.#pair();
      return side;
    } catch (error) {
      await bed.close();
      throw error;
    }
  }

  /** linux_cp_unittest takes the Linux indices 1, 2, … for its pairs: the first one is lo's, and stands idle. */
  async #pair(): Promise<void> {
    const commands = [
      'create loopback interface',
      'create loopback interface',
      'test lcp add phy loop0 host loop1',
      'create host-interface name p0',
      'create host-interface name x0',
      'set interface state host-x0 up',
      `test lcp add phy ${PHY} host host-x0`,
    ];
    for (const line of commands) {
      const { code, stdout, stderr } = await this.vpp.ctl(line);
      if (code !== 0) throw new Error(`VPP: ${line}: ${stdout}${stderr}`);
    }
    await ip(this.cp, 'link', 'set', 'e0', 'up');
    await ip(this.cp, 'address', 'add', ADDRESS, 'dev', 'e0');
    await waitFor('linux_nl to have the address', async () => {
      const { stdout } = await this.vpp.ctl(`show interface addr ${PHY}`);
      return stdout.includes(ADDRESS);
    });
  }

  async close(): Promise<void> {
    await this.#bed.close();
  }
}
