// Rules: which tables a packet that comes in by an interface is looked up in, as `ip rule` says it.
//
// A data plane's lookup knows the interface and the destination, nothing else of the packet. So rules
// that look at anything else (source, mark, tos, ports, ...) cannot be honoured: they are reported and
// taken as not there. Honoured are plain rules in any order, `iif`, and the l3mdev rule (VRF).
// A rule with `oif`, or with `iif lo`, never matches what is forwarded, so it is no difference.
// Reference: net/core/fib_rules.c fib_rules_lookup, net/l3mdev/l3mdev.c.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { Link } from '../netlink/link.ts';
import { type Rule, ruleText } from '../netlink/rule.ts';
import * as k from '../netlink/uapi.ts';
import type { Family } from './objects.ts';

/** Tables of one lookup that a data plane can walk. */
export const MOST_TABLES = 5;

/** The rules that Linux starts with: [priority, table]. */
const DEFAULTS: Readonly<Record<Family, readonly (readonly [number, number])[]>> = {
  4: [
    [0, k.RT_TABLE_LOCAL],
    [32766, k.RT_TABLE_MAIN],
    [32767, k.RT_TABLE_DEFAULT],
  ],
  6: [
    [0, k.RT_TABLE_LOCAL],
    [32766, k.RT_TABLE_MAIN],
  ],
};

/** An interface that packets come in by. */
export interface Ingress {
  readonly name: string;
  /** Name and table of the VRF that it belongs to. */
  readonly vrf: string;
  readonly vrfTable: number;
}
/** What comes in by no VRF. */
export const NO_VRF: Ingress = { name: '', vrf: '', vrfTable: 0 };

/** What comes in by a VRF device, or by no particular port of it. */
export const vrfIngress = (device: Link): Ingress => ({
  name: '',
  vrf: device.name,
  vrfTable: device.info?.vrf?.table ?? 0,
});

export interface TableOrder {
  readonly tables: readonly number[];
  /** The first two are one longest-prefix match: Linux keeps IPv4's local and main in one trie until the first custom rule. */
  readonly merged: boolean;
}

/** A rule that the data plane cannot follow. */
export interface Unhonoured {
  readonly family: Family;
  readonly rule: string;
  readonly reason: string;
}

/** What a rule looks at besides the interface, as `ip rule` names it; '' when nothing. */
const selectorOf = (r: Rule): string => {
  const looks: readonly (readonly [string, boolean])[] = [
    ['not', r.invert],
    ['from', r.src !== ''],
    ['to', r.dst !== ''],
    ['tos', r.tos !== 0],
    ['dscp', r.dscp >= 0],
    ['flowlabel', r.flowlabel >= 0],
    ['fwmark', r.fwmark !== 0 || r.fwmask !== 0],
    ['ipproto', r.ipProto !== 0],
    ['sport', r.sport !== undefined],
    ['dport', r.dport !== undefined],
    ['uidrange', r.uidRange !== undefined],
    ['tun_id', r.tunId !== 0n],
    ['suppress_prefixlength', r.suppressPrefixlen >= 0],
    ['suppress_ifgroup', r.suppressIfgroup >= 0],
    ['a selector that lcpd does not know', r.unknown.length > 0],
  ];
  return looks
    .filter(([, used]) => used)
    .map(([name]) => name)
    .join(', ');
};

/** Whether a rule can match what is forwarded at all. */
const concernsForwarding = (r: Rule): boolean => r.oifname === '' && r.iifname !== 'lo';

const TABLE_ACTIONS: ReadonlySet<number> = new Set([k.FR_ACT_TO_TBL, k.FR_ACT_GOTO, k.FR_ACT_NOP]);

const whyNot = (r: Rule): string => {
  const selector = selectorOf(r);
  if (selector !== '') return `the data plane cannot look at: ${selector}`;
  return TABLE_ACTIONS.has(r.action) ? '' : 'the data plane has no rules that end a lookup';
};

// the kernel's own rule and one that `ip rule` added differ in their protocol only, which the text leaves out
const keyOf = (r: Rule): string => `${r.family} ${r.priority} ${ruleText(r)} ${r.protocol}`;
/** What of a rule changes without a word, as devices and rules that it names come and go. */
const SILENT_FLAGS = k.FIB_RULE_UNRESOLVED | k.FIB_RULE_IIF_DETACHED | k.FIB_RULE_OIF_DETACHED;
const settled = (r: Rule): Rule => ({ ...r, flags: r.flags & ~SILENT_FLAGS });

export class Rules {
  readonly #byKey = new Map<string, Rule>();
  readonly #seen = new Map<string, number>();
  readonly #order: Record<Family, Rule[] | undefined> = { 4: undefined, 6: undefined };
  /** Linux splits its IPv4 trie at the first custom rule and never joins it again. */
  #split = false;
  /** Families (AF_*) that rules were told of: without any left, nothing is looked up. */
  readonly #told = new Set<number>();
  /** Rules in the order in which the running dump has shown them. */
  readonly #shown: string[] = [];
  #shownEpoch = 0;

