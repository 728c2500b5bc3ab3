/**
 * VLAN: devices that the control plane makes on a host are tagged sub-interfaces of the phy: dot1q, dot1ad, QinQ and
 * QinAD, with exact tags, forwarded by the data plane, and gone with the device. Needs a kernel with VLANs.
 */
import type { SubifRow } from '../../src/lcp/view.ts';
import type { Lcpd } from '../system/lab/lcpd.ts';
import { ip } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { capture, kernelForwarded, ping, reachable } from '../system/lab/traffic.ts';
import { system } from '../system/lab.ts';

interface Vlan {
  readonly name: string;
  readonly lower: string;
  readonly protocol: '802.1Q' | '802.1ad';
  readonly id: number;
  /** Third octet and hextet of its networks. */
  readonly net: number;
  readonly tags: readonly string[];
}

const vlans: readonly Vlan[] = [
  { name: 'q100', lower: '', protocol: '802.1Q', id: 100, net: 100, tags: ['802.1Q 100'] },
  { name: 'ad200', lower: '', protocol: '802.1ad', id: 200, net: 101, tags: ['802.1ad 200'] },
  { name: 'qq7', lower: 'q100', protocol: '802.1Q', id: 7, net: 102, tags: ['802.1Q 100', '802.1Q 7'] },
  { name: 'adq7', lower: 'ad200', protocol: '802.1Q', id: 7, net: 103, tags: ['802.1ad 200', '802.1Q 7'] },
];

const nameOf: Readonly<Record<string, string>> = {
  q100: 'p0.100',
  ad200: 'p0.ad200',
  qq7: 'p0.100.7',
  adq7: 'p0.ad200.7',
};

async function addVlan(ns: string, base: string, v: Vlan, last: number): Promise<void> {
  const lower = v.lower === '' ? base : v.lower;
  await ip(ns, 'link', 'add', 'link', lower, 'name', v.name, 'type', 'vlan', 'proto', v.protocol, 'id', String(v.id));
  await ip(ns, 'link', 'set', v.name, 'up');
  await ip(ns, 'address', 'add', `10.0.${v.net}.${last}/24`, 'dev', v.name);
  await ip(ns, 'address', 'add', `fd00:${v.net}::${last}/64`, 'dev', v.name);
}

const subifs = (lcpd: Lcpd): Promise<SubifRow[]> => lcpd.json<SubifRow[]>(['show', 'subifs']);

const waitSubif = (lcpd: Lcpd, name: string): Promise<SubifRow> =>
  waitFor(`sub-interface ${name} to be up`, async () => {
    const row = (await subifs(lcpd)).find((s) => s.name === name);
    if (row?.state !== 'up') throw new Error(`it is ${JSON.stringify(row)}`);
    return row;
  });

