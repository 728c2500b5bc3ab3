/**
 * What somebody has changed in VPP behind lcpd's back is put right by a resync of the data plane, exactly that, while packets pass.
 */
import { writeFileSync } from 'node:fs';
import { waitFor } from '../system/lab/process.ts';
import { Pinger, reachable } from '../system/lab/traffic.ts';
import { addVppRouter } from './lab/router.ts';
import { vpp } from './lab.ts';

vpp(
  'scenario 3: a row removed by hand is there again after a resync of the data plane, and that row only',
  async (t, lab) => {
    const entries = [
      { name: 'all', type: 'to-host', l3: 'all', l4: 'udp', port: 9001, socket: `${lab.dir}/c.sock` },
      { name: 'away', type: 'ip-redirect', l3: 'ipv4', tx: 'host-p1', 'next-hop': ['10.0.1.2'] },
    ];
    const { vpp: real, lcpd } = await addVppRouter(lab, {
      startup: `punt { socket ${lab.dir}/punt.sock }`,
      extra: `punt: { state: ${lab.dir}/state }\npunts: ${JSON.stringify(entries)}`,
    });
    const show = async (what: string): Promise<string> => (await real.ctl(`show ${what}`)).stdout;
    /** Rows, not where VPP has them. */
    const held = async (): Promise<string> => {
      const rows = [await show('punt socket registrations l4'), await show('ip punt redirect')].join('\n').split('\n');
      return rows
        .filter((row) => /^ *(punt |rx |\d+\.\d+\.\d+\.\d+ )/.test(row))
        .sort()
        .join('\n');
    };
    const sent = async (): Promise<string[]> =>
      (await lcpd.json<{ name: string; direction: string }[]>(['vpp', 'trace']))
        .filter(({ name, direction }) => direction === 'sent' && /add_del|_set_|_register|create|delete/.test(name))
        .map(({ name }) => name);
    const isCreated = () =>
      waitFor('both punts', async () => {
        const rows = await lcpd.json<{ state: string; reasons: string[] }[]>(['punt', 'list']);
        if (rows.length !== 2 || rows.some(({ state }) => state !== 'CREATED')) throw new Error(JSON.stringify(rows));
        return true;
      });
    await isCreated();
    const before = await held();
    t.match(before, /9001[\s\S]*9001/, 'IPv4 and IPv6');
    // VPP drops the first packet for a neighbour that it has to ask for
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
    const pinger = new Pinger(lab.ns('h0'), '10.0.1.2', `${lab.dir}/ping.log`);
    lab.defer(() => pinger.stop());
    await pinger.answers(3);

    t.equal((await real.ctl('punt socket deregister ipv6 udp 9001')).code, 0);
    t.equal((await real.ctl('ip punt redirect del rx all')).code, 0);
    t.not(await held(), before, 'somebody has taken out two of three');
    t.match((await lcpd.ctl(['resync'])).stdout, /resync of \(own\)/, 'of the kernel');
    await lcpd.synced();
    t.not(await held(), before, 'which has nothing to do with it');
    const done = await lcpd.ctl(['resync', '--dataplane']);
    t.same([done.code, done.stdout], [0, 'resync of the data plane vpp\n'], done.stderr);
    await waitFor('both to be there again', async () => {
      const now = await held();
      if (now !== before) throw new Error(`${now} and not ${before}`);
      return true;
    });
    await isCreated();
    await lcpd.synced();
    t.same(
      (await sent()).filter((name) => name !== 'punt_socket_register').sort(),
      ['add_del_ip_punt_redirect_v2'],
      'and nothing else was sent',
    );
    const { lost, sent: pings } = await pinger.stop();
    t.equal(lost, 0, `none of ${pings} packets was lost`);
    t.same((await lcpd.diff()).differences, []);
  },
);

vpp('a phy that one script deletes and makes again has its pair again, and packets pass', async (t, lab) => {
  const { vpp: real, lcpd } = await addVppRouter(lab);
  const h0 = lab.ns('h0');
  t.ok(await reachable(h0, '10.0.1.2'));
  const before = (await real.ctl('show lcp')).stdout;
  const script = `${lab.dir}/again.vpp`;
  const lines = ['delete host-interface name p0', 'create host-interface name p0', 'set interface state host-p0 up'];
  writeFileSync(script, `${lines.join('\n')}\n`);
  t.equal((await real.ctl(`exec ${script}`)).code, 0);
  await waitFor('its pair', async () => {
    const now = (await real.ctl('show lcp')).stdout;
    if (!/itf-pair: .*host-p0 host-e0/.test(now)) throw new Error(`${now} and not ${before}`);
    return true;
  });
  await lcpd.synced();
  t.ok(await reachable(h0, '10.0.1.2'));
  t.same((await lcpd.diff()).differences, []);
});
