/**
 * The client over shared memory, by a libvppapiclient that speaks to the fake VPP, and how its sessions begin and end.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ipTableAddDelV2 } from '../../../src/vpp/api/ip.ts';
import { ipRouteAddDelV2 } from '../../../src/vpp/api/route.ts';
import { createLoopback } from '../../../src/vpp/api/subinterface.ts';
import { showVersion } from '../../../src/vpp/api/vpe.ts';
import { FrameBatch } from '../../../src/vpp/batch.ts';
import { NO_ANSWER } from '../../../src/vpp/bulk.ts';
import { connectVpp } from '../../../src/vpp/connect.ts';
import { encodePaths, RouteEncoder } from '../../../src/vpp/routebatch.ts';
import { ShmTransport } from '../../../src/vpp/shm.ts';
import { STATE, shmLibrary } from '../../../src/vpp/shmlibrary.ts';
import { clientStories } from './clientstories.ts';
import { connectTo, fakeVac, shmIsFree, startFake, until } from './lab.ts';

clientStories('shm');

const nobody = { onMessage: () => undefined, onClosed: () => undefined };

describe('sessions in shared memory', () => {
  it('carry routes in bulk, and tell those that were swallowed', async () => {
    const fake = await startFake();
    const client = await connectTo(fake, { window: 16 }, 'shm');
    await client.request(createLoopback, {});
    fake.swallow(ipRouteAddDelV2, 1, 500);
    const batch = new FrameBatch(ipRouteAddDelV2);
    const encoder = new RouteEncoder(client.binding.bound(ipRouteAddDelV2));
    const how = { isAdd: true, isMultipath: false, tableId: 0, source: 0 };
    const paths = encodePaths([{ sw_if_index: 1 }]);
    for (let i = 0; i < 2000; i++) encoder.add(batch, how, 2, 32, i, 0, 0, 0, paths);
    const retvals = new Int32Array(2000).fill(1);
    await client.bulk(batch, { retvals });
    expect([...retvals].flatMap((retval, i) => (retval === 0 ? [] : [[i, retval]]))).toEqual([[500, NO_ANSWER]]);
    expect(fake.state.routes.size).toBe(1999);
  });

  it.each([
    ['the library is not installed', '/nonexistent/libvppapiclient.so', 'cannot load'],
    ['it is another library', 'libc.so.6', 'is not libvppapiclient'],
  ])('cannot be opened when %s', async (_name, library, text) => {
    await shmIsFree();
    const opened = new ShmTransport({ library }).open('lcpd', nobody);
    await expect(opened).rejects.toMatchObject({
      code: 'VPP_CONNECT',
      message: expect.stringContaining(text) as string,
    });
    await shmIsFree();
  });

  it('are one to a process', async () => {
    const fake = await startFake();
    const client = await connectTo(fake, {}, 'shm');
    await expect(new ShmTransport({ prefix: fake.path }).open('lcpd', nobody)).rejects.toMatchObject({
      code: 'VPP_CONNECT',
      message: expect.stringContaining('EBUSY') as string,
      hint: expect.stringContaining('socket') as string,
    });
    expect(await client.request(showVersion, {})).toMatchObject({ retval: 0 });
  });

  it('wake VPP by its socket behind what they write, and leave there, too', async () => {
    const fake = await startFake();
    await shmIsFree();
    const transport = new ShmTransport({ prefix: fake.path, library: fakeVac(), socket: fake.path });
    const { client } = await connectVpp(transport, { probeMs: 60_000, apiFolders: [] });
    onTestFinished(() => client.close());
    const seen = (name: string): number => fake.seen.filter((each) => each === name).length;
    expect(seen('sockclnt_create')).toBe(2);
    for (let i = 0; i < 20; i++) {
      const before = seen('control_ping');
      await client.request(showVersion, {});
      await until(() => seen('control_ping') > before);
    }
    // its answers and the table of messages are read by nobody but for this, and fill nothing up
    for (let i = 0; i < 3000; i++) await client.request(showVersion, {});
    await until(() => seen('control_ping') >= 3000);
    client.close();
    await shmIsFree();
    await until(() => seen('sockclnt_delete') === 1);
  });

  it.each([
    ['there is none', () => '/nonexistent/api.sock', 'No such file'],
    ['its path is too long', () => `/${'x'.repeat(200)}`, 'File name too long'],
    ['it is something else', (other: string) => other, 'Protocol error'],
  ])('are not opened without the socket that they are to be woken by: %s', async (_name, pathOf, text) => {
    const fake = await startFake();
    const answer = Buffer.alloc(64, 7);
    const server = createServer((peer) => peer.on('error', () => undefined).end(answer)).listen(`${fake.path}.other`);
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    await shmIsFree();
    const options = { prefix: fake.path, library: fakeVac(), socket: pathOf(`${fake.path}.other`) };
    await expect(new ShmTransport(options).open('lcpd', nobody)).rejects.toMatchObject({
      code: 'VPP_CONNECT',
      message: expect.stringContaining(text) as string,
    });
    await shmIsFree();
  });

  it('end at once when the process of VPP does', async () => {
    const fake = await startFake();
    const vpp = spawn('sleep', ['60']);
    fake.pid = vpp.pid ?? 0;
    const client = await connectTo(fake, {}, 'shm');
    const ended = new Promise((resolve) => client.onEnd(resolve));
    vpp.kill('SIGKILL');
    expect(await ended).toMatchObject({
      code: 'VPP_CONNECT',
      message: expect.stringContaining('VPP has ended') as string,
    });
  });

  it('end when VPP takes no more messages', async () => {
    const fake = await startFake();
    const client = await connectTo(fake, {}, 'shm');
    await fake.close();
    const ended = new Promise((resolve) => client.onEnd(resolve));
    await expect(client.request(showVersion, {})).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    expect(await ended).toMatchObject({ code: 'VPP_CONNECT', message: expect.stringContaining('vac_write') as string });
    await fake.listen();
    expect(await (await connectTo(fake, {}, 'shm')).request(showVersion, {})).toMatchObject({ retval: 0 });
  });

  it('leave no more with a silent VPP than its queue holds, and a little more as time goes', async () => {
    const fake = await startFake((each) => each.swallow(ipTableAddDelV2));
    const client = await connectTo(fake, { probeMs: 10_000 }, 'shm');
    const all = Array.from({ length: 1500 }, () => client.request(ipTableAddDelV2, { is_add: true }));
    const ended = Promise.allSettled(all);
    const held = (): number => fake.seen.filter((name) => name === ipTableAddDelV2.name).length;
    await until(() => held() >= 898);
    expect(held()).toBeLessThan(950);
    client.close();
    expect(new Set((await ended).map(({ status }) => status))).toEqual(new Set(['rejected']));
    await shmIsFree();
  });

  it('take whole frames only', async () => {
    const fake = await startFake();
    await connectTo(fake, {}, 'shm');
    const library = shmLibrary();
    expect(library.state()).toBe(STATE.open);
    const frame = new Uint8Array(30);
    frame[11] = 14;
    expect(library.write(frame, 30)).toBe(0);
    for (const length of [1, 15, 16, 29]) expect(library.write(frame, length), String(length)).toBe(-22);
    frame[11] = 5;
    expect(library.write(frame, 21)).toBe(-22);
    expect(library.messageId('no_such_message_00000000')).toBe(-2);
  });
});
