// Session: one connection with a VPP that can be the data plane of a router, from the first byte to the sources.
//
// Invariants: a VPP that must not be programmed is refused with the reason and what to do, before anything is changed in
// it: one with linux_nl, which programs the same tables; one without linux_cp, which has no pairs; one that is too old
// to tell our routes from others. A refused VPP is asked again, because the operator repairs it meanwhile.
// Reference: VPP's src/plugins/linux-cp.

import { createConnection } from 'node:net';
import { LcpError } from '../lib/errors.ts';
import { fibSourceAdd, fibSourceDump } from './api/fib.ts';
import { ipRouteAddDelV2, ipRouteLookupV2, ipRouteV2Dump } from './api/route.ts';
import { cliInband, showVersion } from './api/vpe.ts';
import type { VppClient } from './client.ts';
import { connectVpp } from './connect.ts';
import type { OpenOptions } from './open.ts';
import { openVpp } from './open.ts';
import { SocketTransport } from './socket.ts';
import type { Sources } from './sources.ts';
import { openSources } from './sources.ts';
import { pairAddDel, tableAddDel, variantUnsupported } from './variants.ts';

/** How hosts are made: by linux_cp, or (in labs without /dev/vhost-net) joined from what VPP has opened already. */
export type PairBackend = 'linux-cp' | 'attach';

export interface Session {
  readonly client: VppClient;
  readonly sources: Sources;
  readonly pid: number;
  readonly version: string;
  /** 'socket' or 'shm', with the reason why it is not shared memory. */
  readonly transport: string;
}

/** Connects and makes sure that this VPP may be programmed. Rejects with the cause; the connection is closed then. */
export async function openSession(options: OpenOptions, backend: PairBackend): Promise<Session> {
  await reach(options);
  const { client, pid, reason } = await openVpp(options);
  try {
    const { version } = await client.request(showVersion, {});
    refuseOld(client, version);
    const { reply: plugins } = await client.request(cliInband, { cmd: 'show plugins' });
    refusePlugins(client, backend, plugins);
    const sources = await openSources(client);
    return {
      client,
      sources,
      pid,
      version,
      transport: `${client.transport.place}${reason === '' ? '' : `: ${reason}`}`,
    };
  } catch (error) {
    client.close();
    throw error;
  }
}

/**
 * Makes sure that something serves VPP's socket: libvppapiclient waits ten seconds for shared memory that is not there,
 * and a VPP that was started again is to be found at once.
 */
async function reach({ transport, socket }: OpenOptions): Promise<void> {
  if (transport !== 'auto') return;
  const there = new Promise<boolean>((resolve) => {
    const probe = createConnection(socket.path);
    const end = (isThere: boolean) => {
      probe.destroy();
      resolve(isThere);
    };
    probe.once('connect', () => end(true));
    probe.once('error', () => end(false));
  });
  if (!(await there)) (await connectVpp(new SocketTransport(socket))).client.close();
}

function refuseOld(client: VppClient, version: string): void {
  const missing = [fibSourceAdd, fibSourceDump, ipRouteAddDelV2, ipRouteV2Dump, ipRouteLookupV2]
    .map((message) => client.unsupported(message))
    .concat(variantUnsupported(client, tableAddDel))
    .find((reason) => reason !== undefined);
  if (missing === undefined) return;
  throw new LcpError('VPP_API', {
    op: 'use VPP',
    key: version,
    message: `this VPP is too old or too different: ${missing}`,
    hint: 'lcpd needs VPP 21.06 or later',
  });
}

function refusePlugins(client: VppClient, backend: PairBackend, plugins: string): void {
  if (/\blinux_nl_plugin\.so\b/.test(plugins)) {
    throw new LcpError('VPP_LINUX_NL', { op: 'use VPP' });
  }
  const missing = variantUnsupported(client, pairAddDel);
  if (missing !== undefined) {
    throw new LcpError('VPP_NO_LINUX_CP', { op: 'use VPP', message: `the plugin linux_cp is not loaded: ${missing}` });
  }
  if (backend === 'attach' && !/\blinux_cp_unittest_plugin\.so\b/.test(plugins)) {
    throw new LcpError('VPP_NO_LINUX_CP', {
      op: 'use VPP',
      message: 'the plugin linux_cp_unittest is not loaded, which dataplane.pair-backend: attach needs',
      hint: "add `plugin linux_cp_unittest_plugin.so { enable }` to plugins {} of VPP's startup.conf, and restart VPP",
    });
  }
}
