/**
 * What VPP asks for neighbours with: the address of the interface, in whatever order addresses, routes and links came.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { inNetns, ip } from '../system/lab/netns.ts';
import { tryRun } from '../system/lab/process.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { addVppRouter } from './lab/router.ts';
import type { VppLab } from './lab.ts';
import { vpp } from './lab.ts';

/** Who asks for a neighbour that VPP is made to look for, as the host behind the first phy sees it. */
async function asker(lab: VppLab, vpp: RealVpp, address: string): Promise<string> {
  const wanted = address.includes(':') ? 'icmp6 and ip6[40] = 135' : `arp[6:2] = 1 and dst host ${address}`;
  // IPv6 asks with the link-local address, which needs nothing
  const dump = ['timeout', '8', 'tcpdump', '-lnn', '-Q', 'in', '-i', 'eth0', '-c', '1', wanted];
  let isSeen = false;
  const capture = tryRun(inNetns(lab.ns('h0'), dump), { timeoutMs: 10_000 }).finally(() => {
    isSeen = true;
  });
  while (!isSeen) {
    await vpp.ctl(`ping ${address} repeat 1 interval 0.1`);
    await sleep(100);
  }
  const { stdout } = await capture;
  return /who-has .* tell ([0-9.]+)/.exec(stdout)?.[1] ?? /IP6 ([0-9a-f:]+) >/.exec(stdout)?.[1] ?? `nobody: ${stdout}`;
}

/** Who says that a packet of the host behind the first phy has made its last hop. */
async function complainer(lab: VppLab, to: string): Promise<string> {
  for (let i = 0; i < 5; i++) {
    const { stdout } = await tryRun(inNetns(lab.ns('h0'), ['ping', '-n', '-c', '1', '-t', '1', '-W', '1', to]));
    const from = /From ([0-9a-f.:]+?):? icmp_seq/.exec(stdout)?.[1];
    if (from !== undefined) return from;
  }
  return 'nobody';
}

vpp('neighbours are asked for with the address of the interface, whatever came first', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab);
  const cp = lab.ns('cp');
  let host = 50;
  const asked = async (when: string, four: string, six: string, isGateway = true) => {
    await lcpd.synced();
    t.equal(await asker(lab, vpp, `${four.slice(0, four.lastIndexOf('.'))}.${host}`), four, `IPv4, ${when}`);
    t.match(await asker(lab, vpp, `${six.slice(0, six.lastIndexOf(':'))}:${host++}`), /^fe80:/, `IPv6, ${when}`);
    if (isGateway)
      for (const [to, by] of [
        ['10.0.1.2', four],
        ['fd00:1::2', six],
      ] as const)
        t.equal(await complainer(lab, to), by, `whose hop limit it is, ${when}`);
  };
  await asked('at first', '10.0.0.1', 'fd00::1');
  await ip(cp, 'link', 'set', 'e0', 'down');
  await lcpd.synced();
  await ip(cp, 'link', 'set', 'e0', 'up');
  await ip(cp, 'address', 'replace', 'fd00:0::1/64', 'dev', 'e0', 'nodad');
  await asked('after the host was down', '10.0.0.1', 'fd00::1');
  await ip(cp, 'address', 'add', '10.0.7.1/24', 'dev', 'e0');
  await ip(cp, 'address', 'add', 'fd00:7::1/64', 'dev', 'e0', 'nodad');
  await asked('of another subnet', '10.0.7.1', 'fd00:7::1', false);
  for (const dead of ['10.0.7.1/24', 'fd00:7::1/64']) await ip(cp, 'address', 'del', dead, 'dev', 'e0');
  await ip(cp, 'address', 'del', '10.0.0.1/24', 'dev', 'e0');
  await ip(cp, 'address', 'del', 'fd00:0::1/64', 'dev', 'e0');
  await ip(lab.ns('h0'), 'route', 'replace', 'default', 'via', '10.0.0.9');
  await ip(lab.ns('h0'), '-6', 'route', 'replace', 'default', 'via', 'fd00::9');
  await ip(cp, 'address', 'add', '10.0.0.9/24', 'dev', 'e0');
  await ip(cp, 'address', 'add', 'fd00:0::9/64', 'dev', 'e0', 'nodad');
  await asked('after another address came', '10.0.0.9', 'fd00::9');
  await lcpd.kill();
  await lcpd.start();
  await asked('after lcpd was killed', '10.0.0.9', 'fd00::9');
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});