system('scenario 22: the VLAN family', async (t, lab) => {
  const lcpd = await lab.addRouter();
  const [cp, h0, h1] = [lab.ns('cp'), lab.ns('h0'), lab.ns('h1')];
  for (const v of vlans) {
    await addVlan(cp, 'e0', v, 1);
    await addVlan(h0, 'eth0', v, 2);
  }
  // two tags, or one of 802.1ad, are more than the room that a veth keeps for one: lcpd raises the phy's MTU
  await ip(h0, 'link', 'set', 'eth0', 'mtu', '1508');
  if (lab.dataplane === 'embedded')
    await waitFor('p0 to take two tags', async () => (await lab.link('rtr', 'p0'))?.mtu === 1508);
  // the device below a host-interface of VPP is whose it was before
  else await ip(lab.ns('rtr'), 'link', 'set', 'p0', 'mtu', '1508');
  for (const v of vlans) {
    const row = await waitSubif(lcpd, nameOf[v.name] as string);
    t.same(row.tags, v.tags, `${v.name} has exactly its tags`);
    t.equal(row.host, v.name);
  }
  await lcpd.synced();
  // a host-interface of VPP takes every outer tag for 802.1Q
  const isWhole = lab.dataplane === 'embedded';
  for (const v of vlans.filter(({ tags }) => isWhole || tags[0]?.startsWith('802.1Q '))) {
    // the answers of h0 go back by the VLAN too
    await ip(h0, 'route', 'replace', '10.0.1.2/32', 'via', `10.0.${v.net}.1`);
    await ip(h0, '-6', 'route', 'replace', 'fd00:1::2/128', 'via', `fd00:${v.net}::1`);
    for (const address of [`10.0.${v.net}.1`, `fd00:${v.net}::1`]) {
      t.ok(await reachable(h0, address), `${v.name}: the router answers at ${address}`);
    }
    for (const address of [`10.0.${v.net}.2`, `fd00:${v.net}::2`]) {
      t.ok(await reachable(h1, address), `${v.name}: ${address} answers from behind the other phy`);
      t.equal((await ping(h1, address, { count: 20, intervalMs: 10 })).received, 20, `${v.name}: and 20 times`);
      t.equal((await ping(h1, address, { count: 3, bytes: 1472 })).received, 3, `${v.name}: with 1500 bytes too`);
    }
  }
  const [both, shape, inner] = isWhole
    ? (['10.0.103.2', /802\.1Q-QinQ.*vlan 200.*vlan 7\b/s, 'QinAD'] as const)
    : (['10.0.102.2', /vlan 100.*vlan 7\b/s, 'QinQ'] as const);
  const seen = await capture(
    { ns: h0, dev: 'eth0', filter: 'icmp or vlan', logFile: `${lab.dir}/tcpdump.log`, until: /vlan 7\b/ },
    () => ping(h1, both, { count: 3 }),
  );
  t.match(seen, shape, `${inner} on the wire: the service tag, then the customer tag`);
  for (const role of ['cp', 'rtr']) {
    t.equal(await kernelForwarded(lab.ns(role)), 0, `the kernel of ${role} forwarded nothing`);
  }

  // The kernel clamps the MTU of the devices above; their sub-interfaces follow without going down.
  await ip(cp, 'link', 'set', 'e0', 'mtu', '1400');
  await waitFor('the MTU of p0.100 to be 1400', async () => (await waitSubif(lcpd, 'p0.100')).mtu === 1400);
  await ip(h0, 'link', 'set', 'eth0', 'mtu', '1400');
  const refused = await ping(h1, '10.0.100.2', { count: 2, bytes: 1472, dontFragment: true });
  t.match(
    refused.text,
    /Frag needed|Message too long|mtu ?= ?1400/i,
    'what is too big for the sub-interface is refused',
  );

  // Another tag is nobody's.
  await ip(h0, 'link', 'add', 'link', 'eth0', 'name', 'q300', 'type', 'vlan', 'id', '300');
  await ip(h0, 'link', 'set', 'q300', 'up');
  await ip(h0, 'address', 'add', '10.0.110.2/24', 'dev', 'q300');
  t.equal((await ping(h0, '10.0.110.1', { count: 2, intervalMs: 200 })).received, 0, 'an unknown tag leads nowhere');

  // A device that is made again is the same sub-interface; one that goes takes it along, and what is above it.
  await ip(cp, 'link', 'del', 'q100');
  await waitFor('both sub-interfaces of q100 to go', async () => {
    const names = (await subifs(lcpd)).map((s) => s.name).sort();
    if (names.join(' ') !== 'p0.ad200 p0.ad200.7') throw new Error(names.join(' '));
    return true;
  });
  const [q100] = vlans as readonly [Vlan];
  await addVlan(cp, 'e0', q100, 1);
  await waitSubif(lcpd, 'p0.100');
  // the way of the answers that was tried last may have gone with q100
  await ip(h0, 'route', 'replace', '10.0.1.2/32', 'via', isWhole ? '10.0.103.1' : '10.0.100.1');
  t.ok(await reachable(h1, '10.0.100.2'), 'and is back when the device is');

  // A restart finds them as they are.
  const portBefore = (await waitSubif(lcpd, 'p0.100')).port;
  await lcpd.kill();
  await lcpd.start();
  await lcpd.synced();
  t.equal((await waitSubif(lcpd, 'p0.100')).port, portBefore, 'a restarted lcpd finds the sub-interface it had');
  t.ok(await reachable(h1, isWhole ? '10.0.103.2' : '10.0.100.2'));

  // Down is down.
  const [device, downSubif, address] = isWhole
    ? (['ad200', 'p0.ad200', '10.0.101.2'] as const)
    : (['q100', 'p0.100', '10.0.100.2'] as const);
  t.ok(await reachable(h1, address), `${address} answers before`);
  await ip(cp, 'link', 'set', device, 'down');
  await waitFor(`${downSubif} to be down`, async () => {
    return (await subifs(lcpd)).find((s) => s.name === downSubif)?.state === 'down';
  });
  t.equal(
    (await ping(h1, address, { count: 2, intervalMs: 200 })).received,
    0,
    'a device that is down forwards nothing',
  );
});
