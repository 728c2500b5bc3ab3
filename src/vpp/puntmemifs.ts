// Memifs of interconnects: interfaces over shared memory of which VPP is the master, each with a socket of its own.
//
// Invariants: an interface is made in three steps: socket, interface, tag. What was left between two of them by an lcpd that ended is known
// by the socket's path, which is ours alone, and goes before the next is made. VPP makes no directories and takes one path for
// several sockets. It lets its own group connect, which is let into a directory that was made here, and nobody else is.
// Reference: VPP's src/plugins/memif/memif.c, memif_api.c, src/vppinfra/socket.c.

import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Interconnect } from '../lcp/puntobjects.ts';
import { swInterfaceTagAddDel } from './api/interface.ts';
import {
  memifCreateV2,
  memifDelete,
  memifDump,
  memifMode,
  memifRole,
  memifSocketFilenameAddDelV2,
  memifSocketFilenameDump,
} from './api/memif.ts';
import type { VppClient } from './client.ts';
import { macBytes } from './interfaces.ts';
import { tagOf } from './punttags.ts';

const ANY_SOCKET = 0xffff_ffff;
/** The socket that VPP has from the start. */
const DEFAULT_SOCKET = 0;
const ID = 1;
const RING = 1024;
const BUFFER = 2048;
const { MEMIF_ROLE_API_MASTER: MASTER } = memifRole.values;
const { MEMIF_MODE_API_ETHERNET: ETHERNET } = memifMode.values;
const DIRECTORY_MODE = 0o750;

/** What VPP tells of a memif, in our words. */
export interface Memif {
  readonly socket: string;
  readonly socketId: number;
  /** Whether it is what we make: the master of Ethernet frames, number 1 of its socket. */
  readonly isSort: boolean;
}

export class PuntMemifs {
  readonly #client: VppClient;
  /** Directories that were made here. */
  readonly #made = new Set<string>();

  constructor(client: VppClient) {
    this.#client = client;
  }

  async #sockets(): Promise<Map<number, string>> {
    const rows = await this.#client.dump(memifSocketFilenameDump, {});
    return new Map(rows.map(({ socket_id, socket_filename }) => [socket_id, socket_filename]));
  }

  /** By sw_if_index. */
  async read(): Promise<Map<number, Memif>> {
    const sockets = await this.#sockets();
    const rows = await this.#client.dump(memifDump, {});
    return new Map(
      rows.map(({ sw_if_index, socket_id, role, mode, id }) => {
        const isSort = role === MASTER && mode === ETHERNET && id === ID;
        return [sw_if_index, { socket: sockets.get(socket_id) ?? '', socketId: socket_id, isSort }];
      }),
    );
  }

  /** Makes it with its tag; sw_if_index. */
  async make(of: Interconnect): Promise<number> {
    const client = this.#client;
    await this.#clear(of.socket, of.name);
    this.#makeDirectory(dirname(of.socket));
    const asked = { is_add: true, socket_id: ANY_SOCKET, socket_filename: of.socket };
    const { socket_id } = await client.request(memifSocketFilenameAddDelV2, asked, { key: of.name });
    const told = {
      role: MASTER,
      mode: ETHERNET,
      id: ID,
      socket_id,
      ring_size: RING,
      buffer_size: BUFFER,
      hw_addr: of.mac === '' ? undefined : macBytes(of.mac),
      secret: of.secret,
    };
    const { sw_if_index } = await client.request(memifCreateV2, told, { key: of.name });
    this.#admit(of.socket);
    await client.request(swInterfaceTagAddDel, { is_add: true, sw_if_index, tag: tagOf(of) }, { key: of.name });
    return sw_if_index;
  }

  #makeDirectory(directory: string): void {
    if (mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE }) === undefined) return;
    chmodSync(directory, DIRECTORY_MODE); // whatever the umask
    this.#made.add(directory);
  }

  /** Lets the group of a socket into its directory. */
  #admit(socket: string): void {
    const directory = dirname(socket);
    if (!this.#made.has(directory)) return;
    // a VPP that has other files than lcpd has made its socket elsewhere
    const gid = statSync(socket, { throwIfNoEntry: false })?.gid;
    if (gid !== undefined && gid !== statSync(directory).gid) chownSync(directory, -1, gid);
  }

  /** Removes what is at a path of ours. */
  async #clear(socket: string, key: string): Promise<void> {
    for (const [index, memif] of await this.read()) if (memif.socket === socket) await this.delete(index, key);
    for (const [id, path] of await this.#sockets()) if (path === socket) await this.#deleteSocket(id, key);
  }

  /** VPP leaves the file where it is. */
  async #deleteSocket(socket_id: number, key: string): Promise<void> {
    if (socket_id === DEFAULT_SOCKET) return;
    const path = (await this.#sockets()).get(socket_id);
    await this.#client.request(memifSocketFilenameAddDelV2, { is_add: false, socket_id }, { key });
    if (path === undefined || [...(await this.#sockets()).values()].includes(path)) return;
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path);
  }

  /** Removes it, and its socket with the last that has it. */
  async delete(sw_if_index: number, key: string): Promise<void> {
    const all = await this.read();
    const of = all.get(sw_if_index);
    if (of === undefined) return;
    await this.#client.request(memifDelete, { sw_if_index }, { key });
    const isUsed = [...all].some(([index, { socketId }]) => index !== sw_if_index && socketId === of.socketId);
    if (!isUsed) await this.#deleteSocket(of.socketId, key);
  }
}
