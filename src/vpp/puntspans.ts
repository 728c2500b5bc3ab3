// Mirrors (SPAN): copies of what comes in by or leaves by an interface.
//
// Invariants: VPP holds one state for each two interfaces, which is set whole, and does not end it with either. Mirrors are put on the
// device, which works in every L2 mode; a sub-interface is no device, so that only what it sends can be mirrored. Reference:
// VPP's src/vnet/span/span.c.

import type { Span } from '../lcp/puntobjects.ts';
import { spanState, swInterfaceSpanDump, swInterfaceSpanEnableDisable } from './api/span.ts';
import { conflict, type PuntContext, type PuntPart, unable } from './puntparts.ts';

const { SPAN_STATE_API_DISABLED: NONE, SPAN_STATE_API_RX: RX, SPAN_STATE_API_TX: TX } = spanState.values;

interface Entry {
  readonly from: number;
  readonly to: number;
  readonly state: number;
}

export class PuntSpans implements PuntPart<'span'> {
  readonly feature = 'span';
  readonly #at: PuntContext;
  readonly #isOwn: (index: number) => boolean;

  /** `isOwn` tells interconnects: what is mirrored into one is ours. */
  constructor(at: PuntContext, isOwn: (index: number) => boolean) {
    this.#at = at;
    this.#isOwn = isOwn;
  }

  async #entries(): Promise<Entry[]> {
    const rows = await this.#at.client.dump(swInterfaceSpanDump, { is_l2: false });
    return rows.map((row) => ({ from: row.sw_if_index_from, to: row.sw_if_index_to, state: row.state }));
  }

  async #tell({ from, to, state }: Entry): Promise<void> {
    const told = { sw_if_index_from: from, sw_if_index_to: to, state, is_l2: false };
    await this.#at.client.request(swInterfaceSpanEnableDisable, told, { key: this.#at.name(from) });
  }

  #isOurs({ from, to }: Entry): boolean {
    const [rx, tx] = [this.#at.name(from), this.#at.name(to)];
    return this.#isOwn(to) || this.#at.memory.of('span').some((known) => known.from === rx && known.to === tx);
  }

  async set(punt: Span): Promise<void> {
    const from = this.#at.interface(punt.from);
    const to = this.#at.index(punt.to);
    if (from.ifindex === to) throw unable(punt, 'an interface is not mirrored into itself');
    if (punt.rx && from.parent !== from.ifindex) {
      const hint = `mirror ${this.#at.name(from.parent)} instead, whose frames have their tags`;
      throw unable(punt, `VPP mirrors what comes in by whole devices: ${punt.from} is a sub-interface`, hint);
    }
    const state = (punt.rx ? RX : NONE) | (punt.tx ? TX : NONE);
    const wanted = { from: from.ifindex, to, state };
    const there = (await this.#entries()).find((each) => each.from === wanted.from && each.to === to);
    if (there?.state === state) return;
    if (there !== undefined && !this.#isOurs(there))
      throw conflict(punt, `VPP mirrors ${punt.from} into ${punt.to} otherwise, by somebody else's wish`);
    this.#at.memory.keep(punt);
    await this.#tell(wanted);
  }

  async delete(punt: Span): Promise<void> {
    for (const entry of await this.#entries()) {
      const isIt = this.#at.name(entry.from) === punt.from && this.#at.name(entry.to) === punt.to;
      if (isIt && this.#isOurs(entry)) await this.#tell({ ...entry, state: NONE });
    }
    this.#at.memory.drop(punt);
  }

  async held(): Promise<Span[]> {
    const rows: Span[] = [];
    for (const entry of await this.#entries()) {
      const [from, to] = [this.#at.subifs.name(entry.from), this.#at.subifs.name(entry.to)];
      if (from === undefined || to === undefined || !this.#isOurs(entry)) continue;
      const [rx, tx] = [(entry.state & RX) !== 0, (entry.state & TX) !== 0];
      rows.push({ kind: 'punt', feature: 'span', from, to, rx, tx });
    }
    return rows;
  }

  async gone(index: number): Promise<void> {
    for (const entry of await this.#entries())
      if ((entry.from === index || entry.to === index) && this.#isOurs(entry))
        await this.#tell({ ...entry, state: NONE });
  }
}
