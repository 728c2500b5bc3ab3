/**
 * The client and a real VPP, over both transports: requests, dumps and refusals, 100,000 routes there and back, a VPP
 * that swallows, hangs or is killed in the middle of it, and the one that is started after it.
 */
import type { Test } from 'tap';
import { AF_INET, ipBytes } from '../../src/lib/ip.ts';
import { fibSourceAdd } from '../../src/vpp/api/fib.ts';
import * as itf from '../../src/vpp/api/interface.ts';
import { ipTableAddDelV2 } from '../../src/vpp/api/ip.ts';
import { ipRouteAddDelV2, ipRouteV2Details, ipRouteV2Dump } from '../../src/vpp/api/route.ts';
import { createLoopback } from '../../src/vpp/api/subinterface.ts';
import { cliInband, showVersion } from '../../src/vpp/api/vpe.ts';
import { FrameBatch } from '../../src/vpp/batch.ts';
import { NO_ANSWER } from '../../src/vpp/bulk.ts';
import type { VppClient } from '../../src/vpp/client.ts';
import { plainReply, request } from '../../src/vpp/message.ts';
import { openVpp } from '../../src/vpp/open.ts';
import type { EncodedPaths } from '../../src/vpp/routebatch.ts';
import { encodePaths, RouteEncoder, RouteRow } from '../../src/vpp/routebatch.ts';
import { TRANSPORTS } from './lab/realvpp.ts';
import { shmIsFree, vpp } from './lab.ts';

const ALL = 0xffff_ffff;

/** A loopback that is up and has an address; its index and a path over it. */
async function addLoopback(client: VppClient, net = 0): Promise<{ index: number; path: EncodedPaths }> {
  const { sw_if_index } = await client.request(createLoopback, {});
  await client.request(itf.swInterfaceSetFlags, { sw_if_index, flags: 1 });
  const prefix = { address: ipBytes(`10.255.${net}.1`), len: 24 };
  await client.request(itf.swInterfaceAddDelAddress, { sw_if_index, is_add: true, prefix });
  const nh = { address: ipBytes(`10.255.${net}.2`) };
  return { index: sw_if_index, path: encodePaths([{ sw_if_index, weight: 1, nh }]) };
}

/** The words of the i-th /24 from 20.0.0.0 on, as RouteEncoder takes them. */
const prefixWord = (i: number): number => (20 + (i >> 16)) | (((i >> 8) & 255) << 8) | ((i & 255) << 16);

function routes(client: VppClient, count: number, isAdd: boolean, source: number, path: EncodedPaths): FrameBatch {
  const batch = new FrameBatch(ipRouteAddDelV2);
  const encoder = new RouteEncoder(client.binding.bound(ipRouteAddDelV2));
  const how = { isAdd, isMultipath: false, tableId: 0, source };
  for (let i = 0; i < count; i++) encoder.add(batch, how, AF_INET, 24, prefixWord(i), 0, 0, 0, path);
  return batch;
}

/** First words of the routes of a source, as VPP holds them. */
async function routesOf(client: VppClient, source: number): Promise<Set<number>> {
  const row = new RouteRow(client.binding.bound(ipRouteV2Details));
  const words = new Set<number>();
  const dump = { src: source, table: { table_id: 0 } };
  await client.dumpRows(ipRouteV2Dump, dump, (bytes, view, at, end) => {
    const { length, w0, paths } = row.read(bytes, view, at, end);
    if (length === 24 && paths === 1) words.add(w0);
  });
  return words;
}

async function thereAndBack(t: Test, client: VppClient, count: number): Promise<void> {
  const { path } = await addLoopback(client);
  const { id } = await client.request(fibSourceAdd, { src: { name: 'lcpd-test', priority: 18 } });
  for (const isAdd of [true, false]) {
    const batch = routes(client, count, isAdd, id, isAdd ? path : encodePaths([]));
    const retvals = new Int32Array(count).fill(1);
    const from = performance.now();
    await client.bulk(batch, { retvals });
    const ms = performance.now() - from;
    t.comment(`${count} routes ${isAdd ? 'added' : 'withdrawn'} in ${ms.toFixed(0)} ms`);
    t.ok(
      retvals.every((retval) => retval === 0),
      `${count} routes are ${isAdd ? 'added' : 'withdrawn'}, each with its answer`,
    );
    const held = await routesOf(client, id);
    t.equal(held.size, isAdd ? count : 0, 'which is what VPP then holds');
    t.ok(!isAdd || [0, 1, count >> 1, count - 1].every((i) => held.has(prefixWord(i))), 'with their prefixes');
  }
}

