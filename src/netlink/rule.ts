// Rule: a policy routing rule (`RTM_NEWRULE`): which packets are looked up in which table. Read and requested.
//
// Invariants: rules have no id: what `ruleText` shows, with the priority, is a rule's identity. Every selector that the
// kernel told is in the object; what this layer does not know is in `unknown`, by attribute type, so that a rule with a
// newer selector is never taken for one without. Deciding what a rule means is not done here.
// Reference: linux/fib_rules.h, ip-rule(8), net/core/fib_rules.c.

import { AF_INET, AF_INET6, familyOf, formatIp, parsePrefix } from '../lib/ip.ts';
import type { Wire } from './attr.ts';
import { AttributeCursor } from './attr.ts';
import type { MessageWriter } from './message.ts';
import { messageEnd } from './message.ts';
import { line, nameOr, PROTOCOL_NAMES, plain, TABLE_NAMES } from './names.ts';
import * as k from './uapi.ts';

/** First and last number, both included. */
export interface RuleRange {
  readonly start: number;
  readonly end: number;
}

export interface Rule {
  /** AF_INET, AF_INET6, or RTNL_FAMILY_IPMR and RTNL_FAMILY_IP6MR for the rules of multicast tables. */
  readonly family: number;
  /** Smaller is looked at first. */
  readonly priority: number;
  /** FR_ACT_*. */
  readonly action: number;
  /** FIB_RULE_*. */
  readonly flags: number;
  /** Of FR_ACT_TO_TBL; 0 for the other actions and where `l3mdev` decides. */
  readonly table: number;
  /** Priority of the rule that FR_ACT_GOTO goes on with, 0 for the other actions. */
  readonly goto: number;
  /** The table of the VRF that the packet belongs to. */
  readonly l3mdev: boolean;
  /** Matches what the selectors do not. */
  readonly invert: boolean;
  /** `10.0.0.0/8`, '' when any. */
  readonly src: string;
  readonly dst: string;
  /** '' when any. */
  readonly iifname: string;
  readonly oifname: string;
  readonly fwmark: number;
  /** 0 when the mark is not looked at. */
  readonly fwmask: number;
  /** TOS byte (IPv4) or traffic class (IPv6), 0 when any. */
  readonly tos: number;
  /** 0..63, -1 when any. */
  readonly dscp: number;
  readonly dscpMask: number;
  /** IPv6 flow label, -1 when any. */
  readonly flowlabel: number;
  readonly flowlabelMask: number;
  /** IPPROTO_*, 0 when any. */
  readonly ipProto: number;
  readonly sport?: RuleRange;
  readonly dport?: RuleRange;
  /** 0xffff unless a mask was given. */
  readonly sportMask: number;
  readonly dportMask: number;
  readonly uidRange?: RuleRange;
  /** Tunnel key, 0n when any. */
  readonly tunId: bigint;
  /** FRA_FLOW: realms. */
  readonly flow: number;
  /** Routes with a prefix of at most that length do not count; -1 when all do. */
  readonly suppressPrefixlen: number;
  /** Routes out of that interface group do not count; -1 when all do. */
  readonly suppressIfgroup: number;
  /** RTPROT_* of who made it. */
  readonly protocol: number;
  /** FRA_* that are not known here. */
  readonly unknown: readonly number[];
}

type Draft = { -readonly [K in keyof Rule]: Rule[K] };

const NO_MASK16 = 0xffff;
const FULL_DSCP = 0x3f;
const FULL_FLOWLABEL = 0xfffff;

function readPrefix(wire: Wire, a: AttributeCursor, family: number, length: number): string {
  const size = family === AF_INET ? 4 : family === AF_INET6 ? 16 : a.size;
  if (a.size !== size || (size !== 4 && size !== 16) || length > 8 * size) {
    a.malformed = true;
    return '';
  }
  return length === 0 ? '' : `${formatIp(wire.bytes, a.value, size)}/${length}`;
}

function readRange16(wire: Wire, a: AttributeCursor): RuleRange {
  const start = a.u16();
  if (a.size < 4) a.malformed = true;
  return { start, end: a.malformed ? 0 : (wire.u16[(a.value >> 1) + 1] as number) };
}

function readRange32(wire: Wire, a: AttributeCursor): RuleRange {
  const start = a.u32();
  if (a.size < 8) a.malformed = true;
  return { start, end: a.malformed ? 0 : (wire.u32[(a.value >> 2) + 1] as number) };
}

