// Interconnects: interfaces that VPP has for punts, whose peers are CNFs.
//
// Invariants: one of ours is known by its tag, its sort and its name, and compared with what is wanted field by field: what cannot be changed
// (link, MACs, namespace, socket, tables) makes another one, all else is put right on the one that there is. Names are
// VPP's for the interface too, which VPP lets two of have: one that somebody else has is refused. An interface goes after what
// is on it. Reference: VPP's src/plugins/tap, src/plugins/memif.

import { statSync } from 'node:fs';
import type { LinkControl } from '../lcp/dataplane.ts';
import type { Interconnect } from '../lcp/puntobjects.ts';
import { LcpError } from '../lib/errors.ts';
import { swInterfaceSetInterfaceName, swInterfaceTagAddDel } from './api/interface.ts';
import {
  memifCreateV2,
  memifDelete,
  memifDump,
  memifSocketFilenameAddDelV2,
  memifSocketFilenameDump,
} from './api/memif.ts';
import { swInterfaceTapV2Dump, tapCreateV3, tapDeleteV2 } from './api/tap.ts';
import type { Interface } from './interfaces.ts';
import { type Layer3, OWN_MTU, PuntLayer3 } from './puntlayer3.ts';
import { PuntMemifs } from './puntmemifs.ts';
import type { PuntContext } from './puntparts.ts';
import { digestOf, parseTag, tagOf } from './punttags.ts';
import { PuntTaps } from './punttaps.ts';

const MOST_NAME = 15;

/** An interface of ours, with what VPP tells of it. */
interface Found {
  readonly of: Interface;
  readonly object: Interconnect;
  readonly digest: string;
  readonly layer3: Layer3;
}

export class Interconnects {
  readonly #at: PuntContext;
  readonly #links: LinkControl;
  readonly #taps: PuntTaps;
  readonly #memifs: PuntMemifs;
  readonly #layer3: PuntLayer3;
  /** sw_if_indices of ours, also of those that VPP has just deleted. */
  readonly #own = new Set<number>();
  /** Of the taps that were read or made last, by name. */
  readonly #netns = new Map<string, string>();
  /** By name, what each was asked for as since the session began. */
  readonly #told = new Map<string, Interconnect>();

  constructor(at: PuntContext, links: LinkControl, pid: number) {
    this.#at = at;
    this.#links = links;
    this.#taps = new PuntTaps(at.client, pid);
    this.#memifs = new PuntMemifs(at.client);
    this.#layer3 = new PuntLayer3(at);
  }

  /** Why there are no interconnects of a link, undefined where there are. */
  unsupported(link: Interconnect['link']): string | undefined {
    const at = this.#at;
    if (link === 'tap') return at.lacks('tap_plugin', tapCreateV3, tapDeleteV2, swInterfaceTapV2Dump);
    if (link === 'phy') return 'interfaces of VPP need none: punts name them as they are';
    const sockets = [memifSocketFilenameAddDelV2, memifSocketFilenameDump];
    return at.lacks('memif_plugin', memifCreateV2, memifDelete, memifDump, ...sockets);
  }

  isOwn(index: number): boolean {
    return this.#own.has(index);
  }

