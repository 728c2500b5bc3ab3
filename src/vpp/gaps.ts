// Gaps: what a VPP cannot do of what the core may ask, with the reason.

import { mplsRouteAddDel } from './api/mpls.ts';
import { ipMrouteAddDel } from './api/mroute.ts';
import { createSubif } from './api/subinterface.ts';
import type { VppClient } from './client.ts';
import type { PairBackend } from './session.ts';

/** By what it is about. `first` is the namespace that has VPP's label table. */
export function gapsOf(client: VppClient, first: string, backend: PairBackend): Map<string, string> {
  const found = new Map<string, string>([
    ['mpls-namespaces', `VPP looks labels up in one table, which is that of namespace ${first || "lcpd's own"}`],
    ['weights', 'VPP has weights up to 255: larger ones are scaled'],
    ['local-table-order', 'a local table that is looked up before another one is joined with it'],
    ['mroute-elsewhere', 'VPP drops multicast that comes in by another interface than its entry says'],
  ]);
  if (backend === 'attach')
    found.set('carrier', 'hosts that are attached keep their carrier: they are no TAPs of linux_cp');
  const needs = [
    ['mpls', mplsRouteAddDel],
    ['mroute', ipMrouteAddDel],
    ['subif', createSubif],
  ] as const;
  for (const [what, message] of needs) {
    const reason = client.unsupported(message);
    if (reason !== undefined) found.set(what, reason);
  }
  return found;
}
