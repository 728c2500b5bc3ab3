// connectVpp: opens a session over a transport and finds out what the VPP behind it has.
//
// Invariants: one attempt, which ends with a client that can be used or with an error; who wants another one asks again.
// The definitions of a VPP are only asked for when some message of ours is not there as we know it; when it does not
// tell them, they are read from the files that VPP installs. Reference: binding.ts, definitions.ts.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LcpError } from '../lib/errors.ts';
import { controlPing, getApiJson } from './api/memclnt.ts';
import { Binding } from './binding.ts';
import type { ClientOptions } from './client.ts';
import { VppClient } from './client.ts';
import { Definitions } from './definitions.ts';
import type { VppTransport } from './transport.ts';

/** Where packages of VPP put their definitions. */
export const API_FOLDERS: readonly string[] = ['/usr/share/vpp/api', '/usr/local/share/vpp/api'];

export interface ConnectOptions extends ClientOptions {
  /** The name by which VPP shows us. Default `lcpd`. */
  readonly clientName?: string;
  /** Folders with `*.api.json`, looked into in order. Default API_FOLDERS. */
  readonly apiFolders?: readonly string[];
}

export interface VppConnection {
  readonly client: VppClient;
  /** Process id of VPP as it sees itself. */
  readonly pid: number;
}

/** Rejects with VPP_CONNECT, VPP_PROTOCOL, VPP_API or VPP_NO_ANSWER; the transport is closed then. */
export async function connectVpp(transport: VppTransport, options: ConnectOptions = {}): Promise<VppConnection> {
  const client = new VppClient(transport, options);
  const session = await transport.open(options.clientName ?? 'lcpd', client);
  try {
    client.start(session, new Binding(session, undefined));
    const { vpe_pid: pid } = await client.request(controlPing, {});
    transport.watch?.(pid);
    if (Binding.needsDefinitions(session)) {
      const definitions = await definitionsOf(client, options.apiFolders ?? API_FOLDERS);
      if (definitions !== undefined) client.start(session, new Binding(session, definitions));
    }
    return { client, pid };
  } catch (error) {
    client.close();
    throw error;
  }
}

/** What VPP tells about its messages, or its files do; undefined when neither does. */
async function definitionsOf(client: VppClient, folders: readonly string[]): Promise<Definitions | undefined> {
  if (client.unsupported(getApiJson) === undefined) {
    const { json } = await client.request(getApiJson, {});
    return Definitions.parse(json);
  }
  for (const folder of folders) {
    const definitions = await definitionsIn(folder);
    if (definitions !== undefined) return definitions;
  }
  return undefined;
}

/** Definitions of all files below a folder; undefined when there is no such folder or no file in it. */
export async function definitionsIn(folder: string): Promise<Definitions | undefined> {
  let entries: string[];
  try {
    entries = await readdir(folder, { recursive: true });
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw new LcpError('VPP_API', { op: 'read', key: folder, cause: error });
  }
  const files = entries.filter((name) => name.endsWith('.api.json'));
  if (files.length === 0) return undefined;
  const definitions = new Definitions();
  for (const file of files) {
    try {
      definitions.add(JSON.parse(await readFile(join(folder, file), 'utf8')));
    } catch (error) {
      throw new LcpError('VPP_API', { op: 'read', key: join(folder, file), cause: error });
    }
  }
  return definitions;
}
