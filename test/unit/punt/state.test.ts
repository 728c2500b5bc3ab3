/**
 * States of punts: what stands open of a routed link's pair, and of its host, is told as that of the punt.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { Allocations } from '../../../src/punt/allocations.ts';
import { derivePunts, type Plan } from '../../../src/punt/derive.ts';
import type { HeldRow, PuntParts } from '../../../src/punt/punts.ts';
import { progressOf } from '../../../src/punt/state.ts';
import { ask, type FakeEnv, fakeEnv } from './lab.ts';

type Host = ReturnType<PuntParts['devices']['state']>;

describe('the state of a punt whose link is routed', () => {
  let env: FakeEnv;
  beforeEach(() => {
    env = fakeEnv();
    env.opensPhys = true;
  });

  const state = (host: Host, pair: { isOpen?: boolean; failure?: HeldRow['failure'] } = {}): string => {
    const relay = ask('p', { type: 'dhcp-proxy', l3: 'ipv4', vrf: 0, withoutCnfVrf: false }, { netns: 'c1' });
    const derived = derivePunts([relay], env, new Allocations());
    const rows = {
      row: (kind: string) => (kind === 'pair' ? { actual: {}, doubt: undefined, failure: pair.failure } : undefined),
      isOpen: (kind: string) => kind === 'pair' && pair.isOpen === true,
      want: () => undefined,
      rows: () => [],
      invalidate: () => undefined,
    };
    const devices = { want: () => undefined, state: (netns: string): Host => (netns === 'cp' ? host : 'settled') };
    const [plan] = [...derived.plans.values()] as [Plan];
    const progress = progressOf(plan, derived, rows, devices);
    return [progress.state, ...progress.reasons].join(': ');
  };

  it('is CREATED when its host has what it is to have', () => {
    expect(state('settled')).toBe('CREATED');
  });

  it('is INIT while pair or host are on their way', () => {
    expect(state('absent')).toBe('INIT');
    expect(state('settled', { isOpen: true })).toBe('INIT');
  });

  it('is FAILED, by the name of what was refused', () => {
    const failure = { message: 'tap tap-kgwwj cannot be made: EBUSY', hint: 'who has it?', attempts: 2 };
    expect(state('settled', { isOpen: true, failure })).toMatch(/^FAILED: pair tap-.{5}: tap tap-kgwwj cannot be made/);
    expect(state({ reason: 'address refused', since: 0, attempts: 1, retryAt: 0 } as Host)).toMatch(
      /^FAILED: host tap-.{5}: address refused/,
    );
  });
});
