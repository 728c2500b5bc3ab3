// Membership: the multicast groups that a network namespace has joined, by interface.
//
// Read from procfs: rtnetlink tells IPv4 memberships only on kernels much newer than those that routers run.
// Nothing tells of a change, so who needs it reads again. Invariant: what cannot be parsed is left out, never guessed.
// Reference: proc_pid_net(5), net/ipv4/igmp.c igmp_mc_seq_show, net/ipv6/mcast.c igmp6_mc_seq_show.

import { readFileSync } from 'node:fs';
import { AF_INET, AF_INET6, formatWords } from '../lib/ip.ts';
import { withNetns } from '../lib/libc.ts';

const GROUP4 = /^\t+([0-9A-F]{8}) /;
const DEVICE4 = /^([0-9]+)\t/;
const LINE6 = /^([0-9]+) +\S+ +([0-9a-f]{32}) /;

/** Memberships in the text of /proc/net/igmp, each as 'ifindex group'. */
export function parseIgmp(text: string): string[] {
  const found: string[] = [];
  let ifindex = '';
  for (const line of text.split('\n')) {
    const group = GROUP4.exec(line)?.[1];
    // printed as the number that the four network-order bytes make in memory
    if (group === undefined) ifindex = DEVICE4.exec(line)?.[1] ?? ifindex;
    else if (ifindex !== '') found.push(`${ifindex} ${formatWords(AF_INET, Number.parseInt(group, 16))}`);
  }
  return found;
}

/** Memberships in the text of /proc/net/igmp6, each as 'ifindex group'. */
export function parseIgmp6(text: string): string[] {
  const found: string[] = [];
  for (const line of text.split('\n')) {
    const [, ifindex, hex] = LINE6.exec(line) ?? [];
    if (ifindex === undefined || hex === undefined) continue;
    const words = new Uint32Array(Uint8Array.from(Buffer.from(hex, 'hex')).buffer);
    const [w0 = 0, w1, w2, w3] = words;
    found.push(`${ifindex} ${formatWords(AF_INET6, w0, w1, w2, w3)}`);
  }
  return found;
}

const isAbsent = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

function read(file: string): string {
  try {
    return readFileSync(`/proc/thread-self/net/${file}`, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return ''; // a kernel without the protocol
    throw error;
  }
}

/**
 * All memberships of a namespace, each as 'ifindex group' with the group in canonical text.
 *
 * @param path of the namespace's handle; undefined for the own one
 * @throws the error of open or setns when the namespace has gone
 */
export function readMemberships(path: string | undefined): Set<string> {
  return withNetns(path, () => new Set([...parseIgmp(read('igmp')), ...parseIgmp6(read('igmp6'))]));
}
