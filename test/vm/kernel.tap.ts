/**
 * Kernel: what the kernel of this level must be able to do. A module that is missing fails here, by its name, and not
 * as a story elsewhere that passes because it had nothing to do.
 */
import { readFileSync } from 'node:fs';
import { ip, ipJson, sysctl } from '../system/lab/netns.ts';
import { run } from '../system/lab/process.ts';
import { system } from '../system/lab.ts';

interface DetailedLink {
  readonly ifname: string;
  readonly linkinfo?: { readonly info_kind?: string };
}

/** A device of each kind, over e (one end of a veth) where it needs one below. */
const kinds: readonly (readonly [kind: string, args: string])[] = [
  ['dummy', ''],
  ['bridge', 'vlan_filtering 1'],
  ['vrf', 'table 10'],
  ['bond', 'mode 802.3ad'],
  ['bond', 'mode active-backup'],
  ['vlan', 'link e id 10'],
  ['vlan', 'link e protocol 802.1ad id 20'],
  ['macvlan', 'link e mode bridge'],
  ['vxlan', 'id 7 dstport 4789 local 192.0.2.1'],
  ['gre', 'local 192.0.2.1 remote 192.0.2.2'],
  ['gretap', 'local 192.0.2.1 remote 192.0.2.3'],
  ['ip6gre', 'local 2001:db8::1 remote 2001:db8::2'],
  ['ipip', 'local 192.0.2.1 remote 192.0.2.4'],
  ['sit', 'local 192.0.2.1 remote 192.0.2.5'],
  ['ip6tnl', 'local 2001:db8::1 remote 2001:db8::3'],
];

system('a device of every kind', async (t, lab) => {
  const ns = await lab.addNetns('kinds');
  await ip(ns, 'link', 'add', 'e', 'type', 'veth', 'peer', 'name', 'f');
  for (const [n, [kind, args]] of kinds.entries()) {
    const [below, rest] = /^link (\S+) ?(.*)$/.exec(args)?.slice(1) ?? [undefined, args];
    const name = `${kind}${n}`;
    await ip(
      ns,
      ...['link', 'add', ...(below === undefined ? [] : ['link', below]), 'name', name, 'type', kind],
      ...(rest ?? '').split(' ').filter(Boolean),
    );
    const [made] = await ipJson<DetailedLink>(ns, '-details', 'link', 'show', 'dev', name);
    t.equal(made?.linkinfo?.info_kind, kind, `${kind} ${args}`);
  }
});

system('labels: routes that push, swap and pop', async (t, lab) => {
  const ns = await lab.addNetns('mpls');
  await ip(ns, 'link', 'add', 'e', 'type', 'dummy');
  await ip(ns, 'link', 'set', 'e', 'up');
  await ip(ns, 'address', 'add', '192.0.2.1/24', 'dev', 'e');
  await sysctl(ns, { 'net.mpls.platform_labels': 1000, 'net.mpls.conf.e.input': 1 });
  await ip(ns, '-family', 'mpls', 'route', 'add', '100', 'as', '200', 'via', 'inet', '192.0.2.2');
  await ip(ns, '-family', 'mpls', 'route', 'add', '101', 'via', 'inet', '192.0.2.2');
  await ip(ns, 'route', 'add', '198.51.100.0/24', 'encap', 'mpls', '300/301', 'via', '192.0.2.2');
  t.equal((await ipJson(ns, '-family', 'mpls', 'route')).length, 2);
  t.match(await ip(ns, 'route', 'show', '198.51.100.0/24'), /encap mpls +300\/301/);
});

system('rules, netem and the guard of a phy', async (t, lab) => {
  const ns = await lab.addNetns('tc');
  await ip(ns, 'link', 'add', 'v', 'type', 'vrf', 'table', '10');
  await ip(ns, 'rule', 'add', 'iif', 'v', 'ipproto', 'udp', 'dport', '53', 'lookup', '20');
  t.match(await ip(ns, 'rule'), /l3mdev/, 'a VRF brings its rule');
  await ip(ns, 'link', 'add', 'e', 'type', 'dummy');
  await run(['tc', '-n', ns, 'qdisc', 'add', 'dev', 'e', 'root', 'netem', 'delay', '10ms']);
  await run(['tc', '-n', ns, 'qdisc', 'add', 'dev', 'e', 'clsact']);
  await run(['tc', '-n', ns, 'filter', 'add', 'dev', 'e', 'ingress', 'matchall', 'action', 'drop']);
  t.match(await run(['tc', '-n', ns, 'filter', 'show', 'dev', 'e', 'ingress']), /matchall/);
  t.match(readFileSync('/proc/net/packet', 'utf8'), /sk/, 'packet sockets');
});