  /** Names of ours that VPP has. */
  names(): Set<string> {
    return new Set([...this.#own].flatMap((index) => this.#at.interfaces.get(index)?.name ?? []));
  }

  /** Namespace of the device that a CNF has of a tap of ours, '' for lcpd's own; undefined where there is none. */
  tapNetns(name: string): string | undefined {
    return this.#netns.get(name);
  }

  /** An interface that is gone is nobody's. */
  forget(index: number): void {
    this.#own.delete(index);
  }

  /** With what VPP does not tell of one that it was asked for as it is: the tag says that it is the same. */
  #completed(object: Interconnect, tag: string): Interconnect {
    const told = this.#told.get(object.name);
    if (told === undefined || tag !== tagOf(told)) return object;
    const { secret, owner, peerMac } = told;
    const mtu = object.mtu === 0 && told.mtu === OWN_MTU ? OWN_MTU : object.mtu;
    return { ...object, secret, owner, mtu, ...(object.link === 'memif' && { peerMac }) };
  }

  /** Finds those of ours. */
  async read(): Promise<Found[]> {
    const taps = this.unsupported('tap') === undefined ? await this.#taps.read() : new Map<number, never>();
    const memifs = this.unsupported('memif') === undefined ? await this.#memifs.read() : new Map<number, never>();
    const found: Found[] = [];
    this.#own.clear();
    this.#netns.clear();
    for (const of of [...this.#at.interfaces.all()]) {
      const [tag, tap, memif] = [parseTag(of.tag), taps.get(of.ifindex), memifs.get(of.ifindex)];
      if (tag === undefined || of.parent !== of.ifindex || (tap === undefined && memif?.isSort !== true)) continue;
      this.#own.add(of.ifindex);
      const layer3 = await this.#layer3.read(of.ifindex);
      const link = tap !== undefined ? 'tap' : 'memif';
      const netns = tap?.netns ?? '';
      if (link === 'tap') this.#netns.set(of.name, netns);
      const netnsId = link === 'tap' ? this.#identity(netns) : '';
      const object: Interconnect = {
        kind: 'interconnect',
        name: of.name,
        link,
        netns,
        netnsId: digestOf({ link, secret: '', netnsId }) === tag.digest ? netnsId : '',
        phyIfindex: 0,
        mac: of.mac,
        peerMac: tap?.peerMac ?? '',
        mtu: of.mtu === OWN_MTU ? 0 : of.mtu,
        gso: tap?.gso ?? false,
        socket: memif?.socket ?? '',
        secret: '',
        addresses: layer3.addresses,
        lender: layer3.lender === undefined ? '' : (this.#at.name(layer3.lender) ?? ''),
        table: this.#at.tableNumber(4, layer3.tables[4]),
        dhcpClient: layer3.dhcpClient,
        owner: tag.owner,
      };
      found.push({ of, object: this.#completed(object, of.tag), digest: tag.digest, layer3 });
    }
    return found;
  }

  /** "dev:ino" of a namespace, '' when it is gone. */
  #identity(netns: string): string {
    try {
      const { dev, ino } = statSync(this.#links.netnsPath(netns));
      return `${dev}:${ino}`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return '';
    }
  }

  /** Whether one is wanted as it is, but for what can be changed. */
  #isSame({ object, digest, layer3 }: Found, wanted: Interconnect): boolean {
    const { link, netns, mac, peerMac, gso, socket } = wanted;
    const isLink = object.link === link && object.netns === netns && object.gso === gso && object.socket === socket;
    const isMac =
      (mac === '' || object.mac === mac) && (link === 'memif' || peerMac === '' || object.peerMac === peerMac);
    return isLink && isMac && digest === digestOf(wanted) && !this.#layer3.isElsewhere(wanted, layer3);
  }

  #check(wanted: Interconnect): void {
    const { name, link, socket, netns, netnsId } = wanted;
    const reason = this.unsupported(link);
    if (reason !== undefined)
      throw new LcpError('NOT_SUPPORTED', { op: 'make interconnect', key: name, message: reason });
    const refuse = (message: string): never => {
      throw new LcpError('REFUSED', { op: 'make interconnect', key: name, message, hint: 'correct the request' });
    };
    const length = Buffer.byteLength(name);
    if (length < 1 || length > MOST_NAME) refuse('a name has at most 15 bytes');
    if (link === 'memif' && !socket.startsWith('/')) refuse('a memif has a socket with an absolute path');
    if (link === 'tap' && this.#identity(netns) !== netnsId)
      throw new LcpError('NETNS_GONE', {
        op: 'make interconnect',
        key: name,
        message: `no namespace ${netns} of the kind`,
      });
    const there = this.#at.interfaces.byName(name);
    if (there !== undefined && !this.#own.has(there.ifindex)) {
      const hint = 'give the interconnect another name, or rename that interface in VPP';
      throw new LcpError('REFUSED', { op: 'make interconnect', key: name, message: `VPP has another ${name}`, hint });
    }
  }

  /** Makes one, or what is wrong about it right; `clear` takes off what is on one that has to go first. */
  async set(wanted: Interconnect, clear: (index: number) => Promise<void>): Promise<void> {
    const found = await this.read();
    this.#check(wanted);
    const there = found.find(({ object }) => object.name === wanted.name);
    if (there !== undefined && this.#isSame(there, wanted)) {
      await this.#layer3.set(wanted, there.of, false);
      const { ifindex: sw_if_index, tag } = there.of;
      if (tag !== tagOf(wanted))
        await this.#at.client.request(swInterfaceTagAddDel, { is_add: true, sw_if_index, tag: tagOf(wanted) });
      await this.#at.interfaces.refresh();
      this.#told.set(wanted.name, wanted);
      return;
    }
    if (there !== undefined) await this.#remove(there, clear);
    const { client, interfaces } = this.#at;
    const sw_if_index = wanted.link === 'tap' ? await this.#taps.make(wanted) : await this.#memifs.make(wanted);
    this.#own.add(sw_if_index);
    await client.request(swInterfaceSetInterfaceName, { sw_if_index, name: wanted.name }, { key: wanted.name });
    await interfaces.refresh();
    const made = interfaces.get(sw_if_index);
    if (made === undefined)
      throw new LcpError('REFUSED', { op: 'make interconnect', key: wanted.name, message: 'VPP does not show it' });
    await this.#layer3.set(wanted, made, true);
    await interfaces.refresh();
    this.#told.set(wanted.name, wanted);
    if (wanted.link === 'tap') this.#netns.set(wanted.name, wanted.netns);
  }

  async delete(wanted: Interconnect, clear: (index: number) => Promise<void>): Promise<void> {
    const found = await this.read();
    const there = found.find(({ object }) => object.name === wanted.name);
    if (there !== undefined) await this.#remove(there, clear);
  }

  async #remove({ of, object }: Found, clear: (index: number) => Promise<void>): Promise<void> {
    await clear(of.ifindex);
    await this.#layer3.clear(object.name, of.ifindex);
    if (object.link === 'tap') await this.#taps.delete(of.ifindex, object.name);
    else await this.#memifs.delete(of.ifindex, object.name);
    this.#own.delete(of.ifindex);
    this.#told.delete(object.name);
    this.#netns.delete(object.name);
    await this.#at.interfaces.refresh();
  }
}
