// MPLS: label stacks of routes, nexthop objects and AF_MPLS routes, from bytes of Debian's 6.1 kernel and made by hand.

import { describe, expect, it } from 'vitest';
import { AF_INET, AF_INET6, formatWords } from '../../../src/lib/ip.ts';
import { wireOf } from '../../../src/netlink/attr.ts';
import { attrLabels, labelBytes, labelOf } from '../../../src/netlink/labelstack.ts';
import { MessageWriter } from '../../../src/netlink/message.ts';
import { decodeNetconf } from '../../../src/netlink/netconf.ts';
import { decodeNexthop, encodeNexthop } from '../../../src/netlink/nexthop.ts';
import { decodeRoute, MAX_ENCAP_LABELS, MAX_LEGS, RouteMessage } from '../../../src/netlink/route.ts';
import { encodeRoute, type RouteRequest, routeToObject } from '../../../src/netlink/routeobject.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { capturedLike } from './kernel.ts';

function read(like: string, message = new RouteMessage()): RouteMessage {
  expect(decodeRoute(wireOf(capturedLike(like).bytes), 0, message)).toBe(true);
  return message;
}

const stackOf = (m: RouteMessage, leg = 0) => [
  ...m.legLabels.subarray(leg * MAX_ENCAP_LABELS, leg * MAX_ENCAP_LABELS + (m.legLabelCount[leg] as number)),
];

function decode(write: (w: MessageWriter) => void, family: number, dstLen: number): RouteMessage | undefined {
  const w = new MessageWriter().begin(k.RTM_NEWROUTE, 0).u8(family).u8(dstLen).u16(0).u8(254).u8(4).u8(0).u8(1).u32(0);
  write(w);
  const message = new RouteMessage();
  return decodeRoute(wireOf(w.finish().written.slice()), 0, message) ? message : undefined;
}

describe('AF_MPLS routes of a kernel', () => {
  it('swap: the label as key, the stack of the leg outermost first, the next hop', () => {
    const m = read('label 100 as to 200/300');
    expect([m.family, m.dstLen, m.legs, m.multipath, m.ttlPropagate]).toEqual([k.AF_MPLS, 20, 1, false, -1]);
    // 100 << 12 in network order, the bottom-of-stack bit of the wire cleared.
    expect([...new Uint8Array(new Uint32Array([m.d0]).buffer)]).toEqual([0x00, 0x06, 0x40, 0x00]);
    expect([m.d1, m.d2, m.d3]).toEqual([0, 0, 0]);
    expect([stackOf(m), m.legGatewayFamily[0], m.legOif[0], m.legEncapType[0]]).toEqual([[200, 300], AF_INET, 9, 0]);
    expect(formatWords(AF_INET, m.legGateway[0] as number)).toBe('10.0.0.2');
  });

  it('pop, pop to ourselves, over IPv6, over a link-layer address', () => {
    const pop = read('label 101 via 10.0.0.2');
    expect([stackOf(pop), pop.legs]).toEqual([[], 1]);
    const own = read('label 102 dev if1');
    expect([own.legOif[0], own.legGatewayFamily[0], own.legs]).toEqual([1, 0, 1]);
    expect(routeToObject(read('label 103 via')).legs).toEqual([
      { oif: 9, gateway: '2001:db8::2', weight: 1, flags: 0 },
    ]);
    const link = read('label 105 via');
    expect([link.legGatewayFamily[0], routeToObject(link).legs[0]?.gateway]).toEqual([
      k.AF_PACKET,
      '02:00:00:00:00:99',
    ]);
  });

  it('multipath, each leg with its own stack and next hop', () => {
    const m = read('label 104 table');
    expect([m.multipath, m.legs, stackOf(m, 0), stackOf(m, 1)]).toEqual([true, 2, [400], []]);
    expect([m.legGatewayFamily[0], m.legGatewayFamily[1]]).toEqual([AF_INET, AF_INET6]);
  });

  it('TTL propagation, dead legs when their device is gone, and more labels than are kept', () => {
    expect([read('label 106').ttlPropagate, read('label 108').ttlPropagate]).toEqual([0, 1]);
    const dead = read('Deleted label 100');
    expect(dead.legFlags[0]).toBe(k.RTNH_F_DEAD | k.RTNH_F_LINKDOWN);
    const long = read('label 107');
    expect([long.tooManyLabels, stackOf(long)]).toEqual([true, [21, 22, 23, 24, 25, 26, 27, 28]]);
  });
});

