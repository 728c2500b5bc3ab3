// Service manager notification: readiness, status and watchdog towards systemd.
//
// Invariants: nothing is sent and nothing is wrong without NOTIFY_SOCKET; a failure is an answer, never an
// exception, because no service may die of its supervisor. Each message is one datagram on its own short-lived
// socket, sent without waiting: a stuck service manager must not stop forwarding. Node has no AF_UNIX datagrams,
// hence unixdatagram.ts. Reference: sd_notify(3), sd_watchdog_enabled(3), unix(7).

import { messageOf } from './errors.ts';
import { errnoName } from './libc.ts';
import { UnixDatagram, unixAddress } from './unixdatagram.ts';

/** `sent` false with no reason: there is nobody to tell. */
export interface NotifyResult {
  readonly sent: boolean;
  readonly reason?: string;
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
  let socket: UnixDatagram;
  try {
    socket = new UnixDatagram();
  } catch (error) {
    return { sent: false, reason: messageOf(error) };
  }
  const errno = socket.send(address, Buffer.from(state));
  socket.close();
  return errno === 0 ? { sent: true } : { sent: false, reason: `sendto ${name}: ${errnoName(errno)}` };
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
