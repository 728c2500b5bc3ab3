// A PuntView that keeps what it is asked for in memory, for the doors.

import { LcpError } from '../../../src/lib/errors.ts';
import { idText, type PuntRequest } from '../../../src/punt/request.ts';
import type { PuntChange, PuntRow, PuntView } from '../../../src/punt/view.ts';

export interface FakePunts extends PuntView {
  readonly rows: Map<string, PuntRow>;
  readonly watchers: Set<(change: PuntChange) => void>;
  /** Labels that are refused. */
  readonly refused: Set<string>;
  device: string;
}

export function rowOf(request: PuntRequest, source: string, more: Partial<PuntRow> = {}): PuntRow {
  const id = idText(request.id);
  return {
    id,
    type: request.spec.type,
    state: 'CREATED',
    reasons: [],
    notes: [],
    hint: '',
    ageMs: 0,
    attempts: 0,
    source,
    links: [],
    objects: [`punt of ${request.id.label}`],
    request,
    ...more,
  };
}

export function fakePunts(): FakePunts {
  const rows = new Map<string, PuntRow>();
  const named = (name: string): PuntRow => {
    const row = rows.get(name) ?? [...rows.values()].find(({ request }) => request.id.label === name);
    if (row === undefined) throw new LcpError('PUNT_UNKNOWN', { op: 'find punt', key: name });
    return row;
  };
  const view: FakePunts = {
    rows,
    watchers: new Set(),
    refused: new Set(),
    device: 'lo',
    list: () => [...rows.values()],
    find: named,
    add(request, source) {
      const id = idText(request.id);
      if (rows.has(id)) throw new LcpError('PUNT_EXISTS', { op: 'add punt', key: id });
      if (view.refused.has(request.id.label))
        throw new LcpError('PUNT_REFUSED', { op: 'add punt', key: id, message: 'port 67 is used by DHCP' });
      const row = rowOf(request, source);
      rows.set(id, row);
      for (const watcher of view.watchers)
        watcher({ id, about: 'state', state: 'INIT', reasons: ['asked for'], links: [] });
      return row;
    },
    del(name) {
      const row = named(name);
      if (row.source === 'config') throw new LcpError('PUNT_CONFIGURED', { op: 'delete punt', key: name });
      rows.delete(row.id);
      return row;
    },
    reasons: () => [
      { name: 'ipsec4-spi-0', number: 3, packets: 7, bytes: 700 },
      { name: 'other', number: 4 },
    ],
    stats: async () => [
      { object: 'punt of a', name: 'packets', value: 5 },
      { object: 'punt of b', name: 'packets', value: 6 },
    ],
    captures: (name) => {
      named(name);
      return [{ netns: '', device: view.device }];
    },
    watch(watcher) {
      view.watchers.add(watcher);
      return () => view.watchers.delete(watcher);
    },
  };
  return view;
}
