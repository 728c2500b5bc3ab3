// MulticastRouter: what pimd or smcroute is to the kernel: the socket that owns a namespace's multicast tables.
//
// Invariants: one a namespace and family; closing it takes its interfaces and entries out of the kernel.
// Reference: linux/mroute.h, linux/mroute6.h.

import koffi from 'koffi';
import { AF_INET, AF_INET6, ipBytes } from '../../../src/lib/ip.ts';
import { closeFd, errnoName, withNetns } from '../../../src/lib/libc.ts';

const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int, int, int)') as (domain: number, type: number, protocol: number) => number;
const setsockoptCall = libc.func('int setsockopt(int, int, int, const void *, uint32_t)') as (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  size: number,
) => number;

const SOCK_RAW = 3;
const IPPROTO_IGMP = 2;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_IPV6 = 41;
const MRT_INIT = 200;
const MRT_ADD_VIF = 202;
const MRT_ADD_MFC = 204;
const MRT_DEL_MFC = 205;
const MRT_ADD_MFC_PROXY = 210;
const VIFF_USE_IFINDEX = 8;
const MAXVIFS = 32;

export class MulticastRouter {
  readonly #family: number;
  readonly #fd: number;
  readonly #vifs: number[] = [];

  /** Interfaces become virtual ones, numbered in this order. Throws without root, and ENOPROTOOPT in the text where the kernel cannot. */
  constructor(netns: string, family: number, ifindexes: readonly number[]) {
    this.#family = family;
    const protocol = family === AF_INET ? IPPROTO_IGMP : IPPROTO_ICMPV6;
    this.#fd = withNetns(netns, () => socketCall(family, SOCK_RAW, protocol));
    if (this.#fd < 0) throw new Error(`no raw socket: ${errnoName(koffi.errno())}`);
    try {
      this.#set(MRT_INIT, new Uint8Array(new Int32Array([1]).buffer));
      for (const ifindex of ifindexes) this.#addVif(ifindex);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #set(name: number, value: Uint8Array): void {
    const level = this.#family === AF_INET6 ? IPPROTO_IPV6 : 0;
    if (setsockoptCall(this.#fd, level, name, value, value.length) === 0) return;
    throw new Error(`multicast routing option ${name}: ${errnoName(koffi.errno())}`);
  }

  #addVif(ifindex: number): void {
    const vif = this.#vifs.push(ifindex) - 1;
    const isV6 = this.#family === AF_INET6;
    const value = new Uint8Array(isV6 ? 12 : 16);
    const view = new DataView(value.buffer);
    view.setUint16(0, vif, true);
    value[2] = isV6 ? 0 : VIFF_USE_IFINDEX;
    value[3] = 1;
    if (isV6) view.setUint16(4, ifindex, true);
    else view.setInt32(8, ifindex, true);
    this.#set(MRT_ADD_VIF, value);
  }

  /** Adds or replaces (source, group); an empty source is any. `out` are interfaces and their TTL thresholds. */
  add(source: string, group: string, iif: number, out: Readonly<Record<number, number>>): void {
    this.#set(source === '' ? MRT_ADD_MFC_PROXY : MRT_ADD_MFC, this.#entry(source, group, iif, out));
  }

  del(source: string, group: string, iif: number): void {
    this.#set(MRT_DEL_MFC, this.#entry(source, group, iif, {}));
  }

  #entry(source: string, group: string, iif: number, out: Readonly<Record<number, number>>): Uint8Array {
    const vifOf = (ifindex: number) => this.#vifs.indexOf(ifindex);
    const from = source === '' ? (this.#family === AF_INET ? '0.0.0.0' : '::') : source;
    if (this.#family === AF_INET) {
      // struct mfcctl
      const value = new Uint8Array(60);
      value.set(ipBytes(from), 0);
      value.set(ipBytes(group), 4);
      new DataView(value.buffer).setUint16(8, vifOf(iif), true);
      for (const [ifindex, ttl] of Object.entries(out)) value[10 + (vifOf(Number(ifindex)) % MAXVIFS)] = ttl;
      return value;
    }
    // struct mf6cctl: two sockaddr_in6, the input, a bit for each output
    const value = new Uint8Array(92);
    const view = new DataView(value.buffer);
    view.setUint16(0, AF_INET6, true);
    value.set(ipBytes(from), 8);
    view.setUint16(28, AF_INET6, true);
    value.set(ipBytes(group), 36);
    view.setUint16(56, vifOf(iif), true);
    let bits = 0;
    for (const ifindex of Object.keys(out)) bits |= 1 << vifOf(Number(ifindex));
    view.setUint32(60, bits, true);
    return value;
  }

  close(): void {
    closeFd(this.#fd);
  }
}
