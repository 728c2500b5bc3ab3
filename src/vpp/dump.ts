// Dumps: many rows for one request, in the two ways in which VPP ends them.
//
// Invariants: rows are handed over as they come and are not kept. A dump by pages goes on where VPP says, and a cursor
// that does not move ends it as an error. A dump that VPP swallowed cannot be told from an empty one, which is why
// only messages that are bound are sent.

import { LcpError } from '../lib/errors.ts';
import { strange } from './bulk.ts';
import type { OnRow, VppClient } from './client.ts';
import { EAGAIN, refusal } from './errno.ts';
import type { CursorDump, Dump } from './message.ts';

/** Details until the control_ping behind them is answered. */
export function dumpToPing(client: VppClient, message: Dump, input: unknown, onRow: OnRow): Promise<void> {
  const details = client.binding.bound(message.details);
  const rows = client.exchange<undefined>(message, input, {}, (end) => ({
    onAnswer: (_index, bound, bytes, view, at, until) => {
      if (bound !== details) throw strange(bound, client.binding.bound(message));
      onRow(bytes, view, at, until);
      return false;
    },
    onOvertaken: () => end.resolve(undefined),
  }));
  client.pingBehind();
  return rows;
}

/** Details and a reply with a cursor, again from there while VPP says that more follows. */
export async function dumpPages(client: VppClient, message: CursorDump, input: unknown, onRow: OnRow): Promise<void> {
  for (let from = input as Readonly<Record<string, unknown>>; ; ) {
    const { retval, cursor } = await onePage(client, message, from, onRow);
    if (retval === 0) return;
    if (retval !== EAGAIN) throw refusal(message.name, Number(retval));
    if (cursor === from.cursor) {
      throw new LcpError('VPP_PROTOCOL', { op: message.name, message: 'the cursor does not move on' });
    }
    from = { ...from, cursor };
  }
}

function onePage(
  client: VppClient,
  message: CursorDump,
  input: unknown,
  onRow: OnRow,
): Promise<Readonly<Record<string, unknown>>> {
  const details = client.binding.bound(message.details);
  const replies = new Set([message.reply, message.mistaken ?? message.reply].map((each) => client.binding.bound(each)));
  return client.exchange(message, input, {}, (end) => ({
    onAnswer: (_index, bound, bytes, view, at, until) => {
      if (bound === details) {
        onRow(bytes, view, at, until);
        return false;
      }
      if (!replies.has(bound)) throw strange(bound, client.binding.bound(message));
      end.resolve(client.read(bound, bytes, at, until));
      return true;
    },
    onOvertaken: () => end.reject(client.swallowed(message)),
  }));
}
