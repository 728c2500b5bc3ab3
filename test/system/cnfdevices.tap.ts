/**
 * CNF devices: what a data plane has put into the namespace of a CNF is addressed, brought up and kept so, on the real kernel;
 * nothing of it keeps a namespace alive. VRFs are in test/vm, where the kernel has them.
 */
import { addKeeper, addressesOf, cnfDevice, refused, seen, settled, whole } from './lab/cnf.ts';
import { addVeth, ip } from './lab/netns.ts';
import { slowness, tryRun, waitFor } from './lab/process.ts';
import { reachable } from './lab/traffic.ts';
import { isUp, system } from './lab.ts';

const none = 'no data plane is involved';
const options = { not: { vpp: none, 'linux-cp': none } };

system(
  'devices of both kinds are made, and mended within a second',
  async (t, lab) => {
    const cnf = await lab.addNetns('cnf');
    const dp = await lab.addNetns('dp');
    const keeper = addKeeper(t, lab);
    const bare = cnfDevice(cnf, 't2', 2, { addresses: [], mtu: 0 });
    keeper.want([cnfDevice(cnf, 't0', 0), cnfDevice(cnf, 't1', 1), bare]);
    t.equal(keeper.state(cnf, 't0'), 'absent');
    await addVeth({ ns: dp, dev: 'd0' }, { ns: cnf, dev: 't0' });
    await addVeth({ ns: dp, dev: 'd2' }, { ns: cnf, dev: 't2' });
    await ip(cnf, 'tuntap', 'add', 't1', 'mode', 'tap');
    await ip(dp, 'link', 'set', 'd0', 'up');
    await ip(dp, 'address', 'add', '10.50.0.1/30', 'dev', 'd0');
    await ip(dp, 'address', 'add', 'fd50::1/64', 'dev', 'd0');
    for (const [n, name] of ['t0', 't1'].entries()) {
      await settled(keeper, cnf, name);
      const device = await seen(cnf, name);
      t.match(device, { address: `02:fe:00:00:00:0${n}`, mtu: 1400, inet6_addr_gen_mode: 'none' }, name);
      t.ok(device !== undefined && isUp({ ...device, operstate: '' }), `${name} is up`);
      t.same(await addressesOf(cnf, name), [`10.50.${n}.2/30`, `fd5${n}::2/64`], `${name}: its addresses and no other`);
      t.ok(
        device?.addr_info.every(({ local, nodad }) => local.startsWith('10.') || nodad === true),
        'nobody is asked first',
      );
    }
    await settled(keeper, cnf, 't2');
    for (const to of ['10.50.0.2', 'fd50::2']) t.ok(await reachable(dp, to), `${to} answers`);
    t.same(keeper.counters, { mended: 0, refused: 0 });

    // the CNF's own
    await ip(cnf, 'address', 'add', '192.0.2.1/24', 'dev', 't2');
    const acts: readonly (readonly string[])[] = [
      ['address', 'del', '10.50.0.2/30', 'dev', 't0'],
      ['address', 'del', 'fd50::2/64', 'dev', 't0'],
      ['address', 'add', '10.50.9.9/24', 'dev', 't0'],
      ['link', 'set', 't0', 'down'],
      ['link', 'set', 't0', 'mtu', '1300'],
      ['link', 'set', 't0', 'addrgenmode', 'eui64'],
    ];
    for (const [n, act] of acts.entries()) {
      const begun = performance.now();
      await ip(cnf, ...act);
      await waitFor(`${act.join(' ')} to be mended`, () => keeper.counters.mended > n, { intervalMs: 5 });
      await whole(cnf, 't0', ['10.50.0.2/30', 'fd50::2/64']);
      const ms = performance.now() - begun;
      t.ok(ms < 1000 * slowness, `${act.join(' ')}: mended after ${Math.round(ms)} ms`);
    }
    await waitFor('the rest to be mended', async () => {
      const device = await seen(cnf, 't0');
      return device?.mtu === 1400 && device.inet6_addr_gen_mode === 'none';
    });
    t.same(
      await addressesOf(cnf, 't2'),
      ['192.0.2.1/24'],
      'what the CNF gives a device without wished addresses stays',
    );
    t.equal(keeper.counters.mended, acts.length, 'each once');
    t.equal(keeper.counters.refused, 0);

    // another keeper, as after a restart, finds nothing to do
    await keeper.close();
    const next = addKeeper(t, lab);
    next.want([cnfDevice(cnf, 't0', 0, { addresses: ['10.50.0.2/29'] }), cnfDevice(cnf, 't1', 1), bare]);
    for (const name of ['t0', 't1', 't2']) await settled(next, cnf, name);
    t.same(await addressesOf(cnf, 't0'), ['10.50.0.2/29'], 'another wish');
    await next.release();
    t.same(await addressesOf(cnf, 't1'), ['10.50.1.2/30', 'fd51::2/64'], 'what is in a device stays with it');
  },
  options,
);

