// Interconnects on the embedded plane: ports without a pair. Of link tap the wire is a TAP that is made in the CNF's
// namespace; of link phy a device of lcpd's own, opened as it is, with its own stack kept off. A pair may be made on
// a tap later (Pair.phyIfindex INTERCONNECT_PHY): that is its layer 3 side.
//
// The port carries the object as a note, by which the next lcpd knows it again. A TAP outlives the forwarder, marked
// by its alias; one without a port is told by held(), so that it is wanted and found again, or deleted.
// Where the wire changes, the port is made anew, and what was on it (its pair) has to be told again.
// One that borrows addresses is bound to the port of its lender as it is now; rebind() after ports have come or gone.

import type { HeldObject, LinkControl, OperationResult } from '../lcp/dataplane.ts';
import { type Interconnect, PLAIN_INTERCONNECT, wireText } from '../lcp/puntobjects.ts';
import { LcpError, messageOf } from '../lib/errors.ts';
import { ipBytes } from '../lib/ip.ts';
import { closeFd, errnoName } from '../lib/libc.ts';
import { cText, type Devices, isInterconnect, refused } from './devices.ts';
import {
  LENDER_ABSENT,
  NOTE_SIZE,
  native,
  PORT_GSO,
  PORT_HOSTLESS,
  PORT_INTERCONNECT,
  PORT_UP,
  PORT_WIRE_MEMIF,
  PORT_WIRE_TAP,
} from './native.ts';
import { encodeInterconnect, macBytes, NEW_MTU, type Port } from './port.ts';

const MARK = 'lcpd punt ';
/** Of hosts of pairs. */
const HOST_MARK = 'lcpd ';
const ENODEV = -19;
const ENXIO = -6;
const EEXIST = -17;

/** What the port remembers. ifindex: of the CNF's device in its namespace, or of the phy. */
interface Note {
  readonly interconnect: Interconnect;
  readonly ifindex: number;
}

/** A TAP with our mark that no port holds: as much of the object as it tells. */
const orphan = (name: string, netns: string, netnsId: string): Interconnect => ({
  kind: 'interconnect',
  name,
  link: 'tap',
  ...PLAIN_INTERCONNECT,
  netns,
  netnsId,
});

const isMac = (mac: string): boolean => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) && !/^.[13579bdf]/.test(mac);

/** What forbids it, undefined when nothing does. */
const objection = (i: Interconnect): string | undefined => {
  if (i.link === 'memif' && !/^\/[^\0]{1,106}$/.test(i.socket)) return `a socket at '${i.socket}'`;
  if (i.link === 'memif' && !/^[^\0]{0,24}$/.test(i.secret)) return 'its secret has more than 24 bytes';
  if (!/^[^/\s:%]{1,15}$/.test(i.name)) return 'no device can have this name';
  if (i.lender === i.name) return 'it borrows of itself';
  if (i.link === 'phy') return i.phyIfindex > 0 ? undefined : 'it names no device';
  if (!isMac(i.mac) || !isMac(i.peerMac)) return `MAC addresses ${i.mac} and ${i.peerMac}`;
  return i.mtu === 0 || (i.mtu >= 68 && i.mtu <= 65521) ? undefined : `an MTU of ${i.mtu}`;
};

/** Is an address on the subnet of 'address/length', and another? */
const isNeighbour = (own: string, address: Uint8Array): boolean => {
  const [text = '', length] = own.split('/');
  const [mine, bits] = [ipBytes(text), Number(length)];
  if (mine.length !== address.length || mine.every((byte, i) => byte === address[i])) return false;
  return mine.every((byte, i) => {
    const mask = 0xff00 >> Math.min(8, Math.max(0, bits - 8 * i));
    return ((byte ^ (address[i] as number)) & mask & 0xff) === 0;
  });
};

export class Interconnects {
  readonly #forwarder: { readonly handle: bigint };
  readonly #links: LinkControl;
  readonly #devices: Devices;

  constructor(forwarder: { readonly handle: bigint }, links: LinkControl, devices: Devices) {
    this.#forwarder = forwarder;
    this.#links = links;
    this.#devices = devices;
  }

  #note(port: Port): Note | undefined {
    const bytes = new Uint8Array(NOTE_SIZE);
    const length = native().portNote(this.#forwarder.handle, port.id, bytes, NOTE_SIZE) as number;
    try {
      return JSON.parse(new TextDecoder().decode(bytes.subarray(0, Math.max(0, length)))) as Note;
    } catch {
      return undefined; // its writer died before it had one
    }
  }

  #setNote(port: number, note: Note): number {
    const bytes = new TextEncoder().encode(JSON.stringify(note));
    return native().portNoteSet(this.#forwarder.handle, port, bytes, bytes.length) as number;
  }

