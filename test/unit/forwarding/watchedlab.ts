// WatchedLab: a lab whose namespaces are followed, for data planes that set real links; and waiting with an end.

import { Namespace } from '../../../src/lcp/namespace.ts';
import { createLog } from '../../../src/lib/log.ts';
import { NamespaceWatcher } from '../../../src/watcher.ts';
import { Lab } from './lab.ts';

/** Longest wait, ms: several times what a busy machine needs. */
const LIMIT_MS = 8000;

/** Rejects naming what did not come. */
export const until = async (what: string, done: () => boolean): Promise<void> => {
  const end = Date.now() + LIMIT_MS;
  while (!done()) {
    if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
};

export class WatchedLab extends Lab {
  readonly namespaces = new Map<string, Namespace>();
  readonly #watchers: NamespaceWatcher[] = [];

  /** Follows the links of both namespaces; they have been read when it resolves. */
  async watch(): Promise<void> {
    const log = createLog({ levels: { level: 'silent', areas: {} }, style: 'json' }).area('netlink');
    for (const name of ['', this.hosts]) {
      const ns = new Namespace(name);
      this.namespaces.set(name, ns);
      const path = name === '' ? undefined : `/run/netns/${name}`;
      const options = { path, rxBufferBytes: 1 << 20, queueMessages: 4096, linksOnly: true };
      const watcher = new NamespaceWatcher(ns, options, { onState: () => undefined, onGone: () => undefined }, log);
      this.#watchers.push(watcher);
      watcher.open();
    }
    await until('both namespaces are read', () => this.#watchers.every((w) => w.ns.state === 'in-sync'));
  }

  override close(): void {
    for (const watcher of this.#watchers) watcher.close();
    super.close();
  }
}
