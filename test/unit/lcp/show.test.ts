// Show: what lcpctl gets of counters that a data plane tells, at once or later, or cannot tell.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Core } from '../../../src/lcp/core.ts';
import { CoreView } from '../../../src/lcp/coreview.ts';
import { counterRows, interfaceRows, puntRows } from '../../../src/lcp/show.ts';
import { LcpError } from '../../../src/lib/errors.ts';
import { type Router, router } from './router.ts';

let r: Router;
const core = (): Core => ({ reconciler: r.reconciler, dataplane: r.dataplane, now: () => r.now }) as unknown as Core;

beforeEach(async () => {
  r = await router();
  const of = (phy: string, values: Record<string, number>) =>
    Object.entries(values).map(([name, value]) => ({ phy, name, value }));
  r.dataplane.counted = [
    ...of('wan0', {
      'rx-packets': 9,
      'rx-bytes': 900,
      'tx-packets': 0,
      'punt-host': 4,
      'punt-arp': 1,
      'drop-total': 2,
    }),
    ...of('', { 'punt-exception': 6, 'err/node/why': 8 }),
  ];
});

describe('counters', () => {
  it('are shown without those that are zero, or with them', async () => {
    expect((await counterRows(core(), false)).map(({ name }) => name)).not.toContain('tx-packets');
    expect(await counterRows(core(), true)).toEqual(r.dataplane.counted);
  });

  it('of punts are those by that name, of an interface and of the whole', async () => {
    expect(await puntRows(core())).toEqual([
      { phy: 'wan0', reason: 'host', packets: 4 },
      { phy: 'wan0', reason: 'arp', packets: 1 },
      { phy: '', reason: 'exception', packets: 6 },
    ]);
  });

  it('of a pair are added up', async () => {
    const [wan, lan] = await interfaceRows(core());
    expect(wan).toMatchObject({ phy: 'wan0', rxPackets: 9, rxBytes: 900, txPackets: 0, punts: 5, drops: 2 });
    expect(lan).toMatchObject({ rxPackets: 0, punts: 0, drops: 0 });
  });

  it('that cannot be read are an error, not zeros', async () => {
    const failure = new LcpError('VPP_STATS', { op: 'open' });
    Object.assign(r.dataplane, { counters: () => Promise.reject(failure) });
    for (const rows of [() => counterRows(core(), true), () => puntRows(core()), () => interfaceRows(core())])
      await expect(rows()).rejects.toBe(failure);
  });
});

describe('a trace that a data plane has not', () => {
  it('is that error at once', async () => {
    const failure = new LcpError('NOT_SUPPORTED', { op: 'trace' });
    const refuse = () => {
      throw failure;
    };
    Object.assign(r.dataplane, { traces: refuse });
    const parts = { core: core(), changes: undefined as never, version: '', startedAt: 0 };
    const view = new CoreView({ ...parts, plan: refuse, reload: refuse });
    for (const all of [true, false])
      await expect(view.trace({ all }, refuse, new AbortController().signal)).rejects.toBe(failure);
  });
});
