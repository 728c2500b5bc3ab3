/**
 * Choices: what the kernel does with a packet for an address, what the data plane does, and whether that is the same.
 *
 * The kernel may choose any leg of a multipath route, so its choice must be among those that lcpctl shows. The kernel
 * of the namespace is to forward, as a router's does: one that does not skips IPv6 gateways that do not answer.
 */
import type { LookupRow } from '../../../src/lcp/view.ts';
import { bitsOf, canonical, range, toText } from './addresses.ts';
import { ip, ipJson } from './netns.ts';
import { tryRun } from './process.ts';
import type { Random } from './random.ts';

export interface Choice {
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

/**
 * Asks for all addresses in one process; refusals come on standard error with the number of their line. A packet that
 * the kernel sends to a device that is down is lost: that is a blackhole, whatever it is called.
 */
export async function kernelChoices(ns: string, addresses: readonly string[]): Promise<Map<string, Choice>> {
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
  const down = new Set<string | undefined>(
    (await ipJson<{ ifname: string; flags: string[] }>(ns, 'link', 'show'))
      .filter(({ flags }) => !flags.includes('UP'))
      .map(({ ifname }) => ifname),
  );
  for (const line of done.stdout.split('\n').filter((text) => text.startsWith('['))) {
    for (const route of JSON.parse(line) as KernelRoute[]) {
      if ((route.type ?? 'unicast') === 'unicast' && down.has(route.dev)) {
        choices.set(route.dst, { type: 'blackhole' });
        continue;
      }
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

/**
 * Whether this kernel goes on to table default behind a blackhole, unreachable or prohibit route of main: IPv4 of older
 * ones does (6.1, not 6.18) while the namespace has no rules of its own, as soon as that table was used once.
 * Asked in a namespace made for it.
 */
export async function goesOnBehindErrors(ns: string): Promise<boolean> {
  await ip(ns, 'route', 'add', '198.51.100.0/24', 'dev', 'lo', 'table', 'default');
  await ip(ns, 'route', 'add', 'unreachable', '192.0.2.0/24');
  return (await kernelChoices(ns, ['192.0.2.1'])).get('192.0.2.1')?.type !== 'unreachable';
}

/**
 * Why the data plane's answer is not the kernel's, or undefined. With `goesOn` an IPv4 lookup that the data plane ends
 * with an error, as newer kernels do, is not compared.
 */
export function mismatch(row: LookupRow, kernel: Choice, goesOn = false): string | undefined {
  const wrong = `${row.address}: kernel ${JSON.stringify(kernel)}, lcpd ${JSON.stringify(row)}`;
  if ('error' in row) return wrong;
  if (goesOn && !row.address.includes(':') && ['blackhole', 'unreachable', 'prohibit'].includes(row.type))
    return undefined;
  // An IPv6 anycast address is one of ours for a data plane; a thrown-out lookup found nothing; what is punted is for
  // the kernel to send by one of its legs.
  const type = { throw: 'none', anycast: 'local', punt: 'unicast' }[row.type as string] ?? row.type;
  const expected = kernel.type === 'anycast' ? 'local' : kernel.type;
  if (type !== expected) return wrong;
  if (type !== 'unicast') return undefined;
  const leg = row.paths.some(
    (p) => p.dev === kernel.dev && (p.via === undefined ? undefined : canonical(p.via)) === kernel.via,
  );
  return leg ? undefined : wrong;
}

/** Addresses at and around the edges of what the kernel holds, and others. */
export async function sample(ns: string, random: Random, six: boolean, count: number): Promise<string[]> {
  const held = await ipJson<KernelRoute>(ns, six ? '-6' : '-4', 'route', 'show', 'table', 'all');
  const prefixes = [
    ...new Set(held.map((route) => (route.dst === 'default' ? (six ? '::/0' : '0.0.0.0/0') : route.dst))),
  ];
  if (prefixes.length === 0) prefixes.push(six ? '::/0' : '0.0.0.0/0');
  const found = new Set<string>();
  for (let tries = 0; found.size < count && tries < 20 * count; tries++) {
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
