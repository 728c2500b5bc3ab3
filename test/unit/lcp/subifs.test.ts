// Subifs: VLAN devices in the kernel, sub-interfaces in the data plane: which count, and what they are called.

import { describe, expect, it } from 'vitest';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { Pairs } from '../../../src/lcp/pairs.ts';
import { deriveSubifs } from '../../../src/lcp/subifs.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { batchFrom, delLink, type Message, newLink } from './kernelbytes.ts';

const DOT1AD = 0x88a8;
const UP = k.IFF_UP | k.IFF_LOWER_UP;

describe('a VLAN device', () => {
  const vlan = (ifindex: number, link: number, id: number, protocol = 0x8100, more = {}): Message =>
    newLink({ ifindex, name: `v${ifindex}`, flags: UP, link, kind: 'vlan', info: { vlan: { id, protocol } }, ...more });
  const other = (ifindex: number, kind: string, link?: number): Message =>
    newLink({ ifindex, name: `o${ifindex}`, flags: UP, kind, ...(link === undefined ? {} : { link }) });
  /** Host 2 belongs to wan0, host 3 to tun0, which is a TUN. */
  const found = (...messages: Message[]) => {
    const ns = new Namespace('cp');
    ns.apply(batchFrom([other(2, 'tun'), other(3, 'tun'), ...messages]));
    const pairs = new Pairs();
    pairs.configure([
      { phy: 'wan0', host: 'e0', netns: 'cp', type: 'tap' },
      { phy: 'tun0', host: 't0', netns: 'cp', type: 'tun' },
      { phy: 'wan0.77', host: 'e7', netns: 'cp', type: 'tap' },
    ]);
    pairs.join('wan0', 'cp', 2);
    pairs.join('tun0', 'cp', 3);
    return [...deriveSubifs(ns, pairs)].map(([phy, { object, ifindex }]) => {
      expect([object.phy, object.netns]).toEqual([phy, 'cp']);
      return `${phy} of ${object.parent} by ${object.tags.map((t) => t.toString(16)).join(' ')} is ${ifindex}`;
    });
  };

  it.each<[string, Message[], string[]]>([
    ['dot1q', [vlan(5, 2, 100)], ['wan0.100 of wan0 by 81000064 is 5']],
    ['dot1ad', [vlan(5, 2, 100, DOT1AD)], ['wan0.ad100 of wan0 by 88a80064 is 5']],
    ['the greatest VLAN id', [vlan(5, 2, 4094)], ['wan0.4094 of wan0 by 81000ffe is 5']],
    [
      'QinQ: both devices, the outer tag first',
      [vlan(5, 2, 100), vlan(6, 5, 7)],
      ['wan0.100 of wan0 by 81000064 is 5', 'wan0.100.7 of wan0 by 81000064 81000007 is 6'],
    ],
    [
      'QinAD',
      [vlan(5, 2, 100, DOT1AD), vlan(6, 5, 7)],
      ['wan0.ad100 of wan0 by 88a80064 is 5', 'wan0.ad100.7 of wan0 by 88a80064 81000007 is 6'],
    ],
    [
      'told before its lower device',
      [vlan(6, 5, 7), vlan(5, 2, 100)],
      ['wan0.100 of wan0 by 81000064 is 5', 'wan0.100.7 of wan0 by 81000064 81000007 is 6'],
    ],
    [
      'three levels: only two count',
      [vlan(5, 2, 1), vlan(6, 5, 2), vlan(7, 6, 3)],
      ['wan0.1 of wan0 by 81000001 is 5', 'wan0.1.2 of wan0 by 81000001 81000002 is 6'],
    ],
    ['on a device that is no host', [other(4, 'dummy'), vlan(5, 4, 100)], []],
    ['on a TUN', [vlan(5, 3, 100)], []],
    ['on a bridge', [other(4, 'bridge'), vlan(5, 4, 100)], []],
    ['on a bond', [other(4, 'bond'), vlan(5, 4, 100)], []],
    ['on a macvlan of the host', [other(4, 'macvlan', 2), vlan(5, 4, 100)], []],
    ['whose lower device is in another namespace', [vlan(5, 2, 100, 0x8100, { linkNetnsid: 0 })], []],
    ['on one whose lower device is elsewhere', [vlan(5, 2, 1, 0x8100, { linkNetnsid: 3 }), vlan(6, 5, 2)], []],
    ['whose lower device is not known', [vlan(5, 99, 100)], []],
    ['that is its own lower device', [vlan(5, 5, 100)], []],
    ['without a word of its tag', [newLink({ ifindex: 5, name: 'v', link: 2, kind: 'vlan' })], []],
    ['with the name of a pair’s phy', [vlan(5, 2, 77)], []],
    [
      'on one that gave its name to a pair',
      [vlan(5, 2, 77), vlan(6, 5, 7)],
      ['wan0.77.7 of wan0 by 8100004d 81000007 is 6'],
    ],
    ['deleted', [vlan(5, 2, 100), delLink({ ifindex: 5, name: 'v5' })], []],
  ])('%s', (_, messages, expected) => expect(found(...messages)).toEqual(expected));
});
