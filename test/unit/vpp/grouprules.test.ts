/**
 * Rules of ABX about groups of the link: what VPP is to hand over, what is told that it cannot, which packets are taken; and frames as
 * hostile as they come.
 */
import { describe, expect, it } from 'vitest';
import type { Abx, AclRule, PuntMatch } from '../../../src/lcp/puntobjects.ts';
import { matchText } from '../../../src/lcp/puntobjects.ts';
import { gapsOfGroups, handedOf, isForLinkGroup, knownGroups, takes } from '../../../src/vpp/grouprules.ts';
import { type IpPacket, readIpFrame } from '../../../src/vpp/ipframe.ts';
import { frameOf, ipPacket, udpPacket } from '../../system/lab/rawframes.ts';
import { rule } from '../lcp/contractpunts.ts';

const MAC = '02:00:00:00:00:01';
const of = (...rules: readonly AclRule[]): Abx => ({
  kind: 'punt',
  feature: 'abx',
  from: 'a',
  to: 'b',
  priority: 1,
  rules,
  dstMac: '',
});
const ospf = (destination: string, more: Partial<AclRule> = {}) => rule(destination, { protocol: 89, ...more });
const udp = (destination: string, first: number, last = first, more: Partial<AclRule> = {}) =>
  rule(destination, { protocol: 17, destinationPorts: [first, last], ...more });
const takenBy = (match: PuntMatch) =>
  matchText(match) === 'ip4/2' ? 'IGMP' : matchText(match) === 'udp4/4789' ? 'VXLAN' : undefined;
const handed = (...rules: readonly AclRule[]) => handedOf(of(...rules), takenBy).map(matchText);
const gaps = (abx: Abx, isBorrowing = false, why: (match: PuntMatch) => string = () => '') =>
  gapsOfGroups(abx, takenBy, why, isBorrowing);

describe('what VPP hands over', () => {
  it('is the protocol or the ports of rules that reach groups of the link', () => {
    expect(handed(ospf('224.0.0.5/32'), ospf('0.0.0.0/0'), ospf('ff02::/16'))).toEqual(['ip4/89', 'ip4/89', 'ip6/89']);
    expect(handed(udp('224.0.0.0/24', 646, 648))).toEqual(['udp4/646', 'udp4/647', 'udp4/648']);
    expect(handed(udp('0.0.0.0/0', 1, 8)).length).toBe(8);
  });

  it('is nothing for rules about single addresses, or that deny', () => {
    const none = [
      ospf('10.0.0.1/32'),
      ospf('fd00::1/128'),
      rule('10.0.0.0/8'),
      ospf('224.0.0.5/32', { permit: false }),
    ];
    expect(handed(...none)).toEqual([]);
    expect(gaps(of(...none))).toEqual([]);
  });

  it.each([
    ['any protocol', rule('0.0.0.0/0'), 'IPv4 any protocol any to any: VPP hands over single protocols'],
    [
      'a protocol of its own',
      rule('224.0.0.0/24', { protocol: 2 }),
      'IPv4 IGMP any to 224.0.0.0/24: VPP itself takes it: IGMP',
    ],
    [
      'many ports',
      udp('224.0.0.0/4', 1000, 1008),
      'IPv4 UDP any to 224.0.0.0/4 port 1000-1008: VPP hands over single ports',
    ],
    ['all ports', rule('::/0', { protocol: 17 }), 'IPv6 UDP any to any: VPP hands over single ports'],
    ['a port of its own', udp('224.0.0.1/32', 4789), 'port 4789: VPP itself takes it: VXLAN'],
    ['a port that is none', udp('224.0.0.1/32', 0), 'port 0: VPP hands over ports from 1 to 65534'],
    ['TCP', rule('224.0.0.5/32', { protocol: 6 }), 'IPv4 TCP any to 224.0.0.5/32: TCP knows no groups'],
    [
      'other groups',
      ospf('239.0.0.0/8'),
      'IPv4 OSPF any to 239.0.0.0/8: VPP is made to take groups of the link only, 224.0.0.0/24',
    ],
    [
      'other groups of IPv6',
      ospf('ff05::2/128'),
      'IPv6 OSPF any to ff05::2/128: VPP is made to take groups of the link only, ff02::/16',
    ],
  ])('is told that it is not for %s', (_name, of_, said) => {
    expect(handed(of_)).toEqual([]);
    expect(gaps(of(of_))).toEqual([expect.stringContaining(said)]);
  });

  it('is told what is in the way of a rule, once', () => {
    const abx = of(ospf('224.0.0.5/32'), udp('224.0.0.2/32', 646, 647));
    expect(gaps(abx, false, () => 'somebody has it')).toEqual([
      'abx a b: packets to groups are not taken by the rule IPv4 OSPF any to 224.0.0.5/32: somebody has it',
      'abx a b: packets to groups are not taken by the rule IPv4 UDP any to 224.0.0.2/32 port 646-647: somebody has it',
    ]);
    // TCP to any address loses nothing
    expect(gaps(of(rule('0.0.0.0/0', { protocol: 6 })))).toEqual([]);
  });

  it('from borrowed addresses is for groups that are known one by one', () => {
    expect(knownGroups(ospf('0.0.0.0/0'))).toEqual(['224.0.0.5', '224.0.0.6']);
    expect(knownGroups(ospf('224.0.0.6/32'))).toEqual(['224.0.0.6']);
    expect(knownGroups(ospf('224.0.0.128/25'))).toEqual([]);
    expect(knownGroups(udp('0.0.0.0/0', 646))).toEqual(['224.0.0.2']);
    expect(knownGroups(ospf('ff02::5/128'))).toEqual([]);
    expect(knownGroups(ospf('239.1.1.1/32'))).toEqual([]);
    expect(gaps(of(ospf('0.0.0.0/0')), true)).toEqual([]);
    expect(gaps(of(udp('0.0.0.0/0', 9999)), true)).toEqual([expect.stringContaining('name each')]);
    expect(gaps(of(udp('0.0.0.0/0', 9999)))).toEqual([]);
  });
});

