// Rules: which tables an interface is looked up in, after what the kernel told of its rules, and which rules are no
// answer for a data plane.

import { beforeEach, describe, expect, it } from 'vitest';
import { type Ingress, MOST_TABLES, NO_VRF, Rules } from '../../../src/lcp/rules.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import { decodeRule, type Rule, type RuleRequest } from '../../../src/netlink/rule.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { batchFrom, newRule } from './kernelbytes.ts';

const rule = (r: RuleRequest): Rule => {
  const { bytes, u16, u32 } = batchFrom([newRule({ family: AF_INET, ...r })]);
  const decoded = decodeRule({ bytes, u16, u32 }, 0);
  if (decoded === undefined) throw new Error(`not a rule: ${JSON.stringify(r)}`);
  return decoded;
};
const kernel = { protocol: k.RTPROT_KERNEL };
const DEFAULTS: readonly RuleRequest[] = [
  { priority: 0, table: 255, ...kernel },
  { priority: 32766, table: 254, ...kernel },
  { priority: 32767, table: 253, ...kernel },
];
const L3MDEV: RuleRequest = { priority: 1000, l3mdev: true, ...kernel };
const IN_RED: Ingress = { name: 'e0', vrf: 'red', vrfTable: 10 };
const FROM_E0: Ingress = { ...NO_VRF, name: 'e0' };

let rules: Rules;
let epoch: number;
const dump = (shown: readonly RuleRequest[], family = AF_INET): boolean => {
  epoch++;
  let changed = false;
  for (const r of shown) changed = rules.set(rule({ family, ...r }), epoch) || changed;
  return rules.sweep(family, epoch) || changed;
};
const add = (r: RuleRequest) => rules.set(rule(r), epoch);
const del = (r: RuleRequest) => rules.remove(rule(r));
const tables = (ingress = NO_VRF, family: 4 | 6 = 4) => rules.tablesFor(family, ingress).tables;
const merged = (ingress = NO_VRF) => rules.tablesFor(4, ingress).merged;
const reported = () => rules.unhonoured().map((u) => `${u.family} ${u.rule}: ${u.reason}`);

beforeEach(() => {
  rules = new Rules();
  epoch = 1;
  dump(DEFAULTS);
  dump(DEFAULTS.slice(0, 2), AF_INET6);
});

describe('the rules that Linux starts with', () => {
  it('are local and main as one, then default; IPv6 has no default table', () => {
    expect([tables(), merged()]).toEqual([[255, 254, 253], true]);
    expect(rules.tablesFor(6, NO_VRF)).toEqual({ tables: [255, 254], merged: false });
    expect(reported()).toEqual([]);
  });

  it('also hold where none were told of: a kernel without policy routing', () => {
    const none = new Rules();
    expect(none.tablesFor(4, NO_VRF)).toEqual({ tables: [255, 254, 253], merged: true });
    expect(none.tablesFor(6, NO_VRF)).toEqual({ tables: [255, 254], merged: false });
    expect(none.sweep(AF_INET, 9)).toBe(false);
    expect(none.tablesFor(4, NO_VRF).merged).toBe(true);
  });

  it('told again change nothing', () => {
    expect(dump(DEFAULTS)).toBe(false);
    expect(add(DEFAULTS[1] as RuleRequest)).toBe(false);
    expect(merged()).toBe(true);
  });

  it('all removed: nothing is looked up any more', () => {
    for (const r of DEFAULTS) expect(del(r)).toBe(true);
    expect([tables(), merged()]).toEqual([[], false]);
    expect(tables(NO_VRF, 6), 'the other family is another story').toEqual([255, 254]);
  });

  it('one removed while nobody listened: found by the sweep, and the trie is split', () => {
    expect(dump(DEFAULTS.slice(0, 2))).toBe(true);
    expect([tables(), merged()]).toEqual([[255, 254], false]);
  });
});

describe('a rule of IPv4 that Linux does not start with', () => {
  it('splits local and main for ever', () => {
    add({ priority: 100, table: 7 });
    expect([tables(), merged()]).toEqual([[255, 7, 254, 253], false]);
    expect(del({ priority: 100, table: 7 })).toBe(true);
    expect([tables(), merged()]).toEqual([[255, 254, 253], false]);
    dump(DEFAULTS);
    expect(merged()).toBe(false);
  });

  it('splits also when it is only the removal of one that was not known', () => {
    expect(del({ priority: 100, table: 7 })).toBe(false);
    expect(merged()).toBe(false);
  });

  it.each<[string, RuleRequest]>([
    ['for another priority', { priority: 50, table: 254 }],
    ['that looks at the source', { priority: 32766, table: 254, src: '10.0.0.0/8', ...kernel }],
    ['for VRFs', L3MDEV],
    ['for one interface', { priority: 32766, table: 254, iifname: 'e9', ...kernel }],
    ['that never concerns what is forwarded', { priority: 9, table: 9, oifname: 'e9' }],
  ])('%s splits', (_, r) => {
    add(r);
    expect(merged()).toBe(false);
  });

  it('of IPv6 does not', () => {
    rules.set(rule({ family: AF_INET6, priority: 5, table: 5 }), epoch);
    rules.remove(rule({ family: AF_INET6, priority: 5, table: 5 }));
    expect(merged()).toBe(true);
  });

  it('is forgotten with its namespace', () => {
    add({ priority: 100, table: 7 });
    rules.clear();
    expect([rules.byKey.size, tables(), merged()]).toEqual([0, [255, 254, 253], true]);
  });
});

