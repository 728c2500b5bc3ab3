/**
 * The life of punts on a real VPP with lcpd: one of each that a VPP without vhost-net has; VPP killed and started, lcpd killed and
 * started, both, also in the middle of it; nobody can say what is wanted. Numbers are those of the punt manager's scenarios.
 */
import { renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../system/lab/process.ts';
import { Random } from '../system/lab/random.ts';
import { Life } from './lab/puntlife.ts';
import { vpp } from './lab.ts';

vpp(
  'scenario 24 (a), (b): one of each; lcpd killed, VPP killed, both: VPP has each of them once, as before',
  async (t, lab) => {
    const life = await Life.add(t, lab);
    const { lcpd, real, entries } = life;
    const none = await life.inVpp();
    await life.reload(...entries);
    await life.created();
    await lcpd.synced();
    const before = { rows: await life.identities(), vpp: await life.inVpp() };
    t.comment(JSON.stringify(before.vpp));
    for (const [name, found] of Object.entries(before.vpp))
      t.notSame(found, none[name], `${name} of VPP are other ones than without punts: ${found.join(', ')}`);
    await life.works('at first');
    const same = async (what: string): Promise<void> => {
      await life.created();
      await lcpd.synced();
      t.same(await life.identities(), before.rows, `${what}: names, MACs, addresses`);
      t.same(await life.settled(before.vpp), before.vpp, `${what}: VPP has each once`);
      t.same((await lcpd.diff()).differences, [], `${what}: lcpctl diff is empty`);
      await life.works(what);
    };
    await lcpd.kill();
    await life.works('without lcpd');
    await lcpd.start();
    await same('lcpd killed');
    await real.kill();
    await life.vppStarts();
    await same('VPP killed');
    await lcpd.kill();
    await real.kill();
    await life.vppStarts();
    await lcpd.start();
    await same('both killed');
    // what is configured away while lcpd is dead goes when it is back
    await lcpd.kill();
    life.write();
    await lcpd.start();
    await waitFor('all to be gone', async () => JSON.stringify(await life.inVpp()) === JSON.stringify(none));
    t.same(await life.inVpp(), none, 'nothing is left in VPP');
  },
  { limitMs: 300_000 },
);

vpp(
  'scenario 24 (c), (d): VPP, lcpd or both killed while all are made or taken away; then the file is away',
  async (t, lab) => {
    const random = Random.fromEnvironment();
    t.comment(`SEED=${random.seed}`);
    const life = await Life.add(t, lab);
    const { lcpd, real, entries } = life;
    const none = await life.inVpp();
    await life.reload(...entries);
    await life.created();
    await lcpd.synced();
    const all = await life.inVpp();
    const during = async (who: string): Promise<void> => {
      const done = lcpd.ctl(['reload']).catch(() => undefined);
      const ms = 50 + random.below(400);
      t.comment(`${who} after ${ms} ms`);
      await sleep(ms);
      if (who !== 'VPP') await lcpd.kill();
      if (who !== 'lcpd') await real.kill();
      await done;
      if (who !== 'lcpd') await life.vppStarts();
      if (who !== 'VPP') await lcpd.start();
    };
    for (const who of ['VPP', 'lcpd', 'both']) {
      life.write();
      await during(who);
      await life.reload();
      await waitFor('all to be gone', async () => JSON.stringify(await life.inVpp()) === JSON.stringify(none), {
        timeoutMs: 30_000,
      });
      await lcpd.synced();
      t.same(await life.inVpp(), none, `${who}, while they went: nothing is left`);
      life.write(...entries);
      await during(who);
      await life.reload(...entries);
      await life.created();
      await lcpd.synced();
      t.same(await life.settled(all), all, `${who}, while they came: each is there once`);
      await life.works(who);
    }
    const file = `${lcpd.dir}/lcpd.yaml`;
    const told = await life.identities();
    renameSync(file, `${file}.away`);
    t.not((await lcpd.ctl(['reload'])).code, 0, 'without its file a reload is refused');
    await real.kill();
    await life.vppStarts();
    await life.created();
    await lcpd.synced();
    t.same(await life.settled(all), all, 'and another VPP gets all back');
    t.same(await life.identities(), told);
    renameSync(`${file}.away`, file);
    await life.reload(...entries);
    await life.works('the file is back');
  },
  { limitMs: 300_000 },
);
