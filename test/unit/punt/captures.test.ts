// What a punt shows besides its state: notes of what keeps packets from it, and where its frames can be looked at.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LcpError } from '../../../src/lib/errors.ts';
import type { PuntRequest, PuntSpec } from '../../../src/punt/request.ts';
import { ask, place } from './lab.ts';
import { World } from './world.ts';

let w: World;
beforeEach(() => {
  w = new World(() => 0);
});
afterEach(() => w.end());

const wire = ask('wire', { type: 'hairpin-xconnect', interfaces: ['eth0', 'p9'] }, { netns: 'c1' });

async function configured(...requests: PuntRequest[]): Promise<void> {
  w.configured = requests;
  w.punts.configure(requests);
  await w.quiet();
}

function refusal(name: string): LcpError {
  try {
    w.punts.captures(name);
  } catch (thrown) {
    if (thrown instanceof LcpError) return thrown;
  }
  throw new Error(`${name} can be captured`);
}

describe('interfaces that are down', () => {
  const notes = (): readonly string[] | undefined => w.punts.find('wire').notes;

  it('are a note of a punt that is created all the same, until they are up', async () => {
    w.env.interfaces.set('p9', place({ up: false, ifindex: 9 }));
    await configured(wire);
    expect(w.punts.find('wire')).toMatchObject({ state: 'CREATED', reasons: [] });
    expect(notes()).toEqual(['phy p9 is down, and in no pair whose host would set it up']);
    w.env.interfaces.set('p9', place({ up: true, ifindex: 9 }));
    await w.quiet();
    expect(notes()).toEqual([]);
  });

  it('that are in a pair are what their hosts are', async () => {
    w.env.interfaces.set('p9', place({ up: false, paired: true }));
    await configured(wire);
    expect(notes()).toEqual(['interface p9 is down, as its host is']);
  });

  it('are none of a punt that waits for them', async () => {
    await configured(wire);
    expect(w.punts.find('wire')).toMatchObject({ state: 'PENDING', notes: [] });
  });
});

it('what a data plane has of a punt but in part is a note of it, too', async () => {
  const any = [0, 65535] as const;
  const rule = { permit: true, source: 'any', destination: 'any', protocol: 89, flagsMask: 0, flagsValue: 0 };
  const ingress = [{ ...rule, sourcePorts: any, destinationPorts: any }];
  await configured(
    ask('routing', { type: 'abx', interface: 'eth1', vrf: 0, withoutCnfVrf: true, ingress, egress: [] }),
  );
  expect(w.punts.find('routing')).toMatchObject({ state: 'CREATED', notes: ['half of it'] });
});

describe('a capture', () => {
  it('is of the TAPs of a punt', async () => {
    w.env.interfaces.set('p9', place());
    await configured(wire);
    const devices = w.punts.find('wire').links.map(({ cnf }) => cnf.name);
    expect(devices).toHaveLength(2);
    expect(w.punts.captures('wire')).toEqual(devices?.map((device) => ({ netns: 'c1', device })));
  });

  const socket = '/run/t/c.sock';
  it.each<[string, PuntSpec, RegExp]>([
    [
      'a socket',
      { type: 'to-host', l3: 'ipv4', l4: 'udp', port: 9000, socket },
      /go to the client at \/run\/t\/c\.sock/,
    ],
    [
      'the host',
      { type: 'to-host', l3: 'ipv4', l4: 'udp', port: 9000, socket: '' },
      /go to the host, among all others/,
    ],
    ['a protocol', { type: 'ip-protocol', l3: 'ipv4', protocol: 89, socket }, /go to the client/],
    ['a type', { type: 'icmp6', icmpType: 133, socket }, /go to the client/],
    ['a reason', { type: 'exception', reason: 'ipsec4-no-such-tunnel', socket: '' }, /go to the host/],
    ['a redirect', { type: 'ip-redirect', l3: 'ipv4', rx: '', tx: 'eth1', nextHops: ['10.1.0.2'] }, /leave by eth1/],
    [
      'a limit',
      { type: 'police', scope: 'ipv4', unit: 'pps', rate: 10, burst: 1000 },
      /it limits packets that go elsewhere/,
    ],
  ])('of a punt without a device is refused with where its packets are: %s', async (_what, spec, why) => {
    w.env.interfaces.set('p9', place());
    await configured(ask('x', spec), wire);
    const error = refusal('x');
    expect([error.code, error.message]).toEqual(['NOT_SUPPORTED', expect.stringMatching(why)]);
    expect(error.hint).toMatch(/can be captured \(.*span.*\): c1\|config\|wire;/);
  });

  it('of a memif, and of what is not there yet, is refused by that', async () => {
    const memif = ask(
      'm',
      { type: 'span', interface: 'eth0', direction: 'both' },
      { netns: 'c1', interconnect: 'memif' },
    );
    await configured(memif, wire);
    expect(refusal('m').message).toMatch(/in memory that it shares with the CNF/);
    expect(refusal('m').hint).toMatch(/none that there is now/);
    expect(refusal('wire').message).toMatch(/not there yet: interface p9 does not exist/);
    expect(refusal('nobody').code).toBe('PUNT_UNKNOWN');
  });
});
