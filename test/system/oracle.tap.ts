/**
 * Oracle: after random operations on a real kernel, the data plane chooses what `ip route get` chooses.
 *
 * SEED repeats a run, OPS sets how many operations it has. The kernel may choose any leg of a multipath route, so its
 * choice must be among those that lcpctl shows. The kernel of cp forwards here (without traffic), as a router's does:
 * one that does not skips IPv6 gateways that do not answer, as hosts do.
 */
import type { LookupRow } from '../../src/lcp/view.ts';
import { bitsOf, canonical, range, toText } from './lab/addresses.ts';
import { Churn } from './lab/churn.ts';
import { ip, ipBatch, ipJson } from './lab/netns.ts';
import { tryRun } from './lab/process.ts';
import { Random } from './lab/random.ts';
import { type Lab, system } from './lab.ts';

const ports = 4;
const opsPerRound = 40;
const addressesPerFamily = 250;

/** What the kernel does with a packet for an address. */
interface Choice {
  readonly type: string;
  readonly via?: string;
  readonly dev?: string;
}

interface KernelRoute {
  readonly dst: string;
  readonly type?: string;
  readonly dev?: string;
  readonly gateway?: string;
  readonly via?: { readonly host: string };
}

/** What `ip route get` says when the kernel answers with an error. */
const refusals: Readonly<Record<string, string>> = {
  'Network is unreachable': 'none',
  'Invalid argument': 'blackhole',
  'No route to host': 'unreachable',
  'Permission denied': 'prohibit',
};

/** Asks for all addresses in one process; refusals come on standard error with the number of their line. */
async function kernelChoices(ns: string, addresses: readonly string[]): Promise<Map<string, Choice>> {
  const input = `${addresses.map((address) => `route get ${address}`).join('\n')}\n`;
  const done = await tryRun(['ip', '-n', ns, '-json', '-force', '-batch', '-'], { input });
  const choices = new Map<string, Choice>();
  const refused = /RTNETLINK answers: (.+)\nCommand failed -:(\d+)/g;
  for (const match of done.stderr.matchAll(refused)) {
    const address = addresses[Number(match[2]) - 1];
    const type = refusals[match[1] ?? ''];
    if (address === undefined || type === undefined) throw new Error(`ip route get: ${match[0]}`);
    choices.set(address, { type });
  }
  for (const line of done.stdout.split('\n').filter((text) => text.startsWith('['))) {
    for (const route of JSON.parse(line) as KernelRoute[]) {
      const via = route.gateway ?? route.via?.host;
      choices.set(route.dst, {
        type: route.type ?? 'unicast',
        ...(via === undefined ? {} : { via: canonical(via) }),
        ...(route.dev === undefined ? {} : { dev: route.dev }),
      });
    }
  }
  const missing = addresses.filter((address) => !choices.has(address));
  if (missing.length > 0)
    throw new Error(`ip route get said nothing of ${missing.slice(0, 5)}: ${done.stderr.slice(0, 500)}`);
  return choices;
}

/** Why the data plane's answer is not the kernel's, or undefined. */
function mismatch(row: LookupRow, kernel: Choice): string | undefined {
  const wrong = `${row.address}: kernel ${JSON.stringify(kernel)}, lcpd ${JSON.stringify(row)}`;
  if ('error' in row) return wrong;
  // An IPv6 anycast address is one of ours for a data plane; a thrown-out lookup found nothing.
  const type = { throw: 'none', anycast: 'local' }[row.type as string] ?? row.type;
  const expected = kernel.type === 'anycast' ? 'local' : kernel.type;
  if (type !== expected) return wrong;
  if (type !== 'unicast') return undefined;
  const leg = row.paths.some(
    (p) => p.dev === kernel.dev && (p.via === undefined ? undefined : canonical(p.via)) === kernel.via,
  );
  return leg ? undefined : wrong;
}

