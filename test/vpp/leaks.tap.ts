/**
 * Leaks on a real VPP: routes to what is on an interface's link, in other tables than its own, while it changes its table, its
 * state and its addresses, over a restart of lcpd. VPP 26.06 ends with a signal, or stands still, where they are there meanwhile.
 */
import { inNetns, ip } from '../system/lab/netns.ts';
import { tryRun, waitFor } from '../system/lab/process.ts';
import { addVppRouter } from './lab/router.ts';
import { vpp } from './lab.ts';

const SIX = [[], ['-6']] as const;
const net = (six: readonly string[], n: number): string => (six.length > 0 ? `fd00:${n}::/64` : `10.0.${n}.0/24`);

vpp('an interface changes while other tables have routes to what is on its link', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab);
  const [cp, h1] = [lab.ns('cp'), lab.ns('h1')];
  const leaks = async (table: string) => {
    for (const six of SIX) await ip(cp, ...six, 'route', 'replace', net(six, 0), 'dev', 'e0', 'table', table);
  };
  const move = async (verb: 'add' | 'del') => {
    for (const six of SIX) await ip(cp, ...six, 'rule', verb, 'iif', 'e0', 'lookup', '200', 'pref', '500');
  };
  /** Both ends know their neighbours, and VPP those of the link. */
  const meet = () =>
    waitFor('h1 to reach h0', async () => {
      const pings = ['10.0.0.2', 'fd00:0::2'].map((to) =>
        tryRun(inNetns(h1, ['ping', '-q', '-c', '1', '-W', '1', to]), { timeoutMs: 5000 }),
      );
      return (await Promise.all(pings)).every(({ code }) => code === 0);
    });
  const ends = async (what: string) => {
    await lcpd.synced();
    t.ok(vpp.daemon.running, `VPP runs: ${what}`);
    t.same((await lcpd.diff()).differences, [], `lcpctl diff is empty: ${what}`);
  };
  await ip(cp, 'route', 'add', '10.0.1.0/24', 'dev', 'e1', 'table', '200');
  await ip(cp, '-6', 'route', 'add', 'fd00:1::/64', 'dev', 'e1', 'table', '200');
  for (let round = 0; round < 2; round++) {
    const text = (what: string) => `${what}, round ${round}`;
    await move('add');
    await leaks('100');
    await leaks('300');
    await ends(text('in table 200, with routes to its link in three others'));
    await meet();
    const shown = (await vpp.ctl('show ip fib table 100 10.0.0.2/32')).stdout;
    t.match(shown, /10\.0\.0\.2\/32[\s\S]*host-p0/, text('a neighbour of the link is known in a table of others'));
    if (round === 1) {
      await lcpd.kill();
      await lcpd.start();
      await ends('a restart of lcpd');
    }
    await ip(cp, 'address', 'del', '10.0.0.1/24', 'dev', 'e0');
    await ip(cp, 'address', 'del', 'fd00:0::1/64', 'dev', 'e0');
    await ends(text('without addresses'));
    await ip(cp, 'address', 'add', '10.0.0.1/24', 'dev', 'e0');
    await ip(cp, 'address', 'add', 'fd00:0::1/64', 'dev', 'e0', 'nodad');
    await leaks('100');
    await leaks('300');
    await ends(text('addressed anew'));
    await move('del');
    await ends(text('back in the main table'));
    await meet();
    await ip(cp, 'link', 'set', 'e0', 'down');
    await ends(text('down'));
    await ip(cp, 'link', 'set', 'e0', 'up');
    await ip(cp, 'address', 'replace', 'fd00:0::1/64', 'dev', 'e0', 'nodad');
    await ends(text('up'));
    await meet();
  }
});
