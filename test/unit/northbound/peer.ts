// A control socket with a small router behind it, and clients of it that see every byte, for one test at a time.

import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { createLog } from '../../../src/lib/log.ts';
import { type ControlOptions, type ControlServer, openControl } from '../../../src/northbound/control.ts';
import { type FakeView, fakeView } from './fakeview.ts';

export type Message = {
  id: unknown;
  event?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: Record<string, string>;
};

/** A client that sees every byte. */
export class Peer {
  readonly messages: Message[] = [];
  closed = false;
  #text = '';
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      const lines = (this.#text + chunk).split('\n');
      this.#text = lines.pop() ?? '';
      for (const line of lines) this.messages.push(JSON.parse(line) as Message);
    });
    socket.on('close', () => {
      this.closed = true;
    });
    // Being dropped is part of these tests.
    socket.on('error', () => socket.destroy());
  }

  send(...requests: unknown[]): void {
    for (const request of requests) this.socket.write(`${JSON.stringify(request)}\n`);
  }

  async until(condition: () => boolean, timeoutMs = 5000): Promise<void> {
    const start = Date.now();
    while (!condition()) {
      if (Date.now() - start > timeoutMs)
        throw new Error(`not in time; got ${JSON.stringify(this.messages).slice(0, 500)}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** The message that ends request `id`. */
  async end(id: unknown): Promise<Message> {
    const find = () => this.messages.find((message) => message.id === id && message.event === undefined);
    await this.until(() => find() !== undefined);
    return find() as Message;
  }
}

/** What a test works with; made anew for each by {@link useControl}. */
export class Control {
  readonly directory = mkdtempSync(join(tmpdir(), 'lcpd-control-'));
  path = join(this.directory, 'lcpd.sock');
  readonly view: FakeView = fakeView();
  readonly logged: string[] = [];
  readonly #servers: ControlServer[] = [];
  readonly #peers: Peer[] = [];

  async start(options: Partial<ControlOptions> = {}): Promise<ControlServer> {
    const levels = { level: 'debug', areas: {} };
    const destination = { write: (line: string) => void this.logged.push(line) };
    const log = createLog({ levels, style: 'json', destination }).area('northbound');
    const server = await openControl({ socket: this.path, view: this.view, log, ...options });
    this.#servers.push(server);
    return server;
  }

  async connect(): Promise<Peer> {
    const socket = createConnection({ path: this.path, allowHalfOpen: true });
    const peer = new Peer(socket);
    this.#peers.push(peer);
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    return peer;
  }

  async close(): Promise<void> {
    for (const peer of this.#peers) peer.socket.destroy();
    for (const server of this.#servers) await server.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Gives each test of the file a Control of its own. */
export function useControl(): () => Control {
  let control: Control | undefined;
  beforeEach(() => {
    control = new Control();
  });
  afterEach(async () => {
    await control?.close();
  });
  return () => control as Control;
}
