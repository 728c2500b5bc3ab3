// Punts in the JSON of Ligato's and StoneWork's protobuf: ToHost, IPRedirect, Exception, PuntRequest, PuntRequests.
//
// A message becomes an entry of `punts:` (puntrequestjson.ts) and is checked like one; errors name the message's own fields.
// Invariants: never throws on any value; unknown fields are refused.
// Sources: ligato/vpp/punt/punt.proto, puntmgr/puntmgr.proto.

import { shown } from './fields.ts';
import { type Finding, formatPath } from './findings.ts';
import type { PathProblem } from './names.ts';
import type { PuntConfig } from './puntconfig.ts';
import { type Path, PuntMessage } from './puntmessage.ts';
import { checkEntry, type PuntError, type PuntsRead } from './puntread.ts';
import { Draft, draftException, draftIpRedirect, draftPuntRequest, draftToHost } from './puntrequestjson.ts';
import type { PuntAsker } from './punts.ts';
import { record } from './written.ts';

/** What a message is; the doors know it by the key that it was put under, else it is told by its fields. */
export type PuntMessageKind = 'to-host' | 'ip-redirect' | 'exception' | 'punt-request';

export interface PuntJsonAsker extends PuntAsker {
  /** Name of a message that has no label. */
  readonly name?: string | undefined;
}

const MAX_MESSAGES = 1024;

const fieldsOf: readonly (readonly [PuntMessageKind, readonly string[]])[] = [
  ['punt-request', ['punt_type', 'puntType', 'label', 'interconnect_type', 'interconnectType']],
  ['exception', ['reason']],
  ['ip-redirect', ['tx_interface', 'txInterface', 'rx_interface', 'rxInterface', 'next_hop', 'nextHop']],
  ['to-host', ['l3_protocol', 'l3Protocol', 'l4_protocol', 'l4Protocol', 'port', 'socket_path', 'socketPath']],
];

function kindOf(value: unknown): PuntMessageKind | undefined {
  const members = record(value);
  return fieldsOf.find(([, fields]) => fields.some((field) => Object.hasOwn(members, field)))?.[0];
}

const drafts = {
  'to-host': draftToHost,
  'ip-redirect': draftIpRedirect,
  exception: draftException,
  'punt-request': draftPuntRequest,
};

function errorOf(draft: Draft, { path, message, hint }: Finding): PuntError {
  const written = draft.pathOf(path);
  const name = String(written.at(-1) ?? '');
  const said = message.replace(/^"[a-z0-9-]+" is missing$/, `"${name}" is missing`);
  return { path: formatPath(written), message: said, hint };
}

function readOne(
  value: unknown,
  path: Path,
  asker: PuntJsonAsker,
  kind: PuntMessageKind | undefined,
): PuntConfig | readonly PuntError[] {
  const found = kind ?? kindOf(value);
  if (found === undefined) {
    const hint =
      'give a ToHost, IPRedirect, Exception or PuntRequest, e.g. {"label": "x", "punt_type": "SPAN", "span": {…}}';
    return [{ path: formatPath(path), message: 'no message about a punt', hint }];
  }
  if (record(value) !== value)
    return [{ path: formatPath(path), message: `expected a map, found ${shown(value)}`, hint: 'give {…}' }];
  const problems: PathProblem[] = [];
  const draft = new Draft(path);
  drafts[found](new PuntMessage(value, path, problems), draft, asker.name);
  // Without its type an entry has no other keys, which the message may well have had.
  const checked = draft.entry.type === undefined && problems.length > 0 ? [] : checkEntry(draft.entry, asker);
  const places = new Set(problems.map((problem) => formatPath(problem.path)));
  const errors: PuntError[] = problems.map((problem) => ({ ...problem, path: formatPath(problem.path) }));
  if (!('id' in checked))
    // What could not be read at all is not there for the schema: once is enough.
    for (const error of checked.map((finding) => errorOf(draft, finding)))
      if (![...places].some((place) => place === error.path || error.path.startsWith(`${place}.`))) errors.push(error);
  return 'id' in checked && errors.length === 0 ? checked : errors;
}

/**
 * Reads a message, a list of them, or PuntRequests.
 *
 * @param kind what each of them is, when it is known
 */
export function readPuntJson(value: unknown, asker: PuntJsonAsker, kind?: PuntMessageKind): PuntsRead {
  const members = record(value);
  const listKey = ['punt_requests', 'puntRequests'].find((key) => Object.hasOwn(members, key));
  if (listKey !== undefined && Object.keys(members).length > 1)
    return { errors: [{ path: '', message: `more than ${listKey}`, hint: 'PuntRequests has one field' }] };
  const wrapped = listKey === undefined ? value : members[listKey];
  const start = listKey === undefined ? [] : [listKey];
  const all = Array.isArray(wrapped) ? wrapped : listKey === undefined ? [value] : undefined;
  if (all === undefined) return { errors: [{ path: listKey ?? '', message: 'expected a list', hint: 'give […]' }] };
  if (all.length === 0 || all.length > MAX_MESSAGES)
    return { errors: [{ path: listKey ?? '', message: `${all.length} messages`, hint: `from 1 to ${MAX_MESSAGES}` }] };
  const punts: PuntConfig[] = [];
  const errors: PuntError[] = [];
  const labels = new Set<string>();
  for (const [i, one] of all.entries()) {
    const path = Array.isArray(wrapped) ? [...start, i] : start;
    const read = readOne(one, path, asker, listKey === undefined ? kind : 'punt-request');
    if (!('id' in read)) errors.push(...read);
    else if (labels.has(read.id.label))
      errors.push({
        path: formatPath([...path, 'label']),
        message: `punt already exists: ${read.id.label}`,
        hint: 'give it another label',
      });
    else {
      labels.add(read.id.label);
      punts.push(read);
    }
  }
  return errors.length === 0 ? { punts } : { errors };
}
