/**
 * Punts to sockets as operators and their clients meet them, on every data plane: asked for twice, moved, refused, in each other's
 * way. Numbers are those of the punt manager's scenarios; what the datagrams are, byte for byte, is in puntsocket.tap.ts.
 */
import type { PairRow } from '../../src/lcp/rows.ts';
import { slowness } from './lab/process.ts';
import { addPuntClient, hasGot, type Punted } from './lab/puntclient.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { into, send, toSocket } from './lab/puntscene.ts';
import { udpPacket } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

/** A frame of h0 for a port of the router, told from others by its text. */
const toPort = (lab: Lab, port: number, text: string): Promise<Buffer> =>
  into(lab, 0, udpPacket('10.0.0.2', '10.0.0.1', port, Buffer.from(text)));

/** Lines of VPP's own list of UDP ports that go to sockets; undefined where something else forwards. */
async function registrations(lab: Lab): Promise<string[] | undefined> {
  if (lab.dataplane === 'embedded') return undefined;
  const shown = await lab.vppctl('show punt socket registrations l4');
  return shown.split('\n').filter((line) => line.includes('UDP port'));
}

system('1 a UDP port to a socket: the frame as it was sent, with the interface that it came by', async (t, lab) => {
  const punts = new Punts(lab);
  const lcpd = await punts.start();
  const client = await addPuntClient(lab, 'c.sock');
  await punts.configure(toSocket('one', 9000, client.path));
  await punts.is('one', 'CREATED');
  t.same(await punts.objects(), ['punt socket udp4/9000']);
  const held = await registrations(lab);
  if (held !== undefined) t.match(held.join(), new RegExp(`ip4 UDP port 9000.*${client.path}`), 'VPP has it');
  for (const { phy, port = 0 } of await lcpd.json<PairRow[]>(['show', 'pairs'])) {
    const n = Number(phy.slice(1));
    // a TTL that would go no further, a source with a way back, and no padding
    const packet = udpPacket(`10.0.${n}.2`, `10.0.${n}.1`, 9000, Buffer.from(`by ${phy}, and long enough`), 1);
    const frame = await into(lab, n, packet);
    await send(lab, n, frame);
    await hasGot(client, n + 1);
    const expected: Punted = { number: port, action: 0, from: punts.server, hex: frame.toString('hex') };
    t.same(client.got().at(-1), expected, phy);
  }
  const host = await Sniffer.on(lab, lab.ns('cp'), 'e0', 'in', 'udp');
  const other = await toPort(lab, 9001, 'of another port, for the host');
  await send(lab, 0, await toPort(lab, 9000, 'for the socket'), other);
  t.same(await host.seen(1), [other.toString('hex')], 'what else there is goes to the host');
  await punts.configure();
  await punts.is('one', 'DELETED');
  await lcpd.synced();
  const frame = await toPort(lab, 9000, 'for the host again');
  await send(lab, 0, frame);
  t.same(await host.seen(2), [frame, other].map((each) => each.toString('hex')).sort(), 'deleted, it does as well');
  await hasGot(client, 3);
});

system(
  '2 one port by the old key and spelling and by the new: one registration, there until both are deleted',
  async (t, lab) => {
    const punts = new Punts(lab);
    const lcpd = await punts.start();
    const client = await addPuntClient(lab, 'c.sock');
    const add = async (name: string, l3: string): Promise<void> => {
      const message = { l3_protocol: l3, l4_protocol: 'UDP', port: 9000, socket_path: client.path };
      const file = ['punt', 'add', '--json-file', '-', '--netns', '', name];
      const done = await lcpd.ctl(file, { input: JSON.stringify(message) });
      t.equal(done.code, 0, `${name}: ${done.stdout}${done.stderr}`);
      await punts.is(name, 'CREATED');
    };
    const [older, newer] = [
      'vpp/config/v2/punt/tohost/l3/IPv4/l4/UDP/port/9000',
      'config/vpp/v2/tohost/l3/IPV4/l4/UDP/port/9000',
    ];
    const frame = await toPort(lab, 9000, 'once');
    const held = async () => (await lcpd.diff()).checked.punt ?? 0;
    await add(older, 'IPv4');
    t.equal(await held(), 1);
    const first = await registrations(lab);
    await send(lab, 0, frame);
    await hasGot(client, 1);
    t.equal(client.got()[0]?.hex, frame.toString('hex'), 'the frame as it was sent');
    await add(newer, 'IPV4');
    t.equal(await held(), 1, 'there is one registration');
    t.same(await registrations(lab), first, 'the same one');
    t.same(await punts.objects(), Array(2).fill('punt socket udp4/9000'), 'which is both’s');
    await send(lab, 0, frame);
    t.ok(await reachable(lab.ns('h0'), '10.0.0.1'));
    t.equal(client.got().length, 2, 'one datagram for one packet');

    const host = await Sniffer.on(lab, lab.ns('cp'), 'e0', 'in', 'udp port 9000');
    t.equal((await lcpd.ctl(['punt', 'del', older])).code, 0);
    await punts.is(older, 'DELETED');
    await lcpd.synced();
    t.equal(await held(), 1, 'one of both still wants it');
    t.same(await registrations(lab), first);
    await send(lab, 0, frame);
    await hasGot(client, 3);
    t.same(host.frames(), [], 'and the host has seen none of them');
    t.equal((await lcpd.ctl(['punt', 'del', newer])).code, 0);
    await punts.is(newer, 'DELETED');
    await lcpd.synced();
    t.equal(await held(), 0);
    t.same((await registrations(lab)) ?? [], []);
    await send(lab, 0, frame);
    t.same(await host.seen(1), [frame.toString('hex')], 'now it is the host’s');
    t.equal(client.got().length, 3);
  },
);

