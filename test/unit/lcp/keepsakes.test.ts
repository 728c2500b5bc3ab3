// Keepsakes: a host that vanishes with its data plane leaves behind what was on it a moment before, and nothing that
// had been taken away earlier; a host that is still there is given nothing.

import { beforeEach, describe, expect, it } from 'vitest';
import { Keepsakes, OUTLIVED_MS } from '../../../src/lcp/keepsakes.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import * as k from '../../../src/netlink/uapi.ts';
import * as bytes from './kernelbytes.ts';
import { batchFrom, type Message } from './kernelbytes.ts';

const HOST = 4;
const VLAN = 5;
const UP = k.IFF_UP | k.IFF_LOWER_UP;
let now = 10_000;
let ns: Namespace;
let kept: Keepsakes;
const tell = (...messages: Message[]) => ns.apply(batchFrom(messages));
const host = (more = {}) => bytes.newLink({ ifindex: HOST, name: 'e0', type: 1, flags: UP, mtu: 1500, ...more });
const vlan = () =>
  bytes.newLink({
    ifindex: VLAN,
    name: 'e0.7',
    type: 1,
    flags: UP,
    mtu: 1496,
    link: HOST,
    kind: 'vlan',
    info: { vlan: { id: 7, protocol: 0x8100 } },
  });
const request = (ifindex: number, local: string) => ({
  family: local.includes(':') ? AF_INET6 : AF_INET,
  ifindex,
  local,
  prefixlen: 24,
});
const add = (ifindex: number, local: string) => bytes.newAddress(request(ifindex, local));
const del = (ifindex: number, local: string) => bytes.delAddress(request(ifindex, local));
const neighbour = (dst: string, state: number) =>
  bytes.newNeighbour({ family: AF_INET, ifindex: HOST, dst, lladdr: '02:00:00:00:00:09', state });
const see = (after = 0) => {
  now += after;
  kept.see('wan0', ns, HOST);
};
/** What the next host would be given. */
const given = (ifindex = 9) => {
  const found = kept.take('wan0', 'cp', ifindex);
  return (
    found && {
      devices: found.devices.map((d) => `${d.name} ${d.up ? 'up' : 'down'} ${d.mtu} ${d.below}`.trim()),
      addresses: found.addresses.map(([name, a]) => `${name} ${a.local}`),
      neighbours: found.neighbours.map(([name, n]) => `${name} ${n.dst}`),
    }
  );
};
/** The kernel's words about a device that ends. */
const ends = () => {
  tell(host({ flags: 0 }), del(HOST, 'fd00::1'), del(HOST, '10.0.0.1'));
};

beforeEach(() => {
  ns = new Namespace('cp');
  kept = new Keepsakes(() => now);
  tell(host(), vlan(), add(HOST, '10.0.0.1'), add(HOST, 'fd00::1'), add(VLAN, '10.7.0.1'));
  tell(neighbour('10.0.0.9', k.NUD_PERMANENT), neighbour('10.0.0.8', k.NUD_REACHABLE));
  see();
  see(5000);
});

const WHOLE = {
  devices: ['e0 up 1500', 'e0.7 up 1496 e0'],
  addresses: ['e0 10.0.0.1', 'e0 fd00::1', 'e0.7 10.7.0.1'],
  neighbours: ['e0 10.0.0.9'],
};

describe('a host that vanishes', () => {
  it('leaves all that was configured on it, learned neighbours apart', () => {
    tell(bytes.delLink({ ifindex: VLAN }), bytes.delLink({ ifindex: HOST }));
    see();
    kept.lost();
    expect(given()).toEqual(WHOLE);
  });

  it('leaves what the kernel took away as it ended, seen in the middle of it or not', () => {
    ends();
    see(2);
    tell(bytes.delLink({ ifindex: VLAN }), bytes.delLink({ ifindex: HOST }));
    kept.lost();
    now += 60_000;
    expect(given()).toEqual(WHOLE);
  });

  it('leaves nothing that was taken away before', () => {
    tell(del(HOST, '10.0.0.1'), bytes.delLink({ ifindex: VLAN }), host({ mtu: 1400 }));
    see(2);
    see(OUTLIVED_MS + 1);
    ends();
    see(1);
    kept.lost();
    expect(given()).toEqual({ devices: ['e0 up 1400'], addresses: ['e0 fd00::1'], neighbours: ['e0 10.0.0.9'] });
  });

  it('nor what was taken away long before and not looked at since', () => {
    tell(del(HOST, '10.0.0.1'));
    see(2);
    now += OUTLIVED_MS + 1;
    kept.lost();
    expect(given()?.addresses).toEqual(['e0 fd00::1', 'e0.7 10.7.0.1']);
  });

  it('what was there again in time is there', () => {
    tell(del(HOST, '10.0.0.1'));
    see(2);
    tell(add(HOST, '10.0.0.1'));
    see(2);
    see(OUTLIVED_MS + 1);
    kept.lost();
    expect(given()).toEqual(WHOLE);
  });

  it('a VRF it belonged to is named', () => {
    tell(bytes.newLink({ ifindex: 20, name: 'red', flags: UP, kind: 'vrf', info: { vrf: { table: 10 } } }));
    tell(host({ master: 20 }));
    see(1);
    see(OUTLIVED_MS + 1);
    kept.lost();
    expect(kept.take('wan0', 'cp', 9)?.devices[0]).toMatchObject({ name: 'e0', master: 'red' });
  });
});

describe('nothing is given', () => {
  it('to the same host, to a phy never seen, in another namespace, twice, or when the pair was given up', () => {
    expect(given(HOST)).toBeUndefined();
    expect(kept.take('lan0', 'cp', 9)).toBeUndefined();
    kept.lost();
    expect(given(HOST)).toEqual(WHOLE); // an index may come again
    expect(given()).toBeUndefined();
    see(1);
    expect(kept.take('wan0', 'other', 9)).toBeUndefined();
    see(1);
    kept.forget('wan0');
    expect(given()).toBeUndefined();
  });
});
