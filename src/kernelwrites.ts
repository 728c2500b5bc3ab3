// KernelWrites: what goes from the data plane to the kernel (lcp/upward.ts), as rtnetlink requests.
//
// Each resolves when the kernel has done all of it; what was so already is as good. Of an address that changes its length the
// new one comes first, so that the interface is never without. The data plane has answered for an address already, so the
// kernel does not ask others for it (nodad) before it tells that it has it.

import type { KernelWrite } from './lcp/upward.ts';
import { AF_INET6, familyOf } from './lib/ip.ts';
import { addAddress, delAddress, delLink, newLink, setLink } from './netlink/change.ts';
import { RtnlError, type RtnlRequester } from './netlink/request.ts';
import { IFA_F_NODAD, IFF_UP } from './netlink/uapi.ts';

async function unlessSo(request: Promise<void>, ...codes: readonly string[]): Promise<void> {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof RtnlError) || !codes.includes(error.code)) throw error;
  }
}

/** Rejects with RtnlError, and as the socket does. */
export async function writeKernel(requester: RtnlRequester, write: KernelWrite): Promise<void> {
  const { ifindex } = write;
  switch (write.what) {
    case 'link':
      return setLink(requester, ifindex, write.change);
    case 'address': {
      const { address: local, add, remove, again } = write;
      const family = familyOf(local);
      const flags = family === AF_INET6 ? IFA_F_NODAD : 0;
      for (const prefixlen of add)
        await unlessSo(addAddress(requester, { family, ifindex, local, prefixlen, flags }), 'EEXIST');
      for (const prefixlen of remove) {
        const old = { family, ifindex, local, prefixlen };
        await unlessSo(delAddress(requester, old), 'EADDRNOTAVAIL', 'ENOENT');
      }
      for (const taken of again)
        await unlessSo(
          addAddress(requester, { family, ifindex, local: taken.local, prefixlen: taken.prefixlen }),
          'EEXIST',
        );
      return;
    }
    case 'vlan': {
      const { name, id, protocol, up } = write;
      const flags = up ? IFF_UP : 0;
      const info = { vlan: { id, protocol, flags: 1 } };
      return newLink(requester, { kind: 'vlan', name, link: ifindex, info, flags, change: flags });
    }
    case 'delete':
      return unlessSo(delLink(requester, ifindex), 'ENODEV');
  }
}
