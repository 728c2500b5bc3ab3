/**
 * A VPP that relays DHCP, and our relay as a program beside it, given the same frames.
 *
 * Clients are behind c0 (untagged, VLAN 10, VLANs 20.30 with an 802.1ad tag outside) and c1, which has no address of its
 * own but c0's; servers behind s0. What is sent is raw, what comes out is captured, both as hex.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { addVeth, inNetns, ip } from '../../system/lab/netns.ts';
import { run, slowness } from '../../system/lab/process.ts';
import { capture, sendFrames } from '../../system/lab/traffic.ts';
import type { VppLab } from '../lab.ts';
import { address6, frame, framesOf, isUdp, l3Of, oneHopLess, packet4, trimmed } from './dhcpframes.ts';
import type { RealVpp } from './realvpp.ts';

const native = fileURLToPath(new URL('../../../src/forwarding/native', import.meta.url));
const program = fileURLToPath(new URL('../../../build/native-test/relaypipe', import.meta.url));

function vlan(name: string, tags: readonly string[], address: string, address6: string) {
  return { dev: 'c0', tags, name, address, address6 };
}

export const SOURCE = '0a0900fe';
export const SERVERS = ['0a090001', '0a090002'] as const;
export const SOURCE6 = address6('20010db80009', 'fe');
export const SERVERS6 = [address6('20010db80009', '01'), address6('20010db80009', '02')] as const;

/**
 * Where a frame comes in: a device of the lab, its tags, VPP's name of it and its addresses. A frame with an 802.1ad tag
 * does not come into VPP by a veth as it was sent: `qinq` is for what goes out.
 */
export const PLACES = {
  c0: { dev: 'c0', tags: [], name: 'host-c0', address: '0a000001', address6: address6('fd00', '01') },
  c1: { dev: 'c1', tags: [], name: 'host-c1', address: '0a000001', address6: address6('fd00', '01') },
  vlan: vlan('host-c0.10', ['8100000a'], '0a000a01', address6('fd000000000a', '01')),
  qinq: vlan('host-c0.20', ['88a80014', '8100001e'], '0a001401', address6('fd0000000014', '01')),
  stacked: vlan('host-c0.30', ['8100001e', '81000028'], '0a001e01', address6('fd000000001e', '01')),
  elsewhere: vlan('host-c0.40', ['81000028'], '0a002801', address6('fd0000000028', '01')),
  bare: vlan('host-c0.50', ['81000032'], '-', '-'),
  s0: { dev: 's0', tags: [], name: 'host-s0', address: '-', address6: '-' },
} as const;
export type Place = keyof typeof PLACES;

/** Lines of VPP's command line that make the router. */
const SETUP = `
create host-interface name c0
create host-interface name c1
create host-interface name s0
create sub-interfaces host-c0 10
create sub-interfaces host-c0 20 dot1ad 20 inner-dot1q 30 exact-match
create sub-interfaces host-c0 30 dot1q 30 inner-dot1q 40 exact-match
create sub-interfaces host-c0 40
create sub-interfaces host-c0 50
ip table add 7
ip6 table add 7
set interface ip table host-c0.40 7
set interface ip6 table host-c0.40 7
set interface mtu 9000 host-c0
set interface mtu 9000 host-s0
set interface state host-c0 up
set interface state host-c1 up
set interface state host-s0 up
set interface state host-c0.10 up
set interface state host-c0.20 up
set interface state host-c0.30 up
set interface state host-c0.40 up
set interface state host-c0.50 up
set interface ip address host-c0 10.0.0.1/24
set interface ip address host-c0 10.0.7.1/24
set interface ip address host-c0 fd00::1/64
set interface ip address host-c0.10 10.0.10.1/24
set interface ip address host-c0.10 fd00:0:a::1/64
set interface ip address host-c0.20 10.0.20.1/24
set interface ip address host-c0.20 fd00:0:14::1/64
set interface ip address host-c0.30 10.0.30.1/24
set interface ip address host-c0.30 fd00:0:1e::1/64
set interface ip address host-c0.40 10.0.40.1/24
set interface ip address host-c0.40 fd00:0:28::1/64
enable ip4 interface host-c0.50
enable ip6 interface host-c0.50
set interface ip address host-s0 10.9.0.254/24
set interface ip address host-s0 2001:db8:9::fe/64
set interface unnumbered host-c1 use host-c0
enable ip6 interface host-c1
ip route add 10.0.8.99/32 via 10.0.8.99 host-c1
set dhcp proxy server 10.9.0.1 src-address 10.9.0.254
set dhcp proxy server 10.9.0.2 src-address 10.9.0.254
set dhcpv6 proxy server 2001:db8:9::1 src-address 2001:db8:9::fe
set dhcpv6 proxy server 2001:db8:9::2 src-address 2001:db8:9::fe`;