for (const kind of TRANSPORTS) {
  vpp(`requests, dumps and refusals over ${kind}`, async (t, lab) => {
    const real = await lab.addVpp();
    const client = await lab.connect(real, kind);
    const { version, program } = await client.request(showVersion, {});
    t.ok(program !== '' && version !== '', `it is ${program} ${version}`);
    const [local] = await client.dump(itf.swInterfaceDump, { sw_if_index: ALL });
    t.match(local, { sw_if_index: 0, interface_name: 'local0', interface_dev_type: 'local' });
    const refused = client.request(itf.swInterfaceSetFlags, { sw_if_index: 99, flags: 1 }, { key: 'eth99' });
    await t.rejects(refused, {
      code: 'REFUSED',
      retval: -2,
      message: 'sw_interface_set_flags eth99: VPP refuses with INVALID_SW_IF_INDEX (-2)',
    });
    const events: number[] = [];
    client.on(itf.swInterfaceEvent, (event) => events.push(event.sw_if_index));
    await client.request(itf.wantInterfaceEvents, { enable_disable: 1, pid: process.pid });
    const { index } = await addLoopback(client);
    for (let i = 0; i < 100 && events.length === 0; i++) await client.request(showVersion, {});
    t.ok(events.includes(index), 'VPP tells of the new interface');
    t.equal(client.counters.strays, 0, 'nothing came that nobody waits for');

    const unknown = request('no_such_message', '12345678', {}, plainReply('no_such_message_reply'));
    await t.rejects(client.request(unknown, {}), { code: 'NOT_SUPPORTED' }, 'what lcpd has no table for is not sent');
    const frame = new Uint8Array(26);
    // A message of 10 bytes, id 65000, which VPP does not have.
    frame.set([10, 0, 0, 0, 0, 0xfd, 0xe8], 11);
    client.transport.send(frame);
    const { reply } = await client.request(cliInband, { cmd: 'show version' });
    t.match(reply, /^vpp v/, 'an id that VPP does not know is dropped by it, and the session goes on');
    if (kind === 'shm') return;
    // Of messages in its memory VPP does not look at the length.
    const { path } = await addLoopback(client, 1);
    const batch = new FrameBatch(ipRouteAddDelV2);
    const encoder = new RouteEncoder(client.binding.bound(ipRouteAddDelV2));
    const how = { isAdd: true, isMultipath: false, tableId: 0, source: 0 };
    const short = { count: 1, bytes: new Uint8Array(0) };
    for (let i = 0; i < 10; i++) {
      encoder.add(batch, how, AF_INET, 24, prefixWord(i), 0, 0, 0, i === 3 ? short : path);
    }
    const retvals = new Int32Array(10).fill(1);
    await client.bulk(batch, { retvals });
    t.same([...retvals], [0, 0, 0, NO_ANSWER, 0, 0, 0, 0, 0, 0], 'a message that VPP swallows is told from the others');
    t.equal(client.error, undefined);
  });

  vpp(`100,000 routes there and back over ${kind}`, async (t, lab) => {
    const client = await lab.connect(await lab.addVpp(), kind);
    await thereAndBack(t, client, 100_000);
  });

  vpp(`VPP is killed while requests are under way over ${kind}; another one is started`, async (t, lab) => {
    const real = await lab.addVpp();
    const client = await lab.connect(real, kind);
    const { path } = await addLoopback(client);
    const { version } = await client.request(showVersion, {});
    // Stopped, it reads nothing: all of this is under way when it dies.
    real.daemon.signal('SIGSTOP');
    const many = Array.from({ length: 200 }, (_, i) =>
      client.request(ipTableAddDelV2, { is_add: true, table: { table_id: 100 + i } }),
    );
    const dump = client.dump(itf.swInterfaceDump, { sw_if_index: ALL });
    const bulk = client.bulk(routes(client, 20_000, true, 0, path), { retvals: new Int32Array(20_000) });
    const ended = new Promise((resolve) => client.onEnd(resolve));
    const outcomes = Promise.allSettled([...many, dump, bulk]);
    const from = performance.now();
    await real.kill();
    const codes = (await outcomes).map((each) =>
      each.status === 'rejected' ? (each.reason as { code: string }).code : each.status,
    );
    t.same([...new Set(codes)], ['DATAPLANE_DOWN'], `all ${codes.length} end with an error`);
    t.match(await ended, { code: 'VPP_CONNECT' }, 'and so does the session');
    t.ok(performance.now() - from < 1000, `${(performance.now() - from).toFixed(0)} ms after the kill`);
    await t.rejects(client.request(showVersion, {}), { code: 'DATAPLANE_DOWN' });

    const gone = openVpp({ transport: 'auto', socket: { path: real.socket }, shm: {} });
    await t.rejects(gone, { code: 'VPP_CONNECT', message: /ECONNREFUSED/ }, 'there is no VPP to connect to');
    await real.start();
    const again = await lab.connect(real, kind);
    t.match(await again.request(showVersion, {}), { version }, 'the next session is with the next VPP');
    const names = (await again.dump(itf.swInterfaceDump, { sw_if_index: ALL })).map((row) => row.interface_name);
    t.same(names, ['local0'], 'which has nothing of what the last one had');
  });

  vpp(`VPP that hangs is found by its silence over ${kind}`, async (t, lab) => {
    const real = await lab.addVpp();
    const client = await lab.connect(real, kind, { hangMs: 600 });
    const ended = new Promise((resolve) => client.onEnd(resolve));
    real.daemon.signal('SIGSTOP');
    try {
      await t.rejects(client.request(showVersion, {}), { code: 'DATAPLANE_DOWN' });
      t.match(await ended, { code: 'VPP_NO_ANSWER', message: /has not answered for/ });
    } finally {
      real.daemon.signal('SIGCONT');
    }
  });
}

vpp('the transport is the memory of the VPP whose socket it is', async (t, lab) => {
  const [real, other] = [await lab.addVpp(), await lab.addVpp()];
  const socket = { path: real.socket };
  const own = await openVpp({ transport: 'auto', socket, shm: { prefix: real.segment, library: real.library } });
  t.same([own.client.transport.kind, own.pid, own.reason], ['shm', real.pid, '']);
  own.client.close();
  await shmIsFree();
  const foreign = await openVpp({ transport: 'auto', socket, shm: { prefix: other.segment, library: real.library } });
  t.same([foreign.client.transport.kind, foreign.pid], ['socket', real.pid]);
  t.match(foreign.reason, `is of another VPP, process ${other.pid}`);
  t.match(await foreign.client.request(showVersion, {}), { retval: 0 });
  foreign.client.close();
  await shmIsFree();
});
