// What a VPP cannot do of interconnects and punts, with the reason, by the words of the contract.

import type { Punt } from '../lcp/puntobjects.ts';
import { abfItfAttachAddDel, abfItfAttachDump, abfPolicyAddDel, abfPolicyDump } from './api/abf.ts';
import { aclAddReplace, aclDel, aclDump } from './api/acl.ts';
import { dhcpClientConfig, dhcpClientDump, dhcpProxyConfig, dhcpProxyDump } from './api/dhcp.ts';
import { addDelIpPuntRedirectV2, ipPuntRedirectV2Dump } from './api/ippunt.ts';
import { ipPuntPolice, policerAdd, policerDel, policerDumpV2, policerUpdate } from './api/policer.ts';
import { proxyArpAddDel, proxyArpDump, proxyArpIntfcDump, proxyArpIntfcEnableDisable } from './api/proxy.ts';
import { puntSocketDeregister, puntSocketDump, puntSocketRegister, setPunt } from './api/punt.ts';
import { swInterfaceSpanDump, swInterfaceSpanEnableDisable } from './api/span.ts';
import { featureIsEnabled, l2XconnectDump, swInterfaceSetL2Xconnect } from './api/xconnect.ts';
import type { Interconnects } from './interconnects.ts';
import type { PuntContext } from './puntparts.ts';
import { NO_CLASSES } from './puntpolicers.ts';
import { NO_ND } from './puntproxies.ts';
import { NO_SOCKET_HINT } from './puntsockets.ts';

/** What is so with every VPP. */
const ALWAYS = [
  ['police class', NO_CLASSES],
  [
    'police size',
    'VPP limits a number of packets as if each had 256 bytes: of smaller ones more pass, of larger ones fewer; kbps are what they say',
  ],
  [
    'host copies',
    'what goes to a socket and to the host loses its Ethernet header on the way to the host: redirect it to a next hop',
  ],
  ['socket tcp', 'VPP hands only UDP ports to sockets'],
  ['socket any', 'VPP hands single ports to sockets, and not all that nobody has'],
  ['host tcp', 'VPP punts the TCP ports that nobody has all together, and no single one'],
  ['proxy 6', NO_ND],
  ['proxy interface', 'an interface of VPP answers for all ranges of its table, not for its own alone'],
  ['osi unpaired', 'VPP hands OSI protocols over by pairs (lcp_osi_proto_enable)'],
  ['osi memif', 'what a CNF sends of OSI protocols is read at its end of a TAP, and VPP drops that of a memif'],
  ['abx dst-mac', 'VPP sends packets on with the destination MAC that they came with: the CNF needs that of the phy'],
  [
    'abx multicast',
    'policies of VPP are about unicast: of groups those of the link (224.0.0.0/24, ff02::/16) are handed on by lcpd, by protocols and ' +
      'single UDP ports that VPP does not have itself; what a punt misses is among its notes',
  ],
  ['abx deny', 'a rule that denies keeps packets from being punted, where the original punts them too'],
  ['abx vlan', 'packets of a sub-interface reach the CNF with the tags that they came with'],
  [
    'dhcp-proxy ipv6',
    'VPP loses answers of servers that put the message before the interface (option 9 before 18), as dnsmasq does and Kea does not, ' +
      'and spoils requests whose checksum is left to a device, as those of virtual machines and containers are',
  ],
  ['span subif', 'VPP mirrors what comes in by whole devices, not by sub-interfaces'],
  ['link phy', 'interfaces of VPP need none: punts name them as they are'],
] as const;

/** What a VPP tells when it is asked. */
export interface PuntAnswers {
  /** Path of its punt socket, '' for none. */
  readonly server: string;
  /** Why it has no OSI protocols, undefined where it has. */
  readonly osi: string | undefined;
}

/** By what it is about; `answers` are undefined before it was asked. */
export function puntGaps(
  at: PuntContext,
  interconnects: Interconnects,
  answers?: PuntAnswers,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [what, why] of ALWAYS) found.set(what, why);
  const needs = {
    xconnect: at.lacks('', l2XconnectDump, swInterfaceSetL2Xconnect),
    span: at.lacks('', swInterfaceSpanDump, swInterfaceSpanEnableDisable),
    abx:
      at.lacks('acl_plugin', aclAddReplace, aclDel, aclDump) ??
      at.lacks('abf_plugin', abfPolicyAddDel, abfPolicyDump, abfItfAttachAddDel, abfItfAttachDump),
    socket: at.lacks('', puntSocketRegister, puntSocketDeregister, puntSocketDump),
    host: at.lacks('', setPunt),
    redirect: at.lacks('', addDelIpPuntRedirectV2, ipPuntRedirectV2Dump),
    police:
      at.lacks('policer_plugin', policerAdd, policerUpdate, policerDel, policerDumpV2, ipPuntPolice) ??
      at.lacks('', featureIsEnabled),
    'dhcp-proxy': at.lacks('dhcp_plugin', dhcpProxyConfig, dhcpProxyDump),
    proxy: at.lacks('', proxyArpAddDel, proxyArpDump, proxyArpIntfcDump, proxyArpIntfcEnableDisable),
    'link dhcp-client': at.lacks('dhcp_plugin', dhcpClientConfig, dhcpClientDump),
    'link tap': interconnects.unsupported('tap'),
    'link memif': interconnects.unsupported('memif'),
  };
  for (const [what, why] of Object.entries(needs)) if (why !== undefined) found.set(what, why);
  if (answers?.osi !== undefined) found.set('osi', answers.osi);
  if (answers?.server === '') found.set('socket', `VPP has no punt socket: ${NO_SOCKET_HINT}`);
  return found;
}

/** What this VPP makes of a punt that it has, where that is not all that was asked for: see ALWAYS. */
export function gapsOfPunt(punt: Punt, gaps: ReadonlyMap<string, string>): string[] {
  const what: string[] = [];
  if (punt.feature === 'dhcp-proxy' && punt.family === 6) what.push('dhcp-proxy ipv6');
  if (punt.feature === 'police' && punt.unit === 'pps') what.push('police size');
  if (punt.feature === 'abx' && punt.rules.some(({ permit }) => !permit)) what.push('abx deny');
  if (punt.feature === 'abx' && punt.from.includes('.')) what.push('abx vlan');
  return what.flatMap((each) => gaps.get(each) ?? []);
}