describe('order', () => {
  it('is that of the priorities, whatever came first; a table counts once', () => {
    for (const r of [
      { priority: 300, table: 3 },
      { priority: 100, table: 1 },
      { priority: 400, table: 1 },
    ]) {
      add(r);
    }
    expect(tables()).toEqual([255, 1, 3, 254, 253]);
  });

  it('among equal priorities is that in which they were added', () => {
    add({ priority: 100, table: 9 });
    add({ priority: 100, table: 8 });
    expect(tables().slice(0, 3)).toEqual([255, 9, 8]);
    del({ priority: 100, table: 9 });
    add({ priority: 100, table: 9 });
    expect(tables().slice(0, 3)).toEqual([255, 8, 9]);
  });

  it('among equal priorities is the dump’s where a change of it was not heard', () => {
    const [nine, eight] = [
      { priority: 100, table: 9 },
      { priority: 100, table: 8 },
    ];
    add(nine);
    add(eight);
    const shown = [DEFAULTS[0] as RuleRequest, eight, nine, ...DEFAULTS.slice(1)];
    expect(dump(shown), 'a change, though no rule came or went').toBe(true);
    expect(tables().slice(0, 3)).toEqual([255, 8, 9]);
    expect(add(eight), 'the notice that waited for the dump').toBe(false);
    expect(tables().slice(0, 3)).toEqual([255, 8, 9]);
    expect(dump(shown)).toBe(false);
  });

  it('without local in front is not one match with main', () => {
    dump([...DEFAULTS.slice(1), { priority: 32768, table: 255 }]);
    expect([tables(), merged()]).toEqual([[254, 253, 255], false]);
  });
});

describe('the l3mdev rule', () => {
  it('is the table of the VRF that a packet comes in by, and nothing for others', () => {
    add(L3MDEV);
    expect(tables(IN_RED)).toEqual([255, 10, 254, 253]);
    expect(tables(FROM_E0)).toEqual([255, 254, 253]);
    expect(merged(IN_RED)).toBe(false);
    expect(reported()).toEqual([]);
  });

  it('in front of local, as FRR’s VRF guides have it', () => {
    del(DEFAULTS[0] as RuleRequest);
    add(L3MDEV);
    add({ priority: 32765, table: 255 });
    expect(tables(IN_RED)).toEqual([10, 255, 254, 253]);
    expect(tables()).toEqual([255, 254, 253]);
  });

  it('without it a VRF has no table of its own', () => {
    expect(tables(IN_RED)).toEqual([255, 254, 253]);
  });
});

describe('rules for an interface', () => {
  it('hold for that one', () => {
    add({ priority: 100, table: 7, iifname: 'e0' });
    expect(tables(FROM_E0)).toEqual([255, 7, 254, 253]);
    expect(tables({ ...NO_VRF, name: 'e1' })).toEqual([255, 254, 253]);
    expect(tables()).toEqual([255, 254, 253]);
  });

  it('hold for all of a VRF that they name', () => {
    add({ priority: 100, table: 7, iifname: 'red' });
    expect(tables(IN_RED)).toEqual([255, 7, 254, 253]);
    expect(tables(FROM_E0)).toEqual([255, 254, 253]);
  });

  it.each<[string, RuleRequest]>([
    ['what the host sends', { iifname: 'lo' }],
    ['what is sent by an interface', { oifname: 'e0' }],
    ['what the host sends, though it looks at more', { iifname: 'lo', src: '10.0.0.0/8', fwmark: 1 }],
  ])('of %s are no difference', (_, r) => {
    add({ priority: 100, table: 7, ...r });
    expect([tables(FROM_E0), reported()]).toEqual([[255, 254, 253], []]);
  });

  it('change in silence when the device comes: still the same rule', () => {
    const detached = { priority: 100, table: 7, iifname: 'e9', flags: k.FIB_RULE_IIF_DETACHED };
    add(detached);
    expect(dump([...DEFAULTS, { ...detached, flags: 0 }]), 'shown without its mark: nothing new').toBe(false);
    expect(del({ ...detached, flags: 0 }), 'told without the mark').toBe(true);
    expect(rules.byKey.size).toBe(DEFAULTS.length + 2);
  });
});

