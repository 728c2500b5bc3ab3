/**
 * The rules of a fake VPP for what is punted: sockets, ports, reasons, redirects, policers. With VPP's defects: it counts how often
 * redirects and policers were put on and looks at nothing, swallows numbers that it does not know, and lets go of ports that
 * nobody has.
 */
import { addDelIpPuntRedirectV2, ipPuntRedirectV2Dump } from '../../../src/vpp/api/ippunt.ts';
import * as policer from '../../../src/vpp/api/policer.ts';
import * as punt from '../../../src/vpp/api/punt.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import type { FakeState, Outcome, Values } from './fakestate.ts';
import { ERROR, refused } from './fakestate.ts';

const ALL = 0xffff_ffff;
const ANY_PORT = 0xffff;
const [L4, PROTO, EXCEPTION] = [0, 1, 2];
const [TCP, UDP, ICMP6] = [6, 17, 58];
/** Numbers that VPP's table of protocols has not. */
const UNKNOWN = (protocol: number) => [61, 63, 68, 99, 114].includes(protocol) || protocol > 142;

type Punt = MessageValue<typeof punt.setPunt>['punt'];

/** In the order in which VPP numbers them, from 1. */
export const PUNT_REASONS = [
  'ipsec4-spi-o-udp-0',
  'ipsec4-no-such-tunnel',
  'ipsec6-no-such-tunnel',
  'ipsec6-spi-o-udp-0',
];

/** The node that punts what is punted for a reason. */
export const puntName = (reason: number): string =>
  PUNT_REASONS[reason - 1]?.startsWith('ipsec6') ? 'ip6-punt' : 'ip4-punt';

const UNKNOWN_PROTOCOL = -153;
const NO_PATH_INTERFACE = -54;
const swallowed: Outcome = { isSwallowed: true };

/** Whether VPP can read it. */
function isKnown({ type, punt: of }: Punt): boolean {
  if (type === EXCEPTION) return of.exception.id <= PUNT_REASONS.length;
  return type === L4 ? !UNKNOWN(of.l4.protocol) : type === PROTO && !UNKNOWN(of.ip_proto.protocol);
}

/** VPP's key: a UDP port of IPv6 and an ICMPv6 type are one. */
function keyOf({ type, punt: of }: Punt): string {
  if (type === EXCEPTION) return `2 ${of.exception.id}`;
  return type === L4 ? `0 ${of.l4.af} ${of.l4.port}` : `1 ${of.ip_proto.af} ${of.ip_proto.protocol}`;
}

/** As it is written: one member of the union. */
function told({ type, punt: of }: Punt): Values {
  const { exception, l4, ip_proto } = of;
  return { type, punt: type === EXCEPTION ? { exception } : type === L4 ? { l4 } : { ip_proto } };
}

function addSockets(state: FakeState): void {
  const clients = new Map<string, { readonly type: number; readonly row: Values }>();
  const nodeFor = ({ punt: of }: Punt) => (of.l4.af === 1 ? 'ip6' : 'ip4');
  state.rule(punt.puntSocketRegister, (input: MessageValue<typeof punt.puntSocketRegister>): Outcome => {
    const { header_version, punt: of, pathname } = input;
    if (!isKnown(of)) return swallowed;
    const failed = { reply: { retval: ERROR.unspecified, pathname: state.puntSocket } };
    const { protocol, af, port } = of.punt.l4;
    if (state.puntSocket === '' || header_version !== 1 || pathname === state.puntSocket) return failed;
    if (of.type === L4 && (port === ANY_PORT || !(protocol === UDP || (protocol === ICMP6 && af === 1)))) return failed;
    if (of.type === L4 && protocol === UDP)
      state.udpPorts.set(`${af === 1 ? 6 : 4}/${port}`, `${nodeFor(of)}-udp-punt-socket`);
    if (of.type === PROTO) {
      const { af: family, protocol: number } = of.punt.ip_proto;
      state.protocols.set(`${family === 1 ? 6 : 4}/${number}`, `${nodeFor(of)}-proto-punt-socket`);
    }
    if (of.type === EXCEPTION) state.addSink(of.punt.exception.id, 'exception-punt-socket');
    clients.set(keyOf(of), { type: of.type, row: { punt: told(of), pathname } });
    return { reply: { pathname: state.puntSocket } };
  });
  state.rule(punt.puntSocketDeregister, ({ punt: of }: MessageValue<typeof punt.puntSocketDeregister>): Outcome => {
    if (!isKnown(of)) return refused(of.type === EXCEPTION ? ERROR.unspecified : UNKNOWN_PROTOCOL);
    if (state.puntSocket === '') return refused(ERROR.unspecified);
    const { af, port } = of.punt.l4;
    if (of.type === L4) state.udpPorts.delete(`${af === 1 ? 6 : 4}/${port}`);
    if (of.type === PROTO) state.protocols.delete(`${of.punt.ip_proto.af === 1 ? 6 : 4}/${of.punt.ip_proto.protocol}`);
    clients.delete(keyOf(of));
    return {};
  });
  state.rule(punt.puntSocketDump, ({ type }: MessageValue<typeof punt.puntSocketDump>) => ({
    rows: [...clients.values()].filter((each) => each.type === type).map(({ row }) => row),
  }));
}

