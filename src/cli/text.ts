// Texts: status, lookups, plans and events as a person reads them.

import type {
  DiffResult,
  LookupRow,
  PlanResult,
  ResyncResult,
  StatusRow,
  TracePacket,
  WatchEvent,
} from '../lcp/view.ts';
import { formatPath } from './listing.ts';
import { summarize } from './packet.ts';
import { formatTable, printable } from './table.ts';
import { formatDuration, formatTime } from './time.ts';

/** `12.5 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** '' is lcpd's own namespace. */
export function namespaceName(name: string): string {
  return name === '' ? '(own)' : printable(name);
}

export function formatStatus(status: StatusRow): string {
  const { health, dataplane, rounds } = status;
  const oldest = health.oldestMs === undefined ? '' : `, oldest ${formatDuration(health.oldestMs)}`;
  const trouble =
    health.failed > 0 || health.pending > 0 ? `, ${health.pending} pending, ${health.failed} failed${oldest}` : '';
  const forwarder = [
    `${dataplane.driver} ${dataplane.state}, generation ${dataplane.generation}`,
    ...(dataplane.pid === undefined ? [] : [`pid ${dataplane.pid}`]),
    ...(dataplane.version === undefined ? [] : [dataplane.version]),
    ...(dataplane.transport === undefined ? [] : [`by ${dataplane.transport}`]),
    ...(dataplane.workers === undefined ? [] : [`${dataplane.workers} worker${dataplane.workers === 1 ? '' : 's'}`]),
    ...(dataplane.memoryUsed === undefined ? [] : [`${formatBytes(dataplane.memoryUsed)} in use`]),
  ];
  const lines = [
    `lcpd        ${printable(status.version)}, pid ${status.pid}, up ${formatDuration(status.uptimeMs)}`,
    `health      ${health.state}, ${health.objects} objects${trouble}`,
    ...(health.hint === undefined ? [] : [`hint        ${printable(health.hint)}`]),
    `data plane  ${printable(forwarder.join(', '))}`,
    `rounds      ${rounds.count}, last ${formatDuration(rounds.lastMs)}, longest ${formatDuration(rounds.maxMs)}, ` +
      `${rounds.operations} operations, ${rounds.failed} failed`,
  ];
  const namespaces = formatTable(
    [
      { title: 'NETNS', value: (row) => namespaceName(row.name) },
      { title: 'STATE', value: (row) => row.state },
      { title: 'ROUTES4', value: (row) => row.routes4 },
      { title: 'ROUTES6', value: (row) => row.routes6 },
      { title: 'NEIGHBOURS', value: (row) => row.neighbours },
      { title: 'LINKS', value: (row) => row.links },
      { title: 'MESSAGES', value: (row) => row.messages },
      { title: 'OVERRUNS', value: (row) => row.overruns },
      { title: 'DROPS', value: (row) => row.drops },
      { title: 'RESYNCS', value: (row) => row.resyncs },
      {
        title: 'LAST RESYNC',
        value: ({ lastResync: last }) =>
          last === undefined ? undefined : `${formatTime(last.at)} ${last.cause}, ${formatDuration(last.ms)}`,
      },
    ],
    status.namespaces,
  );
  return `${lines.join('\n')}\n\n${namespaces}`;
}

/** `192.0.2.1: 192.0.2.0/24 unicast via 10.0.0.1 dev wan0 (table 254, netns cp)` */
export function formatLookup(row: LookupRow): string {
  if ('error' in row) return printable(`${row.address}: error: ${row.error}`);
  const single = row.paths.length === 1;
  const paths = row.paths.map((path) => `${formatPath(path, single)}${path.complete ? '' : ' incomplete'}`);
  const what = row.type === 'none' ? 'no route' : `${row.prefix ?? '-'} ${row.type}`;
  const table = row.table === undefined ? '' : `table ${row.table}, `;
  const netns = row.netns === '' ? 'own netns' : `netns ${row.netns}`;
  const counted = row.packets === undefined ? '' : `, ${row.packets} packets, ${row.bytes ?? 0} bytes`;
  const legs = paths.length === 0 ? '' : ` ${paths.join(', ')}`;
  return printable(`${row.address}: ${what}${legs} (${table}${netns}${counted})`);
}

/** True when lcpd has an answer for the address other than "no route". */
export function isRouted(row: LookupRow): boolean {
  return !('error' in row) && row.type !== 'none';
}

export function formatDiff(diff: DiffResult): string {
  const checked = Object.entries(diff.checked)
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ');
  const count = diff.differences.length;
  const summary = `${count} difference${count === 1 ? '' : 's'}; compared ${checked || 'nothing'} in ${formatDuration(diff.ms)}\n`;
  if (count === 0) return summary;
  const table = formatTable(
    [
      { title: 'KIND', value: (row) => row.kind },
      { title: 'KEY', value: (row) => row.key },
      { title: 'KERNEL', value: (row) => row.kernel },
      { title: 'DESIRED', value: (row) => row.desired },
      { title: 'ACTUAL', value: (row) => row.actual },
      { title: 'REASON', value: (row) => row.reason },
    ],
    diff.differences,
  );
  return `${table}${summary}`;
}

export function formatResync({ namespaces, dataplane }: ResyncResult): string {
  const what = dataplane === undefined ? namespaces.map(namespaceName).join(', ') : `the data plane ${dataplane}`;
  return `resync of ${what || 'nothing'}\n`;
}

export function formatPlan(plan: PlanResult): string {
  const table = formatTable(
    [
      { title: 'OP', value: (row) => row.op },
      { title: 'KIND', value: (row) => row.kind },
      { title: 'KEY', value: (row) => row.key },
      { title: 'DETAIL', value: (row) => row.detail },
    ],
    plan.operations,
  );
  const body = plan.operations.length === 0 ? 'nothing to do\n' : table;
  if (plan.restartNeeded.length === 0) return body;
  return `${body}only after a restart of lcpd: ${plan.restartNeeded.map(printable).join(', ')}\n`;
}

export function formatWatch(event: WatchEvent): string {
  const detail = event.detail === undefined ? '' : ` ${event.detail}`;
  return printable(`${formatTime(event.time)} ${event.area}: ${event.event} ${event.key}${detail}`);
}

/** `12:00:00.123 wan0 > lan0 forward 10.0.0.1 > … [rx fib adjacency 3 tx]` */
export function formatTrace(packet: TracePacket): string {
  const to = packet.tx === undefined ? '' : ` > ${packet.tx}`;
  const reason = packet.reason === undefined ? '' : ` (${packet.reason})`;
  const what = summarize(Buffer.from(packet.bytes, 'base64'), packet.layer, packet.length);
  const path = packet.path.length === 0 ? '' : ` [${packet.path.join(', ')}]`;
  return printable(`${formatTime(packet.time)} ${packet.rx}${to} ${packet.action}${reason}: ${what}${path}`);
}
