/**
 * Sequences: short ones of kernel changes that once left the mirror or its choice wrong, found by the oracle and cut down.
 *
 * Some depend on how the changes fall into rounds, so each is played several times. Lines are a script's (script.ts);
 * those of one step that are for `ip` go in one `ip -batch`, which the kernel announces back to back.
 */

import { kernelChoices, mismatch } from './lab/choices.ts';
import { play } from './lab/script.ts';
import { type Lab, system } from './lab.ts';

const inOldTable = 'fd00:aa::/64 via fd00:1::2 table 100';
const inItsPlace = 'throw 2001:db8::/127 metric 20 table 100';
/** For sequences that depend on rounds, and for the others. */
const [often, seldom] = [4, 2];

interface Sequence {
  readonly name: string;
  readonly steps: readonly (readonly string[])[];
  readonly dependsOnRounds?: boolean;
  /** For these the data plane must choose what the kernel chooses, after every step. */
  readonly asks?: readonly string[];
}

const sequences: readonly Sequence[] = [
  {
    name: '1: a table that loses its last route and gets another at once keeps the new one',
    steps: [[`route add ${inOldTable}`], [`route del ${inOldTable}`, `route add ${inItsPlace}`]],
    dependsOnRounds: true,
  },
  {
    name: '2: so does one that loses it with a link',
    steps: [[`route add ${inOldTable}`], ['link set e1 down', `route add ${inItsPlace}`]],
    dependsOnRounds: true,
  },
  {
    name: '3: and with a link that comes back',
    steps: [[`route add ${inOldTable}`], ['link set e1 down', 'link set e1 up', `route add ${inItsPlace}`]],
    dependsOnRounds: true,
  },
  {
    name: '4: a route whose nexthop object stops being a blackhole is not taken for the equal one before it',
    steps: [
      ['nexthop replace id 5 blackhole', 'route add throw 192.0.2.0/24', 'route append 192.0.2.0/24 nhid 5'],
      ['nexthop replace id 5 via 10.0.1.2 dev e1'],
    ],
  },
  {
    name: '5: nobody tells that the nexthop object of a blackhole is none any more',
    steps: [
      ['@sysctl net.ipv4.nexthop_compat_mode=0', '@-6 nexthop replace id 15 blackhole'],
      ['route add 2001:db8:5::/48 nhid 15'],
      ['nexthop replace id 15 via fd00:1::2 dev e1'],
    ],
    asks: ['2001:db8:5::1'],
  },
  {
    name: '6: a route that is a blackhole by itself stays one whatever its nexthop object is',
    steps: [['nexthop replace id 5 via 10.0.1.2 dev e1', 'route add blackhole 192.0.2.0/24 nhid 5']],
    asks: ['192.0.2.1'],
  },
  {
    name: '7: IPv6 is switched off on a device and on again: its legs of multipath routes die and live',
    steps: [
      ['route add 2001:db8:7::/48 nexthop via fd00:0::2 nexthop via fd00:1::2'],
      ['@sysctl net.ipv6.conf.e0.disable_ipv6=1'],
      ['@sysctl net.ipv6.conf.e0.disable_ipv6=0', 'address replace fd00:0::1/64 dev e0'],
    ],
    asks: ['2001:db8:7::1', '2001:db8:7::2', '2001:db8:7::3', '2001:db8:7::4'],
  },
  {
    name: '8: an MTU too small for IPv6 does the same',
    steps: [
      ['route add 2001:db8:7::/48 nexthop via fd00:0::2 nexthop via fd00:1::2'],
      ['link set e0 mtu 1000'],
      ['link set e0 mtu 1500', 'address replace fd00:0::1/64 dev e0'],
    ],
    asks: ['2001:db8:7::1', '2001:db8:7::2', '2001:db8:7::3', '2001:db8:7::4'],
  },
  {
    name: '9: equal IPv6 routes change places when a link flaps that does not tell of its routes',
    steps: [
      ['@sysctl net.ipv6.route.skip_notify_on_dev_down=1', 'route add 2001:db8:9::/48 dev e0'],
      ['route append 2001:db8:9::/48 dev e1'],
      ['link set e0 down', 'link set e0 up', 'route append 2001:db8:9::/48 dev e0'],
    ],
    asks: ['2001:db8:9::1'],
  },
  {
    name: '10: addresses that a link keeps when it goes down become tentative',
    steps: [['@sysctl net.ipv6.conf.e1.keep_addr_on_down=1'], ['link set e1 down'], ['link set e1 up']],
    asks: ['fd00:1::1', 'fd00:1::2'],
  },
  {
    name: '11: of equal IPv6 routes the more preferred one is used',
    steps: [
      ['route add 2001:db8:11::/48 dev e0', 'route append 2001:db8:11::/48 dev e1 pref high'],
      ['route del 2001:db8:11::/48 dev e0', 'route append 2001:db8:11::/48 dev e0 pref low'],
      ['route append unreachable 2001:db8:11::/48 metric 2000'],
    ],
    asks: ['2001:db8:11::1'],
  },
  {
    name: '12: siblings of an IPv6 multipath route may have different protocols',
    steps: [
      ['route add 2001:db8:12::/48 via fd00:0::2 proto bird', 'route append 2001:db8:12::/48 via fd00:1::2'],
      ['route del 2001:db8:12::/48 via fd00:0::2'],
    ],
    asks: ['2001:db8:12::1'],
  },
  {
    name: '13: a nexthop object that is a blackhole is found before equal IPv6 routes',
    steps: [
      [
        '@-6 nexthop replace id 15 blackhole',
        'route add 2001:db8:13::/48 dev e0',
        'route append 2001:db8:13::/48 nhid 15',
      ],
      ['nexthop replace id 15 via fd00:1::2 dev e1'],
    ],
    asks: ['2001:db8:13::1'],
  },
  {
    name: '14: a device that gets too small for IPv6 takes its legs along, without a word about what is left',
    steps: [
      [
        '@sysctl net.ipv6.route.skip_notify_on_dev_down=1',
        'route add 2001:db8:14::/48 nexthop via fd00:0::2 nexthop via fd00:1::2',
      ],
      ['link set e0 mtu 1000'],
    ],
    asks: ['2001:db8:14::1', '2001:db8:14::2', '2001:db8:14::3', '2001:db8:14::4'],
  },
  {
    name: '15: what is left of an IPv6 route may go with it, without a word, because its other leg was dead on a device that is up',
    steps: [
      [
        '@sysctl net.ipv6.route.skip_notify_on_dev_down=1',
        'route add 2001:db8:15::/48 nexthop via fe80::2 dev e0 nexthop via fd00:1::2',
      ],
      ['link set e0 down', '@sysctl net.ipv6.conf.e0.disable_ipv6=1', 'link set e0 up'],
      ['link set e1 down'],
    ],
    asks: ['2001:db8:15::1', '2001:db8:15::2'],
  },
  {
    name: '16: a gateway that was our own address when the route was made is not used, then or later',
    steps: [
      ['address add 10.0.0.9/24 dev e0', 'route add 192.0.2.0/24 via 10.0.0.9', 'nexthop add id 5 via 10.0.0.9'],
      ['route add 198.51.100.0/24 nhid 5', 'route add 203.0.113.0/24 via 10.0.0.8'],
      ['address del 10.0.0.9/24 dev e0', 'address add 10.0.0.8/24 dev e0', 'route add 192.0.2.128/25 via 10.0.0.9'],
      ['link set e1 down', 'link set e1 up'],
    ],
    asks: ['192.0.2.1', '192.0.2.129', '198.51.100.1', '203.0.113.1'],
  },
];

