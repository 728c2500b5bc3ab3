// Network namespaces: the bracket that always comes back, identities, and watching names come and go.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { errnoName, OWN_NETNS, withNetns } from '../../../src/lib/libc.ts';
import { type NetnsEvent, NetnsWatch, netnsIdentity, netnsPath } from '../../../src/netlink/netns.ts';
import { NetlinkSocket } from '../../../src/netlink/socket.ts';
import { describeRoot, netnsForBlock, TestNetns, until } from './kernel.ts';

const here = () => fs.readlinkSync(OWN_NETNS);

describe('names', () => {
  it('become paths, unless they would leave the directory', () => {
    expect(netnsPath('cp')).toBe('/run/netns/cp');
    for (const wrong of ['', '.', '..', 'a/b', '../x', 'a\0b'])
      expect(() => netnsPath(wrong)).toThrow('not a network namespace name');
  });

  it('errno names', () => {
    expect([105, -17, 95, 11, 0, 110].map(errnoName)).toEqual([
      'ENOBUFS',
      'EEXIST',
      'EOPNOTSUPP',
      'EAGAIN',
      'OK',
      'ETIMEDOUT',
    ]);
  });
});

describeRoot('the bracket', () => {
  const netns = netnsForBlock();

  it('runs inside and comes back', () => {
    const home = here();
    const inside = withNetns(netns.path, here);
    expect(inside).not.toBe(home);
    expect(here()).toBe(home);
    expect(withNetns(undefined, here)).toBe(home);
  });

  it('comes back when the action throws, and when it is asynchronous by mistake', () => {
    const home = here();
    expect(() =>
      withNetns(netns.path, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(() => withNetns(netns.path, async () => 1)).toThrow('must not be asynchronous');
    expect(here()).toBe(home);
  });

  it('names a namespace that is not there or is none', () => {
    expect(() => withNetns('/run/netns/lcpu-absent', here)).toThrow('ENOENT');
    expect(() => withNetns('/etc/hostname', here)).toThrow('cannot enter network namespace /etc/hostname: EINVAL');
  });

  it('aborts the process when there is no way back', () => {
    let calls = 0;
    const reasons: string[] = [];
    const broken = {
      setns: () => (calls++ === 0 ? 0 : -1),
      errno: () => 1,
      abort: (reason: string): never => {
        reasons.push(reason);
        throw new Error('aborted');
      },
    };
    expect(() => withNetns(netns.path, () => 1, broken)).toThrow('aborted');
    expect(reasons).toEqual([`cannot return from network namespace ${netns.path}: EPERM; aborting`]);
  });

  it('a socket opened inside belongs there and is used from outside', () => {
    const socket = new NetlinkSocket({ netns: netns.path });
    expect(here()).not.toBe(withNetns(netns.path, here));
    socket.close();
  });

  it("libuv's pool stays at home even when its first job is queued inside", () => {
    // In a plain process: a loader of TypeScript would have started the pool before.
    const dir = fs.mkdtempSync('/tmp/lcpu-pool-');
    const libc = fileURLToPath(new URL('../../../src/lib/libc.ts', import.meta.url));
    const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true };
    const compiled = ts.transpileModule(fs.readFileSync(libc, 'utf8'), { compilerOptions }).outputText;
    fs.writeFileSync(`${dir}/libc.cjs`, compiled);
    const script = `
      const fs = require('node:fs');
      const { withNetns, OWN_NETNS } = require('${dir}/libc.cjs');
      const home = fs.readlinkSync(OWN_NETNS);
      withNetns('${netns.path}', () => { fs.stat('/', () => {}); });
      Promise.all(Array.from({ length: 16 }, () => fs.promises.readlink(OWN_NETNS))).then((seen) => {
        console.log(seen.every((one) => one === home) ? 'at home' : 'abroad');
      });
    `;
    const env = { ...process.env, NODE_OPTIONS: '', NODE_PATH: path.join(libc, '../../../node_modules') };
    const out = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8', env });
    fs.rmSync(dir, { recursive: true });
    expect(out.trim()).toBe('at home');
  });
});

describeRoot('identities', () => {
  it('differ between namespaces, are absent without one, and belong to nsfs only', () => {
    const one = new TestNetns();
    one.add();
    try {
      expect(netnsIdentity(one.path)).toMatch(/^\d+:\d+$/);
      expect(netnsIdentity(one.path)).not.toBe(netnsIdentity('/proc/self/ns/net'));
      expect(netnsIdentity('/run/netns/lcpu-absent')).toBeUndefined();
      expect(netnsIdentity('/etc/hostname')).toBeUndefined();
    } finally {
      one.del();
    }
  });

  it('change when a namespace is made again while a socket of ours is in the old one', () => {
    const one = new TestNetns();
    one.add();
    const before = netnsIdentity(one.path);
    const socket = new NetlinkSocket({ netns: one.path });
    one.del();
    one.add();
    expect(netnsIdentity(one.path)).not.toBe(before);
    socket.close();
    one.del();
  });
});

describeRoot('watching', () => {
  it('tells what is there, what comes, what goes and what is replaced', async () => {
    const early = new TestNetns();
    const late = new TestNetns();
    early.add();
    const events: NetnsEvent[] = [];
    const watch = new NetnsWatch((event) => events.push(event));
    const about = (netns: TestNetns) =>
      events.filter((event) => event.name === netns.name).map((event) => event.change);
    try {
      await until('the early one is told', () => about(early).length === 1);
      const begun = performance.now();
      late.add();
      await until('the late one is told', () => about(late).length === 1);
      // By inotify, not by the poll a second later.
      expect(performance.now() - begun).toBeLessThan(800);
      expect(events.find((event) => event.name === late.name)?.identity).toBe(netnsIdentity(late.path));
      late.del();
      late.add();
      await until('its successor is told', () => about(late).length >= 2);
      await until('nothing is pending', () => about(late).at(-1) !== 'vanished');
      expect(['replaced', 'appeared']).toContain(about(late).at(-1));
      early.del();
      await until('the end is told', () => about(early).at(-1) === 'vanished');
    } finally {
      watch.close();
      late.del();
    }
    const count = events.length;
    early.add();
    early.del();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(events.length).toBe(count);
  });

  it('waits for a directory that does not exist yet, and survives its end', async () => {
    const dir = fs.mkdtempSync('/tmp/lcpu-watch-');
    const inner = `${dir}/netns`;
    const events: NetnsEvent[] = [];
    const watch = new NetnsWatch((event) => events.push(event), { dir: inner, pollMs: 20 });
    const mount = (name: string) => {
      fs.writeFileSync(`${inner}/${name}`, '');
      execFileSync('mount', ['--bind', '/proc/self/ns/net', `${inner}/${name}`]);
    };
    try {
      fs.mkdirSync(inner);
      fs.writeFileSync(`${inner}/empty`, '');
      mount('one');
      await until('it appears', () => events.length === 1);
      expect(events[0]).toEqual({ name: 'one', change: 'appeared', identity: netnsIdentity('/proc/self/ns/net') });
      execFileSync('umount', [`${inner}/one`]);
      await until('it vanishes though its file stays', () => events.length === 2);
      fs.rmSync(inner, { recursive: true });
      await new Promise((resolve) => setTimeout(resolve, 60));
      fs.mkdirSync(inner);
      mount('two');
      await until('the new directory is seen', () => events.length === 3);
      execFileSync('umount', [`${inner}/two`]);
    } finally {
      watch.close();
      fs.rmSync(dir, { recursive: true, force: true });
    }
  });
});
