// What became of punted packets, out of VPP's statistics, by object.
//
// Invariants: counters are VPP's own, as of one reading; those of sockets are VPP's for all of them together, because it tells none from
// another. A policer is found by the number that VPP has for it now. Reference: VPP's src/vlib/punt.c,
// src/vnet/ip/punt_node.c, src/plugins/policer/policer.c.

import { matchText, puntKey } from '../lcp/puntobjects.ts';
import type { PuntStat } from '../lcp/puntplane.ts';
import type { Punts } from './punts.ts';
import type { Statistics } from './statistics.ts';

const SOCKET_NODES = /^(ip[46]-(udp|proto)-punt-socket|icmp6-punt-socket|exception-punt-socket)$/;
/** VPP's words for what happens at sockets, in ours. */
const SOCKET_WORDS: Readonly<Record<string, string>> = {
  'Socket TX': 'socket-tx',
  'Socket TX error': 'socket-tx-error',
  'Socket RX': 'socket-rx',
  'Socket RX error': 'socket-rx-error',
};

/** Rejects with VPP_STATS. */
export async function puntStats(punts: Punts, statistics: Statistics): Promise<PuntStat[]> {
  const { at, reasons, policers, interconnects } = punts;
  const { counters, policed } = await statistics.punts();
  const rows: PuntStat[] = [];
  const add = (object: string, name: string, value: number) => rows.push({ object, name, value });
  for (const each of counters.interfaces) {
    if (!interconnects.isOwn(each.swIfIndex)) continue;
    const object = `interconnect ${at.name(each.swIfIndex) ?? each.name}`;
    add(object, 'rx-packets', each.rx.packets);
    add(object, 'rx-bytes', each.rx.bytes);
    add(object, 'tx-packets', each.tx.packets);
    add(object, 'tx-bytes', each.tx.bytes);
    for (const name of ['drops', 'rx-error']) add(object, name, each.packets[name] ?? 0);
    // what the CNF leaves no room for VPP counts as sent, and as an error of the node, by the interface's first name
    const full = counters.errors.find(({ node, reason }) => `${node}/${reason}` === `${each.name}-tx/no_free_slots`);
    add(object, 'tx-error', (each.packets['tx-error'] ?? 0) + (full?.count ?? 0));
  }
  const ours = [...at.memory.of('socket'), ...at.memory.of('host')];
  for (const { reason, count } of counters.punts) {
    const name = reasons.nameOf(reason);
    if (name === undefined) continue;
    add('', `reason-${name}-packets`, count.packets);
    add('', `reason-${name}-bytes`, count.bytes);
    const text = matchText({ by: 'reason', reason: name });
    for (const punt of ours.filter(({ match }) => matchText(match) === text)) {
      add(`punt ${puntKey(punt)}`, 'packets', count.packets);
      add(`punt ${puntKey(punt)}`, 'bytes', count.bytes);
    }
  }
  const sockets = new Map(Object.values(SOCKET_WORDS).map((word) => [word, 0]));
  for (const { node, reason, count } of counters.errors) {
    const word = SOCKET_NODES.test(node) || node === 'punt-socket-rx' ? SOCKET_WORDS[reason] : undefined;
    if (word !== undefined) sockets.set(word, (sockets.get(word) ?? 0) + count);
  }
  for (const [word, value] of sockets) add('', word, value);
  for (const scope of ['ipv4', 'ipv6']) {
    const index = policed.size === 0 ? undefined : await policers.indexOf(scope);
    if (index === undefined) continue;
    for (const [colour, counts] of policed) {
      add(`punt police ${scope}`, `${colour}-packets`, counts[index]?.packets ?? 0);
      add(`punt police ${scope}`, `${colour}-bytes`, counts[index]?.bytes ?? 0);
    }
  }
  for (const [key, { packets, bytes }] of punts.osi.handed) {
    add(`punt ${key}`, 'packets', packets);
    add(`punt ${key}`, 'bytes', bytes);
  }
  return rows;
}