/** Reads one attribute that selects packets. False when it is none of these. */
function readSelector(wire: Wire, a: AttributeCursor, draft: Draft, dstLen: number, srcLen: number): boolean {
  switch (a.type) {
    case k.FRA_DST:
      draft.dst = readPrefix(wire, a, draft.family, dstLen);
      return true;
    case k.FRA_SRC:
      draft.src = readPrefix(wire, a, draft.family, srcLen);
      return true;
    case k.FRA_IIFNAME:
      draft.iifname = a.string();
      return true;
    case k.FRA_OIFNAME:
      draft.oifname = a.string();
      return true;
    case k.FRA_FWMARK:
      draft.fwmark = a.u32();
      return true;
    case k.FRA_FWMASK:
      draft.fwmask = a.u32();
      return true;
    case k.FRA_TUN_ID:
      draft.tunId = a.u64be();
      return true;
    case k.FRA_UID_RANGE:
      draft.uidRange = readRange32(wire, a);
      return true;
    case k.FRA_IP_PROTO:
      draft.ipProto = a.u8();
      return true;
    case k.FRA_SPORT_RANGE:
      draft.sport = readRange16(wire, a);
      return true;
    case k.FRA_DPORT_RANGE:
      draft.dport = readRange16(wire, a);
      return true;
    case k.FRA_SPORT_MASK:
      draft.sportMask = a.u16();
      return true;
    case k.FRA_DPORT_MASK:
      draft.dportMask = a.u16();
      return true;
    case k.FRA_DSCP:
      draft.dscp = a.u8();
      return true;
    case k.FRA_DSCP_MASK:
      draft.dscpMask = a.u8();
      return true;
    case k.FRA_FLOWLABEL:
      draft.flowlabel = a.u32be();
      return true;
    case k.FRA_FLOWLABEL_MASK:
      draft.flowlabelMask = a.u32be();
      return true;
    default:
      return false;
  }
}

/** Reads one attribute that says what becomes of the packets. False when it is none of these. */
function readAction(a: AttributeCursor, draft: Draft): boolean {
  switch (a.type) {
    case k.FRA_PRIORITY:
      draft.priority = a.u32();
      return true;
    case k.FRA_TABLE:
      draft.table = a.u32();
      return true;
    case k.FRA_GOTO:
      draft.goto = a.u32();
      return true;
    case k.FRA_L3MDEV:
      draft.l3mdev = a.u8() !== 0;
      return true;
    case k.FRA_SUPPRESS_PREFIXLEN:
      draft.suppressPrefixlen = a.s32();
      return true;
    case k.FRA_SUPPRESS_IFGROUP:
      draft.suppressIfgroup = a.s32();
      return true;
    case k.FRA_FLOW:
      draft.flow = a.u32();
      return true;
    case k.FRA_PROTOCOL:
      draft.protocol = a.u8();
      return true;
    default:
      return a.type === k.FRA_PAD;
  }
}

/** The rule at `offset` (its nlmsghdr), or undefined when the message is malformed. */
export function decodeRule(wire: Wire, offset: number): Rule | undefined {
  const end = messageEnd(wire, offset, 12);
  if (end < 0) return undefined;
  // struct fib_rule_hdr
  const body = offset + k.NLMSG_HDRLEN;
  const dstLen = wire.bytes[body + 1] as number;
  const srcLen = wire.bytes[body + 2] as number;
  const flags = wire.u32[(body + 8) >> 2] as number;
  const unknown: number[] = [];
  const draft: Draft = {
    family: wire.bytes[body] as number,
    priority: 0,
    action: wire.bytes[body + 7] as number,
    flags,
    table: wire.bytes[body + 4] as number,
    goto: 0,
    l3mdev: false,
    invert: (flags & k.FIB_RULE_INVERT) !== 0,
    src: '',
    dst: '',
    iifname: '',
    oifname: '',
    fwmark: 0,
    fwmask: 0,
    tos: wire.bytes[body + 3] as number,
    dscp: -1,
    dscpMask: FULL_DSCP,
    flowlabel: -1,
    flowlabelMask: FULL_FLOWLABEL,
    ipProto: 0,
    sportMask: NO_MASK16,
    dportMask: NO_MASK16,
    tunId: 0n,
    flow: 0,
    suppressPrefixlen: -1,
    suppressIfgroup: -1,
    protocol: 0,
    unknown,
  };
  const a = new AttributeCursor(wire, body + 12, end);
  while (a.next()) {
    if (!readSelector(wire, a, draft, dstLen, srcLen) && !readAction(a, draft)) unknown.push(a.type);
  }
  // A length without the address that it belongs to would make the rule match everything.
  const lost = (dstLen > 0 && draft.dst === '') || (srcLen > 0 && draft.src === '');
  return a.malformed || lost ? undefined : draft;
}

