// MessageTable: ids of a running VPP's messages by name and CRC, as it tells them when a session is opened.
//
// Invariants: ids are of this VPP only and are looked up again for every session. A table with two ids for a name and
// CRC, or with an entry that is not a name and a CRC, is refused: a wrong id would be another message.
// Reference: VPP's src/vlibmemory/memclnt.api, sockclnt_create_reply.

import { LcpError } from '../lib/errors.ts';

/** Bytes that VPP keeps of a name with its CRC. */
const MAX_NAME = 63;

export class MessageTable {
  readonly #ids = new Map<string, number>();
  readonly #crcs = new Map<string, string>();

  /** Throws VPP_PROTOCOL when the rows cannot be a table. */
  constructor(rows: readonly { readonly index: number; readonly name: string }[]) {
    for (const { index, name } of rows) {
      // VPP cuts names to fit; what is left has no CRC to go by, and none of ours is so long.
      if (name.length >= MAX_NAME) continue;
      const match = /^([a-z0-9_]+)_([0-9a-f]{8})$/i.exec(name);
      if (match === null || this.#ids.has(name)) {
        throw new LcpError('VPP_PROTOCOL', {
          op: 'read message table',
          message: `the entry ${JSON.stringify(name)} is ${match === null ? 'no name with a CRC' : 'there twice'}`,
        });
      }
      this.#ids.set(name, index);
      this.#crcs.set(match[1] ?? '', match[2] ?? '');
    }
  }

  idOf(nameCrc: string): number | undefined {
    return this.#ids.get(nameCrc);
  }

  crcOf(name: string): string | undefined {
    return this.#crcs.get(name);
  }

  get size(): number {
    return this.#ids.size;
  }
}
