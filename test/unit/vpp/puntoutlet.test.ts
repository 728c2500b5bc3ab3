// The outlet over real sockets: what VPP has no room for waits in order, up to a limit; what VPP would cut off is not sent.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { UnixDatagram, unixAddress } from '../../../src/lib/unixdatagram.ts';
import { PuntOutlet } from '../../../src/vpp/puntoutlet.ts';
import { dataSizeOf } from '../../../src/vpp/puntsockets.ts';

function lab(mostBytes = 2048) {
  const dir = mkdtempSync(join(tmpdir(), 'lcpout-'));
  const path = join(dir, 'punt.sock');
  const server = new UnixDatagram();
  server.bind(path, { gid: process.getgid?.() ?? 0, receiveBuffer: 1 << 20 });
  let lost = 0;
  const outlet = new PuntOutlet(unixAddress(path) as Uint8Array, mostBytes, () => lost++);
  onTestFinished(() => {
    outlet.close();
    rmSync(dir, { recursive: true });
  });
  const got: Buffer[] = [];
  const buffer = Buffer.alloc(4096);
  const read = () => {
    for (let n = server.receive(buffer); n >= 0; n = server.receive(buffer))
      got.push(Buffer.from(buffer.subarray(0, n)));
    return got;
  };
  return { server, outlet, read, lost: () => lost };
}

const frame = (i: number): Buffer => Buffer.alloc(60, i);

it('sends all in order to a server that reads late', async () => {
  const { outlet, read, lost, server } = lab();
  for (let i = 0; i < 300; i++) expect(outlet.send(i, frame(i))).toBe('sent');
  expect(read().length).toBeLessThan(300);
  await vi.waitFor(() => expect(read()).toHaveLength(300), { interval: 1, timeout: 5000 });
  read().forEach((datagram, i) => {
    expect(datagram.readUInt32LE(0)).toBe(i);
    expect(datagram.readUInt32LE(4)).toBe(0);
    expect(datagram.subarray(8)).toEqual(frame(i));
  });
  expect(lost()).toBe(0);
  server.close();
});

it('keeps no more than its limit, and tells what is lost with the server', async () => {
  const { outlet, lost, server } = lab();
  const fates = Array.from({ length: 1000 }, () => outlet.send(1, Buffer.alloc(2000)));
  const sent = fates.filter((fate) => fate === 'sent').length;
  expect(sent).toBeGreaterThan(250);
  expect(sent).toBeLessThan(320);
  expect(fates.at(-1)).toBe('send-failed');
  server.close();
  await vi.waitFor(() => expect(lost()).toBeGreaterThan(240), { interval: 1, timeout: 5000 });
  expect(outlet.send(1, frame(1))).toBe('send-failed');
});

it('sends nothing that VPP would cut off', () => {
  const { outlet, server } = lab(100);
  expect(outlet.send(1, Buffer.alloc(100))).toBe('sent');
  expect(outlet.send(1, Buffer.alloc(101))).toBe('too-long');
  server.close();
});

it('reads how much a buffer of VPP holds', () => {
  const shown = `Pool Name            Index NUMA  Size  Data Size  Total  Avail  Cached   Used
default-numa-0         0     0   2496     2048    16800  16536    143     121
default-numa-1         1     1   2240     1792    16800  16800      0       0
`;
  expect(dataSizeOf(shown)).toBe(1792);
  expect(dataSizeOf('')).toBe(2048);
});
