/**
 * A VPP with other definitions: messages are carried by the names of their fields, or said to be impossible.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { adapted } from '../../../src/vpp/adapt.ts';
import { swInterfaceSetFlags } from '../../../src/vpp/api/interface.ts';
import { lcpItfPairAddDelV3, lcpItfPairGet } from '../../../src/vpp/api/lcp.ts';
import { ipRouteAddDelV2, ipRouteLookupV2 } from '../../../src/vpp/api/route.ts';
import { createLoopback } from '../../../src/vpp/api/subinterface.ts';
import { showVersion } from '../../../src/vpp/api/vpe.ts';
import { definitionsIn } from '../../../src/vpp/connect.ts';
import { Definitions } from '../../../src/vpp/definitions.ts';
import type { Message } from '../../../src/vpp/message.ts';
import { RouteEncoder } from '../../../src/vpp/routebatch.ts';
import { Wire } from '../../../src/vpp/wire.ts';
import { connectTo, startFake } from './lab.ts';

const head = [
  ['u16', '_vl_msg_id'],
  ['u32', 'client_index'],
  ['u32', 'context'],
];
const hostType = ['lcp_itf_host_type', ['LCP_API_ITF_HOST_TUN', 0], ['LCP_API_ITF_HOST_TAP', 1], { enumtype: 'u32' }];

/** A VPP in which the pair's message has its fields in another order, one more, one wider, and other numbers. */
const otherPair = {
  enums: [hostType],
  messages: [
    [
      'lcp_itf_pair_add_del_v3',
      ...head,
      ['u32', 'colour', { default: 7 }],
      ['string', 'netns', 64],
      ['string', 'host_if_name', 32],
      ['u64', 'cookie'],
      ['u8', 'sw_if_index'],
      ['vl_api_lcp_itf_host_type_t', 'host_if_type'],
      ['bool', 'is_add'],
      { crc: '0x1234' },
    ],
  ],
};

/** What a VPP with the module reads when we write a value. */
function theyRead(ours: Message, module: object, value: object): unknown {
  const theirs = Definitions.parse(JSON.stringify(module)).message(ours.name);
  if (theirs === undefined) throw new Error('the module lacks the message');
  const wire = new Wire(new Uint8Array(1000));
  adapted(ours, theirs).write(wire, value);
  const end = wire.at;
  return theirs.body.read(wire.aim(0, end));
}

describe('a message with other fields', () => {
  const value = { is_add: true, sw_if_index: 4, host_if_name: 'e0', netns: 'cp', host_if_type: 1 };

  it('is written by names, with defaults for what is new', () => {
    expect(theyRead(lcpItfPairAddDelV3, otherPair, value)).toEqual({
      colour: 7,
      netns: 'cp',
      host_if_name: 'e0',
      cookie: 0n,
      sw_if_index: 4,
      host_if_type: 0,
      is_add: true,
    });
  });

  it('refuses a number that no longer fits', () => {
    expect(() => theyRead(lcpItfPairAddDelV3, otherPair, { ...value, sw_if_index: 300 })).toThrow(/does not fit u8/);
  });

  it('refuses a value that it has no name for, and a field that it lacks', () => {
    const enums = [['lcp_itf_host_type', ['LCP_API_ITF_HOST_TAP', 0], { enumtype: 'u8' }]];
    expect(() => theyRead(lcpItfPairAddDelV3, { ...otherPair, enums }, value)).toThrow(/no LCP_API_ITF_HOST_TUN/);
    const less = { messages: [['lcp_itf_pair_add_del_v3', ...head, ['bool', 'is_add'], { crc: '0x1' }]] };
    expect(theyRead(lcpItfPairAddDelV3, less, { is_add: true, sw_if_index: 0, netns: '' })).toEqual({ is_add: true });
    expect(() => theyRead(lcpItfPairAddDelV3, less, value)).toThrow(expect.objectContaining({ code: 'NOT_SUPPORTED' }));
  });

  it('carries bits one by one', () => {
    const enums = [
      ['if_status_flags', ['IF_STATUS_API_FLAG_LINK_UP', 4], ['IF_STATUS_API_FLAG_ADMIN_UP', 8], { enumtype: 'u32' }],
    ];
    const fields = [['u32', 'sw_if_index'], ['vl_api_if_status_flags_t', 'flags'], { crc: '0x1' }];
    const module = { enums, messages: [['sw_interface_set_flags', ...head, ...fields]] };
    expect(theyRead(swInterfaceSetFlags, module, { sw_if_index: 1, flags: 3 })).toMatchObject({ flags: 12 });
    expect(theyRead(swInterfaceSetFlags, module, { sw_if_index: 1, flags: 1 })).toMatchObject({ flags: 8 });
  });

  it.each([
    ['a number became a text', ['string', 'sw_if_index', 8]],
    ['a text became bytes', ['u8', 'host_if_name', 16]],
  ])('is impossible when %s', (_name, field) => {
    const module = { messages: [['lcp_itf_pair_add_del_v3', ...head, field, { crc: '0x1' }]] };
    expect(() => theyRead(lcpItfPairAddDelV3, module, {})).toThrow(/in this VPP/);
  });

  it('is impossible when its head is another', () => {
    const module = { messages: [['show_version', ['u16', '_vl_msg_id'], ['u32', 'context'], { crc: '0x1' }]] };
    expect(() => theyRead(showVersion, module, {})).toThrow(/leading fields/);
  });
});

