/**
 * What the operator of punts is told that is no state: interfaces that are down, and what cannot be captured.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { ip } from './lab/netns.ts';
import { hexOf, ODD_FILTER, oddFrames } from './lab/oddframes.ts';
import { waitFor } from './lab/process.ts';
import { Punts } from './lab/punts.ts';
import { bridge, embeddedOnly } from './lab/puntscene.ts';
import { Sniffer } from './lab/sniffer.ts';
import { sendFrames } from './lab/traffic.ts';
import { system } from './lab.ts';

system(
  'a phy that is down is told of a punt that is created, until it is up; so is the interface of a pair',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 2 });
    const c1 = await lab.addNetns('c1');
    const lcpd = await punts.start();
    await ip(lab.ns('rtr'), 'link', 'set', 'p3', 'up');
    await punts.configure(
      { name: 'wire', type: 'hairpin-xconnect', netns: c1, interfaces: ['p2', 'p3'] },
      { name: 'mirror', type: 'span', netns: c1, interface: 'p0' },
    );
    await punts.are('CREATED', 'wire', 'mirror');
    const [one, two] = (await punts.rows()).find(({ request }) => request.id.label === 'wire')?.links ?? [];
    await bridge(lab, 'c1', one?.cnf.name ?? '', two?.cnf.name ?? '');
    const out = await Sniffer.on(lab, lab.ns('h3'), 'eth0', 'in', ODD_FILTER);
    const odd = hexOf(oddFrames('02:bb:00:00:00:01'));
    const down = 'phy p2 is down, and in no pair whose host would set it up';
    const list = async (): Promise<string> => (await lcpd.ctl(['punt', 'list'])).stdout;
    const show = async (): Promise<string> => (await lcpd.ctl(['punt', 'show', 'wire'])).stdout;
    t.match(await list(), new RegExp(`wire .* CREATED .* ${down}`), 'beside its state');
    t.match(await show(), new RegExp(`^state +CREATED\nnote +${down}$`, 'm'), 'and in full');
    t.notMatch(await list(), /mirror .* is down/, 'others have nothing to be told');
    await sendFrames(lab.ns('h2'), 'eth0', odd);

    await ip(lab.ns('rtr'), 'link', 'set', 'p2', 'up');
    await waitFor('the note to go', async () => !(await list()).includes('is down'));
    t.notMatch(await show(), /^note/m);
    await sendFrames(lab.ns('h2'), 'eth0', odd);
    t.same(await out.seen(odd.length), odd, 'and what was lost while it was down gets through');

    await ip(lab.ns('cp'), 'link', 'set', 'e0', 'down');
    await waitFor('the other note', async () =>
      /mirror .* CREATED .* interface p0 is down, as its host is/.test(await list()),
    );
    await ip(lab.ns('cp'), 'link', 'set', 'e0', 'up');
    await waitFor('it to go', async () => !(await list()).includes('is down'));
    t.same(
      punts.told('wire').map(({ state }) => state),
      ['INIT', 'CREATED'],
      'the state was one all the time',
    );
  },
  embeddedOnly,
);

system(
  'a capture of what has no device is refused with where its packets are, and writes no file',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    const lcpd = await punts.start();
    const socket = `${lab.dir}/c.sock`;
    await punts.configure(
      { name: 'socket', type: 'to-host', netns: '', l3: 'ipv4', l4: 'udp', port: 9000, socket },
      { name: 'host', type: 'to-host', netns: '', l3: 'ipv4', l4: 'udp', port: 9001 },
      { name: 'limit', type: 'police', netns: '', scope: 'ipv6', rate: 1000 },
      { name: 'memif', type: 'span', netns: c1, interface: 'p1', interconnect: 'memif' },
      { name: 'waits', type: 'span', netns: c1, interface: 'p9' },
      { name: 'mirror', type: 'span', netns: c1, interface: 'p0' },
    );
    await punts.are('CREATED', 'socket', 'host', 'limit', 'memif', 'mirror');
    const file = `${lab.dir}/capture.pcap`;
    writeFileSync(file, 'as it was');
    const refused: [string, RegExp][] = [
      ['socket', new RegExp(`its packets go to the client at ${socket}, which alone sees them`)],
      ['host', /its packets go to the host/],
      ['limit', /it limits packets that go elsewhere/],
      ['memif', /its frames are in memory that it shares with the CNF/],
      ['waits', /its devices are not there yet: interface p9 does not exist/],
    ];
    for (const [name, why] of refused) {
      const done = await lcpd.ctl(['punt', 'capture', name, '-w', file, '--seconds', '1']);
      t.equal(done.code, 4, `${name}: ${done.stderr.trim()}`);
      t.match(done.stderr, why);
      t.match(
        done.stderr,
        new RegExp(`can be captured .*: ${c1}\\|config\\|mirror; .*NOT_SUPPORTED|NOT_SUPPORTED[^]*mirror;`),
      );
    }
    t.equal(readFileSync(file, 'utf8'), 'as it was', 'and no file is written');
    const shown = await lcpd.ctl(['punt', 'capture', 'mirror', '-w', file, '--seconds', '0.2']);
    t.equal(shown.code, 0, shown.stderr);
    t.match(shown.stderr, /capturing on tap-[a-zA-F]{5}\n/, 'a mirror is captured where its TAP is');
  },
  embeddedOnly,
);
