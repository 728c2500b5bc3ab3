/**
 * VRF: a host that is enslaved moves to the table of its VRF with its addresses and routes, and back; leaked routes
 * lead from one VRF into another. Needs a kernel with VRFs.
 */
import type { LookupRow, SubifRow } from '../../src/lcp/view.ts';
import type { Choice } from '../system/lab/choices.ts';
import { ip, ipJson } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { kernelForwarded, ping, reachable } from '../system/lab/traffic.ts';
import { kernelAnswers } from '../system/lab/vmchoices.ts';
import { type Lab, system } from '../system/lab.ts';

async function addVrf(lab: Lab, name: string, table: number, ports: readonly number[]): Promise<void> {
  const cp = lab.ns('cp');
  await ip(cp, 'link', 'add', name, 'type', 'vrf', 'table', String(table));
  await ip(cp, 'link', 'set', name, 'up');
  for (const n of ports) {
    await ip(cp, 'link', 'set', `e${n}`, 'master', name);
    // the kernel takes IPv6 addresses away when a device changes its VRF
    await lab.addressHost(n);
  }
}

/** The kernel's choice as `dev via`; nothing and refusals of every sort are one. */
const kernelText = ({ type, dev, via }: Choice): string =>
  type === 'local' ? 'local' : type === 'unicast' ? `${dev} ${via ?? ''}`.trim() : 'none';

function textOf(row: LookupRow | undefined): string {
  if (row === undefined || 'error' in row) return JSON.stringify(row);
  if (row.type !== 'unicast') return row.type === 'unreachable' ? 'none' : row.type;
  return row.paths
    .map((p) => `${p.dev} ${p.via ?? ''}`.trim())
    .sort()
    .join(', ');
}

async function agree(
  t: { equal(a: unknown, b: unknown, text: string): void },
  lab: Lab,
  vrf: string,
  addresses: readonly string[],
) {
  await lab.lcpd.synced();
  const inVrf = vrf === '' ? {} : { vrf };
  const kernel = await kernelAnswers(
    lab.ns('cp'),
    addresses.map((address) => ({ address, ...inVrf })),
  );
  const rows = await lab.lcpd.lookup(addresses, ...(vrf === '' ? [] : ['--vrf', vrf]));
  for (const [i, address] of addresses.entries()) {
    const expected = kernelText(kernel[i] as Choice);
    t.equal(textOf(rows[i]), expected, `${address} in ${vrf || 'no VRF'}: ${expected}`);
  }
}

const ALL = [
  '10.0.0.1',
  '10.0.0.2',
  '10.0.1.2',
  '10.0.2.2',
  '10.0.3.2',
  'fd00:0::2',
  'fd00:1::2',
  'fd00:2::2',
  '10.77.0.1',
];

system('scenario 21: enslave, leak, release', async (t, lab) => {
  const lcpd = await lab.addRouter({ ports: 4 });
  const cp = lab.ns('cp');
  const h0 = lab.ns('h0');
  t.ok(await reachable(h0, '10.0.2.2'), 'before: one table, everybody reaches everybody');
  await ip(cp, 'route', 'add', '10.77.0.0/16', 'via', '10.0.1.2');

  await addVrf(lab, 'red', 100, [0, 1]);
  await addVrf(lab, 'blue', 200, [2, 3]);
  await agree(t, lab, 'red', ALL);
  await agree(t, lab, 'blue', ALL);
  await agree(t, lab, '', ALL);
  t.same((await lcpd.diff()).differences, [], 'the silent removals in the old table are mirrored');
  for (const to of ['10.0.1.2', 'fd00:1::2']) t.ok(await reachable(h0, to), `${to} answers within its VRF`);
  t.ok(await reachable(lab.ns('h2'), '10.0.3.2'), 'and so in the other');
  t.equal(
    (await ping(h0, '10.0.2.2', { count: 3, intervalMs: 100 })).received,
    0,
    'no way from one VRF into the other',
  );
  t.ok((await ping(h0, '10.0.0.1', { count: 3 })).received === 3, 'the router answers by its address in the VRF');

  // Leaks in both directions, IPv4 and IPv6.
  for (const [from, table, n, back] of [
    ['red', '100', 2, 0],
    ['blue', '200', 0, 2],
  ] as const) {
    await ip(cp, 'route', 'add', `10.0.${n}.0/24`, 'dev', `e${n}`, 'table', table);
    await ip(cp, '-6', 'route', 'add', `fd00:${n}::/64`, 'dev', `e${n}`, 'table', table);
    await agree(t, lab, from, [`10.0.${n}.2`, `fd00:${n}::2`, `10.0.${back}.2`]);
  }
  for (const to of ['10.0.2.2', 'fd00:2::2']) t.ok(await reachable(h0, to), `${to} is leaked into red`);
  for (const role of ['cp', 'rtr']) {
    t.equal(await kernelForwarded(lab.ns(role)), 0, `the kernel of ${role} forwarded nothing`);
  }

  // An unreachable default keeps what is not routed in the VRF from falling through to main.
  await ip(cp, 'route', 'add', 'unreachable', 'default', 'table', '100', 'metric', '4278198272');
  await agree(t, lab, 'red', ['192.0.2.1']);

  // A restart in the middle.
  await lcpd.kill();
  await lcpd.start();
  await agree(t, lab, 'red', ALL);

  await ip(cp, 'link', 'set', 'e0', 'nomaster');
  await lab.addressHost(0);
  await agree(t, lab, 'red', ALL);
  await agree(t, lab, '', ALL);
  t.ok((await ping(h0, '10.0.0.1', { count: 3 })).received > 0, 'released: the router answers from the main table');
  t.equal((await ping(h0, '10.0.1.2', { count: 2, intervalMs: 100 })).received, 0, 'and what it left is out of reach');

  await ip(cp, 'link', 'del', 'red');
  await ip(cp, 'link', 'del', 'blue');
  for (const n of [0, 1, 2, 3]) await lab.addressHost(n);
  await agree(t, lab, '', ALL);
  t.ok(await reachable(h0, '10.0.2.2'), 'without VRFs it is as before');
  const tables = await ipJson<{ table: string }>(cp, 'route', 'show', 'table', '100');
  t.same(
    tables.filter((r) => r.table === '100' && !('type' in r && r.type === 'unreachable')),
    [],
    'nothing is left in table 100',
  );
});

