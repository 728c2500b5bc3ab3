// States of punts: what became of a plan, from the rows of its objects and the devices of its CNF.

import type { Derived, Plan } from './derive.ts';
import type { Link } from './interconnects.ts';
import type { HeldRow, PuntParts } from './punts.ts';
import type { PuntRequest } from './request.ts';
import type { PuntLink, PuntRow, PuntState } from './view.ts';

export interface Progress {
  readonly state: PuntState;
  readonly reasons: readonly string[];
  readonly hint: string;
  readonly attempts: number;
  /** Clock ms. */
  readonly since: number;
}

const STATES: Readonly<Record<Exclude<Plan['state'], 'ready'>, PuntState>> = {
  pending: 'PENDING',
  busy: 'BUSY',
  refused: 'FAILED',
};

type Rows = PuntParts['rows'];

/** What stands open of the objects of a plan. */
function openOf(
  plan: Plan,
  derived: Derived,
  rows: Rows,
): { failures: NonNullable<HeldRow['failure']>[]; isOpen: boolean } {
  const failures: NonNullable<HeldRow['failure']>[] = [];
  let isOpen = false;
  const look = (kind: 'interconnect' | 'pair' | 'punt', key: string): void => {
    const failure = rows.row(kind, key)?.failure;
    if (failure !== undefined) failures.push({ ...failure, message: `${kind} ${key}: ${failure.message}` });
    if (rows.isOpen(kind, key)) isOpen = true;
  };
  for (const key of plan.interconnects) look('interconnect', key);
  for (const { phy } of derived.routed) if (plan.interconnects.includes(phy)) look('pair', phy);
  for (const key of plan.punts) look('punt', key);
  return { failures, isOpen };
}

/** since is 0: who keeps it knows since when. */
export function progressOf(plan: Plan, derived: Derived, rows: Rows, devices: PuntParts['devices']): Progress {
  const { state, reasons, hint } = plan;
  if (state !== 'ready') return { state: STATES[state], reasons, hint, attempts: 0, since: 0 };
  const { failures, isOpen } = openOf(plan, derived, rows);
  const refused = failures.map(({ message }) => message);
  let attempts = Math.max(0, ...failures.map((f) => f.attempts));
  let isWaiting = isOpen;
  const hosts = derived.routed.map(({ netns, phy: name }) => ({ netns, name, what: 'host' }));
  for (const { netns, name, what } of [...derived.devices.map((d) => ({ ...d, what: 'device' })), ...hosts]) {
    if (!plan.interconnects.includes(name)) continue;
    const device = devices.state(netns, name);
    if (device === 'absent') isWaiting = true;
    else if (device !== 'settled') {
      refused.push(`${what} ${name}: ${device.reason}`);
      attempts = Math.max(attempts, device.attempts);
    }
  }
  if (refused.length > 0) {
    return { state: 'FAILED', reasons: refused, hint: failures[0]?.hint ?? '', attempts, since: 0 };
  }
  return { state: isWaiting ? 'INIT' : 'CREATED', reasons: [], hint: '', attempts: 0, since: 0 };
}

const linkOf = ({ object, wish, users }: Link): PuntLink => ({
  vppSelector: wish.vppSelector,
  cnfSelector: wish.cnfSelector,
  vpp: { name: object.name, mac: object.mac, addresses: object.addresses, vrf: object.table, vrfName: '' },
  cnf: {
    name: object.name,
    mac: object.peerMac,
    addresses: wish.peerAddresses,
    vrf: wish.table,
    vrfName: wish.vrfName,
  },
  shared: users.length > 1,
});

/** What the doors show of a plan's links. */
export const linksOf = (plan: Plan | undefined): PuntLink[] => (plan?.links ?? []).map(linkOf);

/** What the doors show of a request; plan and progress are missing until the first pass. */
export function rowOf(
  id: string,
  request: PuntRequest,
  source: string,
  plan: Plan | undefined,
  progress: Progress | undefined,
  now: number,
): PuntRow {
  const { state = 'INIT', reasons = [], hint = '', since = now, attempts = 0 } = progress ?? {};
  return {
    id,
    type: request.spec.type,
    state,
    reasons,
    notes: plan?.notes ?? [],
    hint,
    ageMs: Math.max(0, Math.round(now - since)),
    attempts,
    source,
    links: linksOf(plan),
    objects: [
      ...(plan?.interconnects ?? []).map((key) => `interconnect ${key}`),
      ...(plan?.punts ?? []).map((key) => `punt ${key}`),
    ],
    request,
  };
}