system('4 only the path changes: datagrams go to the new one, and to no other', async (t, lab) => {
  const punts = new Punts(lab);
  const lcpd = await punts.start();
  const [c, d] = [await addPuntClient(lab, 'c.sock'), await addPuntClient(lab, 'd.sock')];
  const both = (path: string): Entry => toSocket('moved', 9000, path, { l3: 'all' });
  const frames = await Promise.all([
    toPort(lab, 9000, 'of IPv4'),
    into(lab, 0, udpPacket('fd00:0::2', 'fd00:0::1', 9000, Buffer.from('of IPv6'))),
  ]);
  await punts.configure(both(c.path));
  await punts.is('moved', 'CREATED');
  await send(lab, 0, ...frames);
  await hasGot(c, 2);
  await punts.configure(both(d.path));
  await lcpd.synced();
  await punts.is('moved', 'CREATED');
  await send(lab, 0, ...frames);
  await hasGot(d, 2);
  t.same(
    d
      .got()
      .map(({ hex }) => hex)
      .sort(),
    frames.map((frame) => frame.toString('hex')).sort(),
  );
  await hasGot(c, 2);
  const held = await registrations(lab);
  if (held !== undefined) {
    t.equal(held.filter((line) => line.includes(d.path)).length, 2, 'VPP has the new path twice');
    t.notOk(
      held.some((line) => line.includes(c.path)),
      'and the old one no more',
    );
  }
  await lcpd.kill();
  await lcpd.start();
  await lcpd.synced();
  await send(lab, 0, ...frames);
  await hasGot(d, 4);
  t.equal(c.got().length, 2, 'which a restart of lcpd does not change');
});

system(
  '5 ports and paths that a socket cannot have are refused by name; nothing is touched, whatever way they come',
  async (t, lab) => {
    const punts = new Punts(lab);
    const lcpd = await punts.start();
    const client = await addPuntClient(lab, 'c.sock');
    const { path } = client;
    const good = toSocket('good', 9000, path);
    await punts.configure(good);
    await punts.is('good', 'CREATED');
    const before = JSON.stringify((await punts.rows()).map(({ id, objects, state }) => [id, objects, state]));
    let sent = 0;
    const untouched = async (what: string): Promise<void> => {
      const now = JSON.stringify((await punts.rows()).map(({ id, objects, state }) => [id, objects, state]));
      t.equal(now, before, `${what}: nothing is touched, nor is the good one beside it there`);
      t.equal((await lcpd.diff()).checked.punt, 1, `${what}: in the data plane neither`);
      await send(lab, 0, await toPort(lab, 9000, what));
      await hasGot(client, ++sent);
    };
    const wrong: [string, Entry, RegExp][] = [
      ['port 0', toSocket('x', 0, path), /port: 0 is too small.*PUNT_INVALID/s],
      ['port 65535', toSocket('x', 65535, path), /port: port 65535 stands for all ports.*PUNT_INVALID/s],
      ['TCP', toSocket('x', 9001, path, { l4: 'tcp' }), /l4: TCP with a socket is not supported.*PUNT_INVALID/s],
      ['no family', { ...toSocket('x', 9001, path), l3: 'none' }, /l3: "none" is not one of.*PUNT_INVALID/s],
      ['an empty path', toSocket('x', 9001, ''), /socket: .*PUNT_INVALID/s],
      ['a path of 108 bytes', toSocket('x', 9001, `/${'x'.repeat(107)}`), /socket: .*PUNT_INVALID/s],
      ['its own path', toSocket('x', 9001, punts.server), /is the one that the data plane itself has.*PUNT_REFUSED/s],
      ['port 67', toSocket('x', 67, path), /UDP port 67 of IPv4 is used by .*: DHCP\b.*PUNT_REFUSED/s],
      ['port 547', toSocket('x', 547, path, { l3: 'all' }), /UDP port 547 of IPv6 .*: DHCPv6\b.*PUNT_REFUSED/s],
      ['port 4789', toSocket('x', 4789, path, { l3: 'ipv6' }), /UDP port 4789 of IPv6 .*: VXLAN\b.*PUNT_REFUSED/s],
    ];
    for (const [what, entry, message] of wrong) {
      const withGood = { punts: [toSocket('y', 9002, path), entry] };
      const done = await lcpd.ctl(['punt', 'add', '--file', '-'], { input: JSON.stringify(withGood) });
      t.not(done.code, 0, `${what}: ${done.stderr.trim()}`);
      t.match(done.stderr, message, what);
      const field = /PUNT_INVALID/.test(message.source) && new RegExp(message.source.split(':')[0] ?? '');
      if (field !== false) await t.rejects(punts.configure(good, entry), field, `${what}, by reload`);
      await untouched(what);
    }
    await punts.configure(good, toSocket('x', 67, path));
    await punts.is('x', 'FAILED', /UDP port 67 of IPv4 is used by .*DHCP/);
    t.same(await punts.objects(), ['punt socket udp4/9000'], 'what only this data plane cannot do fails, by itself');
    await send(lab, 0, await toPort(lab, 9000, 'still'));
    await hasGot(client, sent + 1);
  },
);

