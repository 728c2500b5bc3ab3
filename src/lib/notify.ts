// Service manager notification: readiness, status and watchdog towards systemd.
//
// Invariants: nothing is sent and nothing is wrong without NOTIFY_SOCKET; a failure is an answer, never an
// exception, because no service may die of its supervisor. Each message is one datagram on its own short-lived
// socket, sent without waiting: a stuck service manager must not stop forwarding. Node has no AF_UNIX datagrams,
// hence libc. Reference: sd_notify(3), sd_watchdog_enabled(3), unix(7).

import koffi from 'koffi';
import { errnoName } from './libc.ts';

const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int, int, int)') as (family: number, type: number, protocol: number) => number;
const sendtoCall = libc.func('int64_t sendto(int, const void *, size_t, int, const void *, uint32_t)') as (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: number,
) => number;
const closeCall = libc.func('int close(int)') as (fd: number) => number;

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SUN_PATH_BYTES = 108;

/** `sent` false with no reason: there is nobody to tell. */
export interface NotifyResult {
  readonly sent: boolean;
  readonly reason?: string;
}

/** sockaddr_un of a path, or of an abstract name written `@name`; undefined when it does not fit. */
function unixAddress(name: string): Uint8Array | undefined {
  const abstract = name.startsWith('@');
  const path = Buffer.from(abstract ? `\0${name.slice(1)}` : `${name}\0`);
  if (path.length > SUN_PATH_BYTES || !(abstract || name.startsWith('/'))) return undefined;
  const address = Buffer.alloc(2 + path.length);
  // sa_family is in the byte order of the host; every platform that we build for is little-endian.
  address.writeUInt16LE(AF_UNIX, 0);
  path.copy(address, 2);
  return address;
}

/**
 * Sends one notification, e.g. `READY=1`, `STATUS=12 pairs`, `WATCHDOG=1`, `STOPPING=1`; several lines make one
 * message. `env` is the environment to look in, for tests.
 */
export function sdNotify(state: string, env: NodeJS.ProcessEnv = process.env): NotifyResult {
  const name = env.NOTIFY_SOCKET;
  if (name === undefined || name === '') return { sent: false };
  const address = unixAddress(name);
  if (address === undefined) return { sent: false, reason: `NOTIFY_SOCKET is not a usable address: ${name}` };
  const fd = socketCall(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return { sent: false, reason: `socket: ${errnoName(koffi.errno())}` };
  const data = Buffer.from(state);
  const sent = Number(sendtoCall(fd, data, data.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length));
  const errno = koffi.errno();
  closeCall(fd);
  return sent < 0 ? { sent: false, reason: `sendto ${name}: ${errnoName(errno)}` } : { sent: true };
}

/** The message that opens a reload; it carries the monotonic clock so that systemd can pair it with READY=1. */
export function reloadingState(): string {
  return `RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`;
}

/**
 * How often to send WATCHDOG=1: half of what the service manager allows, in ms. Undefined when it does not watch
 * this process.
 */
export function watchdogIntervalMs(
  env: NodeJS.ProcessEnv = process.env,
  pid: number = process.pid,
): number | undefined {
  const text = env.WATCHDOG_USEC;
  if (text === undefined || !/^[1-9][0-9]{0,15}$/.test(text)) return undefined;
  if (env.WATCHDOG_PID !== undefined && env.WATCHDOG_PID !== String(pid)) return undefined;
  return Math.max(1, Math.floor(Number(text) / 2000));
}
