/**
 * FakeVpp: a VPP for tests. It serves the binary API on a unix socket with the tables of lcpd, keeps what it is told
 * (fakestate.ts), and misbehaves on demand: refuses, swallows, delays, hangs, cuts its bytes anywhere, sends garbage,
 * has other definitions, restarts. What it answers is compared with a real VPP in test/vpp.
 */
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { catalogue } from '../../../src/vpp/api/catalogue.ts';
import { controlPing, memclntKeepalive } from '../../../src/vpp/api/memclnt.ts';
import type { Codec } from '../../../src/vpp/codec.ts';
import type { Definition } from '../../../src/vpp/definitions.ts';
import { Definitions } from '../../../src/vpp/definitions.ts';
import { FrameSplitter, writeFrameHeader } from '../../../src/vpp/frames.ts';
import type { CursorDump, Dump, Message, Request } from '../../../src/vpp/message.ts';
import { HEAD_SIZE } from '../../../src/vpp/message.ts';
import { SOCKCLNT_CREATE_ID, SOCKCLNT_CREATE_REPLY_ID } from '../../../src/vpp/socket.ts';
import { FRAME_HEADER } from '../../../src/vpp/transport.ts';
import { Wire } from '../../../src/vpp/wire.ts';
import { FakeState, type Outcome } from './fakestate.ts';

type AnyRequest = Message & Partial<Request> & Partial<Omit<Dump, 'answer'>> & Partial<Omit<CursorDump, 'answer'>>;
type Values = Readonly<Record<string, unknown>>;

/** What a message is in this VPP. */
interface Served {
  readonly id: number;
  readonly message: AnyRequest;
  readonly layout: Message & Partial<Pick<Definition, 'defaults'>>;
}

/** How a message is misused, and how often still. */
interface Fault {
  readonly kind: 'refuse' | 'swallow' | 'delay';
  readonly value: number;
  times: number;
}

interface Peer {
  readonly socket: Socket;
  readonly wants: Set<string>;
}

const FIRST_ID = 100;

export class FakeVpp {
  readonly path: string;
  state = new FakeState();
  /** Names of the messages that came, in order. */
  readonly seen: string[] = [];
  /** Bytes of one write; 0 writes every message whole. */
  splitEvery = 0;
  /** Answers nothing any more, and keeps the connection. */
  isHanging = false;
  pid = 4711;
  readonly #served = new Map<string, Served>();
  readonly #byId = new Map<number, Served>();
  readonly #faults = new Map<string, Fault[]>();
  readonly #removed = new Set<string>();
  readonly #peers = new Set<Peer>();
  readonly #scratch = new Wire(new Uint8Array(1 << 22));
  #others: Definitions | undefined;
  #json = '[]';
  #server: Server | undefined;

  constructor(path: string) {
    this.path = path;
    this.#number(FIRST_ID);
  }

