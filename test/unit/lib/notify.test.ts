// Service manager notification, against a datagram socket as systemd has it (made through libc: Node has none).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { reloadingState, sdNotify, watchdogIntervalMs } from '../../../src/lib/notify.ts';

const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int, int, int)');
const bindCall = libc.func('int bind(int, const void *, uint32_t)');
const recvCall = libc.func('int64_t recv(int, _Out_ void *, size_t, int)');
const closeCall = libc.func('int close(int)');

const directory = mkdtempSync(join(tmpdir(), 'lcpd-notify-'));
const open: number[] = [];

/** Binds a datagram socket; the answer receives one message, without waiting. */
function receiver(name: string): () => string {
  const fd: number = socketCall(1, 2, 0);
  open.push(fd);
  const path = Buffer.from(name.startsWith('@') ? `\0${name.slice(1)}` : `${name}\0`);
  expect(bindCall(fd, Buffer.concat([Buffer.from([1, 0]), path]), 2 + path.length)).toBe(0);
  return () => {
    const buffer = Buffer.alloc(4096);
    const length = Number(recvCall(fd, buffer, buffer.length, 0x40));
    return buffer.toString('utf8', 0, Math.max(0, length));
  };
}

afterEach(() => {
  for (const fd of open.splice(0)) closeCall(fd);
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('sdNotify', () => {
  it('does nothing where nobody listens', () => {
    expect(sdNotify('READY=1', {})).toEqual({ sent: false });
    expect(sdNotify('READY=1', { NOTIFY_SOCKET: '' })).toEqual({ sent: false });
  });

  it.each([join(directory, 'n.sock'), `@lcpd-notify-${process.pid}`])('reaches %s', (name) => {
    const next = receiver(name);
    expect(sdNotify('READY=1\nSTATUS=7 pairs', { NOTIFY_SOCKET: name })).toEqual({ sent: true });
    expect(sdNotify('WATCHDOG=1', { NOTIFY_SOCKET: name })).toEqual({ sent: true });
    expect([next(), next(), next()]).toEqual(['READY=1\nSTATUS=7 pairs', 'WATCHDOG=1', '']);
  });

  it('does not wait for a service manager that does not read', () => {
    const name = join(directory, 'full.sock');
    receiver(name);
    const results = Array.from({ length: 2000 }, () => sdNotify('WATCHDOG=1', { NOTIFY_SOCKET: name }));
    expect(results[0]).toEqual({ sent: true });
    expect(results.at(-1)).toEqual({ sent: false, reason: `sendto ${name}: EAGAIN` });
  });

  it('reports what went wrong and throws nothing', () => {
    const gone = join(directory, 'gone.sock');
    expect(sdNotify('READY=1', { NOTIFY_SOCKET: gone })).toEqual({ sent: false, reason: `sendto ${gone}: ENOENT` });
    expect(sdNotify('READY=1', { NOTIFY_SOCKET: 'relative' }).reason).toContain('not a usable address');
    expect(sdNotify('READY=1', { NOTIFY_SOCKET: `/${'x'.repeat(200)}` }).reason).toContain('not a usable address');
    expect(sdNotify('READY=1', { NOTIFY_SOCKET: 'vsock:2:1' }).reason).toContain('not a usable address');
  });

  it('opens a reload with the monotonic clock', () => {
    const [first, second] = reloadingState().split('\n');
    expect(first).toBe('RELOADING=1');
    const now = Number(process.hrtime.bigint() / 1000n);
    const then = Number(second?.replace('MONOTONIC_USEC=', ''));
    expect(now - then).toBeLessThan(10_000_000);
    expect(now - then).toBeGreaterThanOrEqual(0);
  });
});

describe('watchdogIntervalMs', () => {
  it('is half of the time allowed, for this process only', () => {
    expect(watchdogIntervalMs({ WATCHDOG_USEC: '30000000' })).toBe(15_000);
    expect(watchdogIntervalMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '42' }, 42)).toBe(15_000);
    expect(watchdogIntervalMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '42' }, 43)).toBeUndefined();
    expect(watchdogIntervalMs({})).toBeUndefined();
    for (const text of ['', '0', '-5', 'x', '1e9']) expect(watchdogIntervalMs({ WATCHDOG_USEC: text })).toBeUndefined();
    expect(watchdogIntervalMs({ WATCHDOG_USEC: '1' })).toBe(1);
  });
});
