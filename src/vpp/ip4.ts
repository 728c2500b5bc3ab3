// Ip4: IPv4 on interfaces without an IPv4 address, which Linux takes too and VPP drops.
//
// Invariants: VPP drops it by a feature that it puts on an interface when the last address goes, and takes off with the
// first one; taking off what is not there does nothing. Its sw_interface_ip4_enable_disable is not used: it does the
// opposite of what it is told (26.06), and counts in no way that could be read. Reference: VPP's
// src/vnet/ip/ip4_forward.c, src/vnet/feature/feature.c; RFC 8950 (IPv4 by IPv6 next hops).

import { featureEnableDisable, featureIsEnabled } from './api/xconnect.ts';
import type { VppClient } from './client.ts';

const FEATURE = 'ip4-not-enabled';
/** How often a feature is taken off at most. */
const MOST = 4;
const ARCS = ['ip4-unicast', 'ip4-multicast'] as const;

async function drops(client: VppClient, sw_if_index: number): Promise<boolean> {
  // older ones cannot be asked
  if (client.unsupported(featureIsEnabled) !== undefined) return true;
  const asked = { sw_if_index, arc_name: ARCS[0], feature_name: FEATURE };
  return (await client.request(featureIsEnabled, asked)).is_enabled;
}

async function put(client: VppClient, sw_if_index: number, key: string, enable: boolean): Promise<void> {
  for (const arc_name of ARCS) {
    const told = { sw_if_index, arc_name, feature_name: FEATURE, enable };
    await client.request(featureEnableDisable, told, { key });
  }
}

/** Has an interface take IPv4 packets, whatever addresses it has. */
export async function takeIp4(client: VppClient, sw_if_index: number, key: string): Promise<void> {
  // VPP has a feature as often as it was put on
  for (let i = 0; i < MOST && (await drops(client, sw_if_index)); i++) await put(client, sw_if_index, key, false);
}

/** Has an interface that has no IPv4 address drop IPv4 packets, as VPP does by itself. */
export async function dropIp4(client: VppClient, sw_if_index: number, key: string): Promise<void> {
  // where it cannot be asked, a second feature would outlive the first address
  if (client.unsupported(featureIsEnabled) !== undefined) return;
  if (!(await drops(client, sw_if_index))) await put(client, sw_if_index, key, true);
}
