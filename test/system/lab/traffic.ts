/**
 * Traffic: packets between hosts of the lab, and who forwarded them.
 *
 * Invariants: losses are counted by sequence number, so that the last packets, still on their way when the
 * sender is stopped, are not called lost. Rates are bits a second, times ms.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inNetns } from './netns.ts';
import { Daemon, Hopeless, run, tryRun, waitFor } from './process.ts';

const family = (address: string): string => (address.includes(':') ? '-6' : '-4');

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Missing sequence numbers before the last one that came back. */
  readonly lost: number;
  /** Sent after the last one that came back. */
  readonly tail: number;
  /** Most packets lost in a row. */
  readonly longestGap: number;
  readonly averageMs: number;
}

function parsePing(text: string): PingResult {
  // Packets too short for a time stamp come back without a time.
  const seen = [...text.matchAll(/bytes from .*icmp_seq=(\d+)(?:.*time=([\d.]+) ms)?.*/g)].filter(
    (m) => !m[0].includes('DUP'),
  );
  const sent = Number(/(\d+) packets transmitted/.exec(text)?.[1] ?? 0);
  let last = 0;
  let lost = 0;
  let longestGap = 0;
  let sum = 0;
  // Sequence numbers are 16 bits and the runs here are shorter; answers may be out of order.
  for (const m of seen.sort((a, b) => Number(a[1]) - Number(b[1]))) {
    const gap = Number(m[1]) - last - 1;
    lost += gap;
    longestGap = Math.max(longestGap, gap);
    last = Number(m[1]);
    sum += Number(m[2] ?? 0);
  }
  return {
    sent,
    received: seen.length,
    lost,
    tail: sent - last,
    longestGap,
    averageMs: seen.length === 0 ? 0 : sum / seen.length,
  };
}

export interface PingOptions {
  readonly count?: number;
  readonly intervalMs?: number;
  /** ICMP payload. */
  readonly bytes?: number;
  /** -M do: not to be fragmented. */
  readonly dontFragment?: boolean;
  readonly ttl?: number;
  readonly source?: string;
}

function pingCommand(ns: string, address: string, o: PingOptions): string[] {
  const argv = ['ping', family(address), '-n', '-W', '1', '-i', String((o.intervalMs ?? 20) / 1000)];
  if (o.count !== undefined) argv.push('-c', String(o.count));
  if (o.bytes !== undefined) argv.push('-s', String(o.bytes));
  if (o.dontFragment) argv.push('-M', 'do');
  if (o.ttl !== undefined) argv.push('-t', String(o.ttl));
  if (o.source !== undefined) argv.push('-I', o.source);
  return inNetns(ns, [...argv, address]);
}

export async function ping(
  ns: string,
  address: string,
  options: PingOptions = {},
): Promise<PingResult & { text: string }> {
  const done = await tryRun(pingCommand(ns, address, { count: 5, ...options }));
  const text = done.stdout + done.stderr;
  return { ...parsePing(text), text };
}

/** Waits for one answer: the path converges. */
export const reachable = (ns: string, address: string, timeoutMs = 10_000): Promise<boolean> =>
  waitFor(
    `${address} to answer ${ns}`,
    async () => {
      const { received, text } = await ping(ns, address, { count: 1 });
      if (received === 0) throw new Error(text);
      return true;
    },
    { timeoutMs, intervalMs: 100 },
  );

/** A ping that goes on while other things happen. */
export class Pinger {
  readonly #daemon: Daemon;

  constructor(ns: string, address: string, logFile: string, options: PingOptions = {}) {
    this.#daemon = new Daemon(`ping ${address}`, pingCommand(ns, address, { intervalMs: 10, ...options }), logFile);
  }

