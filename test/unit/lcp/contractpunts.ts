// The contract of data planes with punts (lcp/puntplane.ts) as tests, for any that is opened here.
//
// Invariants: each test opens its own data plane as contract.ts does, with two Ethernet phys that may be paired. What a
// plane names in `unsupported` it has to refuse with NOT_SUPPORTED, and then nothing of it is held.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Operation, OperationResult } from '../../../src/lcp/dataplane.ts';
import { type LcpObject, sameObject } from '../../../src/lcp/objects.ts';
import { type AclRule, type Interconnect, type Punt, puntKey } from '../../../src/lcp/puntobjects.ts';
import type { PuntPlane } from '../../../src/lcp/puntplane.ts';
import { contractLab, type Opened } from './contractlab.ts';

export interface OpenedWithPunts extends Opened {
  /** Whether the device of an interconnect of link tap exists in its namespace now. */
  deviceExists(interconnect: Interconnect): boolean | Promise<boolean>;
  again(): Promise<OpenedWithPunts>;
}

const anyPort = [0, 65535] as const;

/** Matches every IPv4 packet of a protocol to a prefix. */
export const rule = (destination: string, change: Partial<AclRule> = {}): AclRule => ({
  permit: true,
  family: destination.includes(':') ? 6 : 4,
  source: destination.includes(':') ? '::/0' : '0.0.0.0/0',
  destination,
  protocol: 0,
  sourcePorts: anyPort,
  destinationPorts: anyPort,
  flagsMask: 0,
  flagsValue: 0,
  ...change,
});

