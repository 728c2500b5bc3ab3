/**
 * Netns: network namespaces and the veth cables between them, through iproute2.
 *
 * Invariants: names come from the caller and carry its prefix, so that two runs do not meet. A namespace is made
 * with IPv6 duplicate address detection off (addresses are usable at once) and loopback up. Deleting one first
 * ends the processes inside it, which are ours because the namespace is.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Finished, run, tryRun, waitFor } from './process.ts';

/** A command that runs in a namespace. nsenter execs it: the pid is the command's own. */
export const inNetns = (ns: string, argv: readonly string[]): string[] => [
  'nsenter',
  `--net=/run/netns/${ns}`,
  ...argv,
];

export const ip = (ns: string, ...args: string[]): Promise<string> => run(['ip', '-n', ns, ...args]);

/** iproute2 gives one object two members `dst`: the destination and, of an encapsulation, the labels. */
export const parseIpJson = (text: string): unknown[] =>
  text.trim() === '' ? [] : JSON.parse(text.replaceAll('"encap":"mpls","dst":', '"encap":"mpls","labels":'));

export async function ipJson<T>(ns: string, ...args: string[]): Promise<T[]> {
  return parseIpJson(await run(['ip', '-n', ns, '-json', ...args])) as T[];
}

/** Many ip commands, one a line; with `force` the failing ones are passed over. */
export const ipBatch = (ns: string, lines: readonly string[], force = false): Promise<Finished> =>
  tryRun(['ip', '-n', ns, ...(force ? ['-force'] : []), '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    timeoutMs: 120_000,
  });

export async function sysctl(ns: string, values: Readonly<Record<string, string | number>>): Promise<void> {
  const pairs = Object.entries(values).map(([key, value]) => `${key}=${value}`);
  await run(inNetns(ns, ['sysctl', '-q', '-w', ...pairs]));
}

export async function netnsExists(ns: string): Promise<boolean> {
  const done = await run(['ip', 'netns', 'list']);
  return done.split('\n').some((line) => line.split(' ')[0] === ns);
}

export async function addNetns(ns: string, forwarding = false): Promise<void> {
  await run(['ip', 'netns', 'add', ns]);
  await ip(ns, 'link', 'set', 'lo', 'up');
  const on = forwarding ? 1 : 0;
  await sysctl(ns, {
    'net.ipv4.ip_forward': on,
    'net.ipv6.conf.all.forwarding': on,
    'net.ipv6.conf.default.accept_dad': 0,
    'net.ipv6.conf.all.accept_dad': 0,
    'net.ipv4.conf.all.rp_filter': 0,
    'net.ipv4.conf.default.rp_filter': 0,
    // A small flow must not stick to one leg because both hosts have one address each.
    'net.ipv4.fib_multipath_hash_policy': 1,
    'net.ipv6.fib_multipath_hash_policy': 1,
    // Answers of the lab's routers and hosts are counted, not rate-limited away.
    'net.ipv4.icmp_ratelimit': 0,
    'net.ipv6.icmp.ratelimit': 0,
  });
}

export interface End {
  readonly ns: string;
  readonly dev: string;
}

export async function addVeth(a: End, b: End): Promise<void> {
  await run(['ip', 'link', 'add', a.dev, 'netns', a.ns, 'type', 'veth', 'peer', 'name', b.dev, 'netns', b.ns]);
}

/** Processes whose network namespace this is. */
export async function pidsIn(ns: string): Promise<number[]> {
  const done = await tryRun(['ip', 'netns', 'pids', ns]);
  return done.stdout.split('\n').filter(Boolean).map(Number);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Ends what runs in the namespace, first politely. */
export async function endProcesses(ns: string): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const pids = await pidsIn(ns);
    if (pids.length === 0) return;
    for (const pid of pids) kill(pid, signal);
    const deadline = performance.now() + 3_000;
    while ((await pidsIn(ns)).length > 0 && performance.now() < deadline) await sleep(50);
  }
  await waitFor(`processes in ${ns} to end`, async () => (await pidsIn(ns)).length === 0);
}

export async function delNetns(ns: string): Promise<void> {
  if (!(await netnsExists(ns))) return;
  await endProcesses(ns);
  await run(['ip', 'netns', 'del', ns]);
}
