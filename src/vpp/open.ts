// openVpp: a session with VPP over the better of its two transports.
//
// Invariants: the socket is what every VPP has, and refuses at once when there is none; so it is opened first, and shared
// memory, which carries routes up to twice as fast, takes its place when the same VPP is behind it: a segment may be another
// VPP's, or left of one that has ended. What is wrong with it is a reason and no error. A VPP that sleeps between its
// turns (poll-sleep-usec) handles little of its memory in each, but all that came by the socket: there the operator
// names the socket, as nothing that VPP answers tells it. Reference: VPP's src/vlibmemory/memclnt_api.c,
// vl_api_clnt_process.

import { LcpError } from '../lib/errors.ts';
import type { ConnectOptions, VppConnection } from './connect.ts';
import { connectVpp } from './connect.ts';
import type { ShmOptions } from './shm.ts';
import { ShmTransport } from './shm.ts';
import type { SocketOptions } from './socket.ts';
import { SocketTransport } from './socket.ts';

export interface OpenOptions extends ConnectOptions {
  readonly transport: 'auto' | 'socket' | 'shm';
  readonly socket: SocketOptions;
  readonly shm: ShmOptions;
}

export interface OpenedVpp extends VppConnection {
  /** Why shared memory is not used; '' when it is, or was not asked for. */
  readonly reason: string;
}

/** How long `auto` waits for the memory of a VPP that has just answered on its socket, in milliseconds. */
const MEMORY_MS = 2000;

/** Rejects as connectVpp does, for the transport that was named; with `auto` for the socket. */
export async function openVpp(options: OpenOptions): Promise<OpenedVpp> {
  if (options.transport === 'shm') return { ...(await connectVpp(new ShmTransport(options.shm), options)), reason: '' };
  const bySocket = await connectVpp(new SocketTransport(options.socket), options);
  if (options.transport === 'socket') return { ...bySocket, reason: '' };
  try {
    const byMemory = await connectVpp(new ShmTransport({ openTimeoutMs: MEMORY_MS, ...options.shm }), options);
    if (byMemory.pid === bySocket.pid) {
      bySocket.client.close();
      return { ...byMemory, reason: '' };
    }
    byMemory.client.close();
    const reason = `${byMemory.client.transport.place} is of another VPP, process ${byMemory.pid}`;
    return { ...bySocket, reason };
  } catch (error) {
    if (error instanceof LcpError) return { ...bySocket, reason: error.message };
    bySocket.client.close();
    throw error;
  }
}
