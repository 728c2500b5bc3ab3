/**
 * VppPlane: a VPP as the data plane of a system lab, so that stories of the embedded one hold for it too.
 *
 * Chosen by DATAPLANE: `vpp` joins phys with veths `eN` (pair-backend attach; hosts take frames to neighbours they know),
 * `linux-cp` has real pairs and needs /dev/vhost-net. Phys are named in VPP as their veths are. What VPP needs is in the
 * file that it executes at its start, so a VPP that starts again has its phys by itself.
 */
import { writeFileSync } from 'node:fs';
import { RealVpp, vppPrefix } from '../../vpp/lab/realvpp.ts';
import { addVeth, ip, sysctl } from './netns.ts';

export const dataplanes = ['embedded', 'vpp', 'linux-cp'] as const;
export type DataplaneName = (typeof dataplanes)[number];

/** Without `ping`, which answers echo requests in place of Linux. */
const PLUGINS = [
  ...['linux_cp', 'linux_cp_unittest', 'af_packet', 'tap', 'osi', 'ppp'],
  ...['acl', 'abf', 'memif', 'dhcp', 'policer'],
];
/** What crosses pairs by itself elsewhere. */
const PASSED = 'ethertypes: [lacp, lldp, isis-jumbo], osi: [isis]';

/** What the stories of this process run on. */
export function chosenDataplane(): DataplaneName {
  const { DATAPLANE = 'embedded' } = process.env;
  const chosen = dataplanes.find((name) => name === DATAPLANE);
  if (chosen === undefined) throw new Error(`DATAPLANE=${DATAPLANE}: it is one of ${dataplanes.join(', ')}`);
  return chosen;
}

/** Why there is no VPP to run on; undefined when there is one, or none is asked for. */
export function whyNoDataplane(): string | undefined {
  if (chosenDataplane() === 'embedded' || vppPrefix() !== undefined) return undefined;
  return 'no VPP is installed, and VPP_PREFIX names none';
}

export interface VppPlaneOptions {
  readonly dir: string;
  /** Name of its segments in shared memory. */
  readonly segment: string;
  readonly rtr: string;
  readonly cp: string;
  readonly pairBackend: 'attach' | 'linux-cp';
  /** More of VPP's startup.conf. */
  readonly startup?: string;
}

export class VppPlane {
  readonly vpp: RealVpp;
  readonly #options: VppPlaneOptions;
  /** Lines that VPP executes at its start. */
  #startup = '';
  #phys = 0;
  #isRunning = false;

  constructor(options: VppPlaneOptions) {
    this.#options = options;
    const { dir, segment, rtr, startup = '' } = options;
    const punt = `punt { socket ${dir}/vpp/punt.sock }\n`;
    const names = { prefix: vppPrefix() ?? '', dir: `${dir}/vpp`, netns: rtr, segment, startup: punt + startup };
    // it polls its TAPs, and would take a processor that is emulated from everybody else
    const unix = `exec ${dir}/phys\n${options.pairBackend === 'linux-cp' ? 'poll-sleep-usec 500\n' : ''}`;
    this.vpp = new RealVpp({ ...names, unix, plugins: PLUGINS });
  }

  /** Lines of lcpd's configuration. */
  get config(): string {
    const { socket, statsSocket } = this.vpp;
    return `dataplane:
  driver: vpp
  vpp: { socket: ${socket}, transport: socket, stats-socket: ${statsSocket}, pair-backend: ${this.#options.pairBackend}, ${PASSED} }
`;
  }

  /** VPP has a phy, a device of rtr, and its host where pairs are attached, from its next start on; without a host it is up by itself. */
  async addPhy(phy: string, host?: string): Promise<void> {
    const { rtr, cp, pairBackend } = this.#options;
    // its device is VPP's alone
    await sysctl(rtr, { [`net.ipv6.conf.${phy}.disable_ipv6`]: 1 });
    await ip(rtr, 'link', 'set', phy, 'up');
    // a MAC of its own, as a device has, which another life of VPP has as well
    const mac = `02:fe:00:00:00:${(++this.#phys).toString(16).padStart(2, '0')}`;
    const lines = [`create host-interface name ${phy} hw-addr ${mac}`, `set interface name host-${phy} ${phy}`];
    if (host === undefined) lines.push(`set interface state ${phy} up`);
    else if (pairBackend === 'attach') {
      await addVeth({ ns: rtr, dev: host }, { ns: cp, dev: host });
      // and so is its end of the host
      await sysctl(rtr, { [`net.ipv6.conf.${host}.disable_ipv6`]: 1 });
      await ip(rtr, 'link', 'set', host, 'up');
      lines.push(`create host-interface name ${host}`, `set interface state host-${host} up`);
    }
    this.#startup += `${lines.join('\n')}\n`;
    writeFileSync(this.#script, this.#startup);
    if (this.#isRunning) for (const line of lines) await this.vpp.ctl(line);
  }

  get #script(): string {
    return `${this.#options.dir}/phys`;
  }

  async start(): Promise<void> {
    await this.vpp.start();
    this.#isRunning = true;
  }

  /** A supervisor's part: VPP has died and is started again. */
  async startAgain(): Promise<void> {
    await this.vpp.restart();
  }
}
