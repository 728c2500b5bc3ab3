/**
 * CNF devices in VRFs, on a kernel that has them: made and marked, shared, mended, removed with their last user; those of
 * others used and left alone.
 */
import { VRF_MARK } from '../../src/cnfdevice.ts';
import { addKeeper, addressesOf, cnfDevice, refused, seen, settled, whole } from '../system/lab/cnf.ts';
import { addVeth, ip } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { reachable } from '../system/lab/traffic.ts';
import { type Lab, system } from '../system/lab.ts';

const vrf = (table: number) => ({ vrf: { name: `vrf${table}`, table } });

/** Cables between dp and cnf, the far ends addressed. */
async function cables(lab: Lab, count: number): Promise<[cnf: string, dp: string]> {
  const cnf = await lab.addNetns('cnf');
  const dp = await lab.addNetns('dp');
  for (let n = 0; n < count; n++) {
    await addVeth({ ns: dp, dev: `d${n}` }, { ns: cnf, dev: `t${n}` });
    await ip(dp, 'link', 'set', `d${n}`, 'up');
    await ip(dp, 'address', 'add', `10.50.${n}.1/30`, 'dev', `d${n}`);
    await ip(dp, 'address', 'add', `fd5${n}::1/64`, 'dev', `d${n}`);
  }
  return [cnf, dp];
}

system('a VRF is made, shared, mended, and goes with its last user', async (t, lab) => {
  const [cnf, dp] = await cables(lab, 2);
  const keeper = addKeeper(t, lab);
  await ip(cnf, 'link', 'set', 't1', 'up'); // one comes up on the wire before it is looked at
  const both = [0, 1].map((n) => cnfDevice(cnf, `t${n}`, n, vrf(5)));
  keeper.want(both);
  const both5 = async (): Promise<void> => {
    for (const n of [0, 1]) {
      const device = await whole(cnf, `t${n}`, [`10.50.${n}.2/30`, `fd5${n}::2/64`], 'vrf5');
      t.equal(device.inet6_addr_gen_mode, 'none', `t${n} is whole`);
      for (const to of [`10.50.${n}.2`, `fd5${n}::2`]) t.ok(await reachable(dp, to), `${to} answers out of its VRF`);
    }
  };
  await both5();
  const made = await seen(cnf, 'vrf5');
  t.match(made, { ifalias: VRF_MARK, linkinfo: { info_kind: 'vrf', info_data: { table: 5 } } });
  t.ok(made?.flags.includes('UP'));
  t.match(await ip(cnf, 'route', 'show', 'table', '5'), /10\.50\.0\.0\/30 dev t0/, 'its routes are in the table');

  for (const act of [
    ['link', 'del', 'vrf5'],
    ['link', 'set', 't0', 'nomaster'],
    ['link', 'set', 'vrf5', 'down'],
  ]) {
    const { mended } = keeper.counters;
    await ip(cnf, ...act);
    await waitFor(`${act.join(' ')} to be mended`, () => keeper.counters.mended > mended);
    await both5();
  }
  t.equal(keeper.counters.refused, 0, 'nothing was refused');

  keeper.want(both.slice(1));
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.ok(await seen(cnf, 'vrf5'), 'it stays with one user');
  keeper.want([cnfDevice(cnf, 't1', 1), cnfDevice(cnf, 't0', 0, vrf(6))]);
  await settled(keeper, cnf, 't1');
  await settled(keeper, cnf, 't0');
  await waitFor('vrf5 to go', async () => (await seen(cnf, 'vrf5')) === undefined);
  t.equal((await seen(cnf, 't1'))?.master, undefined);
  t.match(await seen(cnf, 't0'), { master: 'vrf6' });
  for (const to of ['10.50.1.2', 'fd51::2']) t.ok(await reachable(dp, to), `${to} answers out of the main table`);

  // a restart finds nothing to do; what is not needed any more by then is removed
  await keeper.close();
  await ip(cnf, 'link', 'add', 'vrf9', 'type', 'vrf', 'table', '9');
  await ip(cnf, 'link', 'set', 'vrf9', 'alias', VRF_MARK);
  await ip(dp, 'link', 'add', 'vrf8', 'type', 'vrf', 'table', '8');
  await ip(dp, 'link', 'set', 'vrf8', 'alias', VRF_MARK);
  const { ifindex } = (await seen(cnf, 'vrf6')) ?? {};
  const next = addKeeper(t, lab);
  next.want([cnfDevice(cnf, 't0', 0, vrf(6))]);
  await settled(next, cnf, 't0');
  await waitFor('vrf9 to go', async () => (await seen(cnf, 'vrf9')) === undefined);
  await waitFor(
    'vrf8 to go from a namespace where nothing is wanted',
    async () => (await seen(dp, 'vrf8')) === undefined,
  );
  t.equal((await seen(cnf, 'vrf6'))?.ifindex, ifindex, 'the one in use is the same');
  await next.release();
  t.equal(await seen(cnf, 'vrf6'), undefined, 'released');
});

system("others' VRFs are used and left alone; a table that differs is named", async (t, lab) => {
  const [cnf, dp] = await cables(lab, 2);
  await ip(cnf, 'link', 'add', 'vrf5', 'type', 'vrf', 'table', '5');
  await ip(cnf, 'link', 'set', 'vrf5', 'up');
  await ip(cnf, 'link', 'add', 'vrf7', 'type', 'vrf', 'table', '77');
  const keeper = addKeeper(t, lab);
  keeper.want([cnfDevice(cnf, 't0', 0, vrf(5)), cnfDevice(cnf, 't1', 1, vrf(7))]);
  await settled(keeper, cnf, 't0');
  for (const to of ['10.50.0.2', 'fd50::2']) t.ok(await reachable(dp, to), `${to} answers`);
  const { reason } = await refused(keeper, cnf, 't1');
  t.equal(reason, 'VRF device vrf7 is there with table 77, not with table 7');
  await ip(cnf, 'link', 'del', 'vrf7');
  await settled(keeper, cnf, 't1');
  t.match(await seen(cnf, 'vrf7'), { ifalias: VRF_MARK });

  // a host of lcpd's own goes where its table is, once that is there
  await ip(cnf, 'link', 'add', 'e0', 'type', 'veth', 'peer', 'name', 'e1');
  keeper.wantHosts([{ netns: cnf, name: 'e0', mac: '', addresses: ['10.60.0.1/24'], table: 60, mtu: 0 }]);
  await settled(keeper, cnf, 'e0');
  t.equal((await seen(cnf, 'e0'))?.master, undefined);
  await ip(cnf, 'link', 'add', 'red', 'type', 'vrf', 'table', '60');
  await waitFor('e0 to be in red', async () => (await seen(cnf, 'e0'))?.master === 'red');
  await settled(keeper, cnf, 'e0');
  t.match(await addressesOf(cnf, 'e0'), ['10.60.0.1/24']);

  await keeper.release();
  t.ok(await seen(cnf, 'vrf5'), 'what others made stays');
  t.ok(await seen(cnf, 'red'));
  t.equal(await seen(cnf, 'vrf7'), undefined, 'what lcpd made is gone');
});
