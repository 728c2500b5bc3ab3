/**
 * Tables: one that loses its last route and gets another at once must not take the new one with it when it goes.
 * Found by the oracle; the removal of a table and the arrival of a route are rounds apart or in the same one, by chance.
 */

import { ip, ipBatch } from './lab/netns.ts';
import { system } from './lab.ts';

const old = 'fd00:aa::/64 via fd00:1::2 table 100';
const successor = '2001:db8::/127 metric 20 table 100';

/** Each in one `ip -batch`, as the kernel announces it: back to back. */
const changes: readonly (readonly [name: string, ...lines: string[]])[] = [
  ['deleted', `route del ${old}`, `route add throw ${successor}`],
  ['lost with its link', 'link set e1 down', `route add throw ${successor}`],
  ['lost with its link, which comes back', 'link set e1 down', 'link set e1 up', `route add throw ${successor}`],
];

system('a table that is emptied and filled at once keeps its new route', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const cp = lab.ns('cp');
  for (let round = 1; round <= 3; round++) {
    for (const [name, ...lines] of changes) {
      await ip(cp, 'link', 'set', 'e1', 'up');
      await lab.addressHost(1);
      await ip(cp, '-6', 'route', 'replace', ...old.split(' '));
      await lcpd.synced();
      await ipBatch(cp, lines, true);
      await lcpd.synced();
      t.same((await lcpd.diff()).differences, [], `the old one ${name}, ${round}`);
      await ipBatch(cp, [`route del ${old}`, `route del ${successor}`], true);
      await lcpd.synced();
    }
  }
});
