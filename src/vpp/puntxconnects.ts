// L2 cross-connects: every frame that comes in by one interface leaves by another.
//
// Invariants: an interface is in one L2 mode, and a new one takes the place of what was there, so a cross-connect or a bridge of
// somebody else is refused. One with an interconnect of ours is ours; of others memory knows. VPP ends a cross-connect with the
// interface that frames come in by, and not with the one that they leave by; what it ended besides is made again.
// Reference: VPP's src/vnet/l2/l2_input.c, l2_api.c.

import type { Xconnect } from '../lcp/puntobjects.ts';
import { cliInband } from './api/vpe.ts';
import { l2XconnectDump, swInterfaceSetL2Xconnect } from './api/xconnect.ts';
import { conflict, type PuntContext, type PuntPart } from './puntparts.ts';

const NO_SUCH_INTERFACE = -2;

export class PuntXconnects implements PuntPart<'xconnect'> {
  readonly feature = 'xconnect';
  readonly #at: PuntContext;
  readonly #isOwn: (index: number) => boolean;

  /** `isOwn` tells interconnects. */
  constructor(at: PuntContext, isOwn: (index: number) => boolean) {
    this.#at = at;
    this.#isOwn = isOwn;
  }

  /** sw_if_index by sw_if_index. */
  async #entries(): Promise<Map<number, number>> {
    const rows = await this.#at.client.dump(l2XconnectDump, {});
    return new Map(rows.map(({ rx_sw_if_index, tx_sw_if_index }) => [rx_sw_if_index, tx_sw_if_index]));
  }

  async #tell(rx_sw_if_index: number, tx_sw_if_index: number, enable: boolean): Promise<void> {
    const key = this.#at.name(rx_sw_if_index);
    const told = { rx_sw_if_index, tx_sw_if_index, enable };
    // nothing is to be taken off an interface that VPP has just deleted
    await this.#at.client.request(swInterfaceSetL2Xconnect, told, { key, accept: enable ? [] : [NO_SUCH_INTERFACE] });
  }

  /** Whether what goes from one to the other is ours. */
  #isOurs(from: number, to: number): boolean {
    if (this.#isOwn(from) || this.#isOwn(to)) return true;
    const { memory } = this.#at;
    const [rx, tx] = [this.#at.name(from), this.#at.name(to)];
    return memory.of('xconnect').some((known) => known.from === rx && known.to === tx);
  }

  async set(punt: Xconnect): Promise<void> {
    const { memory } = this.#at;
    const [from, to] = [this.#at.interface(punt.from), this.#at.index(punt.to)];
    if (from.ifindex === to)
      throw conflict(punt, 'an interface is not cross-connected to itself', 'name two interfaces');
    const there = (await this.#entries()).get(from.ifindex);
    if (there === to) return;
    if (there !== undefined && !this.#isOurs(from.ifindex, there))
      throw conflict(punt, `VPP cross-connects ${punt.from} to ${this.#at.name(there) ?? `interface ${there}`}`);
    if (there === undefined) await this.#refuseBridge(punt, from.name);
    memory.keep(punt);
    await this.#tell(from.ifindex, to, true);
  }

  async #refuseBridge(punt: Xconnect, name: string): Promise<void> {
    const { reply } = await this.#at.client.request(cliInband, { cmd: `show mode ${name}` });
    const bridge = /^l2 bridge \S+ bd_id (\d+)/m.exec(reply)?.[1];
    if (bridge !== undefined) throw conflict(punt, `${punt.from} is in bridge domain ${bridge} of VPP`);
  }

  async delete(punt: Xconnect): Promise<void> {
    const from = this.#at.subifs.interface(punt.from)?.ifindex;
    const there = from === undefined ? undefined : (await this.#entries()).get(from);
    if (from !== undefined && there !== undefined && this.#at.name(there) === punt.to && this.#isOurs(from, there))
      await this.#tell(from, there, false);
    this.#at.memory.drop(punt);
  }

  async held(): Promise<Xconnect[]> {
    const rows: Xconnect[] = [];
    for (const [from, to] of await this.#entries()) {
      const [rx, tx] = [this.#at.subifs.name(from), this.#at.subifs.name(to)];
      if (rx !== undefined && tx !== undefined && this.#isOurs(from, to))
        rows.push({ kind: 'punt', feature: 'xconnect', from: rx, to: tx });
    }
    return rows;
  }

  async gone(index: number): Promise<void> {
    const { memory, subifs } = this.#at;
    const entries = await this.#entries();
    for (const [from, to] of entries)
      if ((from === index || to === index) && this.#isOurs(from, to)) await this.#tell(from, to, false);
    for (const { from, to } of memory.of('xconnect')) {
      const [rx, tx] = [subifs.interface(from)?.ifindex, subifs.interface(to)?.ifindex];
      if (rx === undefined || tx === undefined || rx === index || tx === index || entries.has(rx)) continue;
      await this.#tell(rx, tx, true);
    }
  }
}
