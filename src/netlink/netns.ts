// Netns: network namespaces by path: which one is behind a name now, and when that changes.
//
// Invariants: a namespace is its nsfs device and inode, never its name. The kernel gives a freed inode number to the
// next namespace, but not while a socket of ours keeps the old one alive, so identities compare safely for those who
// hold one. `ip netns add` makes an empty file first and mounts the namespace over it later: the empty file counts
// as absent. Watching uses inotify where the directory exists and looks again every second in any case.
// Reference: network_namespaces(7), ip-netns(8).

import * as fs from 'node:fs';
import * as path from 'node:path';

/** Where named namespaces are mounted. */
export const NETNS_DIR = '/run/netns';
/** statfs type of nsfs. */
const NSFS_MAGIC = 0x6e736673;
/** Between the file and the mount over it pass microseconds to milliseconds, and no event tells of the mount. */
const MOUNT_DELAY_MS = 20;

/** Path of a namespace by name. Throws on names that would leave the directory. */
export function netnsPath(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new Error(`not a network namespace name: ${JSON.stringify(name.slice(0, 64))}`);
  }
  return path.join(NETNS_DIR, name);
}

interface Look {
  /** `dev:ino`. */
  readonly identity: string;
  /** Differs for two mounts even where the inode number was used again. */
  readonly token: string;
}

function isAbsent(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function look(file: string): Look | undefined {
  try {
    if (fs.statfsSync(file).type !== NSFS_MAGIC) return undefined;
    const stat = fs.statSync(file, { bigint: true });
    const identity = `${stat.dev}:${stat.ino}`;
    return { identity, token: `${identity}:${stat.ctimeNs}` };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** `dev:ino` of the namespace at a path, or undefined when there is none. Other errors (EACCES) are thrown. */
export function netnsIdentity(file: string): string | undefined {
  return look(file)?.identity;
}

export interface NetnsEvent {
  readonly name: string;
  readonly change: 'appeared' | 'vanished' | 'replaced';
  /** Of the namespace that is there now; absent when it vanished. */
  readonly identity?: string;
}

export interface NetnsWatchOptions {
  readonly dir?: string;
  /** How often to look without being told. Default 1000. */
  readonly pollMs?: number;
}

/** Watches a directory of namespaces. Those that are there at the start are told as `appeared`. */
export class NetnsWatch {
  readonly #dir: string;
  readonly #onEvent: (event: NetnsEvent) => void;
  readonly #known = new Map<string, string>();
  readonly #poll: NodeJS.Timeout;
  #soon: NodeJS.Timeout | undefined;
  #watcher: fs.FSWatcher | undefined;
  #untold: NetnsEvent[] = [];
  #closed = false;

  constructor(onEvent: (event: NetnsEvent) => void, options: NetnsWatchOptions = {}) {
    this.#dir = options.dir ?? NETNS_DIR;
    this.#onEvent = onEvent;
    this.#poll = setInterval(() => this.#look(), options.pollMs ?? 1000);
    this.#poll.unref();
    // Looked at now, so that nothing can vanish unseen; told later, so that the owner has its watch by then.
    this.#untold = this.#scan();
    this.#soon = setTimeout(() => this.#look(), 0);
  }

  #arm(): void {
    if (this.#watcher !== undefined) return;
    try {
      const watcher = fs.watch(this.#dir, { persistent: false }, () => this.#lookSoon());
      // The directory went, or inotify ran out: the poll goes on, and arms again when it can.
      watcher.on('error', () => this.#disarm());
      this.#watcher = watcher;
    } catch {
      // No directory yet, or no inotify instance left; either way the poll finds what happens, a second later.
      this.#watcher = undefined;
    }
  }

  #disarm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #lookSoon(): void {
    if (this.#closed) return;
    this.#look();
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => this.#look(), MOUNT_DELAY_MS);
    this.#soon.unref();
  }

  #names(): string[] {
    try {
      return fs.readdirSync(this.#dir);
    } catch (error) {
      if (!isAbsent(error)) throw error;
      this.#disarm();
      return [];
    }
  }

  #look(): void {
    if (this.#closed) return;
    const events = [...this.#untold.splice(0), ...this.#scan()];
    for (const event of events) if (!this.#closed) this.#onEvent(event);
  }

  #scan(): NetnsEvent[] {
    this.#arm();
    const events: NetnsEvent[] = [];
    const present = new Set<string>();
    for (const name of this.#names()) {
      const found = look(path.join(this.#dir, name));
      if (found === undefined) continue;
      present.add(name);
      const before = this.#known.get(name);
      if (before === found.token) continue;
      this.#known.set(name, found.token);
      events.push({ name, change: before === undefined ? 'appeared' : 'replaced', identity: found.identity });
    }
    for (const name of [...this.#known.keys()]) {
      if (present.has(name)) continue;
      this.#known.delete(name);
      events.push({ name, change: 'vanished' });
    }
    return events;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#soon);
    this.#disarm();
  }
}
