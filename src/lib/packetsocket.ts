// PacketSocket: frames of a device as the kernel sees them, both ways, with the time of each.
//
// Invariants: bound to its device, and its filter attached, before anything is received; one arena of JavaScript-owned memory, the same for
// all sockets because a read is over before the next one begins, holds the headers and slots of a recvmmsg; a VLAN tag that
// the kernel took out of a frame is put back where it was. Bytes given to the receiver are its own.
// Reference: packet(7), recvmmsg(2), cmsg(3); the kernel's Documentation/networking/filter.rst.

import {
  addressOf,
  bindCall,
  closeFd,
  errnoName,
  getsocknameCall,
  getsockoptCall,
  ifNameToIndex,
  lastErrno,
  recvmmsgCall,
  SOCK_RAW_NONBLOCK_CLOEXEC,
  setsockoptCall,
  socketCall,
  whenReadable,
  withNetns,
} from './libc.ts';

const AF_PACKET = 17;
const ETH_P_ALL = 0x0003;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SO_ATTACH_FILTER = 26;
const SO_TIMESTAMPNS = 35;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_AUXDATA = 8;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;

const SIZEOF_SOCKADDR_LL = 20;
const SIZEOF_MMSGHDR = 64;
const SIZEOF_IOVEC = 16;
const SIZEOF_CONTROL = 128;
const SIZEOF_CMSGHDR = 16;
const SLOTS = 32;
const RECEIVE_BUFFER = 16 * 2 ** 20;
const SIZEOF_SOCK_FILTER = 8;
const SIZEOF_SOCK_FPROG = 16;
/** Bytes of a packet that are kept: more than a device can have. */
export const SNAPLEN = 65_552;
/** Reads of one wake-up, so that signals and timers have their turn. */
const ROUNDS = 8;

export interface PacketSeen {
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly bytes: Buffer;
  /** Bytes that it had. */
  readonly length: number;
}

export interface PacketSocketOptions {
  /** Instructions of classic BPF (struct sock_filter) that a packet has to pass. */
  readonly filter?: Uint8Array;
  /** SO_RCVBUF in bytes. */
  readonly receiveBuffer?: number;
}

/** What the kernel says beside a packet. */
interface Beside {
  seconds: number;
  nanoseconds: number;
  length: number;
  tag: Buffer | undefined;
}

export class PacketSocketError extends Error {
  constructor(call: string, device: string, errno: number) {
    super(`${call} ${device}: ${errnoName(errno)}`);
    this.name = 'PacketSocketError';
  }
}

/** Reads timestamp and tag out of control messages; what is not known is passed over. */
export function parseControl(control: Buffer): Beside {
  const beside: Beside = { seconds: 0, nanoseconds: 0, length: 0, tag: undefined };
  for (let at = 0; at + SIZEOF_CMSGHDR <= control.length; ) {
    const size = Number(control.readBigUInt64LE(at));
    if (size < SIZEOF_CMSGHDR || at + size > control.length) break;
    const kind = `${control.readInt32LE(at + 8)}/${control.readInt32LE(at + 12)}`;
    const data = control.subarray(at + SIZEOF_CMSGHDR, at + size);
    if (kind === `${SOL_SOCKET}/${SO_TIMESTAMPNS}` && data.length >= 16) {
      beside.seconds = Number(data.readBigInt64LE(0));
      beside.nanoseconds = Number(data.readBigInt64LE(8));
    }
    if (kind === `${SOL_PACKET}/${PACKET_AUXDATA}` && data.length >= 20) {
      const status = data.readUInt32LE(0);
      beside.length = data.readUInt32LE(4);
      if ((status & TP_STATUS_VLAN_VALID) !== 0) {
        beside.tag = Buffer.alloc(4);
        beside.tag.writeUInt16BE((status & TP_STATUS_VLAN_TPID_VALID) === 0 ? 0x8100 : data.readUInt16LE(18), 0);
        beside.tag.writeUInt16BE(data.readUInt16LE(16), 2);
      }
    }
    at += (size + 7) & ~7;
  }
  return beside;
}

/** A frame as it was on the wire. */
export function packetOf(frame: Buffer, beside: Beside): PacketSeen {
  const { seconds, nanoseconds, tag } = beside;
  const added = tag === undefined || frame.length < 12 ? 0 : 4;
  const bytes =
    tag === undefined || added === 0
      ? Buffer.from(frame)
      : Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)]);
  return { seconds, nanoseconds, bytes, length: Math.max(beside.length, frame.length) + added };
}

/** Made when the first socket opens. */
let arenaOfAll: Buffer | undefined;

/** struct sock_fprog: the number of instructions and where they are. */
function filterProgram(filter: Uint8Array): Buffer {
  const program = Buffer.alloc(SIZEOF_SOCK_FPROG);
  program.writeUInt16LE(filter.length / SIZEOF_SOCK_FILTER, 0);
  program.writeBigUInt64LE(addressOf(filter), 8);
  return program;
}

export class PacketSocket {
  readonly device: string;
  /** Whether frames have an Ethernet header; those of a TUN begin with IP. */
  readonly ethernet: boolean;
  readonly #fd: number;
  readonly #arena: Buffer;
  #handle: { stop(): void } | undefined;
  #closed = false;
  #dropped = 0;

