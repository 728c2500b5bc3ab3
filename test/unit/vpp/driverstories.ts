/**
 * What stories of the VPP driver ask of the fake VPP: a driver with two pairs, what was sent, which entries are there.
 */
import { contractLab } from '../lcp/contractlab.ts';
import { addPhys, type DriverLab, openDriver } from './driverlab.ts';
import type { FakeVpp } from './fakevpp.ts';
import { startFake } from './lab.ts';

export const API = 8;
export const LOCAL_SOURCE = 23;
export const ROUTE_SOURCE = 24;

/** A driver with both pairs, up. */
export async function router(prepare: (fake: FakeVpp) => void = () => undefined) {
  const fake = await startFake((each) => {
    addPhys(each);
    prepare(each);
  });
  let opened: DriverLab = await openDriver(fake);
  const lab = contractLab(() => opened);
  const hosts = await lab.pairs();
  return {
    fake,
    hosts,
    lab,
    get opened() {
      return opened;
    },
    again: async () => {
      opened = await opened.again();
    },
  };
}

/**
 * Names of requests that change something, since a moment. VPP says of no secondary MAC that it has it: they are told again.
 * The path of its punt socket is asked for by a registration that it refuses.
 */
export const changes = (fake: FakeVpp, since: number): string[] =>
  fake.seen
    .slice(since)
    .filter(
      (name) =>
        !/_(dump|dump_v2|get|get_v2|lookup_v2)$|add_del_mac_address$|^(control_ping|punt_socket_register|feature_is_enabled|sockclnt|show_|cli_|want_)/.test(
          name,
        ) && !/_get_/.test(name),
    );

/** The entries of a table by prefix: the sources that have one. */
export function entries({ state }: FakeVpp, table: number, family = 4): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  for (const key of [...state.routes.keys()].sort()) {
    const [at = '', prefix = '', source] = key.split(' ');
    // that of the limited broadcast has stories of its own
    if (at === `${family}:${table}` && prefix !== 'ffffffff/32')
      found[prefix] = [...(found[prefix] ?? []), Number(source)];
  }
  return found;
}

export const vrf: readonly number[] = [255, 100, 254];
export const lookup4 = (tables: readonly number[]) => ({ lookup4: tables.map((id) => `cp/v4/${id}`) });
