// Format: one line for any message, whatever it holds.

import { describe, expect, it } from 'vitest';
import { formatMessage, formatRaw } from '../../../src/netlink/format.ts';
import { encodeLink } from '../../../src/netlink/link.ts';
import { MessageWriter } from '../../../src/netlink/message.ts';
import { encodeRule } from '../../../src/netlink/rule.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { capturedLike } from './kernel.ts';

describe('format', () => {
  it('names interfaces when it is told how', () => {
    const nameOf = (ifindex: number) => (ifindex === 3 ? 'wan0' : undefined);
    expect(formatRaw(capturedLike('10.3.0.0/16').bytes, nameOf)).toEqual([
      '[ROUTE] 10.3.0.0/16 table main proto boot nexthop via 10.1.0.2 dev wan0 weight 1 nexthop via 10.1.0.3 dev wan0 weight 5 nexthop dev if6 linkdown weight 1',
    ]);
  });

  it('hostile names stay on the line and show what they are', () => {
    const writer = new MessageWriter().begin(k.RTM_NEWLINK, 0);
    encodeLink(writer, { name: 'a\nb\x1b[31m', alias: '‮x', altnames: ['t\tu'] });
    const [line] = formatRaw(writer.finish().written);
    expect(line).toContain('a\\u{a}b\\u{1b}[31m');
    expect(line).toContain('alias \\u{202e}x altname t\\u{9}u');
    expect(line).toMatch(/^[\x20-\x7e]+$/);
  });

  it('shows what it cannot read, and counts what is broken', () => {
    const writer = new MessageWriter().begin(k.RTM_NEWRULE, 2).u32(0).finish().begin(k.RTM_NEWADDR, 0).u8(1).finish();
    writer.begin(k.NLMSG_DONE, 2).u32(0).finish().raw(new Uint8Array(8));
    expect(formatRaw(writer.written)).toEqual([
      '[32] flags 0x2 length 20: not decoded',
      '[20] flags 0x0 length 17: not decoded',
      '[3] flags 0x2 length 20: not decoded',
      '1 malformed',
    ]);
    expect(formatMessage(4000, 0, {} as never)).toBe('[4000]');
  });

  it('MPLS routes are shown as labels, and families without a decoder as their length', () => {
    const message = (family: number) => {
      const writer = new MessageWriter().begin(k.RTM_NEWROUTE, 0).u8(family).u8(20).u16(0).u8(254).u8(4).u8(0).u8(1);
      return writer
        .u32(0)
        .attrBytes(k.RTA_DST, new Uint8Array([0, 1, 0, 0]))
        .finish().written;
    };
    expect(formatRaw(message(k.AF_MPLS))).toEqual(['[ROUTE] label 16 table main proto static']);
    expect(formatRaw(message(12))).toEqual(['[24] flags 0x0 length 36: not decoded']);
  });

  it('rules say what the kernel marks them with, and hostile names in them stay on the line', () => {
    const writer = new MessageWriter().begin(k.RTM_NEWRULE, 0);
    const flags = k.FIB_RULE_UNRESOLVED | k.FIB_RULE_IIF_DETACHED;
    encodeRule(writer, { priority: 7, action: k.FR_ACT_GOTO, goto: 9, iifname: 'a\nb', flags });
    expect(formatRaw(writer.finish().written)).toEqual([
      '[RULE] 7: from all iif a\\u{a}b goto 9 [unresolved] [iif detached]',
    ]);
  });
});