function prefixText(prefix: string): string {
  const full = prefix.includes(':') ? '/128' : '/32';
  return prefix.endsWith(full) ? prefix.slice(0, -full.length) : prefix;
}

const hex = (value: number): string => `0x${value.toString(16)}`;

function markText(word: string, value: number, mask: number, full: number): string {
  return `${word} ${hex(value)}${mask === full ? '' : `/${hex(mask)}`}`;
}

function portText(word: string, range: RuleRange | undefined, mask: number): string {
  if (range === undefined) return '';
  if (mask !== NO_MASK16) return `${word} ${hex(range.start)}/${hex(mask)}`;
  return `${word} ${range.start}${range.end === range.start ? '' : `-${range.end}`}`;
}

const ENDS: Readonly<Record<number, string>> = {
  [k.FR_ACT_BLACKHOLE]: 'blackhole',
  [k.FR_ACT_UNREACHABLE]: 'unreachable',
  [k.FR_ACT_PROHIBIT]: 'prohibit',
};

function actionText(r: Rule): string {
  switch (r.action) {
    case k.FR_ACT_TO_TBL:
      return '';
    case k.FR_ACT_GOTO:
      return `goto ${r.goto}`;
    case k.FR_ACT_NOP:
      return 'nop';
    default:
      return ENDS[r.action] ?? `action ${r.action}`;
  }
}

/**
 * A rule in one line, without its priority, as `ip rule` prints it; all that tells it from others is in it. Marks that
 * the kernel sets and clears without a message (detached, unresolved) are not.
 */
export function ruleText(r: Rule): string {
  return line(
    r.invert && 'not',
    `from ${r.src === '' ? 'all' : prefixText(r.src)}`,
    r.dst !== '' && `to ${prefixText(r.dst)}`,
    r.tos !== 0 && `tos ${hex(r.tos)}`,
    (r.fwmark !== 0 || r.fwmask !== 0) && markText('fwmark', r.fwmark, r.fwmask, 0xffffffff),
    r.iifname !== '' && `iif ${plain(r.iifname)}`,
    r.oifname !== '' && `oif ${plain(r.oifname)}`,
    r.uidRange !== undefined && `uidrange ${r.uidRange.start}-${r.uidRange.end}`,
    r.ipProto !== 0 && `ipproto ${r.ipProto}`,
    portText('sport', r.sport, r.sportMask),
    portText('dport', r.dport, r.dportMask),
    r.tunId !== 0n && `tun_id ${r.tunId}`,
    r.dscp >= 0 && markText('dscp', r.dscp, r.dscpMask, FULL_DSCP),
    r.flowlabel >= 0 && markText('flowlabel', r.flowlabel, r.flowlabelMask, FULL_FLOWLABEL),
    r.l3mdev && 'lookup [l3mdev-table]',
    r.table !== 0 && `lookup ${nameOr(TABLE_NAMES, r.table)}`,
    r.suppressPrefixlen >= 0 && `suppress_prefixlength ${r.suppressPrefixlen}`,
    r.suppressIfgroup >= 0 && `suppress_ifgroup ${r.suppressIfgroup}`,
    r.flow !== 0 && `realms ${r.flow >>> 16 === 0 ? '' : `${r.flow >>> 16}/`}${r.flow & 0xffff}`,
    actionText(r),
    r.protocol !== k.RTPROT_KERNEL && r.protocol !== 0 && `proto ${nameOr(PROTOCOL_NAMES, r.protocol)}`,
    r.unknown.length > 0 && `unknown ${r.unknown.join(',')}`,
  );
}

/** What a rule request may say. Defaults: AF_INET, action FR_ACT_TO_TBL. */
export type RuleRequest = Partial<Omit<Rule, 'invert' | 'unknown'>> & { readonly invert?: boolean };

function attrRange32(w: MessageWriter, type: number, range: RuleRange): void {
  w.attrBytes(type, new Uint8Array(new Uint32Array([range.start, range.end]).buffer));
}

