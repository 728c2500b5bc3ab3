// RouteMessage: each shape of route as the kernel tells it, legs, reuse of the object, and the limits.

import { describe, expect, it } from 'vitest';
import { ipBytes, wordsOf } from '../../../src/lib/ip.ts';
import { wireOf } from '../../../src/netlink/attr.ts';
import { MessageWriter } from '../../../src/netlink/message.ts';
import { decodeRoute, MAX_LEGS, RouteMessage } from '../../../src/netlink/route.ts';
import { encodeRoute, type RouteRequest, routeToObject } from '../../../src/netlink/routeobject.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { captured, capturedLike } from './kernel.ts';

function read(like: string) {
  const message = new RouteMessage();
  expect(decodeRoute(wireOf(capturedLike(like).bytes), 0, message)).toBe(true);
  return message;
}

function encoded(route: RouteRequest): Uint8Array {
  const writer = new MessageWriter().begin(k.RTM_NEWROUTE, 0);
  encodeRoute(writer, route);
  return writer.finish().written.slice();
}

describe('routes of the kernel', () => {
  it('plain, with metric and protocol', () => {
    expect(routeToObject(read('10.2.0.0/16 via'))).toEqual({
      family: 2,
      dst: '10.2.0.0/16',
      tos: 0,
      table: 254,
      protocol: k.RTPROT_BGP,
      scope: 0,
      type: k.RTN_UNICAST,
      flags: 0,
      priority: 20,
      multipath: false,
      legs: [{ oif: 3, gateway: '10.1.0.2', weight: 1, flags: 0 }],
    });
  });

  it('destination and gateway words are the network bytes as they lie', () => {
    const message = read('10.2.0.0/16 via');
    expect([message.d0, message.d1, message.d2, message.d3]).toEqual([...wordsOf(ipBytes('10.2.0.0'))]);
    expect(message.legGateway[0]).toBe(wordsOf(ipBytes('10.1.0.2'))[0]);
    const six = read('2001:db8:100::/48');
    expect([six.d0, six.d1, six.d2, six.d3]).toEqual([...wordsOf(ipBytes('2001:db8:100::'))]);
    expect([...six.legGateway.subarray(0, 4)]).toEqual([...wordsOf(ipBytes('2001:db8:1::2'))]);
  });

  it('multipath, with weights, a leg without gateway, and the flags of each leg', () => {
    const message = read('10.3.0.0/16');
    expect(message.multipath).toBe(true);
    expect(routeToObject(message).legs).toEqual([
      { oif: 3, gateway: '10.1.0.2', weight: 1, flags: 0 },
      { oif: 3, gateway: '10.1.0.3', weight: 5, flags: 0 },
      { oif: 6, weight: 1, flags: k.RTNH_F_LINKDOWN },
    ]);
  });

  it('IPv4 over an IPv6 gateway, plain and in a leg', () => {
    expect(routeToObject(read('10.4.0.0/16')).legs).toEqual([{ oif: 3, gateway: 'fe80::5', weight: 1, flags: 0 }]);
    const message = read('10.4.1.0/24');
    expect([message.legGatewayFamily[0], message.legGatewayFamily[1]]).toEqual([10, 2]);
    expect(routeToObject(message).legs.map((leg) => leg.gateway)).toEqual(['fe80::5', '10.1.0.4']);
  });

  it('special types: IPv4 without leg, IPv6 with lo as leg; tables beyond a byte', () => {
    expect(read('blackhole 10.6').legs).toBe(0);
    expect(read('unreachable 10.6').type).toBe(k.RTN_UNREACHABLE);
    expect(read('prohibit 10.6').table).toBe(1000);
    expect(read('throw 10.6').type).toBe(k.RTN_THROW);
    const six = read('blackhole 2001');
    expect([six.type, six.legs, six.legOif[0]]).toEqual([k.RTN_BLACKHOLE, 1, 1]);
  });

  it('metrics, preferred source, tos, source prefix, preference, expiry', () => {
    const four = routeToObject(read('10.7.0.0/16 via'));
    expect([four.mtu, four.prefsrc]).toEqual([1400, '10.1.0.1']);
    expect(read('10.7.0.0/16 tos').tos).toBe(0x10);
    expect(routeToObject(read('2001:db8:104::')).src).toBe('2001:db8:1::/64');
    expect(read('2001:db8:100::').pref).toBe(1);
    const expiring = read('2001:db8:103::/48 via fe80::9 dev if3 table main proto boot metric 1024 expires').expires;
    expect(expiring).toBeGreaterThan(59_000);
    expect(expiring).toBeLessThanOrEqual(60_000);
  });

  it('the default route has no bits and leg 0 carries the flags', () => {
    const message = read('0.0.0.0/0');
    expect([message.dstLen, message.d0, message.legFlags[0]]).toEqual([0, 0, k.RTNH_F_ONLINK]);
  });

  it('nexthop id, with the legs that compat mode adds', () => {
    const message = read('10.8.0.0/16');
    expect(message.nhId).toBe(10);
    expect([message.legWeight[0], message.legWeight[1]]).toEqual([2, 7]);
  });

  it('encapsulation type', () => {
    expect(read('10.11.0.0/16').encapType).toBe(4);
  });

  it('IPv6 append tells all legs and delete tells one', () => {
    expect(read('Appended 2001:db8:101::').legs).toBe(3);
    const deleted = read('Deleted 2001:db8:101::/48 via 2001:db8:1::2');
    expect([deleted.legs, deleted.multipath]).toEqual([1, false]);
  });
});

