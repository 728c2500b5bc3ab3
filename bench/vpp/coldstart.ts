// Cold start: 400,000 routes in the kernel, none in VPP, by lcpd and by a client that does nothing else.
//
// lcpd's time is from when it has the session with VPP and the kernel's routes (the reading of VPP begins) until VPP has
// answered the last route, both by lcpd's log; that VPP has them all is asked of VPP. The bare client (native/vppclient.c)
// sends the same messages, which it has in memory, by the same transport to the same VPP, in turn with lcpd; its time
// is from the first message to the last answer. Medians are compared.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AF_INET, wordsOf } from '../../src/lib/ip.ts';
import { ipRouteAddDelV2 } from '../../src/vpp/api/route.ts';
import { FrameBatch } from '../../src/vpp/batch.ts';
import { nameCrc } from '../../src/vpp/message.ts';
import { encodePaths, RouteEncoder } from '../../src/vpp/routebatch.ts';
import { openSources } from '../../src/vpp/sources.ts';
import { Daemon, Hopeless, run, waitFor } from '../../test/system/lab/process.ts';
import { type Figure, median } from '../figure.ts';
import { batch, gatewayOf, PREFIX_LENGTH, prefixOf, ROUTES } from '../load.ts';
import { LcpdSide, PHY, type SideOptions } from './sides.ts';

const ROUNDS = 5;
const WINDOW = '4096';
const client = fileURLToPath(new URL('../../build/bench/vppclient', import.meta.url));

type Transport = 'shm' | 'socket';

/** Writes the messages that lcpd sends for the bench's routes, as the bare client reads them. */
async function writeFrames(side: LcpdSide, file: string, isAdd: boolean): Promise<void> {
  const { client: vpp } = side.probe;
  const { route: source } = await openSources(vpp);
  const encoder = new RouteEncoder(vpp.binding.bound(ipRouteAddDelV2));
  const sw_if_index = await side.probe.indexOf(PHY);
  const frames = new FrameBatch(ipRouteAddDelV2, 128 << 20);
  for (let i = 0; i < ROUTES; i++) {
    const nh = { address: Uint8Array.of(10, 0, 1, gatewayOf(i)) };
    const paths = encodePaths(isAdd ? [{ sw_if_index, weight: 1, nh }] : []);
    const [word = 0] = wordsOf(Uint8Array.from(prefixOf(i)));
    encoder.add(
      frames,
      { isAdd, isMultipath: false, tableId: 0, source },
      AF_INET,
      PREFIX_LENGTH,
      word,
      0,
      0,
      0,
      paths,
    );
  }
  writeFileSync(file, frames.bytes.subarray(0, frames.length));
}

/** Seconds that the bare client takes for a file of messages. */
async function bare({ vpp }: LcpdSide, transport: Transport, file: string): Promise<number> {
  const place = transport === 'shm' ? [vpp.library, vpp.segment] : [vpp.socket];
  const window = transport === 'shm' ? [] : [WINDOW];
  const text = await run([client, transport, ...place, file, nameCrc(ipRouteAddDelV2), ...window], {
    timeoutMs: 60_000,
  });
  const { seconds, requests, refused } = JSON.parse(text) as { seconds: number; requests: number; refused: number };
  if (requests !== ROUTES || refused !== 0) throw new Error(`the bare client says ${text}`);
  return seconds;
}

interface ColdStart {
  /** As above. */
  readonly seconds: number;
  /** From the start of the process. */
  readonly whole: number;
}

/** A line of lcpd's log. */
interface Line {
  readonly msg: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly ms?: number;
}

/** Starts lcpd and leaves VPP with the routes. The log is watched, because asking lcpd would cost as much as it does. */
async function coldStart({ lcpd, probe, vpp }: LcpdSide, log: string): Promise<ColdStart> {
  const begun = Date.now();
  const daemon = new Daemon('lcpd', lcpd.command('--leave'), log);
  const lines = (): Line[] =>
    daemon
      .log()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  const said = (msg: string): Line | undefined => lines().find((line) => line.msg === msg);
  try {
    const ready = await waitFor(
      'lcpd to be ready',
      () => {
        if (!daemon.running) throw new Hopeless('lcpd has ended');
        return said('ready');
      },
      { timeoutMs: 60_000 },
    );
    const read = said('data plane read');
    if (read?.ms === undefined) throw new Error('no start in the log');
    const missing = ROUTES - (await probe.routes());
    if (missing !== 0) throw new Error(`lcpd is ready, and VPP lacks ${missing} routes`);
    return { seconds: (ready.time - (read.time - read.ms)) / 1000, whole: (ready.time - begun) / 1000 };
  } catch (error) {
    throw new Error(`cold start: ${daemon.log()}\n${vpp.log()}`, { cause: error });
  } finally {
    await daemon.stop('SIGTERM', 30_000);
  }
}

/** Rates of both by one transport. */
async function measure(options: SideOptions, transport: Transport, file: string): Promise<Figure[]> {
  const side = await LcpdSide.open({ ...options, transport });
  const bares: number[] = [];
  const ours: ColdStart[] = [];
  try {
    const [add, del] = [`${options.dir}/add.frames`, `${options.dir}/del.frames`];
    await writeFrames(side, add, true);
    await writeFrames(side, del, false);
    await batch(side.cp, file);
    // VPP's memory grows once
    await bare(side, transport, add);
    await bare(side, transport, del);
    for (let i = 0; i < ROUNDS; i++) {
      bares.push(await bare(side, transport, add));
      await bare(side, transport, del);
      ours.push(await coldStart(side, `${options.dir}/${transport}-${i}.log`));
      await bare(side, transport, del);
    }
  } finally {
    await side.close();
  }
  const seconds = median(ours.map((each) => each.seconds));
  const spread = (values: readonly number[]): number => Math.max(...values) / Math.min(...values);
  const unit = 'routes/s';
  return [
    { name: `bare client over ${transport}`, value: ROUTES / median(bares), unit },
    { name: `  its slowest / fastest of ${ROUNDS}`, value: spread(bares), unit: '×' },
    { name: `lcpd's cold start over ${transport}`, value: ROUTES / seconds, unit },
    { name: `  its slowest / fastest of ${ROUNDS}`, value: spread(ours.map((each) => each.seconds)), unit: '×' },
    { name: '  process start and the kernel included', value: ROUTES / median(ours.map((each) => each.whole)), unit },
    {
      name: `cold start over ${transport}: lcpd / bare client`,
      value: median(bares) / seconds,
      unit: '×',
      target: transport === 'shm' ? 0.8 : 0.9,
    },
  ];
}

/** `file` has the lines for `ip -batch` that add the routes. */
export async function* coldStarts(options: SideOptions, file: string): AsyncGenerator<Figure> {
  for (const transport of ['shm', 'socket'] as const) yield* await measure(options, transport, file);
}
