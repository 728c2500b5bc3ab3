/**
 * Routes in bulk against a fake VPP: every one has its own answer, whatever becomes of the others.
 */
import { describe, expect, it } from 'vitest';
import { AF_INET, AF_INET6, formatWords, ipBytes, wordsOf } from '../../../src/lib/ip.ts';
import { fibSourceAdd } from '../../../src/vpp/api/fib.ts';
import { ipTableAddDelV2 } from '../../../src/vpp/api/ip.ts';
import {
  ipRouteAddDel,
  ipRouteAddDelV2,
  ipRouteDetails,
  ipRouteLookupV2,
  ipRouteV2Details,
  ipRouteV2Dump,
} from '../../../src/vpp/api/route.ts';
import { createLoopback } from '../../../src/vpp/api/subinterface.ts';
import { FrameBatch } from '../../../src/vpp/batch.ts';
import { NO_ANSWER } from '../../../src/vpp/bulk.ts';
import type { VppClient } from '../../../src/vpp/client.ts';
import type { RouteHow } from '../../../src/vpp/routebatch.ts';
import { encodePaths, RouteEncoder, RouteRow } from '../../../src/vpp/routebatch.ts';
import type { FakeVpp } from './fakevpp.ts';
import { connectTo, startFake } from './lab.ts';

const VIA = [{ sw_if_index: 1, weight: 1, nh: { address: ipBytes('10.0.0.2') } }];
const ADD: RouteHow = { isAdd: true, isMultipath: false, tableId: 0, source: 0 };

async function router(window = 8): Promise<{ fake: FakeVpp; client: VppClient }> {
  const fake = await startFake();
  const client = await connectTo(fake, { window });
  await client.request(createLoopback, {});
  return { fake, client };
}

/** A batch of `count` routes 20.0.N.0/24. */
function routes(
  client: VppClient,
  count: number,
  how: RouteHow = ADD,
  batch = new FrameBatch(ipRouteAddDelV2, 512),
): FrameBatch {
  const encoder = new RouteEncoder(client.binding.bound(batch.message));
  const paths = encodePaths(how.isAdd ? VIA : []);
  for (let i = 0; i < count; i++) {
    const [word = 0] = wordsOf(ipBytes(`20.0.${i}.0`));
    encoder.add(batch, how, AF_INET, 24, word, 0, 0, 0, paths);
  }
  return batch;
}

async function sent(client: VppClient, batch: FrameBatch): Promise<number[]> {
  const retvals = new Int32Array(batch.count).fill(1);
  await client.bulk(batch, { retvals });
  return [...retvals];
}

/** The routes that VPP says it has, as text. */
async function held(client: VppClient, source: number): Promise<string[]> {
  const row = new RouteRow(client.binding.bound(ipRouteV2Details));
  const found: string[] = [];
  await client.dumpRows(ipRouteV2Dump, { src: source, table: { table_id: 0 } }, (bytes, view, at, end) => {
    row.read(bytes, view, at, end);
    const [path] = row.decodePaths();
    found.push(
      `${formatWords(row.family, row.w0, row.w1, row.w2, row.w3)}/${row.length} ${row.source} via ${path?.sw_if_index}`,
    );
  });
  return found.sort();
}