describe('labels that IP routes and nexthop objects push', () => {
  it('plain with TTL, IPv6, multipath with a leg without labels', () => {
    const plain = read('10.9.0.0/16 encap');
    expect([stackOf(plain), plain.legTtl[0], plain.encapType]).toEqual([[16, 17], 9, k.LWTUNNEL_ENCAP_MPLS]);
    expect(stackOf(read('2001:db8:9::/48 encap'))).toEqual([40]);
    const many = read('10.8.0.0/16 table');
    expect([0, 1, 2].map((leg) => stackOf(many, leg))).toEqual([[30], [31, 32], []]);
    expect([...many.legEncapType.subarray(0, 3)]).toEqual([1, 1, 0]);
    expect(read('10.7.0.0/16 encap').tooManyLabels).toBe(true);
  });

  it('other encapsulations are named and not read', () => {
    const ip = read('10.6.0.0/16 encap ip');
    expect([ip.encapType, ip.legEncapType[0], ip.legLabelCount[0]]).toEqual([k.LWTUNNEL_ENCAP_IP, 2, 0]);
    const seg6 = read('10.77.0.0/16');
    expect([...seg6.legEncapType.subarray(0, 2)]).toEqual([k.LWTUNNEL_ENCAP_SEG6, 0]);
    expect([seg6.legLabelCount[0], seg6.tooManyLabels]).toEqual([0, false]);
  });

  it('nothing of one message is left in the next that is read into the same object', () => {
    const m = new RouteMessage();
    read('10.8.0.0/16 table', m);
    read('10.9.0.0/16 encap', m);
    read('10.7.0.0/16 encap', m);
    read('10.2.0.0/16 via', m);
    expect([m.legLabelCount[0], m.legTtl[0], m.tooManyLabels, m.legEncapType[0]]).toEqual([0, 0, false, 0]);
    read('label 106', m);
    read('10.3.0.0/16', m);
    expect([m.ttlPropagate, m.legLabelCount[0], m.legLabelCount[1]]).toEqual([-1, 0, 0]);
  });

  it('a nexthop object has its labels and their TTL', () => {
    expect(decodeNexthop(wireOf(capturedLike('[NEXTHOP] id 5 encap').bytes), 0)).toMatchObject({
      id: 5,
      labels: [50, 51],
      ttl: 0,
      encapType: k.LWTUNNEL_ENCAP_MPLS,
      tooManyLabels: false,
    });
    expect(decodeNexthop(wireOf(capturedLike('[NEXTHOP] id 6 encap').bytes), 0)).toMatchObject({
      labels: [52],
      ttl: 7,
    });
    // With compatibility the route tells the path of its object too.
    expect([read('nhid 5').nhId, stackOf(read('nhid 5'))]).toEqual([5, [50, 51]]);
    const w = new MessageWriter().begin(k.RTM_NEWNEXTHOP, 0);
    encodeNexthop(w, { id: 9, oif: 1, labels: [1, 2, 4, 5, 6, 7, 8, 9, 10] });
    const cut = decodeNexthop(wireOf(w.finish().written.slice()), 0);
    expect(cut).toMatchObject({ labels: [1, 2, 4, 5, 6, 7, 8, 9], tooManyLabels: true });
  });

  it('settings say whether an interface takes labels in, and their end names only the interface', () => {
    const netconf = (like: string) => decodeNetconf(wireOf(capturedLike(like).bytes), 0);
    expect(netconf('mpls dev if9 input on')).toEqual({ family: k.AF_MPLS, ifindex: 9, input: true });
    expect(netconf('mpls dev if9 input off')?.input).toBe(false);
    expect(netconf('Deleted mpls dev if9')).toEqual({ family: k.AF_MPLS, ifindex: 9 });
    expect(netconf('inet dev if3 mc_forwarding on')).toEqual({ family: AF_INET, ifindex: 3, mcForwarding: true });
  });
});