const read = (frame: Uint8Array) => readIpFrame(frame) as IpPacket;
const hello = (dst = '224.0.0.5', proto = 89, src = dst.includes(':') ? 'fe80::1' : '10.0.0.2') =>
  frameOf(MAC, MAC, ipPacket({ src, dst, proto, ttl: 1, payload: Buffer.alloc(24) }));

describe('a packet', () => {
  it('is taken by the first rule that fits, unless that denies', () => {
    expect(takes(of(ospf('224.0.0.5/32')), read(hello()))).toBe(true);
    expect(takes(of(ospf('224.0.0.6/32')), read(hello()))).toBe(false);
    expect(takes(of(ospf('0.0.0.0/0', { source: '10.0.0.0/30' })), read(hello()))).toBe(true);
    expect(takes(of(ospf('0.0.0.0/0', { source: '10.0.0.0/31' })), read(hello()))).toBe(false);
    expect(takes(of(ospf('224.0.0.5/32', { permit: false }), ospf('0.0.0.0/0')), read(hello()))).toBe(false);
    expect(takes(of(rule('0.0.0.0/0')), read(hello('ff02::5')))).toBe(false);
    expect(takes(of(rule('::/0')), read(hello('ff02::5')))).toBe(true);
    expect(takes(of(ospf('0.0.0.0/0')), read(hello('224.0.0.13', 103)))).toBe(false);
  });

  it('of UDP is taken by its ports, which a later fragment does not have', () => {
    const packet = udpPacket('10.0.0.2', '224.0.0.2', 646, Buffer.alloc(10), 1);
    const both = of(udp('224.0.0.2/32', 646, 647, { sourcePorts: [9876, 9876] }));
    expect(takes(both, read(frameOf(MAC, MAC, packet)))).toBe(true);
    expect(takes(of(udp('224.0.0.2/32', 647)), read(frameOf(MAC, MAC, packet)))).toBe(false);
    expect(takes(of(udp('224.0.0.2/32', 646, 646, { sourcePorts: [1, 2] })), read(frameOf(MAC, MAC, packet)))).toBe(
      false,
    );
    const later = Buffer.from(packet);
    later.writeUInt16BE(3, 6);
    expect(takes(both, read(frameOf(MAC, MAC, later)))).toBe(false);
    expect(takes(of(rule('224.0.0.2/32', { protocol: 17 })), read(frameOf(MAC, MAC, later)))).toBe(true);
  });

  it('is for a group of the link, or not', () => {
    expect([hello(), hello('ff02::5')].map((frame) => isForLinkGroup(read(frame)))).toEqual([true, true]);
    expect(
      [hello('224.0.1.5'), hello('10.0.0.1'), hello('ff05::5')].map((frame) => isForLinkGroup(read(frame))),
    ).toEqual([false, false, false]);
  });

  it('is read behind two tags at most, and not when it is cut short anywhere', () => {
    for (const whole of [hello(), hello('ff02::5')]) {
      for (let length = 0; length < whole.length; length++)
        expect(readIpFrame(whole.subarray(0, length))).toBeUndefined();
      expect(readIpFrame(whole)?.protocol).toBe(89);
      expect(readIpFrame(Buffer.concat([whole, Buffer.alloc(30)]))?.payload.length).toBe(24);
    }
    const packet = hello().subarray(14);
    expect(readIpFrame(frameOf(MAC, MAC, packet, [1, 2]))?.protocol).toBe(89);
    expect(readIpFrame(frameOf(MAC, MAC, packet, [1, 2, 3]))).toBeUndefined();
    const [short, other] = [Buffer.from(packet), Buffer.from(packet)];
    short[0] = 0x44;
    other[0] = 0x65;
    expect([short, other].map((each) => readIpFrame(frameOf(MAC, MAC, each)))).toEqual([undefined, undefined]);
  });
});
