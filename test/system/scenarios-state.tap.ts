/**
 * Scenarios of neighbours, addresses and devices beside the pairs, and of what the data plane cannot follow.
 */
import type { AdjacencyRow, DiffResult, NeighbourRow, UnsupportedRow } from '../../src/lcp/view.ts';
import type { Lcpd } from './lab/lcpd.ts';
import { legs, sameChoices } from './lab/legs.ts';
import { ip, ipJson, sysctl } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { Pinger, ping, reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

/** `STATE MAC` of a neighbour as lcpd mirrors it, and the MAC that the data plane sends to, '-' where there is none. */
async function neighbour(lcpd: Lcpd, address: string): Promise<string> {
  await lcpd.synced();
  const row = (await lcpd.json<NeighbourRow[]>(['show', 'neighbours'])).find((n) => n.address === address);
  const adjacency = (await lcpd.json<AdjacencyRow[]>(['show', 'adjacencies'])).find((a) => a.nexthop === address);
  const to = adjacency?.rewrite?.replaceAll(/[^0-9a-f]/gi, '').slice(0, 12);
  const state = row === undefined ? 'none' : `${row.state} ${row.installed ? 'installed' : 'not installed'}`;
  return `${state}, sent to ${to === undefined || to === '' ? '-' : to}`;
}

system('scenario 9: neighbours of every state', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const cp = lab.ns('cp');
  for (const address of ['10.0.1.50', 'fd00:1::50']) {
    const change = async (words: string, expected: string): Promise<void> => {
      await ip(cp, 'neighbour', ...words.split(' '), 'dev', 'e1');
      t.equal(await neighbour(lcpd, address), expected, `${address}: ${words}`);
    };
    const replace = `replace ${address} lladdr 02:00:00:00:00`;
    await change(`${replace}:01 nud permanent`, 'permanent installed, sent to 020000000001');
    await change(`${replace}:02 nud permanent`, 'permanent installed, sent to 020000000002');
    await change(`${replace}:02 nud reachable`, 'reachable installed, sent to 020000000002');
    await change(`${replace}:03 nud reachable`, 'reachable installed, sent to 020000000003');
    await change(`${replace}:03 nud stale`, 'stale installed, sent to 020000000003');
    await change(`${replace}:04 nud noarp`, 'noarp installed, sent to 020000000004');
    await change(`replace ${address} nud failed`, 'failed not installed, sent to -');
    await change(`${replace}:05 nud reachable`, 'reachable installed, sent to 020000000005');
    await change(`del ${address}`, 'none, sent to -');
  }
  // What the neighbour table cannot say of one to send to.
  await ip(cp, 'neighbour', 'add', 'proxy', '10.0.1.60', 'dev', 'e1');
  t.match(await neighbour(lcpd, '10.0.1.60'), /sent to -$/, 'a proxy entry is nobody');
  await ip(cp, 'neighbour', 'replace', '10.0.1.61', 'lladdr', '02:00:00:00:00:61', 'dev', 'e1', 'extern_learn');
  t.match(await neighbour(lcpd, '10.0.1.61'), /installed, sent to 020000000061$/, 'one that another program learned');
});

/** Link-local address of a device of cp. */
const linkLocal = async (lab: Lab, dev: string): Promise<string[]> => {
  const [link] = await ipJson<{ addr_info: { local?: string; scope: string }[] }>(
    lab.ns('cp'),
    '-6',
    'address',
    'show',
    dev,
  );
  return (link?.addr_info ?? []).filter((a) => a.scope === 'link').map((a) => a.local ?? '');
};