  /**
   * Opens a socket on a device.
   *
   * @param netns path of the device's namespace
   * @param of name of the device, or its index
   * @throws PacketSocketError, or the error of entering the namespace
   */
  constructor(
    netns: string | undefined,
    of: string | number,
    { filter, receiveBuffer = RECEIVE_BUFFER }: PacketSocketOptions = {},
  ) {
    const device = `${of}`;
    this.device = device;
    const opened = withNetns(netns, () => {
      const index = typeof of === 'number' ? of : ifNameToIndex(of);
      if (index === 0) throw new PacketSocketError('find device', device, lastErrno());
      // Without a protocol nothing is received before the socket is bound.
      return { index, fd: socketCall(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, 0) };
    });
    if (opened.fd < 0) throw new PacketSocketError('open packet socket on', device, lastErrno());
    this.#fd = opened.fd;
    try {
      const option = (level: number, name: number, value: number) =>
        setsockoptCall(this.#fd, level, name, new Int32Array([value]), 4) === 0;
      if (!option(SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer)) option(SOL_SOCKET, SO_RCVBUF, receiveBuffer);
      if (filter !== undefined) {
        const program = filterProgram(filter);
        if (setsockoptCall(this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length) !== 0)
          throw new PacketSocketError('filter packets of', device, lastErrno());
      }
      for (const [level, name] of [
        [SOL_SOCKET, SO_TIMESTAMPNS],
        [SOL_PACKET, PACKET_AUXDATA],
      ] as const)
        if (!option(level, name, 1)) throw new PacketSocketError('set up packet socket on', device, lastErrno());
      const address = Buffer.alloc(SIZEOF_SOCKADDR_LL);
      address.writeUInt16LE(AF_PACKET, 0);
      address.writeUInt16BE(ETH_P_ALL, 2);
      address.writeInt32LE(opened.index, 4);
      if (bindCall(this.#fd, address, SIZEOF_SOCKADDR_LL) !== 0)
        throw new PacketSocketError('bind packet socket to', device, lastErrno());
      if (getsocknameCall(this.#fd, address, new Uint32Array([SIZEOF_SOCKADDR_LL])) !== 0)
        throw new PacketSocketError('look at packet socket of', device, lastErrno());
      const hardware = address.readUInt16LE(8);
      this.ethernet = hardware === ARPHRD_ETHER || hardware === ARPHRD_LOOPBACK;
    } catch (error) {
      closeFd(this.#fd);
      throw error;
    }
    arenaOfAll ??= Buffer.alloc(SLOTS * (SIZEOF_MMSGHDR + SIZEOF_IOVEC + SIZEOF_CONTROL + SNAPLEN));
    this.#arena = arenaOfAll;
  }

  #controlAt(slot: number): number {
    return SLOTS * (SIZEOF_MMSGHDR + SIZEOF_IOVEC) + slot * SIZEOF_CONTROL;
  }

  #frameAt(slot: number): number {
    return SLOTS * (SIZEOF_MMSGHDR + SIZEOF_IOVEC + SIZEOF_CONTROL) + slot * SNAPLEN;
  }

  /** Writes the headers anew: the kernel changes the lengths in them. */
  #layOut(): void {
    const base = addressOf(this.#arena);
    const arena = this.#arena;
    arena.fill(0, 0, SLOTS * SIZEOF_MMSGHDR);
    for (let slot = 0; slot < SLOTS; slot++) {
      const header = slot * SIZEOF_MMSGHDR;
      const vector = SLOTS * SIZEOF_MMSGHDR + slot * SIZEOF_IOVEC;
      arena.writeBigUInt64LE(base + BigInt(vector), header + 16);
      arena.writeBigUInt64LE(1n, header + 24);
      arena.writeBigUInt64LE(base + BigInt(this.#controlAt(slot)), header + 32);
      arena.writeBigUInt64LE(BigInt(SIZEOF_CONTROL), header + 40);
      arena.writeBigUInt64LE(base + BigInt(this.#frameAt(slot)), vector);
      arena.writeBigUInt64LE(BigInt(SNAPLEN), vector + 8);
    }
  }

  /** Gives every packet to `receive` from now on; `failed` is told once, when there will be no more. */
  start(receive: (packet: PacketSeen) => void, failed: (error: Error) => void): void {
    this.#handle = whenReadable(this.#fd, () => {
      try {
        this.#read(receive);
      } catch (error) {
        this.close();
        failed(error as Error);
      }
    });
  }

  #read(receive: (packet: PacketSeen) => void): void {
    for (let round = 0; round < ROUNDS && !this.#closed; round++) {
      this.#layOut();
      const count = recvmmsgCall(this.#fd, this.#arena, SLOTS, 0, null);
      if (count < 0) {
        const name = errnoName(lastErrno());
        if (name === 'EAGAIN' || name === 'EINTR') return;
        throw new PacketSocketError('read from', this.device, lastErrno());
      }
      for (let slot = 0; slot < count && !this.#closed; slot++) {
        const header = slot * SIZEOF_MMSGHDR;
        const [at, control] = [this.#frameAt(slot), this.#controlAt(slot)];
        const size = this.#arena.readUInt32LE(header + 56);
        const told = Number(this.#arena.readBigUInt64LE(header + 40));
        const beside = parseControl(this.#arena.subarray(control, control + Math.min(told, SIZEOF_CONTROL)));
        receive(packetOf(this.#arena.subarray(at, at + size), beside));
      }
      if (count < SLOTS) return;
    }
  }

  /** Packets that the kernel had no room for, so far. */
  dropped(): number {
    if (this.#closed) return this.#dropped;
    const counts = new Uint32Array(2);
    // Each look starts the kernel's count anew.
    if (getsockoptCall(this.#fd, SOL_PACKET, PACKET_STATISTICS, counts, new Uint32Array([8])) === 0)
      this.#dropped += counts[1] ?? 0;
    return this.#dropped;
  }

  close(): void {
    if (this.#closed) return;
    this.dropped();
    this.#closed = true;
    this.#handle?.stop();
    closeFd(this.#fd);
  }
}
