// ControlServer: the unix socket on which lcpctl talks to lcpd.
//
// Invariants: one lcpd serves one path. A path where something answers is refused, a stale socket is replaced, and
// anything that is not a socket is left alone. The socket file is never more open than configured: it is made for
// its owner only, then given its group, then its mode. At most `maxClients` are connected; further ones are told.
// Reference: unix(7).

import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  type Stats,
  unlinkSync,
} from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { View } from '../lcp/view.ts';
import { LcpError, messageOf, systemErrorOf } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { type ClientContext, ControlClient, type ControlCounters } from './client.ts';
import { probe } from './probe.ts';
import type { PuntDoor } from './puntmethods.ts';

export interface ControlOptions {
  /** Absolute path. */
  readonly socket: string;
  /** File mode; default 0o660. */
  readonly mode?: number;
  /** Group name or number that owns the socket. */
  readonly group?: string | undefined;
  readonly view: View;
  readonly log: Logger;
  /** Default 64. */
  readonly maxClients?: number;
  /** How long a client that does not read its rows is waited for; default 60 s. */
  readonly stallMs?: number;
}

const ATTEMPTS = 5;
/** How long a refused client has to read why. */
const REFUSAL_MS = 1000;
/** So many refused clients are told why at a time; further ones are only closed. */
const MAX_REFUSED = 64;

function systemError(op: string, key: string, thrown: unknown): LcpError {
  return new LcpError('CONTROL_SOCKET', {
    op,
    key,
    message: messageOf(thrown),
    cause: thrown,
    ...systemErrorOf(thrown),
  });
}

/** Number of a group given by name or number. @throws LcpError CONTROL_SOCKET when there is none */
export function groupNumber(group: string, database = '/etc/group'): number {
  if (/^[0-9]+$/.test(group)) return Number(group);
  const line = readFileSync(database, 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${group}:`));
  const gid = Number(line?.split(':')[2]);
  if (line !== undefined && Number.isInteger(gid)) return gid;
  throw new LcpError('CONTROL_SOCKET', {
    op: 'find group',
    key: group,
    message: `there is no such group in ${database}`,
    hint: `\`groupadd --system ${group}\`, or set control.group to a group that exists, or to its number`,
  });
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/**
 * Takes the stale socket `seen` away. It is moved aside first and looked at again, because between the probe and
 * now another lcpd may have replaced it by its own, which is then put back.
 */
function removeStale(path: string, seen: Stats): void {
  const aside = `${path}.stale.${process.pid}`;
  renameSync(path, aside);
  const moved = lstatSync(aside);
  if (moved.ino !== seen.ino || moved.mtimeMs !== seen.mtimeMs) linkSync(aside, path);
  unlinkSync(aside);
}

/** Makes the path free, or says who has it. */
async function claimPath(path: string): Promise<void> {
  const seen = statOf(path);
  if (seen === undefined) return;
  if (!seen.isSocket()) throw new LcpError('CONTROL_NOT_A_SOCKET', { op: 'open control socket', key: path });
  const answer = await probe(path);
  if (answer.state === 'live') {
    const who = answer.pid === undefined ? 'another process' : `another lcpd (pid ${answer.pid})`;
    const message = `EADDRINUSE: ${who} serves it`;
    throw new LcpError('CONTROL_IN_USE', { op: 'open control socket', key: path, message });
  }
  if (answer.state === 'stale') removeStale(path, seen);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // bind(2) happens inside listen(), before it returns: the mask is that of the new socket file only.
    const mask = process.umask(0o177);
    try {
      server.listen({ path, backlog: 64 }, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

function giveTo(path: string, gid: number): void {
  try {
    chownSync(path, -1, gid);
  } catch (thrown) {
    throw new LcpError('CONTROL_SOCKET', {
      op: 'set group of control socket',
      key: path,
      message: messageOf(thrown),
      hint: 'lcpd needs CAP_CHOWN for control.group, unless it is a group of its own',
      cause: thrown,
      ...systemErrorOf(thrown),
    });
  }
}

export class ControlServer {
  readonly counters: ControlCounters = {
    accepted: 0,
    refused: 0,
    requests: 0,
    bad: 0,
    oversized: 0,
    slow: 0,
    internal: 0,
  };
  readonly #server: Server;
  readonly #log: Logger;
  readonly #context: ClientContext;
  readonly #maxClients: number;
  readonly #clients = new Set<ControlClient>();
  readonly #refused = new Set<Socket>();

  /** The punt manager; without it the methods about punts answer NOT_SUPPORTED. */
  set punts(door: PuntDoor) {
    this.#context.punts = door;
  }

  /** Use {@link openControl}. */
  constructor(options: ControlOptions) {
    this.#log = options.log;
    this.#maxClients = options.maxClients ?? 64;
    const { view, log } = options;
    this.#context = { view, log, counters: this.counters, stallMs: options.stallMs ?? 60_000 };
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** Connected clients. */
  get clients(): number {
    return this.#clients.size;
  }

  async listen(path: string): Promise<void> {
    await listen(this.#server, path);
    // accept(2) can fail for want of descriptors; the listening socket stays usable.
    this.#server.on('error', (err) => this.#log.error({ err }, 'control socket error'));
  }

  #accept(socket: Socket): void {
    if (this.#clients.size >= this.#maxClients) {
      this.counters.refused++;
      const { code, message, hint } = new LcpError('CONTROL_BUSY', {
        op: 'connect',
        message: `${this.#maxClients} clients are connected`,
      });
      socket.on('error', () => socket.destroy());
      if (this.#refused.size >= MAX_REFUSED) {
        socket.destroy();
        return;
      }
      // Closing with its request unread would reset the connection before the client has read the answer.
      this.#refused.add(socket);
      const timer = setTimeout(() => socket.destroy(), REFUSAL_MS);
      socket.on('close', () => {
        clearTimeout(timer);
        this.#refused.delete(socket);
      });
      socket.resume();
      socket.end(`${JSON.stringify({ id: null, error: { code, message, hint } })}\n`);
      return;
    }
    this.counters.accepted++;
    const client = new ControlClient(socket, this.#context);
    this.#clients.add(client);
    socket.on('close', () => this.#clients.delete(client));
  }

  /** Disconnects all clients and removes the socket file. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const client of this.#clients) client.destroy();
    for (const socket of this.#refused) socket.destroy();
    await closed;
  }
}

/**
 * Opens the control socket.
 *
 * @throws LcpError CONTROL_IN_USE (a live server is there), CONTROL_NOT_A_SOCKET, CONTROL_SOCKET
 */
export async function openControl(options: ControlOptions): Promise<ControlServer> {
  const { socket: path } = options;
  let gid: number | undefined;
  try {
    if (options.group !== undefined) gid = groupNumber(options.group);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  } catch (thrown) {
    if (thrown instanceof LcpError) throw thrown;
    throw systemError('prepare control socket', path, thrown);
  }
  for (let attempt = 1; ; attempt++) {
    const server = new ControlServer(options);
    try {
      await claimPath(path);
      await server.listen(path);
      if (gid !== undefined) giveTo(path, gid);
      chmodSync(path, options.mode ?? 0o660);
      return server;
    } catch (thrown) {
      await server.close();
      if (thrown instanceof LcpError) throw thrown;
      const { code } = systemErrorOf(thrown);
      // Two daemons that start together may take the path from under each other between probe and bind.
      if ((code === 'EADDRINUSE' || code === 'ENOENT' || code === 'EEXIST') && attempt < ATTEMPTS) continue;
      throw systemError('open control socket', path, thrown);
    }
  }
}
