/**
 * lcpd with a real VPP and the real pairs of linux_cp: what is configured in Linux carries traffic through VPP, on the phy
 * and on a VLAN, also after VPP was killed and started again, and while lcpd was.
 */

import { Lcpd } from '../system/lab/lcpd.ts';
import { MulticastReceiver, sendMulticast } from '../system/lab/multicast.ts';
import { ip, ipJson } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { Pinger, reachable } from '../system/lab/traffic.ts';
import { type VppLab, vpp } from '../vpp/lab.ts';
import { Wire } from './lab/wire.ts';

/** OSPF's routers join it, and no VPP by itself. */
const GROUP = '224.0.0.5';
/** Every processor in here is emulated. */
const slow = { limitMs: 500_000 };

function addLcpd(lab: VppLab, wire: Wire): Lcpd {
  const { vpp: ns, cp } = wire.namespaces;
  const config = `
control: { socket: ${lab.dir}/lcpd/lcpd.sock }
dataplane:
  driver: vpp
  vpp: { socket: ${wire.vpp.socket}, transport: socket, stats-socket: ${wire.vpp.statsSocket} }
netns: ${cp}
pairs:
  - { phy: host-p0, host: e0 }
`;
  return new Lcpd({ ns, dir: `${lab.dir}/lcpd`, config, startLimitMs: 120_000 });
}

async function addVlan(ns: string, parent: string, address: string): Promise<void> {
  await ip(ns, 'link', 'add', 'link', parent, 'name', 'v20', 'type', 'vlan', 'id', '20');
  await ip(ns, 'link', 'set', 'v20', 'up');
  await ip(ns, 'addr', 'add', address, 'dev', 'v20');
}

vpp(
  'lcpd, VPP and linux_cp are a router',
  async (t, lab) => {
    const wire = await Wire.start(lab);
    const { cp, far } = wire.namespaces;
    const lcpd = addLcpd(lab, wire);
    try {
      await lcpd.start();
      await lcpd.waitPair('host-p0', 'up', 60_000);
      await ip(cp, 'link', 'set', 'e0', 'up');
      for (const address of ['10.0.0.1/24', '2001:db8::1/64']) await ip(cp, 'addr', 'add', address, 'dev', 'e0');
      for (const address of ['10.0.0.2', '2001:db8::2'])
        t.ok(await reachable(cp, address, 30_000), `${address} answers`);
      for (const address of ['10.0.0.1', '2001:db8::1'])
        t.ok(await reachable(far, address, 30_000), `${address} answers`);

      await addVlan(far, 'w0', '10.2.0.2/24');
      await addVlan(cp, 'e0', '10.2.0.1/24');
      await ip(cp, 'addr', 'add', '2001:db8:2::1/64', 'dev', 'v20');
      await lcpd.synced(60);
      t.ok(await reachable(far, '10.2.0.1', 30_000), 'a VLAN device carries as well');
      t.ok((await wire.link('v20')).flags.includes('UP'), 'and stays up');
      const kept = await ipJson<{ addr_info: { local: string }[] }>(cp, '-6', 'addr', 'show', 'dev', 'v20');
      t.ok(
        kept[0]?.addr_info.some(({ local }) => local === '2001:db8:2::1'),
        'with its addresses',
      );

      const receiver = await MulticastReceiver.start({ ns: cp, address: '10.0.0.1' }, GROUP, `${lab.dir}/group.log`);
      await sendMulticast({ ns: far, address: '10.0.0.2' }, GROUP, { label: 'in', count: 5, intervalMs: 100 });
      await waitFor('the last to come', () => receiver.last('in') === 4);
      await receiver.stop();
      t.equal(receiver.received('in').distinct, 5, 'groups of routing protocols reach the host');
      const { differences } = await lcpd.diff();
      t.same(differences, [], 'VPP has what the kernel has');

      const pinger = new Pinger(far, '10.0.0.1', `${lab.dir}/ping.log`, { intervalMs: 100 });
      await pinger.answers(3);
      await lcpd.daemon.stop('SIGKILL');
      await pinger.answers(3);
      await lcpd.start();
      await lcpd.waitPair('host-p0', 'up', 60_000);
      await lcpd.synced(60);
      await pinger.answers(3);
      t.equal((await pinger.stop()).lost, 0, 'no packet is lost while lcpd is killed and started');

      await wire.vpp.kill();
      await wire.vpp.start();
      await wire.reconnect();
      await wire.addPhy();
      const from = performance.now();
      t.ok(await reachable(far, '10.0.0.1', 60_000), 'what was on the host is back after VPP was killed');
      t.comment(`${(performance.now() - from).toFixed(0)} ms after its phy`);
      t.ok(await reachable(far, '10.2.0.1', 60_000), 'on the VLAN, too');
    } finally {
      if (!t.passing())
        t.comment(
          `${lcpd.daemon.log().slice(-6000)}\n${JSON.stringify(await wire.links().then((l) => [...l.values()]))}`,
        );
      await lcpd.stop();
    }
    t.notOk((await wire.links()).has('e0'), 'lcpd takes its host away when it ends');
  },
  slow,
);
