/**
 * The part of the conversation that concerns tables, sources and routes of IPv4, IPv6, MPLS and multicast.
 */
import { ipBytes } from '../../../src/lib/ip.ts';
import { fibSourceAdd, fibSourceDump } from '../../../src/vpp/api/fib.ts';
import * as itf from '../../../src/vpp/api/interface.ts';
import * as ip from '../../../src/vpp/api/ip.ts';
import * as mpls from '../../../src/vpp/api/mpls.ts';
import { ipMrouteAddDel, ipMrouteDump } from '../../../src/vpp/api/mroute.ts';
import * as route from '../../../src/vpp/api/route.ts';
import { cliInband } from '../../../src/vpp/api/vpe.ts';
import type { FibPathInput } from '../../../src/vpp/routebatch.ts';
import type { Talk } from './talk.ts';

export interface Subjects {
  readonly loop: number;
  readonly other: number;
  /** An interface that is not there. */
  readonly absent: number;
}

const via = (sw_if_index: number, gateway: string): FibPathInput => ({
  sw_if_index,
  weight: 1,
  nh: { address: ipBytes(gateway) },
});

/** The prefix of our routes: VPP has some of its own. */
const prefix = { address: ipBytes('20.0.0.0'), len: 16 };

async function tables(talk: Talk, { other }: Subjects): Promise<void> {
  await talk.ask(itf.swInterfaceSetTable, { sw_if_index: other, is_ipv6: false, vrf_id: 10 });
  for (const is_ip6 of [false, true]) {
    await talk.ask(ip.ipTableAddDelV2, { is_add: true, table: { table_id: 10, is_ip6, name: 'red' } });
  }
  await talk.ask(ip.ipTableAddDelV2, { is_add: true, table: { table_id: 11, is_ip6: false } });
  await talk.ask(ip.ipTableAddDel, { is_add: true, table: { table_id: 12, is_ip6: false } });
  await talk.ask(ip.ipTableAddDel, { is_add: true, table: { table_id: 12, is_ip6: false } });
  await talk.ask(itf.swInterfaceSetTable, { sw_if_index: other, is_ipv6: false, vrf_id: 10 });
  await talk.ask(itf.swInterfaceGetTable, { sw_if_index: other, is_ipv6: false });
  await talk.list(ip.ipTableDump, {});
  for (const table_id of [12, 12, 99]) {
    await talk.ask(ip.ipTableAddDel, { is_add: false, table: { table_id, is_ip6: false } });
  }
  await talk.list(ip.ipTableDump, {});
}

async function sources(talk: Talk): Promise<number> {
  const { id: source = 0 } = await talk.ask(fibSourceAdd, { src: { name: 'lcpd', priority: 18 } });
  await talk.ask(fibSourceAdd, { src: { name: 'lcpd', priority: 18 } });
  await talk.list(fibSourceDump, {}, { only: ({ src }) => src.name === 'lcpd' });
  return Number(source);
}

async function routes(talk: Talk, { loop, absent }: Subjects, src: number): Promise<void> {
  const program = async (
    is_add: boolean,
    is_multipath: boolean,
    paths: readonly FibPathInput[],
    table_id = 0,
  ): Promise<void> => {
    await talk.ask(route.ipRouteAddDelV2, { is_add, is_multipath, route: { table_id, prefix, src, paths } });
    await talk.list(route.ipRouteV2Dump, { src, table: { table_id } });
  };
  await program(true, false, [via(loop, '10.1.0.2')], 99);
  await program(true, false, []);
  await program(true, false, [via(loop, '10.1.0.2')]);
  await program(true, true, [via(loop, '10.1.0.3')]);
  await program(false, true, [via(loop, '10.1.0.2')]);
  await program(true, false, [via(loop, '10.1.0.4')]);
  await program(true, false, [via(absent, '10.1.0.4')]);
  for (const [address, len, exact] of [
    ['20.0.0.0', 16, 1],
    ['20.0.5.5', 32, 0],
    ['20.0.5.5', 32, 1],
    ['99.0.0.1', 32, 1],
  ] as const) {
    for (const message of [route.ipRouteLookup, route.ipRouteLookupV2]) {
      await talk.ask(message, { exact, prefix: { address: ipBytes(address), len } });
    }
  }
  await talk.ask(route.ipRouteLookupV2, { table_id: 99, prefix });
  await program(false, false, []);
  await program(false, false, []);
}

