// The probe: is there a live server behind a control socket, and which process is it?
//
// Invariants: answers within PROBE_MS. Only a refused connection means stale; a server that accepts and says
// nothing, or is too busy to accept, is alive.

import { createConnection } from 'node:net';
import { LcpError, messageOf, systemErrorOf } from '../lib/errors.ts';
import { LineSplitter } from '../lib/lines.ts';
import { maxRequestBytes } from './protocol.ts';

const PROBE_MS = 1000;

export interface ProbeAnswer {
  /** `gone`: the file disappeared meanwhile. */
  readonly state: 'live' | 'stale' | 'gone';
  readonly pid?: number;
}

function pidOf(line: Buffer): number | undefined {
  try {
    const reply = JSON.parse(line.toString()) as { result?: { pid?: unknown } };
    return typeof reply.result?.pid === 'number' ? reply.result.pid : undefined;
  } catch {
    // Something else than lcpd serves the path: alive, without a number.
    return undefined;
  }
}

/**
 * Connects to `path` and asks who is there.
 *
 * @throws LcpError CONTROL_SOCKET when connecting fails for another reason (permission, …)
 */
export function probe(path: string): Promise<ProbeAnswer> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    const splitter = new LineSplitter(maxRequestBytes);
    const settle = (answer: ProbeAnswer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => settle({ state: 'live' }), PROBE_MS);
    socket.on('connect', () => socket.write('{"id":0,"method":"status"}\n'));
    socket.on('data', (chunk) => {
      const fits = splitter.push(chunk, (line) => {
        const pid = pidOf(line);
        settle(pid === undefined ? { state: 'live' } : { state: 'live', pid });
      });
      if (!fits) settle({ state: 'live' });
    });
    socket.on('end', () => settle({ state: 'live' }));
    socket.on('error', (error) => {
      const { code, errno } = systemErrorOf(error);
      if (code === 'ECONNREFUSED') settle({ state: 'stale' });
      else if (code === 'ENOENT') settle({ state: 'gone' });
      else if (code === 'EAGAIN' || code === 'ECONNRESET' || code === 'EPIPE') settle({ state: 'live' });
      else {
        clearTimeout(timer);
        const message = messageOf(error);
        const system = errno === undefined ? {} : { errno };
        reject(
          new LcpError('CONTROL_SOCKET', { op: 'probe control socket', key: path, message, cause: error, ...system }),
        );
      }
    });
  });
}
