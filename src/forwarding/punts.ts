// The punts of the embedded plane: all that it holds is one program, handed to the library as a whole. Here is the map
// of what is in it, by key; a batch of operations is one new program, in which what is wrong is left out and refused.
//
// The map is read back at attach and is never the only copy. Ports are named by generation: when one is made anew
// (a pair that changes), rebind() writes the program for the new one; what has lost its port ends with it.

import type { HeldObject, LookupAnswer, Operation, OperationResult } from '../lcp/dataplane.ts';
import { type Interconnect, type Punt, type PuntMatch, puntKey } from '../lcp/puntobjects.ts';
import type { PuntInterface, PuntPlane, PuntReason, PuntStat } from '../lcp/puntplane.ts';
import { isProgrammingError, LcpError, messageOf } from '../lib/errors.ts';
import { errnoName } from '../lib/libc.ts';
import { type Devices, isInterconnect } from './devices.ts';
import type { Interconnects } from './interconnects.ts';
import { native, PORT_HOSTLESS, PORT_WIRE_MEMIF, SIZE } from './native.ts';
import { counterNames } from './observe.ts';
import { reasonNames } from './puntlayout.ts';
import { decodePunts } from './puntreader.ts';
import { encodePunt, type PuntNames, setSlot, slotOf } from './puntrecords.ts';

const MAX_RECORDS = 4096;
const ENOSPC = -28;

const UNSUPPORTED: ReadonlyMap<string, string> = new Map([
  ['link dhcp-client', 'the layer 3 side of an interconnect is a pair: run a DHCP client on its host'],
  ['socket tcp', 'a socket gets datagrams, and TCP is no protocol of those'],
  [
    'host unknown',
    'which ports nobody has only the kernel behind a pair knows, and it gets all packets that are for it',
  ],
  [
    'socket unknown',
    'which ports nobody has only the kernel behind a pair knows, and it gets all packets that are for it',
  ],
]);

const UDP = 17;
/** Requests and replies are its own before any punt by port, for who has a relay. */
const RELAY4: Readonly<Record<number, string>> = { 67: 'DHCP, which its relay has' };
const RELAY6: Readonly<Record<number, string>> = { 547: 'DHCPv6, which its relay has' };
/** A socket would take the packets of tunnels from the kernel that they end in; VPP refuses the same ports. */
const TUNNELS: Readonly<Record<number, string>> = {
  2152: 'GTP-U, whose tunnels end in the router',
  4789: 'VXLAN, whose tunnels end in the router',
  4790: 'VXLAN-GPE, whose tunnels end in the router',
  6081: 'GENEVE, whose tunnels end in the router',
};

/** A punt that is in the program, with its records. */
interface Held {
  readonly punt: Punt;
  readonly bytes: Uint8Array;
}

/** The attachment and what is known by it. */
export interface PuntsHere {
  readonly handle: bigint;
  readonly devices: Devices;
  readonly interconnects: Interconnects;
  readonly table: PuntNames['table'];
}

const isUnknownPort = (p: Punt): boolean =>
  (p.feature === 'host' || p.feature === 'socket') && p.match.by === 'port' && p.match.port === 65535;

/** Why the plane cannot do it, undefined when it can. */
const lacking = (p: Punt, unsupported: ReadonlyMap<string, string>): string | undefined =>
  (isUnknownPort(p) ? unsupported.get(`${p.feature} unknown`) : undefined) ?? unsupported.get(p.feature);

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Drops that no object of its own is to blame for. */
const WHOLE = ['drop-no-host', 'drop-no-lender', 'drop-policed', 'drop-punt-down', 'drop-punt-size'];

const answerOf = (errno: number, what: string): OperationResult => ({
  ok: false,
  code: errno === ENOSPC ? 'TABLES_FULL' : 'REFUSED',
  message: `${what}: ${errnoName(errno)}`,
});

export class EmbeddedPunts implements PuntPlane {
  readonly opensPhys = true;
  #unsupported = UNSUPPORTED;
  #serverSocket = '';
  readonly #here: () => PuntsHere | undefined;
  #held = new Map<string, Held>();

  constructor(here: () => PuntsHere | undefined) {
    this.#here = here;
  }

  get unsupported(): ReadonlyMap<string, string> {
    return this.#unsupported;
  }
  get serverSocket(): string {
    return this.#serverSocket;
  }

  /** What became of the punt socket at path; trouble: why there is none, '' when there is. */
  open(path: string, trouble: string): void {
    this.#serverSocket = trouble === '' ? path : '';
    const lacks: [string, string][] = trouble === '' ? [] : [['socket', `there is no punt socket: ${trouble}`]];
    this.#unsupported = new Map([...UNSUPPORTED, ...lacks]);
  }

