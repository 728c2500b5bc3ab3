/**
 * The usual router on a VPP: phys p0 p1 … and the inner ends of hosts e0 e1 … in `rtr`, opened by VPP as host-interfaces;
 * the hosts' outer ends in `cp`; behind each phy a plain host `hN` with 10.0.N.2/24 and fd00:N::2/64.
 *
 * Pairs are attached, because the machine's kernel has no vhost-net: linux_cp's nodes work as ever, and hosts are veths
 * that outlive VPP. What only linux_cp's own TAPs show is tested where that kernel is (test/qemu).
 */

import { Lcpd } from '../../system/lab/lcpd.ts';
import { addVeth, ip } from '../../system/lab/netns.ts';
import type { VppLab } from '../lab.ts';
import type { RealVpp } from './realvpp.ts';

export interface VppRouter {
  readonly vpp: RealVpp;
  readonly lcpd: Lcpd;
  /** Of lcpd, as it was started. */
  readonly config: string;
}

export interface VppRouterOptions {
  /** Default 2. */
  readonly ports?: number;
  readonly transport?: 'auto' | 'socket' | 'shm';
  /** Whether the kernel of cp forwards too. */
  readonly kernelForwards?: boolean;
  /** Lines of YAML appended to the configuration. */
  readonly extra?: string;
  /** Instead of a pair for each port. */
  readonly pairs?: string;
  /** Keys of dataplane.vpp. */
  readonly passThrough?: string;
  /** Plugins of VPP, where it needs others. */
  readonly plugins?: readonly string[];
  /** More of VPP's startup.conf. */
  readonly startup?: string;
}

/** Opens phys and hosts in VPP, as its startup script would. */
export async function openInterfaces(vpp: RealVpp, ports: number): Promise<void> {
  for (let n = 0; n < ports; n++) {
    for (const dev of [`p${n}`, `e${n}`]) {
      const { code, stderr } = await vpp.ctl(`create host-interface name ${dev}`);
      if (code !== 0) throw new Error(`VPP does not open ${dev}: ${stderr}`);
      await vpp.ctl(`set interface state host-${dev} up`);
    }
  }
}

/** The router, running, addressed and in sync. */
export async function addVppRouter(lab: VppLab, options: VppRouterOptions = {}): Promise<VppRouter> {
  const { ports = 2, transport = 'socket', extra = '' } = options;
  const rtr = await lab.addNetns('rtr');
  const cp = await lab.addNetns('cp', options.kernelForwards);
  const numbers = Array.from({ length: ports }, (_, n) => n);
  for (const n of numbers) {
    const host = await lab.addNetns(`h${n}`);
    await addVeth({ ns: rtr, dev: `p${n}` }, { ns: host, dev: 'eth0' });
    await addVeth({ ns: rtr, dev: `e${n}` }, { ns: cp, dev: `e${n}` });
    for (const dev of [`p${n}`, `e${n}`]) await ip(rtr, 'link', 'set', dev, 'up');
    await ip(host, 'link', 'set', 'eth0', 'up');
    await ip(host, 'address', 'add', `10.0.${n}.2/24`, 'dev', 'eth0');
    await ip(host, 'address', 'add', `fd00:${n}::2/64`, 'dev', 'eth0', 'nodad');
    await ip(host, 'route', 'add', 'default', 'via', `10.0.${n}.1`);
    await ip(host, '-6', 'route', 'add', 'default', 'via', `fd00:${n}::1`);
  }
  const { plugins, startup = '' } = options;
  const vpp = await lab.addVpp({ netns: rtr, startup, ...(plugins && { plugins }) });
  await openInterfaces(vpp, ports);
  const dir = `${lab.dir}/lcpd`;
  const more = options.passThrough === undefined ? '' : `, ${options.passThrough}`;
  const listed = numbers.map((n) => `  - { phy: host-p${n}, host: e${n} }`).join('\n');
  const pairs = options.pairs ?? `pairs:\n${listed}`;
  const config = `dataplane:
  driver: vpp
  vpp: { socket: ${vpp.socket}, transport: ${transport}, stats-socket: ${vpp.statsSocket}, pair-backend: attach${more} }
netns: ${cp}
control: { socket: ${dir}/lcpd.sock }
${pairs}
${extra}
`;
  const lcpd = new Lcpd({ ns: rtr, dir, config });
  lab.defer(() => lcpd.stop());
  await lcpd.start();
  for (const n of numbers) {
    await ip(cp, 'link', 'set', `e${n}`, 'up');
    await ip(cp, 'address', 'replace', `10.0.${n}.1/24`, 'dev', `e${n}`);
    await ip(cp, 'address', 'replace', `fd00:${n}::1/64`, 'dev', `e${n}`, 'nodad');
    await lcpd.waitPair(`host-p${n}`, 'up');
  }
  await lcpd.synced();
  return { vpp, lcpd, config };
}