  /** Binds a port to the port of its lender as it is now, if it is bound otherwise. Throws LcpError PORT_REFUSED. */
  #bind({ id, phy, lender: bound }: Port, lender: string): void {
    const wanted = lender === '' ? 0 : (this.#devices.port(lender)?.id ?? LENDER_ABSENT);
    if (bound === wanted) return;
    const errno = native().portLender(this.#forwarder.handle, id, wanted) as number;
    this.#devices.refresh();
    if (errno < 0)
      throw new LcpError('PORT_REFUSED', {
        op: 'lend',
        key: phy,
        message: `layer 3 of ${lender}: ${errnoName(errno)}`,
      });
  }

  /** Ports have come or gone: who borrows of one that was made anew borrows of the new one. Throws LcpError PORT_REFUSED. */
  rebind(): void {
    for (const port of this.#devices.all())
      if (isInterconnect(port)) this.#bind(port, this.#note(port)?.interconnect.lender ?? '');
  }

  /** The interconnect of a name as its port states it. */
  get(name: string): Interconnect | undefined {
    const port = this.#devices.port(name);
    return port === undefined || !isInterconnect(port) ? undefined : this.#note(port)?.interconnect;
  }

  /** The one on whose subnet an address is, which is not its own. */
  behind(address: string): Interconnect | undefined {
    const bytes = ipBytes(address);
    for (const port of this.#devices.all()) {
      if (!isInterconnect(port)) continue;
      const interconnect = this.#note(port)?.interconnect;
      if (interconnect?.addresses.some((own) => isNeighbour(own, bytes)) === true) return interconnect;
    }
    return undefined;
  }

  #marked(name: string, netns: string) {
    for (const link of this.#links.marked(`${MARK}${name}`))
      if (link.netns === netns && link.alias === `${MARK}${name}`) return link;
    return undefined;
  }

  /** Those with a port, and TAPs that were left without one. */
  held(): HeldObject[] {
    const held: HeldObject[] = [];
    const names = new Set<string>();
    for (const port of this.#devices.all()) {
      if (!isInterconnect(port)) continue;
      const note = this.#note(port);
      names.add(`${note?.interconnect.netns} ${port.phy}`);
      held.push({ object: note?.interconnect ?? orphan(port.phy, '', ''), handle: note?.ifindex ?? 0 });
    }
    for (const { alias, netns, netnsId, ifindex } of this.#links.marked(MARK)) {
      const name = alias.slice(MARK.length);
      if (!names.has(`${netns} ${name}`)) held.push({ object: orphan(name, netns, netnsId), handle: ifindex });
    }
    return [...held, ...this.#mute()];
  }

  /** Phys whose own stack is kept off for nobody: our forwarder has ended. One with a host is its pair's. */
  *#mute(): Iterable<HeldObject> {
    for (const { ifindex, name } of this.#links.all('')) {
      if (this.#usesPhy(ifindex) || this.#hasHost(name) || !this.#devices.guards.isLeft(ifindex)) continue;
      yield { object: { ...orphan(name, '', ''), link: 'phy', phyIfindex: ifindex }, handle: ifindex };
    }
  }

  #hasHost(phy: string): boolean {
    for (const { alias } of this.#links.marked(`${HOST_MARK}${phy}`)) if (alias === `${HOST_MARK}${phy}`) return true;
    return false;
  }

  #usesPhy(ifindex: number): boolean {
    return [...this.#devices.all()].some((port) => port.phyIfindex === ifindex);
  }

  set(i: Interconnect): OperationResult {
    const wrong = objection(i);
    if (wrong !== undefined) return { ok: false, code: 'PORT_REFUSED', message: `interconnect ${i.name}: ${wrong}` };
    const before = this.#devices.port(i.name);
    if (before !== undefined && !isInterconnect(before))
      return { ok: false, code: 'PORT_REFUSED', message: `${i.name} is a pair or a sub-interface` };
    const known = before === undefined ? undefined : this.#note(before);
    if (before !== undefined && known !== undefined && wireText(known.interconnect) === wireText(i))
      return this.#noted(before.id, { interconnect: i, ifindex: known.ifindex });
    if (before !== undefined) {
      const elsewhere = known?.interconnect ?? orphan(i.name, i.netns, i.netnsId);
      const stays = elsewhere.link === 'tap' && i.link === 'tap' && elsewhere.netnsId === i.netnsId;
      const gone = this.#end(before, elsewhere, stays);
      if (!gone.ok) return gone;
    }
    if (i.link === 'memif') return this.#add(i, PORT_WIRE_MEMIF, 0, i.mac, i.mtu || NEW_MTU, -1, 0);
    return i.link === 'tap' ? this.#openTap(i) : this.#openPhy(i);
  }

  #noted(port: number, note: Note): OperationResult {
    const errno = this.#setNote(port, note);
    if (errno < 0)
      return refused('PORT_REFUSED', errno, `interconnect ${note.interconnect.name}: too much to remember`);
    return { ok: true, handle: note.ifindex };
  }

  #openTap(i: Interconnect): OperationResult {
    const n = native();
    const ifindex = new Int32Array(1);
    const open = (fd: number): number =>
      n.wireOpen(fd, i.name, `${MARK}${i.name}`, macBytes(i.peerMac), i.mtu, i.gso ? 1 : 0, ifindex) as number;
    let tap: number;
    try {
      tap = this.#devices.inNamespace(i.netns, open);
    } catch (error) {
      return { ok: false, code: 'NETNS_GONE', message: `network namespace ${i.netns}: ${messageOf(error)}` };
    }
    if (tap === EEXIST) return refused('HOST_DEVICE', tap, `${i.name} is another device's name`);
    if (tap < 0) return refused('HOST_DEVICE', tap, `tap ${i.name} cannot be made`);
    try {
      const flags = PORT_WIRE_TAP | (i.gso ? PORT_GSO : 0);
      return this.#add(i, flags, 0, i.mac, i.mtu || NEW_MTU, tap, ifindex[0] as number);
    } finally {
      closeFd(tap);
    }
  }

  #openPhy(i: Interconnect): OperationResult {
    const phy = this.#links.get('', i.phyIfindex);
    if (phy === undefined) return refused('PHY_GONE', ENODEV, `phy ${i.name}`);
    for (const port of this.#devices.all())
      if (port.phyIfindex === i.phyIfindex && port.parent === 0)
        return { ok: false, code: 'PORT_REFUSED', message: `${i.name} is the phy of ${port.phy}` };
    const guarded = this.#devices.guards.put(i.phyIfindex, i.name);
    if (!guarded.ok) return guarded;
    return this.#add(i, 0, i.phyIfindex, phy.mac, i.mtu || phy.mtu, -1, i.phyIfindex);
  }

  #add(i: Interconnect, flags: number, phy: number, mac: string, mtu: number, tap: number, ifindex: number) {
    const reason = new Uint8Array(256);
    const bytes = encodeInterconnect(i.name, flags | PORT_INTERCONNECT | PORT_HOSTLESS | PORT_UP, phy, mac, mtu);
    const { handle } = this.#forwarder;
    const id = (
      i.link === 'memif'
        ? native().memifAdd(handle, bytes, i.socket, i.secret, reason)
        : native().portAdd(handle, bytes, tap, reason)
    ) as number;
    const answer =
      id < 0
        ? refused('PORT_REFUSED', id, cText(reason) || `port of ${i.name}`)
        : this.#noted(id, { interconnect: i, ifindex });
    if (id >= 0 && !answer.ok) native().portDel(this.#forwarder.handle, id);
    this.#devices.refresh();
    return answer;
  }

  /** Ends a port; keepTap: its device is about to be found again. */
  #end(port: Port, i: Interconnect, keepTap: boolean): OperationResult {
    const gone = native().portDel(this.#forwarder.handle, port.id) as number;
    this.#devices.refresh();
    if (gone < 0) return refused('PORT_REFUSED', gone, `port of ${port.phy} cannot be removed`);
    if (i.link === 'phy') return this.#devices.guards.remove(i.phyIfindex, i.name);
    return i.link !== 'tap' || keepTap ? { ok: true } : this.#removeTap(i, i.name);
  }

  /** name: as it is now. */
  #removeTap(i: Interconnect, name: string): OperationResult {
    const now = this.#marked(i.name, i.netns)?.name ?? name;
    let errno = 0;
    try {
      errno = this.#devices.inNamespace(i.netns, (fd) => native().tapDelete(fd, now, 0) as number);
    } catch (error) {
      // a namespace that has gone took the device along
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (errno < 0 && errno !== ENODEV && errno !== ENXIO)
      return refused('HOST_DEVICE', errno, `tap ${now} cannot be removed`);
    return { ok: true };
  }

  delete(i: Interconnect): OperationResult {
    const port = this.#devices.port(i.name);
    if (port !== undefined && isInterconnect(port)) return this.#end(port, this.#note(port)?.interconnect ?? i, false);
    if (i.link === 'phy' && i.phyIfindex > 0 && !this.#usesPhy(i.phyIfindex))
      return this.#devices.guards.remove(i.phyIfindex, i.name);
    const left = i.link === 'tap' ? this.#marked(i.name, i.netns) : undefined;
    return left === undefined ? { ok: true } : this.#removeTap(i, left.name);
  }
}
