// FakePlane: a data plane of punts that refuses, dies and is killed in the middle, and cannot tell of some of what it holds.
//
// Invariants: it holds what it was told, and of what it refused any half; a life of it has a generation, and takes no batch
// that another one was meant to have. What it forgets is in its dump only as far as it was recalled, and only what it was
// told or recalled is taken off or gives way: all else would be somebody else's.

import { isDeepStrictEqual } from 'node:util';
import type { HeldObject, Operation, OperationResult } from '../../../src/lcp/dataplane.ts';
import { keyOf } from '../../../src/lcp/objects.ts';
import { type Interconnect, interfacesOf, type Punt, puntKey } from '../../../src/lcp/puntobjects.ts';
import type { PuntPlane } from '../../../src/lcp/puntplane.ts';
import type { FakeEnv } from './lab.ts';

/** lcpd was killed: nothing behind it is done any more. */
export class Killed extends Error {}

/** What a data plane like VPP has and cannot list. */
const FORGOTTEN: readonly Punt['feature'][] = ['socket', 'host', 'redirect', 'police', 'dhcp-proxy'];

export class FakePlane {
  readonly held = new Map<string, Interconnect | Punt>();
  /** Percent of operations that are refused; of batches behind which lcpd, or the plane, is dead. */
  trouble = { refuses: 0, kills: 0, dies: 0 };
  /** lcpd dies of every batch, when the plane has done it all. */
  killsBehind = false;
  /** Called where it has lost all. */
  onDied: () => void = () => undefined;
  generation = 1;
  readonly #env: FakeEnv;
  readonly #pick: (below: number) => number;
  /** Ours, of what it forgets, by key. */
  #known = new Map<string, readonly Punt[]>();

  constructor(env: FakeEnv, pick: (below: number) => number) {
    this.#env = env;
    this.#pick = pick;
  }

  /** What Punts is given. */
  get punts(): PuntPlane {
    return {
      ...this.#env.plane,
      interface: () => undefined,
      hasTable: () => false,
      forgets: (object) => object.kind === 'punt' && FORGOTTEN.includes(object.feature),
      recall: (generation, objects) => {
        if (generation !== String(this.generation)) throw new Error(`it is ${this.generation}, not ${generation}`);
        this.#known = new Map();
        for (const punt of objects) this.#know(punt, this.#knownAs(punt));
      },
      stats: async () => [],
    };
  }

  #knownAs = (punt: Punt): readonly Punt[] => this.#known.get(puntKey(punt)) ?? [];
  #know(punt: Punt, besides: readonly Punt[]): void {
    this.#known.set(puntKey(punt), [...besides, punt]);
  }

  #isForeign(punt: Punt): boolean {
    const there = this.held.get(`punt ${puntKey(punt)}`);
    if (there === undefined || !FORGOTTEN.includes(punt.feature)) return false;
    return !this.#knownAs(punt).some((known) => isDeepStrictEqual(known, there));
  }

  die(): void {
    this.#known.clear();
    this.held.clear();
    this.generation++;
    this.onDied();
  }

  dump(): HeldObject[] {
    const told = [...this.held.values()].filter((o) => o.kind === 'interconnect' || !FORGOTTEN.includes(o.feature));
    const ours = [...this.held.values()].filter(
      (o) => o.kind === 'punt' && FORGOTTEN.includes(o.feature) && !this.#isForeign(o),
    );
    return [...told, ...ours].map((object) => ({ object, handle: 1 }));
  }

  #chance = (percent: number): boolean => this.#pick(100) < percent;

  #one({ op, object }: Operation): OperationResult {
    if (object.kind !== 'punt' && object.kind !== 'interconnect') throw new Error(`no ${object.kind} is for it`);
    const key = `${object.kind} ${keyOf(object)}`;
    if (this.#chance(this.trouble.refuses)) {
      const half = this.#pick(3);
      if (half === 1) this.held.delete(key);
      if (half === 2 && op === 'set') {
        if (object.kind === 'punt') this.#know(object, []);
        this.held.set(key, object);
      }
      return { ok: false, code: 'REFUSED', message: 'not today' };
    }
    if (object.kind === 'punt' && this.#isForeign(object)) {
      return op === 'delete' ? { ok: true } : { ok: false, code: 'REFUSED', message: 'somebody else has it' };
    }
    if (op === 'delete') {
      this.held.delete(key);
      return { ok: true };
    }
    const missing =
      object.kind === 'punt' &&
      interfacesOf(object).some((name) => !this.held.has(`interconnect ${name}`) && !this.#env.interfaces.has(name));
    if (missing) return { ok: false, code: 'PORT_REFUSED', message: 'there is no such interface' };
    if (object.kind === 'punt') this.#know(object, []);
    this.held.set(key, object);
    return { ok: true, handle: 1 };
  }

  async apply(operations: readonly Operation[]): Promise<OperationResult[]> {
    const { generation } = this;
    const results = operations.map((operation) => {
      if (this.#chance(this.trouble.kills)) throw new Killed();
      if (this.#chance(this.trouble.dies)) this.die();
      return this.generation === generation ? this.#one(operation) : { ok: false, code: 'DATAPLANE_DOWN' };
    });
    if (this.killsBehind) throw new Killed();
    return results;
  }
}
