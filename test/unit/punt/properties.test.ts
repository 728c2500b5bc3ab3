/**
 * Properties of the punt manager: whatever is asked for, taken back and changed, whoever dies meanwhile: at quiescence the data
 * plane has exactly what is derived from what is asked for, and nothing when nothing is. SEED=n repeats a run.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { LcpError } from '../../../src/lib/errors.ts';
import { Allocations } from '../../../src/punt/allocations.ts';
import { derivePunts } from '../../../src/punt/derive.ts';
import { Journal } from '../../../src/punt/journal.ts';
import { idText, type PuntRequest, type PuntSpec } from '../../../src/punt/request.ts';
import type { PuntChange } from '../../../src/punt/view.ts';
import { runSeed, seeded } from '../lcp/kernelbytes.ts';
import { ask, place } from './lab.ts';
import { World } from './world.ts';

const SEED = runSeed();
const LIVES = 30;
const LENGTH = 60;

const anyRule = {
  ...{ permit: true, source: 'any', destination: 'local', protocol: 89, flagsMask: 0, flagsValue: 0 },
  ...{ sourcePorts: [0, 65535] as const, destinationPorts: [0, 65535] as const },
};

const INTERFACES = ['eth0', 'eth1', 'eth2'];
const CNFS = ['', 'c1', 'c2'];

function randomSpec(pick: (below: number) => number): PuntSpec {
  const one = <T>(...of: readonly T[]): T => of[pick(of.length)] as T;
  const name = one(...INTERFACES);
  const l3 = one('ipv4', 'ipv6', 'all');
  const [vrf, withoutCnfVrf] = [one(0, 0, 5), pick(2) === 0];
  const socket = one('', '/run/t/a.sock', '/run/t/b.sock');
  const specs: readonly PuntSpec[] = [
    { type: 'to-host', l3, l4: 'udp', port: one(9000, 9001, 4789), socket },
    { type: 'ip-protocol', l3, protocol: 89, socket },
    { type: 'icmp6', icmpType: 135, socket },
    { type: 'exception', reason: one('ipsec4-no-such-tunnel', 'none'), socket: '/run/t/a.sock' },
    { type: 'ip-redirect', l3: 'ipv4', rx: one('', ...INTERFACES), tx: name, nextHops: one([], ['192.0.2.2']) },
    { type: 'police', scope: one('ipv4', 'arp'), unit: 'pps', rate: one(100, 200), burst: 100 },
    { type: 'hairpin-xconnect', interfaces: [name, one(...INTERFACES)] },
    {
      type: 'hairpin',
      interface: name,
      hairpin: { name: one('hp0', 'hp1'), mac: '', addresses: ['10.5.0.1/24'], vrf, dhcpClient: false, mtu: 0 },
    },
    { type: 'span', interface: name, direction: one('rx', 'tx', 'both') },
    { type: 'abx', interface: name, vrf, withoutCnfVrf, ingress: [anyRule], egress: pick(3) === 0 ? [anyRule] : [] },
    { type: 'dhcp-proxy', l3, vrf, withoutCnfVrf },
    { type: 'isisx', interface: name, vrf, withoutCnfVrf },
  ];
  return one(...specs);
}

const CLI = ['a', 'b', 'c', 'd', 'e', 'f'];
const CONFIG = ['k', 'l', 'm', 'n', 'o'];

const randomRequest = (w: World, label: string, key: string): PuntRequest => {
  const netns = CNFS[w.pick(CNFS.length)] as string;
  const interconnect = w.pick(6) === 0 ? 'memif' : 'tap';
  return ask(label, randomSpec(w.pick), { netns, interconnect, id: { cnf: netns, key, label } });
};

/** What a door refuses changes nothing. */
function add(w: World, request: PuntRequest): void {
  const before = w.punts.list().map(({ id }) => id);
  try {
    w.punts.add(request, 'cli');
  } catch (error) {
    if (!(error instanceof LcpError)) throw error;
    expect(['PUNT_EXISTS', 'PUNT_BUSY', 'PUNT_REFUSED']).toContain(error.code);
    expect(w.punts.list().map(({ id }) => id)).toEqual(before);
  }
}

function reconfigured(w: World): PuntRequest[] {
  const label = CONFIG[w.pick(CONFIG.length)] as string;
  const others = w.configured.filter(({ id }) => id.label !== label);
  const at = w.pick(others.length + 1);
  return w.pick(4) === 0 ? others : [...others.slice(0, at), randomRequest(w, label, 'config'), ...others.slice(at)];
}

