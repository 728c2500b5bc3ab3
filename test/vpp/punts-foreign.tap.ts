/**
 * What somebody else has put into a VPP by its command line stays as it is while punts of lcpd come, go and are taken up by the next lcpd:
 * beside ours, and where lcpd is asked for the same. Numbers are those of the punt manager's scenarios.
 */
import type { Police, Punt, PuntMatch } from '../../src/lcp/puntobjects.ts';
import { PROTO } from '../system/lab/rawframes.ts';
import { rule } from '../unit/lcp/contractpunts.ts';
import { PuntLab } from './lab/puntplane.ts';
import { vpp } from './lab.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: VPP colours its tables
const COLOURS = /\u001b\[[0-9;]*m/g;
/** VPP answers a line that it has not understood, or not done, with words; one that makes something with a name or number. */
const MADE = /^(loop\d|\d+|ACL index:\d+)?\s*$/;

const port = (number: number): PuntMatch => ({ by: 'port', family: 4, protocol: PROTO.udp, port: number });
const redirect = (rx: string, family: 4 | 6 = 4): Punt => ({
  kind: 'punt',
  feature: 'redirect',
  family,
  rx,
  tx: 'host-c0',
  nexthop: '',
});
const xconnect = (from: string, to: string): Punt => ({ kind: 'punt', feature: 'xconnect', from, to });
const span = (from: string, to: string): Punt => ({ kind: 'punt', feature: 'span', from, to, rx: true, tx: false });
const police = (scope: Police['scope']): Punt => ({
  kind: 'punt',
  feature: 'police',
  scope,
  unit: 'kbps',
  rate: 1000,
  burst: 64_000,
});
const proxy = (low: string, high: string): Punt => ({
  kind: 'punt',
  feature: 'proxy',
  on: 'host-c0',
  family: 4,
  table: 0,
  low,
  high,
});

/** As an operator would. */
const foreign = (dir: string): string[] => [
  'create loopback interface',
  'create loopback interface',
  'create loopback interface',
  'set interface l2 xconnect loop0 loop1',
  'set interface span loop0 destination loop1 tx',
  'ip punt redirect add rx host-p1 via 10.9.0.9 host-c0',
  'ip6 punt redirect add rx host-p1 via fd09::9 host-c0',
  'policer add name foreign rate kbps cir 5000 cb 70000 type 1r2c conform-action transmit exceed-action drop violate-action drop',
  'ip6 punt policer add 0',
  'set arp proxy start 10.7.0.1 end 10.7.0.9',
  'set interface proxy-arp host-p1 enable',
  'set acl-plugin acl permit src 10.1.0.0/16 dst 10.2.0.0/16 tag foreign',
  'abf policy add id 7 acl 0 via 10.9.0.9 host-c0',
  'abf attach ip4 policy 7 host-p1',
  `punt socket register ipv4 udp 9999 socket ${dir}/foreign.sock`,
  'set punt ipv4 udp 9998',
  `create memif socket id 5 filename ${dir}/foreign-memif.sock`,
  'create interface memif id 3 socket-id 5 master',
];

/** All that VPP tells of the like; what traffic changes and what is of loop2, which is for us, are left out. */
async function inVpp(p: PuntLab): Promise<Record<string, string[]>> {
  const lines = [
    'show mode',
    'show interface span',
    'show ip punt redirect',
    'show ip6 punt redirect',
    'show policer',
    'show interface features local0',
    'show interface features host-p1',
    'show arp proxy',
    'show acl-plugin acl',
    'show abf policy',
    'show abf attach host-p1',
    'show punt socket registrations l4',
    'show udp ports',
    'show memif',
  ];
  const found: Record<string, string[]> = {};
  for (const line of lines) {
    const shown = (await p.show(line)).replace(COLOURS, '').replace(/\[@?\d+\]:?|index:\d+|locks:\d+|fd \d+/g, '');
    found[line] = shown
      .split('\n')
      .map((each) => each.trim())
      .filter((each) => each !== '' && !/cur bkt|last update|\d packets|^l3 loop2$/.test(each));
  }
  return found;
}

vpp(
  'scenario 24: what somebody else has put into VPP stays, beside ours and where the same is asked for',
  async (t, lab) => {
    const p = await PuntLab.add(t, lab);
    for (const line of foreign(lab.dir)) t.match((await p.show(line)).trim(), MADE, line);
    const before = await inVpp(p);
    t.comment(JSON.stringify(before));
    for (const what of [
      'show mode',
      'show policer',
      'show arp proxy',
      'show abf policy',
      'show interface features host-p1',
    ])
      t.match(before[what]?.join('\n'), /loop0|foreign|10\.7\.0\.9|policy|arp-proxy/, `${what} tells of it`);

    const memif = p.memif('memif-a');
    const ours: Punt[] = [
      redirect(''),
      redirect('', 6),
      redirect('host-p0'),
      xconnect('loop2', memif.name),
      span('host-p0', 'host-c0'),
      span('host-p0', memif.name),
      police('ipv4'),
      { kind: 'punt', feature: 'socket', match: port(9000), path: `${lab.dir}/c.sock` },
      { kind: 'punt', feature: 'host', match: port(9100) },
      proxy('10.0.0.0', '10.0.0.255'),
      {
        kind: 'punt',
        feature: 'abx',
        from: 'host-p0',
        to: 'host-c0',
        priority: 5,
        rules: [rule('10.0.0.1/32', { protocol: PROTO.ospf })],
        dstMac: '',
      },
    ];
    /** The same, or taken from it: all of it is somebody else's. */
    const theirs: Punt[] = [
      redirect('host-p1'),
      redirect('host-p1', 6),
      xconnect('loop0', 'host-c0'),
      police('ipv6'),
      { kind: 'punt', feature: 'socket', match: port(9999), path: `${lab.dir}/c.sock` },
      { kind: 'punt', feature: 'socket', match: port(9998), path: `${lab.dir}/c.sock` },
      { kind: 'punt', feature: 'span', from: 'loop0', to: 'loop1', rx: true, tx: true },
      proxy('10.7.0.1', '10.7.0.9'),
    ];
    /** What is there of theirs, in what is there of both. */
    const stays = async (what: string): Promise<void> => {
      const now = await inVpp(p);
      for (const [command, lines] of Object.entries(before))
        t.same(
          lines.filter((line) => !now[command]?.includes(line)),
          [],
          `${what}: all of ${command} is there`,
        );
    };
    const refused = async (what: string): Promise<void> => {
      for (const each of theirs) {
        const name = `${each.feature} ${JSON.stringify(each)}`;
        t.match(await p.one('set', each), { ok: false, code: 'REFUSED' }, `${what}: refused, ${name}`);
      }
      for (const each of theirs) await p.one('delete', each);
      t.same(await inVpp(p), alone, `${what}: and untouched`);
    };
    let alone = before;
    await refused('before ours');
    t.same(await p.keys(), [], 'none of it is taken for ours');

    for (let i = 0; i < 2; i++) {
      await p.put(memif, ...ours);
      await stays('beside ours');
      alone = await inVpp(p);
      await refused('beside ours');
      await p.again(...ours);
      await p.put(memif, ...ours);
      t.equal((await p.keys()).length, ours.length, 'ours are known again, and no others');
      t.same(await inVpp(p), alone, 'each once');
      await refused('the next lcpd');
      await p.drop(...ours.toReversed(), memif);
      t.same(await p.keys(), []);
      t.same(await inVpp(p), before, 'what is left is theirs, as it was');
      await p.again();
      t.same(await inVpp(p), before, 'and another lcpd has nothing to do with it');
      alone = before;
      await refused('without ours');
    }
    t.same(p.remarks, []);
  },
);
