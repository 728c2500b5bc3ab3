/**
 * 28 of the punt manager's scenarios, for the ways of asking that there are: the configuration, and lcpctl by words, by a text as in
 * the configuration and by the JSON of Ligato and StoneWork. What is asked for is the same whatever the way.
 */
import { ip } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { system } from './lab.ts';

/** One item, as each of the ways has it. */
interface Item {
  readonly entry: Entry;
  /** Where a word can say all of it: what has parts of its own needs a text. */
  readonly words?: readonly string[];
  /** Where Ligato or StoneWork have it. */
  readonly json?: object;
}

const socket = '/run/t/c.sock';

/** Those that need no interface for a CNF. */
const plainIn = (netns: string): Item[] => [
  {
    entry: { name: 'x', type: 'to-host', netns, l3: 'all', l4: 'udp', port: 9000, socket },
    words: ['to-host', 'x', 'l3=all', 'l4=udp', 'port=9000', `socket=${socket}`],
    json: { l3_protocol: 'ALL', l4_protocol: 'UDP', port: 9000, socket_path: socket },
  },
  {
    entry: { name: 'x', type: 'exception', netns, reason: 'ipsec4-spi-o-udp-0', socket },
    words: ['exception', 'x', 'reason=ipsec4-spi-o-udp-0', `socket=${socket}`],
    json: { reason: 'ipsec4-spi-o-udp-0', socket_path: socket },
  },
  {
    entry: { name: 'x', type: 'ip-redirect', netns, l3: 'ipv4', rx: 'p2', tx: 'later', 'next-hop': ['192.0.2.2'] },
    words: ['ip-redirect', 'x', 'l3=ipv4', 'rx=p2', 'tx=later', 'next-hop=192.0.2.2'],
    json: { l3_protocol: 'IPv4', rx_interface: 'p2', tx_interface: 'later', next_hop: '192.0.2.2' },
  },
  {
    entry: { name: 'x', type: 'ip-protocol', netns, l3: 'ipv4', protocol: 'ospf', socket },
    words: ['ip-protocol', 'x', 'l3=ipv4', 'protocol=ospf', `socket=${socket}`],
  },
  {
    entry: { name: 'x', type: 'icmp6', netns, 'icmp-type': 137, socket },
    words: ['icmp6', 'x', 'icmp-type=137', `socket=${socket}`],
  },
  {
    entry: { name: 'x', type: 'police', netns, scope: 'ipv4', rate: 1000, burst: 100 },
    words: ['police', 'x', 'scope=ipv4', 'rate=1000', 'burst=100'],
  },
];

/** Those that take a TAP. */
const linkedIn = (netns: string): Item[] => [
  {
    entry: { name: 'x', type: 'span', netns, interface: 'p0' },
    words: ['span', 'x', 'interface=p0'],
    json: { label: 'x', punt_type: 'SPAN', span: { vpp_interface: 'p0' } },
  },
  {
    entry: { name: 'x', type: 'hairpin-xconnect', netns, interfaces: ['p2', 'p3'] },
    words: ['hairpin-xconnect', 'x', 'interfaces=p2,p3'],
    json: {
      label: 'x',
      punt_type: 'HAIRPIN_XCONNECT',
      hairpinXConnect: { vpp_interface1: 'p2', vpp_interface2: 'p3' },
    },
  },
  {
    entry: {
      ...{ name: 'x', type: 'hairpin', netns, interface: 'p2' },
      'hairpin-interface': { name: 'hp0', addresses: ['10.5.0.1/24'] },
    },
    json: {
      ...{ label: 'x', punt_type: 'HAIRPIN' },
      hairpin: { vpp_interface: 'p2', hairpin_interface: { name: 'hp0', ip_addresses: ['10.5.0.1/24'] } },
    },
  },
  {
    entry: { name: 'x', type: 'abx', netns, interface: 'p0', ingress: [{ protocol: 'ospf', destination: 'local' }] },
    json: {
      ...{ label: 'x', punt_type: 'ABX' },
      abx: { vpp_interface: 'p0', ingress_acl_rules: [{ ip: { protocol: 89, destination_network: 'local' } }] },
    },
  },
  {
    entry: { name: 'x', type: 'dhcp-proxy', netns },
    words: ['dhcp-proxy', 'x'],
    json: { label: 'x', punt_type: 'DHCP_PROXY', dhcpProxy: { vrf: 0 } },
  },
  {
    entry: { name: 'x', type: 'isisx', netns, interface: 'p1' },
    words: ['isisx', 'x', 'interface=p1'],
    json: { label: 'x', punt_type: 'ISISX', isisx: { vpp_interface: 'p1' } },
  },
];

