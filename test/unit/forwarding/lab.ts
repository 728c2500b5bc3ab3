// Lab: a network namespace with two phys (veths) for lcpd's side and one for the hosts, and the way into the first.
//
// Invariants: names carry the process id; what was made is deleted. While `entered`, the main thread, and with it
// every process that it starts, is in the phys' namespace: a test file has a process of its own, so nobody else is.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import koffi from 'koffi';
import { describe } from 'vitest';
import { buildPath } from '../../../src/forwarding/native.ts';
import { netnsIdentity } from '../../../src/netlink/netns.ts';

const setns = koffi.load('libc.so.6').func('int setns(int, int)') as (fd: number, type: number) => number;

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

/** Why real forwarders cannot be run here, undefined when they can. */
export const obstacle = (): string | undefined => {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const name of ['lcpfwd', 'liblcpfwd.so'])
    if (!fs.existsSync(buildPath(name))) return `build/${name} is missing: run make native`;
  return fs.existsSync('/dev/net/tun') ? undefined : 'no /dev/net/tun';
};

/** A describe block that needs a real forwarder, or says loudly why it is skipped. */
export const describeReal = (name: string, body: () => void): void => {
  const why = obstacle();
  if (why === undefined) {
    describe(name, body);
    return;
  }
  process.stderr.write(`SKIPPED: ${name}: ${why}\n`);
  describe.skip(`${name} (${why})`, body);
};

const enter = (path: string): void => {
  const fd = fs.openSync(path, 'r');
  try {
    if (setns(fd, 0x40000000) !== 0) throw new Error(`cannot enter ${path}`);
  } finally {
    fs.closeSync(fd);
  }
};

let serial = 0;

export class Lab {
  readonly phys = `h6p-${process.pid}-${serial}`;
  readonly hosts = `h6c-${process.pid}-${serial++}`;
  readonly dir = fs.mkdtempSync('/tmp/lcpu-lab-');
  readonly #home = fs.openSync('/proc/thread-self/ns/net', 'r');

  constructor() {
    for (const name of [this.phys, this.hosts]) ip('netns', 'add', name);
    for (const name of ['wan0', 'lan0']) {
      ip('-n', this.phys, 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-far`);
      for (const end of [name, `${name}-far`]) ip('-n', this.phys, 'link', 'set', end, 'up');
    }
    enter(`/run/netns/${this.phys}`);
  }

  get hostsIdentity(): string {
    return netnsIdentity(`/run/netns/${this.hosts}`) ?? '';
  }

  ifindex(netns: string, name: string): number {
    const [link] = JSON.parse(ip('-n', netns, '-j', 'link', 'show', name)) as { ifindex: number }[];
    return link?.ifindex ?? 0;
  }

  links(netns: string): string[] {
    return (JSON.parse(ip('-n', netns, '-j', 'link', 'show')) as { ifname: string }[]).map((l) => l.ifname);
  }

  /** Comes home and deletes everything. */
  close(): void {
    if (setns(this.#home, 0x40000000) !== 0) throw new Error('cannot come home');
    fs.closeSync(this.#home);
    for (const name of [this.phys, this.hosts]) ip('netns', 'del', name);
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
