/**
 * Punts and VRFs, on a kernel that has them: an ABX waits for the very VRF and gives its CNF one; a HAIRPIN's new interface is
 * in the table that it was asked for, and so is a DHCP relay's link.
 */
import { addServer, DhcpClient, relayDevice } from '../system/lab/dhcp.ts';
import { ip, ipJson } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { Punts } from '../system/lab/punts.ts';
import { embeddedOnly, hasHairpin, neighbour, ospf, withTaps } from '../system/lab/puntscene.ts';
import { ping, reachable } from '../system/lab/traffic.ts';
import { type Lab, system } from '../system/lab.ts';

interface Device {
  readonly ifname: string;
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: { readonly table?: number } };
}

const devices = (ns: string): Promise<Device[]> => ipJson<Device>(ns, '-details', 'link');
const vrfs = async (ns: string): Promise<string[]> =>
  (await devices(ns)).flatMap(({ ifname, linkinfo: { info_kind, info_data } = {} }) =>
    info_kind === 'vrf' ? [`${ifname} ${info_data?.table}`] : [],
  );

async function enslave(lab: Lab, n: number, vrf: string, table: number): Promise<void> {
  const cp = lab.ns('cp');
  await ip(cp, 'link', 'add', vrf, 'type', 'vrf', 'table', String(table));
  await ip(cp, 'link', 'set', vrf, 'up');
  await ip(cp, 'link', 'set', `e${n}`, 'master', vrf);
  // the kernel takes IPv6 addresses away when a device changes its VRF
  await lab.addressHost(n);
}

system(
  '20 an ABX is of the very VRF, number for number; CNFs of one namespace share its device',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const abx = (name: string, n: number, more = {}) => ({
      name,
      type: 'abx',
      interface: `p${n}`,
      vrf: 1,
      netns: c1,
      ingress: [ospf],
      ...more,
    });
    await enslave(lab, 0, 'ten', 10);
    await punts.configure(abx('a', 0));
    await punts.is('a', 'PENDING', /interface p0 is not in VRF 1/);
    t.same(await punts.taps('c1'), [], 'VRF 10 is not VRF 1');

    await ip(lab.ns('cp'), 'link', 'del', 'ten');
    await enslave(lab, 0, 'one', 1);
    await punts.is('a', 'CREATED');
    t.same(await vrfs(c1), ['vrf1 1']);
    const [tap = ''] = await punts.taps('c1');
    t.equal((await devices(c1)).find(({ ifname }) => ifname === tap)?.master, 'vrf1');
    t.match(await ip(c1, 'route', 'show', 'table', '1'), new RegExp(`10\\.0\\.0\\.0/24 dev ${tap}`));

    await ip(lab.ns('cp'), 'link', 'set', 'e1', 'master', 'one');
    await lab.addressHost(1);
    await punts.configure(abx('a', 0), abx('b', 1));
    await punts.are('CREATED', 'a', 'b');
    t.same(await vrfs(c1), ['vrf1 1'], 'one for both');
    await punts.configure(abx('b', 1));
    await waitFor('the first to be gone', async () => (await punts.taps('c1')).length === 1);
    t.same(await vrfs(c1), ['vrf1 1']);
    await punts.configure(abx('b', 1, { 'without-cnf-vrf': true }));
    await waitFor('its VRF to be gone', async () => (await vrfs(c1)).length === 0);
    await punts.is('b', 'CREATED');
    await punts.configure();
    await punts.noTaps('c1');
    t.same(await vrfs(c1), []);
  },
  withTaps,
);

