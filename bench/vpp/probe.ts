// Probe: what a VPP has of the bench's routes, asked beside whoever fills it, and the same of every VPP.
//
// Invariants: a lookup of one prefix costs VPP microseconds; counting walks the table, and is for when it is at rest.

import { swInterfaceDump } from '../../src/vpp/api/interface.ts';
import { ipRouteLookupV2 } from '../../src/vpp/api/route.ts';
import { cliInband } from '../../src/vpp/api/vpe.ts';
import type { VppClient } from '../../src/vpp/client.ts';
import { connectVpp } from '../../src/vpp/connect.ts';
import type { RealVpp } from '../../test/vpp/lab/realvpp.ts';
import { PREFIX_LENGTH, prefixOf, ROUTES } from '../load.ts';

/** Between two questions: a hundred of them a second are not felt by VPP. */
const ASK_MS = 10;
const COUNT_MS = 250;
/** How long a table that is not complete may stand still until it is taken for its end. */
const REST_MS = 6000;
/** VPP's number for a route that is not there. */
const NO_SUCH_ROUTE = -6;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** When a table came to rest, and with how many routes. */
export interface Rest {
  /** performance.now(). */
  readonly at: number;
  readonly routes: number;
}

export class Probe {
  readonly client: VppClient;
  readonly #own: number;

  private constructor(client: VppClient, own: number) {
    this.client = client;
    this.#own = own;
  }

  /** `own`: prefixes of the bench's length that the VPP has besides. */
  static async open(vpp: RealVpp, own: number): Promise<Probe> {
    const { client } = await connectVpp(vpp.transport('socket'), { clientName: 'bench' });
    return new Probe(client, own);
  }

  /** Whether route i is there. */
  async has(i: number): Promise<boolean> {
    const prefix = { address: Uint8Array.from(prefixOf(i)), len: PREFIX_LENGTH };
    const question = { table_id: 0, exact: 1, prefix };
    const { retval } = await this.client.request(ipRouteLookupV2, question, { accept: [NO_SUCH_ROUTE] });
    return retval === 0;
  }

  /** sw_if_index of an interface. */
  async indexOf(name: string): Promise<number> {
    const rows = await this.client.dump(swInterfaceDump, { sw_if_index: 0xffff_ffff, name_filter_valid: false });
    const row = rows.find(({ interface_name }) => interface_name === name);
    if (row === undefined) throw new Error(`VPP has no ${name}`);
    return row.sw_if_index;
  }

  /** The bench's routes in the default table. */
  async routes(): Promise<number> {
    const { reply } = await this.client.request(cliInband, { cmd: 'show ip fib summary' });
    let count = 0;
    for (const [, length, routes] of reply.matchAll(/^\s*(\d+)\s+(\d+)\s*$/gm)) {
      if (Number(length) === PREFIX_LENGTH) count += Number(routes);
    }
    return count - this.#own;
  }

  /** Waits until all routes are there, or none. */
  async rest(full: boolean): Promise<Rest> {
    const wanted = full ? ROUTES : 0;
    let last = performance.now();
    const begun = last;
    while ((await this.has(ROUTES - 1)) !== full && performance.now() - begun < 10 * REST_MS) {
      await sleep(ASK_MS);
      last = performance.now();
    }
    let before = -1;
    for (let moved = last; ; await sleep(COUNT_MS)) {
      const asked = performance.now();
      const routes = await this.routes();
      if (routes === wanted) return { at: before < 0 ? last : asked, routes };
      if (routes !== before) moved = asked;
      if (asked - moved > REST_MS) return { at: moved, routes };
      before = routes;
    }
  }

  close(): void {
    this.client.close();
  }
}
