/**
 * The demo as a program: `up` (make demo) and `down` (make demo-down).
 *
 * Invariants: one line for each check, `demo: ok` with exit 0 or `demo: FAILED: what` with exit 1, at most three
 * minutes. It leaves nothing behind, also after ^C or a failure, unless KEEP=1.
 */
import { cleanStop, ecmp, hops, mirrored, pairsUp, pings, sessionsUp, throughput } from './checks.ts';
import { bringUp, checkMachine, type Demo, lookAround, pairBackend, takeDown } from './demo.ts';
import { killed, linkFailure } from './failures.ts';

const limitMs = 180_000;
const checks: readonly [name: string, check: (demo: Demo) => Promise<string>][] = [
  ['pairs', pairsUp],
  ['sessions', sessionsUp],
  ['routes', mirrored],
  ['ping', pings],
  ['iperf3', throughput],
  ['traceroute', hops],
  ['ecmp', ecmp],
  ['link failure', linkFailure],
  ['restart', killed],
];

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function show(): Promise<void> {
  const started = performance.now();
  const demo = await bringUp();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const forwards = demo.plane === undefined ? 'lcpd' : `lcpd, VPP (${pairBackend()})`;
  console.log(`ok   setup: ${forwards}, 2 × FRR, BIRD and 2 hosts in 6 namespaces in ${seconds} s`);
  for (const [name, check] of process.env.KEEP ? checks : [...checks, ['stop', cleanStop] as const]) {
    try {
      console.log(`ok   ${name}: ${await check(demo)}`);
    } catch (error) {
      console.log(`FAIL ${name}: ${message(error)}`);
      console.log(`lcpd's last lines:\n${demo.lcpd.daemon.log().split('\n').slice(-15).join('\n')}`);
      throw new Error(`${name}: ${message(error).split('\n')[0]}`);
    }
  }
}

/** Rejects on ^C, on SIGTERM and when the time is over. */
function interrupted(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
    setTimeout(() => reject(new Error(`not done after ${limitMs / 1000} s`)), limitMs);
  });
}

async function up(): Promise<number> {
  let failure: string | undefined;
  try {
    checkMachine();
    await Promise.race([show(), interrupted()]);
  } catch (error) {
    failure = message(error);
  }
  if (process.env.KEEP) {
    console.log(lookAround());
  } else if (process.getuid?.() === 0) {
    await takeDown().catch((error: unknown) => {
      failure ??= `clean-up: ${message(error)}`;
    });
  }
  console.log(failure === undefined ? 'demo: ok' : `demo: FAILED: ${failure}`);
  return failure === undefined ? 0 : 1;
}

async function down(): Promise<number> {
  await takeDown();
  console.log('demo: removed');
  return 0;
}

const command = process.argv[2];
if (command !== 'up' && command !== 'down') {
  console.error('usage: demo/main.ts up|down');
  process.exit(2);
}
// Daemons of a kept demo live on: do not wait for them.
process.exit(await (command === 'up' ? up() : down()));
