// Routes, IPv4: what each RTM_NEWROUTE, RTM_DELROUTE and dump does to a prefix's entries, rule by rule.

import { describe, expect, it } from 'vitest';
import * as k from '../../../src/netlink/uapi.ts';
import { A, APPEND, B, C, CREATE, D4, type Event, play, REPLACE, v4 } from './routeevents.ts';

const weighed = (...weights: number[]) => weights.map((weight, i) => ({ oif: 1, gateway: i === 0 ? A : B, weight }));

const TABLE4: readonly (readonly [string, readonly Event[], readonly string[]])[] = [
  ['one', [['new', v4(A)]], [`0:${A}%1`]],
  [
    'told twice',
    [
      ['new', v4(A)],
      ['new', v4(A)],
    ],
    [`0:${A}%1`],
  ],
  [
    'told again as made anew: it takes the place of a new one',
    [
      ['new', v4(A)],
      ['new', v4(B), CREATE | APPEND],
      ['new', v4(A), CREATE | APPEND],
    ],
    [`0:${B}%1`, `0:${A}%1`],
  ],
  [
    'two that differ only in metrics are two, and the one that is told to be gone goes',
    [
      ['new', v4(A, { mtu: 1400 })],
      ['new', v4(B), CREATE | APPEND],
      ['new', v4(A), CREATE | APPEND],
      ['del', v4(A, { mtu: 1400 })],
    ],
    [`0:${B}%1`, `0:${A}%1`],
  ],
  [
    'made anew over a leg that is dead now: it is the same route, and there is one',
    [
      ['new', v4(A)],
      ['new', v4(B), CREATE | APPEND],
      ['new', { dst: D4, legs: [{ oif: 1, gateway: A, flags: k.RTNH_F_DEAD | k.RTNH_F_LINKDOWN }] }, CREATE | APPEND],
    ],
    [`0:${B}%1`, `0:${A}%1 dead`],
  ],
  ...[k.RTM_F_OFFLOAD, k.RTM_F_TRAP, 0x2000_0000].map(
    (flags) =>
      [
        `told again because hardware has taken it or not (flags ${flags}): it stays where it is`,
        [
          ['new', v4(A)],
          ['new', v4(B), CREATE | APPEND],
          ['new', v4(B, { flags }), 0],
        ],
        [`0:${A}%1`, `0:${B}%1`],
      ] as const,
  ),
  [
    'metrics in order, however they come',
    [
      ['new', v4(A, { priority: 20 })],
      ['new', v4(B)],
      ['new', v4(C, { priority: 10 })],
    ],
    [`0:${B}%1`, `10:${C}%1`, `20:${A}%1`],
  ],
  [
    'a metric above 2^31 is a large one',
    [
      ['new', v4(A, { priority: 0xffffffff })],
      ['new', v4(B, { priority: 1 })],
    ],
    [`1:${B}%1`, `4294967295:${A}%1`],
  ],
  [
    'append goes behind equal keys',
    [
      ['new', v4(A)],
      ['new', v4(B), CREATE | APPEND],
      ['new', v4(C), CREATE | APPEND],
    ],
    [`0:${A}%1`, `0:${B}%1`, `0:${C}%1`],
  ],
  [
    'prepend goes before them',
    [
      ['new', v4(A)],
      ['new', v4(B), CREATE],
    ],
    [`0:${B}%1`, `0:${A}%1`],
  ],
  [
    'append stays before the next metric',
    [
      ['new', v4(A)],
      ['new', v4(C, { priority: 9 })],
      ['new', v4(B), CREATE | APPEND],
    ],
    [`0:${A}%1`, `0:${B}%1`, `9:${C}%1`],
  ],
  [
    'replace takes the first of the key',
    [
      ['new', v4(A)],
      ['new', v4(B), CREATE | APPEND],
      ['new', v4(C), REPLACE],
    ],
    [`0:${C}%1`, `0:${B}%1`],
  ],
  [
    'replace of another metric adds',
    [
      ['new', v4(A)],
      ['new', v4(B, { priority: 5 }), REPLACE],
    ],
    [`0:${A}%1`, `5:${B}%1`],
  ],
  [
    'replace changes the type',
    [
      ['new', v4(A)],
      ['new', { dst: D4, type: k.RTN_BLACKHOLE }, REPLACE],
    ],
    ['0:type6'],
  ],
  [
    'a replacement told after a dump that showed it',
    [['new', v4(A)], ['begin'], ['dump', v4(B)], ['sweep'], ['new', v4(A)], ['new', v4(B), REPLACE]],
    [`0:${B}%1`],
  ],
  [
    'higher tos first',
    [
      ['new', v4(A)],
      ['new', v4(B, { tos: 16 })],
      ['new', v4(C, { tos: 8 })],
    ],
    [`0:${B}%1`, `0:${C}%1`, `0:${A}%1`],
  ],
  [
    'replace leaves other tos alone',
    [
      ['new', v4(A, { tos: 8 })],
      ['new', v4(B), CREATE | REPLACE],
    ],
    [`0:${A}%1`, `0:${B}%1`],
  ],
  [
    'other protocol is another route',
    [
      ['new', v4(A)],
      ['new', v4(A, { protocol: k.RTPROT_BIRD }), CREATE | APPEND],
    ],
    [`0:${A}%1`, `0:${A}%1`],
  ],
  [
    'deletes exactly what is named',
    [
      ['new', v4(A)],
      ['new', v4(B), CREATE | APPEND],
      ['del', v4(B)],
    ],
    [`0:${A}%1`],
  ],
  [
    'a deletion of the first uncovers the shadow',
    [
      ['new', v4(A)],
      ['new', v4(B), CREATE | APPEND],
      ['del', v4(A)],
    ],
    [`0:${B}%1`],
  ],
  [
    'a deletion of what is not there is nothing',
    [
      ['new', v4(A)],
      ['del', v4(B)],
      ['del', v4(A, { priority: 5 })],
      ['del', { dst: '11.0.0.0/8' }],
    ],
    [`0:${A}%1`],
  ],
  [
    'a deletion knows its route by the legs when only the dead flag changed',
    [
      [
        'new',
        {
          dst: D4,
          legs: [
            { oif: 1, gateway: A },
            { oif: 2, gateway: B },
          ],
        },
      ],
      [
        'del',
        {
          dst: D4,
          legs: [
            { oif: 1, gateway: A, flags: k.RTNH_F_DEAD },
            { oif: 2, gateway: B },
          ],
        },
      ],
    ],
    [],
  ],
  [
    'multipath is one route',
    [
      [
        'new',
        {
          dst: D4,
          legs: [
            { oif: 1, gateway: A, weight: 3 },
            { oif: 2, gateway: B },
          ],
        },
      ],
    ],
    [`0:${A}%1+${B}%2`],
  ],
  ['with a nexthop object the object counts, not the legs told along', [['new', { dst: D4, nhId: 7 }]], ['0:nh7']],
  [
    'cloned, source-specific and unknown types are left out',
    [
      ['new', v4(A, { flags: k.RTM_F_CLONED })],
      ['new', v4(A, { src: '1.0.0.0/8' })],
      ['new', v4(A, { type: k.RTN_NAT })],
      ['new', v4(A, { type: k.RTN_UNSPEC })],
    ],
    [],
  ],
  [
    'a dump shows shadows in the kernel’s order',
    [['new', v4(A)], ['new', v4(B), CREATE | APPEND], ['begin'], ['dump', v4(B)], ['dump', v4(A)], ['sweep']],
    [`0:${B}%1`, `0:${A}%1`],
  ],
  [
    'a dump finds what was replaced unheard',
    [['new', v4(A)], ['new', v4(B), CREATE | APPEND], ['begin'], ['dump', v4(C)], ['dump', v4(B)], ['sweep']],
    [`0:${C}%1`, `0:${B}%1`],
  ],
  ['a dump without sweep removes nothing', [['new', v4(A)], ['begin'], ['dump', v4(B)]], [`0:${B}%1`, `0:${A}%1`]],
  ['a sweep takes what the dump did not show', [['new', v4(A)], ['begin'], ['sweep']], []],
  ['a sweep spares what was told after the dump began', [['begin'], ['new', v4(A)], ['sweep']], [`0:${A}%1`]],
  [
    'a sweep of one device leaves others',
    [
      ['new', v4(A)],
      ['new', v4(B, { oif: 2 }), CREATE | APPEND],
      ['begin', 2],
      ['sweep', { oif: 2 }],
    ],
    [`0:${A}%1`],
  ],
  ['a sweep of another table takes nothing', [['new', v4(A)], ['begin'], ['sweep', { table: 100 }]], [`0:${A}%1`]],
  [
    'a dump of one device puts nothing in the place of another’s route',
    [
      ['new', v4(A, { oif: 1 })],
      ['new', v4(B, { oif: 2 }), CREATE | APPEND],
      ['begin', 2],
      ['dump', { dst: D4, legs: [{ oif: 2, gateway: B, flags: k.RTNH_F_DEAD }] }],
      ['sweep', { oif: 2 }],
    ],
    [`0:${A}%1`, `0:${B}%2 dead`],
  ],
  [
    'a dump of one device does not put its routes first',
    [
      ['new', v4(A, { oif: 1 })],
      ['new', v4(B, { oif: 2 }), CREATE | APPEND],
      ['begin', 2],
      ['dump', v4(B, { oif: 2 })],
      ['sweep', { oif: 2 }],
    ],
    [`0:${A}%1`, `0:${B}%2`],
  ],
  // an end that is told late, after a dump without the route, is not that of its neighbour in the same place
  ...(
    [
      ['source', { prefsrc: '10.0.0.1' }, { prefsrc: '10.0.0.2' }],
      ['metrics', { mtu: 1300 }, { mtu: 1400 }],
      ['protocol', { protocol: k.RTPROT_STATIC }, { protocol: k.RTPROT_BGP }],
      ['weights', { legs: weighed(1, 2) }, { legs: weighed(1, 3) }],
    ] as const
  ).map(
    ([what, is, was]) =>
      [
        `the end of a route with another ${what} is not this one’s`,
        [
          ['dump', v4(A, is)],
          ['del', v4(A, was)],
        ],
        [what === 'weights' ? `0:${A}%1+${B}%1` : `0:${A}%1`],
      ] as const,
  ),
];

describe('IPv4', () => {
  it.each(TABLE4)('%s', (_, events, expected) => expect(play(4, D4, events)).toEqual(expected));
});
