// BulkWindow: how many requests of bulks wait in VPP at once, over all bulks of a client.
//
// Invariants: bulks send one after the other, in the order in which they were asked for, in stretches of a quarter of
// the window; a bulk that has sent everything makes room for the next one before it is answered, so that VPP always has
// something to do. One that has sent nothing fails with the session, too.

import type { LcpError } from '../lib/errors.ts';

/** What has requests to send. */
export interface WindowUser {
  /** Requests that were not sent yet. */
  readonly unsent: number;
  /** Sends so many more. */
  sendStretch(count: number): void;
  fail(error: LcpError): void;
}

export class BulkWindow {
  /** Requests. */
  readonly size: number;
  readonly #stretch: number;
  readonly #users: WindowUser[] = [];
  #waiting = 0;

  constructor(size: number) {
    this.size = size;
    this.#stretch = Math.max(1, size >> 2);
  }

  add(user: WindowUser): void {
    this.#users.push(user);
    this.#pump();
  }

  /** A request has ended. */
  ended(): void {
    this.#waiting--;
    if (this.#users.length > 0 && this.#waiting + this.#stretch <= this.size) this.#pump();
  }

  failAll(error: LcpError): void {
    for (const user of this.#users.splice(0)) user.fail(error);
  }

  #pump(): void {
    for (let user = this.#users[0]; user !== undefined; user = this.#users[0]) {
      const count = Math.min(this.#stretch, user.unsent);
      if (this.#waiting > 0 && this.#waiting + count > this.size) return;
      this.#waiting += count;
      if (count === user.unsent) this.#users.shift();
      user.sendStretch(count);
    }
  }
}
