/**
 * Names of 25 bits that two links come to: who is second is told who has it, and has its turn. The collisions are real ones: of so
 * many texts two always have one hash.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { Allocations } from '../../../src/punt/allocations.ts';
import { type Derived, derivePunts, type Plan } from '../../../src/punt/derive.ts';
import { hash5, memifSuffix } from '../../../src/punt/names.ts';
import { idText, type PuntRequest } from '../../../src/punt/request.ts';
import { ask, type FakeEnv, fakeEnv, place } from './lab.ts';

/** The first two numbers whose texts have one hash. */
function collision(textOf: (n: number) => string): readonly [number, number] {
  const seen = new Map<string, number>();
  for (let n = 0; ; n++) {
    const hash = hash5(textOf(n));
    const before = seen.get(hash);
    if (before !== undefined) return [before, n];
    seen.set(hash, n);
  }
}

describe('links of one name', () => {
  let env: FakeEnv;
  beforeEach(() => {
    env = fakeEnv();
  });

  const derive = (...requests: PuntRequest[]): Derived => derivePunts(requests, env, new Allocations());
  const planOf = (derived: Derived, request: PuntRequest): Plan => derived.plans.get(idText(request.id)) as Plan;
  const span = (label: string, name: string, of: Partial<PuntRequest> = {}): PuntRequest => {
    env.interfaces.set(name, place());
    return ask(label, { type: 'span', interface: name, direction: 'both' }, of);
  };

  it('by their hash: the second is busy with the first, and nothing of it is made; without the first it is had', () => {
    const [a, b] = collision((n) => `vpp/span/interface/if${n}|netns::0`);
    const [first, second] = [span('first', `if${a}`), span('second', `if${b}`)];
    const both = derive(first, second);
    const [name = '', ...more] = both.interconnects.keys();
    expect([name, more]).toEqual([expect.stringMatching(/^tap-[a-zA-F]{5}$/), []]);
    expect(planOf(both, first).state).toBe('ready');
    expect(planOf(both, second)).toMatchObject({
      state: 'busy',
      reasons: [`interconnect name ${name} is taken by |config|first, for vpp/span/interface/if${a}|netns::0`],
    });
    expect([...both.punts.keys()]).toEqual([`span if${a} ${name}`]);
    expect(planOf(derive(second, first), second).state, 'by age').toBe('ready');
    expect([...derive(second).punts.keys()]).toEqual([`span if${b} ${name}`]);
  });

  it('by the name that a HAIRPIN gives', () => {
    const [mirror] = derive(span('mirror', 'eth0')).interconnects.keys();
    const hairpin = ask('hairpin', {
      type: 'hairpin',
      interface: 'eth1',
      hairpin: { name: mirror ?? '', mac: '', addresses: [], vrf: 0, dhcpClient: false, mtu: 0 },
    });
    const { state, reasons } = planOf(derive(span('mirror', 'eth0'), hairpin), hairpin);
    expect([state, ...reasons]).toEqual([
      'busy',
      `interconnect name ${mirror} is taken by |config|mirror, for vpp/span/interface/eth0|netns::0`,
    ]);
  });

  it('sockets of memifs: the second request is busy with the first', () => {
    const memif = { interconnect: 'memif' } as const;
    // each an interface of its own, so that nothing but the socket is one
    const [a, b] = collision((n) => `|config|m${n}:vpp/span/interface/if${n}`);
    const [first, second] = [span(`m${a}`, `if${a}`, memif), span(`m${b}`, `if${b}`, memif)];
    const suffix = memifSuffix(idText(first.id), `vpp/span/interface/if${a}`);
    expect(memifSuffix(idText(second.id), `vpp/span/interface/if${b}`)).toBe(suffix);
    const both = derive(first, second);
    expect([...both.interconnects.values()].map(({ socket, secret }) => [socket, secret])).toEqual([
      [`/run/lcpd/memif/memif-${suffix}.sock`, suffix],
    ]);
    expect(planOf(both, first).state).toBe('ready');
    expect(planOf(both, second)).toMatchObject({
      state: 'busy',
      reasons: [
        `memif socket /run/lcpd/memif/memif-${suffix}.sock is taken by |config|m${a}, ` +
          `for vpp/span/interface/if${a}|memif::${suffix}`,
      ],
      interconnects: [],
      punts: [],
    });
    expect(planOf(derive(second), second).state, 'and has its turn').toBe('ready');
    expect(planOf(derive(span('tap', `if${a}`), second), second).state, 'a TAP has none').toBe('ready');
  });

  it('sockets of the two memifs of one request: it is refused', () => {
    const [a, b] = collision((n) => `|config|wire:vpp/interface/if${n}`);
    const interfaces = [`if${a}`, `if${b}`] as const;
    for (const name of interfaces) env.interfaces.set(name, place());
    const wire = ask('wire', { type: 'hairpin-xconnect', interfaces }, { interconnect: 'memif' });
    const suffix = memifSuffix(idText(wire.id), `vpp/interface/if${a}`);
    const derived = derive(wire);
    expect(planOf(derived, wire)).toMatchObject({
      state: 'refused',
      reasons: [`two links of the memif socket /run/lcpd/memif/memif-${suffix}.sock`],
    });
    expect(derived.interconnects.size).toBe(0);
  });
});