  get reasons(): readonly PuntReason[] {
    const here = this.#here();
    return reasonNames().map((name, number) => {
      const packets = here === undefined ? -1 : Number(native().reasonPackets(here.handle, number));
      return packets < 0 ? { name, number } : { name, number, packets };
    });
  }

  /** It does all of what it does not refuse. */
  notes(_punt: Punt): readonly string[] {
    return [];
  }

  /** Its relay, and tunnels; what else is for the router itself is the pair's, and may be asked for. */
  takenBy(match: PuntMatch): string | undefined {
    if (match.by !== 'port' || match.protocol !== UDP) return undefined;
    return (match.family === 4 ? RELAY4 : RELAY6)[match.port] ?? TUNNELS[match.port];
  }
  /** Phys are the kernel's devices. */
  interface(_name: string): PuntInterface | undefined {
    return undefined;
  }
  /** Tables are the mirror's. */
  hasTable(_family: 4 | 6, _table: LookupAnswer['table']): boolean {
    return false;
  }
  /** The shared memory has them all. */
  forgets(_object: Interconnect | Punt): boolean {
    return false;
  }
  recall(_generation: string, _objects: readonly Punt[]): void {
    // dump() tells of all of them
  }

  /** Reads what the program has; nothing without an attachment. */
  attach(): void {
    this.#held = new Map();
    const here = this.#here();
    if (here === undefined) return;
    const bytes = new Uint8Array(MAX_RECORDS * SIZE.punt);
    const count = native().puntsDump(here.handle, bytes, MAX_RECORDS) as number;
    for (const held of decodePunts(bytes, count, (id) => here.devices.byId(id)?.phy ?? ''))
      this.#held.set(puntKey(held.punt), held);
  }

  /** What is in force: what a port that has ended took along is not. */
  held(): HeldObject[] {
    this.attach();
    return [...this.#held.values()].map(({ punt }) => ({ object: punt }));
  }

  #names({ devices, interconnects, table }: PuntsHere): PuntNames {
    return {
      table,
      behind: (address) => interconnects.behind(address),
      port: (name) => {
        const port = devices.port(name);
        if (port === undefined)
          throw new LcpError('PORT_REFUSED', { op: 'punt', key: name, message: `${name} has no port` });
        return port;
      },
      peer: (name) => {
        const port = devices.port(name);
        if (port === undefined || !isInterconnect(port) || (port.flags & PORT_HOSTLESS) === 0) return '';
        return interconnects.get(name)?.peerMac ?? '';
      },
    };
  }

