// Paths of multicast routes.
//
// Names, layouts and CRCs are those of VPP's mfib_types.api (26.06). Byte strings are in network order;
// indices of interfaces are VPP's sw_if_index, 0xffffffff for none.

import { enumeration, u32 } from '../codec.ts';
import { struct } from '../compound.ts';
import { fibPath } from './fibtypes.ts';

export const mfibEntryFlags = enumeration('mfib_entry_flags', u32, {
  MFIB_API_ENTRY_FLAG_NONE: 0,
  MFIB_API_ENTRY_FLAG_SIGNAL: 1,
  MFIB_API_ENTRY_FLAG_DROP: 2,
  MFIB_API_ENTRY_FLAG_CONNECTED: 4,
  MFIB_API_ENTRY_FLAG_ACCEPT_ALL_ITF: 8,
});

export const mfibItfFlags = enumeration('mfib_itf_flags', u32, {
  MFIB_API_ITF_FLAG_NONE: 0,
  MFIB_API_ITF_FLAG_NEGATE_SIGNAL: 1,
  MFIB_API_ITF_FLAG_ACCEPT: 2,
  MFIB_API_ITF_FLAG_FORWARD: 4,
  MFIB_API_ITF_FLAG_SIGNAL_PRESENT: 8,
  MFIB_API_ITF_FLAG_DONT_PRESERVE: 16,
});

export const mfibPath = struct({ itf_flags: mfibItfFlags, path: fibPath });