describe('reuse', () => {
  it('nothing of one route is left in the next, whatever the order', () => {
    const routes = captured.filter((message) => (message.type & ~3) === k.RTM_NEWROUTE);
    const reused = new RouteMessage();
    for (const before of routes) {
      for (const { bytes, line } of routes) {
        decodeRoute(wireOf(before.bytes), 0, reused);
        decodeRoute(wireOf(bytes), 0, reused);
        const fresh = new RouteMessage();
        decodeRoute(wireOf(bytes), 0, fresh);
        expect(routeToObject(reused), line).toEqual(routeToObject(fresh));
      }
    }
  });
});

describe('limits', () => {
  const legs = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      oif: i + 1,
      gateway: `10.0.${i >> 8}.${i & 255}`,
      weight: 1 + (i % 256),
    }));

  it('keeps MAX_LEGS legs and reports how many were told', () => {
    for (const count of [2, MAX_LEGS, MAX_LEGS + 1, 600]) {
      const message = new RouteMessage();
      expect(decodeRoute(wireOf(encoded({ dst: '10.0.0.0/8', legs: legs(count) })), 0, message)).toBe(true);
      expect([message.legs, message.legsTold]).toEqual([Math.min(count, MAX_LEGS), count]);
      expect(message.legWeight[message.legs - 1]).toBe(message.legs);
    }
  });

  it('refuses prefix lengths that the family does not have, wrong address sizes, and two multipaths', () => {
    const message = new RouteMessage();
    const good = encoded({ dst: '10.0.0.0/8', legs: legs(1) });
    expect(decodeRoute(wireOf(good), 0, message)).toBe(true);
    const long = good.slice();
    long[17] = 33;
    expect(decodeRoute(wireOf(long), 0, message)).toBe(false);
    const six = good.slice();
    six[16] = 10;
    expect(decodeRoute(wireOf(six), 0, message)).toBe(false);
    const one = encoded({ dst: '10.0.0.0/8', multipath: true, legs: legs(1) });
    const nest = one.slice(one.length - 20);
    const two = new Uint8Array([...one, ...nest]);
    new DataView(two.buffer).setUint32(0, two.length, true);
    expect(decodeRoute(wireOf(one), 0, message)).toBe(true);
    expect(decodeRoute(wireOf(two), 0, message)).toBe(false);
  });

  it('says no to text that is not a prefix or a gateway', () => {
    expect(() => encoded({ dst: '10.0.0.0/33' })).toThrow('not a prefix');
    expect(() => encoded({ dst: '10.0.0.0/8', src: 'x' })).toThrow('not a prefix');
    expect(() => encoded({ dst: '10.0.0.0/8', legs: [{ gateway: '10.0.0' }] })).toThrow('not an IP address');
  });
});
