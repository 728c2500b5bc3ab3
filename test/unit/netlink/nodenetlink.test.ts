// node-netlink as an independent peer: it reads the same bytes, and the kernel takes our requests through it.

import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../../src/lib/bytes.ts';
import * as change from '../../../src/netlink/change.ts';
import { RtnlDumper } from '../../../src/netlink/dump.ts';
import { formatRaw } from '../../../src/netlink/format.ts';
import { forEachMessage, MalformedCounts } from '../../../src/netlink/message.ts';
import { NetlinkMonitor } from '../../../src/netlink/monitor.ts';
import { openNodeNetlink } from '../../../src/netlink/nodenetlink.ts';
import { RtnlRequester } from '../../../src/netlink/request.ts';
import { MONITOR_GROUPS } from '../../../src/netlink/scopes.ts';
import { NetlinkSocket } from '../../../src/netlink/socket.ts';
import type { NetlinkTransport } from '../../../src/netlink/transport.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { isRoot, until } from './kernel.ts';
import { Model } from './model.ts';

const name = 'node-netlink';
const loads = await import(name).then(
  () => true,
  (error: Error) => {
    process.stderr.write(`SKIPPED: node-netlink does not load: ${error.message}\n`);
    return false;
  },
);
if (!isRoot) process.stderr.write('SKIPPED: node-netlink peer: needs root to make a link\n');

describe('node-netlink that is absent', () => {
  it('is named, with what to do', async () => {
    const absent = () => Promise.reject(new Error('Cannot find package'));
    await expect(openNodeNetlink([1], new MalformedCounts(), absent)).rejects.toMatchObject({ code: 'ENOPKG' });
    await expect(openNodeNetlink([1], new MalformedCounts(), absent)).rejects.toThrow(
      'install the optional npm package',
    );
  });

  it('cannot join groups beyond its mask', async () => {
    await expect(openNodeNetlink([33])).rejects.toThrow('only 1 to 32');
  });
});

// The package opens its socket in our own namespace only, so the test makes one link there, with a name of its own.
describe.skipIf(!loads || !isRoot)('node-netlink as a peer', () => {
  const device = `h3n${process.pid % 100000}`;
  const open: { close(): void }[] = [];
  // Its complaints about notifications that answer others are known (see the file head) and not of interest here.
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
  });
  afterAll(() => warn.mockRestore());

  async function dumpHex(transport: NetlinkTransport, type: number, family: number): Promise<string[]> {
    const dumper = new RtnlDumper(transport);
    const found: string[] = [];
    const result = await dumper.dump(type, { family }, (batch) =>
      forEachMessage(batch, (_type, _flags, offset, length) => {
        // Without the header, whose sequence and port differ.
        found.push(toHex(batch.bytes.slice(offset + k.NLMSG_HDRLEN, offset + length)));
        return true;
      }),
    );
    expect(result).toMatchObject({ complete: true, messages: found.length });
    dumper.close();
    return found;
  }

  it('dumps the same bytes as our socket', async () => {
    for (const [type, family] of [
      [k.RTM_GETROUTE, 2],
      [k.RTM_GETROUTE, 10],
      [k.RTM_GETADDR, 2],
      [k.RTM_GETNETCONF, 2],
    ] as const) {
      const theirs = await dumpHex(await openNodeNetlink([]), type, family);
      const ours = await dumpHex(new NetlinkSocket({ slotSize: 32768, slots: 4 }), type, family);
      expect(theirs.length).toBeGreaterThan(0);
      // Entries made by others meanwhile may differ; what both saw must be equal, and nearly all is seen by both.
      const common = theirs.filter((hex) => ours.includes(hex));
      expect(common.length).toBeGreaterThanOrEqual(Math.ceil(0.8 * theirs.length));
    }
  });

  it('the kernel takes our requests through it, and answers reach the right one', async () => {
    const requester = new RtnlRequester(await openNodeNetlink([]));
    open.push(requester);
    const notes = await openNodeNetlink([k.RTNLGRP_LINK]);
    open.push(notes);
    const heard: string[] = [];
    notes.start({
      onBatch: (batch) => {
        forEachMessage(batch, (_type, _flags, offset, length) => {
          heard.push(...formatRaw(batch.bytes.slice(offset, offset + length)));
          return true;
        });
      },
      onOverrun: () => undefined,
      onFailed: (error) => heard.push(error.message),
    });
    try {
      const adding = change.newLink(requester, { kind: 'veth', name: device, info: { veth: { peer: `${device}p` } } });
      const failing = change.delLink(requester, 0x7ffffff0);
      await adding;
      await expect(failing).rejects.toMatchObject({ code: 'ENODEV' });
      await until('the link is heard', () => heard.some((line) => line.includes(`: ${device}`)));
    } finally {
      execFileSync('ip', ['link', 'del', device]);
    }
    await until('its end is heard', () =>
      heard.some((line) => line.includes('Deleted') && line.includes(`: ${device}`)),
    );
  });

  it('refuses a third socket, which would block the pool of threads, until another is closed', async () => {
    const two = [await openNodeNetlink([]), await openNodeNetlink([])];
    open.push(...two);
    await expect(openNodeNetlink([])).rejects.toMatchObject({ code: 'EMFILE' });
    two[0]?.close();
    open.push(await openNodeNetlink([]));
  });

  it('can carry a monitor, which then reads everything again from time to time', async () => {
    const model = new Model();
    const monitor = new NetlinkMonitor(
      {
        blindResyncMs: 200,
        openTransport: (role, malformed) => openNodeNetlink(role === 'dumps' ? [] : MONITOR_GROUPS, malformed),
      },
      model,
    );
    await monitor.start();
    await until('it is in sync twice', () => model.syncs >= 2);
    expect(model.content('link').join()).toContain(': lo:');
    expect(model.content('route').length).toBeGreaterThan(0);
    monitor.close();
  });
});
