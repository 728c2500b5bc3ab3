/**
 * Demo: the running demonstration: lcpd, the routers around it, and taking all of it down again.
 *
 * Invariants: everything that runs, runs in one of our namespaces, so that taking the namespaces down ends it, also
 * what an earlier demo left that was killed. State is in one directory, removed with the rest.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { Bird } from '../test/system/lab/bird.ts';
import { Frr, removeFrr } from '../test/system/lab/frr.ts';
import { Lcpd } from '../test/system/lab/lcpd.ts';
import { delNetns } from '../test/system/lab/netns.ts';
import { tryRun, waitFor } from '../test/system/lab/process.ts';
import { VppPlane } from '../test/system/lab/vppplane.ts';
import { vppPrefix } from '../test/vpp/lab/realvpp.ts';
import { birdConfig, buildTopology, lcpdConfig, namespaces, ns, pairs, rightConfig, routerConfig } from './topology.ts';

export const dir = '/run/lcpd-demo';
const routers = { cp: 'lcpd-demo-cp', right: 'lcpd-demo-right' } as const;

/** What forwards: DRIVER of the environment. */
export type Driver = 'embedded' | 'vpp';

export function driver(): Driver {
  const { DRIVER = 'embedded' } = process.env;
  if (DRIVER !== 'embedded' && DRIVER !== 'vpp') throw new Error(`DRIVER=${DRIVER}: it is embedded or vpp`);
  return DRIVER;
}

/** Real pairs where the kernel can have them, else veths that are attached. */
export const pairBackend = (): 'attach' | 'linux-cp' => (existsSync('/dev/vhost-net') ? 'linux-cp' : 'attach');

export interface Demo {
  /** VPP, where it forwards. */
  readonly plane: VppPlane | undefined;
  readonly lcpd: Lcpd;
  /** FRR in cp, on lcpd's host interfaces. */
  readonly router: Frr;
  readonly right: Frr;
  readonly left: Bird;
}

export function checkMachine(): void {
  if (process.getuid?.() !== 0) throw new Error('it makes network namespaces and devices: run it as root');
  if (!existsSync('/dev/net/tun')) throw new Error('no /dev/net/tun: load the kernel module tun');
  if (driver() === 'vpp' && vppPrefix() === undefined)
    throw new Error('DRIVER=vpp: no VPP is installed, and VPP_PREFIX names none');
  if (!existsSync('dist/main.js')) throw new Error('dist/main.js is missing: run it as make demo');
}

export async function takeDown(): Promise<void> {
  // All at once: every namespace waits for its processes.
  const results = await Promise.allSettled(namespaces.map((name) => delNetns(name)));
  for (const name of Object.values(routers)) removeFrr(name);
  rmSync(dir, { recursive: true, force: true });
  const failed = results.filter((r) => r.status === 'rejected');
  if (failed.length > 0)
    throw new AggregateError(
      failed.map((r) => r.reason),
      String(failed[0]?.reason),
    );
}

async function startVpp(): Promise<VppPlane> {
  const plane = new VppPlane({ dir, segment: 'lcpd-demo', rtr: ns.rtr, cp: ns.cp, pairBackend: pairBackend() });
  for (const { phy, host } of pairs) await plane.addPhy(phy, host);
  await plane.start();
  return plane;
}

export async function bringUp(): Promise<Demo> {
  await takeDown();
  mkdirSync(dir, { recursive: true });
  await buildTopology();
  const plane = driver() === 'vpp' ? await startVpp() : undefined;
  const embedded = `dataplane: { driver: embedded, socket: ${dir}/lcpfwd.sock }\n`;
  const lcpd = new Lcpd({ ns: ns.rtr, dir, config: lcpdConfig(dir, plane?.config ?? embedded) });
  await lcpd.start();
  // The host interfaces come up as they would by an operator's ifupdown; lcpd raises the phys with them.
  for (const { host } of pairs) {
    await waitFor(
      `${host} to appear in ${ns.cp}`,
      async () => (await tryRun(['ip', '-n', ns.cp, 'link', 'set', host, 'up'])).code === 0,
    );
  }
  const daemons = ['bgpd', 'ospfd', 'ospf6d'] as const;
  const [router, right, left] = await Promise.all([
    Frr.start({ ns: ns.cp, name: routers.cp, daemons, config: routerConfig(), dir }),
    Frr.start({ ns: ns.right, name: routers.right, daemons, config: rightConfig(), dir }),
    Bird.start({ ns: ns.left, name: 'left', config: birdConfig(), dir }),
  ]);
  return { lcpd, plane, router, right, left };
}

/** What to try in a demo that was kept. */
export const lookAround = (): string => `\
the demo is up; look around:
  lcpctl:   node dist/cli/main.js --socket ${dir}/lcpd.sock status
            … show pairs | show routes | show adjacencies | show counters | lookup 10.2.0.2 | trace
  router:   vtysh -N ${routers.cp} -c 'show bgp summary'        (FRR on lcpd's interfaces)
  right:    vtysh -N ${routers.right} -c 'show ip ospf neighbor'
  left:     birdc -s ${dir}/left.ctl show protocols
  kernel:   ip -n ${ns.cp} route
  traffic:  ip netns exec ${ns.lefthost} ping 10.2.0.2
            ip netns exec ${ns.lefthost} traceroute -6 -n fd00:2::2
  logs:     ${dir}/*.log
take it down: make demo-down`;
