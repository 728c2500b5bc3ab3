// The methods of the control protocol: what each takes, checked, and how it asks the View.
//
// Invariants: parameters are strict, bounded and checked before the View sees them.

import { z } from 'zod';
import type { MaybePromise, View } from '../lcp/view.ts';
import { LcpError } from '../lib/errors.ts';
import { parsePrefix } from '../lib/ip.ts';
import { checked, type Job, present, type RowSource, untilAborted } from './job.ts';
import type { MethodName } from './protocol.ts';
import { isPuntMethod, type PuntDoor, type PuntMethodName, puntJobOf, puntMethodNames } from './puntmethods.ts';

const MAX_ADDRESSES = 50_000;
const DAY_MS = 86_400_000;
const CONFIG_BYTES = 2 ** 20;

const none = z.strictObject({});
const netns = z.string().max(255);
const table = z.int().min(0).max(0xffff_ffff);
const timeoutMs = z.int().min(0).max(DAY_MS);

const routeFilter = z.strictObject({
  netns: netns.optional(),
  table: table.optional(),
  family: z.enum(['inet', 'inet6', 'mpls']).optional(),
  prefix: z
    .string()
    .max(64)
    .refine((text) => parsePrefix(text) !== undefined, 'not a prefix')
    .optional(),
  limit: z.int().min(1).optional(),
});

const lookupRequest = z.strictObject({
  // Texts that are no address are answered one by one, so only their size is checked.
  addresses: z.array(z.string().max(256)).max(MAX_ADDRESSES),
  table: table.optional(),
  netns: netns.optional(),
  vrf: z.string().max(15).optional(),
  iif: z.string().max(15).optional(),
  mpls: z.boolean().optional(),
});

const resyncRequest = z
  .strictObject({ netns: netns.optional(), dataplane: z.boolean().optional() })
  .refine(
    (of) => of.netns === undefined || of.dataplane !== true,
    "a namespace is the kernel's: either netns or dataplane",
  );

const traceRequest = z.strictObject({
  count: z.int().min(1).optional(),
  all: z.boolean().optional(),
  timeoutMs: timeoutMs.optional(),
});

type Factory = (view: View, method: string, params: unknown) => Job;

function rows(list: (view: View) => MaybePromise<RowSource>): Factory {
  return (view, method, params) => {
    checked(none, method, params);
    return { kind: 'rows', run: () => list(view) };
  };
}

function once<T>(
  schema: z.ZodType<T>,
  ask: (view: View, params: T, signal: AbortSignal) => MaybePromise<unknown>,
): Factory {
  return (view, method, params) => {
    const valid = checked(schema, method, params);
    return { kind: 'once', run: (signal) => ask(view, valid, signal) };
  };
}

const factories: Record<Exclude<MethodName, PuntMethodName>, Factory> = {
  status: once(none, (view) => view.status()),
  pairs: rows((view) => view.pairs()),
  links: rows((view) => view.links()),
  addresses: rows((view) => view.addresses()),
  neighbours: rows((view) => view.neighbours()),
  nexthops: rows((view) => view.nexthops()),
  rules: rows((view) => view.rules()),
  subifs: rows((view) => view.subifs()),
  mroutes: rows((view) => view.mroutes()),
  unsupported: rows((view) => view.unsupported()),
  adjacencies: rows((view) => view.adjacencies()),
  interfaces: rows((view) => view.interfaces()),
  punts: rows((view) => view.punts()),
  failures: rows((view) => view.failures()),
  messages: rows((view) => view.messages()),
  routes: (view, method, params) => {
    const filter = present(checked(routeFilter, method, params));
    return { kind: 'rows', run: () => view.routes(filter) };
  },
  counters: (view, method, params) => {
    const request = present(checked(z.strictObject({ all: z.boolean().optional() }), method, params));
    return { kind: 'rows', run: () => view.counters(request) };
  },
  lookup: (view, method, params) => {
    const request = present(checked(lookupRequest, method, params));
    return { kind: 'rows', run: () => view.lookup(request) };
  },
  diff: once(none, (view) => view.diff()),
  waitSynced: once(z.strictObject({ timeoutMs }), (view, params, signal) => view.waitSynced(params, signal)),
  watch: (view, method, params) => {
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
  trace: (view, method, params) => {
    const request = present(checked(traceRequest, method, params));
    return { kind: 'push', run: (emit, signal) => view.trace(request, emit, signal) };
  },
  resync: once(resyncRequest, (view, params) => view.resync(present(params))),
  plan: once(z.strictObject({ configText: z.string().max(CONFIG_BYTES) }), (view, params) => view.plan(params)),
  reload: once(none, (view) => view.reload()),
};

/** Names of all methods. */
export const methodNames: readonly string[] = [...Object.keys(factories), ...puntMethodNames];

/**
 * What to do for a request.
 *
 * @throws LcpError CONTROL_UNKNOWN_METHOD, CONTROL_BAD_PARAMS
 */
export function jobOf(view: View, method: string, params: unknown, punts?: PuntDoor): Job {
  if (isPuntMethod(method)) return puntJobOf(punts, method, params);
  if (!Object.hasOwn(factories, method)) {
    const name = JSON.stringify(method.slice(0, 64));
    throw new LcpError('CONTROL_UNKNOWN_METHOD', { op: 'call', key: name });
  }
  return factories[method as keyof typeof factories](view, method, params);
}
