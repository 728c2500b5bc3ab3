// Pairs on the embedded plane: the TAP or TUN, the phy's guard, the port that joins them, and what
// follows what (host: admin state, MTU, MAC of the phy; phy: carrier of the host). And their tagged
// sub-interfaces, which are ports without a device: they end with the port of their pair. A pair may be
// made on an interconnect (interconnects.ts), which keeps its port and only gets a host.
//
// The host is persistent and recognised by name in its namespace, so it keeps its addresses and the
// sessions on it through every end of lcpd, of the forwarder and of the phy. It takes MAC, MTU and
// admin state of the phy only when it is new; from then on the host is the authority.

import { closeSync, openSync } from 'node:fs';
import type { HeldObject, LinkChange, LinkControl, LinkFacts, OperationResult } from '../lcp/dataplane.ts';
import type { Link, Pair, Subif } from '../lcp/objects.ts';
import { INTERCONNECT_PHY } from '../lcp/puntobjects.ts';
import { closeFd, errnoName } from '../lib/libc.ts';
import type { Guards } from './guards.ts';
import { native, PORT_HOSTLESS, PORT_INTERCONNECT, PORT_WIRE_MEMIF, PORT_WIRE_TAP, SIZE } from './native.ts';
import { decodePorts, encodeLink, encodePair, encodeSubif, type Lookups, type Port } from './port.ts';

const MAX_PORTS = 256;
const ENODEV = -19;
const ENXIO = -6;
const ENOENT = -2;

/** Is it there for punts, whatever else it has become? */
export const isInterconnect = (port: Port): boolean => (port.flags & PORT_INTERCONNECT) !== 0;
const isHostless = (port: Port): boolean => (port.flags & PORT_HOSTLESS) !== 0;

export const refused = (code: string, errno: number, what: string, hint = ''): OperationResult => ({
  ok: false,
  code,
  message: `${what}: ${errnoName(errno)}`,
  hint,
});
export const cText = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end));
};

/** An interconnect's wire as the phy of a pair that is made on it. */
const wireOf = (port: Port): LinkFacts => ({
  name: port.phy,
  up: true,
  carrier: true,
  mtu: port.mtu,
  mac: port.mac,
  promisc: true,
});

export class Devices {
  readonly #forwarder: { readonly handle: bigint };
  readonly #links: LinkControl;
  readonly guards: Guards;
  #ports = new Map<string, Port>();
  #byId: (Port | undefined)[] = [];

  constructor(forwarder: { readonly handle: bigint }, links: LinkControl, guards: Guards) {
    this.#forwarder = forwarder;
    this.#links = links;
    this.guards = guards;
    this.refresh();
  }