system('6 what the data plane does not take fails by name, and what is behind it proceeds', async (t, lab) => {
  const punts = new Punts(lab);
  await punts.start();
  const client = await addPuntClient(lab, 'c.sock');
  const socket = client.path;
  // VPP gives no answer at all to a protocol that its tables do not name; the embedded one has no such
  const none =
    lab.dataplane === 'embedded'
      ? { entry: toSocket('none', 67, socket), why: /UDP port 67 of IPv4 is used by .*DHCP/ }
      : {
          entry: { name: 'none', type: 'ip-protocol', netns: '', l3: 'ipv4', protocol: 200, socket },
          why: /VPP gives no answer to it/,
        };
  const begun = performance.now();
  await punts.configure(none.entry, toSocket('behind', 9000, socket));
  await punts.is('none', 'FAILED', none.why);
  await punts.is('behind', 'CREATED');
  const ms = Math.round(performance.now() - begun);
  t.ok(ms < 5000 * slowness, `both are told after ${ms} ms`);
  await send(lab, 0, await toPort(lab, 9000, 'behind'));
  await hasGot(client, 1);
  await punts.configure(toSocket('behind', 9000, socket), toSocket('later', 9001, socket));
  await punts.is('none', 'DELETED');
  await punts.is('later', 'CREATED');
  await send(lab, 0, await toPort(lab, 9001, 'later'));
  await hasGot(client, 2);
});

system('21 two sockets for one port: who is there stays, who comes later has his turn', async (t, lab) => {
  const punts = new Punts(lab);
  const lcpd = await punts.start();
  const [c, d] = [await addPuntClient(lab, 'c.sock'), await addPuntClient(lab, 'd.sock')];
  const [first, second] = [toSocket('first', 9000, c.path), toSocket('second', 9000, d.path, { l3: 'all' })];
  await punts.configure(first);
  await punts.is('first', 'CREATED');
  await punts.configure(first, second);
  await punts.is('second', 'BUSY', /udp4.9000 is busy: .*first has it/);
  const by = ['punt', 'add', 'to-host', 'third', 'l3=ipv4', 'l4=udp', 'port=9000', `socket=${d.path}`, '--netns', ''];
  const third = await lcpd.ctl(by);
  t.not(third.code, 0);
  t.match(third.stderr, /udp4.9000 is busy: .*first has it.*PUNT_BUSY/s, 'by hand it is refused at once');
  const frame = await toPort(lab, 9000, 'for one of both');
  const six = await into(lab, 0, udpPacket('fd00:0::2', 'fd00:0::1', 9000, Buffer.from('of the other family')));
  await send(lab, 0, frame, six);
  await hasGot(c, 1);
  t.equal(c.got()[0]?.hex, frame.toString('hex'), 'the first one goes on');
  t.ok(await reachable(lab.ns('h0'), '10.0.0.1'));
  t.same(d.got(), [], 'the second has nothing, not even of the family that nobody else has');
  await punts.configure(second);
  await punts.is('second', 'CREATED');
  await send(lab, 0, frame, six);
  await hasGot(d, 2);
  await hasGot(c, 1);
});
