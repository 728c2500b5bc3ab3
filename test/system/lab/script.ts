/**
 * Script: lines of random operations, played on a lab in their order; consecutive ones for one place in one process.
 *
 *   route add …              `ip -force -batch` in the router's namespace
 *   @-6 nexthop …            the same with that option of ip
 *   @h2 link set eth0 down   the same in the host behind port 2
 *   @sysctl key=value        a setting of the router's namespace
 */
import { inNetns } from './netns.ts';
import { run, tryRun } from './process.ts';

interface Part {
  readonly place: string;
  readonly lines: string[];
}

function partsOf(lines: readonly string[]): Part[] {
  const parts: Part[] = [];
  for (const line of lines) {
    const [, place = '', rest = ''] = /^(?:@(\S+) )?(.*)$/.exec(line) ?? [];
    const last = parts.at(-1);
    if (last?.place === place) last.lines.push(rest);
    else parts.push({ place, lines: [rest] });
  }
  return parts;
}

/** Refused lines are passed over: what the kernel then holds is right by definition. */
export async function play(namespace: (role: string) => string, lines: readonly string[]): Promise<void> {
  for (const { place, lines: part } of partsOf(lines)) {
    const cp = namespace('cp');
    if (place === 'sysctl') {
      await tryRun(inNetns(cp, ['sysctl', '-q', '-w', ...part]));
      continue;
    }
    const option = place.startsWith('-') ? [place] : [];
    const ns = place.startsWith('h') ? namespace(place) : cp;
    await tryRun(['ip', '-n', ns, ...option, '-force', '-batch', '-'], { input: `${part.join('\n')}\n` });
  }
}

/** Which kinds of device (`ip link add … type KIND`) the kernel can make; tried in a namespace of one's own. */
export async function linkKinds(ns: string, kinds: readonly string[]): Promise<Set<string>> {
  const has = new Set<string>();
  await run(['ip', '-n', ns, 'link', 'add', 'trunk', 'type', 'veth', 'peer', 'name', 'trunk-peer']);
  for (const kind of kinds) {
    const args = {
      vlan: ['link', 'trunk', 'name', 'probe', 'type', 'vlan', 'id', '7'],
      vrf: ['probe', 'type', 'vrf', 'table', '7'],
    }[kind];
    const done = await tryRun(['ip', '-n', ns, 'link', 'add', ...(args ?? ['probe', 'type', kind])]);
    if (done.code !== 0) continue;
    has.add(kind);
    await run(['ip', '-n', ns, 'link', 'del', 'probe']);
  }
  await run(['ip', '-n', ns, 'link', 'del', 'trunk']);
  return has;
}
