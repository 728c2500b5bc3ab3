/**
 * The DHCP relay beside VPP's: the same frames into both, and the same octets out of both; where ours differ on purpose,
 * what VPP sends is held too. A case's mark (transaction id, or client's address) tells its packets apart.
 */
import type { Test } from 'tap';
import type { Message4, Message6 } from './lab/dhcpframes.ts';
import { address6, isSummed6, mend4, packet4, packet6, splice } from './lab/dhcpframes.ts';
import { PLACES, type Place, Relays, SERVERS, SERVERS6, SOURCE, SOURCE6 } from './lab/relays.ts';
import { vpp } from './lab.ts';

interface Case {
  readonly name: string;
  readonly place: Place;
  readonly packet: (mark: string) => string;
  /** What our relay says of it; 'sent' where it says nothing else. */
  readonly fate?: string;
  /** What VPP sends instead of what ours sends. */
  readonly theirs?: (ours: string[], mark: string) => string[];
  /** How many of the last octets are in VPP what was in the buffer before. */
  readonly loose?: number;
  /** VPP's loose octets are other ones than ours. */
  readonly isWrong?: boolean;
  /** Octets behind the packet. */
  readonly trailer?: string;
}

/** The beginnings of VPP's words for reasons to drop, as `show errors` cuts them; not for those that it does not count. */
const REASONS: Record<string, string> = {
  'no-option-82': 'DHCP option 82 missing',
  'bad-option-82-interface': 'Bad DHCP option 82 interface value',
  'bad-option-82-address': 'Bad DHCP option 82 address value',
  'bad-server': 'packets not from DHCP',
  'bad-relay-address': 'DHCP packets with bad your_ip_addr',
  'packet-too-big': 'packets which are too big',
  'no-interface-address': 'no interface address',
  'wrong-message-type': 'wrong message type',
  'no-relay-message': 'DHCPv6 reply packets without relay',
  'no-interface-id': 'DHCPv6 reply packets without circu',
  'wrong-interface-id': 'DHCPv6 reply to invalid interface',
};

/** The reasons that VPP has counted: some of them more than once. */
async function counted(relays: Relays): Promise<string[]> {
  const text = (await relays.vpp.ctl('show errors')).stdout;
  return Object.keys(REASONS).filter((fate) => text.includes(REASONS[fate] ?? ''));
}

/** Plays all cases at once and compares each. */
async function compare(t: Test, relays: Relays, cases: readonly Case[]): Promise<void> {
  await relays.ctl('clear errors');
  const marks = cases.map((_, at) => (0xa1b200 + at).toString(16));
  const sent = cases.map(({ place, packet, trailer = '' }, at) => ({
    place,
    hex: relays.frame(place, packet(marks[at] ?? '')) + trailer,
  }));
  const ours = await relays.ours(sent);
  const wanted = cases.map(({ theirs: differs }, at) => {
    const mine = ours[at]?.out ?? [];
    return differs === undefined ? mine : differs(mine, marks[at] ?? '');
  });
  const theirs = await relays.theirs(sent, wanted.flat().length);
  cases.forEach(({ name, fate = 'sent', loose = 0, isWrong = false }, at) => {
    const firm = (hex: string): string => hex.slice(0, hex.length - 2 * loose);
    const found = theirs.filter((hex) => hex.includes(marks[at] ?? ''));
    const want = wanted[at] ?? [];
    t.equal(ours[at]?.fate, fate, `ours, ${name}`);
    t.same(found.map(firm).sort(), want.map(firm).sort(), name);
    if (isWrong) t.notSame(found, ours[at]?.out, `VPP's is another one, ${name}`);
  });
  const toServers = ours.flatMap(({ out }) => out).filter((packet) => packet.startsWith('6'));
  t.ok(toServers.every(isSummed6), 'the sums of ours are right');
  const isOurs = (hex: string): boolean => marks.some((mark) => hex.includes(mark));
  t.same(
    theirs.filter((hex) => !isOurs(hex)),
    [],
    'VPP sends nothing else',
  );
  const reasons = new Set(cases.map(({ fate = 'sent' }) => fate).filter((fate) => fate in REASONS));
  t.same((await counted(relays)).sort(), [...reasons].sort(), 'VPP gives the same reasons');
}

const nothing = (): string[] => [];
const END = 'ff';
const ask = (name: string, message: Partial<Message4>, more: Partial<Case> = {}): Case => ({
  name,
  place: 'c0',
  packet: (mark) => packet4({ options: `350101${END}`, ...message, mark }),
  ...more,
});

