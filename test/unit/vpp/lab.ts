/**
 * A fake VPP on a socket of its own and clients for it, all gone at the end of the test. Clients come over the socket,
 * or over shared memory whose library speaks to that socket (fakevac.c).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { VppClient } from '../../../src/vpp/client.ts';
import type { ConnectOptions } from '../../../src/vpp/connect.ts';
import { connectVpp } from '../../../src/vpp/connect.ts';
import { ShmTransport } from '../../../src/vpp/shm.ts';
import { STATE, shmLibrary } from '../../../src/vpp/shmlibrary.ts';
import { SocketTransport } from '../../../src/vpp/socket.ts';
import type { VppTransport } from '../../../src/vpp/transport.ts';
import { compiled } from './compiled.ts';
import { FakeVpp } from './fakevpp.ts';

export const TRANSPORTS = ['socket', 'shm'] as const;
export type TransportKind = (typeof TRANSPORTS)[number];

export async function startFake(prepare: (fake: FakeVpp) => void = () => undefined): Promise<FakeVpp> {
  const folder = mkdtempSync(join(tmpdir(), 'lcpd-vpp-'));
  const fake = new FakeVpp(join(folder, 'api.sock'));
  prepare(fake);
  await fake.listen();
  onTestFinished(async () => {
    await fake.close();
    rmSync(folder, { recursive: true });
  });
  return fake;
}

/** The fake libvppapiclient. */
export function fakeVac(): string {
  return compiled('fakevac.c', 'libvppapiclient.so', '-shared', '-fPIC', '-pthread');
}

/** Waits until the last session in shared memory is gone: a process has one. */
export async function shmIsFree(): Promise<void> {
  await until(() => shmLibrary().state() === STATE.closed);
}

export async function transportTo(fake: FakeVpp, kind: TransportKind): Promise<VppTransport> {
  if (kind === 'socket') return new SocketTransport({ path: fake.path, openTimeoutMs: 1000 });
  await shmIsFree();
  return new ShmTransport({ prefix: fake.path, library: fakeVac(), openTimeoutMs: 1000 });
}

export async function connectTo(
  fake: FakeVpp,
  options: ConnectOptions = {},
  kind: TransportKind = 'socket',
): Promise<VppClient> {
  const transport = await transportTo(fake, kind);
  const { client } = await connectVpp(transport, { probeMs: 60, apiFolders: [], ...options });
  onTestFinished(() => client.close());
  return client;
}

/** Waits until something is so; the test's own time limit ends it. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}