const DEVICES = ['c0', 'c1', 's0'] as const;
/** At the end of the packets that end a capture. */
const LAST = 'feedbeef';

export interface Sent {
  readonly place: Place;
  /** The frame. */
  readonly hex: string;
}

export class Relays {
  readonly #lab: VppLab;
  readonly vpp: RealVpp;
  /** VPP's MACs. */
  readonly macs = new Map<string, string>();
  readonly numbers = new Map<Place, number>();
  /** Lines that tell our relay of the same router. */
  readonly #lines: string[] = [];
  #captures = 0;

  private constructor(lab: VppLab, vpp: RealVpp) {
    this.#lab = lab;
    this.vpp = vpp;
  }

  static async open(lab: VppLab): Promise<Relays> {
    await run(['nice', 'make', '--no-print-directory', '-C', native, program], { timeoutMs: 120_000 });
    const rtr = await lab.addNetns('rtr');
    for (const dev of DEVICES) {
      const ns = await lab.addNetns(dev);
      await addVeth({ ns: rtr, dev }, { ns, dev });
      for (const end of [rtr, ns]) await ip(end, 'link', 'set', dev, 'mtu', '9000', 'up');
      // What is sent is what the tests send.
      await run(inNetns(ns, ['sysctl', '-q', '-w', `net.ipv6.conf.${dev}.disable_ipv6=1`]));
    }
    const vpp = await lab.addVpp({ netns: rtr, plugins: ['af_packet', 'dhcp'] });
    const relays = new Relays(lab, vpp);
    for (const line of SETUP.trim().split('\n')) await relays.ctl(line);
    await relays.#learn();
    return relays;
  }