/** Takes option 82 out of packets to a server: VPP has not found where it goes. */
const unmarked = (packets: string[]): string[] =>
  packets.map((packet) => {
    const message = `${packet.slice(0, packet.lastIndexOf('520c0104'))}${END}`;
    const length = message.length / 2;
    return mend4(
      splice(splice(message, 2, length.toString(16).padStart(4, '0')), 24, (length - 20).toString(16).padStart(4, '0')),
    );
  });

/** Of 2048 octets with the head of the frame, VPP wants 27. */
const longest4 = 2048 - 27 - 14 - 28 - 240 - 7;

const asked4: Case[] = [
  ask('DISCOVER goes to all servers', {}),
  ask('REQUEST goes to the first, broadcast or not', { options: `350103${END}`, flags: '8000' }),
  ask('with a UDP checksum', { isSummed: true }),
  ask('a client that renews', { src: '0a000063', dst: '0a000001', options: `350103${END}` }),
  ask('another port', { sport: 1068 }),
  ask('giaddr is overwritten', { giaddr: '0a636363' }),
  ask("the client's option 82 stays", { options: `350101520301${'0163'}${END}` }),
  ask('an end only', { options: END }),
  ask('two pads', { options: `00003501010000${END}` }),
  ask('three pads', { options: `000000350101${END}` }, { theirs: (ours) => unmarked(ours.slice(0, 1)) }),
  ask('padded behind the end', { options: `350101${END}${'00'.repeat(60)}` }, { loose: 14 }),
  ask('padded by three octets', { options: `350101${END}000000` }, { loose: 3 }),
  ask('an option overruns', { options: '3501010c20616263' }),
  ask('a message of 100 octets', { cut: 100 }),
  ask('a message up to giaddr', { cut: 28 }),
  ask('a trailer', {}, { trailer: '000000000000' }),
  ask('by a VLAN', {}, { place: 'vlan' }),
  ask('by two VLANs', { options: `350103${END}` }, { place: 'stacked' }),
  ask('by an unnumbered interface', {}, { place: 'c1' }),
  ask('from port 67 is from a server', { sport: 67 }, { fate: 'no-option-82' }),
  ask('no address', {}, { place: 'bare', fate: 'no-interface-address' }),
  ask('no address, and no end', { options: '350101' }, { place: 'bare' }),
  ask('as long as may be', { options: `3501010c0161${'00'.repeat(longest4)}${END}` }),
  ask('one octet more', { options: `3501010c0161${'00'.repeat(longest4 + 1)}${END}` }, { fate: 'packet-too-big' }),
  ask('another domain', {}, { place: 'elsewhere', fate: 'no-server' }),
  ask('IP options', { ipOptions: '01010100' }, { theirs: nothing }),
  {
    name: 'a wrong UDP checksum',
    place: 'c0',
    fate: 'bad-sum',
    packet: (mark) => splice(packet4({ mark, options: `350101${END}` }), 26, '1234'),
  },
  {
    name: 'a UDP length behind the end',
    place: 'c0',
    fate: 'other',
    packet: (mark) => splice(packet4({ mark, options: `350101${END}` }), 24, '0fff'),
  },
  {
    name: 'a UDP length before the end',
    place: 'c0',
    packet: (mark) => splice(packet4({ mark, options: `350101${END}` }), 24, '0064'),
  },
];

/** A server's packet, with the options for a place. */
const answer = (
  name: string,
  options: (own: { number: string; address: string }) => string,
  more: Partial<Case> & { to?: Place; message?: Partial<Message4> } = {},
) => ({ name, options, to: 'c0' as Place, message: {}, ...more });
type Answer = ReturnType<typeof answer>;

const ours82 = ({ number, address }: { number: string; address: string }): string =>
  `350102520c0104${number}0504${address}${END}`;

