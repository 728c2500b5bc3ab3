/**
 * What the client does over any transport, against a fake VPP: requests, dumps, pages, events, and a VPP that swallows,
 * refuses, is slow or hangs.
 */
import { describe, expect, it } from 'vitest';
import * as itf from '../../../src/vpp/api/interface.ts';
import { ipAddressDump, ipTableAddDelV2, ipTableDump } from '../../../src/vpp/api/ip.ts';
import { lcpItfPairAddDelV3, lcpItfPairGet, lcpItfPairGetV2 } from '../../../src/vpp/api/lcp.ts';
import { controlPing, memclntKeepalive } from '../../../src/vpp/api/memclnt.ts';
import { createLoopback } from '../../../src/vpp/api/subinterface.ts';
import { cliInband, showVersion } from '../../../src/vpp/api/vpe.ts';
import type { VppClient } from '../../../src/vpp/client.ts';
import type { ConnectOptions } from '../../../src/vpp/connect.ts';
import { traceLine } from '../../../src/vpp/trace.ts';
import type { FakeVpp } from './fakevpp.ts';
import type { TransportKind } from './lab.ts';
import { connectTo, startFake, until } from './lab.ts';

const ALL = 0xffff_ffff;
const names = async (client: VppClient): Promise<string[]> =>
  (await client.dump(itf.swInterfaceDump, { sw_if_index: ALL })).map((row) => row.interface_name);

