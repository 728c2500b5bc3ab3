// Binding: which of our messages a running VPP has, under which id and in which layout.
//
// Invariants: a message is bound by name and CRC. One whose CRC differs is bound by the definitions of that VPP, field
// by field, or not at all; then it has a reason, which is what `unsupported` shows. A binding belongs to one session.
// Reference: docs/decisions on the client of VPP's API.

import { LcpError } from '../lib/errors.ts';
import { adapted } from './adapt.ts';
import { answersOf, catalogue } from './api/catalogue.ts';
import type { Codec } from './codec.ts';
import type { Definitions } from './definitions.ts';
import type { Message } from './message.ts';
import { nameCrc } from './message.ts';
import type { VppSession } from './transport.ts';

export interface Bound {
  readonly id: number;
  readonly message: Message;
  /** Reads and writes our values in the layout of this VPP. */
  readonly body: Codec<unknown>;
  /** The message in that layout, for those who need offsets. */
  readonly layout: Message;
  readonly isAdapted: boolean;
}

export class Binding {
  readonly #session: VppSession;
  readonly #definitions: Definitions | undefined;
  readonly #bound = new Map<string, Bound>();
  readonly #reasons = new Map<string, string>();
  readonly #byId = new Map<number, Bound>();

  constructor(session: VppSession, definitions: Definitions | undefined) {
    this.#session = session;
    this.#definitions = definitions;
    for (const message of catalogue.values()) this.#bind(message);
  }

  /** Whether some message could only be bound with definitions, or with their help be told from a missing one. */
  static needsDefinitions(session: VppSession): boolean {
    return [...catalogue.values()].some((message) => {
      if (session.idOf(nameCrc(message)) !== undefined) return false;
      return !session.namesKnown || session.crcOf(message.name) !== undefined;
    });
  }

  #bind(message: Message): void {
    const id = this.#session.idOf(nameCrc(message));
    if (id !== undefined) {
      this.#add({ id, message, body: message.body, layout: message, isAdapted: false });
      return;
    }
    try {
      this.#bindOther(message);
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      this.#reasons.set(message.name, error.message);
    }
  }

  /** Binds a message that this VPP has with another CRC. */
  #bindOther(message: Message): void {
    const theirs = this.#definitions?.message(message.name);
    const crc = this.#session.crcOf(message.name) ?? theirs?.crc;
    if (crc === undefined) {
      this.#reasons.set(message.name, `this VPP has no message ${message.name}`);
      return;
    }
    const id = this.#session.idOf(`${message.name}_${crc}`);
    if (id === undefined) {
      this.#reasons.set(message.name, `this VPP has no message ${message.name}`);
    } else if (theirs === undefined || theirs.crc !== crc) {
      this.#reasons.set(message.name, `${message.name} is another one in this VPP (${crc}) and it is not told which`);
    } else {
      this.#add({ id, message, body: adapted(message, theirs), layout: theirs, isAdapted: true });
    }
  }

  #add(bound: Bound): void {
    this.#bound.set(bound.message.name, bound);
    this.#byId.set(bound.id, bound);
  }

  /** Why a message and its answers cannot be used; undefined when they can. */
  unsupported(message: Message): string | undefined {
    for (const part of [message, ...answersOf(message)]) {
      if (!this.#bound.has(part.name)) return this.#reasons.get(part.name) ?? `lcpd has no table for ${part.name}`;
    }
    return undefined;
  }

  /** The message as this VPP has it. Throws NOT_SUPPORTED with the reason. */
  bound(message: Message): Bound {
    const bound = this.#bound.get(message.name);
    const reason = bound === undefined ? (this.#reasons.get(message.name) ?? 'no table') : this.unsupported(message);
    if (bound === undefined || reason !== undefined) {
      throw new LcpError('NOT_SUPPORTED', { op: message.name, message: reason ?? 'no table' });
    }
    return bound;
  }

  /** The message of an id; undefined when it is none of ours. */
  byId(id: number): Bound | undefined {
    return this.#byId.get(id);
  }

  /** Names of the messages that are carried field by field. */
  get adaptedNames(): readonly string[] {
    return [...this.#bound.values()].filter((bound) => bound.isAdapted).map((bound) => bound.message.name);
  }
}
