/**
 * Talk: what was asked of a VPP, real or fake, and what it said, as lines that can be compared.
 *
 * Invariants: numbers that are VPP's own business (counters, cursors) are left out. A refusal is an answer; anything else
 * that goes wrong ends the talk. Names of the messages that were asked are kept, so that none is forgotten.
 */
import { LcpError } from '../../../src/lib/errors.ts';
import type { VppClient } from '../../../src/vpp/client.ts';
import type { CursorDump, Dump, Message, MessageInput, MessageValue, Request } from '../../../src/vpp/message.ts';

type Row = Readonly<Record<string, unknown>>;

const unspoken: ReadonlySet<string> = new Set(['stats_index', 'retval', 'cursor', 'vif_index']);

function shown(value: unknown): string {
  return JSON.stringify(value, (name, each: unknown) => {
    if (unspoken.has(name)) return undefined;
    // Always 16 of them in a message.
    if (name === 'label_stack') return (each as { label: number }[]).filter(({ label }) => label !== 0);
    if (typeof each === 'bigint') return String(each);
    return each instanceof Uint8Array ? Buffer.from(each).toString('hex') : each;
  });
}

export interface ListOptions<R> {
  /** Fields that are compared; all without it. */
  readonly fields?: readonly string[];
  /** Rows that are compared: VPP has some of its own. */
  readonly only?: (row: R) => boolean;
}

export class Talk {
  readonly said: string[] = [];
  readonly asked = new Set<string>();
  readonly client: VppClient;

  constructor(client: VppClient) {
    this.client = client;
  }

  /** The reply; empty when it was refused. */
  async ask<M extends Request>(
    message: M,
    input: MessageInput<M>,
    fields?: readonly string[],
  ): Promise<Readonly<Record<string, unknown>>> {
    this.asked.add(message.name);
    const reply = await this.#orRefused(message, input, async () => (await this.client.request(message, input)) as Row);
    if (reply !== undefined) this.said.push(`${message.name} ${shown(input)}: ${shown(picked(reply, fields))}`);
    return reply ?? {};
  }

  /** The rows of a dump, in any order. */
  async list<M extends Dump | CursorDump>(
    message: M,
    input: MessageInput<M>,
    { fields, only = () => true }: ListOptions<MessageValue<M['details']>> = {},
  ): Promise<void> {
    this.asked.add(message.name);
    const rows = await this.#orRefused(message, input, () => this.client.dump(message, input));
    const kept = rows?.filter(only).map((row) => shown(picked(row as Row, fields)));
    if (kept !== undefined) this.said.push(`${message.name} ${shown(input)}: ${kept.sort().join(' ')}`);
  }

  /** What is answered; undefined when it was refused, which is said. */
  async #orRefused<T>(message: Message, input: unknown, answer: () => Promise<T>): Promise<T | undefined> {
    try {
      return await answer();
    } catch (error) {
      const isSwallowed = error instanceof LcpError && error.code === 'VPP_NO_ANSWER';
      if (!(error instanceof LcpError) || (error.retval === undefined && !isSwallowed)) throw error;
      const answer = isSwallowed ? 'no answer' : `refused ${error.retval}`;
      this.said.push(`${message.name} ${shown(input)}: ${answer}`);
      return undefined;
    }
  }
}

function picked(row: Row, fields: readonly string[] | undefined): Row {
  return fields === undefined ? row : Object.fromEntries(fields.map((name) => [name, row[name]]));
}
