// Failures: what the data plane refuses, one row an object, with its error, its age and the next try.
//
// Invariants: only what is refused now. Routes are too many to have a record each of what was said: the row of a route has
// the words that its prefix met last where the data plane knows them, and what it said of all of them follows as rows of
// kind `routes`. At most MOST_ROUTES routes of a namespace and family are rows, and one row says how many more there are.

import type { Core } from './core.ts';
import type { RouteFailure } from './dataplane.ts';
import type { Failure } from './delta.ts';
import type { Namespace } from './namespace.ts';
import { MPLS } from './objects.ts';
import { prefixText } from './routerows.ts';
import type { Routes } from './routes.ts';
import type { FailureRow } from './view.ts';

const MOST_ROUTES = 100;
const REFUSED = 'refused by the data plane';

const wordsOf = ({ name, retval }: RouteFailure): string => `${name} (${retval})`;

/** What an operator reads of refused routes in one line of `lcpctl status`. */
export const routeHint = ({ dataplane }: Core): string => {
  const [last] = dataplane.routeFailures?.() ?? [];
  const what = last === undefined ? '' : `, the last ones with ${wordsOf(last)}`;
  return `routes are refused${what}: see lcpctl show failures`;
};

const timesOf = ({ code, hint, since, attempts, retryAt }: Failure, now: number): Partial<FailureRow> => ({
  code,
  ...(hint === '' ? {} : { hint }),
  ageMs: Math.round(now - since),
  attempts,
  retryMs: Math.max(0, Math.round(retryAt - now)),
});

/** Rows of the refused routes of one namespace and family. */
const rowsOfRoutes = (core: Core, ns: Namespace, routes: Routes, said: readonly RouteFailure[]): FailureRow[] => {
  const { prefixes: t, family } = routes;
  if (t.failedCount === 0) return [];
  const kind = family === MPLS ? 'mpls route' : `route${family}`;
  const now = core.now();
  const rows: FailureRow[] = [];
  t.forEach((record) => {
    if (!t.isFailed(record) || rows.length >= MOST_ROUTES) return;
    const prefix = prefixText(t, record);
    const key = `${ns.name} table ${t.table[record]} ${prefix}`;
    const desired = core.reconciler.routes.desired(ns, routes, record);
    const set = typeof desired === 'number' ? undefined : `${ns.name}#${desired.id}`;
    const failure = set === undefined ? undefined : core.reconciler.delta.row('pathset', set)?.failure;
    const met = said.find((each) => each.prefix === prefix);
    if (failure !== undefined) rows.push({ kind, key, error: failure.message, ...timesOf(failure, now) });
    else rows.push({ kind, key, error: met === undefined ? REFUSED : `${REFUSED}: ${wordsOf(met)}` });
  });
  const more = t.failedCount - rows.length;
  if (more > 0) rows.push({ kind, key: ns.name, error: `and ${more} more` });
  return rows;
};

/** Objects first, oldest first; then routes; then what the data plane said of routes. */
export const failureRows = (core: Core): FailureRow[] => {
  const { delta, namespaces } = core.reconciler;
  const now = core.now();
  const objects = delta.failures().flatMap(({ kind, key, failure }): FailureRow[] => {
    return failure === undefined ? [] : [{ kind, key, error: failure.message, ...timesOf(failure, now) }];
  });
  const said = core.dataplane.routeFailures?.() ?? [];
  const routes = [...namespaces.values()].flatMap((ns) =>
    ns.routes.flatMap((each) => rowsOfRoutes(core, ns, each, said)),
  );
  if (routes.length === 0) return objects;
  const words = said.map(
    (each): FailureRow => ({
      kind: 'routes',
      key: `last ${each.prefix}`,
      error: wordsOf(each),
      ...(each.hint === '' ? {} : { hint: each.hint }),
      ageMs: Math.max(0, Date.now() - each.time),
      attempts: each.count,
    }),
  );
  return [...objects, ...routes, ...words];
};
