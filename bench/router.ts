// Router: the namespaces and the lcpd that a benchmark measures: phys p0, p1 with peers q0, q1; over its own data plane, or over
// a VPP that has the phys and what they are paired with as host-interfaces.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Lcpd } from '../test/system/lab/lcpd.ts';
import { addNetns, addVeth, delNetns, ip } from '../test/system/lab/netns.ts';
import { tryRun, waitFor } from '../test/system/lab/process.ts';
import { VppPlane } from '../test/system/lab/vppplane.ts';

const prefix = `lcpbench${process.pid}`;

export class Router {
  readonly dir = mkdtempSync(join(tmpdir(), `${prefix}-`));
  readonly rtr = `${prefix}-rtr`;
  readonly cp = `${prefix}-cp`;
  /** Where peer qN lives: a namespace of its own. */
  readonly peers = [`${prefix}-q0`, `${prefix}-q1`] as const;
  readonly lcpd: Lcpd;
  readonly #plane: VppPlane | undefined;

  /** extra: lines of the configuration. */
  constructor(options: { readonly vpp?: boolean; readonly extra?: string } = {}) {
    const { dir, rtr, cp } = this;
    if (options.vpp === true) this.#plane = new VppPlane({ dir, segment: prefix, rtr, cp, pairBackend: 'attach' });
    const config = [
      this.#plane?.config ?? '',
      `netns: ${this.cp}`,
      'pairs: [ { phy: p0, host: e0 }, { phy: p1, host: e1 } ]',
      `control: { socket: ${this.dir}/lcpd.sock }`,
      'log: { level: warn }',
      options.extra ?? '',
      '',
    ].join('\n');
    this.lcpd = new Lcpd({ ns: this.rtr, dir: this.dir, config });
  }

  async open(): Promise<void> {
    for (const ns of [this.rtr, this.cp, ...this.peers]) await addNetns(ns);
    for (const n of [0, 1] as const) {
      await addVeth({ ns: this.rtr, dev: `p${n}` }, { ns: this.peers[n], dev: `q${n}` });
      await ip(this.rtr, 'link', 'set', `p${n}`, 'up');
      await ip(this.peers[n], 'link', 'set', `q${n}`, 'up');
      await ip(this.peers[n], 'addr', 'add', `10.0.${n}.2/24`, 'dev', `q${n}`);
      await this.#plane?.addPhy(`p${n}`, `e${n}`);
    }
    await this.#plane?.start();
  }

  /** Starts lcpd and gives the hosts their addresses, 10.0.N.1. */
  async start(): Promise<void> {
    await this.lcpd.start();
    for (const n of [0, 1]) {
      await waitFor(
        `e${n} to be made`,
        async () => (await tryRun(['ip', '-n', this.cp, 'link', 'set', `e${n}`, 'up'])).code === 0,
      );
      await this.lcpd.waitPair(`p${n}`, 'up');
      await ip(this.cp, 'addr', 'replace', `10.0.${n}.1/24`, 'dev', `e${n}`);
    }
    await this.lcpd.synced();
  }

  async close(): Promise<void> {
    await this.lcpd.stop();
    await this.#plane?.vpp.remove();
    for (const ns of [this.rtr, this.cp, ...this.peers]) await delNetns(ns);
    rmSync(this.dir, { recursive: true });
  }
}