/** The older messages: routes of VPP's own source API. */
async function olderRoutes(talk: Talk, { loop, absent }: Subjects): Promise<void> {
  const ours = { only: (row: { route: { prefix: { address: Uint8Array } } }) => row.route.prefix.address[0] === 20 };
  for (const [is_add, paths] of [
    [true, [via(loop, '10.1.0.2')]],
    [true, [via(absent, '10.1.0.2')]],
    [true, []],
    [false, []],
    [false, []],
  ] as const) {
    await talk.ask(route.ipRouteAddDel, { is_add, is_multipath: false, route: { prefix, paths } });
    await talk.list(route.ipRouteDump, { table: { table_id: 0 } }, ours);
  }
}

async function labels(talk: Talk, { loop, other, absent }: Subjects): Promise<void> {
  const mr_route = { mr_table_id: 0, mr_label: 100, mr_eos: 1, mr_paths: [via(loop, '10.1.0.2')] };
  await talk.ask(mpls.mplsRouteAddDel, { mr_is_add: true, mr_route });
  await talk.ask(mpls.swInterfaceSetMplsEnable, { sw_if_index: loop, enable: true });
  for (let i = 0; i < 2; i++) {
    await talk.ask(mpls.mplsTableAddDel, { mt_is_add: true, mt_table: { mt_table_id: 0, mt_name: 'mpls' } });
  }
  for (const enable of [true, true, false, false, true]) {
    await talk.ask(mpls.swInterfaceSetMplsEnable, { sw_if_index: loop, enable });
    for (const sw_if_index of [0xffff_ffff, loop, other]) await talk.list(mpls.mplsInterfaceDump, { sw_if_index });
  }
  await talk.list(mpls.mplsTableDump, {});
  await talk.ask(mpls.swInterfaceSetMplsEnable, { sw_if_index: absent, enable: true });
  const ours = { only: (row: { mr_route: { mr_label: number } }) => row.mr_route.mr_label === 100 };
  for (const mr_is_add of [true, true, false, false]) {
    await talk.ask(mpls.mplsRouteAddDel, { mr_is_add, mr_route });
    await talk.list(mpls.mplsRouteDump, { table: { mt_table_id: 0 } }, ours);
  }
}

async function multicast(talk: Talk, { loop, other }: Subjects): Promise<void> {
  const group = ipBytes('239.1.1.1');
  const mprefix = { af: 0, grp_address_length: 64, grp_address: group, src_address: ipBytes('10.1.0.9') };
  const ours = {
    only: (row: { route: { prefix: { grp_address: Uint8Array } } }) => row.route.prefix.grp_address[0] === 239,
  };
  const paths = [
    { itf_flags: 2, path: { sw_if_index: loop } },
    { itf_flags: 4, path: { sw_if_index: other } },
  ];
  for (const [is_add, is_multipath] of [
    [true, true],
    [true, true],
    [false, false],
    [false, false],
  ] as const) {
    await talk.ask(ipMrouteAddDel, { is_add, is_multipath, route: { table_id: 0, prefix: mprefix, paths } });
    await talk.list(ipMrouteDump, { table: { table_id: 0 } }, ours);
  }
  await talk.ask(ipMrouteAddDel, { is_add: true, route: { table_id: 99, prefix: mprefix, paths } });
  // a way that VPP's API does not find again, so that only the command that made it ends it
  const entry = 'table 0 10.1.0.8 239.1.1.8';
  const ways = [`add ${entry} via loop0 Accept`, `add ${entry} via ip4-lookup-in-table 0 Forward`];
  for (const cmd of [...ways, `del ${entry}`, `del ${entry}`]) {
    await talk.ask(cliInband, { cmd: `ip mroute ${cmd}` });
    await talk.list(ipMrouteDump, { table: { table_id: 0 } }, ours);
  }
  await talk.ask(cliInband, { cmd: 'ip mroute add table 99 10.1.0.8 239.1.1.8 via ip4-lookup-in-table 0 Forward' });
}

export async function converseFib(talk: Talk, subjects: Subjects): Promise<void> {
  await tables(talk, subjects);
  const source = await sources(talk);
  await routes(talk, subjects, source);
  await olderRoutes(talk, subjects);
  await labels(talk, subjects);
  await multicast(talk, subjects);
}
