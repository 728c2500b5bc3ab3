/**
 * Oracle over all objects: after random operations on VRFs, VLANs, labels, rules and devices of every sort beside those
 * on routes, the data plane chooses what the kernel chooses: in each VRF, by each port, for each label.
 *
 * SEED repeats a run, OPS sets how many operations it has; QUIET=1 leaves kills, overruns and the like out. In CI the
 * seed is fixed. Needs a kernel with everything.
 */
import { sample } from '../system/lab/choices.ts';
import { Churn, needs } from '../system/lab/churn.ts';
import { deviceOperations } from '../system/lab/churndevices.ts';
import { allNexthops, firstSettings } from '../system/lab/churnlinks.ts';
import { labels, mplsOperations } from '../system/lab/churnmpls.ts';
import { vlanOperations } from '../system/lab/churnvlan.ts';
import { ruleOperations, vrfOperations } from '../system/lab/churnvrf.ts';
import { Control } from '../system/lab/control.ts';
import { addUnpaired, disturbances, heal, unpaired } from '../system/lab/disturbance.ts';
import { tryRun } from '../system/lab/process.ts';
import { Random } from '../system/lab/random.ts';
import { play } from '../system/lab/script.ts';
import {
  dataplaneAnswers,
  devices,
  difference,
  expectedSubifs,
  kernelAnswers,
  labelDifferences,
  type Question,
  subifText,
} from '../system/lab/vmchoices.ts';
import { VmPool } from '../system/lab/vmpool.ts';
import { type Lab, system } from '../system/lab.ts';

const ports = 4;
const opsPerRound = 100;
const addressesPerFamily = 60;
/** The kernel moves by itself (carrier, neighbours): what differs is asked again so often. */
const attempts = 5;
const msPerOperation = 200;
const mostShown = 6;

/** What lcpd says that it cannot do is no disagreement: no packet that is asked for is of that sort. */
const honest =
  /^unsupported: the data plane (does not look at tos|has no source-specific routes|cannot look at: (fwmark|from)$)/;

/** Takes away all that is honestly unsupported. */
const unsupported = [
  ...['0x10', '0x04', '0x08'].map((tos) => `@-4 route flush table all tos ${tos}`),
  '@-6 route flush table all from 2001:db8:ff::/48',
  ...['@-4', '@-6'].flatMap((f) => [`${f} rule del pref 700`, `${f} rule del pref 700`]),
];

const more = {
  vrf: { weight: 18, of: vrfOperations },
  rule: { weight: 3, of: ruleOperations },
  vlan: { weight: 10, of: vlanOperations },
  mpls: { weight: 14, of: mplsOperations },
  device: { weight: 7, of: deviceOperations },
};
/** This kernel has everything, or the test has no place to run. */
const has = new Set([
  ...needs,
  ...Object.values(more).flatMap((g) => Object.values(g.of).flatMap((o) => o.needs ?? [])),
]);

const ci = process.env.CI !== undefined;
// scripts/run-level gives few to what is told how many
const operations = Number.parseInt(process.env.OPS ?? '1500', 10);
const seed = ci && process.env.SEED === undefined ? 1 : Random.fromEnvironment().seed;

const firstLines = (pool: VmPool): string[] => [
  // Until a namespace has a rule of its own, Linux 6.1 goes on to table default behind IPv4 routes that are errors.
  'link add red type vrf table 100',
  '@sysctl net.mpls.platform_labels=1000',
  ...Array.from({ length: ports }, (_, n) => `@sysctl net.mpls.conf.${pool.dev(n)}.input=1`),
  ...firstSettings(pool),
  ...allNexthops(pool),
];

/** Every address in every VRF and in none, and by one port or VLAN device. */
async function questions(lab: Lab, random: Random): Promise<Question[]> {
  const all = await devices(lab.ns('cp'));
  // one that is down refuses what the router itself would send; packets that come in are asked for by their ports
  const present = all.filter((d) => d.linkinfo?.info_kind === 'vrf' && d.flags.includes('UP')).map((d) => d.ifname);
  const iifs = all
    .filter((d) => d.flags.includes('UP') && ['tun', 'vlan'].includes(d.linkinfo?.info_kind ?? ''))
    .map((d) => d.ifname);
  const addresses = [
    ...(await sample(lab.ns('cp'), random, false, addressesPerFamily)),
    ...(await sample(lab.ns('cp'), random, true, addressesPerFamily)),
  ];
  return addresses.flatMap((address): Question[] => [
    { address },
    ...present.map((vrf) => ({ address, vrf })),
    ...(iifs.length === 0 ? [] : [{ address, iif: random.pick(iifs) }]),
  ]);
}