  /** A line of VPP's that must be taken. */
  async ctl(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.vpp.ctl(line);
    if (code !== 0 || /unknown|error|invalid|not /i.test(stdout)) throw new Error(`${line}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Reads VPP's numbers and MACs, tells VPP who is behind s0, and our relay of them all. */
  async #learn(): Promise<void> {
    const shown = (await this.vpp.ctl('show interface')).stdout;
    for (const place of Object.keys(PLACES) as Place[]) {
      const { dev, tags, name, address, address6 } = PLACES[place];
      const hardware = (await this.vpp.ctl(`show hardware-interfaces host-${dev}`)).stdout;
      const mac = /Ethernet address ([0-9a-f:]+)/.exec(hardware)?.[1]?.replaceAll(':', '');
      const number = new RegExp(`^${name} +(\\d+) +up`, 'm').exec(shown)?.[1];
      if (mac === undefined || number === undefined) throw new Error(`${place}: ${hardware}${shown}`);
      this.macs.set(dev, mac);
      this.numbers.set(place, Number(number));
      if (place !== 's0') this.#lines.push(`interface ${number} ${mac} ${address} ${address6} ${tags.join(' ')}`);
      if (place === 'elsewhere') this.#lines.push(`outside ${number}`);
    }
    const hosts = {
      c0: ['10.0.0.99'],
      c1: ['10.0.8.99'],
      s0: ['10.9.0.1', '10.9.0.2', '2001:db8:9::1', '2001:db8:9::2'],
    };
    for (const [dev, addresses] of Object.entries(hosts))
      for (const each of addresses) await this.ctl(`set ip neighbor host-${dev} ${each} 02:00:00:00:99:99`);
    this.#lines.push(`relay ${SOURCE} ${SERVERS.join(' ')}`, `relay ${SOURCE6} ${SERVERS6.join(' ')}`);
  }

  number(place: Place): string {
    return (this.numbers.get(place) ?? -1).toString(16).padStart(8, '0');
  }

  mac(place: Place): string {
    return this.macs.get(PLACES[place].dev) ?? '';
  }

  /** Our relay gets another VPN to say. */
  vss(type: number, id: string): void {
    this.#lines.push(`vss ${type} ${id}`);
  }

  /** A packet as it comes in at a place. */
  frame(place: Place, packet: string, client = '020000000a01'): string {
    const group = { '4': 'ffffffffffff', '6': '333300010002' }[packet[0] ?? ''] ?? '';
    return frame(place === 's0' ? this.mac('s0') : group, client, PLACES[place].tags, packet);
  }

  /** What our relay makes of frames: for each one why not, or 'sent' and what goes out, routed on. */
  async ours(frames: readonly Sent[]): Promise<{ fate: string; out: string[] }[]> {
    const input = [
      ...this.#lines,
      ...frames.map(({ place, hex }) => `frame ${this.numbers.get(place) ?? -1} ${hex}`),
    ].join('\n');
    const lines = (await run([program], { input: `${input}\n` })).trimEnd().split('\n');
    return lines.map((line, at) => {
      const [fate = '', ...out] = line.split(' ');
      return { fate, out: frames[at]?.place === 's0' ? out : out.map(oneHopLess) };
    });
  }

  /**
   * What VPP makes of the same frames, in any order: packets to servers, frames to clients. `expected` is how many there
   * should be, which are waited for; packets of two processors overtake each other.
   */
  async theirs(frames: readonly Sent[], expected: number): Promise<string[]> {
    const round = this.#captures++;
    const logFile = (dev: string): string => `${this.#lab.dir}/${dev}-${round}.log`;
    const found = (): string[] =>
      DEVICES.flatMap((dev) =>
        framesOf(readFileSync(logFile(dev), 'utf8'))
          .filter(({ hex }) => isUdp(hex) && !hex.includes(LAST))
          .map(({ hex }) => (dev === 's0' ? trimmed(hex).slice(2 * l3Of(hex)) : trimmed(hex))),
      );
    const send = async (): Promise<void> => {
      for (const dev of DEVICES) {
        const own = frames.filter(({ place }) => PLACES[place].dev === dev).map(({ hex }) => hex);
        if (own.length > 0) await sendFrames(this.#lab.ns(dev), dev, own);
      }
      const deadline = performance.now() + 5_000 * slowness;
      while (found().length < expected && performance.now() < deadline) await sleep(50);
      await this.#sendLast();
    };
    const until = / > [0-9.]+\.9: /;
    const listen = async ([dev, ...others]: readonly string[]): Promise<void> => {
      if (dev === undefined) return send();
      const at = {
        ns: this.#lab.ns(dev),
        dev,
        filter: '-xx -s 4096 -B 16384 -Q in udp or vlan',
        logFile: logFile(dev),
        until,
      };
      const log = await capture(at, () => listen(others));
      if (!until.test(log)) throw new Error(`${dev}: the last packet did not come: ${log}`);
      if (!/^0 packets dropped by kernel/m.test(log)) throw new Error(`${dev}: tcpdump has lost some: ${log}`);
    };
    await listen(DEVICES);
    return found();
  }

  /** Packets that VPP only routes, to each device: what came before has gone when they have. */
  async #sendLast(): Promise<void> {
    const send = (from: Place, src: string, dst: string): Promise<unknown> => {
      const packet = packet4({ mark: '000000', options: LAST, src, dst, sport: 9, dport: 9 });
      return sendFrames(this.#lab.ns(from), from, [frame(this.mac(from), '020000000a01', [], packet)]);
    };
    await send('c0', '0a000063', SERVERS[0]);
    await send('s0', SERVERS[0], '0a000063');
    await send('s0', SERVERS[0], '0a000863');
  }
}
