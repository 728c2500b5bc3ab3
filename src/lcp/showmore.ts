// ShowMore: the rows of rules, sub-interfaces, multicast entries and what is not supported.

import { AF_INET } from '../lib/ip.ts';
import { ruleText } from '../netlink/rule.ts';
import type { Core } from './core.ts';
import { ingressOf } from './derivelink.ts';
import { mrouteKey } from './objects.ts';
import { devName } from './show.ts';
import { unhonouredRows } from './unhonoured.ts';
import type { MrouteRow, RuleRow, SubifRow, UnsupportedRow } from './view.ts';

const TPIDS: Readonly<Record<number, string>> = { 33024: '802.1Q', 34984: '802.1ad' };

const tagName = (tag: number): string => `${TPIDS[tag >>> 16] ?? `0x${(tag >>> 16).toString(16)}`} ${tag & 0xfff}`;

export const ruleRows = ({ reconciler: r }: Core): RuleRow[] =>
  [...r.namespaces.values()].flatMap((ns) => {
    const reasons = new Map(ns.rules.unhonoured().map((u) => [`${u.family} ${u.rule}`, u.reason]));
    return [...ns.rules.byKey.values()].map((rule): RuleRow => {
      const family = rule.family === AF_INET ? 4 : 6;
      const reason = reasons.get(`${family} ${rule.priority}: ${ruleText(rule)}`);
      return {
        netns: ns.name,
        family: family === 4 ? 'inet' : 'inet6',
        priority: rule.priority,
        rule: ruleText(rule),
        honoured: reason === undefined,
        ...(reason === undefined ? {} : { reason }),
      };
    });
  });

export const subifRows = ({ reconciler: r, dataplane }: Core): SubifRow[] =>
  [...r.delta.rows('subif')].flatMap((row): SubifRow[] => {
    const subif = row.desired ?? row.actual;
    if (subif?.kind !== 'subif') return [];
    const ns = r.namespaces.get(subif.netns);
    const ifindex = r.pairs.host(row.key);
    const device = ns?.links.get(ifindex);
    const linkRow = r.delta.row('link', row.key);
    const link = linkRow?.actual?.kind === 'link' ? linkRow.actual : undefined;
    const failure = row.failure ?? linkRow?.failure;
    const port = dataplane.port(row.key);
    const state =
      failure !== undefined ? 'failed' : link === undefined ? 'pending' : link.up && link.carrier ? 'up' : 'down';
    const vrf = ns === undefined || device === undefined ? '' : ingressOf(ns, ifindex).vrf;
    return [
      {
        name: row.key,
        phy: subif.parent,
        netns: subif.netns,
        host: device?.name ?? '',
        tags: subif.tags.map(tagName),
        state,
        ...(failure === undefined ? {} : { reason: failure.message }),
        ...(port === undefined ? {} : { port }),
        ...(device === undefined ? {} : { mtu: device.mtu }),
        ...(device?.mac === undefined ? {} : { mac: device.mac }),
        ...(vrf === '' ? {} : { vrf }),
      },
    ];
  });

export const mrouteRows = ({ reconciler: r }: Core): MrouteRow[] =>
  [...r.namespaces.values()].flatMap((ns) =>
    [...ns.mroutes.byKey.values()].map((m): MrouteRow => {
      const phy = r.pairs.phy(ns.name, m.iif);
      const row = phy === '' ? undefined : r.delta.row('mroute', mrouteKey(phy, m.source, m.group));
      const actual = row?.actual?.kind === 'mroute' ? row.actual : undefined;
      const reason =
        row?.failure?.message ??
        (m.unresolved ? 'not resolved yet' : phy === '' ? 'comes in by no pair' : 'on its way');
      return {
        netns: ns.name,
        source: m.source || '*',
        group: m.group,
        iif: devName(ns, m.iif),
        oifs: m.oifs.map(({ ifindex }) => devName(ns, ifindex)),
        installed: actual !== undefined,
        host: actual?.host ?? true,
        ...(actual === undefined ? { reason } : {}),
      };
    }),
  );

export const unsupportedRows = ({ reconciler: r, dataplane, autoPairProblems }: Core): UnsupportedRow[] => {
  const told = (kind: string, rows: ReadonlyMap<string, string> = new Map()): UnsupportedRow[] =>
    [...rows].map(([key, reason]) => ({ netns: '', kind, key, reason, differs: false }));
  const kernel = [...r.namespaces.values()].flatMap((ns) =>
    unhonouredRows(ns, r.pairs.unpairedRoutes).map((row) => ({ netns: ns.name, ...row })),
  );
  // what punts cannot have is of interest where there are any
  const isPunting = !r.delta.rows('punt')[Symbol.iterator]().next().done;
  const punts = told(`${dataplane.name} punts`, isPunting ? dataplane.punts?.unsupported : undefined);
  return [...kernel, ...told('auto-pair', autoPairProblems), ...told(dataplane.name, dataplane.unsupported), ...punts];
};
