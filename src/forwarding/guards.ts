// Guards: keeps the kernel's own stack off phys, in the name of the forwarder that they are for.
//
// A guard carries the path of that forwarder's socket. One of another lcpd is never removed, and refused to be taken over
// while its forwarder lives. One that does not say whose it is (of a version before) is anybody's who wants the phy; as a leftover
// it counts only while nobody has a packet socket there, which a forwarder that lives has.
// Implementation: native/guard.c.

import { resolve } from 'node:path';
import type { OperationResult } from '../lcp/dataplane.ts';
import { errnoName } from '../lib/libc.ts';
import { native, OWNER_SIZE } from './native.ts';

const ENODEV = -19;
const EBUSY = -16;

export class Guards {
  readonly #owner: string;

  /** @param socket the forwarder's */
  constructor(socket: string) {
    this.#owner = resolve(socket);
  }

  /** Whose guard is on a phy, '' when it does not say; undefined: there is none. */
  #ownerOf(ifindex: number): string | undefined {
    const bytes = new Uint8Array(OWNER_SIZE);
    if ((native().phyGuarded(ifindex, bytes) as number) !== 1) return undefined;
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }

  put(ifindex: number, phy: string): OperationResult {
    const errno = native().phyGuard(ifindex, 1, this.#owner) as number;
    if (errno >= 0) return { ok: true };
    const of = errno === EBUSY ? (this.#ownerOf(ifindex) ?? '') : '';
    if (of !== '' && of !== this.#owner)
      return { ok: false, code: 'PHY_TAKEN', message: `${phy} is a phy of the lcpd with dataplane.socket ${of}` };
    const message = `the kernel's own stack cannot be kept off ${phy}: ${errnoName(errno)}`;
    return { ok: false, code: 'PHY_GUARD', message };
  }

  /** A phy that is gone has none. */
  remove(ifindex: number, phy: string): OperationResult {
    const errno = native().phyGuard(ifindex, 0, this.#owner) as number;
    if (errno >= 0 || errno === ENODEV) return { ok: true };
    return { ok: false, code: 'PHY_GUARD', message: `guard of ${phy} cannot be removed: ${errnoName(errno)}` };
  }

  /** Whether a phy that no port has is guarded for us. */
  isLeft(ifindex: number): boolean {
    const owner = this.#ownerOf(ifindex);
    if (owner === '') return (native().phyWatched(ifindex) as number) === 0;
    return owner === this.#owner;
  }
}
