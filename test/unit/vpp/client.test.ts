/**
 * The client over a socket, and how sessions on a socket end.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as itf from '../../../src/vpp/api/interface.ts';
import { ipTableAddDelV2 } from '../../../src/vpp/api/ip.ts';
import { createLoopback } from '../../../src/vpp/api/subinterface.ts';
import { showVersion } from '../../../src/vpp/api/vpe.ts';
import type { VppClient } from '../../../src/vpp/client.ts';
import { SocketTransport } from '../../../src/vpp/socket.ts';
import { clientStories } from './clientstories.ts';
import { connectTo, startFake, until } from './lab.ts';

const ALL = 0xffff_ffff;
const names = async (client: VppClient): Promise<string[]> =>
  (await client.dump(itf.swInterfaceDump, { sw_if_index: ALL })).map((row) => row.interface_name);

clientStories('socket');

describe('sessions', () => {
  it('work on a stream that is cut anywhere', async () => {
    const fake = await startFake((each) => {
      each.splitEvery = 61;
    });
    const client = await connectTo(fake);
    await client.request(createLoopback, {});
    expect(await names(client)).toEqual(['local0', 'loop0']);
  });

  it('end when VPP does: what waits fails, and a new one works with the other ids', async () => {
    const fake = await startFake();
    const client = await connectTo(fake);
    await client.request(createLoopback, {});
    fake.swallow(showVersion);
    const waiting = client.request(showVersion, {});
    const ended = new Promise((resolve) => client.onEnd(resolve));
    await fake.restart();
    await expect(waiting).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    expect(await ended).toMatchObject({ code: 'VPP_CONNECT' });
    await expect(client.request(createLoopback, {})).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    await expect(names(client)).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    expect(await names(await connectTo(fake))).toEqual(['local0']);
  });

  it('are taken leave of, also behind what was just sent', async () => {
    const fake = await startFake();
    const client = await connectTo(fake);
    const version = client.request(showVersion, {});
    client.close();
    await expect(version).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    await until(() => fake.seen.at(-1) === 'sockclnt_delete');
    expect(fake.seen.slice(-2)).toEqual(['show_version', 'sockclnt_delete']);
    const failed = await connectTo(fake);
    fake.garbage(new Uint8Array(16).fill(255));
    await until(() => failed.error !== undefined);
    failed.close();
    await until(() => fake.seen.at(-1) === 'sockclnt_delete');
  });

  it('end on anything that is no message, and never crash', async () => {
    const fake = await startFake();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        const client = await connectTo(fake);
        fake.garbage(bytes);
        const length = bytes.length < 16 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(8);
        // What may still become a message is waited for; another length never is.
        if (bytes.length >= 16 && (length < 2 || length > 32 << 20)) {
          await until(() => client.error !== undefined);
          expect(client.error).toMatchObject({ code: 'VPP_PROTOCOL' });
        }
        client.close();
      }),
      { numRuns: 60 },
    );
  });

  it('end on an answer that is too short, or that answers another request', async () => {
    const fake = await startFake();
    for (const [name, length, text] of [
      [showVersion.reply.name, 20, 'too early'],
      [createLoopback.reply.name, 64, 'answers with create_loopback_reply'],
    ] as const) {
      const client = await connectTo(fake);
      fake.swallow(showVersion, 1);
      const waiting = client.request(showVersion, {});
      await until(() => fake.seen.at(-1) === showVersion.name);
      const frame = new Uint8Array(16 + length);
      const view = new DataView(frame.buffer);
      view.setUint32(8, length);
      view.setUint16(
        16,
        client.binding.bound(name === showVersion.reply.name ? showVersion.reply : createLoopback.reply).id,
      );
      // The ping at the start had the first context.
      view.setUint32(18, 2);
      fake.garbage(frame);
      await expect(waiting).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
      expect(client.error).toMatchObject({ code: 'VPP_PROTOCOL', message: expect.stringContaining(text) as string });
    }
  });

  it('count what nobody waits for, and go on', async () => {
    const fake = await startFake();
    const client = await connectTo(fake);
    const frame = new Uint8Array(16 + 10);
    const view = new DataView(frame.buffer);
    view.setUint32(8, 10);
    view.setUint16(16, client.binding.bound(ipTableAddDelV2.reply).id);
    view.setUint32(18, 12345);
    fake.garbage(frame);
    view.setUint16(16, 0xffff);
    fake.garbage(frame);
    await client.request(showVersion, {});
    expect(client.counters.strays).toBe(2);
  });

  it.each([
    ['nobody listens', '/nonexistent/api.sock', 'ENOENT', 'VPP does not run'],
    ['it is no socket', '/dev/null', 'ECONNREFUSED', 'left of a VPP'],
  ])('cannot be opened when %s', async (_name, path, text, hint) => {
    const opened = new SocketTransport({ path }).open('lcpd', {
      onMessage: () => undefined,
      onClosed: () => undefined,
    });
    await expect(opened).rejects.toMatchObject({
      code: 'VPP_CONNECT',
      message: expect.stringContaining(text) as string,
    });
    await expect(opened).rejects.toMatchObject({ hint: expect.stringContaining(hint) as string });
  });

  it('cannot be opened when VPP does not answer', async () => {
    const fake = await startFake((each) => {
      each.isHanging = true;
    });
    await expect(connectTo(fake)).rejects.toMatchObject({
      code: 'VPP_CONNECT',
      message: expect.stringContaining('not answer') as string,
    });
  });
});