system('scenario 10: addresses come, go and change', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
  const change = async (line: string, expected: Readonly<Record<string, string>>): Promise<void> => {
    await ip(cp, 'address', ...line.split(' '), 'dev', 'e1');
    await sameChoices(t, lab, Object.keys(expected), line, Object.values(expected));
  };
  await change('add 10.80.0.1/24', { '10.80.0.1': 'local', '10.80.0.9': 'e1', '10.80.0.255': 'broadcast' });
  await change('add 10.80.0.2/24', { '10.80.0.2': 'local', '10.80.0.9': 'e1' });
  // VPP has no addresses whose subnets overlap: see the support matrix
  const overlaps = lab.dataplane === 'embedded';
  if (overlaps) await change('add 10.80.0.0/31', { '10.80.0.0': 'local', '10.80.0.1': 'local' });
  if (overlaps) await change('del 10.80.0.0/31', { '10.80.0.1': 'local', '10.80.0.9': 'e1' });
  // The kernel takes the secondary with its primary.
  await change('del 10.80.0.1/24', { '10.80.0.1': 'none', '10.80.0.2': 'none', '10.80.0.9': 'none' });
  await change('add 10.81.0.1 peer 10.81.0.9/32', { '10.81.0.1': 'local', '10.81.0.9': 'e1', '10.81.0.2': 'none' });
  await change('add 10.82.0.1/24 noprefixroute', { '10.82.0.1': 'local', '10.82.0.9': 'none' });
  await change('add fd00:80::1/64', { 'fd00:80::1': 'local', 'fd00:80::9': 'e1' });
  await change('add fd00:80::2/64 noprefixroute', { 'fd00:80::2': 'local', 'fd00:80::9': 'e1' });
  // The prefix route stays for the other address, though that one did not bring it.
  await change('del fd00:80::1/64', { 'fd00:80::1': 'e1', 'fd00:80::2': 'local', 'fd00:80::9': 'e1' });
  // Subnets of two interfaces may overlap.
  if (overlaps) await ip(cp, 'address', 'add', '10.0.0.99/16', 'dev', 'e1');
  const three = overlaps ? ['e0', 'e1', 'local'] : undefined;
  await sameChoices(t, lab, ['10.0.0.2', '10.0.7.7', '10.0.0.99'], 'overlapping', three);
  await ip(cp, 'address', 'add', '10.84.0.1/24', 'dev', 'e1', 'valid_lft', '2', 'preferred_lft', '1');
  t.same(await legs(lab, ['10.84.0.1']), ['local'], 'one with a lifetime');
  await waitFor('its life to end', async () => (await legs(lab, ['10.84.0.1', '10.84.0.9'])).join() === 'none,none');

  // IPv6 goes on while the link-local address becomes another one.
  t.ok(await reachable(h0, 'fd00:1::2'));
  const [old = ''] = await linkLocal(lab, 'e0');
  const pinger = new Pinger(h0, 'fd00:1::2', `${lab.dir}/ping.log`);
  await pinger.answers(10);
  await ip(cp, 'address', 'add', 'fe80::77/64', 'dev', 'e0');
  await ip(cp, 'address', 'del', `${old}/64`, 'dev', 'e0');
  t.ok(await reachable(h0, 'fe80::77%eth0'), 'the new one answers');
  t.equal((await ping(h0, `${old}%eth0`, { count: 2, intervalMs: 200 })).received, 0, 'the old one does not');
  await pinger.answers(10);
  t.equal((await pinger.stop()).lost, 0, 'no packet of others was lost');

  // Duplicate address detection goes through the pair, and what fails it is not for us.
  await sysctl(cp, { 'net.ipv6.conf.e0.accept_dad': 1, 'net.ipv6.conf.e0.dad_transmits': 1 });
  await ip(cp, 'address', 'add', 'fd00:0::2/64', 'dev', 'e0');
  await ip(cp, 'address', 'add', 'fd00:0::7/64', 'dev', 'e0');
  await waitFor('the detection to end', async () => {
    const text = await ip(cp, '-6', 'address', 'show', 'dev', 'e0');
    return text.includes('dadfailed') && !/::7\/64.*tentative/.test(text);
  });
  t.same(await legs(lab, ['fd00:0::2', 'fd00:0::7']), ['e0', 'local'], 'a duplicate is not installed, another is');
  t.ok(await reachable(lab.ns('h1'), 'fd00:0::2'), 'who has it is still reached');
  t.equal((await lcpd.status()).health.state, 'ok');
});

