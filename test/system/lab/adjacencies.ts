/**
 * Adjacencies: every neighbour of the protocol story as its own daemon counts it, so that a flap between two looks is seen.
 *
 * Invariants: an adjacency carries what changes when it breaks: a counter of the daemon's (`mark`), or the time since
 * which it is up (`upS`, seconds), or the time of day at which it came up (`sinceS`). BIRD speaks for its side.
 * Reference: FRR 8.4 `show … json`; birdc "show protocols", "show bfd sessions", "show ospf neighbors".
 */
import type { Bird } from './bird.ts';
import type { Frr } from './frr.ts';

export interface Adjacency {
  readonly up: boolean;
  /** The daemon's words for its state. */
  readonly state: string;
  readonly mark?: string;
  readonly upS?: number;
  readonly sinceS?: number;
}
export type Adjacencies = ReadonlyMap<string, Adjacency>;

/** [hh:]mm:ss */
export const seconds = (clock: string): number => clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);

type Row = readonly [string, Adjacency];

interface BgpPeer {
  readonly state: string;
  readonly connectionsDropped: number;
}
async function bgp(frr: Frr): Promise<Row[]> {
  const summary = await frr.json<Record<string, { peers: Record<string, BgpPeer> }>>('show bgp summary');
  return Object.entries(summary).flatMap(([family, { peers }]) =>
    Object.entries(peers).map(
      ([peer, { state, connectionsDropped }]): Row => [
        `BGP ${family} ${peer}`,
        { up: state === 'Established', state, mark: `dropped ${connectionsDropped}` },
      ],
    ),
  );
}

async function bfd(frr: Frr): Promise<Row[]> {
  const peers = await frr.json<{ peer: string; status: string }[]>('show bfd peers');
  const counters =
    await frr.json<{ peer: string; 'session-up': number; 'session-down': number }[]>('show bfd peers counters');
  return peers.map(({ peer, status }): Row => {
    const count = counters.find((c) => c.peer === peer);
    return [
      `BFD ${peer}`,
      { up: status === 'up', state: status, mark: `up ${count?.['session-up']}, down ${count?.['session-down']}` },
    ];
  });
}

interface Ospf4 {
  readonly neighbors: Record<string, readonly { ifaceName: string; nbrState: string; stateChangeCounter: number }[]>;
}
async function ospf4(frr: Frr): Promise<Row[]> {
  const { neighbors } = await frr.json<Ospf4>('show ip ospf neighbor detail');
  return Object.values(neighbors)
    .flat()
    .map(
      (n): Row => [
        `OSPFv2 ${n.ifaceName}`,
        { up: n.nbrState.startsWith('Full'), state: n.nbrState, mark: `changes ${n.stateChangeCounter}` },
      ],
    );
}

async function ospf6(frr: Frr): Promise<Row[]> {
  const { neighbors } = await frr.json<{ neighbors: { interfaceName: string; state: string; duration: string }[] }>(
    'show ipv6 ospf6 neighbor',
  );
  return neighbors.map(
    (n): Row => [`OSPFv3 ${n.interfaceName}`, { up: n.state === 'Full', state: n.state, upS: seconds(n.duration) }],
  );
}

/** Its JSON keeps one level of the two. */
async function isis(frr: Frr): Promise<Row[]> {
  const text = await frr.show('show isis neighbor detail');
  const found = text.matchAll(/Interface: (\S+), Level: (\d), State: (\w+)[^\n]*\n\s*Adjacency flaps: (\d+)/g);
  return [...found].map(
    ([, dev, level, state = '', flaps]): Row => [
      `IS-IS ${dev} level ${level}`,
      { up: state === 'Up', state, mark: `flaps ${flaps}` },
    ],
  );
}

/** RIP has no sessions: a gateway that is silent for three updates has failed. */
async function rip(frr: Frr): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, command] of [
    ['RIP', 'show ip rip status'],
    ['RIPng', 'show ipv6 ripng status'],
  ] as const) {
    const gateways = (await frr.show(command)).split('Last Update')[1] ?? '';
    for (const [, gateway, bad, clock = ''] of gateways.matchAll(/(\S+)\s+(\d+)\s+\d+\s+\d+\s+(\d\d:\d\d:\d\d)/g)) {
      const up = seconds(clock) <= 15 && bad === '0';
      rows.push([`${name} ${gateway}`, { up, state: `last update ${clock}, ${bad} bad packets`, mark: '' }]);
    }
  }
  return rows;
}

