// Sockets: packets for the router itself that VPP hands to clients' AF_UNIX sockets, by UDP port, protocol or reason.
//
// Invariants: VPP takes a second client for the same packets in place of the first, lets go of a UDP port whether it was
// registered here or not, and gives no answer where it does not know a number: so what is there is read first, and a request
// that VPP swallowed is found by the ping behind it. Whose a registration is VPP does not tell, only its path.
// Reference: VPP's src/vnet/ip/punt.c, punt_api.c.

import { matchText, type PuntMatch, type ToSocket } from '../lcp/puntobjects.ts';
import { LcpError } from '../lib/errors.ts';
import { puntSocketDeregister, puntSocketDump, puntSocketRegister, puntType } from './api/punt.ts';
import { cliInband } from './api/vpe.ts';
import type { MessageInput, MessageValue, Request } from './message.ts';
import { USUAL_DATA_SIZE } from './puntoutlet.ts';
import { conflict, type PuntContext, type PuntPart, unable } from './puntparts.ts';
import { ANY_PORT, ICMP6, type PuntPorts, UDP } from './puntports.ts';
import type { PuntReasons } from './puntreasons.ts';

const { PUNT_API_TYPE_L4: L4, PUNT_API_TYPE_IP_PROTO: PROTO, PUNT_API_TYPE_EXCEPTION: EXCEPTION } = puntType.values;
const HEADER_VERSION = 1;
/** Bytes of a path with its end. */
const PATH_SIZE = 108;

type Row = MessageValue<typeof puntSocketDump.details>;

/** A match as VPP's messages have it. */
export function puntOf(match: PuntMatch, reasons: PuntReasons) {
  switch (match.by) {
    case 'port':
      return { type: L4, punt: { l4: { af: match.family === 6 ? 1 : 0, protocol: match.protocol, port: match.port } } };
    case 'icmp6':
      return { type: L4, punt: { l4: { af: 1, protocol: ICMP6, port: match.type } } };
    case 'protocol':
      return { type: PROTO, punt: { ip_proto: { af: match.family === 6 ? 1 : 0, protocol: match.protocol } } };
    case 'reason':
      return { type: EXCEPTION, punt: { exception: { id: reasons.id(match.reason) } } };
  }
}

/** A request that VPP may swallow, answered at once also then. */
export async function askSwallowing<M extends Request>(
  { client }: PuntContext,
  message: M,
  input: MessageInput<M>,
  key: string,
): Promise<MessageValue<M['reply']>> {
  const asked = client.request(message, input, { key });
  client.pingBehind();
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof LcpError) || error.code !== 'VPP_NO_ANSWER' || client.error !== undefined) throw error;
    throw new LcpError('REFUSED', {
      op: message.name,
      key,
      message: 'VPP gives no answer to it, as to numbers that it does not know',
      hint: 'VPP knows the protocols and reasons that its own tables name',
      cause: error,
    });
  }
}

/** The smallest "Data Size" that VPP's `show buffers` lists; its API does not tell. */
export function dataSizeOf(shown: string): number {
  const [, ...rows] = shown.trim().split('\n');
  const sizes = rows.map((row) => Number(row.trim().split(/\s+/)[4])).filter((size) => size > 0);
  return sizes.length === 0 ? USUAL_DATA_SIZE : Math.min(...sizes);
}

export class PuntSockets implements PuntPart<'socket'> {
  readonly feature = 'socket';
  /** Path that clients write to, '' when VPP has none. */
  server = '';
  /** Bytes of a frame that clients may write: what one of VPP's buffers holds. */
  dataSize = USUAL_DATA_SIZE;
  /** Paths of lcpd's own, and what for. */
  readonly own = new Map<string, string>();
  readonly #at: PuntContext;
  readonly #ports: PuntPorts;
  readonly #reasons: PuntReasons;

  constructor(at: PuntContext, ports: PuntPorts, reasons: PuntReasons) {
    this.#at = at;
    this.#ports = ports;
    this.#reasons = reasons;
  }

  /** Asks for the server's path by a registration of a version that there is none of, which VPP refuses whatever it has. */
  async open(): Promise<void> {
    const punt = { type: L4, punt: { l4: { af: 0, protocol: UDP, port: 1 } } };
    const asked = { header_version: 0, punt, pathname: '/' };
    const { client } = this.#at;
    this.server = (await client.request(puntSocketRegister, asked, { accept: [-1] })).pathname;
    if (this.server !== '')
      this.dataSize = dataSizeOf((await client.request(cliInband, { cmd: 'show buffers' })).reply);
  }

