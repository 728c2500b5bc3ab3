/**
 * Kernel links of one namespace, as a driver may set and ask them.
 */
import { statSync } from 'node:fs';
import type { LinkChange, LinkControl, LinkFacts } from '../../../src/lcp/dataplane.ts';

const PATH = '/proc/self/ns/net';

export class FakeLinks implements LinkControl {
  readonly #links = new Map<number, LinkFacts & { alias: string }>();
  /** Every change that was asked for. */
  readonly changes: { readonly ifindex: number; readonly change: LinkChange }[] = [];

  get identity(): string {
    const { dev, ino } = statSync(PATH);
    return `${dev}:${ino}`;
  }

  add(name: string, ifindex: number): void {
    this.#links.set(ifindex, { name, alias: '', up: true, carrier: true, mtu: 1500, mac: '', promisc: false });
  }

  remove(ifindex: number): void {
    this.#links.delete(ifindex);
  }

  ifindexOf(name: string): number | undefined {
    return [...this.#links].find(([, link]) => link.name === name)?.[0];
  }

  async set(_netns: string, ifindex: number, change: LinkChange): Promise<void> {
    const link = this.#links.get(ifindex);
    if (link === undefined) throw new Error(`no link ${ifindex}`);
    this.changes.push({ ifindex, change });
    this.#links.set(ifindex, { ...link, ...change });
  }

  get(_netns: string, ifindex: number): LinkFacts | undefined {
    return this.#links.get(ifindex);
  }

  nameOf(_netns: string, alias: string): string | undefined {
    return [...this.#links.values()].find((link) => link.alias === alias)?.name;
  }

  /** Only the embedded plane marks devices that are no hosts. */
  all(): [] {
    return [];
  }

  marked(): [] {
    return [];
  }

  netnsPath(): string {
    return PATH;
  }
}