describe('routes in bulk', () => {
  it('are all programmed, of our source, with their indices of counters', async () => {
    const { client } = await router();
    const { id: source } = await client.request(fibSourceAdd, { src: { name: 'lcpd', priority: 18 } });
    const batch = routes(client, 100, { ...ADD, source });
    const answers = {
      retvals: new Int32Array(100).fill(1),
      column: { field: 'stats_index', values: new Uint32Array(100) },
    };
    await client.bulk(batch, answers);
    expect([...answers.retvals]).toEqual(new Array(100).fill(0));
    expect([...answers.column.values]).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(await held(client, source)).toHaveLength(100);
    expect((await held(client, source))[0]).toBe(`20.0.0.0/24 ${source} via 1`);
    batch.clear();
    expect(await sent(client, routes(client, 100, { ...ADD, isAdd: false, source }, batch))).toEqual(
      new Array(100).fill(0),
    );
    expect(await held(client, source)).toEqual([]);
  });

  it('that are refused stop nothing', async () => {
    const { fake, client } = await router();
    fake.swallow(ipRouteAddDelV2, 0, 3);
    fake.refuse(ipRouteAddDelV2, -3, 2);
    expect(await sent(client, routes(client, 10))).toEqual([0, 0, 0, -3, -3, 0, 0, 0, 0, 0]);
    expect(client.trace.rows().filter((row) => row.note.startsWith('request'))).toHaveLength(2);
  });

  it.each([
    ['in the middle', 4, [0, 0, 0, 0, NO_ANSWER, NO_ANSWER, 0, 0, 0, 0]],
    ['at the end of a stretch', 0, [NO_ANSWER, NO_ANSWER, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['at the very end', 8, [0, 0, 0, 0, 0, 0, 0, 0, NO_ANSWER, NO_ANSWER]],
  ])('that VPP swallows are told from the others: %s', async (_name, skip, retvals) => {
    const { fake, client } = await router();
    fake.swallow(ipRouteAddDelV2, 2, skip);
    expect(await sent(client, routes(client, 10))).toEqual(retvals);
    expect(client.error).toBeUndefined();
  });

  it('that VPP swallows all together end too, also with one to a stretch', async () => {
    const { fake, client } = await router(1);
    fake.swallow(ipRouteAddDelV2);
    expect(await sent(client, routes(client, 3))).toEqual([NO_ANSWER, NO_ANSWER, NO_ANSWER]);
  });

  it('fail with the session', async () => {
    const { fake, client } = await router();
    const batch = routes(client, 50);
    fake.swallow(ipRouteAddDelV2);
    const bulk = client.bulk(batch, { retvals: new Int32Array(50) });
    await fake.restart();
    await expect(bulk).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    await expect(client.bulk(batch, { retvals: new Int32Array(50) })).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
  });

  it('go beside other requests and other bulks', async () => {
    const { client } = await router();
    const [first, second] = [routes(client, 60), routes(client, 40, { ...ADD, tableId: 7 })];
    const table = client.request(ipTableAddDelV2, { is_add: true, table: { table_id: 7 } });
    const answers = await Promise.all([sent(client, first), table, sent(client, second)]);
    expect(answers[0]).toEqual(new Array(60).fill(0));
    expect(answers[2]).toEqual(new Array(40).fill(0));
    expect(await held(client, 8)).toHaveLength(60);
  });

  it('of IPv6 keep their addresses', async () => {
    const { client } = await router();
    const batch = new FrameBatch(ipRouteAddDelV2);
    const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = wordsOf(ipBytes('2001:db8:1:2:3:4:5:6'));
    new RouteEncoder(client.binding.bound(ipRouteAddDelV2)).add(
      batch,
      ADD,
      AF_INET6,
      128,
      w0,
      w1,
      w2,
      w3,
      encodePaths(VIA),
    );
    expect(await sent(client, batch)).toEqual([0]);
    const prefix = { address: ipBytes('2001:db8:1:2:3:4:5:6'), len: 128 };
    expect(await client.request(ipRouteLookupV2, { prefix })).toMatchObject({
      route: { prefix, paths: [{ sw_if_index: 1 }] },
    });
  });

  it('of an older VPP are of its source API', async () => {
    const fake = await startFake((each) => each.remove('ip_route_add_del_v2'));
    const client = await connectTo(fake);
    await client.request(createLoopback, {});
    expect(client.unsupported(ipRouteAddDelV2)).toMatch(/no message/);
    expect(new RouteEncoder(client.binding.bound(ipRouteAddDel)).hasSource).toBe(false);
    expect(await sent(client, routes(client, 3, ADD, new FrameBatch(ipRouteAddDel)))).toEqual([0, 0, 0]);
    expect(await held(client, 8)).toHaveLength(3);
  });

  it('are nothing when there are none, and are not begun without places for answers', async () => {
    const { client } = await router();
    await client.bulk(new FrameBatch(ipRouteAddDelV2), { retvals: new Int32Array(0) });
    expect(() => client.bulk(routes(client, 2), { retvals: new Int32Array(1) })).toThrow(RangeError);
    const column = { field: 'nothing', values: new Uint32Array(2) };
    await expect(client.bulk(routes(client, 2), { retvals: new Int32Array(2), column })).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
    });
  });

  it('have at most 255 paths, and rows that are cut are refused', async () => {
    expect(() => encodePaths(new Array(256).fill({}))).toThrow(/more than 255/);
    const { client } = await router();
    const row = new RouteRow(client.binding.bound(ipRouteDetails));
    const bytes = new Uint8Array(80);
    const view = new DataView(bytes.buffer);
    expect(row.read(bytes, view, 0, 33)).toMatchObject({ paths: 0, family: AF_INET });
    expect(() => row.read(bytes, view, 0, 32)).toThrow(/too early/);
    bytes[32] = 1;
    expect(() => row.read(bytes, view, 0, 80)).toThrow(/too early/);
    bytes[31] = 33;
    bytes[32] = 0;
    expect(() => row.read(bytes, view, 0, 80)).toThrow(/33 bits/);
  });
});