/** Addresses at and around the edges of what the kernel holds, and others. */
async function sample(lab: Lab, random: Random, six: boolean): Promise<string[]> {
  const family = six ? '-6' : '-4';
  const held = await ipJson<KernelRoute>(lab.ns('cp'), family, 'route', 'show', 'table', 'all');
  const prefixes = [
    ...new Set(held.map((route) => (route.dst === 'default' ? (six ? '::/0' : '0.0.0.0/0') : route.dst))),
  ];
  const found = new Set<string>();
  for (let tries = 0; found.size < addressesPerFamily && tries < 20 * addressesPerFamily; tries++) {
    const { first, last, bits } = range(random.pick(prefixes));
    const inside =
      first +
      (((BigInt(random.word()) << 96n) | (BigInt(random.word()) << 32n) | BigInt(random.word())) % (last - first + 1n));
    const value = random.pick([first, last, first - 1n, last + 1n, first + 1n, last - 1n, inside, inside]);
    if (value < 0n || value >> BigInt(bits) !== 0n) continue;
    const address = toText(value, bits);
    if (usable(address)) found.add(address);
  }
  return [...found];
}

/** Neither multicast, loopback, link-local nor unspecified: for those the interface of a packet decides. */
function usable(address: string): boolean {
  if (bitsOf(address) === 128) return !/^(::|::1|f[ef].*)$/.test(address) && !address.startsWith('::');
  const first = Number(address.split('.')[0]);
  return first > 0 && first < 224 && first !== 127 && !address.startsWith('169.254.');
}

system('the data plane chooses what the kernel chooses', async (t, lab) => {
  const random = Random.fromEnvironment();
  const rounds = Math.ceil(Number.parseInt(process.env.OPS ?? '800', 10) / opsPerRound);
  t.comment(`SEED=${random.seed} OPS=${rounds * opsPerRound}`);
  const lcpd = await lab.addRouter({ ports, kernelForwards: true });
  const cp = lab.ns('cp');
  const churn = new Churn(random, ports);
  let compared = 0;
  let special = 0;
  for (let round = 1; round <= rounds; round++) {
    const lines = [...(round === 1 ? churn.nexthops() : []), ...churn.batch(opsPerRound)];
    await ipBatch(cp, lines, true);
    // A cable is pulled, or all are put back so that there is something to choose from.
    if (random.chance(20))
      await ip(lab.ns(`h${random.below(ports)}`), 'link', 'set', 'eth0', random.chance(50) ? 'down' : 'up');
    if (random.chance(25)) {
      for (let n = 0; n < ports; n++) await lab.addressHost(n);
      await ipBatch(cp, churn.nexthops(), true);
    }
    await lcpd.synced();

    let wrong: string[] = [];
    for (const six of [false, true]) {
      const addresses = await sample(lab, random, six);
      let open = addresses;
      // The kernel changes by itself too (carrier, neighbours): what differs is asked again while the kernel moves.
      for (let attempt = 0; open.length > 0 && attempt < 5; attempt++) {
        if (attempt > 0) await lcpd.synced();
        const before = await kernelChoices(cp, open);
        const rows = await lcpd.lookup(open);
        t.equal(
          rows.length,
          open.length,
          `round ${round}: an answer for each of ${open.length} IPv${six ? 6 : 4} addresses`,
        );
        const differing = rows.flatMap((row) => {
          const kernel = before.get(row.address);
          if (kernel === undefined) throw new Error(`lcpctl answered for ${row.address}, which was not asked`);
          const text = mismatch(row, kernel);
          return text === undefined ? [] : [{ address: row.address, text }];
        });
        open = differing.map((d) => d.address);
        if (attempt === 4) wrong = wrong.concat(differing.map((d) => d.text));
        if (attempt === 0) special += [...before.values()].filter((choice) => choice.type !== 'unicast').length;
      }
      compared += addresses.length;
    }
    t.same(wrong, [], `round ${round}: the same choices`);
    const diff = await lcpd.diff();
    t.same(diff.differences, [], `round ${round}: lcpctl diff is empty`);
    if (wrong.length > 0 || diff.differences.length > 0) {
      t.comment(`SEED=${random.seed}, the operations of round ${round}:\n${lines.join('\n')}`);
      break;
    }
  }
  t.ok(compared > rounds * addressesPerFamily, `${compared} addresses compared, ${special} of them not plain unicast`);
});
