// ICMP summaries, for IPv4 and IPv6: type and code by name, and what identifies the message.
//
// Reference: RFC 792, 1191, 1812 (codes), 4443, 4861 (neighbour discovery), 3810 (MLDv2).

import { formatIpv4, formatIpv6 } from '../lib/ip.ts';

const unreachable4: Readonly<Record<number, string>> = {
  0: 'net unreachable',
  1: 'host unreachable',
  2: 'protocol unreachable',
  3: 'port unreachable',
  4: 'need to fragment',
  9: 'net prohibited',
  10: 'host prohibited',
  13: 'admin prohibited',
};

const types4: Readonly<Record<number, string>> = {
  0: 'echo reply',
  4: 'source quench',
  5: 'redirect',
  8: 'echo request',
  9: 'router advertisement',
  10: 'router solicitation',
  11: 'time exceeded',
  12: 'parameter problem',
};

const unreachable6: Readonly<Record<number, string>> = {
  0: 'no route',
  1: 'admin prohibited',
  2: 'beyond scope',
  3: 'address unreachable',
  4: 'port unreachable',
  5: 'source address failed policy',
  6: 'reject route',
};

const types6: Readonly<Record<number, string>> = {
  2: 'packet too big',
  3: 'time exceeded',
  4: 'parameter problem',
  128: 'echo request',
  129: 'echo reply',
  130: 'multicast listener query',
  131: 'multicast listener report',
  132: 'multicast listener done',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbour solicitation',
  136: 'neighbour advertisement',
  137: 'redirect',
  143: 'multicast listener report v2',
};

function echo(bytes: Buffer): string {
  return bytes.length < 8 ? ' [|icmp]' : `, id ${bytes.readUInt16BE(4)}, seq ${bytes.readUInt16BE(6)}`;
}

export function summarizeIcmp4(bytes: Buffer): string {
  if (bytes.length < 4) return 'ICMP [|icmp]';
  const type = bytes.readUInt8(0);
  const code = bytes.readUInt8(1);
  if (type === 3) {
    const mtu = code === 4 && bytes.length >= 8 ? `, mtu ${bytes.readUInt16BE(6)}` : '';
    return `ICMP ${unreachable4[code] ?? `unreachable code ${code}`}${mtu}`;
  }
  const name = types4[type] ?? `type ${type} code ${code}`;
  if (type === 0 || type === 8) return `ICMP ${name}${echo(bytes)}`;
  if (type === 5 && bytes.length >= 8) return `ICMP ${name} to ${formatIpv4(bytes, 4)}`;
  return `ICMP ${name}`;
}

export function summarizeIcmp6(bytes: Buffer): string {
  if (bytes.length < 4) return 'ICMP6 [|icmp6]';
  const type = bytes.readUInt8(0);
  const code = bytes.readUInt8(1);
  if (type === 1) return `ICMP6 ${unreachable6[code] ?? `unreachable code ${code}`}`;
  const name = types6[type] ?? `type ${type} code ${code}`;
  if (type === 128 || type === 129) return `ICMP6 ${name}${echo(bytes)}`;
  if (type === 2) return bytes.length < 8 ? `ICMP6 ${name} [|icmp6]` : `ICMP6 ${name}, mtu ${bytes.readUInt32BE(4)}`;
  if (type >= 135 && type <= 137) {
    return bytes.length < 24 ? `ICMP6 ${name} [|icmp6]` : `ICMP6 ${name}, target ${formatIpv6(bytes, 8)}`;
  }
  return `ICMP6 ${name}`;
}