function attrRange16(w: MessageWriter, type: number, range: RuleRange): void {
  w.attrBytes(type, new Uint8Array(new Uint16Array([range.start, range.end]).buffer));
}

function bigEndian32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function bigEndian64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** What kernels before 6.12 do not know. */
function attrSelectorMasks(w: MessageWriter, r: RuleRequest): void {
  if (r.dscp !== undefined && r.dscp >= 0) {
    w.attrU8(k.FRA_DSCP, r.dscp);
    if (r.dscpMask !== undefined && r.dscpMask !== FULL_DSCP) w.attrU8(k.FRA_DSCP_MASK, r.dscpMask);
  }
  if (r.flowlabel !== undefined && r.flowlabel >= 0) {
    w.attrBytes(k.FRA_FLOWLABEL, bigEndian32(r.flowlabel));
    w.attrBytes(k.FRA_FLOWLABEL_MASK, bigEndian32(r.flowlabelMask ?? FULL_FLOWLABEL));
  }
  if (r.sportMask !== undefined && r.sportMask !== NO_MASK16) w.attrU16(k.FRA_SPORT_MASK, r.sportMask);
  if (r.dportMask !== undefined && r.dportMask !== NO_MASK16) w.attrU16(k.FRA_DPORT_MASK, r.dportMask);
}

/** Writes fib_rule_hdr and attributes. Throws on text that is not a prefix. */
export function encodeRule(w: MessageWriter, r: RuleRequest): void {
  const prefix = (text: string | undefined) => {
    if (text === undefined || text === '') return undefined;
    const parsed = parsePrefix(text);
    if (parsed === undefined) throw new Error(`not a prefix: ${text.slice(0, 64)}`);
    return parsed;
  };
  const dst = prefix(r.dst);
  const src = prefix(r.src);
  const table = r.table ?? 0;
  const flags = (r.flags ?? 0) | (r.invert === true ? k.FIB_RULE_INVERT : 0);
  w.u8(r.family ?? (r.dst || r.src ? familyOf(r.dst || r.src || '') : AF_INET));
  w.u8(dst?.length ?? 0)
    .u8(src?.length ?? 0)
    .u8(r.tos ?? 0);
  w.u8(table > 255 ? k.RT_TABLE_COMPAT : table)
    .u16(0)
    .u8(r.action ?? k.FR_ACT_TO_TBL)
    .u32(flags);
  if (dst !== undefined) w.attrBytes(k.FRA_DST, dst.bytes);
  if (src !== undefined) w.attrBytes(k.FRA_SRC, src.bytes);
  if (r.priority !== undefined) w.attrU32(k.FRA_PRIORITY, r.priority);
  if (table !== 0) w.attrU32(k.FRA_TABLE, table);
  if (r.goto) w.attrU32(k.FRA_GOTO, r.goto);
  if (r.l3mdev === true) w.attrU8(k.FRA_L3MDEV, 1);
  if (r.iifname) w.attrString(k.FRA_IIFNAME, r.iifname);
  if (r.oifname) w.attrString(k.FRA_OIFNAME, r.oifname);
  if (r.fwmark) w.attrU32(k.FRA_FWMARK, r.fwmark);
  if (r.fwmask) w.attrU32(k.FRA_FWMASK, r.fwmask);
  if (r.ipProto) w.attrU8(k.FRA_IP_PROTO, r.ipProto);
  if (r.sport !== undefined) attrRange16(w, k.FRA_SPORT_RANGE, r.sport);
  if (r.dport !== undefined) attrRange16(w, k.FRA_DPORT_RANGE, r.dport);
  if (r.uidRange !== undefined) attrRange32(w, k.FRA_UID_RANGE, r.uidRange);
  if (r.tunId) w.attrBytes(k.FRA_TUN_ID, bigEndian64(r.tunId));
  attrSelectorMasks(w, r);
  if (r.suppressPrefixlen !== undefined && r.suppressPrefixlen >= 0) {
    w.attrU32(k.FRA_SUPPRESS_PREFIXLEN, r.suppressPrefixlen);
  }
  if (r.suppressIfgroup !== undefined && r.suppressIfgroup >= 0) w.attrU32(k.FRA_SUPPRESS_IFGROUP, r.suppressIfgroup);
  if (r.flow) w.attrU32(k.FRA_FLOW, r.flow);
  if (r.protocol) w.attrU8(k.FRA_PROTOCOL, r.protocol);
}