system(
  'a device that is up before anybody looks; one that the kernel refuses',
  async (t, lab) => {
    const cnf = await lab.addNetns('cnf');
    const dp = await lab.addNetns('dp');
    const hasVrf = (await tryRun(['ip', '-n', dp, 'link', 'add', 'probe', 'type', 'vrf', 'table', '5'])).code === 0;
    for (const n of [0, 1]) {
      await addVeth({ ns: dp, dev: `d${n}` }, { ns: cnf, dev: `t${n}` });
      await ip(dp, 'link', 'set', `d${n}`, 'up');
      await ip(cnf, 'link', 'set', `t${n}`, 'up');
    }
    await waitFor('the kernel to make addresses', async () =>
      (await addressesOf(cnf, 't0')).some((a) => a.startsWith('fe80')),
    );
    const keeper = addKeeper(t, lab);
    keeper.want([
      cnfDevice(cnf, 't1', 1, { vrf: { name: 'vrf5', table: 5 } }),
      cnfDevice(cnf, 't0', 0, { addresses: ['10.50.0.2/30', 'fd50::2/64', 'fd50::3/64'] }),
    ]);
    await settled(keeper, cnf, 't0');
    t.same(
      (await addressesOf(cnf, 't0')).sort(),
      ['10.50.0.2/30', 'fd50::2/64', 'fd50::3/64'],
      'the kernel made one: it is gone',
    );
    if (hasVrf) {
      await settled(keeper, cnf, 't1');
    } else {
      const { reason, attempts } = await refused(keeper, cnf, 't1');
      t.match(reason, /^VRF device vrf5 of table 5: EOPNOTSUPP/, reason);
      await waitFor('another attempt', () => {
        const state = keeper.state(cnf, 't1');
        return typeof state === 'object' && state.attempts > attempts;
      });
      t.same(await addressesOf(cnf, 't1'), [], 'no address lands in the wrong table');
    }
    // without IPv6 the rest is as good as it can be
    keeper.want([cnfDevice(cnf, 't0', 0, { mtu: 1000 })]);
    const { reason } = await refused(keeper, cnf, 't0');
    t.match(reason, /address fd50::2\/64: /, reason);
    t.same(await addressesOf(cnf, 't0'), ['10.50.0.2/30']);
    keeper.want([cnfDevice(cnf, 't0', 0)]);
    await settled(keeper, cnf, 't0');
    t.same((await addressesOf(cnf, 't0')).sort(), ['10.50.0.2/30', 'fd50::2/64']);
  },
  options,
);

system(
  'a namespace that ends is not held; another of its name is another one',
  async (t, lab) => {
    const cnf = await lab.addNetns('cnf');
    const dp = await lab.addNetns('dp');
    const keeper = addKeeper(t, lab);
    await addVeth({ ns: dp, dev: 'd0' }, { ns: cnf, dev: 't0' });
    const wish = cnfDevice(cnf, 't0', 0);
    keeper.want([wish]);
    await settled(keeper, cnf, 't0');
    // A namespace whose name is gone lives on as long as a socket of ours, and with it the cable.
    await lab.delNetns('cnf');
    await lab.waitNoLink('dp', 'd0');
    await waitFor('its device to be absent', () => keeper.state(cnf, 't0') === 'absent');
    await lab.addNetns('cnf');
    await addVeth({ ns: dp, dev: 'd0' }, { ns: cnf, dev: 't0' });
    const again = cnfDevice(cnf, 't0', 0);
    if (again.netnsId !== wish.netnsId) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      t.equal(keeper.state(cnf, 't0'), 'absent', 'not the namespace that was meant');
      t.same(await addressesOf(cnf, 't0'), []);
    }
    keeper.want([again]);
    await settled(keeper, cnf, 't0');
    t.same((await addressesOf(cnf, 't0')).sort(), ['10.50.0.2/30', 'fd50::2/64']);
    keeper.want([]);
    // what is wanted nowhere is not held either
    await waitFor('the namespace to be let go', async () => {
      await lab.delNetns('cnf');
      return lab.waitNoLink('dp', 'd0');
    });
  },
  options,
);