  /** Gives every message an id, as VPP does anew at each start. */
  #number(first: number): void {
    this.#served.clear();
    this.#byId.clear();
    let id = first;
    for (const message of catalogue.values()) {
      if (this.#removed.has(message.name)) continue;
      const fixed = { sockclnt_create: SOCKCLNT_CREATE_ID, sockclnt_create_reply: SOCKCLNT_CREATE_REPLY_ID }[
        message.name
      ];
      const served = { id: fixed ?? id++, message, layout: this.#others?.message(message.name) ?? message };
      this.#served.set(message.name, served);
      this.#byId.set(served.id, served);
    }
  }

  /** Has other definitions for the messages in the JSON, which get_api_json then tells. */
  redefine(json: string): void {
    this.#others = Definitions.parse(json);
    this.#json = json;
    this.#number(FIRST_ID);
  }

  /** Is an older VPP, without these messages. */
  remove(...names: readonly string[]): void {
    for (const name of names) this.#removed.add(name);
    this.#number(FIRST_ID);
  }

  listen(): Promise<void> {
    rmSync(this.path, { force: true });
    return new Promise((resolve, reject) => {
      this.#server = createServer((socket) => this.#accept(socket));
      this.#server.once('error', reject);
      this.#server.listen(this.path, resolve);
    });
  }

  async close(): Promise<void> {
    for (const peer of this.#peers) peer.socket.destroy();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  /** Ends and comes back with nothing of what it had, under other ids. */
  async restart(): Promise<void> {
    await this.close();
    this.state = new FakeState();
    this.pid++;
    this.#number(FIRST_ID + this.pid);
    await this.listen();
  }

  refuse(of: Message, retval: number, times = Number.POSITIVE_INFINITY): void {
    this.#fault(of, { kind: 'refuse', value: retval, times });
  }

  swallow(of: Message, times = Number.POSITIVE_INFINITY, skip = 0): void {
    if (skip > 0) this.#fault(of, { kind: 'delay', value: 0, times: skip });
    this.#fault(of, { kind: 'swallow', value: 0, times });
  }

  delay(of: Message, ms: number, times = 1): void {
    this.#fault(of, { kind: 'delay', value: ms, times });
  }

  #fault(of: Message, fault: Fault): void {
    this.#faults.set(of.name, [...(this.#faults.get(of.name) ?? []), fault]);
  }

  /** Sends bytes as they are to every client. */
  garbage(bytes: Uint8Array): void {
    for (const { socket } of this.#peers) socket.write(bytes);
  }

  /** Sends an event to those who asked for its kind; `wanted` is the request they asked with. */
  emit(of: Message, value: Values, wanted: Message): void {
    for (const peer of this.#peers) if (peer.wants.has(wanted.name)) this.#write(peer, of.name, 0, value);
  }

  /** Asks every client whether it is alive. */
  keepalive(context: number): void {
    for (const peer of this.#peers) this.#write(peer, memclntKeepalive.name, context, {});
  }

  #accept(socket: Socket): void {
    const peer: Peer = { socket, wants: new Set() };
    this.#peers.add(peer);
    const splitter = new FrameSplitter((bytes, _view, at, end) => this.#onMessage(peer, bytes, at, end));
    socket.on('data', (chunk) => {
      splitter.push(chunk, new DataView(chunk.buffer, chunk.byteOffset, chunk.length), chunk.length);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#peers.delete(peer));
  }

  #onMessage(peer: Peer, bytes: Uint8Array, at: number, end: number): void {
    if (this.isHanging) return;
    const wire = new Wire(bytes).aim(at, end);
    const served = this.#byId.get(wire.view.getUint16(wire.take(2)));
    // As VPP: an unknown id and a message that is too short are dropped without a word.
    if (served === undefined || end - at < HEAD_SIZE[served.layout.head] + served.layout.body.size) return;
    const { message, layout } = served;
    this.seen.push(message.name);
    if (layout.head === 'both') wire.take(4);
    const context = wire.view.getUint32(wire.take(4));
    const input = layout.body.read(wire) as Values;
    const fault = this.#nextFault(message.name);
    if (fault?.kind === 'swallow') return;
    const answer = (): void => this.#answer(peer, served, context, input, fault?.kind === 'refuse' ? fault.value : 0);
    if (fault?.kind === 'delay' && fault.value > 0) setTimeout(answer, fault.value);
    else answer();
  }

  #nextFault(name: string): Fault | undefined {
    const fault = this.#faults.get(name)?.find(({ times }) => times > 0);
    if (fault !== undefined) fault.times--;
    return fault;
  }

  #answer(peer: Peer, { message }: Served, context: number, input: Values, refusal: number): void {
    if (message.name === 'sockclnt_create') {
      const table = [...this.#served.values()].map(({ id, layout }) => ({
        index: id,
        name: `${layout.name}_${layout.crc}`,
      }));
      this.#write(peer, 'sockclnt_create_reply', context, { response: 0, index: 7, message_table: table }, 7);
    } else if (message.name === 'get_api_json') {
      this.#write(peer, 'get_api_json_reply', context, { json: this.#json });
    } else if (message.name === controlPing.name) {
      this.#write(peer, 'control_ping_reply', context, { client_index: 7, vpe_pid: this.pid });
    } else {
      if (message.name.startsWith('want_')) peer.wants.add(message.name);
      const { rows, reply, isSwallowed }: Outcome =
        refusal === 0 ? this.state.handle(message, input) : { reply: { retval: refusal } };
      if (isSwallowed === true) return;
      for (const row of rows ?? []) this.#write(peer, message.details?.name ?? '', context, row);
      if (message.reply !== undefined) this.#write(peer, message.reply.name, context, { retval: 0, ...reply });
      for (const { event, wanted, value } of this.state.takeEvents()) this.emit(event, value, wanted);
    }
  }

  #write(peer: Peer, name: string, context: number, value: Values, clientIndex = 0): void {
    const served = this.#served.get(name);
    if (served === undefined) throw new Error(`the fake has no ${name}`);
    const wire = this.#scratch.aim(FRAME_HEADER, this.#scratch.bytes.length);
    wire.view.setUint16(wire.room(2), served.id);
    const { head } = served.layout;
    if (head === 'both' || head === 'client') wire.view.setUint32(wire.room(4), clientIndex);
    if (head === 'both' || head === 'context') wire.view.setUint32(wire.room(4), context);
    (served.layout.body as Codec<unknown>).write(wire, value);
    writeFrameHeader(wire.bytes, wire.view, 0, wire.at - FRAME_HEADER);
    const frame = wire.bytes.slice(0, wire.at);
    const step = this.splitEvery === 0 ? frame.length : this.splitEvery;
    for (let from = 0; from < frame.length; from += step) peer.socket.write(frame.subarray(from, from + step));
  }
}
