// PuntMemory: which punts of a running VPP are ours, where VPP itself does not tell whose they are.
//
// Invariants: it knows what this lcpd has made and what the journal says of an earlier one, for one generation of VPP: what
// an ended VPP held is forgotten. It outlives sessions, because VPP outlives them. What is in it need not be in VPP any more: who
// tells what is held looks there first. Of one key there are several where an earlier lcpd died while one took the place of another.

import { type Punt, type PuntFeature, puntKey } from '../lcp/puntobjects.ts';

/** Punts of one feature. */
export type PuntOf<F extends PuntFeature> = Extract<Punt, { readonly feature: F }>;

export class PuntMemory {
  #generation = '';
  readonly #punts = new Map<string, readonly Punt[]>();

  /** The generation that what is kept from now on belongs to. */
  begin(generation: string): void {
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#punts.clear();
  }

  /** Takes in what a journal says; of another generation it is void. What this lcpd itself has made since is newer. */
  recall(generation: string, punts: readonly Punt[]): void {
    if (generation !== this.#generation) return;
    const before = new Set(this.#punts.keys());
    for (const punt of punts) {
      const key = puntKey(punt);
      if (!before.has(key)) this.#punts.set(key, [...(this.#punts.get(key) ?? []), punt]);
    }
  }

  keep(punt: Punt): void {
    this.#punts.set(puntKey(punt), [punt]);
  }

  drop(punt: Punt): void {
    this.#punts.delete(puntKey(punt));
  }

  /** Punts of the same key that are ours. */
  known<P extends Punt>(punt: P): readonly P[] {
    return (this.#punts.get(puntKey(punt)) ?? []) as readonly P[];
  }

  /** Ours of a feature. */
  of<F extends PuntFeature>(feature: F): PuntOf<F>[] {
    return this.all().filter((punt): punt is PuntOf<F> => punt.feature === feature);
  }

  all(): Punt[] {
    return [...this.#punts.values()].flat();
  }
}