describe('goto and nop', () => {
  const to = (priority: number, goto: number, more = {}) => add({ priority, action: k.FR_ACT_GOTO, goto, ...more });
  it('leave out what lies between', () => {
    add({ priority: 100, table: 1 });
    add({ priority: 200, table: 2 });
    to(50, 200);
    add({ priority: 60, action: k.FR_ACT_NOP });
    expect(tables()).toEqual([255, 2, 254, 253]);
    expect(reported()).toEqual([]);
  });

  it('for one interface only', () => {
    add({ priority: 100, table: 1 });
    to(50, 32766, { iifname: 'e0' });
    expect(tables(FROM_E0)).toEqual([255, 254, 253]);
    expect(tables()).toEqual([255, 1, 254, 253]);
  });

  it('to a rule that is not there goes on with the next, until that one comes', () => {
    add({ priority: 100, table: 1 });
    to(50, 200, { flags: k.FIB_RULE_UNRESOLVED });
    expect(tables()).toEqual([255, 1, 254, 253]);
    add({ priority: 200, table: 2 });
    expect(tables()).toEqual([255, 2, 254, 253]);
    expect(del({ priority: 50, action: k.FR_ACT_GOTO, goto: 200 }), 'now without its mark').toBe(true);
  });
});

describe('what a data plane cannot look at', () => {
  it.each<[string, RuleRequest]>([
    ['from', { src: '10.0.0.0/8' }],
    ['to', { dst: '10.0.0.0/8' }],
    ['tos', { tos: 16 }],
    ['dscp', { dscp: 10 }],
    ['fwmark', { fwmark: 5, fwmask: 0xff }],
    ['fwmark', { fwmark: 0, fwmask: 0xff }],
    ['ipproto', { ipProto: 17 }],
    ['sport', { sport: { start: 1, end: 2 } }],
    ['dport', { dport: { start: 53, end: 53 } }],
    ['uidrange', { uidRange: { start: 0, end: 0 } }],
    ['tun_id', { tunId: 5n }],
    ['suppress_prefixlength', { suppressPrefixlen: 0 }],
    ['suppress_ifgroup', { suppressIfgroup: 0 }],
    ['not', { invert: true }],
  ])('%s is named, and the rule is taken as not there', (name, r) => {
    add({ priority: 100, table: 7, ...r });
    expect(tables()).toEqual([255, 254, 253]);
    expect(reported()).toHaveLength(1);
    expect(reported()[0]).toMatch(/^4 100: /);
    expect(reported()[0]).toMatch(new RegExp(`: the data plane cannot look at: ${name}$`));
  });

  it('a flow label, and what is not known here at all', () => {
    for (const more of [{ flowlabel: 5 }, { unknown: [99] }]) {
      const r = { ...rule({ priority: 100, table: 7 }), ...more };
      rules.set(r, epoch);
      expect(tables()).toEqual([255, 254, 253]);
      expect(reported()).toHaveLength(1);
      rules.remove(r);
      expect(reported()).toEqual([]);
    }
  });

  it('all of a rule’s selectors, once', () => {
    add({ priority: 100, table: 7, src: '10.0.0.0/8', tos: 8, fwmark: 1, fwmask: 1 });
    expect(reported()[0]).toMatch(/cannot look at: from, tos, fwmark$/);
  });

  it('a goto with a selector does not jump', () => {
    add({ priority: 100, table: 1 });
    add({ priority: 50, action: k.FR_ACT_GOTO, goto: 32766, src: '10.0.0.0/8' });
    expect(tables()).toEqual([255, 1, 254, 253]);
    expect(reported()).toHaveLength(1);
  });

  it.each([
    ['blackhole', k.FR_ACT_BLACKHOLE],
    ['unreachable', k.FR_ACT_UNREACHABLE],
    ['prohibit', k.FR_ACT_PROHIBIT],
  ])('%s', (name, action) => {
    add({ priority: 100, action });
    expect(tables()).toEqual([255, 254, 253]);
    expect(reported()).toEqual([`4 100: from all ${name}: the data plane has no rules that end a lookup`]);
  });

  it('more tables than it looks through: those behind are named, for whom it concerns', () => {
    for (let i = 1; i <= MOST_TABLES; i++) add({ priority: i, table: i, iifname: 'e0' });
    expect(tables(FROM_E0)).toEqual([255, 1, 2, 3, 4]);
    expect(tables()).toEqual([255, 254, 253]);
    expect(reported()).toEqual([]);
    const named = rules.unhonoured([NO_VRF, FROM_E0]);
    expect(named.map((u) => u.rule)).toEqual([
      '5: from all iif e0 lookup 5',
      '32766: from all lookup main',
      '32767: from all lookup default',
    ]);
    expect(new Set(named.map((u) => u.reason))).toEqual(new Set(['the data plane looks through 5 tables only']));
  });
});
