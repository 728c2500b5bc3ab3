// CnfNetns: one network namespace as the keeper of CNF devices (cnfkeeper.ts) needs it: read it, change it, hear of changes.
//
// Three sockets that belong to the namespace which was there when they were opened, and keep it alive: whoever opened it
// closes it as soon as the name means another one. A notice says only that something is different; reading is what counts, so
// small buffers are enough and a loss of notices is a notice. The seam that unit tests put their kernel behind.

import * as fs from 'node:fs';
import { type CnfStep, type CnfView, VRF_MARK } from './cnfdevice.ts';
import { isProgrammingError } from './lib/errors.ts';
import { type Address, decodeAddress } from './netlink/address.ts';
import { addAddress, delAddress, delLink, newLink, setAlias, setLink } from './netlink/change.ts';
import { RtnlDumper } from './netlink/dump.ts';
import { decodeLink, type Link } from './netlink/link.ts';
import { forEachMessage } from './netlink/message.ts';
import { NETNS_DIR, NetnsWatch, netnsIdentity, netnsPath } from './netlink/netns.ts';
import { RtnlError, RtnlRequester } from './netlink/request.ts';
import { NetlinkSocket } from './netlink/socket.ts';
import * as k from './netlink/uapi.ts';

/** Receive queues in bytes. */
const NOTICE_BUFFER = 256 << 10;
const ANSWER_BUFFER = 1 << 20;
const GROUPS = [k.RTNLGRP_LINK, k.RTNLGRP_IPV4_IFADDR, k.RTNLGRP_IPV6_IFADDR];

export interface CnfSession {
  /** What is there now; undefined when it changed while it was read, or cannot be read: ask again. */
  read(): Promise<CnfView | undefined>;
  /** Resolves when the kernel has done it. Rejects with RtnlError, and as the socket does. */
  do(step: CnfStep): Promise<void>;
  close(): void;
}

export interface CnfKernel {
  /** 'dev:ino' of the namespace, undefined: there is none. '' is lcpd's own. */
  identity(netns: string): string | undefined;
  /** Names of all namespaces but lcpd's own. */
  names(): string[];
  /** @param onNotice something changed in it @throws when it cannot be entered, or there are no sockets left */
  open(netns: string, onNotice: () => void): CnfSession;
  /** Tells of names that mean another namespace than before, or none, or have come. */
  watch(onChange: (netns: string) => void): { close(): void };
}

async function unlessSo(request: Promise<void>, ...codes: readonly string[]): Promise<void> {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof RtnlError) || !codes.includes(error.code)) throw error;
  }
}

class CnfNetns implements CnfSession {
  readonly #notices: NetlinkSocket;
  readonly #dumper: RtnlDumper;
  readonly #requester: RtnlRequester;

  constructor(netns: string, onNotice: () => void) {
    const path = netns === '' ? undefined : netnsPath(netns);
    const opened: NetlinkSocket[] = [];
    const open = (options: { slots: number; slotSize: number; receiveBuffer: number; groups?: readonly number[] }) => {
      const socket = new NetlinkSocket({ netns: path, ...options });
      opened.push(socket);
      return socket;
    };
    try {
      this.#notices = open({ slots: 8, slotSize: 8192, receiveBuffer: NOTICE_BUFFER, groups: GROUPS });
      this.#dumper = new RtnlDumper(open({ slots: 4, slotSize: 32_768, receiveBuffer: ANSWER_BUFFER }));
      this.#requester = new RtnlRequester(open({ slots: 4, slotSize: 8192, receiveBuffer: ANSWER_BUFFER }));
    } catch (error) {
      for (const socket of opened) socket.close();
      throw error;
    }
    // a socket that failed tells no more; the poll reads all the same
    this.#notices.start({ onBatch: onNotice, onOverrun: onNotice, onFailed: onNotice });
  }

  async read(): Promise<CnfView | undefined> {
    const links: Link[] = [];
    const addresses: Address[] = [];
    const linkDump = await this.#dumper.dump(k.RTM_GETLINK, { family: k.AF_UNSPEC }, (batch) => {
      forEachMessage(batch, (type, _flags, offset) => {
        const link = type === k.RTM_NEWLINK ? decodeLink(batch, offset) : undefined;
        if (link?.family === k.AF_UNSPEC) links.push(link);
        return link !== undefined;
      });
    });
    const addressDump = await this.#dumper.dump(k.RTM_GETADDR, { family: k.AF_UNSPEC }, (batch) => {
      forEachMessage(batch, (type, _flags, offset) => {
        const address = type === k.RTM_NEWADDR ? decodeAddress(batch, offset) : undefined;
        if (address !== undefined) addresses.push(address);
        return address !== undefined;
      });
    });
    return linkDump.complete && addressDump.complete ? { links, addresses } : undefined;
  }

  async do(step: CnfStep): Promise<void> {
    const requester = this.#requester;
    switch (step.what) {
      case 'vrf': {
        const { name, table } = step;
        const up = { flags: k.IFF_UP, change: k.IFF_UP };
        await newLink(requester, { kind: 'vrf', name, info: { vrf: { table } }, ...up });
        // The kernel takes no alias with a new link. EEXIST was answered above, so what has the name now is ours.
        return setAlias(requester, name, VRF_MARK);
      }
      case 'set':
        return setLink(requester, step.ifindex, step.change);
      case 'add':
        return addAddress(requester, step.address);
      case 'remove':
        return unlessSo(delAddress(requester, step.address), 'EADDRNOTAVAIL');
      case 'delete':
        return unlessSo(delLink(requester, step.ifindex), 'ENODEV');
    }
  }

  close(): void {
    this.#notices.close();
    this.#dumper.close();
    this.#requester.close();
  }
}

const namesIn = (directory: string): string[] => {
  try {
    return fs.readdirSync(directory);
  } catch (error) {
    if (isProgrammingError(error) || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return [];
  }
};

/** The kernel of this machine. @param pollMs how often namespaces are looked for without being told */
export const linuxCnfKernel = (pollMs: number): CnfKernel => ({
  identity: (netns) => netnsIdentity(netns === '' ? '/proc/self/ns/net' : netnsPath(netns)),
  names: () => namesIn(NETNS_DIR),
  open: (netns, onNotice) => new CnfNetns(netns, onNotice),
  watch: (onChange) => new NetnsWatch(({ name }) => onChange(name), { pollMs }),
});
