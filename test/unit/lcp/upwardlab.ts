/**
 * A router on a data plane that others change, too (ownplane.ts), for the tests of what goes up.
 */
import { expect } from 'vitest';
import type { Pair } from '../../../src/lcp/objects.ts';
import type { UpwardSettings } from '../../../src/lcp/upward.ts';
import { ExtraKernel } from './extrakernel.ts';
import { FakeKernel } from './fakekernel.ts';
import { Door, OwnPlane } from './ownplane.ts';
import { PAIRS, Router } from './router.ts';

export const ON: UpwardSettings = { on: true, unnumbered: true, autoSubint: true };
export const OFF: UpwardSettings = { ...ON, on: false };
export const BACKOFF = { initialMs: 100, maxMs: 1000 };

export let kernel: ExtraKernel;
export let plane: OwnPlane;
export let door: Door;
export let r: Router;
export const host = (name = 'e0') => kernel.linkNamed(name);
export const addressesOf = (name = 'e0') =>
  kernel.addresses.filter((a) => a.ifindex === host(name).ifindex).map((a) => `${a.local}/${a.prefixlen}`);

/** The promises of writes have their turn. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));

/** The driver looks, and everything that follows is done. */
export async function settled(): Promise<void> {
  plane.poll();
  for (let i = 0; i < 10; i++) {
    await r.settle();
    await turn();
  }
  await r.settle();
}

export async function begin(settings: UpwardSettings = ON, before: () => void = () => undefined): Promise<void> {
  kernel = new ExtraKernel(100);
  const kernels = new Map<string, FakeKernel>([
    ['', new FakeKernel(10)],
    ['cp', kernel],
  ]);
  door = new Door((netns) => kernels.get(netns) as FakeKernel);
  const hosts = {
    make: (pair: Pair) => {
      for (const l of kernel.links.values()) if (l.name === pair.host) return l.ifindex;
      const { mtu, up } = plane.own(pair.phy);
      const made = kernel.addLink(pair.host, {
        mtu,
        up,
        mac: '02:00:00:00:00:0e',
        alias: `lcpd ${pair.phy}`,
        kind: 'tun',
        tunType: 'tap',
      });
      r.deliver('cp');
      return made.ifindex;
    },
    remove: () => undefined,
    agree: () => undefined,
  };
  plane = new OwnPlane(hosts);
  for (const [i, name] of ['wan0', 'lan0'].entries()) plane.add(name, i + 1, { up: true });
  before();
  r = new Router({ dataplane: plane, kernels, write: door.write });
  r.reconciler.upward.configure(settings, BACKOFF);
  r.start(PAIRS);
  await settled();
}

/** Nothing more is asked of anybody. */
export const quiet = async (): Promise<void> => {
  plane.changes.length = 0;
  door.writes.length = 0;
  await settled();
  await settled();
  expect([plane.changes, door.writes]).toEqual([[], []]);
};

/** lcpd is started again, after something happened while it was away. */
export async function startAgain(change: () => void = () => undefined): Promise<void> {
  const specs = [...r.reconciler.pairs.specs()];
  change();
  r.deliver('cp');
  plane.poll();
  r = new Router({ dataplane: plane, kernels: r.kernels, write: door.write });
  r.reconciler.upward.configure(ON, BACKOFF);
  r.start(specs);
  await settled();
}