  /** Returns whether anything changed. */
  set(told: Rule, epoch: number): boolean {
    const rule = settled(told);
    const key = keyOf(rule);
    if (this.#shownEpoch !== epoch) this.#shown.length = 0;
    this.#shownEpoch = epoch;
    if (this.#seen.get(key) !== epoch) this.#shown.push(key);
    this.#seen.set(key, epoch);
    this.#told.add(rule.family);
    if (this.#byKey.has(key)) return false;
    this.#byKey.set(key, rule);
    this.#changed();
    return true;
  }

  remove(rule: Rule): boolean {
    // also to delete one splits
    if (rule.family === AF_INET) this.#split = true;
    return this.#drop(keyOf(settled(rule)));
  }

  #drop(key: string): boolean {
    this.#seen.delete(key);
    if (!this.#byKey.delete(key)) return false;
    this.#changed();
    return true;
  }

  /** Ends a complete dump of a family (AF_*): what it did not show is gone. */
  sweep(family: number, epoch: number): boolean {
    let some = false;
    for (const [key, rule] of [...this.#byKey]) {
      if (rule.family === family && (this.#seen.get(key) ?? 0) < epoch) some = this.#drop(key) || some;
    }
    some = this.#reorder(family, epoch) || some;
    // a default rule that went unheard was a change of the rules too
    if (family === AF_INET && this.#told.has(AF_INET) && this.#sorted(4).length < DEFAULTS[4].length)
      this.#split = true;
    return some;
  }

  /** Among rules of one priority the order counts, and a dump has the kernel's. */
  #reorder(family: number, epoch: number): boolean {
    const side = family === AF_INET ? 4 : 6;
    const order = (): string => this.#sorted(side).map(keyOf).join();
    const before = order();
    for (const key of this.#shownEpoch === epoch ? this.#shown : []) {
      const rule = this.#byKey.get(key);
      if (rule === undefined || rule.family !== family) continue;
      this.#byKey.delete(key);
      this.#byKey.set(key, rule);
    }
    this.#order[side] = undefined;
    return order() !== before;
  }

  clear(): void {
    this.#byKey.clear();
    this.#seen.clear();
    this.#split = false;
    this.#told.clear();
    this.#changed();
  }

  get byKey(): ReadonlyMap<string, Rule> {
    return this.#byKey;
  }

  #changed(): void {
    this.#order[4] = undefined;
    this.#order[6] = undefined;
    if (!this.#isDefault(4)) this.#split = true;
  }

  #sorted(family: Family): Rule[] {
    const af = family === 4 ? AF_INET : AF_INET6;
    this.#order[family] ??= [...this.#byKey.values()]
      .filter((r) => r.family === af)
      .sort((a, b) => a.priority - b.priority);
    return this.#order[family];
  }

  /** Also true while none are known: a kernel tells them at the first dump. */
  #isDefault(family: Family): boolean {
    const rules = this.#sorted(family);
    const expected = DEFAULTS[family];
    return rules.every(
      (r) =>
        expected.some(
          ([priority, table]) =>
            r.priority === priority &&
            r.table === table &&
            r.action === k.FR_ACT_TO_TBL &&
            !r.l3mdev &&
            r.iifname === '',
        ) && selectorOf(r) === '',
    );
  }

  /** Every table that packets from an interface are looked up in, in order, with the first rule that says so. */
  #walk(family: Family, ingress: Ingress): Map<number, Rule | undefined> {
    const rules = this.#sorted(family);
    // a kernel without policy routing has no rules to tell of
    if (!this.#told.has(family === 4 ? AF_INET : AF_INET6))
      return new Map(DEFAULTS[family].map(([, t]) => [t, undefined]));
    const tables = new Map<number, Rule | undefined>();
    let from = 0; // rules of less priority are jumped over
    for (const r of rules) {
      if (r.priority < from || !concernsForwarding(r)) continue;
      if (r.iifname !== '' && r.iifname !== ingress.name && r.iifname !== ingress.vrf) continue;
      if (whyNot(r) !== '') continue;
      if (r.action === k.FR_ACT_GOTO) {
        // without the rule to go on with, the kernel takes the next one
        if (rules.some((other) => other.priority === r.goto)) from = r.goto;
      } else if (r.action === k.FR_ACT_TO_TBL) {
        const table = r.l3mdev ? ingress.vrfTable : r.table;
        if (table !== 0 && !tables.has(table)) tables.set(table, r);
      }
    }
    return tables;
  }

  /** The tables that packets from an interface are looked up in, in order. */
  tablesFor(family: Family, ingress: Ingress): TableOrder {
    const tables = [...this.#walk(family, ingress).keys()].slice(0, MOST_TABLES);
    const merged = family === 4 && !this.#split && tables[0] === k.RT_TABLE_LOCAL && tables[1] === k.RT_TABLE_MAIN;
    return { tables, merged };
  }

  /** Rules that packets from one of these interfaces may be treated otherwise by in the kernel. */
  unhonoured(ingresses: readonly Ingress[] = [NO_VRF]): Unhonoured[] {
    const found: Unhonoured[] = [];
    for (const family of [4, 6] as const) {
      const beyond = new Set(ingresses.flatMap((i) => [...this.#walk(family, i).values()].slice(MOST_TABLES)));
      for (const r of this.#sorted(family)) {
        const most = beyond.has(r) ? `the data plane looks through ${MOST_TABLES} tables only` : '';
        const reason = concernsForwarding(r) ? whyNot(r) || most : '';
        if (reason !== '') found.push({ family, rule: `${r.priority}: ${ruleText(r)}`, reason });
      }
    }
    return found;
  }
}