  /** Answers so far. */
  get received(): number {
    return parsePing(this.#daemon.log()).received;
  }

  /** Until `more` further answers have come. */
  async answers(more: number, timeoutMs = 10_000): Promise<void> {
    const from = this.received;
    await waitFor(`${more} further answers to ${this.#daemon.name}`, () => this.received >= from + more, { timeoutMs });
  }

  async stop(): Promise<PingResult> {
    await this.#daemon.stop('SIGINT');
    return parsePing(this.#daemon.log());
  }
}

export interface IperfResult {
  readonly bitsPerSecond: number;
  readonly bytes: number;
  readonly retransmits: number;
}

interface IperfJson {
  readonly error?: string;
  readonly end: {
    readonly sum_received: { bits_per_second: number; bytes: number };
    readonly sum_sent: { retransmits?: number };
  };
}

/** TCP from one namespace to an address in another. */
export async function iperf(
  client: string,
  server: string,
  address: string,
  options: { seconds: number; parallel?: number; logFile: string },
): Promise<IperfResult> {
  const listener = new Daemon('iperf3', inNetns(server, ['iperf3', '-s', '-1', '--forceflush']), options.logFile);
  try {
    await waitFor('iperf3 to listen', async () => {
      if (!listener.running) throw new Error(listener.log());
      return (await run(inNetns(server, ['ss', '-Hltn', 'sport', '=', '5201']))).includes('5201');
    });
    const argv = [
      'iperf3',
      family(address),
      '-J',
      '-t',
      String(options.seconds),
      '-P',
      String(options.parallel ?? 1),
      '-c',
      address,
    ];
    const done = await tryRun(inNetns(client, argv), { timeoutMs: (options.seconds + 15) * 1000 });
    const result = JSON.parse(done.stdout) as IperfJson;
    if (result.error !== undefined) throw new Error(`iperf3 to ${address}: ${result.error}`);
    const { bits_per_second, bytes } = result.end.sum_received;
    return { bitsPerSecond: bits_per_second, bytes, retransmits: result.end.sum_sent.retransmits ?? 0 };
  } finally {
    await listener.stop();
  }
}

/** Addresses of the hops, '*' for one that answered none of three probes. */
export async function traceroute(ns: string, address: string): Promise<string[]> {
  const text = await run(inNetns(ns, ['traceroute', family(address), '-n', '-w', '1', '-m', '8', address]));
  return [...text.matchAll(/^\s*\d+\s+(.*)$/gm)].map(
    ([, probes = '']) =>
      probes.split(/\s+/).find((word) => /^[0-9a-f]*[.:][0-9a-f.:]*[.:][0-9a-f.:]*$/.test(word)) ?? '*',
  );
}

/** Packets that the namespace's own kernel forwarded, both families. */
export async function kernelForwarded(ns: string): Promise<number> {
  const snmp = (await run(inNetns(ns, ['cat', '/proc/net/snmp', '/proc/net/snmp6']))).split('\n');
  const [titles, values] = snmp.filter((line) => line.startsWith('Ip:')).map((line) => line.split(' '));
  const v4 = values?.[titles?.indexOf('ForwDatagrams') ?? -1];
  const v6 = snmp.find((line) => line.startsWith('Ip6OutForwDatagrams'))?.split(/\s+/)[1];
  if (v4 === undefined || v6 === undefined) throw new Error('the kernel shows no forwarding counters');
  return Number(v4) + Number(v6);
}

/** Sends one small UDP datagram to each port from `from` of an address: as many flows that nobody answers. */
export async function udpFlows(ns: string, address: string, flows: number, from = 20_000): Promise<void> {
  const program = `
    const socket = require('node:dgram').createSocket(${address.includes(':') ? "'udp6'" : "'udp4'"});
    socket.on('error', () => process.exit(3));
    let sent = 0;
    (function next() {
      if (sent === ${flows}) return socket.close();
      socket.send('x', ${from} + sent++, '${address}', () => setImmediate(next));
    })();`;
  await run(inNetns(ns, ['node', '-e', program]));
}

/** Sends datagrams to one port, so many in each millisecond, fewer where there is no time. */
export async function udpPackets(ns: string, to: string, port: number, count: number, perMs: number): Promise<void> {
  const program = `
    const socket = require('node:dgram').createSocket(${to.includes(':') ? "'udp6'" : "'udp4'"});
    socket.on('error', () => process.exit(3));
    let [asked, sent] = [0, 0];
    const timer = setInterval(() => {
      for (let i = 0; i < ${perMs} && asked < ${count}; i++, asked++)
        socket.send('x', ${port}, '${to}', (error) => { if (error) process.exit(4); sent++; });
      if (sent < ${count}) return;
      clearInterval(timer);
      socket.close();
    }, 1);`;
  await run(inNetns(ns, ['node', '-e', program]));
}

/**
 * Frames that tcpdump prints while `during` runs, with link-level headers. With `until` it goes on for up to 3 s until that
 * is seen; that it was is for the caller to judge.
 */
export async function capture(
  at: { ns: string; dev: string; filter: string; logFile: string; until?: RegExp },
  during: () => Promise<unknown>,
): Promise<string> {
  const { ns, dev, filter, logFile, until } = at;
  // A frame at a time, a line at a time: what is not printed when it is stopped is not counted as seen.
  const argv = ['tcpdump', '-n', '-e', '-l', '--immediate-mode', '-i', dev, ...filter.split(' ')];
  const tcpdump = new Daemon('tcpdump', inNetns(ns, argv), logFile);
  await waitFor('tcpdump to listen', () => {
    if (!tcpdump.running) throw new Hopeless(tcpdump.log());
    return tcpdump.log().includes('listening on');
  });
  try {
    await during();
    const deadline = performance.now() + 3_000;
    while (until !== undefined && !until.test(tcpdump.log()) && performance.now() < deadline) await sleep(50);
  } finally {
    await tcpdump.stop('SIGINT');
  }
  return tcpdump.log();
}

const program = fileURLToPath(new URL('./sendframe.mjs', import.meta.url));

export const sendFrames = (ns: string, dev: string, frames: readonly string[]): Promise<string> =>
  run(inNetns(ns, ['node', program, dev, ...frames]));
