/**
 * Oracle: after random operations on a real kernel, the data plane chooses what `ip route get` chooses.
 *
 * SEED repeats a run, OPS sets how many operations it has; QUIET=1 leaves kills, overruns and the like out. In CI the
 * seeds are fixed. What differs is printed with every line of the run that names its prefix.
 */

import { goesOnBehindErrors, kernelChoices, mismatch, sample } from './lab/choices.ts';
import { Churn, needs } from './lab/churn.ts';
import { allNexthops, firstSettings } from './lab/churnlinks.ts';
import { Pool } from './lab/churnpool.ts';
import { addUnpaired, disturbances, heal, unpaired } from './lab/disturbance.ts';
import { ip } from './lab/netns.ts';
import { Random } from './lab/random.ts';
import { linkKinds, play } from './lab/script.ts';
import { type Lab, system } from './lab.ts';

const ports = 4;
const opsPerRound = 100;
const addressesPerFamily = 120;
/** The kernel moves by itself (carrier, neighbours): what differs is asked again so often. */
const attempts = 5;
const msPerOperation = 60;
/** Differences that are enough to see what is wrong. */
const mostShown = 4;

/** What lcpd says that it cannot do is no disagreement: no packet without a tos and a source goes there. */
const honest = /^unsupported: the data plane (does not look at tos|has no source-specific routes)$/;

/** Takes away every route of those sorts; one by a nexthop object is not flushed by what it has besides. */
const unsupported = [
  'nexthop flush',
  ...['0x10', '0x04', '0x08'].map((tos) => `@-4 route flush table all tos ${tos}`),
  '@-6 route flush table all from 2001:db8:ff::/48',
];

const ci = process.env.CI !== undefined;
const operations = Number.parseInt(process.env.OPS ?? (ci ? '1500' : '2000'), 10);
const seeds = ci && process.env.SEED === undefined ? [1, 2] : [Random.fromEnvironment().seed];

/** Addresses whose choice differs, with both choices; empty when all agree. */
async function differing(lab: Lab, addresses: readonly string[], goesOn: boolean): Promise<Map<string, string>> {
  let open = new Map(addresses.map((address) => [address, '']));
  for (let attempt = 0; open.size > 0 && attempt < attempts; attempt++) {
    if (attempt > 0) await lab.lcpd.synced();
    const asked = [...open.keys()];
    const kernel = await kernelChoices(lab.ns('cp'), asked);
    const rows = await lab.lcpd.lookup(asked);
    if (rows.length !== asked.length) throw new Error(`${rows.length} answers of lcpctl for ${asked.length} addresses`);
    open = new Map();
    for (const row of rows) {
      const choice = kernel.get(row.address);
      if (choice === undefined) throw new Error(`lcpctl answered for ${row.address}, which was not asked`);
      const text = mismatch(row, choice, goesOn);
      if (text !== undefined) open.set(row.address, text);
    }
  }
  return open;
}

/** Lines of the run that name one of the prefixes in a text. */
function about(history: readonly string[], text: string): string[] {
  const prefixes = [...new Set(text.match(/[0-9a-f.:]+\/\d+/g) ?? [])];
  return history.filter((line) =>
    prefixes.some((prefix) => line.includes(` ${prefix} `) || line.endsWith(` ${prefix}`)),
  );
}

for (const seed of seeds) {
  system(`the data plane chooses what the kernel chooses, seed ${seed}`, async (t, lab) => {
    t.setTimeout(120_000 + operations * msPerOperation);
    const random = new Random(seed);
    // what is asked depends on what the kernel holds: of its own, so that the operations are the same again
    const asking = new Random(seed + 1);
    await lab.addNetns('far');
    const goesOn = await goesOnBehindErrors(await lab.addNetns('probe'));
    await lab.delNetns('probe');
    const has = await linkKinds(lab.ns('far'), needs);
    const lcpd = await lab.addRouter({ ports, kernelForwards: true, extra: 'netlink: { rx-buffer-bytes: 256KiB }\n' });
    await addUnpaired(lab);
    const pool = new Pool(random, ports, unpaired);
    const churn = new Churn(pool, has);
    const rounds = Math.ceil(operations / opsPerRound);
    t.comment(
      `SEED=${seed} OPS=${rounds * opsPerRound}, ${churn.operations.length} sorts of operation, with ${[...has]}`,
    );
    const weights = Object.fromEntries(Object.entries(disturbances).map(([name, { weight }]) => [name, weight]));
    const history: string[] = [];
    const happened: Record<string, number> = {};
    let compared = 0;
    for (let round = 1; round <= rounds; round++) {
      const lines = [
        ...(round === 1 ? [...firstSettings(pool), ...allNexthops(pool)] : []),
        ...churn.batch(opsPerRound),
      ];
      const name = process.env.QUIET === undefined && random.chance(15) ? random.weighted(weights) : '';
      history.push(`# round ${round} ${name}`, ...lines);
      happened[name] = (happened[name] ?? 0) + 1;
      const disturbance = disturbances[name];
      if (disturbance === undefined) await play((role) => lab.ns(role), lines);
      else await disturbance.play({ lab, pool }, lines);
      if (random.chance(25)) {
        history.push('# all healed');
        await heal({ lab, pool });
      }
      await lcpd.synced(60);

      const addresses = [
        ...(await sample(lab.ns('cp'), asking, false, addressesPerFamily)),
        ...(await sample(lab.ns('cp'), asking, true, addressesPerFamily)),
      ];
      const wrong = [...(await differing(lab, addresses, goesOn)).values()];
      compared += addresses.length;
      const differences = (await lcpd.diff()).differences.filter(({ reason = '' }) => !honest.test(reason));
      if (wrong.length + differences.length > 0) {
        t.same(wrong.slice(0, mostShown), [], `round ${round} (${name}): ${wrong.length} choices differ`);
        t.same(differences.slice(0, mostShown), [], `round ${round} (${name}): ${differences.length} differences`);
        for (const row of differences.slice(0, mostShown)) t.comment(JSON.stringify(row));
        for (const family of ['-4', '-6']) t.comment(await ip(lab.ns('cp'), family, 'route', 'show', 'table', 'all'));
        const lately = about(history, JSON.stringify([wrong, differences]));
        t.comment(
          `SEED=${seed}, round ${round} ${name}:\n${lines.join('\n')}\n\n# of these prefixes:\n${lately.join('\n')}`,
        );
        return;
      }
    }
    // what is honestly unsupported has to go before the lab asks for no difference at all
    await play((role) => lab.ns(role), unsupported);
    t.ok(
      compared > rounds * addressesPerFamily,
      `${compared} addresses compared in ${rounds} rounds: ${JSON.stringify(happened)}`,
    );
  });
}
