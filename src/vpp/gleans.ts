// Gleans: what VPP asks for the neighbours of a connected prefix with, its own address there.
//
// Invariants: VPP gives a glean the interface's address at one moment only: when the interface's own entry of that address
// becomes the one that is used, while the glean is there. Where a route of ours covers the address, or one of the source
// API the prefix, that moment passes by, and VPP asks with the prefix's first address, which nobody answers. So each time
// an address came, or its interface was started, the entry is made to become the used one once more. It stays right then,
// covered or not. The address is received all the while. Reference: VPP's src/vnet/fib/fib_entry_src_interface.c.

import { ipBytes } from '../lib/ip.ts';
import { fibPathNhProto, fibPathType } from './api/fibtypes.ts';
import { ipRouteAddDelV2, ipRouteLookupV2 } from './api/route.ts';
import type { VppClient } from './client.ts';
import { NO_INTERFACE } from './interfaces.ts';
import type { MessageInput } from './message.ts';
import type { Sources } from './sources.ts';

/** VPP's retval of a lookup that finds nothing. */
const NO_SUCH_ENTRY = -6;

type Paths = NonNullable<NonNullable<MessageInput<typeof ipRouteAddDelV2>['route']>['paths']>;

/** Makes VPP learn anew that an address is what its interface asks for neighbours with, in a table of VPP's. */
export async function renewGlean(client: VppClient, sources: Sources, table: number, address: string): Promise<void> {
  const prefix = { address: ipBytes(address), len: address.includes(':') ? 128 : 32 };
  const best = async () => {
    const asked = { table_id: table, exact: 1, prefix };
    const { retval, route } = await client.request(ipRouteLookupV2, asked, { accept: [NO_SUCH_ENTRY] });
    return retval === 0 ? route : undefined;
  };
  type Route = NonNullable<Awaited<ReturnType<typeof best>>>;
  const send = (is_add: boolean, src: number, paths: Paths) => {
    const route = { table_id: table, prefix, src, paths: is_add ? paths : [] };
    return client.request(ipRouteAddDelV2, { is_add, is_multipath: false, route }, { key: address });
  };
  const covering: Route[] = [];
  try {
    for (;;) {
      const route = await best();
      if (route === undefined || (route.src !== sources.local && route.src !== sources.route)) break;
      if (covering.some(({ src }) => src === route.src)) break;
      await send(false, route.src, []);
      covering.push(route);
    }
  } finally {
    // what was taken away is back, whatever was refused
    for (const { src, paths } of covering.toReversed()) await send(true, src, paths);
  }
  if (covering.length > 0) return;
  await send(true, sources.local, [received(prefix.len)]);
  await send(false, sources.local, []);
}

const received = (maxLength: number) => {
  const { FIB_API_PATH_NH_PROTO_IP4: ip4, FIB_API_PATH_NH_PROTO_IP6: ip6 } = fibPathNhProto.values;
  const type = fibPathType.values.FIB_API_PATH_TYPE_LOCAL;
  return { sw_if_index: NO_INTERFACE, proto: maxLength === 128 ? ip6 : ip4, type, weight: 1, nh: {}, label_stack: [] };
};