/** Back to the state in which each begins; what is not there is passed over. */
const undo = [
  '@sysctl net.ipv4.nexthop_compat_mode=1',
  '@sysctl net.ipv6.route.skip_notify_on_dev_down=0',
  '@sysctl net.ipv6.conf.e0.disable_ipv6=0',
  '@sysctl net.ipv6.conf.e1.keep_addr_on_down=0',
  `route del ${inOldTable}`,
  `route del ${inItsPlace}`,
  'route del throw 192.0.2.0/24',
  ...['5', '7', '9', '11', '12', '13', '14', '15'].map((n) => `@-6 route flush 2001:db8:${n}::/48`),
  'nexthop del id 5',
  'nexthop del id 15',
  ...['192.0.2.0/24', '192.0.2.128/25', '198.51.100.0/24', '203.0.113.0/24'].map((prefix) => `route flush ${prefix}`),
  'address del 10.0.0.9/24 dev e0',
  'address del 10.0.0.8/24 dev e0',
  'link set e0 mtu 1500',
  'link set e1 up',
];

async function differing(lab: Lab, asks: readonly string[]): Promise<string[]> {
  if (asks.length === 0) return [];
  const kernel = await kernelChoices(lab.ns('cp'), asks);
  const rows = await lab.lcpd.lookup(asks);
  return rows.flatMap((row) => mismatch(row, kernel.get(row.address) ?? { type: 'not asked' }) ?? []);
}

for (const { name, steps, dependsOnRounds = false, asks = [] } of sequences) {
  system(name, async (t, lab) => {
    const lcpd = await lab.addRouter({ kernelForwards: true });
    const ns = (role: string) => lab.ns(role);
    for (let time = 1; time <= (dependsOnRounds ? often : seldom); time++) {
      for (const [i, lines] of steps.entries()) {
        await play(ns, lines);
        await lcpd.synced();
        t.same(await differing(lab, asks), [], `time ${time}, step ${i + 1}: the same choices`);
      }
      t.same((await lcpd.diff()).differences, [], `time ${time}`);
      await play(ns, undo);
      for (const n of [0, 1]) await lab.addressHost(n);
      await lcpd.synced();
    }
  });
}