describe('label stacks from outside', () => {
  const dst = (w: MessageWriter) => w.attrBytes(k.RTA_DST, labelBytes(100));
  const mpls = (write: (w: MessageWriter) => void, dstLen = 20) => decode(write, k.AF_MPLS, dstLen);

  it('whole label space, there and back', () => {
    for (const label of [0, 3, 15, 16, 255, 4095, 4096, 0xabcde, 0xfffff]) {
      expect(labelOf(new DataView(labelBytes(label).buffer).getUint32(0, true))).toBe(label);
      const w = new MessageWriter().begin(k.RTM_NEWROUTE, 0);
      encodeRoute(w, { family: k.AF_MPLS, dst: `${label}`, legs: [{ oif: 1, gateway: '10.0.0.1', labels: [label] }] });
      const m = new RouteMessage();
      expect(decodeRoute(wireOf(w.finish().written.slice()), 0, m)).toBe(true);
      expect([routeToObject(m).dst, stackOf(m)]).toEqual([`${label}`, [label]]);
    }
    for (const wrong of [-1, 0x100000, 1.5, Number.NaN]) expect(() => labelBytes(wrong)).toThrow(RangeError);
    const request = (dst: string): RouteRequest => ({ family: k.AF_MPLS, dst });
    for (const wrong of ['1048576', '-1', '10.0.0.0/8', '']) {
      expect(() => encodeRoute(new MessageWriter(), request(wrong))).toThrow('not a prefix');
    }
  });

  it('traffic class, bottom bit and TTL of a destination are not part of its label', () => {
    const noisy = mpls((w) => w.attrBytes(k.RTA_DST, new Uint8Array([0x00, 0x06, 0x4f, 0xff])));
    expect(noisy?.d0).toBe(mpls(dst)?.d0);
  });

  it('a route is one label long, with its label, and its gateway is an RTA_VIA', () => {
    expect(mpls(dst)).toBeDefined();
    for (const length of [0, 19, 21, 32]) expect(mpls(dst, length)).toBeUndefined();
    expect(mpls(() => undefined)).toBeUndefined();
    expect(mpls((w) => w.attrBytes(k.RTA_DST, new Uint8Array(8)))).toBeUndefined();
    expect(mpls((w) => attrLabels(w, k.RTA_DST, [1, 2]))).toBeUndefined();
    expect(mpls((w) => dst(w).attrIp(k.RTA_GATEWAY, '10.0.0.1'))).toBeUndefined();
  });

  it('an RTA_VIA of a family that cannot be, or with an address of another size, is malformed', () => {
    const via = (family: number, size: number, of = k.AF_MPLS) => {
      const bytes = new Uint8Array(2 + size).fill(1);
      new DataView(bytes.buffer).setUint16(0, family, true);
      const write = (w: MessageWriter) => {
        if (of === k.AF_MPLS) dst(w);
        w.attrBytes(k.RTA_VIA, bytes);
      };
      return decode(write, of, of === k.AF_MPLS ? 20 : 0) !== undefined;
    };
    expect([via(AF_INET, 4), via(AF_INET6, 16), via(k.AF_PACKET, 6), via(k.AF_PACKET, 16)]).toEqual([
      true,
      true,
      true,
      true,
    ]);
    const wrong: [number, number][] = [
      [AF_INET, 6],
      [AF_INET, 16],
      [AF_INET6, 4],
      [k.AF_PACKET, 18],
      [k.AF_PACKET, 5],
    ];
    for (const [family, size] of [...wrong, [0, 4], [258, 4], [k.AF_MPLS, 4]] as const)
      expect(via(family, size)).toBe(false);
    // Only MPLS has neighbours by link-layer address.
    expect([via(k.AF_PACKET, 6, AF_INET), via(AF_INET6, 16, AF_INET)]).toEqual([false, true]);
  });

  it('a stack that is no stack is malformed wherever it is told', () => {
    const word = (label: number, isLast: boolean) => [
      label >> 12,
      (label >> 4) & 255,
      ((label & 15) << 4) | Number(isLast),
      0,
    ];
    const stacks = {
      'a part of a word': [0, 1, 1],
      'nothing at all': [],
      'no bottom': word(5, false),
      'a bottom in the middle': [...word(5, true), ...word(6, true)],
      'a word and a half': [...word(5, true), 0, 0],
    };
    for (const [name, stack] of Object.entries(stacks)) {
      const bytes = new Uint8Array(stack);
      expect(
        mpls((w) => dst(w).attrBytes(k.RTA_NEWDST, bytes)),
        name,
      ).toBeUndefined();
      const leg = (w: MessageWriter, inner: (w: MessageWriter) => void) => {
        const nest = w.beginNest(k.RTA_MULTIPATH, false);
        const hop = w.beginNest(0, false);
        inner(w.u32(3));
        w.endNest(hop).endNest(nest);
      };
      const encap = (w: MessageWriter) => {
        const nest = w.beginNest(k.RTA_ENCAP, false);
        w.attrBytes(k.MPLS_IPTUNNEL_DST, bytes).endNest(nest);
        return w.attrU16(k.RTA_ENCAP_TYPE, k.LWTUNNEL_ENCAP_MPLS);
      };
      expect(
        mpls((w) => leg(dst(w), (v) => v.attrBytes(k.RTA_NEWDST, bytes))),
        name,
      ).toBeUndefined();
      expect(
        decode((w) => encap(w).attrU32(k.RTA_OIF, 3), AF_INET, 0),
        name,
      ).toBeUndefined();
      expect(
        decode((w) => leg(w, encap), AF_INET, 0),
        name,
      ).toBeUndefined();
      const object = new MessageWriter().begin(k.RTM_NEWNEXTHOP, 0).u32(0).u32(0).attrU32(k.NHA_ID, 5);
      const nest = object.beginNest(k.NHA_ENCAP);
      object.attrBytes(k.MPLS_IPTUNNEL_DST, bytes).endNest(nest).attrU16(k.NHA_ENCAP_TYPE, k.LWTUNNEL_ENCAP_MPLS);
      expect(decodeNexthop(wireOf(object.finish().written.slice()), 0), name).toBeUndefined();
    }
  });

  it('an encapsulation whose inner attributes lie is malformed, in routes and objects', () => {
    for (const inner of [
      [3, 0, 1, 0],
      [0xff, 0xff, 1, 0, 0, 0, 0, 0],
      [9, 0, 1, 0, 0, 0x64, 1, 0],
    ]) {
      const bytes = new Uint8Array(inner);
      const route = (w: MessageWriter) =>
        w.attrBytes(k.RTA_ENCAP, bytes).attrU16(k.RTA_ENCAP_TYPE, 1).attrU32(k.RTA_OIF, 3);
      expect(decode((w) => route(w), AF_INET, 0)).toBeUndefined();
      const object = new MessageWriter().begin(k.RTM_NEWNEXTHOP, 0).u32(0).u32(0).attrU32(k.NHA_ID, 5);
      object.attrBytes(k.NHA_ENCAP, bytes).attrU16(k.NHA_ENCAP_TYPE, 1);
      expect(decodeNexthop(wireOf(object.finish().written.slice()), 0)).toBeUndefined();
    }
    // Of other encapsulations nothing is read, so nothing can be wrong.
    const other = (w: MessageWriter) =>
      w.attrBytes(k.RTA_ENCAP, new Uint8Array([3, 0, 1, 0])).attrU16(k.RTA_ENCAP_TYPE, 5);
    expect(decode((w) => other(w).attrU32(k.RTA_OIF, 3), AF_INET, 0)).toBeDefined();
  });

  it('the last leg that is kept has room for its labels, and those beyond are only counted', () => {
    const w = new MessageWriter().begin(k.RTM_NEWROUTE, 0);
    const legs = Array.from({ length: MAX_LEGS + 2 }, (_, i) => ({
      oif: i + 1,
      gateway: '10.0.0.1',
      labels: [i + 16, 7],
    }));
    encodeRoute(w, { dst: '10.0.0.0/8', legs });
    const m = new RouteMessage();
    expect(decodeRoute(wireOf(w.finish().written.slice()), 0, m)).toBe(true);
    expect([m.legs, m.legsTold, stackOf(m, MAX_LEGS - 1)]).toEqual([MAX_LEGS, MAX_LEGS + 2, [MAX_LEGS + 15, 7]]);
  });
});
