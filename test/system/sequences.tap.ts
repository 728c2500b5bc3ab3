/**
 * Sequences: short ones of kernel changes that once left the mirror wrong, found by the oracle and cut down.
 *
 * Some depend on how the changes fall into rounds, so each is played several times. Lines of one step go in one
 * `ip -batch`, which the kernel announces back to back.
 */

import { ipBatch } from './lab/netns.ts';
import { system } from './lab.ts';

const inOldTable = 'fd00:aa::/64 via fd00:1::2 table 100';
const inItsPlace = 'throw 2001:db8::/127 metric 20 table 100';

interface Sequence {
  readonly name: string;
  readonly steps: readonly (readonly string[])[];
}

const sequences: readonly Sequence[] = [
  {
    name: 'a table that loses its last route and gets another at once keeps the new one',
    steps: [[`route add ${inOldTable}`], [`route del ${inOldTable}`, `route add ${inItsPlace}`]],
  },
  {
    name: 'so does one that loses it with a link',
    steps: [[`route add ${inOldTable}`], ['link set e1 down', `route add ${inItsPlace}`]],
  },
  {
    name: 'and with a link that comes back',
    steps: [[`route add ${inOldTable}`], ['link set e1 down', 'link set e1 up', `route add ${inItsPlace}`]],
  },
  {
    name: 'a route whose nexthop object stops being a blackhole is not taken for the equal one before it',
    steps: [
      ['nexthop replace id 5 blackhole', 'route add throw 192.0.2.0/24', 'route append 192.0.2.0/24 nhid 5'],
      ['nexthop replace id 5 via 10.0.1.2 dev e1'],
    ],
  },
];

/** Back to the state in which each begins; what is not there is passed over. */
const undo = [
  `route del ${inOldTable}`,
  `route del ${inItsPlace}`,
  'route del throw 192.0.2.0/24',
  'nexthop del id 5',
  'link set e1 up',
];

for (const { name, steps } of sequences) {
  system(name, async (t, lab) => {
    const lcpd = await lab.addRouter();
    for (let time = 1; time <= 4; time++) {
      for (const lines of steps) {
        await ipBatch(lab.ns('cp'), lines, true);
        await lcpd.synced();
      }
      t.same((await lcpd.diff()).differences, [], `time ${time}`);
      await ipBatch(lab.ns('cp'), undo, true);
      await lab.addressHost(1);
      await lcpd.synced();
    }
  });
}
