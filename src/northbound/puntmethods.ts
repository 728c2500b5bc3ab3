// The methods of the control protocol that are about punts: thin doors onto PuntView.
//
// Invariants: what is to be added comes as somebody wrote it and is read by the PuntDoor, which the composition root makes;
// of several at once all are added or none.

import { z } from 'zod';
import { LcpError } from '../lib/errors.ts';
import type { PuntRequest } from '../punt/request.ts';
import type { PuntRow, PuntView } from '../punt/view.ts';
import { checked, type Job, present, untilAborted } from './job.ts';
import type { MethodName, PuntDocument } from './protocol.ts';

/** What the control socket needs of the punt manager. */
export interface PuntDoor {
  readonly view: PuntView;
  /** The requests that a document asks for. Throws LcpError PUNT_INVALID with every error. */
  read(document: PuntDocument): readonly PuntRequest[];
}

export type PuntMethodName = Extract<MethodName, `punt.${string}`>;

const SOURCE = 'cli';
const MAX_CHARS = 2 ** 20;

const none = z.strictObject({});
const named = z.strictObject({ name: z.string().min(1).max(1024) });
const netns = z.string().max(255).optional();
const documents = z.union([
  z.strictObject({ entry: z.record(z.string(), z.unknown()) }),
  z.strictObject({ text: z.string().max(MAX_CHARS), netns }),
  z.strictObject({ json: z.unknown(), name: z.string().max(255).optional(), netns }),
]);

function add({ view, read }: PuntDoor, document: PuntDocument): PuntRow[] {
  const added: PuntRow[] = [];
  try {
    for (const request of read(document)) added.push(view.add(request, SOURCE));
  } catch (thrown) {
    for (const { id } of added.reverse()) view.del(id);
    throw thrown;
  }
  return added;
}

type Factory = (door: PuntDoor, method: string, params: unknown) => Job;

function rows(list: (view: PuntView) => readonly unknown[] | Promise<readonly unknown[]>): Factory {
  return ({ view }, method, params) => {
    checked(none, method, params);
    return { kind: 'rows', run: () => list(view) };
  };
}

function one(ask: (view: PuntView, name: string) => unknown): Factory {
  return ({ view }, method, params) => {
    const { name } = checked(named, method, params);
    return { kind: 'once', run: () => ask(view, name) };
  };
}

const factories: Record<PuntMethodName, Factory> = {
  'punt.list': rows((view) => view.list()),
  'punt.reasons': rows((view) => view.reasons()),
  'punt.stats': rows((view) => view.stats()),
  'punt.show': one((view, name) => view.find(name)),
  'punt.del': one((view, name) => view.del(name)),
  'punt.captures': one((view, name) => view.captures(name)),
  'punt.add': (door, method, params) => {
    const document = present(checked(documents, method, params)) as PuntDocument;
    return { kind: 'once', run: () => add(door, document) };
  },
  'punt.watch': ({ view }, method, params) => {
    checked(none, method, params);
    return {
      kind: 'push',
      run: async (emit, signal) => {
        const stop = view.watch(emit);
        await untilAborted(signal);
        stop();
      },
    };
  },
};

export const isPuntMethod = (method: string): method is PuntMethodName => Object.hasOwn(factories, method);

export const puntMethodNames: readonly string[] = Object.keys(factories);

/** What to do for a request. @throws LcpError CONTROL_BAD_PARAMS, NOT_SUPPORTED without a punt manager */
export function puntJobOf(door: PuntDoor | undefined, method: PuntMethodName, params: unknown): Job {
  if (door === undefined) throw new LcpError('NOT_SUPPORTED', { op: method, message: 'this lcpd has no punt manager' });
  return factories[method](door, method, params);
}