const answers4: Answer[] = [
  answer('OFFER', ours82),
  answer('with a UDP checksum', ours82, { message: { isSummed: true } }),
  answer('to port 68, from another', ours82, { message: { sport: 1067, dport: 68 } }),
  answer('of the second server', ours82, { message: { src: SERVERS[1] } }),
  answer('who asks for broadcast', ours82, { message: { flags: '8000' } }),
  answer('by a VLAN', ours82, { to: 'vlan' }),
  answer('by 802.1ad', ours82, { to: 'qinq' }),
  answer('by two VLANs', ours82, { to: 'stacked' }),
  answer('by an unnumbered interface', ours82, { to: 'c1' }),
  answer('padded', (own) => `${ours82(own)}${'00'.repeat(60)}`),
  answer('no end', (own) => ours82(own).slice(0, -2)),
  answer('a trailer', ours82, { trailer: '000000' }),
  answer('the last one counts', (own) => `520c0104000000630504636363630c0161${ours82(own)}`),
  answer('in two options', ({ number, address }) => `52060504${address}52060104${number}${END}`),
  answer('with a VPN', ({ number, address }) => `52130104${number}0504${address}9705007670${'6e31'}${END}`),
  answer('none', () => `350102${END}`, { fate: 'no-option-82' }),
  answer('a number of three octets', ({ address }) => `520b0103000001${'0504'}${address}${END}`, {
    fate: 'no-option-82',
  }),
  answer('no address in it', ({ number }) => `52060104${number}${END}`, { fate: 'bad-option-82-address' }),
  answer('no such interface', ({ address }) => `520c0104000003e70504${address}${END}`, {
    fate: 'bad-option-82-interface',
  }),
  answer('another address', ({ number }) => `520c0104${number}05040a000701${END}`, { fate: 'bad-relay-address' }),
  answer('not from a server', ours82, { message: { src: '0a090003' }, fate: 'bad-server' }),
  answer('another domain', ours82, { to: 'elsewhere', fate: 'no-server' }),
  answer('no address there', ({ number }) => `520c0104${number}05040a000001${END}`, {
    to: 'bare',
    fate: 'no-interface-address',
  }),
];

const answered4 = (relays: Relays): Case[] =>
  answers4.map(({ options, to, message, ...rest }) => ({
    ...rest,
    name: `back: ${rest.name}`,
    place: 's0',
    packet: (mark) =>
      packet4({
        ...{ op: '02', src: SERVERS[0], dst: SOURCE, sport: 67, giaddr: SOURCE },
        ...message,
        mark,
        options: options({ number: relays.number(to), address: PLACES[to].address }),
      }),
  }));

/** VPP readdresses copies without a new sum. */
const oldSums = (packets: string[]): string[] =>
  packets.map((packet) => splice(packet, 46, packets[0]?.slice(92, 96) ?? ''));
/** A packet to the first server, a hop further, for a relay's message on c0's link; VPP's hop count is 1, whatever it was. */
const withOneHop =
  (inner: string) =>
  (_: string[], mark: string): string[] => {
    const link = PLACES.c0.address6 + address6('fe80', mark);
    const length = (inner.length / 2).toString(16).padStart(4, '0');
    const message = `0c01${link}0009${length}${inner}0012000400000001`;
    return [splice(packet6({ message, src: SOURCE6, dst: SERVERS6[0] }), 7, '1f')];
  };

const ask6 = (name: string, message: string, more: Partial<Case> & { head?: Partial<Message6> } = {}): Case => ({
  name,
  place: 'c0',
  packet: (mark) => packet6({ message, src: address6('fe80', mark), ...more.head }),
  ...more,
});
const forwarded = (hops: string): string => `0c${hops}${'00'.repeat(32)}0009000401123456`;
const longest6 = 2048 - 25 - 14 - 48;

const asked6: Case[] = [
  ask6('SOLICIT goes to all servers', '01123456000100060003000102', { theirs: oldSums }),
  ...['03', '04', '05', '06', '08', '09', '0b'].map((type) => ask6(`type ${type} goes to the first`, `${type}123456`)),
  ...['00', '02', '07', '0a', '0e', 'ff'].map((type) =>
    ask6(`type ${type}`, `${type}123456`, { fate: 'wrong-message-type' }),
  ),
  ask6('a type only', '0b'),
  ask6('class, label, port', '03123456', { head: { head: '6ab12345', sport: 1234 } }),
  ask6('by a VLAN', '03123456', { place: 'vlan' }),
  ask6('by two VLANs', '03123456', { place: 'stacked' }),
  ask6('by an unnumbered interface', '03123456', { place: 'c1' }),
  ask6('no address', '03123456', { place: 'bare', fate: 'no-interface-address' }),
  ask6('another domain', '03123456', { place: 'elsewhere', fate: 'no-server' }),
  ask6('a relay on the link', forwarded('00')),
  ask6('a relay further away', forwarded('05'), { theirs: withOneHop(forwarded('05')) }),
  ask6('hops used up', forwarded('1f'), { fate: 'max-hops', theirs: withOneHop(forwarded('1f')) }),
  ask6('as long as may be', '03'.repeat(longest6)),
  ask6('one octet more', '03'.repeat(longest6 + 1), { fate: 'packet-too-big' }),
  {
    name: 'a client with an address',
    place: 'c0',
    packet: (mark) => packet6({ message: '03123456', src: address6('fd00', mark) }),
  },
  {
    name: 'a relay with one',
    place: 'c0',
    packet: (mark) => packet6({ message: forwarded('00'), src: address6('fd00', mark) }),
  },
  {
    name: "a relay whose address' fourth octet is 32 or more",
    place: 'c0',
    packet: (mark) => packet6({ message: forwarded('00'), src: address6('20010db80009', mark) }),
    theirs: nothing,
  },
  {
    name: 'a wrong sum',
    place: 'c0',
    fate: 'bad-sum',
    packet: (mark) => splice(packet6({ message: '03123456', src: address6('fe80', mark) }), 46, '1234'),
  },
];

