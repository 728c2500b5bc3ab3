/**
 * What the stories of punts on a fake VPP have in common: the plane, objects in few words, what others do in VPP.
 */
import { type Interconnect, PLAIN_INTERCONNECT, type Punt, type PuntMatch } from '../../../src/lcp/puntobjects.ts';
import type { Dump, Request } from '../../../src/vpp/message.ts';
import { contractLab } from '../lcp/contractlab.ts';
import { rule } from '../lcp/contractpunts.ts';
import { addPhys, netnsIdentity, openDriver } from './driverlab.ts';
import { deleteInterface } from './fakeinterfaces.ts';
import type { FakeVpp } from './fakevpp.ts';
import { startFake } from './lab.ts';

export const ANY = 0xffff_ffff;
export const [WAN, LAN] = [1, 2];

export async function plane(prepare: (fake: FakeVpp) => void = () => undefined, isPaired = false, isPatient = false) {
  const fake = await startFake((each) => {
    addPhys(each);
    prepare(each);
  });
  const socket = { path: fake.path, openTimeoutMs: 1000 };
  // one that is patient asks nothing by itself, so that what is seen is of the punts
  const open = { transport: 'socket', socket, shm: {}, probeMs: isPatient ? 60_000 : 60, apiFolders: [] } as const;
  const opened = await openDriver(fake, undefined, { open, ...(isPatient && { pollMs: 60_000 }) });
  const lab = contractLab(() => opened);
  if (isPaired) await lab.pairs();
  const { punts } = opened.dataplane;
  const keys = async (of = opened) =>
    (await of.dataplane.dump()).flatMap(({ object }) => (object.kind === 'punt' ? [JSON.stringify(object)] : []));
  return { fake, opened, lab, punts, keys };
}

/** What a dump of the fake has, and what it says to a request of somebody else. */
export const rows = ({ state }: FakeVpp, of: Dump, input: Record<string, unknown> = {}) =>
  state.handle(of, input).rows ?? [];
export const tell = ({ state }: FakeVpp, of: Request, input: Record<string, unknown>) => state.handle(of, input);
export const count = (fake: FakeVpp, name: string): number => fake.seen.filter((seen) => seen === name).length;
/** How often a feature of a punt arc is on. */
export const times = ({ state }: FakeVpp, name: string, arc = 'ip4-punt'): number =>
  state.interfaces.get(0)?.features.get(`${arc} ${name}`) ?? 0;
export const end = ({ state }: FakeVpp, index: number): void => void deleteInterface(state, index);
/** Has the clients see what ended. */
export function publish(fake: FakeVpp): void {
  for (const { event, wanted, value } of fake.state.takeEvents()) fake.emit(event, value, wanted);
}

export const redirect = (rx: string, tx: string, nexthop = '10.0.0.2'): Punt => ({
  kind: 'punt',
  feature: 'redirect',
  family: 4,
  rx,
  tx,
  nexthop,
});
export const port = (number: number, family: 4 | 6 = 4): PuntMatch => ({
  by: 'port',
  family,
  protocol: 17,
  port: number,
});
export const socket = (match: PuntMatch, path = '/run/t/c.sock'): Punt => ({
  kind: 'punt',
  feature: 'socket',
  match,
  path,
});
export const host = (match: PuntMatch): Punt => ({ kind: 'punt', feature: 'host', match });
export const police = (rate: number): Punt => ({
  kind: 'punt',
  feature: 'police',
  scope: 'ipv4',
  unit: 'pps',
  rate,
  burst: 100,
});
export const abx = (from: string, to: string, rules = [rule('10.0.0.1/32', { protocol: 89 })], priority = 3): Punt => ({
  kind: 'punt',
  feature: 'abx',
  from,
  to,
  priority,
  rules,
  dstMac: '',
});
export const interconnect = (name: string, more: Partial<Interconnect> = {}): Interconnect => ({
  kind: 'interconnect',
  name,
  link: 'tap',
  ...PLAIN_INTERCONNECT,
  netns: 'cp',
  netnsId: netnsIdentity(),
  mac: '02:fd:00:00:00:01',
  peerMac: '02:fe:00:00:00:01',
  owner: 'one',
  ...more,
});
