// Writes to kernel links for a driver: requests on one socket per namespace, and the mirror's view of the result.

import { writeKernel } from './kernelwrites.ts';
import type { LinkChange, LinkControl, LinkFacts, MarkedLink } from './lcp/dataplane.ts';
import type { Keepsake } from './lcp/keepsakes.ts';
import type { Namespace } from './lcp/namespace.ts';
import type { KernelWrite } from './lcp/upward.ts';
import { isProgrammingError, LcpError } from './lib/errors.ts';
import { setLink, useNeighbour } from './netlink/change.ts';
import { netnsPath } from './netlink/netns.ts';
import { RtnlRequester } from './netlink/request.ts';
import { NetlinkSocket } from './netlink/socket.ts';
import { IFF_LOWER_UP, IFF_PROMISC, IFF_UP } from './netlink/uapi.ts';
import { restoreHost } from './restore.ts';

/** How long the mirror may take to show what the kernel has acknowledged. */
const SEEN_TIMEOUT_MS = 1000;
/** Queue of an acknowledgement socket in bytes: it carries answers only. */
const ACK_BUFFER = 1 << 20;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class KernelLinks implements LinkControl {
  readonly #namespaces: ReadonlyMap<string, Namespace>;
  /** Solicitations that could not be made. */
  unsolicited = 0;
  readonly #requesters = new Map<string, { identity: string; requester: RtnlRequester }>();

  constructor(namespaces: ReadonlyMap<string, Namespace>) {
    this.#namespaces = namespaces;
  }

  netnsPath(netns: string): string {
    return netns === '' ? '/proc/self/ns/net' : netnsPath(netns);
  }

  /** A socket belongs to the namespace that was there when it was opened, so a new identity needs a new one. */
  #requester(netns: string): RtnlRequester {
    const identity = this.#namespaces.get(netns)?.identity ?? '';
    const open = this.#requesters.get(netns);
    if (open !== undefined && open.identity === identity) return open.requester;
    open?.requester.close();
    const path = netns === '' ? undefined : this.netnsPath(netns);
    const requester = new RtnlRequester(new NetlinkSocket({ netns: path, receiveBuffer: ACK_BUFFER }));
    this.#requesters.set(netns, { identity, requester });
    return requester;
  }

  get(netns: string, ifindex: number): LinkFacts | undefined {
    const link = this.#namespaces.get(netns)?.links.get(ifindex);
    if (link === undefined) return undefined;
    return {
      name: link.name,
      up: (link.flags & IFF_UP) !== 0,
      carrier: (link.flags & IFF_LOWER_UP) !== 0,
      mtu: link.mtu,
      mac: link.mac ?? '',
      promisc: (link.flags & IFF_PROMISC) !== 0,
    };
  }

  nameOf(netns: string, alias: string): string | undefined {
    for (const link of this.#namespaces.get(netns)?.links.values() ?? []) if (link.alias === alias) return link.name;
    return undefined;
  }

  *marked(prefix: string): Iterable<MarkedLink> {
    for (const [netns, { identity, links }] of this.#namespaces)
      for (const { ifindex, name, alias } of links.values())
        if (alias?.startsWith(prefix) === true) yield { netns, netnsId: identity, ifindex, name, alias };
  }

  all(netns: string): Iterable<{ readonly ifindex: number; readonly name: string }> {
    return this.#namespaces.get(netns)?.links.values() ?? [];
  }

  /** Index of the link of a name; undefined when there is none. */
  ifindexOf(netns: string, name: string): number | undefined {
    for (const link of this.#namespaces.get(netns)?.links.values() ?? []) if (link.name === name) return link.ifindex;
    return undefined;
  }

  async set(netns: string, ifindex: number, change: LinkChange): Promise<void> {
    await setLink(this.#requester(netns), ifindex, change);
    const deadline = Date.now() + SEEN_TIMEOUT_MS;
    while (!this.#shows(netns, ifindex, change) && Date.now() < deadline) await sleep(1);
  }

  #shows(netns: string, ifindex: number, change: LinkChange): boolean {
    const now = this.get(netns, ifindex);
    if (now === undefined) return false;
    // a device that is down shows no carrier whatever it was told
    const carrier = change.carrier === undefined || !now.up || now.carrier === change.carrier;
    return (
      carrier &&
      (change.up === undefined || now.up === change.up) &&
      (change.mtu === undefined || now.mtu === change.mtu) &&
      (change.mac === undefined || now.mac === change.mac) &&
      (change.promisc === undefined || now.promisc === change.promisc)
    );
  }

  /** Asks the kernel to resolve a neighbour; what it finds comes back as a notice. */
  async solicit(netns: string, ifindex: number, address: string): Promise<void> {
    try {
      await useNeighbour(this.#requester(netns), ifindex, address);
    } catch (error) {
      // interface or namespace may be down or gone by now; if traffic still waits, the data plane asks again
      if (isProgrammingError(error)) throw error;
      this.unsolicited++;
    }
  }

  /** Gives a host what its predecessor had; resolves with what was refused. */
  restore(ifindex: number, keepsake: Keepsake): Promise<string[]> {
    const ns = this.#namespaces.get(keepsake.netns);
    if (ns === undefined) return Promise.resolve([`network namespace ${keepsake.netns} is gone`]);
    return restoreHost(this.#requester(keepsake.netns), ns, ifindex, keepsake);
  }

  /** Does what was changed in the data plane to the kernel, too. */
  write(write: KernelWrite): Promise<void> {
    if (this.#namespaces.get(write.netns)?.state !== 'in-sync') {
      return Promise.reject(new LcpError('NETNS_GONE', { op: 'write', key: write.text }));
    }
    return writeKernel(this.#requester(write.netns), write);
  }

  /** Lets go of a namespace, so that it can end. */
  release(netns: string): void {
    this.#requesters.get(netns)?.requester.close();
    this.#requesters.delete(netns);
  }

  close(): void {
    for (const netns of [...this.#requesters.keys()]) this.release(netns);
  }
}
