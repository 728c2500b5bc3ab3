// PuntMemory: which punts of a running VPP are ours, where VPP itself does not tell whose they are.
//
// Invariants: it knows what this lcpd has made and what the journal says of an earlier one, for one generation of VPP: what
// an ended VPP held is forgotten. It outlives sessions, because VPP outlives them. What is in it need not be in VPP any more: who
// tells what is held looks there first.

import { type Punt, type PuntFeature, puntKey } from '../lcp/puntobjects.ts';

/** Punts of one feature. */
export type PuntOf<F extends PuntFeature> = Extract<Punt, { readonly feature: F }>;

export class PuntMemory {
  #generation = '';
  readonly #punts = new Map<string, Punt>();

  /** The generation that what is kept from now on belongs to. */
  begin(generation: string): void {
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#punts.clear();
  }

  /** Takes in what a journal says; of another generation it is void. What this lcpd itself has made since is newer. */
  recall(generation: string, punts: readonly Punt[]): void {
    if (generation !== this.#generation) return;
    for (const punt of punts) if (!this.#punts.has(puntKey(punt))) this.#punts.set(puntKey(punt), punt);
  }

  keep(punt: Punt): void {
    this.#punts.set(puntKey(punt), punt);
  }

  drop(punt: Punt): void {
    this.#punts.delete(puntKey(punt));
  }

  /** The punt of the same key that is ours. */
  known<P extends Punt>(punt: P): P | undefined {
    return this.#punts.get(puntKey(punt)) as P | undefined;
  }

  /** Ours of a feature. */
  of<F extends PuntFeature>(feature: F): PuntOf<F>[] {
    return [...this.#punts.values()].filter((punt): punt is PuntOf<F> => punt.feature === feature);
  }

  all(): Punt[] {
    return [...this.#punts.values()];
  }
}
