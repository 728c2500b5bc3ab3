// Barriers: how often VPP stops its worker for lcpd's changes of routes.
//
// VPP's event log has a line for every barrier, with who asked for it and how many there were since VPP started. Nothing
// else talks to VPP meanwhile, but lcpd itself has a second's rhythm (it reads interfaces), which is measured at rest.
// VPP stops the worker by itself when a pool of its FIB grows; the second load finds them grown. For every route that it
// removes it waits until the worker has gone round once, so that the worker polls here, as one of a router in use, and
// the routes are fewer than elsewhere. It also stops the worker for a next hop that comes into use or goes out of it: one
// route by each of them is there throughout.

import { cpus } from 'node:os';
import { ipBatch } from '../../test/system/lab/netns.ts';
import type { Figure } from '../figure.ts';
import { batch, gatewayOf, NEXT_HOPS, writeRoutes } from '../load.ts';
import { LcpdSide, PHY, type SideOptions } from './sides.ts';

const IDLE_MS = 10_000;
const COUNT = 50_000;
/** Who asks for the barrier of a command line, which is how the log is read. */
const QUESTION = 'vlib_cli_dispatch_sub_commands';
/** One worker, beside the main thread. */
const STARTUP = 'cpu { main-core 0 corelist-workers 1 }';

interface Barriers {
  readonly count: number;
  readonly seconds: number;
}

/** Barriers that VPP tells of while something is done; says who asked for them. */
async function during({ vpp }: LcpdSide, what: string, work: () => Promise<unknown>): Promise<Barriers> {
  await vpp.ctl('event-logger clear');
  const begun = performance.now();
  await work();
  const seconds = (performance.now() - begun) / 1000;
  const { stdout } = await vpp.ctl('show event-logger');
  const seen = [...stdout.matchAll(/bar-trace-(\S+)-#(\d+)/g)];
  const numbers = seen.map(([, , number]) => Number(number));
  const byCaller = new Map<string, number>();
  for (const [, caller = ''] of seen) byCaller.set(caller, (byCaller.get(caller) ?? 0) + 1);
  // lines that the log had no room for are counted by their numbers
  const asked = byCaller.get(QUESTION) ?? 0;
  const count = numbers.length === 0 ? 0 : Math.max(...numbers) - Math.min(...numbers) + 1 - asked;
  const callers = [...byCaller].map(([caller, n]) => `${caller} ${n}`).join(', ');
  console.log(`${what}: ${count} barriers in ${seconds.toFixed(1)} s (${callers})`);
  if (asked === 0) throw new Error('the log has not even the barrier of the command that shows it');
  return { count, seconds };
}

export async function* barriers(options: SideOptions): AsyncGenerator<Figure> {
  if (cpus().length < 2) {
    console.log('SKIPPED: barriers of a worker: this machine has one core');
    return;
  }
  const [add, del] = [`${options.dir}/few.add`, `${options.dir}/few.del`];
  writeRoutes(add, 'add', COUNT);
  writeRoutes(del, 'del', COUNT);
  const side = await LcpdSide.open({ ...options, startup: STARTUP, transport: 'auto' });
  try {
    await side.start();
    await side.vpp.ctl(`set interface rx-mode ${PHY} polling`);
    const keepers = Array.from(
      { length: NEXT_HOPS },
      (_, i) => `route add 198.18.${i}.0/25 via 10.0.1.${gatewayOf(i)}`,
    );
    const on = await side.vpp.ctl('event-logger trace barrier on');
    if (!/Barrier sync trace: on/.test(on.stdout)) throw new Error(`VPP does not log barriers: ${on.stdout}`);
    const change = (file: string) => async (): Promise<void> => {
      await batch(side.cp, file);
      await side.lcpd.synced(120);
    };
    await ipBatch(side.cp, keepers);
    const first = await during(side, 'first load', change(add));
    await during(side, 'withdrawal', change(del));
    const idle = await during(side, 'at rest', () => new Promise((resolve) => setTimeout(resolve, IDLE_MS)));
    const again = await during(side, 'second load', change(add));
    const gone = await during(side, 'second withdrawal', change(del));
    const beyond = ({ count, seconds }: Barriers): number =>
      Math.max(0, count - Math.ceil((idle.count * seconds * 1000) / IDLE_MS));
    yield* [
      { name: 'barriers of an empty VPP that takes 50,000 routes: its pools', value: first.count, unit: '' },
      {
        name: 'barriers for 100,000 changes of routes, beyond those at rest',
        value: beyond(again) + beyond(gone),
        unit: '',
        target: 0,
        bound: 'most' as const,
      },
    ];
  } finally {
    await side.close();
  }
}
