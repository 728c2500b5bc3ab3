// The few calls into the C library that Node does not offer: setns, and sockets by descriptor.
//
// Invariants: every call is synchronous on the main thread. The namespace bracket never contains an await: a
// network namespace belongs to the thread, and everything else that runs on the main thread must find its own.
// If the way back fails the process is aborted: a daemon that goes on in the wrong namespace would program the
// wrong router. The libuv pool is started first, because its threads inherit the namespace of their creator.
// Reference: setns(2), network_namespaces(7), socket(2), recvmmsg(2), if_nametoindex(3).

import * as fs from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const setnsCall = libc.func('int setns(int, int)') as (fd: number, type: number) => number;
const closeCall = libc.func('int close(int)') as (fd: number) => number;

// Sockets of families that Node does not have, all by descriptor; errno is lastErrno()'s.
export const socketCall = libc.func('int socket(int, int, int)') as (
  domain: number,
  type: number,
  protocol: number,
) => number;
export const bindCall = libc.func('int bind(int, const void *, uint32_t)') as (
  fd: number,
  address: Uint8Array,
  size: number,
) => number;
export const connectCall = libc.func('int connect(int, const void *, uint32_t)') as (
  fd: number,
  address: Uint8Array,
  size: number,
) => number;
export const getsocknameCall = libc.func('int getsockname(int, void *, void *)') as (
  fd: number,
  address: Uint8Array,
  size: Uint32Array,
) => number;
export const setsockoptCall = libc.func('int setsockopt(int, int, int, const void *, uint32_t)') as (
  fd: number,
  level: number,
  name: number,
  value: Int32Array | Uint8Array,
  size: number,
) => number;
export const getsockoptCall = libc.func('int getsockopt(int, int, int, void *, void *)') as (
  fd: number,
  level: number,
  name: number,
  value: Uint32Array,
  size: Uint32Array,
) => number;
export const recvmmsgCall = libc.func('int recvmmsg(int, void *, uint32_t, int, void *)') as (
  fd: number,
  vector: Uint8Array,
  count: number,
  flags: number,
  timeout: null,
) => number;
export const sendCall = libc.func('int64_t send(int, const void *, size_t, int)') as (
  fd: number,
  bytes: Uint8Array,
  size: number,
  flags: number,
) => number;
export const sendtoCall = libc.func('int64_t sendto(int, const void *, size_t, int, const void *, uint32_t)') as (
  fd: number,
  bytes: Uint8Array,
  size: number,
  flags: number,
  address: Uint8Array,
  addressSize: number,
) => number;
export const recvCall = libc.func('int64_t recv(int, void *, size_t, int)') as (
  fd: number,
  bytes: Uint8Array,
  size: number,
  flags: number,
) => number;
const ifNameToIndexCall = libc.func('uint32_t if_nametoindex(const char *)') as (name: string) => number;

export const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;

/** Index of a device in the namespace of the thread, 0: there is none of that name. */
export const ifNameToIndex = (name: string): number => ifNameToIndexCall(name);

/** Address of memory that JavaScript owns; it holds as long as the memory does. */
export const addressOf = (memory: Uint8Array): bigint => koffi.address(memory);

/** Calls `onReadable` whenever a descriptor can be read, until it is stopped. It must not throw. */
export function whenReadable(fd: number, onReadable: () => void): { stop(): void } {
  const handle = koffi.node.poll(fd, { readable: true }, onReadable as never);
  return { stop: () => handle.close() };
}

const CLONE_NEWNET = 0x40000000;

/** The calling thread's own network namespace. */
export const OWN_NETNS = '/proc/thread-self/ns/net';

const NAMES = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));
// EOPNOTSUPP and ENOTSUP share 95 on Linux; the kernel's network code means the former.
NAMES.set(95, 'EOPNOTSUPP');
NAMES.set(11, 'EAGAIN');

/** `ENOBUFS` for 105. Negative values (the kernel's way) are taken by their size. */
export function errnoName(errno: number): string {
  const value = Math.abs(errno);
  const known = NAMES.get(value);
  if (known !== undefined) return known;
  return value === 0 ? 'OK' : getSystemErrorName(-value);
}

/** errno of the last failed libc call made by this thread. */
export function lastErrno(): number {
  return koffi.errno();
}

/** Closes a descriptor made by a libc call. Returns false when the kernel says it was not open. */
export function closeFd(fd: number): boolean {
  return closeCall(fd) === 0;
}

let poolStarted = false;

/** Starts libuv's thread pool now, in the namespace of the caller. Idempotent. */
export function startThreadPool(): void {
  if (poolStarted) return;
  poolStarted = true;
  // The pool is created, whole, inside the call that queues its first job; the answer is of no interest.
  fs.stat('/', () => undefined);
}

/** What the bracket needs from outside; tests hand in a setns that fails. */
export interface NetnsCalls {
  setns(fd: number): number;
  errno(): number;
  abort(reason: string): never;
}

const realCalls: NetnsCalls = {
  setns: (fd) => setnsCall(fd, CLONE_NEWNET),
  errno: () => lastErrno(),
  abort: (reason) => {
    process.stderr.write(`${reason}\n`);
    process.abort();
  },
};

/**
 * Runs `action` with the main thread in the network namespace behind `path` and comes back, also when it throws.
 * `action` must be synchronous; sockets and devices opened in it stay usable afterwards.
 *
 * @param path `/run/netns/NAME`, `/proc/PID/ns/net`, or undefined for the own one (no switch at all)
 * @throws the error of `open`, of `setns` (with the path) or of `action`
 */
export function withNetns<T>(path: string | undefined, action: () => T, calls: NetnsCalls = realCalls): T {
  if (path === undefined) return action();
  startThreadPool();
  const home = fs.openSync(OWN_NETNS, 'r');
  try {
    const target = fs.openSync(path, 'r');
    try {
      if (calls.setns(target) !== 0) {
        throw new Error(`cannot enter network namespace ${path}: ${errnoName(calls.errno())}`);
      }
      try {
        const result = action();
        if (result instanceof Promise) throw new TypeError('withNetns: the action must not be asynchronous');
        return result;
      } finally {
        if (calls.setns(home) !== 0) {
          calls.abort(`cannot return from network namespace ${path}: ${errnoName(calls.errno())}; aborting`);
        }
      }
    } finally {
      fs.closeSync(target);
    }
  } finally {
    fs.closeSync(home);
  }
}