export const contractOfPunts = (name: string, open: () => Promise<OpenedWithPunts>): void => {
  describe(`${name} keeps the contract of punts`, () => {
    let o: OpenedWithPunts;
    beforeEach(async () => {
      o = await open();
    });
    afterEach(() => o.cleanup());

    const { one, put, pairs } = contractLab(() => o);
    const plane = (): PuntPlane => {
      if (o.dataplane.punts === undefined) throw new Error('it has no PuntPlane');
      return o.dataplane.punts;
    };

    const tap = (name: string, change: Partial<Interconnect> = {}): Interconnect => ({
      kind: 'interconnect',
      name,
      link: 'tap',
      netns: o.pairs[0].netns,
      netnsId: o.pairs[0].netnsId,
      phyIfindex: 0,
      mac: '02:fd:00:00:00:01',
      peerMac: '02:fe:00:00:00:01',
      mtu: 1500,
      gso: false,
      socket: '',
      secret: '',
      addresses: [],
      lender: '',
      table: 0,
      dhcpClient: false,
      owner: 'contract',
      ...change,
    });
    const phy = (i: 0 | 1): string => o.pairs[i].phy;
    const xconnect = (from: string, to: string): Punt => ({ kind: 'punt', feature: 'xconnect', from, to });
    const span = (from: string, to: string, rx = true, tx = true): Punt => ({
      kind: 'punt',
      feature: 'span',
      from,
      to,
      rx,
      tx,
    });
    const abx = (from: string, to: string, rules: AclRule[], priority = 10, dstMac = ''): Punt => ({
      kind: 'punt',
      feature: 'abx',
      from,
      to,
      priority,
      rules,
      dstMac,
    });
    const osi = (from: string, to: string): Punt => ({ kind: 'punt', feature: 'osi', from, to, protocol: 0x83 });

    const held = async <K extends LcpObject['kind']>(kind: K) =>
      (await o.dataplane.dump()).map(({ object }) => object).filter((object) => object.kind === kind);
    /** Every object of a kind is held, and no other. */
    const holds = async (kind: LcpObject['kind'], ...objects: LcpObject[]) => {
      const now = (await held(kind)).filter((object) => object.kind !== 'punt' || !plane().forgets(object));
      const wanted = objects.filter((object) => object.kind !== 'punt' || !plane().forgets(object));
      for (const object of wanted)
        expect(
          now.some((h) => JSON.stringify(h) === JSON.stringify(object) || sameObject(h, object)),
          `${JSON.stringify(object)} among ${JSON.stringify(now)}`,
        ).toBe(true);
      expect(now).toHaveLength(wanted.length);
    };
    const apply = (...operations: [op: Operation['op'], object: LcpObject][]): Promise<OperationResult[]> =>
      o.dataplane.apply(operations.map(([op, object]) => ({ op, object, handle: 0 })));
    /** Sets it, or sees it refused by the name of what is not there. */
    const able = async (feature: string, object: Punt): Promise<boolean> => {
      const why = plane().unsupported.get(feature);
      const result = await one('set', object);
      if (why === undefined) {
        expect(result, JSON.stringify(result)).toMatchObject({ ok: true });
        return true;
      }
      expect(why).not.toBe('');
      expect(result).toMatchObject({ ok: false, code: 'NOT_SUPPORTED' });
      return false;
    };

    it('begins with nothing, and says what it has not', async () => {
      expect(await held('interconnect')).toEqual([]);
      expect(await held('punt')).toEqual([]);
      for (const [what, why] of plane().unsupported)
        expect([what, why], what).toEqual([expect.any(String), expect.stringMatching(/./)]);
      expect(plane().serverSocket === '').toBe(plane().unsupported.has('socket'));
      const names = plane().reasons.map((reason) => reason.name);
      expect(new Set(names).size).toBe(names.length);
      expect(Array.isArray(await plane().stats())).toBe(true);
    });

    it('interconnects of link tap: made with their device, told again, dumped as they are, deleted twice', async () => {
      const first = tap('h6tap0', { owner: 'eins', addresses: ['10.9.0.1/30'], mtu: 1400 });
      const second = tap('h6tap1', { gso: true, mac: '02:fd:00:00:00:02', peerMac: '02:fe:00:00:00:02' });
      for (const object of [first, first, second]) await put(object);
      await holds('interconnect', first, second);
      expect([await o.deviceExists(first), await o.deviceExists(second)]).toEqual([true, true]);
      const later = { ...first, owner: 'zwei' };
      await put(later);
      await holds('interconnect', later, second);
      for (let i = 0; i < 2; i++) expect(await one('delete', later)).toMatchObject({ ok: true });
      await holds('interconnect', second);
      expect([await o.deviceExists(first), await o.deviceExists(second)]).toEqual([false, true]);
    });

    it('interconnects that cannot be are refused with a reason, their siblings are made', async () => {
      const wrong = [tap('h6tap2', { netns: 'h6nowhere', netnsId: '1:1' }), tap(''), tap('x'.repeat(16))];
      const good = tap('h6tap3');
      const results = await apply(...[...wrong, good].map((object) => ['set', object] as ['set', Interconnect]));
      expect(results.map(({ ok }) => ok)).toEqual([false, false, false, true]);
      for (const { ok, code, message } of results)
        if (!ok) expect([code, message]).toEqual([expect.stringMatching(/^[A-Z_]+$/), expect.stringMatching(/./)]);
      await holds('interconnect', good);
    });

    it('a changed interconnect is another device or the same, never two', async () => {
      const before = tap('h6tap0');
      await put(before);
      const after = { ...before, mac: '02:fd:00:00:00:09', peerMac: '02:fe:00:00:00:09', mtu: 1300, gso: true };
      await put(after);
      await holds('interconnect', after);
      expect(await o.deviceExists(after)).toBe(true);
      await one('delete', after);
      expect(await o.deviceExists(after)).toBe(false);
    });

    it('punts: set, told again, changed, dumped as they are, removed twice', async () => {
      await pairs();
      const to = tap('h6tap0');
      await put(to);
      const rules = [
        rule('10.0.0.0/24', { protocol: 17, sourcePorts: [1, 2], destinationPorts: [53, 53] }),
        rule('2001:db8::/64', { protocol: 58, sourcePorts: [128, 129], destinationPorts: [0, 0], permit: false }),
        rule('10.0.0.1/32', { protocol: 6, flagsMask: 18, flagsValue: 2, source: '192.0.2.0/24' }),
      ];
      const all: [string, Punt][] = [
        ['span', span(phy(0), to.name, true, false)],
        ['span', span(phy(1), to.name)],
        ['abx', abx(phy(0), to.name, rules, 7, '02:fe:00:00:00:01')],
        ['osi', osi(phy(1), to.name)],
      ];
      const there: Punt[] = [];
      for (const [feature, punt] of all) if (await able(feature, punt)) there.push(punt);
      await holds('punt', ...there);
      for (const punt of there) await put(punt);
      await holds('punt', ...there);
      const changed = there.map((punt) =>
        punt.feature === 'span' ? { ...punt, rx: true, tx: punt.from === phy(0) } : punt,
      );
      for (const punt of changed) await put(punt);
      await holds('punt', ...changed);
      for (const punt of changed)
        for (let i = 0; i < 2; i++) expect(await one('delete', punt)).toMatchObject({ ok: true });
      await holds('punt');
    });

    it('cross-connects both ways, between interconnects, too', async () => {
      const [a, b] = [tap('h6tap0'), tap('h6tap1', { mac: '02:fd:00:00:00:02', peerMac: '02:fe:00:00:00:02' })];
      await put(a);
      await put(b);
      const all = [xconnect(a.name, b.name), xconnect(b.name, a.name)];
      for (const punt of all) await able('xconnect', punt);
      if (!plane().unsupported.has('xconnect')) await holds('punt', ...all);
    });

    it('a batch is answered one by one: what is wrong is refused, its siblings are there', async () => {
      await pairs();
      const to = tap('h6tap0');
      await put(to);
      const good = span(phy(0), to.name);
      const results = await apply(
        ['set', good],
        ['set', span('h6nowhere', to.name)],
        ['set', xconnect(phy(0), phy(0))],
        ['delete', span('h6nowhere', to.name)],
        ['set', span(phy(1), to.name)],
      );
      expect(results.map(({ ok }) => ok)).toEqual([true, false, false, true, true]);
      for (const { ok, code, message } of results)
        if (!ok) expect([code, message]).toEqual([expect.stringMatching(/^[A-Z_]+$/), expect.stringMatching(/./)]);
      await holds('punt', good, span(phy(1), to.name));
    });

    it('matches of every sort, redirects, policers and proxies are taken or named as not there', async () => {
      const to = tap('h6tap0');
      await put(to);
      const [reason] = plane().reasons;
      const matches: [string, Punt][] = [
        ['host', { kind: 'punt', feature: 'host', match: { by: 'port', family: 4, protocol: 17, port: 9000 } }],
        [
          'socket',
          { kind: 'punt', feature: 'socket', match: { by: 'port', family: 4, protocol: 17, port: 9001 }, path: '/x' },
        ],
        ['redirect', { kind: 'punt', feature: 'redirect', family: 4, rx: '', tx: to.name, nexthop: '10.9.0.2' }],
        ['redirect', { kind: 'punt', feature: 'redirect', family: 6, rx: '', tx: to.name, nexthop: '' }],
        ['police', { kind: 'punt', feature: 'police', scope: 'ipv4', unit: 'pps', rate: 1000, burst: 100 }],
        [
          'proxy',
          { kind: 'punt', feature: 'proxy', on: to.name, family: 4, table: 0, low: '10.9.0.0', high: '10.9.0.255' },
        ],
      ];
      if (reason !== undefined)
        matches.push(['host', { kind: 'punt', feature: 'host', match: { by: 'reason', reason: reason.name } }]);
      const there: Punt[] = [];
      for (const [feature, punt] of matches) if (await able(feature, punt)) there.push(punt);
      await holds('punt', ...there);
      const keys = there.map((punt) => `punt ${puntKey(punt)}`);
      const told = new Set((await plane().stats()).map(({ object }) => object));
      for (const key of told)
        expect(key === '' || keys.includes(key) || key.startsWith('interconnect '), key).toBe(true);
      const unknown: Punt = { kind: 'punt', feature: 'host', match: { by: 'reason', reason: 'h6-no-such-reason' } };
      expect(await one('set', unknown)).toMatchObject({ ok: false });
      await holds('punt', ...there);
    });

    it('let go with keep and connected again, it recognises interconnects and punts, and goes on', async () => {
      await pairs();
      const first = tap('h6tap0', { owner: 'eins', gso: true, addresses: ['10.9.0.1/30', '2001:db8::1/64'] });
      await put(first);
      const all = [span(phy(0), first.name), abx(phy(1), first.name, [rule('10.0.0.0/8'), rule('::/0')], 3)];
      for (const punt of all) await put(punt);
      o = await o.again();
      const known = all.filter((punt) => !plane().forgets(punt));
      await holds('interconnect', first);
      await holds('punt', ...known);
      await put(first);
      for (const punt of known) await put(punt);
      await holds('interconnect', first);
      await holds('punt', ...known);
      for (const punt of all) expect(await one('delete', punt)).toMatchObject({ ok: true });
      expect(await one('delete', first)).toMatchObject({ ok: true });
      await holds('interconnect');
      expect(await o.deviceExists(first)).toBe(false);
    });
  });
};