async function differing(lab: Lab, control: Control, asked: readonly Question[]): Promise<string[]> {
  let open = [...asked];
  let texts: string[] = [];
  for (let attempt = 0; open.length > 0 && attempt < attempts; attempt++) {
    if (attempt > 0) await control.once('waitSynced', { timeoutMs: 20_000 });
    const kernel = await kernelAnswers(lab.ns('cp'), open);
    const rows = await dataplaneAnswers(control, open);
    const wrong = open.map((q, i) => difference(q, rows[i] as never, kernel[i] as never));
    texts = wrong.filter((text) => text !== undefined);
    open = open.filter((_, i) => wrong[i] !== undefined);
  }
  return texts;
}

/** The rest of the objects: asked again while something moves. */
async function others(lab: Lab, control: Control): Promise<string[]> {
  let found: string[] = [];
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (attempt > 0) await control.once('waitSynced', { timeoutMs: 20_000 });
    const expected = expectedSubifs(await devices(lab.ns('cp')));
    const shown = (await control.rows('subifs', {})).map(subifText);
    found = [
      ...(await labelDifferences(lab.ns('cp'), control, labels)),
      ...expected.filter((text) => !shown.includes(text)).map((text) => `no sub-interface ${text}`),
      ...shown.filter((text) => !expected.includes(text)).map((text) => `sub-interface ${text} is nobody's`),
    ];
    if (found.length === 0) break;
  }
  return found;
}

/** Lines of the run that name one of the prefixes, labels or devices in a text. */
function about(history: readonly string[], text: string): string[] {
  const names = [...new Set(text.match(/[0-9a-f.:]+\/\d+|(?<=label )\d+/g) ?? [])];
  return history.filter((line) => names.some((name) => line.includes(` ${name} `) || line.endsWith(` ${name}`)));
}

system(
  `in every VRF, for every label and every tag the data plane does what the kernel does, seed ${seed}`,
  async (t, lab) => {
    const random = new Random(seed);
    // what is asked depends on what the kernel holds: of its own, so that the operations are the same again
    const asking = new Random(seed + 1);
    await lab.addNetns('far');
    const lcpd = await lab.addRouter({ ports, kernelForwards: true, extra: 'netlink: { rx-buffer-bytes: 256KiB }\n' });
    await addUnpaired(lab);
    const control = new Control(lcpd.socket);
    lab.defer(async () => control.close());
    const pool = new VmPool(random, ports, unpaired);
    const churn = new Churn(pool, has, more);
    const rounds = Math.ceil(operations / opsPerRound);
    t.comment(`SEED=${seed} OPS=${rounds * opsPerRound}, ${churn.operations.length} sorts of operation`);
    const weights = Object.fromEntries(Object.entries(disturbances).map(([name, { weight }]) => [name, weight]));
    const history: string[] = [];
    const happened: Record<string, number> = {};
    let compared = 0;
    for (let round = 1; round <= rounds; round++) {
      const lines = [...(round === 1 ? firstLines(pool) : []), ...churn.batch(opsPerRound)];
      const name = process.env.QUIET === undefined && random.chance(20) ? random.weighted(weights) : '';
      history.push(`# round ${round} ${name}`, ...lines);
      happened[name] = (happened[name] ?? 0) + 1;
      const disturbance = disturbances[name];
      if (disturbance === undefined) await play((role) => lab.ns(role), lines);
      else await disturbance.play({ lab, pool }, lines);
      if (name === 'namespace replaced')
        await play(
          (role) => lab.ns(role),
          firstLines(pool).filter((l) => /^(@sysctl|link)/.test(l)),
        );
      if (random.chance(25)) {
        history.push('# all healed');
        await heal({ lab, pool });
      }
      await control.once('waitSynced', { timeoutMs: 60_000 }, 70_000);

      const asked = await questions(lab, asking);
      const wrong = [...(await differing(lab, control, asked)), ...(await others(lab, control))];
      compared += asked.length;
      const { differences } = await control.once('diff', {});
      const found = differences.filter(({ reason = '' }) => !honest.test(reason));
      if (wrong.length + found.length > 0) {
        t.same(wrong.slice(0, mostShown), [], `round ${round} (${name}): ${wrong.length} choices differ`);
        t.same(found.slice(0, mostShown), [], `round ${round} (${name}): ${found.length} differences`);
        for (const what of [
          ['rule'],
          ['-6', 'rule'],
          ['-d', 'link'],
          ['-4', 'route', 'show', 'table', 'all'],
          ['-6', 'route', 'show', 'table', 'all'],
          ['-M', 'route'],
          ['nexthop'],
        ])
          t.comment(`ip ${what.join(' ')}\n${(await tryRun(['ip', '-n', lab.ns('cp'), ...what])).stdout}`);
        const lately = about(history, JSON.stringify([wrong, found]));
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
      `${compared} answers compared in ${rounds} rounds: ${JSON.stringify(happened)}`,
    );
  },
  { limitMs: 120_000 + operations * msPerOperation },
);
