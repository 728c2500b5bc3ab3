/**
 * Punts while somebody dies in the middle of making them, or nobody can say what is wanted. Numbers are those of the punt manager's
 * scenarios; deaths when all is made are in punts-life.tap.ts.
 */
import { renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { inNetns, pidsIn } from './lab/netns.ts';
import { run, waitFor } from './lab/process.ts';
import {
  allCreated,
  bareUp,
  bridgeAll,
  identities,
  killForwarder,
  oneOfEach,
  TAPS,
  tapsIn,
  WAYS,
  Witnesses,
} from './lab/puntlife.ts';
import { Punts } from './lab/punts.ts';
import { embeddedOnly } from './lab/puntscene.ts';
import { Random } from './lab/random.ts';
import { reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const ROUNDS = 6;
/** lcpctl has asked after the first, and all is made after both. */
const [LEAST_MS, MORE_MS] = [150, 450];

async function begun(lab: Lab): Promise<Punts> {
  const punts = new Punts(lab, { bare: 3 });
  await lab.addNetns('c1');
  await lab.addNetns('c2');
  await punts.start();
  await bareUp(lab, 2, 3, 4);
  return punts;
}

system(
  '24 (c) the forwarder, lcpd or both killed while one of each is being made or taken away: no half of it is left, none is there twice',
  async (t, lab) => {
    const random = Random.fromEnvironment();
    t.comment(`SEED=${random.seed}`);
    const punts = await begun(lab);
    const { lcpd } = punts;
    const entries = oneOfEach(lab);
    const names = async (role: string): Promise<string[]> => (await punts.taps(role)).sort();
    /** Whoever is to die does so while that is on its way. */
    const during = async (act: () => Promise<unknown>, who: string): Promise<void> => {
      const { pid } = (await lcpd.status()).dataplane;
      const done = act().catch(() => undefined);
      const ms = LEAST_MS + random.below(MORE_MS);
      t.comment(`${who} after ${ms} ms`);
      await sleep(ms);
      if (who !== 'the forwarder') await lcpd.kill();
      if (who !== 'lcpd' && pid !== undefined && (await pidsIn(lab.ns('rtr'))).includes(pid))
        process.kill(pid, 'SIGKILL');
      await done;
      if (who !== 'the forwarder') await lcpd.start();
    };
    for (let i = 0; i < ROUNDS; i++) {
      const who = ['the forwarder', 'lcpd', 'both'][i % 3] as string;
      punts.write(...entries);
      await during(() => lcpd.ctl(['reload']), who);
      await punts.configure(...entries);
      await allCreated(punts);
      await lcpd.synced();
      t.same([await names('c1'), await names('c2')], [TAPS.c1, TAPS.c2], `${who}: each TAP is there once`);
      const { differences, checked } = await lcpd.diff();
      t.same(differences, [], 'all is as it is asked for');
      const kept = new Set((await punts.objects()).filter((object) => object.startsWith('punt ')));
      const stats = await lcpd.json<{ object: string }[]>(['punt', 'stats']);
      const counted = new Set(stats.map(({ object }) => object).filter((object) => object.startsWith('punt ')));
      // answers for others are the data plane's own, on the links
      const foreign = [...counted].filter((object) => !kept.has(object) && !object.startsWith('punt proxy '));
      t.same(foreign, [], 'no record is of a punt that nobody asks for');
      t.same(
        [...kept].filter((object) => !counted.has(object)),
        [],
        'and none is missing',
      );
      t.ok((checked.punt ?? 0) >= kept.size, `${checked.punt} punts are held`);
      if (i === 0) {
        await bridgeAll(lab);
        for (const [from, to] of WAYS) t.ok(await reachable(lab.ns(from), to), `${from} reaches ${to}`);
        const witnesses = await Witnesses.add(lab);
        await witnesses.socket();
        await witnesses.relay();
        for (const ns of ['c1', 'c2']) await run(['ip', '-n', lab.ns(ns), 'link', 'del', 'br0']);
      }
      punts.write();
      await during(() => lcpd.ctl(['reload']), who);
      await punts.configure();
      for (const role of ['c1', 'c2', 'rtr']) await punts.noTaps(role);
      await lcpd.synced();
      const left = await lcpd.diff();
      t.same(
        [left.differences, left.checked.punt, left.checked.interconnect],
        [[], undefined, undefined],
        'all is gone',
      );
      for (const n of [2, 3, 4]) {
        const shown = await run(inNetns(lab.ns('rtr'), ['tc', 'qdisc', 'show', 'dev', `p${n}`]));
        t.notMatch(shown, /clsact/, `p${n} is its kernel's again`);
      }
    }
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'), 'and the router is one');
  },
  embeddedOnly,
);

system(
  '24 (d) nobody can say what is wanted: the file is away or wrong; all goes on, and nothing is made anew when it is back',
  async (t, lab) => {
    const punts = await begun(lab);
    const { lcpd } = punts;
    const entries = oneOfEach(lab);
    await punts.configure(...entries);
    await allCreated(punts);
    await bridgeAll(lab);
    for (const [from, to] of WAYS) t.ok(await reachable(lab.ns(from), to), `${from} reaches ${to}`);
    const witnesses = await Witnesses.add(lab);
    const state = async () => ({
      rows: await identities(punts),
      taps: [await tapsIn(lab, 'c1'), await tapsIn(lab, 'c2')],
      told: entries.map(({ name }) => punts.told(name).length),
    });
    const before = await state();
    const file = `${lcpd.dir}/lcpd.yaml`;
    const works = async (what: string): Promise<void> => {
      await witnesses.socket();
      await witnesses.relay();
      for (const [from, to] of WAYS) t.ok(await reachable(lab.ns(from), to), `${what}: ${from} reaches ${to}`);
      t.same(await state(), before, `${what}: nothing has changed, and nobody was told that it had`);
    };
    renameSync(file, `${file}.away`);
    t.not((await lcpd.ctl(['reload'])).code, 0, 'without its file a reload is refused');
    await works('the file is away');
    await killForwarder(lab);
    await waitFor('another forwarder', async () => (await lcpd.status()).dataplane.state === 'up');
    await allCreated(punts);
    await lcpd.synced();
    const told = entries.map(({ name }) => punts.told(name).length);
    t.same({ ...(await state()), told }, { ...before, told }, 'a forwarder gets all back without the file');
    renameSync(`${file}.away`, file);
    punts.write(...entries, { name: 'wrong', type: 'no-punt' });
    t.not((await lcpd.ctl(['reload'])).code, 0, 'a file with one punt that is wrong changes none');
    t.same({ ...(await state()), told }, { ...before, told });
    const { operations } = (await lcpd.status()).rounds;
    await punts.configure(...entries);
    await lcpd.synced();
    t.equal((await lcpd.status()).rounds.operations, operations, 'the file is back: nothing is told to the data plane');
    t.same({ ...(await state()), told }, { ...before, told });
    await witnesses.socket();
    await witnesses.relay();
  },
  embeddedOnly,
);
