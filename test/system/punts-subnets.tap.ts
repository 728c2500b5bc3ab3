/**
 * Subnets of DHCP relays: as many as there are /30s, by reload and by lcpctl. Numbers are those of the punt manager's scenarios.
 */
import type { PuntRow } from '../../src/punt/view.ts';
import { ip } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { addressesIn, embeddedOnly } from './lab/puntscene.ts';
import { system } from './lab.ts';

/** Of the /24 that relays have by default. */
const SUBNETS = 64;
const ALL_IN_USE = 'failed to allocate subnet for interconnect: all of 192.168.111.0/24 is in use';

system(
  '23 a relay for each of 64 VRFs has a /30 of its own; the 65th is told that there is none, and has the first that is let go',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    const lcpd = await punts.start();
    for (let table = 1; table <= SUBNETS + 1; table++)
      await ip(lab.ns('cp'), 'route', 'add', 'blackhole', '10.99.0.0/16', 'table', String(table));
    const relay = (vrf: number): Entry => ({
      ...{ name: `relay${vrf}`, type: 'dhcp-proxy', netns: c1, l3: 'ipv4', vrf, 'without-cnf-vrf': true },
    });
    const rowOf = async (name: string): Promise<PuntRow | undefined> =>
      (await punts.rows()).find(({ request }) => request.id.label === name);
    const subnetOf = async (name: string): Promise<string> => {
      const { links = [] } = (await rowOf(name)) ?? {};
      return links.flatMap(({ vpp, cnf }) => [...vpp.addresses, ...cnf.addresses]).join(' ');
    };

    // each in the place of the one before: its /30 is free in the pass behind
    for (let vrf = 1; vrf <= SUBNETS; vrf++) {
      await punts.configure(relay(vrf));
      await punts.is(`relay${vrf}`, 'CREATED');
    }
    await punts.configure(relay(SUBNETS + 1));
    await punts.is(`relay${SUBNETS + 1}`, 'CREATED');
    t.match(
      await subnetOf(`relay${SUBNETS + 1}`),
      /^192\.168\.111\.(1\/30 192\.168\.111\.2|5\/30 192\.168\.111\.6)\/30$/,
    );
    await punts.configure();
    await punts.noTaps('c1');

    const all = Array.from({ length: SUBNETS }, (_, i) => relay(i + 1));
    const last = relay(SUBNETS + 1);
    await punts.configure(...all);
    await waitFor(
      'all to be created',
      async () => {
        const open = (await punts.rows()).filter(({ state }) => state !== 'CREATED');
        if (open.length > 0)
          throw new Error(open.map(({ id, state, reasons }) => `${id} ${state} ${reasons}`).join('\n'));
        return true;
      },
      { timeoutMs: 60_000 },
    );
    const sources = (await punts.rows()).flatMap(({ links }) => links.flatMap(({ vpp }) => vpp.addresses));
    t.equal(new Set(sources).size, SUBNETS, 'each has its own');
    const tap = (await rowOf('relay64'))?.links[0]?.cnf;
    t.same(await addressesIn(lab, 'c1', tap?.name ?? ''), tap?.addresses, 'and so has its device');

    const byHand = await lcpd.ctl(['punt', 'add', 'dhcp-proxy', 'more', `vrf=${SUBNETS + 1}`, '--netns', c1]);
    t.equal(byHand.code, 4, byHand.stdout);
    t.match(byHand.stderr, new RegExp(`${ALL_IN_USE}.*PUNT_REFUSED`), byHand.stderr.trim());
    await punts.configure(...all, last);
    await punts.is(last.name, 'FAILED', new RegExp(`^${ALL_IN_USE}$`));
    t.match((await lcpd.ctl(['punt', 'list'])).stdout, new RegExp(`${last.name} .*FAILED.*${ALL_IN_USE}`));
    t.same(
      (await punts.rows()).filter(({ state }) => state !== 'CREATED').map(({ request }) => request.id.label),
      [last.name],
      'nobody else has lost anything',
    );

    const tenth = await subnetOf('relay10');
    await punts.configure(...all.filter(({ name }) => name !== 'relay10'), last);
    await punts.is(last.name, 'CREATED');
    t.equal(await subnetOf(last.name), tenth, 'it has what the other let go');
    await lcpd.synced();
    await punts.configure();
    await punts.noTaps('c1');
  },
  embeddedOnly,
);
