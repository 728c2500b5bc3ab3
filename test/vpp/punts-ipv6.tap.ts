/**
 * Punts of IPv6 on a real VPP, with packets: redirects to a next hop and as they came, types of ICMPv6 to a client's socket. Numbers are
 * those of the punt manager's scenarios.
 */

import type { Punt, PuntMatch } from '../../src/lcp/puntobjects.ts';
import { ipBytes } from '../../src/lib/ip.ts';
import { waitFor } from '../system/lab/process.ts';
import { buildPuntClient, PuntClient } from '../system/lab/puntclient.ts';
import { frameOf, internetSum, ipPacket, PROTO } from '../system/lab/rawframes.ts';
import { Sniffer } from '../system/lab/sniffer.ts';
import { PuntLab } from './lab/puntplane.ts';
import { vpp } from './lab.ts';

const PORT = 9100;
const ICMP6 = 58;
const CNF_MAC = '02:00:00:00:c0:02';
const HOST_MAC = '02:00:00:00:a0:02';
const [SRC, DST] = ['fd00:0::2', 'fd00:0::1'];

const host = (family: 4 | 6): Punt => ({
  kind: 'punt',
  feature: 'host',
  match: { by: 'port', family, protocol: PROTO.udp, port: PORT },
});
const redirect = (nexthop: string, family: 4 | 6 = 6): Punt => ({
  kind: 'punt',
  feature: 'redirect',
  family,
  rx: '',
  tx: 'host-c0',
  nexthop,
});

vpp('scenario 10: IPv6 to a next hop and as it came, beside IPv4, each by its own entry', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  const frames = [p.udp(PORT, 7, DST), p.udp(PORT, 7)];
  const [six = Buffer.alloc(0), four = Buffer.alloc(0)] = frames;
  const entries = async () => {
    const shown = `${await p.show('show ip punt redirect')}${await p.show('show ip6 punt redirect')}`;
    return (shown.match(/ rx /g) ?? []).length;
  };
  const own = p.mac('host-c0');
  /** What the CNF has of the two, until it has one of a family that is sent behind them. */
  const arrive = async (behind: 4 | 6): Promise<string[]> => {
    const last = p
      .udp(PORT, 9, behind === 6 ? DST : '10.0.0.1')
      .subarray(14)
      .toString('hex');
    const cnf = await Sniffer.on(lab, lab.ns('cnf'), 'eth0', 'in', `udp port ${PORT}`);
    await p.send('h0', ...frames, frameOf(p.mac('host-p0'), HOST_MAC, Buffer.from(last, 'hex')));
    await cnf.has((hex) => hex.endsWith(last));
    await cnf.stop();
    return cnf.frames().filter((hex) => !hex.endsWith(last));
  };
  const hop = (frame: Buffer) => frameOf(CNF_MAC, own, frame.subarray(14)).toString('hex');
  await p.real.ctl('set interface ip address host-c0 fd09::1/64');
  await p.real.ctl(`set ip neighbor host-c0 fd09::2 ${CNF_MAC}`);
  await p.put(host(6), host(4), redirect('fd09::2'));
  t.same(await arrive(6), [hop(six)], 'to the MAC of the next hop, hop limit and all; nobody has asked for IPv4');

  await p.put(redirect('', 4));
  t.same(await arrive(4), [hop(six), four.toString('hex')].sort(), 'IPv4 has an entry of its own');
  await p.again(redirect('fd09::2'), redirect('', 4), host(6), host(4));
  t.same(await p.keys(), ['host udp4/9100', 'host udp6/9100', 'redirect ip4 any', 'redirect ip6 any']);
  for (let i = 0; i < 3; i++) await p.put(redirect('fd09::2'), redirect('', 4));
  t.equal(await entries(), 2, 'one for each family, however often they are told');

  await p.put(redirect(''));
  t.same(await arrive(4), [six, four].map((frame) => frame.toString('hex')).sort(), 'as it came, without a next hop');
  await p.drop(redirect(''));
  t.same(await arrive(4), [four.toString('hex')], 'what is taken off leaves the other family alone');
  await p.drop(redirect('', 4), host(4), host(6));
  t.equal(await entries(), 0);
  t.same(p.remarks, []);
});

/** An ICMPv6 message of that type to the router. */
function icmp6(mac: string, type: number, text: string, dst = DST): Buffer {
  const message = Buffer.concat([Buffer.from([type, 0, 0, 0]), Buffer.from(text)]);
  const pseudo = Buffer.from([0, 0, message.length >> 8, message.length & 0xff, 0, 0, 0, ICMP6]);
  message.writeUInt16BE(internetSum(ipBytes(SRC), ipBytes(dst), pseudo, message), 2);
  return frameOf(mac, HOST_MAC, ipPacket({ src: SRC, dst, proto: ICMP6, ttl: 255, payload: message }));
}

vpp('types of ICMPv6 that VPP does not know go to a client, whole; those that it has it keeps', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  await buildPuntClient();
  const client = new PuntClient(`${lab.dir}/c.sock`);
  lab.defer(() => client.stop());
  await client.ready();
  const socket = (match: PuntMatch): Punt => ({ kind: 'punt', feature: 'socket', match, path: client.path });
  const type = (number: number): PuntMatch => ({ by: 'icmp6', type: number });
  const frames = [200, 201].map((number) => icmp6(p.mac('host-p0'), number, `of type ${number}, of even length`));
  const [asked = Buffer.alloc(0)] = frames;
  const port: PuntMatch = { by: 'port', family: 6, protocol: PROTO.udp, port: PORT };

  await p.put(socket(type(200)), socket(port));
  t.same(await p.keys(), ['socket icmp6/200', `socket udp6/${PORT}`]);
  await p.send('h0', ...frames, p.udp(PORT, 64, DST));
  await waitFor('the datagram behind them', () => client.got().length >= 2);
  t.same(
    client.got().map(({ hex, number }) => [hex, number]),
    [asked, p.udp(PORT, 64, DST)].map((frame) => [frame.toString('hex'), p.dataplane.port('host-p0')]),
    'the type that was asked for, as it came, with its interface; and not the other one',
  );

  for (const known of [128, 133, 135])
    t.match(await p.one('set', socket(type(known))), { ok: false, code: 'REFUSED' }, `${known} is VPP's own`);
  t.match(
    await p.one('set', socket({ ...port, port: 200 } as PuntMatch)),
    { ok: false, code: 'REFUSED' },
    'VPP has one number for a type and a port of UDP',
  );
  await p.again(socket(type(200)), socket(port));
  await p.put(socket(type(200)));
  await p.send('h0', asked);
  await waitFor('it after a restart', () => client.got().length >= 3);

  await p.drop(socket(type(200)));
  t.same(await p.keys(), [`socket udp6/${PORT}`]);
  await p.send('h0', asked, p.udp(PORT, 63, DST));
  await waitFor('the datagram behind it', () => client.got().length >= 4);
  t.equal(client.got().at(-1)?.hex, p.udp(PORT, 63, DST).toString('hex'), 'what is taken off is not delivered');
  t.equal(client.got().length, 4);
  t.same(p.remarks, []);
});