  /** The match of a row, undefined where it is none that can be asked for. */
  #match({ punt }: Row): PuntMatch | undefined {
    const { l4, ip_proto, exception } = punt.punt;
    if (punt.type === PROTO) return { by: 'protocol', family: ip_proto.af === 1 ? 6 : 4, protocol: ip_proto.protocol };
    if (punt.type === EXCEPTION) {
      const reason = this.#reasons.nameOf(exception.id);
      return reason === undefined ? undefined : { by: 'reason', reason };
    }
    if (l4.protocol === ICMP6) return { by: 'icmp6', type: l4.port };
    return { by: 'port', family: l4.af === 1 ? 6 : 4, protocol: l4.protocol, port: l4.port };
  }

  async #rows(type: number): Promise<{ readonly match: PuntMatch; readonly path: string }[]> {
    const rows = await this.#at.client.dump(puntSocketDump, { type });
    return rows.flatMap((row) => {
      const match = this.#match(row);
      return match === undefined ? [] : [{ match, path: row.pathname }];
    });
  }

  /** All that VPP has. */
  async all(): Promise<{ readonly match: PuntMatch; readonly path: string }[]> {
    return (await Promise.all([L4, PROTO, EXCEPTION].map((type) => this.#rows(type)))).flat();
  }

  /** Those that VPP keeps under one key: a UDP port of IPv6 and an ICMPv6 type are one number there. */
  async there(match: PuntMatch): Promise<{ readonly match: PuntMatch; readonly path: string } | undefined> {
    const { type } = puntOf(match, this.#reasons);
    const rows = await this.#rows(type);
    return rows.find((row) => keyIn(row.match) === keyIn(match));
  }

  #check(punt: ToSocket): void {
    const { match, path } = punt;
    if (this.server === '') throw unable(punt, 'VPP has no punt socket', NO_SOCKET_HINT);
    if (match.by === 'port' && match.protocol !== UDP) throw unable(punt, 'VPP hands only UDP ports to sockets');
    if (match.by === 'port' && (match.port === ANY_PORT || match.port === 0))
      throw unable(punt, 'VPP hands single ports to sockets, from 1 to 65534');
    const length = Buffer.byteLength(path);
    if (!path.startsWith('/') || path.includes('\0') || length >= PATH_SIZE)
      throw conflict(punt, 'the path of a socket is absolute and of at most 107 bytes', 'give the client another path');
    if (path === this.server) throw conflict(punt, `${path} is VPP's own end`, 'give the client another path');
    if (this.own.has(path)) throw conflict(punt, `${path} is lcpd's own socket`, 'give the client another path');
  }

  async set(punt: ToSocket): Promise<void> {
    this.#check(punt);
    const { memory } = this.#at;
    const { match, path } = punt;
    const there = await this.there(match);
    const own = this.own.get(there?.path ?? '');
    if (own !== undefined) throw conflict(punt, `lcpd has VPP hand ${matchText(match)} over to itself: ${own}`);
    if (there !== undefined && matchText(there.match) === matchText(match)) {
      if (there.path === path) return memory.keep(punt);
      if (!memory.known(punt).some((known) => known.path === there.path))
        throw conflict(punt, `VPP hands it to ${there.path} already, for somebody else`);
    } else if (there !== undefined) {
      throw conflict(punt, `VPP keeps it under the number of ${matchText(there.match)}, which goes to ${there.path}`);
    } else {
      await this.#refuseTaken(punt);
    }
    memory.keep(punt);
    await this.register(match, path);
  }

  /** Has VPP hand what matches to a path, whoever had it. */
  async register(match: PuntMatch, pathname: string): Promise<void> {
    const told = { header_version: HEADER_VERSION, punt: puntOf(match, this.#reasons), pathname };
    await askSwallowing(this.#at, puntSocketRegister, told, matchText(match));
  }

  async deregister(match: PuntMatch): Promise<void> {
    const told = { punt: puntOf(match, this.#reasons) };
    await askSwallowing(this.#at, puntSocketDeregister, told, matchText(match));
  }

  async #refuseTaken(punt: ToSocket): Promise<void> {
    await this.#ports.read();
    const by = this.#ports.takenBy(punt.match);
    if (by !== undefined) throw conflict(punt, `VPP itself takes it: ${by}`, 'VPP has no way to share it');
    if (this.#ports.taker(punt.match) === 'punt') throw conflict(punt, 'VPP punts it to the host already');
  }

  async delete(punt: ToSocket): Promise<void> {
    const known = this.#at.memory.known(punt);
    const { match } = punt;
    // a reason that this VPP does not have is punted to nobody
    if (match.by === 'reason' && !this.#reasons.all().some(({ name }) => name === match.reason)) return;
    const there = known.length === 0 ? undefined : await this.there(match);
    const isOurs = known.some(({ path }) => path === there?.path);
    if (there !== undefined && isOurs && matchText(there.match) === matchText(match)) await this.deregister(match);
    this.#at.memory.drop(punt);
  }

  async held(): Promise<ToSocket[]> {
    const known = this.#at.memory.of('socket');
    if (known.length === 0) return [];
    const there = new Map((await this.all()).map(({ match, path }) => [matchText(match), path]));
    return known.filter(({ match, path }) => there.get(matchText(match)) === path);
  }
}

export const NO_SOCKET_HINT =
  "add `punt { socket /run/vpp/punt.sock }` to VPP's startup.conf, with a directory that exists, and restart VPP";

/** VPP's key of a match. */
function keyIn(match: PuntMatch): string {
  return match.by === 'icmp6' ? `udp6/${match.type}` : matchText(match);
}
