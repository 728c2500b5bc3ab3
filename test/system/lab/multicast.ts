/**
 * Multicast: a host that sends numbered datagrams to a group, and hosts that have joined it (IGMP by their kernel).
 *
 * Invariants: a receiver writes every number that it got, so that what is missing and what came twice are both seen.
 */
import { inNetns } from './netns.ts';
import { Daemon, Hopeless, run, waitFor } from './process.ts';

const port = 5007;
const ttl = 8;

export interface Received {
  /** Numbers that came at least once. */
  readonly distinct: number;
  readonly duplicates: number;
}

export class MulticastReceiver {
  readonly #daemon: Daemon;

  private constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  /** Joins on the interface that has `address`. */
  static async start(at: { ns: string; address: string }, group: string, logFile: string): Promise<MulticastReceiver> {
    const program = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.on('message', (m) => console.log(String(m)));
      socket.bind(${port}, () => { socket.addMembership('${group}', '${at.address}'); console.log('joined'); });`;
    const daemon = new Daemon(`receiver of ${group}`, inNetns(at.ns, ['node', '-e', program]), logFile);
    await waitFor(`${daemon.name} to join`, () => {
      if (!daemon.running) throw new Hopeless(daemon.log());
      return daemon.log().includes('joined');
    });
    return new MulticastReceiver(daemon);
  }

  #lines(label: string): string[] {
    const lines = this.#daemon.log().split('\n');
    return lines.filter((line) => line.startsWith(`${label} `));
  }

  /** The highest number with this label, -1 when there is none. */
  last(label: string): number {
    return Math.max(-1, ...this.#lines(label).map((line) => Number(line.slice(label.length + 1))));
  }

  /** Of those sent with this label. */
  received(label: string): Received {
    const all = this.#lines(label);
    const distinct = new Set(all).size;
    return { distinct, duplicates: all.length - distinct };
  }

  async stop(): Promise<void> {
    await this.#daemon.stop();
  }
}

/** Sends `count` datagrams "LABEL NUMBER", `intervalMs` apart. */
export async function sendMulticast(
  from: { ns: string; address: string },
  group: string,
  options: { label: string; count: number; intervalMs: number },
): Promise<void> {
  const { label, count, intervalMs } = options;
  const program = `
    const socket = require('node:dgram').createSocket('udp4');
    let sent = 0;
    socket.bind(0, '${from.address}', () => {
      socket.setMulticastTTL(${ttl});
      socket.setMulticastInterface('${from.address}');
      const timer = setInterval(() => {
        if (sent === ${count}) { clearInterval(timer); return socket.close(); }
        socket.send('${label} ' + sent++, ${port}, '${group}');
      }, ${intervalMs});
    });`;
  await run(inNetns(from.ns, ['node', '-e', program]), { timeoutMs: count * intervalMs * 2 + 20_000 });
}
