// What VPP is: version, and its own command line for what has no message.
//
// Names, layouts and CRCs are those of VPP's vpe.api, vlib.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { i32, string, varString } from '../codec.ts';
import { reply, request } from '../message.ts';

export const showVersion = request(
  'show_version',
  '51077d14',
  {},
  reply('show_version_reply', 'c919bde1', {
    retval: i32,
    program: string(32),
    version: string(32),
    build_date: string(32),
    build_directory: string(256),
  }),
);

/** Runs one line of VPP's command line. */
export const cliInband = request(
  'cli_inband',
  'f8377302',
  { cmd: varString },
  reply('cli_inband_reply', '05879051', { retval: i32, reply: varString }),
);
