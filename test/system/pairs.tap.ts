/**
 * Pairs: their life from a configuration whose interfaces do not exist yet to the one that removes them.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Lcpd } from './lab/lcpd.ts';
import { inNetns, ip } from './lab/netns.ts';
import { Daemon, run, tryRun, waitFor } from './lab/process.ts';
import { Pinger, reachable } from './lab/traffic.ts';
import { hasCarrier, isUp, system } from './lab.ts';

system('a pair waits for its namespace and its phy, and completes when they appear', async (t, lab) => {
  await lab.addNetns('rtr');
  const lcpd = lab.addLcpd(lab.config({ ports: 1 }));
  await lcpd.start();
  let pair = await lcpd.waitPair('p0', 'pending');
  t.match(pair.reason, /namespace|netns|phy|p0/i, 'says what it waits for');

  await lab.addNetns('cp');
  pair = await waitFor('the reason to be the phy', async () => {
    const row = await lcpd.pair('p0');
    return row.state === 'pending' && /phy|p0/i.test(row.reason ?? '') && !/namespace|netns/i.test(row.reason ?? '')
      ? row
      : false;
  });
  t.match(pair.reason, /p0|phy/i);

  const host = await lab.addHost(0);
  await lab.waitLink('cp', 'e0');
  await lab.addressHost(0);
  await lcpd.waitPair('p0', 'up');
  t.ok(await reachable(host, '10.0.0.1'), 'the router answers');
  t.ok(await reachable(host, 'fd00:0::1'), 'and by IPv6');
});

system('a phy that is deleted and made again', async (t, lab) => {
  const lcpd = await lab.addRouter();
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
  const first = await lab.waitLink('cp', 'e0');
  await ip(lab.ns('rtr'), 'link', 'del', 'p0');
  const pair = await lcpd.waitPair('p0', 'pending');
  t.match(pair.reason, /p0|phy/i, 'pending, with the reason');
  await lab.addCable(0);
  await lcpd.waitPair('p0', 'up');
  await lab.waitLink('cp', 'e0', (l) => isUp(l) && hasCarrier(l));
  // Whether the host survived or was made anew, its addresses are the operator's.
  if ((await lab.waitLink('cp', 'e0')).ifindex !== first.ifindex) await lab.addressHost(0);
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'), 'forwards again');
});

system('the host interface is renamed, then deleted behind our back', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const cp = lab.ns('cp');
  await ip(cp, 'link', 'set', 'e0', 'down');
  await ip(cp, 'link', 'set', 'e0', 'name', 'uplink');
  await ip(cp, 'link', 'set', 'uplink', 'up');
  await lcpd.waitPair('p0', 'up');
  await ip(cp, 'address', 'replace', 'fd00:0::1/64', 'dev', 'uplink');
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'), 'a renamed host goes on');
  t.equal((await lcpd.pair('p0')).host, 'uplink', 'under its new name');

  await ip(cp, 'link', 'del', 'uplink');
  await lab.waitLink('cp', 'e0');
  await lab.addressHost(0);
  await lcpd.waitPair('p0', 'up');
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'), 'a deleted one is made again');
});

system('the namespace of the hosts is deleted and made again', async (t, lab) => {
  const lcpd = await lab.addRouter();
  await lab.delNetns('cp');
  for (const phy of ['p0', 'p1']) t.ok((await lcpd.waitPair(phy, 'pending')).reason, `${phy} is pending with a reason`);
  await lab.addNetns('cp');
  for (const n of [0, 1]) {
    await lab.waitLink('cp', `e${n}`);
    await lab.addressHost(n);
    await lcpd.waitPair(`p${n}`, 'up');
  }
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'), 'forwards in the new one');
});

system('MAC, MTU, admin state and carrier follow', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const [rtr, cp, h0] = [lab.ns('rtr'), lab.ns('cp'), lab.ns('h0')];
  const phy = await lab.waitLink('rtr', 'p0');
  await lab.waitLink('cp', 'e0', (l) => l.address === phy.address && l.mtu === phy.mtu);
  t.pass('the host has the MAC and MTU of its phy');

  await ip(cp, 'link', 'set', 'e0', 'mtu', '1400');
  await lab.waitLink('rtr', 'p0', (l) => l.mtu === 1400);
  t.pass('the phy takes the MTU of the host');
  await ip(cp, 'link', 'set', 'e0', 'address', '02:00:00:00:be:ef');
  await lab.waitLink('rtr', 'p0', (l) => l.address === '02:00:00:00:be:ef');
  t.pass('and its MAC');
  t.ok(await reachable(h0, '10.0.1.2'), 'and forwards with both');

  await ip(cp, 'link', 'set', 'e0', 'down');
  await lab.waitLink('rtr', 'p0', (l) => !isUp(l));
  await lcpd.waitPair('p0', 'down');
  t.pass('host down takes the phy down');
  await lab.waitLink('h0', 'eth0', (l) => !hasCarrier(l));
  t.pass('which the neighbour sees');
  await ip(cp, 'link', 'set', 'e0', 'up');
  await ip(cp, 'address', 'replace', 'fd00:0::1/64', 'dev', 'e0');
  await lcpd.waitPair('p0', 'up');

  await ip(h0, 'link', 'set', 'eth0', 'down');
  await lab.waitLink('cp', 'e0', (l) => !hasCarrier(l));
  t.pass('carrier lost at the phy is lost at the host');
  await ip(h0, 'link', 'set', 'eth0', 'up');
  await lab.waitLink('cp', 'e0', hasCarrier);
  t.pass('and comes back');
  // Forced on by another hand, the phy is put back to what the host says.
  await ip(cp, 'link', 'set', 'e1', 'down');
  await lab.waitLink('rtr', 'p1', (l) => !isUp(l));
  await ip(rtr, 'link', 'set', 'p1', 'up');
  await lab.waitLink('rtr', 'p1', (l) => !isUp(l));
  t.pass('a phy raised by hand under a host that is down goes down again');
});

system('the configuration is reloaded by difference', async (t, lab) => {
  const lcpd = await lab.addRouter({ ports: 3 });
  const before = await lab.waitLink('cp', 'e0');
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
  const pinger = new Pinger(lab.ns('h0'), '10.0.1.2', `${lab.dir}/ping.log`);
  await pinger.answers(20);
  lcpd.writeConfig(lab.config({ ports: 2 }));
  lcpd.daemon.signal('SIGHUP');
  await lab.waitNoLink('cp', 'e2');
  t.pass('a pair that is no longer configured goes');
  lcpd.writeConfig(lab.config({ ports: 3 }));
  lcpd.daemon.signal('SIGHUP');
  await lab.waitLink('cp', 'e2');
  await lab.addressHost(2);
  await lcpd.waitPair('p2', 'up');
  t.pass('and comes back');
  lcpd.writeConfig('pairs: [ { phy: p0 } ]\n');
  lcpd.daemon.signal('SIGHUP');
  await waitFor('the complaint in the log', () => /host/.test(lcpd.daemon.log().split('\n').slice(-8).join('\n')));
  t.ok(lcpd.daemon.running, 'a wrong file changes nothing');
  lcpd.writeConfig(lab.config({ ports: 3 }));
  const ping = await pinger.stop();
  t.equal(ping.lost, 0, 'the other pairs forwarded all the time');
  t.equal((await lab.waitLink('cp', 'e0')).ifindex, before.ifindex, 'on the same interfaces');
});

system('SIGTERM removes what lcpd made', async (t, lab) => {
  const lcpd = await lab.addRouter();
  t.equal(await lcpd.stop(), 0, 'exit status 0');
  await lab.waitNoLink('cp', 'e0');
  await lab.waitNoLink('cp', 'e1');
  const tc = await run(['tc', '-n', lab.ns('rtr'), 'qdisc', 'show', 'dev', 'p0']);
  t.notMatch(tc, /clsact/, 'the guard on the phy is removed');
  await waitFor(
    'the forwarder to end',
    async () => (await run(['ip', 'netns', 'pids', lab.ns('rtr')])).trim() === '' || false,
  );
  t.pass('no process is left');
});

system('--remove takes down what a dead lcpd left', async (t, lab) => {
  const lcpd = await lab.addRouter();
  await lcpd.kill();
  t.ok(await lab.link('cp', 'e0'), 'a killed one leaves its interfaces');
  const done = await tryRun(lcpd.command('--remove'));
  t.equal(done.code, 0, 'exit status 0');
  for (const host of ['e0', 'e1']) t.equal(await lab.link('cp', host), undefined, `${host} is gone`);
  t.notMatch(await run(['tc', '-n', lab.ns('rtr'), 'qdisc', 'show', 'dev', 'p0']), /clsact/, 'and the guard');
  await waitFor('the forwarder to end', async () => (await run(['ip', 'netns', 'pids', lab.ns('rtr')])).trim() === '');
  t.pass('no process is left');
});

system('--leave goes on forwarding, and the next lcpd takes over', async (t, lab) => {
  await lab.addRouter();
  const first = lab.lcpd;
  await first.stop();
  await lab.waitNoLink('cp', 'e0');
  const lcpd = new Lcpd({ ns: lab.ns('rtr'), dir: lab.dir, config: lab.config(), args: ['--leave'] });
  await lcpd.start();
  for (const n of [0, 1]) {
    await lab.waitLink('cp', `e${n}`);
    await lab.addressHost(n);
    await lcpd.waitPair(`p${n}`, 'up');
  }
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
  const pinger = new Pinger(lab.ns('h0'), '10.0.1.2', `${lab.dir}/ping.log`);
  await pinger.answers(20);
  t.equal(await lcpd.stop(), 0);
  await pinger.answers(100);
  t.pass('forwards without lcpd');
  // The lab's own lcpd, without --leave, ends it all at the end.
  await first.start();
  await first.synced();
  await pinger.answers(20);
  t.equal((await pinger.stop()).lost, 0, 'not a packet lost');
});

system('scenario 14: kill -9 and a restart lose nothing and program nothing anew', async (t, lab) => {
  const lcpd = await lab.addRouter();
  // The first packet to a neighbour that is not resolved yet may be lost.
  for (const address of ['10.0.1.2', 'fd00:1::2']) t.ok(await reachable(lab.ns('h0'), address));
  const four = new Pinger(lab.ns('h0'), '10.0.1.2', `${lab.dir}/ping4.log`);
  const six = new Pinger(lab.ns('h0'), 'fd00:1::2', `${lab.dir}/ping6.log`);
  await four.answers(30);
  const before = await lcpd.status();
  await lcpd.kill();
  await four.answers(50);
  await ip(lab.ns('cp'), 'route', 'add', '203.0.113.0/24', 'via', '10.0.1.2');
  await lcpd.start();
  await lcpd.synced();
  const after = await lcpd.status();
  t.equal(after.dataplane.generation, before.dataplane.generation, 'the data plane is the same one');
  const [row] = await lcpd.lookup(['203.0.113.9']);
  t.match(row, { prefix: '203.0.113.0/24', type: 'unicast' }, 'what changed meanwhile is there');
  await Promise.all([four.answers(30), six.answers(30)]);
  t.equal((await four.stop()).lost, 0, 'IPv4: nothing lost');
  t.equal((await six.stop()).lost, 0, 'IPv6: nothing lost');
});

system('a second lcpd on the same socket is refused', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const second = await tryRun(lcpd.command(), { timeoutMs: 15_000 });
  t.not(second.code, 0);
  t.not(second.code, 124, 'at once');
  t.match(second.stdout + second.stderr, /already|another|running|in use/i, 'and told why');
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'), 'the first one goes on');
});

system('a wrong configuration: every error with its line, exit 2, nothing touched', async (t, lab) => {
  await lab.addNetns('rtr');
  await lab.addNetns('cp');
  const file = `${lab.dir}/wrong.yaml`;
  writeFileSync(
    file,
    'dataplane: { driver: embedded }\npairs:\n  - { phy: p0 }\n  - { phy: p1, host: "a/b" }\nbogus: 1\n',
  );
  const lcpd = lab.addLcpd(lab.config());
  for (const extra of [['--check'], []]) {
    const command = lcpd.command(...extra).map((word) => (word === lcpd.configFile ? file : word));
    const done = await tryRun(command, { timeoutMs: 15_000 });
    const text = done.stdout + done.stderr;
    t.equal(done.code, 2, 'exit 2');
    for (const line of [3, 4, 5]) t.match(text, new RegExp(`\\b${line}\\b`), `names line ${line}`);
  }
  const right = await tryRun(lcpd.command('--check'), { timeoutMs: 15_000 });
  t.equal(right.code, 0, 'a right one passes the check');
  t.equal(await lab.link('cp', 'e0'), undefined, 'nothing was made');
});

system('a point-to-point pair carries IP packets without Ethernet', async (t, lab) => {
  await lab.addNetns('rtr');
  await lab.addNetns('cp');
  const [rtr, cp] = [lab.ns('rtr'), lab.ns('cp')];
  const h0 = await lab.addHost(0);
  const program = fileURLToPath(new URL('./lab/tunpeer.ts', import.meta.url));
  const peer = new Daemon(
    'tunpeer',
    inNetns(rtr, ['node', '--import', 'tsx', program, 'p1']),
    `${lab.dir}/tunpeer.log`,
  );
  lab.defer(() => peer.stop('SIGKILL'));
  await lab.waitLink('rtr', 'p1');
  const lcpd = lab.addLcpd(lab.config({ types: ['tap', 'tun'] }));
  await lcpd.start();
  const tun = await lab.waitLink('cp', 'e1');
  t.ok(tun.flags.includes('POINTOPOINT') || tun.flags.includes('NOARP'), 'the host is a TUN');
  await lab.addressHost(0);
  await ip(cp, 'link', 'set', 'e1', 'up');
  await ip(cp, 'address', 'add', '192.0.2.1', 'peer', '192.0.2.2', 'dev', 'e1');
  await ip(cp, 'route', 'add', '198.51.100.0/24', 'dev', 'e1');
  await ip(cp, '-6', 'route', 'add', '2001:db8:7::/48', 'dev', 'e1');
  await lcpd.waitPair('p1', 'up');
  t.equal((await lcpd.pair('p1')).type, 'tun');
  t.ok(await reachable(cp, '192.0.2.2'), 'host to phy and back');
  t.ok(await reachable(h0, '198.51.100.7'), 'transit from Ethernet to the tunnel and back');
  t.ok(await reachable(h0, '2001:db8:7::9'), 'and by IPv6');
});
