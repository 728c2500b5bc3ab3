// The file of the control socket: its mode and group, and who may take its control().path.

import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ControlServer, groupNumber } from '../../../src/northbound/control.ts';
import { useControl } from './peer.ts';

const control = useControl();

describe('the socket file', () => {
  it('has the mode and group asked for, whatever the umask, and goes away at close', async () => {
    // Only root may give a file to a group that it is not in.
    const group = process.getuid?.() === 0 ? 'adm' : String(process.getgid?.());
    const mask = process.umask(0);
    let server: ControlServer;
    try {
      server = await control().start({ mode: 0o640, group });
    } finally {
      process.umask(mask);
    }
    expect(lstatSync(control().path).mode & 0o7777).toBe(0o640);
    expect(lstatSync(control().path).gid).toBe(groupNumber(group));
    await server.close();
    expect(existsSync(control().path)).toBe(false);
  });

  it('makes its directory', async () => {
    control().path = join(control().directory, 'a', 'lcpd.sock');
    await control().start();
    expect(lstatSync(control().path).isSocket()).toBe(true);
  });

  it('of a live lcpd is refused, by pid, and not disturbed', async () => {
    await control().start();
    await expect(control().start()).rejects.toMatchObject({
      code: 'CONTROL_IN_USE',
      message: expect.stringMatching(/EADDRINUSE: another lcpd \(pid 4711\)/),
    });
    const peer = await control().connect();
    peer.send({ id: 1, method: 'status' });
    expect((await peer.end(1)).result).toBeDefined();
  });

  it('of a live process that says nothing is refused too', async () => {
    const mute = createServer(() => undefined);
    await new Promise<void>((resolve) => mute.listen(control().path, resolve));
    try {
      await expect(control().start()).rejects.toMatchObject({ code: 'CONTROL_IN_USE' });
    } finally {
      mute.close();
    }
  });

  it('that is stale is replaced', async () => {
    // Exits by SIGKILL, so that nobody removes the file.
    const script = `require('net').createServer().listen(${JSON.stringify(control().path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    expect(spawnSync(process.execPath, ['-e', script]).signal).toBe('SIGKILL');
    expect(lstatSync(control().path).isSocket()).toBe(true);
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'status' });
    expect((await peer.end(1)).result).toBeDefined();
  });

  it.each(['file', 'link'])('that is a %s is left alone', async (kind) => {
    if (kind === 'file') writeFileSync(control().path, 'mine');
    else symlinkSync('/etc/passwd', control().path);
    await expect(control().start()).rejects.toMatchObject({ code: 'CONTROL_NOT_A_SOCKET' });
    expect(lstatSync(control().path).isSocket()).toBe(false);
  });

  it('with an unknown group, or in a place that cannot hold it, is refused with the reason', async () => {
    await expect(control().start({ group: 'lcpd-no-such-group' })).rejects.toMatchObject({
      code: 'CONTROL_SOCKET',
      hint: expect.stringContaining('groupadd'),
    });
    expect(existsSync(control().path)).toBe(false);
    writeFileSync(join(control().directory, 'plain'), '');
    control().path = join(control().directory, 'plain', 'lcpd.sock');
    await expect(control().start()).rejects.toMatchObject({ code: 'CONTROL_SOCKET', errno: 17 });
  });

  it('is served by one of two that start at once', async () => {
    const results = await Promise.allSettled([1, 2, 3].map(() => control().start()));
    const open = results.filter((result) => result.status === 'fulfilled');
    expect(open).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'CONTROL_IN_USE' });
    }
  });
});
