// Rule: every selector and action of a policy rule, from real bytes and from a kernel that was asked for them.

import { execFileSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import { wireOf } from '../../../src/netlink/attr.ts';
import { RtnlDumper } from '../../../src/netlink/dump.ts';
import { forEachMessage, MessageWriter } from '../../../src/netlink/message.ts';
import { NetlinkMonitor } from '../../../src/netlink/monitor.ts';
import { RtnlError, RtnlRequester } from '../../../src/netlink/request.ts';
import { decodeRule, encodeRule, type Rule, type RuleRequest, ruleText } from '../../../src/netlink/rule.ts';
import { NetlinkSocket } from '../../../src/netlink/socket.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { capturedLike, describeRoot, netnsForBlock, until } from './kernel.ts';
import { Model } from './model.ts';

const read = (like: string) => decodeRule(wireOf(capturedLike(like).bytes), 0) as Rule;

/** A rule without any selector, as the kernel tells it. */
const PLAIN: Omit<Rule, 'priority' | 'table' | 'family'> = {
  action: k.FR_ACT_TO_TBL,
  flags: 0,
  goto: 0,
  l3mdev: false,
  invert: false,
  src: '',
  dst: '',
  iifname: '',
  oifname: '',
  fwmark: 0,
  fwmask: 0,
  tos: 0,
  dscp: -1,
  dscpMask: 0x3f,
  flowlabel: -1,
  flowlabelMask: 0xfffff,
  ipProto: 0,
  sportMask: 0xffff,
  dportMask: 0xffff,
  tunId: 0n,
  flow: 0,
  suppressPrefixlen: -1,
  suppressIfgroup: -1,
  protocol: k.RTPROT_UNSPEC,
  unknown: [],
};

describe('rules of a captured kernel', () => {
  it('plain, with every field as it is when nothing was asked for', () => {
    expect(read('[RULE] 200:')).toEqual({ ...PLAIN, family: AF_INET, priority: 200, table: k.RT_TABLE_MAIN });
    expect(read('[RULE] Deleted 200:')).toEqual(read('[RULE] 200:'));
  });

  it('with selectors', () => {
    expect(read('[RULE] 102:')).toMatchObject({
      invert: true,
      src: '10.0.0.0/8',
      dst: '192.0.2.0/24',
      tos: 0x10,
      fwmark: 5,
      fwmask: 0xff,
      iifname: 'va',
      oifname: 'vb',
      table: 70000,
    });
    expect(read('[RULE] 101:')).toMatchObject({ dst: '10.0.0.7/32', src: '' });
    expect(read('[RULE] 104:')).toMatchObject({ fwmark: 7, fwmask: 0xffffffff, suppressPrefixlen: 0 });
    expect(read('[RULE] 105:')).toMatchObject({ suppressIfgroup: 3, suppressPrefixlen: -1 });
    expect(read('[RULE] 106:')).toMatchObject({
      uidRange: { start: 0, end: 999 },
      ipProto: 6,
      sport: { start: 100, end: 200 },
      dport: { start: 179, end: 179 },
    });
    expect(read('[RULE] 107:').tunId).toBe(5n);
    expect(read('[RULE] 113:').flow).toBe(0x10002);
    expect(read('inet6 100:')).toMatchObject({ family: AF_INET6, src: '2001:db8::/32', dst: '2001:db8:1::5/128' });
    expect(read('inet6 101:')).toMatchObject({ tos: 0x20, ipProto: 17 });
  });

  it('with other ends than a table', () => {
    expect(read('[RULE] 103:')).toMatchObject({ action: k.FR_ACT_GOTO, goto: 200, table: 0, iifname: 'nosuch' });
    expect(read('[RULE] 103:').flags).toBe(k.FIB_RULE_UNRESOLVED | k.FIB_RULE_IIF_DETACHED);
    const actions = ['[RULE] 108:', '[RULE] 109:', '[RULE] 110:', '[RULE] 111:'].map((like) => read(like).action);
    expect(actions).toEqual([k.FR_ACT_BLACKHOLE, k.FR_ACT_UNREACHABLE, k.FR_ACT_PROHIBIT, k.FR_ACT_NOP]);
    expect(read('[RULE] 112:')).toMatchObject({ l3mdev: true, table: 0, protocol: k.RTPROT_ZEBRA });
    // The one that the first VRF makes (Linux 6.1).
    expect(read('[RULE] 1000:')).toMatchObject({ l3mdev: true, table: 0, protocol: k.RTPROT_KERNEL });
  });

  it('a selector from the future is not taken for none, and a prefix without its address is no rule', () => {
    const message = (write: (w: MessageWriter) => void, dstLen = 0, srcLen = 0) => {
      const w = new MessageWriter().begin(k.RTM_NEWRULE, 0).u8(2).u8(dstLen).u8(srcLen).u8(0).u8(254).u16(0).u8(1);
      write(w.u32(0));
      return decodeRule(wireOf(w.finish().written.slice()), 0);
    };
    const newer = message((w) => w.attrU32(77, 5).attrU32(k.FRA_TABLE, 254)) as Rule;
    expect(newer.unknown).toEqual([77]);
    expect(ruleText(newer)).toBe('from all lookup main unknown 77');
    expect(message(() => undefined)).toMatchObject({ src: '', dst: '' });
    expect(message(() => undefined, 8)).toBeUndefined();
    expect(message(() => undefined, 0, 8)).toBeUndefined();
    const ten = new Uint8Array([10, 0, 0, 0]);
    expect(message((w) => w.attrBytes(k.FRA_DST, ten), 8)?.dst).toBe('10.0.0.0/8');
    expect(message((w) => w.attrBytes(k.FRA_DST, ten), 33)).toBeUndefined();
    expect(message((w) => w.attrBytes(k.FRA_SRC, new Uint8Array(16)), 0, 8)).toBeUndefined();
    for (const type of [k.FRA_SPORT_RANGE, k.FRA_DPORT_RANGE]) {
      expect(message((w) => w.attrBytes(type, new Uint8Array(3)))).toBeUndefined();
    }
    expect(message((w) => w.attrBytes(k.FRA_UID_RANGE, new Uint8Array(7)))).toBeUndefined();
    expect(message((w) => w.attrBytes(k.FRA_TUN_ID, new Uint8Array(7)))).toBeUndefined();
  });

  it('refuses to ask for what is no prefix', () => {
    expect(() => encodeRule(new MessageWriter(), { src: '10.0.0.0/99' })).toThrow('not a prefix: 10.0.0.0/99');
  });
});

const NUMBER: Readonly<Record<string, string>> = {
  local: '255',
  main: '254',
  default: '253',
  bgp: '186',
  blackhole: '6',
  unreachable: '7',
  prohibit: '8',
};

describeRoot('rules of a real kernel', () => {
  const netns = netnsForBlock('link add va type veth peer name vb');

  const dump = async (family: number): Promise<Rule[]> => {
    const dumper = new RtnlDumper(new NetlinkSocket({ netns: netns.path, slotSize: 32768, slots: 16 }));
    const found: Rule[] = [];
    const result = await dumper.dump(k.RTM_GETRULE, { family }, (batch) =>
      forEachMessage(batch, (_type, _flags, offset) => {
        const rule = decodeRule(batch, offset);
        if (rule !== undefined) found.push(rule);
        return rule !== undefined;
      }),
    );
    dumper.close();
    expect(result).toMatchObject({ complete: true, absent: false });
    return found;
  };

  const CASES: readonly RuleRequest[] = [
    { src: '10.0.0.0/8', table: 100 },
    { dst: '10.0.0.7/32', table: 70000 },
    { src: '2001:db8::/32', dst: '2001:db8:1::/48', table: 100 },
    { table: 100, tos: 0x10 },
    { table: 100, fwmark: 5, fwmask: 0xff },
    { table: 100, iifname: 'va' },
    { table: 100, oifname: 'vb' },
    { table: 100, ipProto: 6, sport: { start: 1, end: 9 }, dport: { start: 179, end: 179 } },
    { table: 100, uidRange: { start: 0, end: 999 } },
    { table: 100, tunId: 0x100000005n },
    { table: 100, suppressPrefixlen: 0 },
    { table: 100, suppressIfgroup: 7 },
    { table: 100, src: '192.0.2.0/24', invert: true },
    { table: 100, protocol: k.RTPROT_BGP },
    { l3mdev: true },
    { action: k.FR_ACT_GOTO, goto: 32767, iifname: 'nosuch' },
    { action: k.FR_ACT_NOP },
    { action: k.FR_ACT_BLACKHOLE, src: '10.1.0.0/16' },
    { action: k.FR_ACT_UNREACHABLE, src: '10.2.0.0/16' },
    { action: k.FR_ACT_PROHIBIT, src: '10.3.0.0/16' },
    { family: AF_INET6, table: 100, fwmark: 1, fwmask: 0xffffffff },
    { family: AF_INET6, table: 100, oifname: 'va', ipProto: 17, dport: { start: 53, end: 54 } },
  ];
  /** Kernel 6.13 and later; older ones refuse them or, as IPv4 did, ignore the attribute. */
  const NEWER: readonly RuleRequest[] = [
    { table: 100, dscp: 46 },
    { table: 100, dscp: 46, dscpMask: 0x3e },
    { table: 100, ipProto: 6, sport: { start: 80, end: 80 }, sportMask: 0xff },
    { table: 100, ipProto: 6, dport: { start: 81, end: 81 }, dportMask: 0x7f },
    { family: AF_INET6, table: 100, flowlabel: 0x12345, flowlabelMask: 0xfffff },
  ];

  it('are read as they were asked for, told to a monitor, and printed as ip prints them', async () => {
    const model = new Model();
    const monitor = new NetlinkMonitor({ netns: netns.path, backoffMs: 5 }, model);
    await monitor.start();
    await until('it is in sync', () => model.syncs > 0);
    // The three and the two that Linux starts with.
    expect(model.content('rule').length).toBe(5);
    const requester = new RtnlRequester(new NetlinkSocket({ netns: netns.path }));
    const asked = new Map<string, RuleRequest>();
    const make = async (rule: RuleRequest, i: number) => {
      await requester.ack(k.RTM_NEWRULE, k.NLM_F_CREATE | k.NLM_F_EXCL, (w) => encodeRule(w, { ...rule, priority: i }));
      const family = rule.family ?? ((rule.src || rule.dst)?.includes(':') ? AF_INET6 : AF_INET);
      asked.set(`${family} ${i}`, rule);
    };
    for (const [i, rule] of CASES.entries()) await make(rule, 100 + i);
    for (const [i, rule] of NEWER.entries()) {
      await make(rule, 200 + i).catch((error: unknown) => expect(error).toBeInstanceOf(RtnlError));
    }
    const rules = [...(await dump(AF_INET)), ...(await dump(AF_INET6))];
    for (const [i, wanted] of NEWER.entries()) {
      const rule = rules.find((one) => one.priority === 200 + i) as Record<string, unknown> | undefined;
      const lost = Object.entries(wanted).filter(
        ([key, value]) => !isDeepStrictEqual(rule?.[key], value) && key !== 'family',
      );
      if (lost.length === 0) continue;
      process.stderr.write(`SKIPPED: a rule with ${lost.map(([key]) => key).join(', ')}: not of this kernel\n`);
      if (rule !== undefined) asked.set(`${wanted.family ?? AF_INET} ${200 + i}`, { table: 100 });
    }
    for (const [key, request] of asked) {
      const rule = rules.find((one) => key === `${one.family} ${one.priority}`);
      expect(rule, key).toMatchObject(request);
      expect(rule?.unknown).toEqual([]);
    }
    expect(rules.find((one) => one.goto === 32767)?.flags).toBe(k.FIB_RULE_IIF_DETACHED);
    await until('all were told', () => model.content('rule').length === 5 + asked.size);

    // `ip -N` shows numbers where this layer knows names; marks that come and go are not part of the text.
    for (const [family, option] of [
      [AF_INET, '-4'],
      [AF_INET6, '-6'],
    ] as const) {
      const shown = execFileSync('ip', ['-n', netns.name, '-N', option, 'rule', 'show'], { encoding: 'utf8' });
      const lines = shown.split('\n').map((line) => line.replace(/ \[detached\]|ipproto-/g, '').trimEnd());
      for (const rule of rules.filter((one) => one.family === family && (one.priority < 200 || one.priority >= 300))) {
        const text = ruleText(rule).replace(
          /\b(local|main|default|bgp|blackhole|unreachable|prohibit)\b/,
          (word) => NUMBER[word] ?? word,
        );
        expect(lines).toContain(`${rule.priority}:\t${text}`);
      }
    }

    // Deleting is by what ruleText shows: nothing else is needed to find them in the notices.
    for (const rule of rules.filter((one) => one.priority >= 100 && one.priority < 300)) {
      await requester.ack(k.RTM_DELRULE, 0, (w) => encodeRule(w, rule));
    }
    await until('only the first five are left', () => model.content('rule').length === 5);
    expect((await dump(AF_INET)).length + (await dump(AF_INET6)).length).toBe(5);
    expect(monitor.stats.malformed.total).toBe(0);
    requester.close();
    monitor.close();
  });
});