system(
  '15 a HAIRPIN waits for its table; then its interface is in the VRF that has it',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 1 });
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const cp = lab.ns('cp');
    const addresses = ['10.5.0.1/24'];
    await punts.configure({
      name: 'h',
      type: 'hairpin',
      interface: 'p2',
      netns: c1,
      'hairpin-interface': { name: 'hp0', addresses, vrf: 5 },
    });
    await punts.is('h', 'PENDING', /table 5 for IPv4 does not exist/);
    await ip(cp, 'link', 'add', 'five', 'type', 'vrf', 'table', '5');
    await ip(cp, 'link', 'set', 'five', 'up');
    await punts.is('h', 'CREATED');
    const isEmbedded = lab.dataplane === 'embedded';
    await waitFor('hp0 to be in the VRF', async () => {
      if (!isEmbedded)
        return /hp0 \(up\):\s+L3 10\.5\.0\.1\/24 ip4 table-id 5 /.test(await lab.vppctl('show interface address'));
      const hp0 = (await devices(cp)).find(({ ifname }) => ifname === 'hp0');
      return hp0?.master === 'five' && /10\.5\.0\.0\/24 dev hp0/.test(await ip(cp, 'route', 'show', 'table', '5'));
    });
    // the CNF bridges its two devices, so that what is behind p2 reaches the interface behind it
    await ip(c1, 'link', 'add', 'br0', 'type', 'bridge');
    for (const dev of [...(await punts.taps('c1'))]) await ip(c1, 'link', 'set', dev, 'master', 'br0');
    await ip(c1, 'link', 'set', 'br0', 'up');
    await ip(lab.ns('rtr'), 'link', 'set', 'p2', 'up');
    await ip(lab.ns('h2'), 'address', 'add', '10.5.0.2/24', 'dev', 'eth0');
    t.equal(
      await neighbour(lab, 'h2', 'eth0', '10.5.0.1'),
      await punts.opposite('hp0'),
      'the router answers behind the CNF',
    );
    if (isEmbedded) {
      // VPP has no host there that would answer to this
      t.ok(await reachable(lab.ns('h2'), '10.5.0.1'), 'out of its VRF');
      await punts.lcpd.synced();
      const [row] = await punts.lcpd.lookup(['10.5.0.2'], '--vrf', 'five');
      t.match(row, { type: 'unicast', paths: [{ dev: 'hp0' }] });
    }
    await punts.configure();
    await punts.noTaps('c1');
    await waitFor('hp0 to go', async () => !(await hasHairpin(lab, 'hp0')));
  },
  withTaps,
);

system(
  '23 a DHCP_PROXY of a VRF: its link is in that VRF, so clients renew by unicast there, and nobody else reaches it',
  async (t, lab) => {
    const punts = new Punts(lab);
    const cnf = await lab.addNetns('c1');
    await punts.start();
    const [cp, h0, h1] = [lab.ns('cp'), lab.ns('h0'), lab.ns('h1')];
    await enslave(lab, 0, 'five', 5);
    const relay = { name: 'relay', type: 'dhcp-proxy', netns: cnf, vrf: 5, l3: 'all', 'without-cnf-vrf': true };
    await punts.configure(relay);
    await punts.is('relay', 'CREATED');
    const dev = await relayDevice(cnf);
    t.equal((await devices(cp)).find(({ ifname }) => ifname === dev)?.master, 'five');
    await ip(cnf, 'route', 'add', 'default', 'via', '192.168.111.1');
    await ip(cnf, '-6', 'route', 'add', 'default', 'via', 'fd6c:6370:6400::1');
    for (const address of ['192.168.111.2', 'fd6c:6370:6400::2']) {
      t.ok(await reachable(h0, address), `a client of the VRF reaches ${address}`);
      t.equal((await ping(h1, address, { count: 2 })).received, 0, 'another one does not');
    }
    for (const address of ['192.168.111.1', '10.0.0.2', 'fd6c:6370:6400::1', 'fd00:0::2'])
      t.ok(await reachable(cnf, address), `the CNF reaches ${address}`);
    t.equal((await ping(cnf, '10.0.1.2', { count: 2 })).received, 0, 'and nobody outside of the VRF');
    await punts.lcpd.synced();
    const [inside] = await punts.lcpd.lookup(['192.168.111.2'], '--vrf', 'five');
    t.match(inside, { type: 'unicast', paths: [{ dev }] });

    addServer(lab, cnf, dev);
    await ip(h0, 'address', 'del', '10.0.0.2/24', 'dev', 'eth0');
    const client = new DhcpClient(lab, 4);
    t.match(await client.bound(), /^BOUND 10\.0\.0\.1[0-5][0-9] 192\.168\.111\.2$/);
    t.ok(await client.renewed(), 'by unicast');
    await client.stop();
    t.match(await new DhcpClient(lab, 6).bound(), /^BOUND6 /);

    await ip(cp, 'link', 'del', 'five');
    await punts.is('relay', 'PENDING', /table 5 for IPv4 does not exist/);
    await punts.noTaps('c1');
    await lab.waitNoLink('cp', dev);
    await enslave(lab, 0, 'six', 5);
    await punts.is('relay', 'CREATED');
    await lab.waitLink('cp', dev);
    t.equal((await devices(cp)).find(({ ifname }) => ifname === dev)?.master, 'six', 'whatever its name is');
    await relayDevice(cnf);
    await ip(cnf, '-6', 'route', 'add', 'default', 'via', 'fd6c:6370:6400::1');
    t.ok(await reachable(h0, 'fd6c:6370:6400::2'), 'and it works in the next one');
    await punts.configure();
    await punts.noTaps('c1');
    await lab.waitNoLink('cp', dev);
  },
  embeddedOnly,
);
