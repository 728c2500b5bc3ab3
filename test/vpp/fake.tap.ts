/**
 * The tables of lcpd and the fake VPP of the unit tests, held against a real VPP: every message has its layout and its
 * CRC, and everything the fake has an answer for is asked of both, also so that it is refused.
 */
import { catalogue } from '../../src/vpp/api/catalogue.ts';
import { getApiJson } from '../../src/vpp/api/memclnt.ts';
import { showVersion } from '../../src/vpp/api/vpe.ts';
import { connectVpp } from '../../src/vpp/connect.ts';
import { Definitions } from '../../src/vpp/definitions.ts';
import { SocketTransport } from '../../src/vpp/socket.ts';
import { addVeth } from '../system/lab/netns.ts';
import { FakeState } from '../unit/vpp/fakestate.ts';
import { FakeVpp } from '../unit/vpp/fakevpp.ts';
import { converse, DEVICES } from './lab/conversation.ts';
import type { Talk } from './lab/talk.ts';
import { type VppLab, vpp } from './lab.ts';

/** Messages of the fake that cannot be asked of every VPP, and why. */
const unasked: ReadonlyMap<string, string> = new Map([
  ['tap_create_v3', 'needs /dev/vhost-net'],
  ['tap_delete_v2', 'needs a tap'],
]);

const puntSocket = (lab: VppLab): string => `${lab.dir}/punt.sock`;

/** What the fake VPP says to the same. */
async function talkToFake(lab: VppLab): Promise<Talk> {
  const fake = new FakeVpp(`${lab.dir}/fake.sock`);
  fake.state.devices = new Set(DEVICES);
  fake.state.puntSocket = puntSocket(lab);
  await fake.listen();
  const { client } = await connectVpp(new SocketTransport({ path: fake.path }));
  try {
    return await converse(client);
  } finally {
    client.close();
    await fake.close();
  }
}

vpp('our tables are the definitions of VPP', async (t, lab) => {
  const real = await lab.addVpp();
  const client = await lab.connect(real, 'socket');
  const { version } = await client.request(showVersion, {});
  const { json } = await client.request(getApiJson, {});
  const definitions = Definitions.parse(json);
  const known = [...catalogue.values()].flatMap((message) => {
    const theirs = definitions.message(message.name);
    return theirs === undefined ? [] : [{ message, theirs }];
  });
  t.comment(`${version}: ${definitions.size} messages, ${known.length} of our ${catalogue.size}`);
  t.ok(known.length > 150, 'most of our messages are there');
  const wrong = known.filter(
    ({ message, theirs }) =>
      theirs.crc === message.crc &&
      (theirs.body.shape !== message.body.shape ||
        theirs.body.size !== message.body.size ||
        theirs.head !== message.head),
  );
  t.same(
    wrong.map(({ message }) => message.name),
    [],
    'what has our CRC has our head, our fields and our size',
  );
  if (!version.startsWith('26.06')) return;
  const missing = [...catalogue.values()].flatMap((message) => client.unsupported(message) ?? []);
  t.same(missing, [], 'the VPP from which the tables are has all of them');
  t.same(client.binding.adaptedNames, [], 'with our CRC');
});

vpp('the fake VPP says what VPP says', async (t, lab) => {
  const netns = await lab.addNetns('devices');
  const [first, second] = DEVICES;
  await addVeth({ ns: netns, dev: first }, { ns: netns, dev: second });
  const real = await lab.addVpp({ netns, startup: `punt { socket ${puntSocket(lab)} }` });
  const fakes = await talkToFake(lab);
  const reals = await converse(await lab.connect(real, 'socket'));
  const both = fakes.said.map((line, i) => [line, reals.said[i] ?? 'nothing'] as const);
  const differing = both.filter(([fake, said]) => fake !== said).map(([fake, said]) => ({ fake, real: said }));
  t.same(differing, [], `${both.length} exchanges are the same`);
  t.equal(reals.said.length, fakes.said.length);
  for (const [name, why] of unasked) t.comment(`${name} was not compared: ${why}`);
  const forgotten = new FakeState().ruled.filter((name) => !fakes.asked.has(name) && !unasked.has(name));
  t.same(forgotten, [], 'and they are about every message that the fake has a rule for');
  const refused = fakes.said.filter((line) => line.includes(': refused -'));
  t.ok(refused.length > 30, `${refused.length} of them refusals`);
});
