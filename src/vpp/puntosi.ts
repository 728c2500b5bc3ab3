// PuntOsi: frames of OSI protocols between a phy and CNFs, which VPP hands on between phys and hosts of pairs only.
//
// Invariants: what comes in by an interface is read where the kernel has it, at the host of its pair or, from a CNF, at the CNF's end of a
// TAP, and leaves by VPP's punt socket, a copy for each that asked. Nothing of it is in VPP but that the protocol crosses pairs,
// which VPP cannot take back, so that it is held by this process and made again by the next. A device that is not there, or ends, is a
// note of the punt and looked for each time VPP's interfaces are read. Decision 32 has the way of a frame.

import type { CounterRow } from '../lcp/dataplane.ts';
import { type Osi, puntKey } from '../lcp/puntobjects.ts';
import { isProgrammingError, messageOf } from '../lib/errors.ts';
import { type PacketSeen, PacketSocket } from '../lib/packetsocket.ts';
import { unixAddress } from '../lib/unixdatagram.ts';
import { lcpItfHostType, lcpOsiProtoEnable, lcpOsiProtoGet } from './api/lcp.ts';
import { cliInband } from './api/vpe.ts';
import { osiFilter, readOsiFrame } from './osiframe.ts';
import { passThrough } from './passthrough.ts';
import { type OutletFate, PuntOutlet } from './puntoutlet.ts';
import { conflict, type PuntContext, type PuntPart, unable } from './puntparts.ts';
import { NO_SOCKET_HINT, type PuntSockets } from './puntsockets.ts';
import { RateLimit } from './ratelimit.ts';

/** Frames a second: floods of IS-IS on some hundred interfaces. */
const RATE = 4000;
const RECEIVE_BUFFER = 2 ** 20;
const { LCP_API_ITF_HOST_TUN: TUN } = lcpItfHostType.values;

/** A device of the kernel at which frames of an interface can be read. */
interface Place {
  /** Path of the namespace. */
  readonly path: string;
  readonly device: string | number;
  readonly way: 'sent' | 'received';
}

interface Reader {
  readonly socket: PacketSocket;
  /** By the tags of a frame; '' is for all that no others take. */
  byTags: Map<string, Osi[]>;
}

type Fate = OutletFate | 'nobody' | 'no-interface' | 'over-limit' | 'malformed';

function reasonOf(error: unknown): string {
  if (isProgrammingError(error)) throw error;
  return messageOf(error);
}

export interface OsiPlaces {
  /** Namespace of the device that a CNF has of an interconnect; undefined where it has none. */
  tapNetns(name: string): string | undefined;
  /** Path of a namespace. */
  netnsPath(netns: string): string;
}

