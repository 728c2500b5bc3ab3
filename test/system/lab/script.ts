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

/** Devices that are always there: at any other, `ip -batch` may end, and what follows would be lost. */
const always = /^(e\d|u\d|lo|eth0)$/;
const devicesIn = (line: string): string[] =>
  [...line.matchAll(/\b(?:dev|master|iif|link(?: set| del| add link)?) (\S+)/g)].map((match) => match[1] ?? '');

/** A part ends behind a line that may end its process. */
function partsOf(lines: readonly string[]): Part[] {
  const parts: Part[] = [];
  let open = false;
  for (const line of lines) {
    const [, place = '', rest = ''] = /^(?:@(\S+) )?(.*)$/.exec(line) ?? [];
    const last = parts.at(-1);
    if (open && last?.place === place) last.lines.push(rest);
    else parts.push({ place, lines: [rest] });
    open = place === 'sysctl' || devicesIn(rest).every((dev) => always.test(dev));
  }
  return parts;
}

/** Refused lines are passed over: what the kernel then holds is right by definition. One shell plays them all. */
export async function play(namespace: (role: string) => string, lines: readonly string[]): Promise<void> {
  const cp = namespace('cp');
  const commands = partsOf(lines).map(({ place, lines: part }) => {
    const input = `<<'END'\n${part.join('\n')}\nEND\n`;
    // sysctl takes its settings as a file, too
    if (place === 'sysctl') return `${inNetns(cp, ['sysctl', '-q', '-e', '-p', '-']).join(' ')} ${input}`;
    const ns = place.startsWith('h') ? namespace(place) : cp;
    return `ip -n ${ns}${place.startsWith('-') ? ` ${place}` : ''} -force -batch - ${input}`;
  });
  await tryRun(['sh'], { input: commands.join(''), timeoutMs: 120_000 });
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
