// World: the punt manager as the composition root joins it (journal, rows of the core, rounds), with a data plane that is made
// up, and its lives: it is killed and started as often as a test likes.
//
// Invariants: a round does what the core does in one, as far as punts are in it. The journal is a file of its own.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Operation } from '../../../src/lcp/dataplane.ts';
import { DeltaTable } from '../../../src/lcp/delta.ts';
import type { CnfDevice } from '../../../src/punt/derive.ts';
import { Journal } from '../../../src/punt/journal.ts';
import { Punts } from '../../../src/punt/punts.ts';
import type { PuntRequest } from '../../../src/punt/request.ts';
import type { PuntChange } from '../../../src/punt/view.ts';
import { FakePlane, Killed } from './fakeplane.ts';
import { type FakeEnv, fakeEnv } from './lab.ts';

/** lcpd's side of it, as the composition root joins it, and everything around it. */
export class World {
  readonly env: FakeEnv = fakeEnv();
  readonly plane: FakePlane;
  readonly folder = mkdtempSync(join(tmpdir(), 'lcpd-punts-'));
  readonly pick: (below: number) => number;
  /** Of this life of lcpd. */
  readonly changes: PuntChange[] = [];
  configured: PuntRequest[] = [];
  devices: readonly CnfDevice[] = [];
  journal!: Journal;
  delta!: DeltaTable;
  punts!: Punts;
  #now = 0;
  #adopted = false;
  #inodes = 10;

  /** @param pick a number below another one, as random as it is to be */
  constructor(pick: (below: number) => number) {
    this.pick = pick;
    this.env.opensPhys = this.pick(2) === 0;
    // so few that they are not enough
    this.env.allocCidr = '192.168.111.0/30';
    this.plane = new FakePlane(this.env, this.pick);
    this.plane.onDied = () => {
      this.#adopted = false;
    };
    this.begin();
  }

  get path(): string {
    return join(this.folder, 'punts.journal');
  }

  /** lcpd starts. */
  begin(): void {
    this.journal = new Journal(this.path);
    this.delta = new DeltaTable({ initialMs: 1, maxMs: 4 });
    this.changes.length = 0;
    this.punts = new Punts({
      env: this.env,
      plane: this.plane.punts,
      journal: this.journal,
      rows: this.delta,
      devices: {
        want: (devices) => {
          this.devices = devices;
        },
        state: (netns, name) =>
          this.plane.held.has(`interconnect ${name}`) && this.env.namespaces.has(netns) ? 'settled' : 'absent',
      },
      routed: () => undefined,
      generation: () => String(this.plane.generation),
      now: () => this.#now,
    });
    this.punts.watch((change) => this.changes.push(change));
    this.punts.configure(this.configured);
    this.#adopted = false;
  }

  /** It is killed, and another one starts. */
  again(): void {
    this.journal.close();
    this.begin();
  }

  async #apply(operations: Operation[]): Promise<void> {
    if (operations.length === 0) return;
    const results = await this.punts.through(operations, (some) => this.plane.apply(some));
    operations.forEach((operation, i) => {
      const result = results[i];
      if (result === undefined) throw new Error('no answer');
      this.delta.settle(operation, result, this.#now);
    });
  }

  /** One round of the core, as far as punts are in it. */
  async round(): Promise<void> {
    this.#now += 10;
    try {
      if (!this.#adopted) {
        this.#adopted = true;
        this.punts.up();
        this.delta.adopt(this.plane.dump());
        this.punts.derive(true);
        this.punts.adopted();
      }
      this.punts.derive(false);
      await this.#apply(this.delta.due('delete', ['interconnect', 'punt'], this.#now));
      await this.#apply(this.delta.due('set', ['interconnect'], this.#now));
      this.punts.derive(true);
      await this.#apply(this.delta.due('set', ['punt'], this.#now));
      this.punts.settle();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      this.again();
    }
  }

  /** Nobody dies or refuses any more, and everything has its time. */
  async quiet(): Promise<void> {
    this.plane.trouble = { refuses: 0, kills: 0, dies: 0 };
    this.punts.review();
    for (let i = 0; i < 8; i++) await this.round();
  }

  appear(netns: string): void {
    if (!this.env.namespaces.has(netns)) this.env.namespaces.set(netns, `4:${this.#inodes++}`);
  }

  end(): void {
    this.journal.close();
    rmSync(this.folder, { recursive: true });
  }
}
