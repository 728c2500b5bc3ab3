// UnixDatagram: a socket for datagrams of this machine (AF_UNIX, SOCK_DGRAM), which Node does not have.
//
// Invariants: nothing waits; who cannot take a datagram now does not get it. A path that is bound is the socket's: what is
// left of an earlier one is unlinked first, and the path goes when it is closed.
// Reference: unix(7), sendto(2), recv(2).

import { chmodSync, chownSync, lstatSync, unlinkSync } from 'node:fs';
import {
  bindCall,
  closeFd,
  connectCall,
  errnoName,
  lastErrno,
  recvCall,
  sendtoCall,
  setsockoptCall,
  socketCall,
  whenReadable,
} from './libc.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
/** Bytes of a path with its end. */
export const SUN_PATH_BYTES = 108;

/** sockaddr_un of a path, or of an abstract name written `@name`; undefined when it does not fit. */
export function unixAddress(name: string): Uint8Array | undefined {
  const abstract = name.startsWith('@');
  const path = Buffer.from(abstract ? `\0${name.slice(1)}` : `${name}\0`);
  if (path.length > SUN_PATH_BYTES || !(abstract || name.startsWith('/'))) return undefined;
  const address = Buffer.alloc(2 + path.length);
  // sa_family is in the byte order of the host; every platform that we build for is little-endian.
  address.writeUInt16LE(AF_UNIX, 0);
  path.copy(address, 2);
  return address;
}

export interface BindOptions {
  /** Group that may send to it, besides its owner. */
  readonly gid: number;
  /** SO_RCVBUF in bytes. */
  readonly receiveBuffer: number;
}

export class UnixDatagram {
  readonly #fd: number;
  #path = '';
  #polling: { stop(): void } | undefined;

  /** Throws an Error with the reason. */
  constructor() {
    this.#fd = socketCall(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw new Error(`socket: ${errnoName(lastErrno())}`);
  }

  /** Takes datagrams at a path. Throws an Error with the reason; a path of something else than a socket is left alone. */
  bind(path: string, { gid, receiveBuffer }: BindOptions): void {
    const address = unixAddress(path);
    if (address === undefined) throw new Error(`${path} is not the path of a socket: absolute, of at most 107 bytes`);
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
    setsockoptCall(this.#fd, SOL_SOCKET, SO_RCVBUF, Int32Array.of(receiveBuffer), 4);
    if (bindCall(this.#fd, address, address.length) !== 0) throw new Error(`bind ${path}: ${errnoName(lastErrno())}`);
    this.#path = path;
    chownSync(path, -1, gid);
    chmodSync(path, 0o660);
  }

  /**
   * Takes datagrams of the socket at an address of unixAddress alone, whose sender then may have as many on the way as its
   * send buffer holds, and not net.unix.max_dgram_qlen. Throws an Error with the reason.
   */
  connect(address: Uint8Array): void {
    if (connectCall(this.#fd, address, address.length) !== 0) throw new Error(`connect: ${errnoName(lastErrno())}`);
  }

  /** Sends to an address of unixAddress; 0, or the number of the error. */
  send(address: Uint8Array, bytes: Uint8Array): number {
    const sent = sendtoCall(this.#fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length);
    return Number(sent) < 0 ? lastErrno() : 0;
  }

  /** The length of the next datagram, which may be more than fits into `bytes`; -1 when none is there. */
  receive(bytes: Uint8Array): number {
    return Number(recvCall(this.#fd, bytes, bytes.length, MSG_DONTWAIT | MSG_TRUNC));
  }

  /** Calls `onReadable`, which must not throw, whenever a datagram is there. */
  follow(onReadable: () => void): void {
    this.#polling = whenReadable(this.#fd, onReadable);
  }

  close(): void {
    this.#polling?.stop();
    closeFd(this.#fd);
    if (this.#path === '') return;
    try {
      unlinkSync(this.#path);
    } catch (error) {
      // somebody was quicker
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}