  /** Reads the ports from the shared memory: the only cache, rebuilt at attach and after each change. */
  refresh(): void {
    const bytes = new Uint8Array(MAX_PORTS * SIZE.port);
    const count = native().ports(this.#forwarder.handle, bytes, MAX_PORTS) as number;
    const ports = decodePorts(bytes, Math.max(0, count));
    this.#ports = new Map(ports.map((p) => [p.phy, p]));
    this.#byId = [];
    for (const p of ports) this.#byId[p.id] = p;
  }

  port(phy: string): Port | undefined {
    return this.#ports.get(phy);
  }
  byId(id: number): Port | undefined {
    return this.#byId[id];
  }
  all(): Iterable<Port> {
    return this.#ports.values();
  }

  /** The pairs as the ports state them. */
  heldPairs(): HeldObject[] {
    const pairs = [...this.#ports.values()].filter((p) => p.parent === 0 && !isHostless(p));
    return pairs.map((p) => ({
      object: {
        kind: 'pair',
        phy: p.phy,
        phyIfindex: isInterconnect(p) ? INTERCONNECT_PHY : p.phyIfindex,
        host: p.configuredHost,
        netns: p.netns,
        netnsId: p.netnsId,
        type: p.type,
      },
      handle: p.hostIfindex,
    }));
  }

  /** The sub-interfaces as the ports state them. */
  heldSubifs(): HeldObject[] {
    const subifs = [...this.#ports.values()].filter((p) => p.parent !== 0);
    return subifs.map(({ phy, parent, tags, netns }) => ({
      object: { kind: 'subif', phy, parent: this.#byId[parent]?.phy ?? '', tags, netns },
    }));
  }

  setSubif(subif: Subif): OperationResult {
    const before = this.#ports.get(subif.phy);
    const parent = this.#ports.get(subif.parent);
    if (parent === undefined || parent.parent !== 0 || isHostless(parent)) {
      return { ok: false, code: 'PORT_REFUSED', message: `${subif.parent} has no port` };
    }
    if (before !== undefined) {
      const same = before.parent === parent.id && before.netns === subif.netns;
      if (same && before.tags.join() === subif.tags.join()) return { ok: true };
      if (before.parent === 0) return { ok: false, code: 'PORT_REFUSED', message: `${subif.phy} is a pair` };
      const gone = this.deleteSubif(subif);
      if (!gone.ok) return gone;
    }
    const reason = new Uint8Array(256);
    const id = native().portAdd(this.#forwarder.handle, encodeSubif(subif, parent.id), -1, reason) as number;
    this.refresh();
    if (id < 0) return refused('PORT_REFUSED', id, cText(reason) || `sub-interface ${subif.phy}`);
    return { ok: true };
  }

  deleteSubif(subif: Subif): OperationResult {
    const port = this.#ports.get(subif.phy);
    if (port === undefined || port.parent === 0) return { ok: true };
    const gone = native().portDel(this.#forwarder.handle, port.id) as number;
    this.refresh();
    return gone < 0 && gone !== ENOENT ? refused('PORT_REFUSED', gone, `${subif.phy} cannot be removed`) : { ok: true };
  }

  #namespaceFd(netns: string): number {
    return netns === '' ? -1 : openSync(this.#links.netnsPath(netns), 'r');
  }

  inNamespace<T>(netns: string, use: (fd: number) => T): T {
    const fd = this.#namespaceFd(netns);
    try {
      return use(fd);
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }

  /** Ends the port of a pair, or takes the host away from an interconnect that was made one. */
  #unpair(port: Port): OperationResult {
    const n = native();
    const errno = isInterconnect(port)
      ? (n.portHost(this.#forwarder.handle, port.id, null, -1, null) as number)
      : (n.portDel(this.#forwarder.handle, port.id) as number);
    this.refresh();
    if (errno < 0 && errno !== ENOENT) return refused('PORT_REFUSED', errno, `port of ${port.phy} cannot be removed`);
    return { ok: true };
  }

  /** Lets a phy be its own kernel's again, unless a port has it; 0: there is none, or one that is gone. */
  #unguard(phyIfindex: number, phy: string): OperationResult {
    const isUsed = [...this.#ports.values()].some((port) => port.parent === 0 && port.phyIfindex === phyIfindex);
    if (phyIfindex === 0 || phyIfindex === INTERCONNECT_PHY || isUsed) return { ok: true };
    return this.guards.remove(phyIfindex, phy);
  }

  /** Makes, changes or detaches (phyIfindex 0) a pair. */
  async setPair(pair: Pair, held: number): Promise<OperationResult> {
    const before = this.#ports.get(pair.phy);
    const on = before !== undefined && isInterconnect(before) ? before : undefined;
    if (before !== undefined && (on === undefined || !isHostless(on))) {
      const gone = this.#unpair(before);
      if (!gone.ok) return gone;
    }
    if (pair.phyIfindex === 0) {
      // a phy that has another name now is no longer the pair's
      const free = this.#unguard(before?.phyIfindex ?? 0, pair.phy);
      return free.ok ? { ok: true, handle: held } : free;
    }
    if (on !== undefined && ((on.flags & (PORT_WIRE_TAP | PORT_WIRE_MEMIF)) === 0 || pair.type !== 'tap'))
      return {
        ok: false,
        code: 'PORT_REFUSED',
        message: `${pair.phy} is an interconnect that cannot have such a host`,
      };
    const phy = on === undefined ? this.#links.get('', pair.phyIfindex) : wireOf(on);
    if (phy === undefined) return refused('PHY_GONE', ENODEV, `phy ${pair.phy}`);
    const guarded: OperationResult = on === undefined ? this.guards.put(pair.phyIfindex, pair.phy) : { ok: true };
    return guarded.ok ? this.#openHost(pair, phy, on) : guarded;
  }

  /** The host of a pair, found or made, and the port that joins it with phy; on: the interconnect that gets it. */
  async #openHost(pair: Pair, phy: LinkFacts, on: Port | undefined): Promise<OperationResult> {
    const n = native();
    const ifindex = new Int32Array(1);
    // one that is there, of a forwarder that died, may have been renamed
    const host = this.#links.nameOf(pair.netns, `lcpd ${pair.phy}`) ?? pair.host;
    let tap: number;
    try {
      tap = this.inNamespace(pair.netns, (fd) => n.tapOpen(fd, host, pair.type === 'tun' ? 1 : 0, ifindex));
    } catch (error) {
      return { ok: false, code: 'NETNS_GONE', message: `network namespace ${pair.netns}: ${(error as Error).message}` };
    }
    if (tap < 0) return refused('HOST_DEVICE', tap, `${pair.type} ${pair.host} cannot be made`);
    const hostIfindex = ifindex[0] as number;
    try {
      if (this.#links.get(pair.netns, hostIfindex) === undefined) await this.#adorn(pair, hostIfindex, phy);
      const reason = new Uint8Array(256);
      const bytes = encodePair(pair, hostIfindex, phy.mac, phy.mtu);
      const id = (
        on === undefined
          ? n.portAdd(this.#forwarder.handle, bytes, tap, reason)
          : n.portHost(this.#forwarder.handle, on.id, bytes, tap, reason)
      ) as number;
      if (id < 0) return refused('PORT_REFUSED', id, cText(reason) || `port of ${pair.phy}`);
    } finally {
      closeFd(tap);
      this.refresh();
    }
    return { ok: true, handle: hostIfindex };
  }

  /** A new host looks like its phy and says whose it is. */
  async #adorn(pair: Pair, hostIfindex: number, phy: LinkFacts): Promise<void> {
    const change: LinkChange = { alias: `lcpd ${pair.phy}`, mtu: phy.mtu, up: phy.up, promisc: true };
    if (pair.type === 'tap' && phy.mac !== '') change.mac = phy.mac;
    await this.#links.set(pair.netns, hostIfindex, change);
  }

  /** Ends a pair for good: port, host device and guard. */
  deletePair(pair: Pair, held: number): OperationResult {
    const n = native();
    const port = this.#ports.get(pair.phy);
    const host = this.#links.get(pair.netns, port?.hostIfindex ?? held)?.name ?? pair.host;
    if (port !== undefined) {
      const gone = this.#unpair(port);
      if (!gone.ok) return gone;
    }
    if (held !== 0 || port !== undefined) {
      let deleted = 0;
      try {
        deleted = this.inNamespace(pair.netns, (fd) => n.tapDelete(fd, host, pair.type === 'tun' ? 1 : 0));
      } catch (error) {
        // a namespace that has gone took the host along
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      if (deleted < 0 && deleted !== ENODEV && deleted !== ENXIO) {
        return refused('HOST_DEVICE', deleted, `${pair.type} ${host} cannot be removed`);
      }
    }
    // of a pair that a host alone is left of, the phy is known by its name
    for (const ifindex of new Set([pair.phyIfindex || this.#ifindexOf(pair.phy), port?.phyIfindex ?? 0])) {
      const free = this.#unguard(ifindex, pair.phy);
      if (!free.ok) return free;
    }
    return { ok: true };
  }

  /** Index of a device of lcpd's own namespace, 0: there is none of the name. */
  #ifindexOf(phy: string): number {
    for (const { name, ifindex } of this.#links.all('')) if (name === phy) return ifindex;
    return 0;
  }

  /** Makes phy and host agree, and tells the port. A sub-interface has no device of ours, so only the port is told. */
  async setLink(link: Link, lookups: Lookups): Promise<OperationResult> {
    const port = this.#ports.get(link.phy);
    if (port === undefined || (link.parent === '') !== (port.parent === 0) || isHostless(port)) {
      return { ok: false, code: 'PORT_REFUSED', message: `${link.phy} has no port` };
    }
    if (link.parent === '') await this.#agree(link);
    const errno = native().portSet(this.#forwarder.handle, port.id, encodeLink(link, port.type, lookups)) as number;
    this.refresh();
    return errno < 0 ? refused('PORT_REFUSED', errno, `attributes of ${link.phy}`) : { ok: true };
  }

  async #agree(link: Link): Promise<void> {
    const phy = this.#links.get('', link.phyIfindex);
    const host = this.#links.get(link.netns, link.hostIfindex);
    if (phy !== undefined) {
      const change: LinkChange = {};
      // MAC first: some drivers take it only while the device is down
      if (link.mac !== '' && phy.mac !== link.mac) change.mac = link.mac;
      if (phy.mtu !== link.phyMtu) change.mtu = link.phyMtu;
      if (phy.up !== link.up) change.up = link.up;
      if (Object.keys(change).length > 0) await this.#links.set('', link.phyIfindex, change);
    }
    if (host !== undefined) {
      const change: LinkChange = {};
      if (host.carrier !== link.carrier) change.carrier = link.carrier;
      if (!host.promisc) change.promisc = true;
      if (Object.keys(change).length > 0) await this.#links.set(link.netns, link.hostIfindex, change);
    }
  }
}
