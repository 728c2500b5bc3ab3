// Sources of routes, by which ours are told from others.
//
// Names, layouts and CRCs are those of VPP's fib.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { i32, string, u8 } from '../codec.ts';
import { struct } from '../compound.ts';
import { details, dump, reply, request } from '../message.ts';

export const fibSource = struct({ priority: u8, id: u8, name: string(64) });

/**
 * Makes a source and tells its id; a lower priority wins. VPP makes another one for a name that is there already, so
 * that after a restart of ours the id is to be found by fib_source_dump.
 */
export const fibSourceAdd = request(
  'fib_source_add',
  'b3ac2aec',
  { src: fibSource },
  reply('fib_source_add_reply', '604fd6f1', { retval: i32, id: u8 }),
);

export const fibSourceDetails = details('fib_source_details', '8668acdb', { src: fibSource });

export const fibSourceDump = dump('fib_source_dump', '51077d14', {}, fibSourceDetails);
