/**
 * Scenario 23 of the punt manager: subnets of DHCP relays come and go without end, and who gets none is told so. On data planes with
 * interfaces of their own and without.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LcpError } from '../../../src/lib/errors.ts';
import type { PuntRequest } from '../../../src/punt/request.ts';
import { ask } from './lab.ts';
import { World } from './world.ts';

/** Of a /24. */
const SUBNETS = 64;
const ALL_IN_USE = 'failed to allocate subnet for interconnect: all of 192.168.111.0/24 is in use';

const relay = (vrf: number): PuntRequest =>
  ask(`relay${vrf}`, { type: 'dhcp-proxy', l3: 'ipv4', vrf, withoutCnfVrf: false }, { netns: 'c1' });
const relays = (count: number): PuntRequest[] => Array.from({ length: count }, (_, i) => relay(i + 1));

describe.each([
  ['a data plane with interfaces of its own', false],
  ['a data plane that opens phys', true],
])('subnets of relays on %s', (_, opensPhys) => {
  let w: World;
  beforeEach(() => {
    w = new World(() => 99);
    w.env.opensPhys = opensPhys;
    w.env.allocCidr = '192.168.111.0/24';
    for (let table = 1; table <= SUBNETS + 1; table++) w.env.tables.add(`4 ${table}`);
  });
  afterEach(() => w.end());

  const configure = async (...requests: PuntRequest[]): Promise<void> => {
    w.configured = requests;
    w.punts.configure(requests);
    await w.quiet();
  };
  const shown = (label: string): string => {
    const { state, reasons, links } = w.punts.find(label);
    return [state, ...reasons, ...links.flatMap(({ vpp, cnf }) => [...vpp.addresses, ...cnf.addresses])].join(' ');
  };
  /** Sources of relays, as the data plane has been told. */
  const sources = (): string[] =>
    [...w.plane.held.values()].flatMap((o) => (o.kind === 'punt' && o.feature === 'dhcp-proxy' ? [o.source] : []));

  it('64 come and go, and the 65th has one', async () => {
    for (const request of relays(SUBNETS)) {
      await configure(request);
      expect(shown(request.id.label)).toBe('CREATED 192.168.111.1/30 192.168.111.2/30');
      await configure();
      expect(sources()).toEqual([]);
    }
    await configure(relay(SUBNETS + 1));
    expect(shown(`relay${SUBNETS + 1}`)).toBe('CREATED 192.168.111.1/30 192.168.111.2/30');
  });

  it('of 65 at once the last has none, and is told why; its turn comes when one goes, and over restarts each keeps its own', async () => {
    const all = relays(SUBNETS);
    const last = relay(SUBNETS + 1);
    const { label } = last.id;
    await configure(...all);
    expect(w.punts.list().filter(({ state }) => state !== 'CREATED')).toEqual([]);
    const held = sources().sort();
    expect(new Set(held).size).toBe(SUBNETS);

    const refusal = (): unknown => {
      try {
        return w.punts.add(last, 'cli');
      } catch (error) {
        return error;
      }
    };
    const refused = refusal();
    expect(refused).toBeInstanceOf(LcpError);
    expect(refused).toMatchObject({ code: 'PUNT_REFUSED', message: expect.stringContaining(ALL_IN_USE) });
    expect(w.punts.list().length, 'and nothing is kept of it').toBe(SUBNETS);

    await configure(...all, last);
    expect(shown(label)).toBe(`FAILED ${ALL_IN_USE}`);
    expect(w.changes.at(-1)).toMatchObject({ state: 'FAILED', reasons: [ALL_IN_USE] });
    expect(sources().sort(), 'the others have what they had').toEqual(held);

    const tenth = shown('relay10');
    await configure(...all.filter(({ id }) => id.label !== 'relay10'), last);
    expect(shown(label)).toBe(tenth);
    expect(sources().sort()).toEqual(held);
    const before = w.punts.list().map(({ id }) => `${id} ${shown(id)}`);
    w.again();
    await w.quiet();
    expect(w.punts.list().map(({ id }) => `${id} ${shown(id)}`)).toEqual(before);
  });
});
