// PuntReasons: what VPP calls exceptions, by name, and where each of them goes.
//
// Invariants: VPP numbers reasons anew at every start, so numbers are looked up by name in each session and never kept.
// Reference: VPP's src/vlib/punt.c, src/vnet/ipsec/ipsec_punt.h.

import type { PuntReason } from '../lcp/puntplane.ts';
import { LcpError } from '../lib/errors.ts';
import { puntReasonDump } from './api/punt.ts';
import { cliInband } from './api/vpe.ts';
import type { VppClient } from './client.ts';

export class PuntReasons {
  readonly #client: VppClient;
  #all: readonly PuntReason[] = [];

  constructor(client: VppClient) {
    this.#client = client;
  }

  async read(): Promise<void> {
    if (this.#client.unsupported(puntReasonDump) !== undefined) return;
    const rows = await this.#client.dump(puntReasonDump, { reason: { id: 0, name: '' } });
    this.#all = rows.map(({ reason }) => ({ name: reason.name, number: reason.id }));
  }

  all(): readonly PuntReason[] {
    return this.#all;
  }

  nameOf(id: number): string | undefined {
    return this.#all.find(({ number }) => number === id)?.name;
  }

  /** VPP's number of a reason. Throws REFUSED with those that there are. */
  id(name: string): number {
    const found = this.#all.find((each) => each.name === name);
    if (found !== undefined) return found.number;
    const names = this.#all.map((each) => each.name).join(', ');
    throw new LcpError('REFUSED', {
      op: 'punt',
      key: `reason ${name}`,
      message: `VPP has no punt reason ${name}`,
      hint: names === '' ? 'this VPP has none at all' : `it has ${names}`,
    });
  }

  /** Nodes that get what is punted for a reason now. */
  async sinks(id: number): Promise<string[]> {
    const { reply } = await this.#client.request(cliInband, { cmd: 'show punt db' });
    const [registrations = ''] = reply.split('Derived');
    const rows = registrations.matchAll(/^ ?\[(\d+)\].* -> (\S+)\s*$/gm);
    return [...rows].flatMap(([, number, node]) => (Number(number) === id && node !== undefined ? [node] : []));
  }
}