/** What of the kernel's is not supported; what a data plane never does has its own name for a kind. */
const unsupported = async ({ dataplane }: Lab, lcpd: Lcpd): Promise<string[]> => {
  await lcpd.synced();
  const rows = await lcpd.json<UnsupportedRow[]>(['show', 'unsupported']);
  const own = dataplane === 'embedded' ? 'embedded' : 'vpp';
  return rows.flatMap(({ kind, key }) => (kind === own ? [] : [`${kind} ${key}`])).sort();
};

system('tos routes, source-specific routes and rules with selectors are told of, and go', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const cp = lab.ns('cp');
  t.same(await unsupported(lab, lcpd), [], 'nothing at first');
  const objects: readonly (readonly [string, RegExp])[] = [
    ['-4 route add 10.90.0.0/24 tos 0x10 via 10.0.1.2', /^route4 10\.90\.0\.0\/24.*0x10/],
    ['-6 route add fd00:90::/64 from fd00:0::/64 via fd00:1::2', /^route6 .*fd00:90::\/64.*from fd00::\/64/],
    ['-4 rule add pref 700 fwmark 7 lookup 100', /^rule ip rule 700:.*fwmark 0x7/],
    ['-6 rule add pref 701 from fd00:0::/64 lookup 100', /^rule ip -6 rule 701: from fd00::\/64/],
    ['-4 rule add pref 702 ipproto tcp dport 80 lookup 100', /^rule ip rule 702:.*ipproto 6 dport 80/],
  ];
  for (const [line] of objects) await ip(cp, ...line.split(' '));
  const rows = await unsupported(lab, lcpd);
  const differences = (diff: DiffResult): string[] =>
    diff.differences.map((row) => `${row.kind} ${row.key.replace(`${cp} `, '')}`);
  const different = differences(await lcpd.diff());
  for (const [line, shape] of objects) {
    t.ok(
      rows.some((row) => shape.test(row)),
      `lcpctl show unsupported: ${line}`,
    );
    t.ok(
      different.some((row) => shape.test(row)),
      `lcpctl diff: ${line}`,
    );
  }
  t.equal(rows.length, objects.length, 'and nothing else');
  t.same(await legs(lab, ['10.90.0.9', 'fd00:90::9']), ['none', 'none'], 'none of them is used for other packets');
  for (const [line] of objects) await ip(cp, ...line.replace(' add ', ' del ').split(' '));
  t.same(await unsupported(lab, lcpd), [], 'gone with the objects');
  t.same(differences(await lcpd.diff()), []);
});

system('ports of a bridge belong to the kernel, which bridges', async (t, lab) => {
  const lcpd = await lab.addRouter({ ports: 3 });
  const [cp, h0, h1, h2] = ['cp', 'h0', 'h1', 'h2'].map((role) => lab.ns(role)) as [string, string, string, string];
  t.ok(await reachable(h0, '10.0.1.2'), 'routed at first');
  await ip(cp, 'link', 'add', 'br0', 'type', 'bridge');
  for (const dev of ['e0', 'e1']) await ip(cp, 'link', 'set', dev, 'master', 'br0');
  await ip(cp, 'link', 'set', 'br0', 'up');
  await ip(cp, 'address', 'add', '10.55.0.1/24', 'dev', 'br0');
  for (const [ns, n] of [
    [h0, 10],
    [h1, 11],
  ] as const) {
    await ip(ns, 'address', 'add', `10.55.0.${n}/24`, 'dev', 'eth0');
    await ip(ns, 'address', 'add', `fd00:55::${n}/64`, 'dev', 'eth0');
  }
  t.ok(await reachable(h0, '10.55.0.11'), 'from one port to the other');
  t.ok(await reachable(h1, 'fd00:55::10'), 'by IPv6');
  t.equal((await ping(h0, '10.55.0.11', { count: 20, intervalMs: 10, ttl: 1 })).received, 20, 'TTL 1 is enough');
  t.ok(await reachable(h1, '10.55.0.1'), 'the bridge itself answers');
  t.ok(await reachable(h2, '10.0.2.1'), 'the other pair is routed as before');
  await lcpd.synced();
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty with ports enslaved');
  for (const dev of ['e0', 'e1']) await ip(cp, 'link', 'set', dev, 'nomaster');
  await ip(cp, 'link', 'del', 'br0');
  for (const n of [0, 1]) await lab.addressHost(n);
  t.ok(await reachable(h0, '10.0.1.2'), 'routed again when released');
  await waitFor('bridging to have ended', async () => (await ping(h0, '10.55.0.11', { count: 1 })).received === 0);
});

