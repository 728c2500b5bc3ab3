// PuntGroups: ABX for packets to groups of the link, which VPP's policies do not see: a relay hands them on by the same rules.
//
// Invariants: what there is follows from the ABX that VPP has (puntabx.ts), so that it is found again with them; registrations are ours
// by our path. A registration takes a protocol from all interfaces, so what no rule takes goes to the host of its pair, as
// VPP would have it. What cannot be had is a note of the ABX and fails nothing: its unicast part works without. What was in
// the way is tried again each time VPP's interfaces are read. Decision 30 has the way of a packet.

import type { CounterRow } from '../lcp/dataplane.ts';
import type { Family } from '../lcp/objects.ts';
import { type Abx, matchText, type PuntMatch, puntKey } from '../lcp/puntobjects.ts';
import { isProgrammingError, LcpError, messageOf } from '../lib/errors.ts';
import { ipUnnumberedDump } from './api/ip.ts';
import { type Accepting, acceptingKey, type FromOwn, fromOwnKey, GroupEntries } from './groupentries.ts';
import { gapsOfGroups, handedOf, isForLinkGroup, knownGroups, takes } from './grouprules.ts';
import { type IpPacket, readIpFrame } from './ipframe.ts';
import { readAddresses, readTable } from './puntlayer3.ts';
import type { PuntContext } from './puntparts.ts';
import type { PuntPorts } from './puntports.ts';
import { hostOf, PuntRelay, type Way } from './puntrelay.ts';
import type { PuntSockets } from './puntsockets.ts';

/** Packets a second: floods of routing protocols on some hundred interfaces. */
const RATE = 4000;
const HINT = 'leave it out of the rules of ABX';

type Fate = 'by-rule' | 'to-host';
const familyOf = (match: PuntMatch): Family => ('family' in match ? match.family : 6);

export class PuntGroups {
  readonly #at: PuntContext;
  readonly #sockets: PuntSockets;
  readonly #ports: PuntPorts;
  readonly #path: string;
  readonly #relay: PuntRelay<IpPacket, Fate>;
  readonly #entries: GroupEntries;
  /** As VPP has them, by key. */
  readonly #abx = new Map<string, Abx>();
  /** Those of an interface, the first first. */
  #byFrom = new Map<string, Abx[]>();
  /** Keys of those whose interface borrows the addresses of where they lead. */
  #borrowing = new Set<string>();
  readonly #registered = new Map<string, PuntMatch>();
  /** What is in the way of a match, by its text. */
  #whys: ReadonlyMap<string, string> = new Map();
  /** What is in the way of everything, '' for nothing. */
  #trouble = '';
  /** What entries were made for, and what was noted. */
  #print = '';
  #told = '';