system(
  '28 whichever way a punt is asked for it is the same one, is read back as what it is, and is gone when it is taken back',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 2 });
    const c1 = await lab.addNetns('c1');
    const lcpd = await punts.start();
    for (const phy of ['p2', 'p3']) await ip(lab.ns('rtr'), 'link', 'set', phy, 'up');
    const added = async (args: readonly string[], input = ''): Promise<void> => {
      const done = await lcpd.ctl(['punt', 'add', ...args, '--netns', c1], { input });
      t.equal(done.code, 0, `${args.join(' ')} ${input}: ${done.stdout}${done.stderr}`);
    };
    const deleted = async (): Promise<void> => {
      t.equal((await lcpd.ctl(['punt', 'del', 'x'])).code, 0, 'it is taken back');
    };
    type Way = readonly [name: string, put: (item: Item) => Promise<void>, takeBack: () => Promise<void>];
    const ways: Way[] = [
      ['configuration', ({ entry }) => punts.configure(entry), () => punts.configure()],
      ['words', ({ words = [] }) => added(words), deleted],
      ['text', ({ entry }) => added(['--file', '-'], JSON.stringify({ punts: [entry] })), deleted],
      ['JSON', ({ json }) => added(['--json-file', '-', 'x'], JSON.stringify(json)), deleted],
    ];
    /** What an operator reads of it, but for who asked and since when. */
    const shown = async (): Promise<unknown> => {
      const [row, ...more] = await punts.rows();
      t.same(more, [], 'it is the only one');
      const { state, reasons, links, objects, request } = row ?? {};
      return { state, reasons, links, objects, spec: request?.spec, label: request?.id.label, cnf: request?.id.cnf };
    };
    // a VPP makes TAPs in the level qemu
    const items = lab.dataplane === 'vpp' ? plainIn(c1) : [...plainIn(c1), ...linkedIn(c1)];
    for (const item of items) {
      const { type } = item.entry;
      const state = type === 'ip-redirect' ? 'PENDING' : 'CREATED';
      let first: unknown;
      for (const [way, put, takeBack] of ways) {
        if ((way === 'words' && item.words === undefined) || (way === 'JSON' && item.json === undefined)) continue;
        await put(item);
        await punts.is('x', state, type === 'ip-redirect' ? /interface later/ : /^/);
        const now = await shown();
        first ??= now;
        t.same(now, first, `${type} by ${way}`);
        await takeBack();
        await punts.is('x', 'DELETED');
        const left = async (): Promise<number> => (await lcpd.diff()).checked.punt ?? 0;
        await waitFor(`nothing of ${type} by ${way} to be left`, async () => (await left()) === 0);
        await punts.noTaps('c1');
      }
    }
  },
);

system(
  '28 unknown fields are refused by each way; two who ask under one name have two punts, and are told apart',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    const lcpd = await punts.start();
    const [item] = plainIn(c1);
    if (item === undefined) throw new Error('no item');
    await t.rejects(punts.configure({ ...item.entry, colour: 'red' }), /colour/, 'by the configuration');
    const input = (entry: object): string => JSON.stringify(entry);
    const refused: [string, string[], string][] = [
      ['words', [...(item.words ?? []), 'colour=red'], ''],
      ['text', ['--file', '-'], input({ punts: [{ ...item.entry, colour: 'red' }] })],
      ['JSON', ['--json-file', '-', 'x'], input({ ...item.json, colour: 'red' })],
    ];
    for (const [way, args, text] of refused) {
      const done = await lcpd.ctl(['punt', 'add', ...args, '--netns', c1], { input: text });
      t.not(done.code, 0, way);
      t.match(done.stderr, /colour.*PUNT_INVALID/s, `by ${way}: ${done.stderr.trim()}`);
    }
    t.same(await punts.rows(), [], 'and nothing is asked for');

    // A name is its asker's own: what two ask for under one is two punts, of which the first has what both want.
    const add = await lcpd.ctl(['punt', 'add', '--file', '-'], { input: input({ punts: [item.entry] }) });
    t.equal(add.code, 0, add.stderr);
    await punts.is('x', 'CREATED');
    await punts.configure({ ...item.entry, socket: '/run/t/d.sock' });
    await punts.is('x', 'BUSY', /udp4.9000 is busy: .*cli.x has it/);
    const both = await punts.rows();
    t.same(
      both.map(({ source, state }) => `${source} ${state}`),
      ['cli CREATED', 'config BUSY'],
    );
    const unclear = await lcpd.ctl(['punt', 'del', 'x']);
    t.not(unclear.code, 0);
    for (const { id } of both) t.ok(unclear.stderr.includes(id), 'which of both is asked');
    t.equal((await lcpd.ctl(['punt', 'del', both[0]?.id ?? ''])).code, 0, 'by its id it can be said');
    await waitFor(
      'the turn of the other one',
      async () => (await punts.rows()).map(({ state }) => state).join() === 'CREATED',
    );
    const left = await lcpd.ctl(['punt', 'del', 'x']);
    t.match(left.stderr, /one of the configuration/, 'and that one is not to be taken back by hand');
  },
);