/** Something happens; most of the time nobody has looked yet when the next thing does. */
async function step(w: World): Promise<void> {
  const { env, plane, pick } = w;
  const name = INTERFACES[pick(INTERFACES.length)] as string;
  switch (pick(14)) {
    case 0:
    case 1:
    case 2:
      add(w, randomRequest(w, CLI[pick(CLI.length)] as string, 'cli'));
      break;
    case 3: {
      const own = w.punts.list().filter(({ source }) => source === 'cli');
      const row = own[pick(own.length || 1)];
      if (row !== undefined) w.punts.del(row.id);
      break;
    }
    case 4:
    case 5:
      w.configured = reconfigured(w);
      w.punts.configure(w.configured);
      break;
    case 6:
      w.configured = reconfigured(w);
      w.again();
      break;
    case 7:
      w.again();
      break;
    case 8:
      if (!env.namespaces.delete('c1')) w.appear('c1');
      break;
    case 9:
      if (!env.interfaces.delete(name)) env.interfaces.set(name, place({ addresses: [`10.0.${pick(4)}.1/24`] }));
      break;
    case 10: {
      const [vrf, paired] = [pick(2) * 5, pick(2) === 0];
      const addresses = pick(3) === 0 ? [] : [`10.0.${pick(4)}.1/24`, 'fd00::1/64'];
      const ifindex = paired ? 0 : 7;
      if (env.interfaces.has(name))
        env.interfaces.set(name, place({ addresses, table4: vrf, table6: vrf, paired, ifindex }));
      break;
    }
    case 11:
      if (!env.tables.delete('4 5')) env.tables.add('4 5');
      break;
    case 12:
      plane.die();
      break;
    case 13:
      plane.trouble = { refuses: pick(40), kills: pick(4), dies: pick(4) };
      break;
  }
  w.punts.review();
  if (pick(2) === 0) await w.round();
}

const text = (objects: Iterable<unknown>): string[] => [...objects].map((object) => JSON.stringify(object)).sort();

/** States of plans, and what they are shown as when nobody is in the way. */
const SHOWN = { ready: 'CREATED', pending: 'PENDING', busy: 'BUSY', refused: 'FAILED' } as const;

/** The data plane has what is derived, who asked is told so, and the journal says the same. */
function sound(w: World, way: string): void {
  const rows = w.punts.list();
  const requests = rows.map(({ request }) => request);
  const derived = derivePunts(requests, w.env, new Allocations(w.journal.numbers));
  const wanted = [...derived.interconnects.values(), ...derived.punts.values()];
  expect(text(w.plane.held.values()), `${way}: what the plane holds`).toEqual(text(wanted));
  expect(text(w.devices), `${way}: devices of CNFs`).toEqual(text(derived.devices));
  for (const { id, state, reasons } of rows) {
    const plan = derived.plans.get(id);
    expect(`${id} ${state} ${reasons}`, way).toBe(`${id} ${plan && SHOWN[plan.state]} ${plan?.reasons}`);
  }
  const told = new Map<string, PuntChange>();
  for (const change of w.changes) {
    const last = told.get(change.id);
    expect(change, `${way}: nobody is told the same twice`).not.toEqual(last);
    if (change.state === 'CREATED' && change.about === 'state')
      expect(last?.state, `${way}: ${change.id} before it was created`).toBe('INIT');
    if (change.state === 'DELETED') expect(last, `${way}: ${change.id} was told of before`).toBeDefined();
    if (change.about === 'links') {
      expect([last?.state, last?.reasons], `${way}: no state but that one`).toEqual([change.state, change.reasons]);
      expect(change.links, `${way}: links that it knew`).not.toEqual(last?.links);
    }
    told.set(change.id, change);
  }
  const ends = new Map([...told].filter(([, { state }]) => state !== 'DELETED'));
  expect([...ends.keys()].sort(), `${way}: who was told of last`).toEqual(rows.map(({ id }) => id).sort());
  for (const { id, state, links } of rows)
    expect(ends.get(id), `${way}: the last word on ${id}`).toMatchObject({ state, links });
  const cli = rows.filter(({ source }) => source === 'cli');
  const forgotten = [...w.plane.held.values()].filter((o) => o.kind === 'punt' && w.plane.punts.forgets(o));
  w.journal.close();
  const replayed = new Journal(w.path);
  expect(replayed.cut).toBe(0);
  expect(replayed.requests.map(({ request }) => idText(request.id)).sort(), `${way}: requests by hand`).toEqual(
    cli.map(({ id }) => id).sort(),
  );
  const held = replayed.held(String(w.plane.generation));
  const sure = held.filter((record) => record.sure).map(({ punt }) => punt);
  expect(text(sure), `${way}: the journal answers for what is forgotten`).toEqual(text(forgotten));
  replayed.close();
}

describe(`punts, whatever happens (SEED=${SEED})`, () => {
  let w: World;
  afterEach(() => w.end());

  it.each(Array.from({ length: LIVES }, (_, i) => SEED + i))('life %i', async (seed) => {
    w = new World(seeded(seed));
    for (let i = 0; i < LENGTH; i++) {
      await step(w);
      if (i % 20 !== 19) continue;
      await w.quiet();
      const way = `seed ${seed}, step ${i}`;
      sound(w, way);
      const [held, rows] = [text(w.plane.held.values()), text(w.punts.list().map(({ id, state }) => [id, state]))];
      w.begin();
      await w.quiet();
      sound(w, `${way}, again`);
      expect(text(w.plane.held.values()), `${way}: a restart changes nothing`).toEqual(held);
      expect(text(w.punts.list().map(({ id, state }) => [id, state])), `${way}: nor who has what`).toEqual(rows);
      w.again();
    }
    w.configured = [];
    w.punts.configure([]);
    for (const { id } of w.punts.list()) w.punts.del(id);
    await w.quiet();
    expect(text(w.plane.held.values()), `seed ${seed}: nothing is left`).toEqual([]);
    expect([...w.delta.rows('punt'), ...w.delta.rows('interconnect')]).toEqual([]);
    sound(w, `seed ${seed}, end`);
    w.journal = new Journal(w.path);
  });
});