describe('a VPP with other definitions', () => {
  it('tells them, and its messages work by names', async () => {
    const fake = await startFake((each) => each.redefine(JSON.stringify([otherPair])));
    const client = await connectTo(fake);
    expect(client.binding.adaptedNames).toEqual(['lcp_itf_pair_add_del_v3']);
    await client.request(createLoopback, {});
    const input = { is_add: true, sw_if_index: 1, host_if_name: 'e0', netns: 'cp', host_if_type: 1 };
    expect(await client.request(lcpItfPairAddDelV3, input)).toMatchObject({ retval: 0, host_sw_if_index: 2 });
    expect(await client.dump(lcpItfPairGet, { cursor: 0xffff_ffff })).toMatchObject([
      { host_if_name: 'e0', netns: 'cp' },
    ]);
  });

  it('has a reason for what is impossible, and everything else works', async () => {
    const messages = [['create_loopback', ...head, ['string', 'mac_address', 8], { crc: '0x5' }]];
    const client = await connectTo(await startFake((each) => each.redefine(JSON.stringify([{ messages }]))));
    expect(client.unsupported(createLoopback)).toMatch(/mac_address: the field was .* and is string\[8\] in this VPP/);
    await expect(client.request(createLoopback, {})).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
    expect(await client.request(showVersion, {})).toMatchObject({ retval: 0 });
  });

  it('that does not tell them is read from the files of its package, or not at all', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lcpd-api-'));
    const older = (): Promise<Awaited<ReturnType<typeof startFake>>> =>
      startFake((each) => {
        each.redefine(JSON.stringify([otherPair]));
        each.remove('get_api_json');
      });
    try {
      const without = await connectTo(await older(), { apiFolders: ['/nonexistent', folder] });
      expect(without.unsupported(lcpItfPairAddDelV3)).toMatch(/another one in this VPP \(00001234\)/);
      writeFileSync(join(folder, 'lcp.api.json'), JSON.stringify(otherPair));
      const withFiles = await connectTo(await older(), { apiFolders: [folder] });
      expect(withFiles.unsupported(lcpItfPairAddDelV3)).toBeUndefined();
      writeFileSync(join(folder, 'bad.api.json'), '{');
      await expect(definitionsIn(folder)).rejects.toMatchObject({ code: 'VPP_API' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('has no routes in bulk when its paths are others', async () => {
    const types = [
      ['ip_route_v2', ['u32', 'table_id'], ['u8', 'n_paths'], ['u8', 'src'], ['u32', 'paths', 0, 'n_paths']],
    ];
    const fields = [['bool', 'is_add'], ['bool', 'is_multipath'], ['vl_api_ip_route_v2_t', 'route'], { crc: '0x9' }];
    const module = { types, messages: [['ip_route_add_del_v2', ...head, ...fields]] };
    const client = await connectTo(await startFake((each) => each.redefine(JSON.stringify([module]))));
    expect(() => new RouteEncoder(client.binding.bound(ipRouteAddDelV2))).toThrow(
      expect.objectContaining({ code: 'NOT_SUPPORTED' }),
    );
    expect(client.unsupported(ipRouteLookupV2)).toBeUndefined();
  });
});
