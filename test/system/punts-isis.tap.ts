/**
 * IS-IS of an interface for CNFs, by a real isisd. Numbers are those of the punt manager's scenarios.
 */
import { Frr } from './lab/frr.ts';
import { ip } from './lab/netns.ts';
import { hexOf, isisFrame, ODD_FILTER, oddFrames } from './lab/oddframes.ts';
import { slowness, waitFor } from './lab/process.ts';
import { Punts } from './lab/punts.ts';
import { macIn, withTaps } from './lab/puntscene.ts';
import { Sniffer } from './lab/sniffer.ts';
import { reachable, sendFrames } from './lab/traffic.ts';
import { system } from './lab.ts';

const isisConfig = (dev: string, id: number): string => `interface ${dev}
 ip router isis LAB
 isis hello-interval ${Math.ceil(slowness)}
 isis hello-multiplier 3
!
router isis LAB
 net 49.0001.0000.0000.000${id}.00
 is-type level-1
!
`;

system(
  '22 ISISX: a real isisd in a CNF has its neighbour on the wire; another CNF hears it too and goes without harm',
  async (t, lab) => {
    const punts = new Punts(lab);
    const [c1, c2] = [await lab.addNetns('c1'), await lab.addNetns('c2')];
    await punts.start();
    // of a VPP's interfaces it is 9000 at first, and isisd fills its hellos up to it
    await ip(lab.ns('cp'), 'link', 'set', 'e0', 'mtu', '1500');
    await punts.lcpd.synced();
    const isisx = (n: number) => ({ name: `isis${n}`, type: 'isisx', netns: n === 1 ? c1 : c2, interface: 'p0' });
    await punts.configure(isisx(1), isisx(2));
    await punts.are('CREATED', 'isis1', 'isis2');
    const [tap1 = ''] = await punts.taps('c1');
    const [tap2 = ''] = await punts.taps('c2');
    const start = async (role: string, dev: string, id: number): Promise<Frr> => {
      const name = lab.ns(role);
      const frr = await Frr.start({
        ns: name,
        name,
        daemons: ['isisd'],
        config: isisConfig(dev, id),
        dir: lab.dir,
      });
      lab.defer(() => frr.stop());
      return frr;
    };
    const wire = await start('h0', 'eth0', 1);
    const cnf = await start('c1', tap1, 2);
    const up = async (frr: Frr, role: string, dev: string): Promise<boolean> => {
      const digits = (await macIn(lab, role, dev)).replaceAll(':', '');
      const snpa = `${digits.slice(0, 4)}.${digits.slice(4, 8)}.${digits.slice(8)}`;
      return waitFor(
        `${snpa} of ${role} to be an IS-IS neighbour`,
        async () => {
          const text = await frr.show('show isis neighbor');
          if (!new RegExp(` Up .* ${snpa}`).test(text)) throw new Error(text);
          return true;
        },
        { timeoutMs: 40_000, intervalMs: 300 },
      );
    };
    t.ok(await up(wire, 'c1', tap1), 'the wire sees the CNF');
    t.ok(await up(cnf, 'h0', 'eth0'), 'the CNF sees the wire');

    const heard = await Sniffer.on(lab, c2, tap2, 'in', 'isis');
    t.ok(
      (await heard.seen(2)).every((frame) => frame.startsWith('0180c2000014')),
      'the other CNF hears the same hellos',
    );
    const tagged = await Sniffer.on(lab, c1, tap1, 'in', ODD_FILTER);
    const plain = isisFrame();
    const vlan = Buffer.concat([plain.subarray(0, 12), Buffer.from('81000064', 'hex'), plain.subarray(12)]);
    const jumbo = isisFrame('09:00:2b:00:00:05', 1400);
    // a VPP drops tags that it has no sub-interface for
    const hello = lab.dataplane === 'embedded' ? [plain, vlan, jumbo] : [plain, jumbo];
    const stp = hexOf(oddFrames('02:bb:00:00:00:01')).filter((frame) => !frame.includes('fefe0383'));
    await sendFrames(lab.ns('h0'), 'eth0', [...stp, ...hexOf([plain, vlan, jumbo])]);
    t.same(await tagged.seen(hello.length), hexOf(hello), 'tagged ones too, unchanged, and nothing but IS-IS');

    await punts.configure(isisx(1));
    await punts.noTaps('c2');
    const lost = punts.told('isis1');
    t.same(
      lost.map(({ state }) => state),
      ['INIT', 'CREATED'],
      'the first one is as it was',
    );
    await new Promise((resolve) => setTimeout(resolve, 4000 * slowness));
    t.ok(await up(wire, 'c1', tap1), 'beyond the hold time it is a neighbour still');
    await punts.configure();
    await punts.noTaps('c1');
    await waitFor('the adjacency to go', async () => !(await wire.show('show isis neighbor')).includes(' Up '), {
      timeoutMs: 20_000,
    });
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
  },
  withTaps,
);
