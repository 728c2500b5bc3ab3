// Routes, IPv6: siblings, legs that come and go one by one, and routes that only coexist.

import { describe, expect, it } from 'vitest';
import * as k from '../../../src/netlink/uapi.ts';
import type { RouteText } from './kernelbytes.ts';
import { APPEND, attached, CREATE, D6, type Event, play, REPLACE, v6 } from './routeevents.ts';

/** One gateway, by so many stacks of labels. */
const labelled = (...stacks: number[][]): RouteText => ({
  ...v6([]),
  legs: stacks.map((labels) => ({ oif: 1, gateway: 'fe80::1', labels })),
});

const TABLE6: readonly (readonly [string, readonly Event[], readonly string[]])[] = [
  [
    'a sibling is told with all legs of its route',
    [
      ['new', v6(['fe80::1'])],
      ['new', v6(['fe80::2', 'fe80::1']), CREATE | APPEND],
    ],
    ['20:fe80::1%1+fe80::2%1'],
  ],
  [
    'routes without gateway coexist',
    [
      ['new', attached(1)],
      ['new', attached(2)],
    ],
    ['256:%1', '256:%2'],
  ],
  [
    'and each is deleted by itself',
    [
      ['new', attached(1)],
      ['new', attached(2)],
      ['del', attached(1)],
    ],
    ['256:%2'],
  ],
  [
    'one without gateway that is told again was made anew, in the place of a new one',
    [
      ['new', attached(1)],
      ['new', attached(2), CREATE],
      ['new', attached(1), CREATE],
    ],
    ['256:%2', '256:%1'],
  ],
  [
    'two that differ only in metrics are two: one that is replaced leaves the other',
    [
      ['new', attached(1)],
      ['new', attached(2), CREATE],
      ['new', attached(2, { mtu: 1400 }), REPLACE],
    ],
    ['256:%2', '256:%2'],
  ],
  [
    'what is replaced by the like of another one leaves a twin of that: both are dumped, and each ends by itself',
    [
      ['new', attached(1)],
      ['new', attached(2), CREATE],
      ['new', attached(2), REPLACE],
      ['begin'],
      ['dump', attached(2)],
      ['dump', attached(2)],
      ['sweep', {}],
      ['del', attached(2)],
    ],
    ['256:%2'],
  ],
  [
    'what one datagram of a dump shows twice is there twice',
    [['begin'], ['dump', attached(2)], ['dump', attached(2)], ['sweep', {}], ['del', attached(2)]],
    ['256:%2'],
  ],
  [
    'what a dump shows again in another datagram is there once',
    [['begin'], ['dump', attached(2), 0, 1], ['dump', attached(2), 0, 2], ['sweep', {}]],
    ['256:%2'],
  ],
  [
    'metrics are those of one leg, and no identity of a route with gateways',
    [
      ['new', v6(['fe80::1'], { mtu: 1400 })],
      ['new', v6(['fe80::2', 'fe80::1']), CREATE | APPEND],
      ['del', v6(['fe80::1'], { mtu: 1400 })],
    ],
    ['20:fe80::2%1'],
  ],
  [
    'with and without gateway coexist',
    [
      ['new', v6(['fe80::1'])],
      ['new', attached(2, { priority: 20 })],
    ],
    ['20:fe80::1%1', '20:%2'],
  ],
  [
    'what a dump hides between the legs of a route stays, when every notice was heard',
    [
      ['new', v6(['fe80::1'])],
      ['new', attached(2, { priority: 20 }), CREATE | APPEND],
      ['new', v6(['fe80::2', 'fe80::1']), CREATE | APPEND],
      ['begin'],
      ['dump', v6(['fe80::1', 'fe80::2'])],
      ['sweep', {}, true],
    ],
    ['20:fe80::1%1+fe80::2%1', '20:%2'],
  ],
  [
    'and goes when some were lost: only what is shown is believed',
    [
      ['new', v6(['fe80::1'])],
      ['new', attached(2, { priority: 20 }), CREATE | APPEND],
      ['new', v6(['fe80::2', 'fe80::1']), CREATE | APPEND],
      ['begin'],
      ['dump', v6(['fe80::1', 'fe80::2'])],
      ['sweep', {}, false],
    ],
    ['20:fe80::1%1+fe80::2%1'],
  ],
  [
    'other metric is another route',
    [
      ['new', v6(['fe80::1'])],
      ['new', v6(['fe80::2'], { priority: 10 })],
    ],
    ['10:fe80::2%1', '20:fe80::1%1'],
  ],
  [
    'a deletion of one leg leaves the others',
    [
      ['new', v6(['fe80::1', 'fe80::2', 'fe80::3'])],
      ['del', v6(['fe80::2'])],
    ],
    ['20:fe80::1%1+fe80::3%1'],
  ],
  [
    'leg by leg until none is left',
    [
      ['new', v6(['fe80::1', 'fe80::2'])],
      ['del', v6(['fe80::2'])],
      ['del', v6(['fe80::1'])],
    ],
    [],
  ],
  [
    'a deletion of all legs at once',
    [
      ['new', v6(['fe80::1', 'fe80::2'])],
      ['del', v6(['fe80::1', 'fe80::2'])],
    ],
    [],
  ],
  [
    'a deletion of one of two legs that differ in their labels leaves the other',
    [
      ['new', labelled([16], [17, 18])],
      ['del', labelled([16])],
    ],
    ['20:fe80::1%1 17/18'],
  ],
  [
    'and of the other one',
    [
      ['new', labelled([16], [])],
      ['del', labelled([])],
    ],
    ['20:fe80::1%1 16'],
  ],
  [
    'a dump of one device that does not show a route any more takes its legs over it',
    [
      [
        'new',
        {
          ...v6(['fe80::1']),
          legs: [1, 2].map((oif) => ({ oif, gateway: 'fe80::1' })),
        },
      ],
      ['new', attached(2, { priority: 30 })],
      ['begin', 2],
      ['sweep', { oif: 2 }],
    ],
    ['20:fe80::1%1'],
  ],
  [
    'a deletion of a leg that it does not have',
    [
      ['new', v6(['fe80::1', 'fe80::2'])],
      ['del', v6(['fe80::9'])],
    ],
    ['20:fe80::1%1+fe80::2%1'],
  ],
  [
    'the device is part of the leg',
    [
      ['new', v6(['fe80::1'])],
      ['del', v6(['fe80::1'], { oif: 2 })],
    ],
    ['20:fe80::1%1'],
  ],
  [
    'replace of a multipath route takes all of it',
    [
      ['new', v6(['fe80::1', 'fe80::2'])],
      ['new', v6(['fe80::3']), REPLACE],
    ],
    ['20:fe80::3%1'],
  ],
  [
    'replace without one of its own sort takes the first',
    [
      ['new', v6(['fe80::1', 'fe80::2'])],
      ['new', attached(3, { priority: 20 }), REPLACE],
    ],
    ['20:%3'],
  ],
  [
    'replace prefers its own sort',
    [
      ['new', v6(['fe80::1'])],
      ['new', attached(2, { priority: 20 })],
      ['new', attached(3, { priority: 20 }), REPLACE],
    ],
    ['20:fe80::1%1', '20:%3'],
  ],
  [
    'routes of router advertisements are no siblings',
    [
      ['new', v6(['fe80::1'], { protocol: k.RTPROT_RA })],
      ['new', v6(['fe80::2'], { protocol: k.RTPROT_RA })],
    ],
    ['20:fe80::1%1', '20:fe80::2%1'],
  ],
  [
    'nexthop objects are no siblings',
    [
      ['new', { dst: D6, priority: 20, nhId: 7 }],
      ['new', v6(['fe80::2'])],
    ],
    ['20:nh7', '20:fe80::2%1'],
  ],
  [
    'a deletion names the object',
    [
      ['new', { dst: D6, priority: 20, nhId: 7 }],
      ['del', { dst: D6, priority: 20, nhId: 8 }],
    ],
    ['20:nh7'],
  ],
  [
    'a dump of one device does not touch its twins',
    [
      ['new', attached(1)],
      ['begin', 2],
      ['dump', attached(2)],
      ['sweep', { oif: 2 }],
    ],
    ['256:%1', '256:%2'],
  ],
  [
    'a dump shows changed legs of a route',
    [['new', v6(['fe80::1', 'fe80::2'])], ['begin'], ['dump', v6(['fe80::1'])], ['sweep']],
    ['20:fe80::1%1'],
  ],
];

describe('IPv6', () => {
  it.each(TABLE6)('%s', (_, events, expected) => expect(play(6, D6, events)).toEqual(expected));
});