system('the MAC of a macvlan and the addresses of a loopback are for us', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const [cp, h0, h1] = [lab.ns('cp'), lab.ns('h0'), lab.ns('h1')];
  await ip(
    cp,
    'link',
    'add',
    'link',
    'e0',
    'name',
    'vrrp0',
    'address',
    '00:00:5e:00:01:07',
    'type',
    'macvlan',
    'mode',
    'bridge',
  );
  await ip(cp, 'link', 'set', 'vrrp0', 'up');
  await ip(cp, 'address', 'add', '10.0.0.254/24', 'dev', 'vrrp0');
  await ip(cp, 'address', 'add', '192.0.2.77/32', 'dev', 'lo');
  await ip(cp, 'address', 'add', '2001:db8:77::1/128', 'dev', 'lo');
  t.same(await legs(lab, ['10.0.0.254', '192.0.2.77', '2001:db8:77::1']), ['local', 'local', 'local']);
  for (const address of ['192.0.2.77', '2001:db8:77::1']) t.ok(await reachable(h0, address), `${address} answers`);
  t.ok(await reachable(h0, '10.0.0.254'), 'so does that of the macvlan, which is asked for');
  // as FRR does for a virtual router whose master is another: e0 must not answer for it either
  await sysctl(cp, { 'net.ipv4.conf.e0.arp_ignore': 1 });
  await ip(cp, 'link', 'set', 'vrrp0', 'protodown', 'on');
  await lcpd.synced();
  await ip(h0, 'neighbour', 'flush', 'dev', 'eth0');
  t.equal((await ping(h0, '10.0.0.254', { count: 2 })).received, 0, 'nobody answers for it while it has no carrier');
  await ip(cp, 'link', 'set', 'vrrp0', 'protodown', 'off');
  // Frames to the macvlan's MAC only: the host has it as a permanent neighbour.
  await ip(h0, 'neighbour', 'replace', '10.0.0.254', 'lladdr', '00:00:5e:00:01:07', 'dev', 'eth0', 'nud', 'permanent');
  t.ok(await reachable(h0, '10.0.0.254'), 'its address answers');
  await ip(h0, 'route', 'replace', 'default', 'via', '10.0.0.254');
  t.ok(await reachable(h0, '10.0.1.2'), 'frames to its MAC are routed');
  const { text, received } = await ping(h0, '10.0.1.2', { count: 20, intervalMs: 10, ttl: 9 });
  t.equal(received, 20, 'every one');
  t.match(text, /ttl=63 /, 'and h1 is one hop away');
  t.ok(await reachable(h1, '10.0.0.2'), 'the way back');
  await ip(cp, 'link', 'del', 'vrrp0');
  await lcpd.synced();
  await waitFor('the MAC to be nobody', async () => (await ping(h0, '10.0.1.2', { count: 1 })).received === 0);
  t.pass('with the device goes its MAC');
  await ip(cp, 'address', 'del', '192.0.2.77/32', 'dev', 'lo');
  t.same(await legs(lab, ['192.0.2.77']), ['none'], 'and with an address that it was for us');
});
