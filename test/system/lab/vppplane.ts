/**
 * VppPlane: a VPP as the data plane of a system lab, so that stories of the embedded one hold for it too.
 *
 * Chosen by DATAPLANE: `vpp` joins phys with veths `eN` (pair-backend attach; host frames of unicast IP do not leave),
 * `linux-cp` has real pairs and needs /dev/vhost-net. Phys are named in VPP as their veths are. What VPP needs is in the
 * file that it executes at its start, so a VPP that starts again has its phys by itself.
 */
import { writeFileSync } from 'node:fs';
import { RealVpp, vppPrefix } from '../../vpp/lab/realvpp.ts';
import { addVeth, ip } from './netns.ts';

export const dataplanes = ['embedded', 'vpp', 'linux-cp'] as const;
export type DataplaneName = (typeof dataplanes)[number];

/** Without `ping`, which answers echo requests in place of Linux. */
const PLUGINS = ['linux_cp', 'linux_cp_unittest', 'af_packet', 'tap', 'osi', 'ppp'];

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
}

export class VppPlane {
  readonly vpp: RealVpp;
  readonly #options: VppPlaneOptions;
  readonly #attaches: boolean = chosenDataplane() === 'vpp';
  readonly #phys: number[] = [];

  constructor(options: VppPlaneOptions) {
    this.#options = options;
    const { dir, segment, rtr } = options;
    const unix = `exec ${dir}/phys`;
    const names = { prefix: vppPrefix() ?? '', dir: `${dir}/vpp`, netns: rtr, segment };
    this.vpp = new RealVpp({ ...names, unix, plugins: PLUGINS });
  }

  /** Lines of lcpd's configuration. */
  get config(): string {
    const { socket, statsSocket } = this.vpp;
    const backend = this.#attaches ? 'attach' : 'linux-cp';
    return `dataplane:
  driver: vpp
  vpp: { socket: ${socket}, transport: socket, stats-socket: ${statsSocket}, pair-backend: ${backend} }
`;
  }

  /** VPP has pN, and eN where pairs are attached, from its next start on. */
  async addPhy(n: number): Promise<void> {
    const { rtr, cp, dir } = this.#options;
    if (this.#attaches) {
      await addVeth({ ns: rtr, dev: `e${n}` }, { ns: cp, dev: `e${n}` });
      await ip(rtr, 'link', 'set', `e${n}`, 'up');
    }
    await ip(rtr, 'link', 'set', `p${n}`, 'up');
    this.#phys.push(n);
    const lines = (dev: string): string => `create host-interface name ${dev}
set interface name host-${dev} ${dev}
`;
    // a host that is attached is named apart from the kernel's device; its own state is VPP's
    const host = (dev: string): string => `create host-interface name ${dev}\nset interface state host-${dev} up\n`;
    const all = this.#phys.map((each) => lines(`p${each}`) + (this.#attaches ? host(`e${each}`) : ''));
    writeFileSync(`${dir}/phys`, all.join(''));
  }

  start(): Promise<void> {
    return this.vpp.start();
  }

  /** A supervisor's part: VPP has died and is started again. */
  async startAgain(): Promise<void> {
    await this.vpp.restart();
  }
}