const REPLY = '0009000807123456aabbccdd';
const answers6: Answer[] = [
  answer('REPLY', ({ number }) => `00120004${number}${REPLY}`),
  answer('by a VLAN', ({ number }) => `00120004${number}${REPLY}`, { to: 'vlan' }),
  answer('by 802.1ad', ({ number }) => `00120004${number}${REPLY}`, { to: 'qinq' }),
  answer('by an unnumbered interface', ({ number }) => `00120004${number}${REPLY}`, { to: 'c1' }),
  answer('of the second server', ({ number }) => `00120004${number}${REPLY}`, { message: { src: SERVERS6[1] } }),
  answer('options between and behind', ({ number }) => `00440001ff00120004${number}004f0002abcd${REPLY}00440001ff`),
  answer('no message', ({ number }) => `00120004${number}`, { fate: 'no-relay-message' }),
  answer('no interface', () => REPLY, { fate: 'no-interface-id' }),
  answer('no such interface', () => `00120004000003e7${REPLY}`, { fate: 'wrong-interface-id' }),
  answer('half a number', () => `001200020001${REPLY}`, { fate: 'wrong-interface-id' }),
  answer('not from a server', ({ number }) => `00120004${number}${REPLY}`, {
    message: { src: address6('20010db80009', '03') },
    fate: 'bad-server',
  }),
  answer('another domain', ({ number }) => `00120004${number}${REPLY}`, { to: 'elsewhere', fate: 'no-server' }),
  answer('no address there', ({ number }) => `00120004${number}${REPLY}`, { to: 'bare', fate: 'no-interface-address' }),
  answer('the message first', ({ number }) => `${REPLY}00120004${number}`, {
    // it ends with the frame, four octets too early; the message, and so the sum before it
    theirs: (ours) => ours.map((frame) => frame.slice(0, -8)),
    loose: 6,
    isWrong: true,
  }),
];

const answered6 = (relays: Relays): Case[] =>
  answers6.map(({ options, to, message, ...rest }) => ({
    ...rest,
    name: `back: ${rest.name}`,
    place: 's0',
    packet: (mark) => {
      const link = address6('fd00', '01');
      const found = options({ number: relays.number(to), address: PLACES[to].address6 });
      return packet6({
        ...{ src: message.src ?? SERVERS6[0], dst: SOURCE6, sport: 547, head: '6ab12345' },
        message: `0d00${link}${address6('fe80', mark)}${found}`,
      });
    },
  }));

vpp('the relay sends what VPP sends, IPv4', async (t, lab) => {
  const relays = await Relays.open(lab);
  await compare(t, relays, asked4);
  await compare(t, relays, answered4(relays));
});

vpp('the relay sends what VPP sends, IPv6', async (t, lab) => {
  const relays = await Relays.open(lab);
  await compare(t, relays, asked6);
  await compare(t, relays, answered6(relays));
});

// On VPP's command line a name ends with an octet 0, which it sends too.
vpp('the relay says which VPN it is as VPP does', async (t, lab) => {
  const relays = await Relays.open(lab);
  const cases = [
    ask('IPv4', {}),
    ask('IPv4, padded', { options: `350103${END}${'00'.repeat(60)}` }, { loose: 60 }),
    ask6('IPv6', '03123456'),
  ];
  const name = (text: string): string => `${Buffer.from(text).toString('hex')}00`;
  const vpns = [
    { line: 'vpn-ascii-id vpn1', type: 0, id: name('vpn1') },
    { line: `vpn-ascii-id ${'v'.repeat(127)}`, type: 0, id: name('v'.repeat(127)) },
    { line: 'oui 10 vpn-id 20', type: 1, id: '00000a00000014' },
    { line: '', type: 255, id: '-' },
  ];
  for (const { line, type, id } of vpns) {
    for (const where of ['dhcp option-82', 'dhcpv6']) await relays.ctl(`set ${where} vss table 0 ${line}`.trim());
    relays.vss(type, id);
    await compare(t, relays, cases);
  }
});