function addHosts(state: FakeState): void {
  state.rule(punt.puntReasonDump, ({ reason: { name: asked } }: MessageValue<typeof punt.puntReasonDump>) => ({
    rows: PUNT_REASONS.map((name, i) => ({ reason: { id: i + 1, name } })).filter(
      ({ reason: { name } }) => asked === '' || asked === name,
    ),
  }));
  state.rule(punt.setPunt, ({ is_add, punt: of }: MessageValue<typeof punt.setPunt>): Outcome => {
    if (!isKnown(of)) return refused(ERROR.unspecified);
    if (of.type === EXCEPTION) {
      const { id } = of.punt.exception;
      const node = puntName(id);
      if (is_add && state.sinksOf(id).includes(node)) return refused(ERROR.unspecified);
      if (is_add) state.addSink(id, node);
      else state.removeSink(id, node);
      return {};
    }
    const { af, port, protocol } = of.punt.l4;
    if (of.type !== L4 || ![TCP, UDP].includes(protocol)) return refused(ERROR.unspecified);
    if (port === ANY_PORT) return {};
    if (protocol === TCP) return refused(ERROR.unspecified);
    const family = af === 1 ? 6 : 4;
    if (is_add) state.udpPorts.set(`${family}/${port}`, `ip${family}-udp-punt`);
    else state.udpPorts.delete(`${family}/${port}`);
    return {};
  });
}

function addRedirects(state: FakeState): void {
  type Redirect = MessageValue<typeof addDelIpPuntRedirectV2>['punt'];
  const entries = new Map<string, Redirect>();
  state.rule(addDelIpPuntRedirectV2, ({ is_add, punt: of }: MessageValue<typeof addDelIpPuntRedirectV2>): Outcome => {
    // only a path with a next hop is looked at
    if (is_add && of.paths.some(({ type, sw_if_index }) => type === 0 && !state.interfaces.has(sw_if_index)))
      return refused(NO_PATH_INTERFACE);
    const arc = `ip${of.af === 1 ? 6 : 4}-punt`;
    state.countFeature(0, `${arc} ${arc}-redirect`, is_add);
    const key = `${of.af} ${of.rx_sw_if_index}`;
    if (is_add) entries.set(key, { ...of, paths: of.paths.map((each) => ({ ...each, table_id: 0 })) });
    else entries.delete(key);
    return {};
  });
  state.rule(ipPuntRedirectV2Dump, ({ sw_if_index, af }: MessageValue<typeof ipPuntRedirectV2Dump>) => ({
    rows: [...entries.values()]
      .filter((each) => each.af === af && (sw_if_index === ALL || each.rx_sw_if_index === sw_if_index))
      .sort((a, b) => ((a.rx_sw_if_index + 1) >>> 0) - ((b.rx_sw_if_index + 1) >>> 0))
      .map((each) => ({ punt: each })),
  }));
}

function addPolicers(state: FakeState): void {
  type Infos = MessageValue<typeof policer.policerAdd>['infos'];
  const policers: ({ readonly name: string; readonly infos: Infos } | undefined)[] = [];
  state.rule(policer.policerAdd, ({ name, infos }: MessageValue<typeof policer.policerAdd>): Outcome => {
    if (policers.some((each) => each?.name === name)) return { reply: { retval: ERROR.exists, policer_index: ALL } };
    const free = policers.indexOf(undefined);
    const index = free < 0 ? policers.length : free;
    policers[index] = { name, infos };
    return { reply: { policer_index: index } };
  });
  state.rule(policer.policerUpdate, ({ policer_index, infos }: MessageValue<typeof policer.policerUpdate>): Outcome => {
    const there = policers[policer_index];
    if (there === undefined) return refused(ERROR.entry);
    policers[policer_index] = { ...there, infos };
    return {};
  });
  state.rule(policer.policerDel, ({ policer_index }: MessageValue<typeof policer.policerDel>): Outcome => {
    if (policers[policer_index] === undefined) return refused(ERROR.entry);
    policers[policer_index] = undefined;
    return {};
  });
  state.rule(policer.policerDumpV2, ({ policer_index }: MessageValue<typeof policer.policerDumpV2>) => ({
    rows: (policer_index === ALL ? policers : [policers[policer_index]]).flatMap((each) =>
      each === undefined ? [] : [{ name: each.name, ...each.infos, single_rate: true }],
    ),
  }));
  state.rule(policer.ipPuntPolice, ({ is_add, is_ip6 }: MessageValue<typeof policer.ipPuntPolice>) => {
    const arc = `ip${is_ip6 ? 6 : 4}-punt`;
    state.countFeature(0, `${arc} ${arc}-policer`, is_add);
    return {};
  });
}

export function addPuntRules(state: FakeState): void {
  addSockets(state);
  addHosts(state);
  addRedirects(state);
  addPolicers(state);
}