async function pim(frr: Frr): Promise<Row[]> {
  const devices =
    await frr.json<Record<string, Record<string, { interface: string; upTime: string }>>>('show ip pim neighbor');
  return Object.values(devices)
    .flatMap((neighbours) => Object.values(neighbours))
    .map((n): Row => [`PIM ${n.interface}`, { up: true, state: 'up', upS: seconds(n.upTime) }]);
}

interface VirtualRouter {
  readonly status: string;
  readonly stats: { readonly transitions: number };
}
async function vrrp(who: string, frr: Frr, wanted: string): Promise<Row[]> {
  const routers = await frr.json<{ v4: VirtualRouter; v6: VirtualRouter }[]>('show vrrp');
  return routers.flatMap((r) =>
    (['v4', 'v6'] as const).map(
      (family): Row => [
        `VRRP ${family} ${who}`,
        {
          up: r[family].status === wanted,
          state: r[family].status,
          mark: `transitions ${r[family].stats.transitions}`,
        },
      ],
    ),
  );
}

async function bird(east: Bird): Promise<Row[]> {
  const protocols = (await east.protocols())
    .filter((p) => p.kind === 'BGP')
    .map((p): Row => [`BIRD ${p.name}`, { up: p.info === 'Established', state: p.info, sinceS: seconds(p.since) }]);
  const text = await east.show('show bfd sessions');
  const sessions = [...text.matchAll(/^(\S+)\s+eth0\s+(\w+)\s+(\S+)/gm)].map(
    ([, peer, state = '', since = '']): Row => [
      `BIRD BFD ${peer}`,
      { up: state === 'Up', state, sinceS: seconds(since) },
    ],
  );
  return [...protocols, ...sessions];
}

interface ZebraRoute {
  readonly protocol: string;
  readonly selected?: boolean;
  readonly uptime: string;
}
/** Routes that the protocols gave to zebra: one that was withdrawn and came back has a new uptime. */
async function routes(frr: Frr, expected: ReadonlyMap<string, string>): Promise<Row[]> {
  const four = await frr.json<Record<string, ZebraRoute[]>>('show ip route');
  const six = await frr.json<Record<string, ZebraRoute[]>>('show ipv6 route');
  return [...expected].map(([prefix, protocol]): Row => {
    const held = (four[prefix] ?? six[prefix])?.find((route) => route.selected === true);
    if (held === undefined) return [`route ${prefix}`, { up: false, state: 'absent' }];
    return [
      `route ${prefix}`,
      { up: held.protocol === protocol, state: `by ${held.protocol}`, upS: seconds(held.uptime) },
    ];
  });
}

export interface Speakers {
  readonly router: Frr;
  readonly backup: Frr;
  readonly east: Bird;
}

/** `expected`: prefix to zebra's name of the protocol that announces it. */
export async function adjacencies(speakers: Speakers, expected: ReadonlyMap<string, string>): Promise<Adjacencies> {
  const { router, backup, east } = speakers;
  const rows = await Promise.all([
    bgp(router),
    bfd(router),
    ospf4(router),
    ospf6(router),
    isis(router),
    rip(router),
    pim(router),
    vrrp('router', router, 'Master'),
    vrrp('backup', backup, 'Backup'),
    bird(east),
    routes(router, expected),
  ]);
  return new Map(rows.flat());
}

/** Ages are whole seconds, and asking takes time. */
const slackS = 4;

/** What broke between two looks `elapsedS` apart, readable. */
export function broken(before: Adjacencies, after: Adjacencies, elapsedS: number): string[] {
  const lines: string[] = [];
  for (const [name, was] of before) {
    const is = after.get(name);
    if (is === undefined) lines.push(`${name}: gone`);
    else if (!is.up) lines.push(`${name}: ${is.state}`);
    else if (is.mark !== was.mark) lines.push(`${name}: was broken (${was.mark}; ${is.mark})`);
    // BIRD reckons the time of day anew at every look, and rounds.
    else if (was.sinceS !== undefined && Math.abs((is.sinceS ?? 0) - was.sinceS) > 0.5)
      lines.push(`${name}: was broken (up since ${was.sinceS} s of the day; ${is.sinceS} s)`);
    else if (was.upS !== undefined && (is.upS ?? 0) < was.upS + elapsedS - slackS)
      lines.push(`${name}: started anew (up ${was.upS} s, ${elapsedS.toFixed(0)} s later ${is.upS} s)`);
  }
  return lines;
}
