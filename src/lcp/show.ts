// Show: the rows that lcpctl shows of kernel state, pairs and data plane, except routes (routerows.ts).

import { AF_INET } from '../lib/ip.ts';
import type { Link } from '../netlink/link.ts';
import * as k from '../netlink/uapi.ts';
import type { Core } from './core.ts';
import type { Namespace } from './namespace.ts';
import { neighbourKey } from './objects.ts';
import type {
  AddressRow,
  AdjacencyRow,
  CounterRow,
  InterfaceRow,
  LinkRow,
  NeighbourRow,
  NexthopRow,
  PairRow,
  PuntRow,
} from './view.ts';

const OPERSTATES = ['unknown', 'not-present', 'down', 'lower-layer-down', 'testing', 'dormant', 'up'];
const LINK_FLAGS: readonly (readonly [number, string])[] = [
  [k.IFF_LOOPBACK, 'LOOPBACK'],
  [k.IFF_BROADCAST, 'BROADCAST'],
  [k.IFF_POINTOPOINT, 'POINTOPOINT'],
  [k.IFF_MULTICAST, 'MULTICAST'],
  [k.IFF_NOARP, 'NOARP'],
  [k.IFF_PROMISC, 'PROMISC'],
  [k.IFF_ALLMULTI, 'ALLMULTI'],
  [k.IFF_UP, 'UP'],
  [k.IFF_LOWER_UP, 'LOWER_UP'],
];
const ADDRESS_FLAGS: readonly (readonly [number, string])[] = [
  [k.IFA_F_SECONDARY, 'secondary'],
  [k.IFA_F_TENTATIVE, 'tentative'],
  [k.IFA_F_DADFAILED, 'dadfailed'],
  [k.IFA_F_DEPRECATED, 'deprecated'],
  [k.IFA_F_PERMANENT, 'permanent'],
  [k.IFA_F_NOPREFIXROUTE, 'noprefixroute'],
];
const SCOPES: Readonly<Record<number, string>> = { 0: 'global', 200: 'site', 253: 'link', 254: 'host', 255: 'nowhere' };
const NUD: readonly (readonly [number, string])[] = [
  [k.NUD_PERMANENT, 'permanent'],
  [k.NUD_NOARP, 'noarp'],
  [k.NUD_REACHABLE, 'reachable'],
  [k.NUD_STALE, 'stale'],
  [k.NUD_DELAY, 'delay'],
  [k.NUD_PROBE, 'probe'],
  [k.NUD_INCOMPLETE, 'incomplete'],
  [k.NUD_FAILED, 'failed'],
];
const flagNames = (table: readonly (readonly [number, string])[], flags: number): string[] =>
  table.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);

/** Name of a device, 'if7' when it is unknown. */
export const devName = (ns: Namespace, ifindex: number): string => ns.links.get(ifindex)?.name ?? `if${ifindex}`;

export const pairRows = ({ reconciler: r, dataplane }: Core): PairRow[] =>
  [...r.pairs.specs()].map((spec) => {
    const row = r.delta.row('pair', spec.phy);
    const held = row?.actual?.kind === 'pair' ? row.actual : undefined;
    const ns = r.namespaces.get(spec.netns);
    const hostIfindex = row?.handle ?? 0;
    const host = ns?.links.get(hostIfindex);
    const link = r.delta.row('link', spec.phy)?.actual;
    const failure = row?.failure ?? r.delta.row('link', spec.phy)?.failure;
    const reason = r.pairs.reason(spec.phy);
    const attached = held !== undefined && held.phyIfindex !== 0;
    const port = dataplane.port(spec.phy);
    const state =
      failure !== undefined
        ? 'failed'
        : !attached || reason !== ''
          ? 'pending'
          : link?.kind === 'link' && link.up && link.carrier
            ? 'up'
            : 'down';
    return {
      phy: spec.phy,
      host: host?.name ?? spec.host,
      netns: spec.netns,
      type: spec.type,
      state,
      ...(failure !== undefined ? { reason: failure.message } : reason !== '' ? { reason } : {}),
      ...(attached ? { phyIfindex: held.phyIfindex } : {}),
      ...(port === undefined ? {} : { port }),
      ...(host === undefined ? {} : { hostIfindex, mtu: host.mtu }),
      ...(host?.mac === undefined ? {} : { mac: host.mac }),
      ...(link?.kind === 'link' ? { carrier: link.carrier } : {}),
    };
  });

const linkRow = (ns: Namespace, l: Link): LinkRow => ({
  netns: ns.name,
  ifindex: l.ifindex,
  name: l.name,
  ...(l.kind === undefined ? {} : { kind: l.kind }),
  ...(l.mac === undefined ? {} : { mac: l.mac }),
  mtu: l.mtu,
  flags: flagNames(LINK_FLAGS, l.flags),
  operstate: OPERSTATES[l.operstate] ?? String(l.operstate),
  ...(l.master === undefined ? {} : { master: devName(ns, l.master) }),
  ...(l.link === undefined || l.linkNetnsid !== undefined ? {} : { link: devName(ns, l.link) }),
});