  /** Its records now, with the counters that it has. */
  #encode(punt: Punt, names: PuntNames): Held {
    const bytes = encodePunt(punt, names);
    const before = this.#held.get(puntKey(punt));
    if (before !== undefined) setSlot(bytes, slotOf(before.bytes));
    return { punt, bytes };
  }

  /** Applies operations on punts as one new program; an answer for each. */
  apply(operations: readonly { readonly op: Operation['op']; readonly object: Punt }[]): OperationResult[] {
    const here = this.#here();
    if (here === undefined)
      return operations.map(() => ({ ok: false, code: 'DATAPLANE_DOWN', message: 'the forwarder is not there' }));
    const results: OperationResult[] = operations.map(() => ({ ok: true }));
    const next = new Map(this.#held);
    const asked = new Map<string, number>();
    const names = this.#names(here);
    for (const [i, { op, object }] of operations.entries()) {
      const key = puntKey(object);
      asked.delete(key);
      if (op === 'delete') {
        next.delete(key);
        continue;
      }
      const why = lacking(object, this.#unsupported);
      if (why !== undefined) {
        results[i] = { ok: false, code: 'NOT_SUPPORTED', message: `${key}: ${why}` };
        continue;
      }
      try {
        next.set(key, this.#encode(object, names));
        asked.set(key, i);
      } catch (error) {
        if (isProgrammingError(error) || !(error instanceof LcpError)) throw error;
        results[i] = { ok: false, code: error.code, message: `${key}: ${messageOf(error)}` };
      }
    }
    const errno = this.#write(here, next, (key, wrong) => {
      const i = asked.get(key);
      if (i !== undefined) results[i] = answerOf(wrong, key);
      asked.delete(key);
    });
    return errno === 0
      ? results
      : results.map((r, i) => (r.ok ? answerOf(errno, puntKey(operations[i]?.object as Punt)) : r));
  }

  /**
   * Makes next the program. What is wrong in it is told and is as it was before, or gone where that is no better.
   * 0, or the errno of the whole, when nothing has changed.
   */
  #write(here: PuntsHere, next: Map<string, Held>, wrong: (key: string, errno: number) => void): number {
    for (;;) {
      const all = [...next];
      const owner = all.flatMap(([key, { bytes }]) => Array<string>(bytes.length / SIZE.punt).fill(key));
      const program = new Uint8Array(owner.length * SIZE.punt);
      let at = 0;
      for (const [, { bytes }] of all) {
        program.set(bytes, at);
        at += bytes.length;
      }
      if (this.#isProgram(next)) return 0;
      const bad = new Uint32Array(1);
      const errno = native().puntsSet(here.handle, program, owner.length, bad) as number;
      if (errno === 0) {
        this.#held = new Map();
        at = 0;
        for (const [key, { punt, bytes }] of all) {
          this.#held.set(key, { punt, bytes: program.slice(at, at + bytes.length) });
          at += bytes.length;
        }
        return 0;
      }
      const key = owner[bad[0] as number];
      if (key === undefined) return errno;
      const former = this.#held.get(key);
      const failed = next.get(key);
      wrong(key, errno);
      if (former === undefined || former === failed) next.delete(key);
      else next.set(key, former);
    }
  }

  #isProgram(next: ReadonlyMap<string, Held>): boolean {
    if (next.size !== this.#held.size) return false;
    for (const [key, { bytes }] of next) {
      const now = this.#held.get(key);
      if (now === undefined || !equal(now.bytes, bytes)) return false;
    }
    return true;
  }

  /** Ports have come or gone: punts of one that was made anew are those of the new one. */
  rebind(): void {
    const here = this.#here();
    if (here === undefined || this.#held.size === 0) return;
    const names = this.#names(here);
    const next = new Map<string, Held>();
    for (const [key, { punt }] of this.#held) {
      try {
        next.set(key, this.#encode(punt, names));
      } catch (error) {
        // it has lost a port: it ends with it, and the core asks for it again when there is one
        if (!(error instanceof LcpError)) throw error;
      }
    }
    this.#write(here, next, () => undefined);
  }

  async stats(): Promise<readonly PuntStat[]> {
    const here = this.#here();
    if (here === undefined)
      throw new LcpError('DATAPLANE_DOWN', { op: 'stats', key: 'embedded', message: 'the forwarder is not there' });
    const stats: PuntStat[] = [];
    const count = new BigUint64Array(SIZE.punt_count / 8);
    for (const [key, { punt, bytes }] of this.#held) {
      if ((native().puntCount(here.handle, slotOf(bytes), count) as number) < 0) continue;
      const names =
        punt.feature === 'police'
          ? ['conform-packets', 'conform-bytes', 'exceed-packets', 'exceed-bytes']
          : ['packets', 'bytes', 'drops', 'drop-bytes'];
      names.forEach((name, i) => {
        stats.push({ object: `punt ${key}`, name, value: Number(count[i]) });
      });
    }
    return [...stats, ...portStats(here)];
  }
}

/** What went through interconnects, and what of the plane as a whole was punted to nobody. */
const portStats = ({ handle, devices }: PuntsHere): PuntStat[] => {
  const all = counterNames();
  const values = new BigUint64Array(all.length);
  const whole = new Map<string, number>();
  for (const name of WHOLE) whole.set(name, 0);
  const stats: PuntStat[] = [];
  devices.refresh();
  for (const port of devices.all()) {
    if ((native().counters(handle, port.id, values) as number) < 0) continue;
    const value = (name: string): number => Number(values[all.indexOf(name)]);
    for (const [name, sum] of whole) whole.set(name, sum + value(name));
    if (!isInterconnect(port)) continue;
    const object = `interconnect ${port.phy}`;
    for (const name of ['rx-packets', 'rx-bytes', 'tx-packets', 'tx-bytes'])
      stats.push({ object, name, value: value(name) });
    const drops = all.reduce((sum, name, i) => (name.startsWith('drop-tx-') ? sum + Number(values[i]) : sum), 0);
    stats.push({ object, name: 'drops', value: drops });
    if ((port.flags & PORT_WIRE_MEMIF) !== 0) stats.push({ object, name: 'connected', value: port.wireUp ? 1 : 0 });
  }
  for (const [name, value] of whole) stats.push({ object: '', name, value });
  for (let i = 0; ; i++) {
    const name = native().planeCounterName(i) as string | null;
    if (name === null) break;
    stats.push({ object: '', name, value: Number(native().planeCounter(handle, i)) });
  }
  return stats;
};