system('a VLAN device in a VRF, and rules', async (t, lab) => {
  const lcpd = await lab.addRouter({ ports: 2 });
  const cp = lab.ns('cp');
  const h0 = lab.ns('h0');
  await ip(cp, 'link', 'add', 'red', 'type', 'vrf', 'table', '100');
  await ip(cp, 'link', 'set', 'red', 'up');
  for (const [ns, lower, last] of [
    [cp, 'e0', 1],
    [h0, 'eth0', 2],
  ] as const) {
    await ip(ns, 'link', 'add', 'link', lower, 'name', 'q50', 'type', 'vlan', 'id', '50');
    if (ns === cp) await ip(ns, 'link', 'set', 'q50', 'master', 'red');
    await ip(ns, 'link', 'set', 'q50', 'up');
    await ip(ns, 'address', 'add', `10.0.50.${last}/24`, 'dev', 'q50');
  }
  await ip(h0, 'route', 'add', '10.0.1.2/32', 'via', '10.0.50.1');
  const subif = await waitFor('p0.50 in its VRF', async () => {
    const row = (await lcpd.json<SubifRow[]>(['show', 'subifs'])).find((s) => s.name === 'p0.50');
    if (row?.vrf !== 'red' || row.state !== 'up') throw new Error(JSON.stringify(row));
    return row;
  });
  t.equal(subif.host, 'q50');
  await agree(t, lab, 'red', ['10.0.50.2', '10.0.1.2']);
  // the main table is still looked up behind the VRF's
  t.ok(await reachable(h0, '10.0.50.1'), 'the router answers on the VLAN');
  await ip(cp, 'route', 'add', '10.0.1.0/24', 'dev', 'e1', 'table', '100');
  await ip(cp, 'route', 'add', '10.0.50.0/24', 'dev', 'q50');
  t.ok(await reachable(lab.ns('h1'), '10.0.50.2'), 'leaked from main into the VRF');

  // Rules: plain ones are followed, others are told of.
  await ip(cp, 'rule', 'add', 'pref', '500', 'lookup', '77');
  await ip(cp, 'route', 'add', 'blackhole', '10.0.1.2/32', 'table', '77');
  await lcpd.synced();
  const [row] = await lcpd.lookup(['10.0.1.2']);
  t.equal(textOf(row), 'blackhole', 'a plain rule in front of main is followed');
  await ip(cp, 'rule', 'del', 'pref', '500');
  await ip(cp, 'rule', 'add', 'pref', '600', 'from', '10.1.0.0/16', 'lookup', '77');
  await lcpd.synced();
  const { differences } = await lcpd.diff();
  t.equal(differences.length, 1, 'one difference');
  t.match(differences[0]?.key, /600: from 10\.1\.0\.0\/16 lookup 77/, 'which names the rule');
  await ip(cp, 'rule', 'del', 'pref', '600');
});