export const linkRows = ({ reconciler: r }: Core): LinkRow[] =>
  [...r.namespaces.values()].flatMap((ns) => [...ns.links.values()].map((l) => linkRow(ns, l)));

export const addressRows = ({ reconciler: r }: Core): AddressRow[] =>
  [...r.namespaces.values()].flatMap((ns) =>
    [...ns.addresses.values()].map((a) => ({
      netns: ns.name,
      dev: devName(ns, a.ifindex),
      address: `${a.local}/${a.prefixlen}`,
      ...(a.address === a.local || a.address === '' ? {} : { peer: a.address }),
      scope: SCOPES[a.scope] ?? String(a.scope),
      flags: flagNames(ADDRESS_FLAGS, a.flags),
    })),
  );

export const neighbourRows = ({ reconciler: r }: Core): NeighbourRow[] =>
  [...r.namespaces.values()].flatMap((ns) =>
    [...ns.neighbours.values()].map((n) => {
      const phy = r.pairs.phy(ns.name, n.ifindex);
      return {
        netns: ns.name,
        dev: devName(ns, n.ifindex),
        address: n.dst,
        ...(n.lladdr === undefined ? {} : { mac: n.lladdr }),
        state: flagNames(NUD, n.state)[0] ?? 'none',
        installed: phy !== '' && r.delta.row('neighbour', neighbourKey(phy, n.dst))?.actual !== undefined,
      };
    }),
  );

export const nexthopRows = ({ reconciler: r }: Core): NexthopRow[] =>
  [...r.namespaces.values()].flatMap((ns) =>
    [...ns.nexthops.byId.values()].map((n) => ({
      netns: ns.name,
      id: n.id,
      family: n.family === AF_INET ? 'inet' : n.family === k.AF_UNSPEC ? 'unspec' : 'inet6',
      ...(n.gateway === undefined ? {} : { via: n.gateway }),
      ...(n.oif === undefined ? {} : { dev: devName(ns, n.oif) }),
      ...(n.blackhole ? { blackhole: true } : {}),
      ...(n.group === undefined ? {} : { group: n.group.map(({ id, weight }) => ({ id, weight })) }),
    })),
  );

/** Name of the kernel interface that stands for a phy or sub-interface. */
export const hostName = ({ reconciler: r }: Core, phy: string): string => {
  const subif = r.delta.row('subif', phy)?.actual;
  const netns = subif?.kind === 'subif' ? subif.netns : (r.pairs.spec(phy)?.netns ?? '');
  const ifindex = r.pairs.host(phy) || (r.delta.row('pair', phy)?.handle ?? 0);
  return r.namespaces.get(netns)?.links.get(ifindex)?.name ?? r.pairs.spec(phy)?.host ?? '';
};

export const adjacencyRows = (core: Core): AdjacencyRow[] =>
  core.dataplane.adjacencies().map((a) => ({
    id: a.id,
    port: a.port,
    phy: a.phy,
    host: hostName(core, a.phy),
    family: a.state === 'multicast' ? 'any' : a.family === 6 ? 'inet6' : 'inet',
    ...(a.state === 'complete' || a.state === 'incomplete' ? { nexthop: a.nexthop } : {}),
    state: a.state,
    ...(a.rewrite === '' ? {} : { rewrite: a.rewrite }),
    ...(a.packets === undefined ? {} : { packets: a.packets }),
    ...(a.bytes === undefined ? {} : { bytes: a.bytes }),
  }));

export const counterRows = async ({ dataplane }: Core, all: boolean): Promise<CounterRow[]> =>
  (await dataplane.counters()).filter((c) => all || c.value > 0);

const isPunt = (name: string): boolean => name.startsWith('punt-');

export const puntRows = async ({ dataplane }: Core): Promise<PuntRow[]> =>
  (await dataplane.counters())
    .filter((c) => isPunt(c.name))
    .map((c) => ({ phy: c.phy, reason: c.name.slice('punt-'.length), packets: c.value }));

export const interfaceRows = async (core: Core): Promise<InterfaceRow[]> => {
  const counters = await core.dataplane.counters();
  return pairRows(core).map((pair) => {
    const mine = counters.filter((c) => c.phy === pair.phy);
    const value = (name: string): number => mine.find((c) => c.name === name)?.value ?? 0;
    const sum = (prefix: string): number =>
      mine.filter((c) => c.name.startsWith(prefix)).reduce((total, c) => total + c.value, 0);
    return {
      phy: pair.phy,
      host: pair.host,
      netns: pair.netns,
      rxPackets: value('rx-packets'),
      rxBytes: value('rx-bytes'),
      txPackets: value('tx-packets'),
      txBytes: value('tx-bytes'),
      punts: sum('punt-'),
      drops: sum('drop-'),
    };
  });
};
