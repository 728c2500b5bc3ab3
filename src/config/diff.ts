// Reload by difference: what changes between two configurations, and what a running lcpd can change.
//
// Invariants: a pair is known by its phy, a punt by its identity. Values that were read once at start (sockets, table memory, driver)
// are named as needing a restart and stay as they are until then; the rest of the reload is still applied.

import { isDeepStrictEqual } from 'node:util';
import type { Config, PairConfig } from './config.ts';
import { type PuntConfig, puntIdText } from './puntconfig.ts';

export interface PairChange {
  readonly from: PairConfig;
  readonly to: PairConfig;
}

export interface PuntChange {
  readonly from: PuntConfig;
  readonly to: PuntConfig;
}

export interface ConfigDiff {
  readonly pairs: {
    readonly added: readonly PairConfig[];
    readonly removed: readonly PairConfig[];
    /** Same phy; another host, namespace or type: the host interface is made anew. */
    readonly changed: readonly PairChange[];
  };
  readonly punts: {
    readonly added: readonly PuntConfig[];
    readonly removed: readonly PuntConfig[];
    /** Same identity; what is asked for is another. */
    readonly changed: readonly PuntChange[];
  };
  /** Keys applied at once, as written in YAML: `log.level`. */
  readonly live: readonly string[];
  /** Keys that take effect only after a restart. */
  readonly restartNeeded: readonly string[];
}

const samePair = (a: PairConfig, b: PairConfig) => a.host === b.host && a.netns === b.netns && a.type === b.type;

// Each setting beside the pairs: its YAML key, its value in a Config. `netns` is not here: pairs carry it.
const liveSettings: readonly [string, (config: Config) => unknown][] = [
  ['auto-pairs', (config) => JSON.stringify(config.autoPairs)],
  ['sync', (config) => JSON.stringify(config.sync)],
  ['dataplane.vpp.ethertypes', (config) => config.dataplane.vpp.ethertypes.join()],
  ['dataplane.vpp.osi', (config) => config.dataplane.vpp.osi.join()],
  ['unpaired-routes', (config) => config.unpairedRoutes],
  ['del-static-on-link-down', (config) => config.delStaticOnLinkDown],
  ['del-dynamic-on-link-down', (config) => config.delDynamicOnLinkDown],
  ['log.level', (config) => config.log.level],
  ['log.areas', (config) => JSON.stringify(Object.entries(config.log.areas).sort())],
  ['retry.initial-ms', (config) => config.retry.initialMs],
  ['retry.max-ms', (config) => config.retry.maxMs],
];

const startSettings: readonly [string, (config: Config) => unknown][] = [
  ['dataplane.driver', (config) => config.dataplane.driver],
  ['dataplane.vpp', (config) => JSON.stringify({ ...config.dataplane.vpp, ethertypes: [], osi: [] })],
  ['dataplane.workers', (config) => config.dataplane.workers],
  ['dataplane.memory', (config) => config.dataplane.memoryBytes],
  ['dataplane.socket', (config) => config.dataplane.socket],
  ['punt.socket', (config) => config.punt.socket],
  ['punt.interconnect-alloc-cidr', (config) => config.punt.interconnectAllocCidr],
  ['punt.memif-directory', (config) => config.punt.memifDirectory],
  ['punt.state', (config) => config.punt.state],
  ['control.socket', (config) => config.control.socket],
  ['control.mode', (config) => config.control.mode],
  ['control.group', (config) => config.control.group],
  ['netlink.rx-buffer-bytes', (config) => config.netlink.rxBufferBytes],
  ['netlink.queue-messages', (config) => config.netlink.queueMessages],
  ['netlink.neighbours', (config) => config.netlink.neighbours],
];

/** Punts by their identity: the order in which they are written means nothing but who asked first. */
function diffPunts(from: readonly PuntConfig[], to: readonly PuntConfig[]): ConfigDiff['punts'] {
  const before = new Map(from.map((punt) => [puntIdText(punt), punt]));
  const after = new Set(to.map(puntIdText));
  const changed: PuntChange[] = [];
  for (const punt of to) {
    const old = before.get(puntIdText(punt));
    if (old !== undefined && !isDeepStrictEqual(old, punt)) changed.push({ from: old, to: punt });
  }
  return {
    added: to.filter((punt) => !before.has(puntIdText(punt))),
    removed: from.filter((punt) => !after.has(puntIdText(punt))),
    changed,
  };
}

/** `span in cp2` */
const puntText = ({ spec, netns }: PuntConfig): string => `${spec.type}${netns === '' ? '' : ` in ${netns}`}`;

/** Names of what differs between two requests of one identity. */
function differingKeys({ from, to }: PuntChange): string[] {
  const members = ({ netns, interconnect, gso, spec }: PuntConfig): Record<string, unknown> => ({
    netns,
    interconnect,
    gso,
    ...spec,
  });
  const [before, after] = [members(from), members(to)];
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.filter((key) => !isDeepStrictEqual(before[key], after[key]));
}

/** What a reload does to punts, for people. */
export function puntOperations({ added, removed, changed }: ConfigDiff['punts']) {
  const kind = 'punt';
  return [
    ...removed.map((punt) => ({ op: 'delete' as const, kind, key: punt.id.label, detail: puntText(punt) })),
    ...changed.map((change) => ({
      op: 'update' as const,
      kind,
      key: change.to.id.label,
      detail: `${puntText(change.to)}: other ${differingKeys(change).join(', ')}`,
    })),
    ...added.map((punt) => ({ op: 'add' as const, kind, key: punt.id.label, detail: puntText(punt) })),
  ];
}

/** What is different in `to`. */
export function diffConfig(from: Config, to: Config): ConfigDiff {
  const before = new Map(from.pairs.map((pair) => [pair.phy, pair]));
  const after = new Map(to.pairs.map((pair) => [pair.phy, pair]));
  const changed: PairChange[] = [];
  for (const pair of to.pairs) {
    const old = before.get(pair.phy);
    if (old !== undefined && !samePair(old, pair)) changed.push({ from: old, to: pair });
  }
  const differing = (settings: typeof liveSettings) =>
    settings.filter(([, get]) => get(from) !== get(to)).map(([key]) => key);
  return {
    pairs: {
      added: to.pairs.filter((pair) => !before.has(pair.phy)),
      removed: from.pairs.filter((pair) => !after.has(pair.phy)),
      changed,
    },
    punts: diffPunts(from.punts, to.punts),
    live: differing(liveSettings),
    restartNeeded: differing(startSettings),
  };
}

/**
 * The configuration that runs after a reload: `to`, with the old values where a restart is needed. Comparing the
 * next reload with this one keeps the restart visible until it happens.
 */
export function applicableConfig(from: Config, to: Config): Config {
  const { ethertypes, osi } = to.dataplane.vpp;
  const dataplane = { ...from.dataplane, vpp: { ...from.dataplane.vpp, ethertypes, osi } };
  return { ...to, dataplane, punt: from.punt, control: from.control, netlink: from.netlink };
}
