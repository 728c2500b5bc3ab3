/**
 * Which transport is taken, and which form of a message, when a VPP has not the newest of everything.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { afPacketCreateV3 } from '../../../src/vpp/api/afpacket.ts';
import { lcpItfPairAddDel } from '../../../src/vpp/api/lcp.ts';
import { createLoopback } from '../../../src/vpp/api/subinterface.ts';
import type { OpenOptions } from '../../../src/vpp/open.ts';
import { openVpp } from '../../../src/vpp/open.ts';
import { STATE, shmLibrary } from '../../../src/vpp/shmlibrary.ts';
import {
  afPacketCreate,
  pairAddDel,
  requestVariant,
  tableAddDel,
  variantOf,
  variantUnsupported,
} from '../../../src/vpp/variants.ts';
import type { FakeVpp } from './fakevpp.ts';
import { connectTo, fakeVac, shmIsFree, startFake } from './lab.ts';

const how = (fake: FakeVpp, transport: OpenOptions['transport'], library = fakeVac()): OpenOptions => ({
  transport,
  socket: { path: fake.path },
  shm: { prefix: fake.path, library },
});

describe('the transport', () => {
  afterEach(shmIsFree);

  it.each([
    ['socket', 'socket', ''],
    ['shm', 'shm', ''],
    ['auto', 'shm', ''],
  ] as const)('%s is %s when all is well', async (asked, kind, reason) => {
    const opened = await openVpp(how(await startFake(), asked));
    expect([opened.client.transport.kind, opened.reason]).toEqual([kind, reason]);
    opened.client.close();
  });

  it('is the socket when there is no library, with the reason', async () => {
    const fake = await startFake();
    const opened = await openVpp(how(fake, 'auto', '/nonexistent.so'));
    expect(opened).toMatchObject({ reason: expect.stringContaining('cannot load') as string });
    expect(opened.client.transport.kind).toBe('socket');
    opened.client.close();
    await shmIsFree();
    await expect(openVpp(how(fake, 'shm', '/nonexistent.so'))).rejects.toMatchObject({ code: 'VPP_CONNECT' });
  });

  it('is the socket when the memory is of another VPP, or of none', async () => {
    const [fake, other] = [await startFake(), await startFake()];
    other.pid = 4712;
    const opened = await openVpp({ ...how(fake, 'auto'), shm: { prefix: other.path, library: fakeVac() } });
    expect([opened.client.transport.kind, opened.pid]).toEqual(['socket', 4711]);
    expect(opened.reason).toMatch(/is of another VPP, process 4712$/);
    expect(await opened.client.request(createLoopback, {})).toMatchObject({ sw_if_index: 1 });
    opened.client.close();
    await shmIsFree();
    const left = await openVpp({ ...how(fake, 'auto'), shm: { prefix: '/nonexistent', library: fakeVac() } });
    expect([left.client.transport.kind, left.reason]).toEqual([
      'socket',
      expect.stringContaining('does not answer') as string,
    ]);
    left.client.close();
  });

  it('is refused at once when VPP does not run, whatever its memory is', async () => {
    const fake = await startFake();
    const gone = { ...how(fake, 'auto'), socket: { path: '/nonexistent/api.sock' } };
    await expect(openVpp(gone)).rejects.toMatchObject({ code: 'VPP_CONNECT', errno: 2 });
    expect(shmLibrary().state()).toBe(STATE.closed);
  });
});

describe('older forms of messages', () => {
  const pair = { is_add: true, sw_if_index: 1, host_if_name: 'e0', netns: 'cp' };

  it.each([
    ['lcp_itf_pair_add_del_v3', []],
    ['lcp_itf_pair_add_del_v2', ['lcp_itf_pair_add_del_v3']],
    ['lcp_itf_pair_add_del', ['lcp_itf_pair_add_del_v3', 'lcp_itf_pair_add_del_v2']],
  ])('%s is taken where it is the newest', async (name, removed) => {
    const fake = await startFake((each) => each.remove(...removed));
    const client = await connectTo(fake);
    await client.request(createLoopback, {});
    expect(variantOf(client, pairAddDel)?.name).toBe(name);
    const reply = await requestVariant(client, pairAddDel, pair);
    const [host, vif] = name.endsWith('v3') ? [2, 102] : name.endsWith('v2') ? [2, 0] : [0, 0];
    expect(reply).toEqual({ retval: 0, host_sw_if_index: host, vif_index: vif });
    expect(fake.seen.at(-1)).toBe(name);
    expect(fake.state.pairs.get(1)).toMatchObject({ host_if_name: 'e0', netns: 'cp' });
    await expect(requestVariant(client, pairAddDel, pair, { key: 'e0' })).rejects.toMatchObject({ retval: -81 });
  });

  it('refuse what they cannot do, and take what they do anyhow', async () => {
    const client = await connectTo(
      await startFake((each) => each.remove('ip_table_add_del_v2', 'af_packet_create_v3')),
    );
    const table = { table_id: 5, is_ip6: false };
    expect(await requestVariant(client, tableAddDel, { is_add: true, create_mfib: true, table })).toEqual({
      retval: 0,
    });
    const host = { mode: 2, host_if_name: 'e0' };
    await expect(requestVariant(client, afPacketCreate, host, { key: 'e0' })).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      message: 'af_packet_create_v3 e0: this VPP has only af_packet_create_v2, without mode',
    });
  });

  it('have a reason when there is none of them', async () => {
    const client = await connectTo(
      await startFake((each) => each.remove('af_packet_create_v2', 'af_packet_create_v3')),
    );
    expect(variantUnsupported(client, afPacketCreate)).toBe(`this VPP has no message ${afPacketCreateV3.name}`);
    expect(variantUnsupported(client, pairAddDel)).toBeUndefined();
    await expect(requestVariant(client, afPacketCreate, {})).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
    expect(client.unsupported(lcpItfPairAddDel)).toBeUndefined();
  });
});