  /** `path` is of our socket; '' where there is to be none. */
  constructor(at: PuntContext, sockets: PuntSockets, ports: PuntPorts, path: string) {
    this.#at = at;
    this.#sockets = sockets;
    this.#ports = ports;
    this.#path = path;
    this.#entries = new GroupEntries(at);
    const [read, way] = [readIpFrame, (packet: IpPacket, ifindex: number) => this.#way(packet, ifindex)];
    this.#relay = new PuntRelay({ at, sockets, path, rate: RATE, fates: ['by-rule', 'to-host'], read, way });
  }

  #way(packet: IpPacket, ifindex: number): Way<Fate> {
    const abx = isForLinkGroup(packet) ? this.#byFrom.get(this.#at.subifs.name(ifindex) ?? '') : undefined;
    const taken = abx?.find((each) => takes(each, packet));
    if (taken === undefined) return { fate: 'to-host', to: hostOf(this.#at, ifindex) };
    return { fate: 'by-rule', to: this.#at.subifs.interface(taken.to)?.ifindex };
  }

  /** Takes packets from now on, and reads what an earlier lcpd registered. */
  async open(): Promise<void> {
    if (this.#path === '') {
      this.#trouble = 'lcpd has no socket for VPP to hand them to';
      return;
    }
    try {
      this.#relay.open();
      for (const { match, path } of await this.#sockets.all())
        if (path === this.#path) this.#registered.set(matchText(match), match);
      await this.#entries.read();
    } catch (error) {
      this.#note(error);
    }
  }

  /** The session's end is told by itself, and the next one tries again; all else that VPP answers is noted. */
  #note(error: unknown): void {
    if (this.#at.client.error !== undefined || isProgrammingError(error)) throw error;
    this.#trouble = messageOf(error);
  }

  /** Those that VPP has, all of them. */
  async follow(all: readonly Abx[]): Promise<void> {
    this.#abx.clear();
    for (const each of all) this.#abx.set(puntKey(each), each);
    await this.#settle();
  }

  async set(abx: Abx): Promise<void> {
    this.#abx.set(puntKey(abx), abx);
    await this.#settle();
  }

  async delete(abx: Abx): Promise<void> {
    if (this.#abx.delete(puntKey(abx))) await this.#settle();
  }

  /** An interface has gone. */
  async gone(index: number): Promise<void> {
    const name = this.#at.name(index);
    const of = [...this.#abx.values()].filter(({ from, to }) => from === name || to === name);
    for (const each of of) this.#abx.delete(puntKey(each));
    if (of.length > 0) await this.#settle();
  }

  /** VPP's interfaces were read: what may be different now is looked at again. Whether notes are others than before. */
  async looked(act: (again: () => Promise<void>) => Promise<void>): Promise<boolean> {
    if (this.#abx.size > 0 && this.#relay.isOpen) {
      const isOpen = this.#whys.size > 0 || this.#trouble !== '';
      const isOther = isOpen || (this.#registered.size > 0 && (await this.#isOther()));
      if (isOther) await act(() => this.#settle());
    }
    const told = JSON.stringify([...this.#abx.values()].map((abx) => this.notes(abx)));
    const isNews = told !== this.#told;
    this.#told = told;
    return isNews;
  }

  /** Whether entries would be others now; where that cannot be told, it is found out by making them. */
  async #isOther(): Promise<boolean> {
    try {
      return (await this.#wanted()).print !== this.#print;
    } catch (error) {
      if (this.#at.client.error !== undefined || isProgrammingError(error)) throw error;
      return true;
    }
  }

  /** What of an ABX does not reach groups, a line for each rule. */
  notes(abx: Abx): string[] {
    const why = (match: PuntMatch) => this.#trouble || (this.#whys.get(matchText(match)) ?? '');
    return gapsOfGroups(abx, (match) => this.#takenBy(match), why, this.#borrowing.has(puntKey(abx)));
  }

  #takenBy(match: PuntMatch): string | undefined {
    return this.#registered.has(matchText(match)) ? undefined : this.#ports.takenBy(match);
  }

  async #settle(): Promise<void> {
    this.#byFrom = new Map();
    for (const abx of [...this.#abx.values()].sort((a, b) => a.priority - b.priority))
      this.#byFrom.set(abx.from, [...(this.#byFrom.get(abx.from) ?? []), abx]);
    if (!this.#relay.isOpen) return;
    try {
      await this.#settleMatches();
      const { accepting, own, print } = await this.#wanted();
      await this.#entries.settle(accepting, own, (index) => this.#at.pairs.row(index) !== undefined);
      this.#print = print;
      this.#trouble = '';
    } catch (error) {
      this.#note(error);
    }
  }

  /** Registers what is wanted and not there, and lets go of what nobody wants. */
  async #settleMatches(): Promise<void> {
    const whys = new Map<string, string>();
    if (this.#abx.size > 0) await this.#ports.read();
    const handed = [...this.#abx.values()].flatMap((abx) => handedOf(abx, (match) => this.#takenBy(match)));
    const wanted = new Map(handed.map((match) => [matchText(match), match]));
    for (const [key, match] of [...this.#registered]) {
      if (wanted.has(key)) continue;
      await this.#relay.release(match);
      this.#registered.delete(key);
    }
    for (const [key, match] of wanted) {
      if (this.#registered.has(key)) continue;
      try {
        if (this.#ports.taker(match) === 'punt') throw new Error('VPP punts it to the host already');
        await this.#relay.register(match, HINT);
        this.#registered.set(key, match);
      } catch (error) {
        if (this.#at.client.error !== undefined || isProgrammingError(error)) throw error;
        whys.set(key, error instanceof LcpError ? `${messageOf(error)} (${error.hint})` : messageOf(error));
      }
    }
    this.#whys = whys;
  }

  /** What interfaces have to accept for what VPP hands over. */
  async #wanted(): Promise<{ accepting: Accepting[]; own: FromOwn[]; print: string }> {
    const accepting = new Map<string, Accepting>();
    const own = new Map<string, FromOwn>();
    const borrowing = new Set<string>();
    const { client, subifs } = this.#at;
    for (const abx of this.#abx.values()) {
      const [index, to] = [subifs.interface(abx.from)?.ifindex, subifs.interface(abx.to)?.ifindex];
      if (index === undefined || to === undefined) continue;
      const handed = handedOf(abx, (match) => this.#takenBy(match)).filter((match) =>
        this.#registered.has(matchText(match)),
      );
      for (const family of new Set(handed.map(familyOf))) {
        const each = { index, family, table: await readTable(client, index, family) };
        accepting.set(acceptingKey(each), each);
        if (family === 6 || !(await this.#borrows(index, to))) continue;
        borrowing.add(puntKey(abx));
        const sources = (await readAddresses(client, to)).filter((address) => !address.includes(':'));
        for (const source of sources.map((address) => address.slice(0, address.indexOf('/')))) {
          for (const group of abx.rules.flatMap(knownGroups)) {
            const entry = { table: each.table, source, group };
            const key = fromOwnKey(entry);
            own.set(key, { ...entry, inputs: new Set([...(own.get(key)?.inputs ?? []), index]) });
          }
        }
      }
    }
    const print = [...accepting.keys(), ...[...own].map(([key, { inputs }]) => `${key} ${[...inputs].sort().join()}`)];
    this.#borrowing = borrowing;
    return { accepting: [...accepting.values()], own: [...own.values()], print: print.sort().join('\n') };
  }

  async #borrows(sw_if_index: number, lender: number): Promise<boolean> {
    const rows = await this.#at.client.dump(ipUnnumberedDump, { sw_if_index });
    return rows.some((row) => row.sw_if_index === sw_if_index && row.ip_sw_if_index === lender);
  }

  /** Has VPP treat the protocols as it would without us: for an lcpd that ends, with or without what it has in VPP. */
  async leave(): Promise<void> {
    for (const match of this.#registered.values()) await this.#relay.release(match);
    this.#registered.clear();
  }

  rows(): CounterRow[] {
    return this.#path === '' ? [] : this.#relay.rows('abx-groups');
  }

  close(): void {
    this.#relay.close();
  }
}
