// Restore: gives a host that was made anew what its predecessor had (lcp/keepsakes.ts), by requests to the kernel.
//
// Whatever is refused is told and leaves the rest alone: by then somebody may have made it already, or taken away
// what it needs. What is there already is as good.

import type { Keepsake, KeptDevice } from './lcp/keepsakes.ts';
import type { Namespace } from './lcp/namespace.ts';
import { isProgrammingError, messageOf } from './lib/errors.ts';
import { addAddress, newLink, newNeighbour, setLink } from './netlink/change.ts';
import { RtnlError, type RtnlRequester } from './netlink/request.ts';
import * as k from './netlink/uapi.ts';

/** How long the mirror may take to show a device that was made. */
const SEEN_TIMEOUT_MS = 1000;
/** What an address cannot be asked to be. */
const KERNELS_FLAGS = k.IFA_F_SECONDARY | k.IFA_F_TENTATIVE | k.IFA_F_DADFAILED | k.IFA_F_PERMANENT;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const ifindexOf = (ns: Namespace, name: string): number | undefined => {
  for (const link of ns.links.values()) if (link.name === name) return link.ifindex;
  return undefined;
};

async function seen(ns: Namespace, name: string): Promise<number | undefined> {
  const deadline = Date.now() + SEEN_TIMEOUT_MS;
  while (ifindexOf(ns, name) === undefined && Date.now() < deadline) await sleep(1);
  return ifindexOf(ns, name);
}

/** Resolves with what could not be given back, a line each. */
export async function restoreHost(
  requester: RtnlRequester,
  ns: Namespace,
  hostIfindex: number,
  { devices, addresses, neighbours }: Keepsake,
): Promise<string[]> {
  const refused: string[] = [];
  const ask = async (what: string, request: () => Promise<void>): Promise<void> => {
    try {
      await request();
    } catch (error) {
      if (isProgrammingError(error)) throw error;
      if (error instanceof RtnlError && error.code === 'EEXIST') return;
      refused.push(`${what}: ${messageOf(error)}`);
    }
  };
  const indexes = new Map<string, number>();
  const make = async (device: KeptDevice): Promise<void> => {
    const { name, below, vlan, up, mtu, master } = device;
    let ifindex: number | undefined = hostIfindex;
    if (below !== '' && vlan !== undefined) {
      const link = indexes.get(below);
      if (link === undefined) return; // that below it was refused, and told
      await ask(`${name}`, () => newLink(requester, { kind: 'vlan', name, link, info: { vlan } }));
      ifindex = await seen(ns, name);
    }
    if (ifindex === undefined) return;
    indexes.set(name, ifindex);
    const index = ifindex;
    const over = master === '' ? undefined : ifindexOf(ns, master);
    await ask(`${name} mtu ${mtu}`, () => setLink(requester, index, { mtu }));
    if (over !== undefined) await ask(`${name} master ${master}`, () => setLink(requester, index, { master: over }));
    await ask(`${name} ${up ? 'up' : 'down'}`, () => setLink(requester, index, { up }));
  };
  for (const device of devices) await make(device);
  for (const [name, a] of addresses) {
    const ifindex = indexes.get(name);
    if (ifindex === undefined) continue;
    const flags = a.flags & ~KERNELS_FLAGS;
    await ask(`${name} ${a.local}/${a.prefixlen}`, () => addAddress(requester, { ...a, ifindex, flags }));
  }
  for (const [name, n] of neighbours) {
    const ifindex = indexes.get(name);
    if (ifindex === undefined) continue;
    const { family, dst, lladdr, state, flags } = n;
    const entry = { family, ifindex, dst, state, flags, ...(lladdr === undefined ? {} : { lladdr }) };
    await ask(`${name} ${dst}`, () => newNeighbour(requester, entry));
  }
  return refused;
}
