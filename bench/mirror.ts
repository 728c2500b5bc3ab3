// Mirror: from `ip -batch` to the embedded FIB, cold start, memory a route, and one route's way when idle.
//
// Loads alone and with lcpd alternate on namespaces of the same shape, so that what the machine does
// besides falls on both; medians are compared.

import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { addRoute, delRoute } from '../src/netlink/change.ts';
import { RtnlRequester } from '../src/netlink/request.ts';
import { NetlinkSocket } from '../src/netlink/socket.ts';
import { waitFor } from '../test/system/lab/process.ts';
import { type Figure, median, tell } from './figure.ts';
import { alone, batch, ROUTES, seconds, writeRoutes } from './load.ts';
import { Router } from './router.ts';

const RUNS = 3;
const SINGLES = 500;

const residentBytes = (pid: number): number =>
  1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);

/** One persistent connection that asks one lookup at a time. */
class Asker {
  readonly #socket;
  readonly #answers: ((found: boolean) => void)[] = [];
  #found = false;
  #id = 0;

  constructor(path: string) {
    this.#socket = createConnection(path);
    createInterface({ input: this.#socket }).on('line', (line) => {
      const reply = JSON.parse(line) as { event?: { type: string }; result?: unknown };
      if (reply.event !== undefined) this.#found = reply.event.type === 'unicast';
      else this.#answers.shift()?.(this.#found);
    });
  }

  finds(address: string): Promise<boolean> {
    const request = { id: ++this.#id, method: 'lookup', params: { addresses: [address] } };
    this.#socket.write(`${JSON.stringify(request)}\n`);
    return new Promise((resolve) => this.#answers.push(resolve));
  }

  close(): void {
    this.#socket.destroy();
  }
}

/**
 * Milliseconds from the request of one route until a lookup in the data plane finds it. The asking
 * itself is in the figure, so the true one is smaller.
 */
const singles = async (router: Router): Promise<number[]> => {
  const requester = new RtnlRequester(new NetlinkSocket({ netns: `/run/netns/${router.cp}` }));
  const asker = new Asker(router.lcpd.socket);
  const taken: number[] = [];
  for (let i = 0; i < SINGLES; i++) {
    const address = `99.0.${i >> 8}.${i & 255}`;
    const route = { dst: `${address}/32`, legs: [{ gateway: '10.0.1.2' }] };
    const begun = performance.now();
    const acked = addRoute(requester, route);
    while (!(await asker.finds(address)));
    taken.push(performance.now() - begun);
    await acked;
    await delRoute(requester, route);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  asker.close();
  requester.close();
  return taken;
};

/** Cold start: lcpd and its forwarder begin with every route already in the kernel. */
const coldStart = async (router: Router): Promise<number> => {
  const { dataplane } = await router.lcpd.status();
  await router.lcpd.kill();
  if (dataplane.pid !== undefined) process.kill(dataplane.pid, 'SIGKILL');
  const begun = performance.now();
  await router.lcpd.start();
  await router.lcpd.synced(60);
  return (performance.now() - begun) / 1000;
};

export async function mirror(): Promise<Figure[]> {
  const figures: Figure[] = [];
  const router = new Router();
  const add = `${router.dir}/add`;
  const del = `${router.dir}/del`;
  writeRoutes(add, 'add');
  writeRoutes(del, 'del');
  await router.open();
  try {
    await router.start();
    await router.lcpd.synced();
    const empty = residentBytes(router.lcpd.daemon.pid);
    const forwarder = (await router.lcpd.status()).dataplane.pid as number;
    const emptyForwarder = residentBytes(forwarder);
    const loads: number[] = [];
    const baselines: number[] = [];
    const unloads: number[] = [];
    const unloadBaselines: number[] = [];
    let bytes = 0;
    for (let i = 0; i < RUNS; i++) {
      const base = await alone(add, del);
      baselines.push(base.load);
      unloadBaselines.push(base.unload);
      loads.push(
        await seconds(async () => {
          await batch(router.cp, add);
          await router.lcpd.synced(60);
        }),
      );
      if (i === 0) bytes = residentBytes(router.lcpd.daemon.pid) - empty + residentBytes(forwarder) - emptyForwarder;
      if (i === RUNS - 1) break;
      unloads.push(
        await seconds(async () => {
          await batch(router.cp, del);
          await router.lcpd.synced(60);
        }),
      );
    }
    const load = median(loads);
    figures.push(tell({ name: 'ip -batch alone, 400,000 routes', value: median(baselines), unit: 's' }));
    figures.push(tell({ name: 'the same until they are in the embedded FIB', value: load, unit: 's' }));
    figures.push(
      tell({ name: 'load: with lcpd / alone', value: load / median(baselines), unit: '×', target: 1.2, bound: 'most' }),
    );
    figures.push(
      tell({ name: 'withdrawal: with lcpd / alone', value: median(unloads) / median(unloadBaselines), unit: '×' }),
    );
    figures.push(
      tell({
        name: 'extra memory, lcpd and forwarder',
        value: bytes / ROUTES,
        unit: 'bytes/route',
        target: 200,
        bound: 'most',
      }),
    );

    const cold = await coldStart(router);
    figures.push(
      tell({ name: 'cold start, process start included', value: ROUTES / cold, unit: 'routes/s', target: 150_000 }),
    );
    await batch(router.cp, del);
    await router.lcpd.synced(60);
    await waitFor('an idle lcpd', async () => (await router.lcpd.diff()).differences.length === 0);
    const taken = await singles(router);
    figures.push(
      tell({
        name: 'one route until a lookup finds it, median',
        value: median(taken),
        unit: 'ms',
        target: 1,
        bound: 'most',
      }),
    );
    const { namespaces } = await router.lcpd.status();
    figures.push(
      tell({
        name: 'overruns',
        value: namespaces.reduce((n, row) => n + row.overruns, 0),
        unit: '',
        target: 0,
        bound: 'most',
      }),
    );
  } finally {
    await router.close();
  }
  return figures;
}
