// Taps of interconnects: devices of the kernel in the CNF's namespace, of which VPP has the other end.
//
// Invariants: the device has the interface's name, so that both ends are known by one. A namespace is told by name, lcpd's own
// not at all where VPP is in it too, and else by lcpd's process. Needs /dev/vhost-net. Reference: VPP's src/plugins/tap/tap.c.

import { statSync } from 'node:fs';
import type { Interconnect } from '../lcp/puntobjects.ts';
import { LcpError, messageOf } from '../lib/errors.ts';
import { swInterfaceTapV2Dump, tapCreateV3, tapDeleteV2, tapFlags } from './api/tap.ts';
import type { VppClient } from './client.ts';
import { macBytes, macText, NO_INTERFACE } from './interfaces.ts';
import { tagOf } from './punttags.ts';

const ANY_ID = 0xffff_ffff;
const RING = 256;
const { TAP_API_FLAG_GSO: GSO, TAP_API_FLAG_TUN: TUN } = tapFlags.values;
const OWN_NETNS = /^(|\/proc\/\d+\/ns\/net)$/;
const HINT =
  'check that VPP may open /dev/net/tun and /dev/vhost-net (modprobe vhost_net), that the namespace exists and the name is free in it';

/** What VPP tells of a tap, in our words. */
export interface Tap {
  readonly netns: string;
  readonly peer: string;
  readonly peerMac: string;
  readonly gso: boolean;
  /** Of the device, 0 where VPP did not say any. */
  readonly mtu: number;
}

export class PuntTaps {
  readonly #client: VppClient;
  readonly #pid: number;

  /** `pid` is VPP's. */
  constructor(client: VppClient, pid: number) {
    this.#client = client;
    this.#pid = pid;
  }

  /** By sw_if_index. */
  async read(): Promise<Map<number, Tap>> {
    const rows = await this.#client.dump(swInterfaceTapV2Dump, { sw_if_index: NO_INTERFACE });
    return new Map(
      rows
        .filter(({ tap_flags }) => (tap_flags & TUN) === 0)
        .map((row) => [
          row.sw_if_index,
          {
            netns: OWN_NETNS.test(row.host_namespace) ? '' : row.host_namespace,
            peer: row.host_if_name,
            peerMac: macText(row.host_mac_addr),
            gso: (row.tap_flags & GSO) !== 0,
            mtu: row.host_mtu_size,
          },
        ]),
    );
  }

  /** Makes it with its tag; sw_if_index. */
  async make(of: Interconnect): Promise<number> {
    const namespace = of.netns === '' ? this.#ownNamespace() : of.netns;
    const told = {
      id: ANY_ID,
      use_random_mac: of.mac === '',
      mac_address: of.mac === '' ? undefined : macBytes(of.mac),
      num_rx_queues: 1,
      num_tx_queues: 1,
      tx_ring_sz: RING,
      rx_ring_sz: RING,
      host_mtu_set: of.mtu !== 0,
      host_mtu_size: of.mtu,
      host_mac_addr_set: of.peerMac !== '',
      host_mac_addr: of.peerMac === '' ? undefined : macBytes(of.peerMac),
      tap_flags: of.gso ? GSO : 0,
      host_namespace_set: namespace !== '',
      host_namespace: namespace,
      host_if_name_set: true,
      host_if_name: of.name,
      tag: tagOf(of),
    };
    try {
      return (await this.#client.request(tapCreateV3, told, { key: of.name })).sw_if_index;
    } catch (error) {
      if (!(error instanceof LcpError) || error.retval === undefined) throw error;
      throw new LcpError('HOST_DEVICE', {
        op: 'make tap',
        key: of.name,
        message: messageOf(error),
        hint: HINT,
        cause: error,
      });
    }
  }

  /** lcpd's own namespace as VPP has to be told it. */
  #ownNamespace(): string {
    const [own, theirs] = [process.pid, this.#pid].map((pid) => identity(`/proc/${pid}/ns/net`));
    return own === theirs ? '' : `/proc/${process.pid}/ns/net`;
  }

  async delete(sw_if_index: number, key: string): Promise<void> {
    await this.#client.request(tapDeleteV2, { sw_if_index }, { key });
  }
}

/** "dev:ino" of a namespace, '' when it is gone or may not be looked at. */
function identity(path: string): string {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'ESRCH') throw error;
    return '';
  }
}
