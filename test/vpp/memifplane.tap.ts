/**
 * The embedded data plane as the master of memifs, asked for by a punt of lcpd, and a real VPP as the CNF at their other
 * end: a host behind a phy pings VPP through the forwarder, before and after either side has ended and come back.
 */
import { readdirSync } from 'node:fs';
import { Lcpd } from '../system/lab/lcpd.ts';
import { addVeth, ip } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { reachable } from '../system/lab/traffic.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { vpp } from './lab.ts';

interface StatRow {
  readonly object: string;
  readonly name: string;
  readonly value: number;
}

async function ask(real: RealVpp, line: string): Promise<void> {
  const { code, stdout, stderr } = await real.ctl(line);
  if (code !== 0 || /error|fail/i.test(stdout)) throw new Error(`${line}: ${stdout}${stderr}`);
}

/** A slave for each of the sockets, all of them 10.0.0.77, each in a table of its own. */
async function addSlaves(real: RealVpp, directory: string, files: readonly string[]): Promise<void> {
  for (const [n, file] of files.entries()) {
    const secret = /^memif-(.*)\.sock$/.exec(file)?.[1] ?? '';
    await ask(real, `create memif socket id ${n + 1} filename ${directory}/${file}`);
    await ask(real, `create interface memif id 1 socket-id ${n + 1} slave secret ${secret}`);
    await ask(real, `ip table add ${n + 1}`);
    await ask(real, `set interface ip table memif${n + 1}/1 ${n + 1}`);
    await ask(real, `set interface ip address memif${n + 1}/1 10.0.0.77/24`);
    await ask(real, `set interface state memif${n + 1}/1 up`);
  }
}

vpp('the forwarder is the master of a VPP that is a CNF', async (t, lab) => {
  const [rtr, cp] = [await lab.addNetns('rtr'), await lab.addNetns('cp')];
  for (const n of [0, 1]) {
    const host = await lab.addNetns(`h${n}`);
    await addVeth({ ns: rtr, dev: `p${n}` }, { ns: host, dev: 'eth0' });
    await ip(rtr, 'link', 'set', `p${n}`, 'up');
    await ip(host, 'link', 'set', 'eth0', 'up');
    await ip(host, 'address', 'add', `10.0.0.${n + 2}/24`, 'dev', 'eth0');
  }
  const directory = `${lab.dir}/memif`;
  const config = `dataplane: { driver: embedded, memory: 256MiB }
netns: ${cp}
control: { socket: ${lab.dir}/lcpd.sock }
punt: { memif-directory: ${directory}, state: ${lab.dir}/state }
pairs: [{ phy: p0, host: e0 }, { phy: p1, host: e1 }]
punts: [{ name: wire, type: hairpin-xconnect, interfaces: [p0, p1], interconnect: memif }]
`;
  const lcpd = new Lcpd({ ns: rtr, dir: lab.dir, config });
  lab.defer(async () => lcpd.daemon.stop('SIGTERM'));
  await lcpd.start();
  const sockets = () => readdirSync(directory).filter((file) => file.endsWith('.sock'));
  await waitFor('both sockets', () => sockets().length === 2);
  for (const n of [0, 1]) await ip(cp, 'link', 'set', `e${n}`, 'up');
  const connected = async (): Promise<number> => {
    const rows = await lcpd.json<StatRow[]>(['punt', 'stats']);
    return rows.filter(({ name, value }) => name === 'connected' && value === 1).length;
  };
  t.equal(await connected(), 0, 'nobody is connected yet');

  const real = await lab.addVpp();
  await addSlaves(real, directory, sockets());
  await waitFor('both to be connected', async () => (await connected()) === 2);
  for (const n of [0, 1]) t.ok(await reachable(lab.ns(`h${n}`), '10.0.0.77'), `h${n}: VPP answers through the memif`);

  await lcpd.daemon.stop('SIGKILL');
  t.ok(await reachable(lab.ns('h0'), '10.0.0.77'), 'and without lcpd');
  await lcpd.start();
  await lcpd.synced();
  t.equal(await connected(), 2, 'the next lcpd knows them again');
  t.ok(await reachable(lab.ns('h0'), '10.0.0.77'), 'still');

  lcpd.writeConfig(config.replace(/^punts:.*$/m, 'punts: []'));
  t.equal((await lcpd.ctl(['reload'])).code, 0);
  await waitFor('the sockets to go with their ports', () => sockets().length === 0);
});
