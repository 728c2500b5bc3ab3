/**
 * Load: data that fills a router for a while: TCP as fast as it goes and 64 byte datagrams faster than that.
 *
 * Invariants: a stream has its own server, which ends with it. Both ends say which address they use, so that a stream
 * takes the routes of that address. The generators are ordinary processes: on a machine of few processors they compete with
 * the router for them, as data competes with hellos in its rings. Rates are bits a second. Reference: iperf3(1).
 */
import { inNetns } from './netns.ts';
import { Daemon, Hopeless, run, waitFor } from './process.ts';

export interface Stream {
  readonly from: { readonly ns: string; readonly address: string };
  readonly to: { readonly ns: string; readonly address: string };
  /** TCP goes both ways. */
  readonly protocol: 'tcp' | 'udp';
}

export interface StreamResult {
  readonly name: string;
  /** Delivered, each way that it goes. */
  readonly bytes: readonly number[];
  readonly lostPercent: number;
}

interface IperfEnd {
  readonly error?: string;
  readonly end: {
    readonly sum?: { readonly bytes: number; readonly lost_percent: number };
    readonly sum_received?: { readonly bytes: number };
    readonly sum_received_bidir_reverse?: { readonly bytes: number };
  };
}

const firstPort = 5301;
const datagram = '64';

export class Load {
  readonly #streams: readonly Stream[];
  readonly #servers: Daemon[] = [];
  readonly #clients: Daemon[] = [];

  private constructor(streams: readonly Stream[]) {
    this.#streams = streams;
  }

  /** Logs go to `dir`. */
  static async start(streams: readonly Stream[], options: { seconds: number; dir: string }): Promise<Load> {
    const load = new Load(streams);
    try {
      for (const [i, { to }] of streams.entries()) {
        const argv = ['iperf3', '-s', '-1', '-B', to.address, '-p', String(firstPort + i)];
        load.#servers.push(new Daemon(`iperf3 ${i}`, inNetns(to.ns, argv), `${options.dir}/load-server-${i}.log`));
      }
      for (const [i, { to }] of streams.entries()) await load.#listening(i, to.ns);
      for (const [i, { from, to, protocol }] of streams.entries()) {
        const argv = ['iperf3', '-J', '-i', '0', '-t', String(options.seconds)];
        argv.push('-p', String(firstPort + i), '-B', from.address, '-c', to.address);
        argv.push(...(protocol === 'tcp' ? ['--bidir'] : ['-u', '-b', '0', '-l', datagram]));
        load.#clients.push(
          new Daemon(`iperf3 ${i}`, inNetns(from.ns, argv), `${options.dir}/load-${protocol}-${i}.json`),
        );
      }
    } catch (error) {
      await load.stop();
      throw error;
    }
    return load;
  }

  #listening(i: number, ns: string): Promise<boolean> {
    return waitFor(`iperf3 server ${i} to listen`, async () => {
      const server = this.#servers[i];
      if (server?.running !== true) throw new Hopeless(`it ended: ${server?.log()}`);
      const port = String(firstPort + i);
      return (await run(inNetns(ns, ['ss', '-Hltn', 'sport', '=', port]))).includes(port);
    });
  }

  /** Waits for its end, which must be near. */
  async results(): Promise<StreamResult[]> {
    await Promise.all(this.#clients.map((client) => client.ended(20_000)));
    return this.#streams.map(({ from, to, protocol }, i) => {
      const name = `${protocol} ${from.address} to ${to.address}`;
      const said = JSON.parse(this.#clients[i]?.log() ?? '') as IperfEnd;
      if (said.error !== undefined) throw new Error(`${name}: ${said.error}`);
      const { sum, sum_received, sum_received_bidir_reverse } = said.end;
      if (protocol === 'tcp') {
        return { name, bytes: [sum_received?.bytes ?? 0, sum_received_bidir_reverse?.bytes ?? 0], lostPercent: 0 };
      }
      const lostPercent = sum?.lost_percent ?? 100;
      return { name, bytes: [((sum?.bytes ?? 0) * (100 - lostPercent)) / 100], lostPercent };
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#clients, ...this.#servers].map((daemon) => daemon.stop()));
  }
}
