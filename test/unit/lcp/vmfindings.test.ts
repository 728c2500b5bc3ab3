// What the oracle on a kernel with everything (test/vm/oracle.tap.ts) found: rules that differ in their protocol only, a
// setting that the kernel changes without a word, and what a lookup shows of legs that are the kernel's.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Core } from '../../../src/lcp/core.ts';
import { lookupRows } from '../../../src/lcp/lookup.ts';
import { NO_VRF, Rules } from '../../../src/lcp/rules.ts';
import type { LookupFound } from '../../../src/lcp/view.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import { decodeRule, type Rule, type RuleRequest } from '../../../src/netlink/rule.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type ExtraKernel, extraRouter } from './extrakernel.ts';
import { batchFrom, newRule } from './kernelbytes.ts';
import type { Router } from './router.ts';

describe('the rule of `ip rule add pref 0 lookup local` beside the kernel’s own', () => {
  const rule = (r: RuleRequest): Rule => {
    const { bytes, u16, u32 } = batchFrom([newRule({ family: AF_INET, ...r })]);
    return decodeRule({ bytes, u16, u32 }, 0) as Rule;
  };
  const local: RuleRequest = { priority: 0, table: k.RT_TABLE_LOCAL };
  const main: RuleRequest = { priority: 32766, table: k.RT_TABLE_MAIN };

  it('stays when the other one is deleted', () => {
    const rules = new Rules();
    for (const r of [{ ...local, protocol: k.RTPROT_KERNEL }, main, local]) rules.set(rule(r), 1);
    expect(rules.byKey.size).toBe(3);
    rules.remove(rule({ ...local, protocol: k.RTPROT_KERNEL }));
    expect(rules.tablesFor(4, NO_VRF).tables).toEqual([k.RT_TABLE_LOCAL, k.RT_TABLE_MAIN]);
    rules.remove(rule(local));
    expect(rules.tablesFor(4, NO_VRF).tables).toEqual([k.RT_TABLE_MAIN]);
  });
});

describe('a router with devices that are no pairs', () => {
  const E0 = 'e0';
  let r: Router;
  let kernel: ExtraKernel;
  let e0: number;
  let e1: number;
  const UNPAIRED = 70;
  const DOWN = 71;

  beforeEach(async () => {
    ({ r, kernel } = await extraRouter());
    e0 = kernel.linkNamed(E0).ifindex;
    e1 = kernel.linkNamed('e1').ifindex;
    kernel.put({ ifindex: UNPAIRED, name: 'gre7' });
    kernel.put({ ifindex: DOWN, name: 'gre8', flags: 0 });
    await r.settle();
  });

  const core = (): Core =>
    ({ reconciler: r.reconciler, dataplane: r.dataplane, defaultNetns: () => 'cp' }) as unknown as Core;
  const label = async (text: string): Promise<string> => {
    const [row] = (await lookupRows(core(), { addresses: [text], mpls: true })) as [LookupFound];
    const legs = row.paths.map((p) => `${p.via ?? ''} ${p.dev} ${(p.labels ?? []).join('/')}`.trim());
    return `${row.type} ${legs.join(', ')}`;
  };
  const mpls = (dst: string, ...legs: { oif: number; gateway?: string; labels?: number[] }[]) =>
    kernel.route({ family: k.AF_MPLS, dst, legs });

  it('shows the labels of what is punted, and only live legs', async () => {
    kernel.mpls(e0, true);
    mpls(
      '100',
      { oif: UNPAIRED, gateway: '10.7.0.2', labels: [200, 201] },
      { oif: e1, gateway: '10.0.2.2', labels: [300] },
      { oif: DOWN, gateway: '10.8.0.2', labels: [400] },
    );
    kernel.setLink(kernel.linkNamed('e1'), { up: false });
    await r.settle();
    expect(await label('100')).toBe('punt 10.7.0.2 gre7 200/201');
  });

  it('shows a leg of a pair that only the kernel can use beside one of the same pair that it forwards by', async () => {
    kernel.mpls(e0, true);
    mpls('100', { oif: e1, gateway: '10.0.2.2', labels: [300] }, { oif: e1 });
    await r.settle();
    expect(await label('100')).toBe('unicast 10.0.2.2 e1 300, e1');
  });

  it('learns that IPv6 ignores routes with link down there when the carrier goes: the kernel never says so', async () => {
    kernel.ignoring[6].add(e1);
    await r.settle();
    expect(r.ns().settings.needsCarrier(6, e1), 'nobody told').toBe(false);
    r.kernel('').setLink(r.kernel('').linkNamed('lan0'), { carrier: false });
    await r.settle();
    expect(r.ns().settings.needsCarrier(6, e1)).toBe(true);
    expect(r.lookup('fd00:2::9')).toBe('none');
  });

  it('reads that setting again when a link changes its state, and only then', () => {
    const doubted = () => [...r.ns().doubts].filter(({ kind }) => kind === 'netconf').map(({ scope }) => scope.family);
    kernel.setLink(kernel.linkNamed(E0), { mtu: 1400 });
    r.deliver('cp');
    expect(doubted()).toEqual([]);
    kernel.setLink(kernel.linkNamed(E0), { up: false });
    r.deliver('cp');
    expect(doubted()).toEqual([AF_INET6]);
  });
});