export class PuntOsi implements PuntPart<'osi'> {
  readonly feature = 'osi';
  readonly #at: PuntContext;
  readonly #sockets: PuntSockets;
  readonly #places: OsiPlaces;
  readonly #limit = new RateLimit(RATE);
  readonly #punts = new Map<string, Osi>();
  /** By place. */
  readonly #readers = new Map<string, Reader>();
  /** Why nothing is read for a punt, by key. */
  #whys: ReadonlyMap<string, string> = new Map();
  #outlet: PuntOutlet | undefined;
  #told = '';
  readonly #counts: Record<Fate, number> = {
    ...{ sent: 0, 'too-long': 0, 'send-failed': 0, nobody: 0 },
    ...{ 'no-interface': 0, 'over-limit': 0, malformed: 0 },
  };
  /** Packets and bytes by key of the punt. */
  readonly handed = new Map<string, { packets: number; bytes: number }>();

  constructor(at: PuntContext, sockets: PuntSockets, places: OsiPlaces) {
    this.#at = at;
    this.#sockets = sockets;
    this.#places = places;
  }

  /** Why this VPP has none of it, undefined where it has. */
  async open(): Promise<string | undefined> {
    const lacking = this.#at.lacks('linux_cp', lcpOsiProtoEnable, lcpOsiProtoGet);
    if (lacking !== undefined) return lacking;
    const { reply } = await this.#at.client.request(cliInband, { cmd: 'show plugins' });
    if (!/\bosi_plugin\.so\b/.test(reply))
      return 'lcp_osi_proto_enable needs the plugin osi: enable osi_plugin.so and ppp_plugin.so in startup.conf';
    const address = this.#sockets.server === '' ? undefined : unixAddress(this.#sockets.server);
    if (address === undefined) return `VPP has no punt socket: ${NO_SOCKET_HINT}`;
    this.#outlet = new PuntOutlet(address, this.#sockets.dataSize, () => this.#counts['send-failed']++);
    return undefined;
  }

  async set(punt: Osi): Promise<void> {
    this.#at.interface(punt.from);
    this.#at.interface(punt.to);
    if (punt.from === punt.to) throw conflict(punt, 'frames do not leave by where they came', 'name two interfaces');
    const gaps = await passThrough(this.#at.client, { ethertypes: [], osi: [punt.protocol] });
    const why = gaps.get(`osi 0x${punt.protocol.toString(16).padStart(2, '0')}`);
    if (why !== undefined) throw unable(punt, why);
    this.#at.memory.keep(punt);
    this.#punts.set(puntKey(punt), punt);
    this.#settle();
  }

  async delete(punt: Osi): Promise<void> {
    this.#punts.delete(puntKey(punt));
    this.handed.delete(puntKey(punt));
    this.#at.memory.drop(punt);
    this.#settle();
  }

  async held(): Promise<Osi[]> {
    return [...this.#punts.values()];
  }

  async gone(index: number): Promise<void> {
    const name = this.#at.name(index);
    for (const [key, { from, to }] of [...this.#punts]) if (from === name || to === name) this.#punts.delete(key);
    this.#settle();
  }

  /** VPP's interfaces were read: places may be others. Whether notes are. */
  looked(): boolean {
    this.#settle();
    const told = JSON.stringify([...this.#punts.values()].map((punt) => this.notes(punt)));
    const isNews = told !== this.#told;
    this.#told = told;
    return isNews;
  }

  /** What does not reach the other side. */
  notes(punt: Osi): string[] {
    if (!this.#punts.has(puntKey(punt))) return [];
    const why = this.#whys.get(puntKey(punt));
    const notes = why === undefined ? [] : [`nothing of ${punt.from} is read: ${why}`];
    const mtu = this.#at.subifs.interface(punt.from)?.mtu ?? 0;
    const most = this.#sockets.dataSize;
    if (mtu > most) {
      const advice = 'set buffers { default data-size } in startup.conf, or its MTU';
      notes.push(
        `frames of more than ${most} bytes do not fit into a buffer of VPP, and ${punt.from} has an MTU of ${mtu}: ${advice}`,
      );
    }
    return notes;
  }

  /** Where what comes in by an interface is read, or why it is nowhere. */
  #place(name: string): Place | string {
    const of = this.#at.interface(name);
    const device = this.#at.interfaces.get(of.parent) ?? of;
    const row = this.#at.pairs.row(device.ifindex);
    const host = row === undefined ? undefined : this.#at.pairs.host(device.name);
    if (row?.host_if_type === TUN) return `the host of ${device.name} is a TUN`;
    if (host !== undefined) return { path: this.#places.netnsPath(host.netns), device: host.ifindex, way: 'received' };
    const netns = this.#places.tapNetns(device.name);
    if (netns !== undefined) return { path: this.#places.netnsPath(netns), device: device.name, way: 'sent' };
    return `${device.name} is in no pair`;
  }

  /** Opens and closes what is read, as the punts are. */
  #settle(): void {
    const whys = new Map<string, string>();
    const wanted = new Map<string, { readonly place: Place; readonly byTags: Map<string, Osi[]> }>();
    for (const [key, punt] of this.#punts) {
      try {
        const place = this.#place(punt.from);
        if (typeof place === 'string') {
          whys.set(key, place);
          continue;
        }
        const at = `${place.path} ${place.device} ${place.way}`;
        const { byTags } = wanted.get(at) ?? { byTags: new Map<string, Osi[]>() };
        const tags = this.#at.interface(punt.from).tags.join();
        byTags.set(tags, [...(byTags.get(tags) ?? []), punt]);
        wanted.set(at, { place, byTags });
      } catch (error) {
        whys.set(key, reasonOf(error));
      }
    }
    for (const [at, reader] of [...this.#readers]) if (!wanted.has(at)) this.#close(at, reader);
    for (const [at, { place, byTags }] of wanted) {
      const reader = this.#readers.get(at);
      if (reader !== undefined) {
        reader.byTags = byTags;
        continue;
      }
      try {
        this.#read(at, place, byTags);
      } catch (error) {
        for (const punt of [...byTags.values()].flat()) whys.set(puntKey(punt), reasonOf(error));
      }
    }
    this.#whys = whys;
  }

  #read(at: string, { path, device, way }: Place, byTags: Map<string, Osi[]>): void {
    const socket = new PacketSocket(path, device, { filter: osiFilter(way), receiveBuffer: RECEIVE_BUFFER });
    const reader: Reader = { socket, byTags };
    this.#readers.set(at, reader);
    // a device that went down or away is looked for again by and by
    socket.start(
      (packet) => this.#handOn(reader, packet),
      () => this.#readers.delete(at),
    );
  }

  #close(at: string, { socket }: Reader): void {
    socket.close();
    this.#readers.delete(at);
  }

  #handOn({ byTags }: Reader, { bytes }: PacketSeen): void {
    const frame = readOsiFrame(bytes);
    if (frame === undefined) {
      this.#counts.malformed++;
      return;
    }
    const meant = (byTags.get(frame.tags.join()) ?? byTags.get('') ?? []).filter(
      ({ protocol }) => protocol === frame.protocol,
    );
    if (meant.length === 0) this.#counts.nobody++;
    for (const punt of meant) this.#counts[this.#send(punt, bytes)]++;
  }

  #send(punt: Osi, bytes: Uint8Array): Fate {
    if (!this.#limit.take()) return 'over-limit';
    const to = this.#at.subifs.interface(punt.to)?.ifindex;
    if (to === undefined || this.#outlet === undefined) return 'no-interface';
    const fate = this.#outlet.send(to, bytes);
    if (fate !== 'sent') return fate;
    const key = puntKey(punt);
    const handed = this.handed.get(key) ?? { packets: 0, bytes: 0 };
    this.handed.set(key, { packets: handed.packets + 1, bytes: handed.bytes + bytes.length });
    return fate;
  }

  rows(): CounterRow[] {
    if (this.#outlet === undefined) return [];
    return Object.entries(this.#counts).map(([what, value]) => ({ phy: '', name: `osi/${what}`, value }));
  }

  close(): void {
    // who looks once more finds nothing to read
    this.#punts.clear();
    for (const [at, reader] of [...this.#readers]) this.#close(at, reader);
    this.#outlet?.close();
    this.#outlet = undefined;
  }
}
