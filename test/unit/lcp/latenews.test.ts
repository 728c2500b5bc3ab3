// Late news: notices that a dump was ahead of, which end a route in whose place the dump left another.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { LATE_MS } from '../../../src/lcp/replaced.ts';
import { AF_INET } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import * as bytes from './kernelbytes.ts';

const route = (gateway: string, oif: number): bytes.RouteText => ({ dst: '10.1.0.0/16', legs: [{ oif, gateway }] });
const [replacement, shadow] = [route('10.0.0.2', 2), route('10.0.0.3', 3)];

/** The kernel has only the shadow left; what made it so is told late. */
const dumped = (): Namespace => {
  const ns = new Namespace('cp');
  const scope = { family: AF_INET };
  ns.dumpBegin('route', scope);
  ns.apply(bytes.batchFrom([bytes.newRoute(shadow, 0)], true));
  ns.dumpEnd('route', true, scope);
  return ns;
};
const tell = (ns: Namespace): string[] => {
  const news = [bytes.newRoute(replacement, k.NLM_F_REPLACE | k.NLM_F_CREATE), bytes.delRoute(replacement)];
  for (const message of news) ns.apply(bytes.batchFrom([message]));
  return [...ns.doubts.take()].map(({ kind, scope }) => `${kind} ${scope.family} ${scope.oif ?? '*'}`);
};

afterEach(() => vi.restoreAllMocks());

describe('a replacement and its end, told after a dump that showed what is left', () => {
  it('have the device of what they took along read again, and once', () => {
    const ns = dumped();
    expect(tell(ns)).toEqual(['route 2 3']);
    expect(tell(ns), 'now there was nothing to replace').toEqual([]);
  });

  it('are believed when they cannot be that old', () => {
    const ns = dumped();
    const now = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => now + LATE_MS + 1000);
    expect(tell(ns)).toEqual([]);
    expect(ns.routes4.prefixes.entryCount).toBe(0);
  });

  it('have everything read again when what they took along named no device', () => {
    const ns = dumped();
    ns.apply(bytes.batchFrom([bytes.newRoute({ dst: '10.1.0.0/16', type: k.RTN_BLACKHOLE }, k.NLM_F_REPLACE)]));
    expect(tell(ns)).toEqual(['route 2 3', 'route 2 *']);
  });
});
