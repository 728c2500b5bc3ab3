// Punts as a person reads them: the table, one in full, and what changes.

import type { Methods, PuntRequestRow } from '../northbound/protocol.ts';
import { byName } from './order.ts';
import { type Column, formatTable, printable } from './table.ts';

type Row = PuntRequestRow;

/** What of a request is worth a column: `wan0 rx`, `ipv4 udp 9000 to /run/s`. */
export function what({ spec }: Row['request']): string {
  const to = (socket: string) => (socket === '' ? 'to the host' : `to ${socket}`);
  const vrf = (n: number) => (n === 0 ? '' : ` vrf ${n}`);
  switch (spec.type) {
    case 'to-host':
      return `${spec.l3} ${spec.l4} ${spec.port} ${to(spec.socket)}`;
    case 'ip-protocol':
      return `${spec.l3} protocol ${spec.protocol} ${to(spec.socket)}`;
    case 'icmp6':
      return `type ${spec.icmpType} ${to(spec.socket)}`;
    case 'exception':
      return `${spec.reason} ${to(spec.socket)}`;
    case 'ip-redirect':
      return `${spec.l3} from ${spec.rx || 'any'} to ${spec.tx}${spec.nextHops.map((hop) => ` via ${hop}`).join('')}`;
    case 'police':
      return `${spec.scope} ${spec.rate} ${spec.unit} burst ${spec.burst}`;
    case 'hairpin-xconnect':
      return spec.interfaces.join(' - ');
    case 'hairpin':
      return `${spec.interface} - ${spec.hairpin.name}${vrf(spec.hairpin.vrf)}`;
    case 'span':
      return `${spec.interface} ${spec.direction}`;
    case 'abx':
      return `${spec.interface}${vrf(spec.vrf)} ${spec.ingress.length} in, ${spec.egress.length} out`;
    case 'dhcp-proxy':
      return `${spec.l3} vrf ${spec.vrf}`;
    case 'isisx':
      return `${spec.interface}${vrf(spec.vrf)}`;
  }
}

export const puntColumns: readonly Column<Row>[] = [
  { title: 'NAME', value: (row) => row.request.id.label },
  { title: 'CNF', value: (row) => row.request.id.cnf },
  { title: 'TYPE', value: (row) => row.type },
  { title: 'STATE', value: (row) => row.state },
  { title: 'SOURCE', value: (row) => row.source },
  { title: 'WHAT', value: (row) => what(row.request) },
  { title: 'LINKS', value: (row) => row.links.map((link) => link.cnf.name || link.vpp.name).join(',') },
  { title: 'REASON', value: (row) => [...row.reasons, ...row.notes].join('; ') },
];

export const puntOrders = [
  byName<Row>((row) => row.request.id.label),
  byName<Row>((row) => row.request.id.cnf),
  byName<Row>((row) => row.id),
];

type End = Row['links'][number]['vpp'];

const endText = ({ name, mac, addresses, vrf, vrfName }: End): string =>
  [name, mac, ...addresses, vrf === 0 ? '' : `vrf ${vrf}`, vrfName].filter((part) => part !== '').join(' ');

/** All of one punt. */
export function formatPunt(row: Row): string {
  const lines: [string, string][] = [
    ['id', row.id],
    ['type', row.type],
    ['state', row.state],
    ...row.reasons.map((reason): [string, string] => ['reason', reason]),
    ...row.notes.map((note): [string, string] => ['note', note]),
    ...(row.hint === '' ? [] : [['hint', row.hint] as [string, string]]),
    ['attempts', String(row.attempts)],
    ['source', row.source],
    ['netns', row.request.netns === '' ? '(own)' : row.request.netns],
    ['what', what(row.request)],
    ...row.links.flatMap((link): [string, string][] => [
      ['link', `${link.vppSelector} | ${link.cnfSelector}${link.shared ? ' (shared)' : ''}`],
      ['  inside', endText(link.vpp)],
      ['  outside', endText(link.cnf)],
    ]),
    ...row.objects.map((object): [string, string] => ['object', object]),
  ];
  return lines.map(([key, value]) => `${key.padEnd(10)}${printable(value)}\n`).join('');
}

type Change = Methods['punt.watch']['event'];

/** `cp|cli|a PENDING: interface wan0 does not exist` */
export function formatState({ id, state, reasons }: Pick<Change, 'id' | 'state' | 'reasons'>): string {
  return printable(`${id} ${state}${reasons.length === 0 ? '' : `: ${reasons.join('; ')}`}`);
}

/** What is watched, a line for each. */
export function formatChange(change: Change): string {
  if (change.about === 'state') return formatState(change);
  const links = change.links.map(
    ({ vpp, cnf, shared }) => `${endText(vpp)} - ${endText(cnf)}${shared ? ' (shared)' : ''}`,
  );
  return printable(`${change.id} has other links: ${links.join('; ')}`);
}

export function formatReasons(rows: readonly Methods['punt.reasons']['event'][]): string {
  const columns: Column<(typeof rows)[number]>[] = [
    { title: 'REASON', value: (row) => row.name },
    { title: 'NUMBER', value: (row) => row.number },
    { title: 'PACKETS', value: (row) => row.packets },
    { title: 'BYTES', value: (row) => row.bytes },
  ];
  return formatTable(columns, rows);
}

export function formatStats(rows: readonly Methods['punt.stats']['event'][]): string {
  const columns: Column<(typeof rows)[number]>[] = [
    { title: 'OBJECT', value: (row) => row.object },
    { title: 'NAME', value: (row) => row.name },
    { title: 'VALUE', value: (row) => row.value },
  ];
  return formatTable(columns, rows);
}