export function clientStories(kind: TransportKind): void {
  const connect = (fake: FakeVpp, options: ConnectOptions = {}): Promise<VppClient> => connectTo(fake, options, kind);

  describe('requests', () => {
    it('are answered by their replies, however many are on their way', async () => {
      const client = await connect(await startFake(), { window: 4 });
      const all = await Promise.all(Array.from({ length: 50 }, () => client.request(createLoopback, {})));
      expect(all.map((each) => each.sw_if_index)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
      expect(await client.request(showVersion, {})).toMatchObject({ retval: 0, version: '26.06-fake' });
      expect(await client.request(cliInband, { cmd: 'show it' })).toMatchObject({ reply: 'fake: show it\n' });
    });

    it('that VPP refuses fail alone, by name, with what to do', async () => {
      const client = await connect(await startFake());
      const refused = client.request(itf.swInterfaceSetFlags, { sw_if_index: 99, flags: 1 }, { key: 'eth99' });
      const sibling = client.request(createLoopback, {});
      await expect(refused).rejects.toMatchObject({
        code: 'REFUSED',
        retval: -2,
        message: 'sw_interface_set_flags eth99: VPP refuses with INVALID_SW_IF_INDEX (-2)',
        hint: expect.stringContaining('gone from VPP') as string,
      });
      expect(await sibling).toMatchObject({ sw_if_index: 1 });
      expect(client.counters.refused).toBe(1);
    });

    it('have retvals that are accepted as answers', async () => {
      const fake = await startFake((each) => each.refuse(ipTableAddDelV2, -81));
      const client = await connect(fake);
      expect(await client.request(ipTableAddDelV2, { is_add: true }, { accept: [-81] })).toEqual({ retval: -81 });
      await expect(client.request(ipTableAddDelV2, { is_add: true })).rejects.toMatchObject({ retval: -81 });
    });

    it('that VPP swallows fail when a control_ping has overtaken them; others do not', async () => {
      const fake = await startFake();
      const client = await connect(fake);
      fake.swallow(showVersion, 1);
      const [swallowed, answered] = [client.request(showVersion, {}), client.request(createLoopback, {})];
      await expect(swallowed).rejects.toMatchObject({ code: 'VPP_NO_ANSWER', retry: 'resync' });
      expect(await answered).toMatchObject({ sw_if_index: 1 });
      expect(client.counters.swallowed).toBe(1);
      expect(client.error).toBeUndefined();
    });

    it('that take long are waited for while VPP answers nothing else', async () => {
      const fake = await startFake((each) => each.delay(showVersion, 400));
      const client = await connect(fake);
      // A VPP that is busy answers the control_ping behind it later too.
      fake.delay(controlPing, 450, 20);
      expect(await client.request(showVersion, {})).toMatchObject({ version: '26.06-fake' });
    });

    it('whose values do not fit are refused before anything is sent', async () => {
      const client = await connect(await startFake());
      const sent = client.counters.sent;
      const request = client.request(itf.hwInterfaceSetMtu, { sw_if_index: 0, mtu: 70_000 });
      await expect(request).rejects.toMatchObject({ code: 'VPP_MESSAGE' });
      await expect(client.request(cliInband, { cmd: 'x'.repeat(70_000) })).rejects.toThrow(/too long/);
      expect(client.counters.sent).toBe(sent);
      expect(client.error).toBeUndefined();
    });

    it('that this VPP does not have say so', async () => {
      const client = await connect(await startFake((fake) => fake.remove('lcp_itf_pair_add_del_v3')));
      expect(client.unsupported(lcpItfPairAddDelV3)).toBe('this VPP has no message lcp_itf_pair_add_del_v3');
      expect(client.unsupported(showVersion)).toBeUndefined();
      await expect(client.request(lcpItfPairAddDelV3, {})).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
    });
  });

  describe('dumps', () => {
    it('end with the control_ping behind them, also when they have no rows', async () => {
      const fake = await startFake();
      const client = await connect(fake);
      for (let i = 0; i < 3; i++) fake.state.addInterface(`e${i}`, 'af-packet', {});
      expect(await Promise.all([names(client), names(client)])).toEqual(
        Array.from({ length: 2 }, () => ['local0', 'e0', 'e1', 'e2']),
      );
      expect(await client.dump(ipAddressDump, { sw_if_index: 1, is_ipv6: false })).toEqual([]);
      expect((await client.dump(ipTableDump, {})).map(({ table }) => table.name)).toEqual(['ipv4-VRF:0', 'ipv6-VRF:0']);
    });

    it('by pages are read to their end, also by the older reply', async () => {
      const fake = await startFake();
      const client = await connect(fake);
      for (let i = 1; i <= 5; i++) {
        await client.request(createLoopback, {});
        fake.state.pairs.set(i, {
          phy_sw_if_index: i,
          host_sw_if_index: 50 + i,
          vif_index: i,
          host_if_name: `e${i}`,
          host_if_type: 0,
          netns: '',
        });
      }
      const pairs = await client.dump(lcpItfPairGet, { cursor: ALL });
      expect(pairs.map((pair) => pair.host_if_name)).toEqual(['e1', 'e2', 'e3', 'e4', 'e5']);
      expect(await client.dump(lcpItfPairGetV2, { cursor: ALL, sw_if_index: 2 })).toHaveLength(1);
    });

    it('whose cursor does not move end as an error', async () => {
      const fake = await startFake();
      const client = await connect(fake);
      fake.state.rule(lcpItfPairGet, () => ({ reply: { retval: -165, cursor: 3 } }));
      await expect(client.dump(lcpItfPairGet, { cursor: ALL })).rejects.toMatchObject({ code: 'VPP_PROTOCOL' });
      fake.state.rule(lcpItfPairGet, () => ({ reply: { retval: -7 } }));
      await expect(client.dump(lcpItfPairGet, { cursor: ALL })).rejects.toMatchObject({ code: 'REFUSED', retval: -7 });
      fake.swallow(lcpItfPairGet, 1);
      await expect(client.dump(lcpItfPairGet, { cursor: ALL })).rejects.toMatchObject({ code: 'VPP_NO_ANSWER' });
    });
  });

  describe('events', () => {
    it('come to everyone who listens, until they stop', async () => {
      const client = await connect(await startFake());
      const [first, second]: [number[], number[]] = [[], []];
      client.on(itf.swInterfaceEvent, (event) => first.push(event.flags));
      const stop = client.on(itf.swInterfaceEvent, (event) => second.push(event.sw_if_index));
      await client.request(itf.wantInterfaceEvents, { enable_disable: 1, pid: 1 });
      await client.request(createLoopback, {});
      await client.request(itf.swInterfaceSetFlags, { sw_if_index: 1, flags: 1 });
      await until(() => first.length === 2);
      stop();
      await client.request(itf.swInterfaceSetFlags, { sw_if_index: 1, flags: 0 });
      await until(() => first.length === 3);
      expect([first, second]).toEqual([
        [0, 3, 0],
        [1, 1],
      ]);
    });

    it('that ask whether the client lives are answered', async () => {
      const fake = await startFake();
      const client = await connect(fake);
      fake.keepalive(77);
      await until(() => fake.seen.includes(memclntKeepalive.reply.name));
      expect(client.error).toBeUndefined();
    });
  });

  describe('the trace', () => {
    it('keeps the last messages, and not more', async () => {
      const client = await connect(await startFake(), { traceRows: 4 });
      await client.request(showVersion, {});
      await client.request(createLoopback, {});
      const rows = client.trace.rows();
      expect(rows.map((row) => `${row.direction} ${row.name}`)).toEqual([
        'sent show_version',
        'received show_version_reply',
        'sent create_loopback',
        'received create_loopback_reply',
      ]);
      expect(rows[1]).toMatchObject({ length: 362, bytes: { length: 256 } });
      expect(traceLine(rows[3] as (typeof rows)[number])).toMatch(
        /^received create_loopback_reply, 14 bytes: [0-9a-f]{28}$/,
      );
      expect(client.trace.recorded).toBeGreaterThan(4);
    });
  });
  describe('a VPP that hangs', () => {
    it('ends the session', async () => {
      const fake = await startFake();
      const client = await connect(fake, { hangMs: 300 });
      fake.isHanging = true;
      const waiting = client.request(showVersion, {});
      await expect(waiting).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
      expect(client.error).toMatchObject({
        code: 'VPP_NO_ANSWER',
        message: expect.stringContaining('not answered') as string,
      });
    });

    it('is found when there is nothing to ask', async () => {
      const fake = await startFake();
      const client = await connect(fake, { hangMs: 300 });
      fake.isHanging = true;
      const error = await new Promise((resolve) => client.onEnd(resolve));
      expect(error).toMatchObject({ code: 'VPP_NO_ANSWER' });
    });
  });
}
