// Rules between values: what no single key can be checked for.
//
// Invariants: it looks at the document as written, not at the checked one, so that these errors come together
// with all the others: values of a wrong type are left out here, the schema reports them.

import { besideControl, defaultControlSocket } from './config.ts';
import { ifnameProblem, type PathProblem, vppInterfaceProblem } from './names.ts';
import { puntsProblems } from './puntrules.ts';
import { record, stringOf } from './written.ts';

function place(netns: string | undefined): string {
  return netns === undefined ? "in lcpd's own namespace" : `in namespace ${netns}`;
}

function pairProblems(document: Readonly<Record<string, unknown>>): PathProblem[] {
  const pairs = Array.isArray(document.pairs) ? document.pairs.map(record) : [];
  const defaultNetns = stringOf(document.netns);
  const problems: PathProblem[] = [];
  const phys = new Map<string, number>();
  const hosts = new Map<string, number>();
  const ofKernel = record(document.dataplane).driver !== 'vpp';
  for (const [i, pair] of pairs.entries()) {
    const phy = stringOf(pair.phy);
    if (phy === undefined) continue;
    const problem = ofKernel && vppInterfaceProblem(phy) === undefined ? ifnameProblem(phy) : undefined;
    if (problem !== undefined) problems.push({ path: ['pairs', i, 'phy'], ...problem });
    const first = phys.get(phy);
    if (first === undefined) {
      phys.set(phy, i);
    } else {
      const message = `phy ${phy} is already in pairs[${first}]`;
      problems.push({
        path: ['pairs', i, 'phy'],
        message,
        hint: 'a phy has one host interface; remove one of the two',
      });
    }
  }
  for (const [i, pair] of pairs.entries()) {
    const host = stringOf(pair.host);
    if (host === undefined) continue;
    const netns = stringOf(pair.netns) ?? defaultNetns;
    const key = JSON.stringify([netns, host]);
    const first = hosts.get(key);
    if (first === undefined) {
      hosts.set(key, i);
    } else {
      const message = `host ${host} is already in pairs[${first}], ${place(netns)}`;
      problems.push({ path: ['pairs', i, 'host'], message, hint: 'give it another name or another netns' });
    }
    const phy = netns === undefined && ofKernel ? phys.get(host) : undefined;
    if (phy !== undefined) {
      const message = `host ${host} has the name of the phy in pairs[${phy}], ${place(netns)}`;
      problems.push({ path: ['pairs', i, 'host'], message, hint: 'give it another name, or a netns' });
    }
  }
  return problems;
}

/** What only a data plane with interfaces of its own has. */
function syncProblems(document: Readonly<Record<string, unknown>>): PathProblem[] {
  const problems: PathProblem[] = [];
  const sync = record(document.sync);
  const hint = 'say dataplane: { driver: vpp }, or take it out';
  const isVpp = record(document.dataplane).driver === 'vpp';
  const isOn = sync['vpp-to-linux'] === true;
  if (isOn && !isVpp)
    problems.push({
      path: ['sync', 'vpp-to-linux'],
      message: 'the embedded data plane has no state of its own that could go to Linux',
      hint,
    });
  if (sync['auto-subint'] === true && !isOn)
    problems.push({
      path: ['sync', 'auto-subint'],
      message: 'auto-subint is a part of vpp-to-linux, which is off',
      hint: 'say vpp-to-linux: true, too',
    });
  const auto = Array.isArray(document['auto-pairs']) ? document['auto-pairs'].map(record) : [];
  if (auto.length > 0 && !isVpp)
    problems.push({ path: ['auto-pairs'], message: 'the embedded data plane finds no interfaces by itself', hint });
  for (const [i, { phy, host }] of auto.entries()) {
    if (stringOf(phy)?.includes('*') !== true || stringOf(host)?.includes('*') !== false) continue;
    const message = `host ${host} would be that of every interface ${phy}`;
    problems.push({ path: ['auto-pairs', i, 'host'], message, hint: 'write a "*" where they differ: e*' });
  }
  return problems;
}

/** All broken rules of a document, in the order of its parts. */
export function crossProblems(value: unknown): PathProblem[] {
  const document = record(value);
  const problems = [
    ...pairProblems(document),
    ...puntsProblems(document.punts, stringOf(document.netns) ?? ''),
    ...syncProblems(document),
  ];
  const control = stringOf(record(document.control).socket) ?? defaultControlSocket;
  const forwarder = stringOf(record(document.dataplane).socket);
  if (forwarder === control) {
    const message = `${control} is the control socket`;
    problems.push({ path: ['dataplane', 'socket'], message, hint: 'the forwarder needs a socket of its own' });
  }
  const punt = stringOf(record(document.punt).socket);
  if (punt !== undefined && (punt === control || punt === (forwarder ?? besideControl(control, 'fwd.sock')))) {
    const message = `${punt} is the ${punt === control ? 'control' : "forwarder's"} socket`;
    problems.push({
      path: ['punt', 'socket'],
      message,
      hint: 'what clients of punts write to needs a socket of its own',
    });
  }
  const retry = record(document.retry);
  const initialMs = retry['initial-ms'] ?? 100;
  const maxMs = retry['max-ms'] ?? 30_000;
  if (typeof initialMs === 'number' && typeof maxMs === 'number' && initialMs > maxMs) {
    const key = retry['max-ms'] === undefined ? 'initial-ms' : 'max-ms';
    const message = `initial-ms (${initialMs}) is more than max-ms (${maxMs})`;
    problems.push({ path: ['retry', key], message, hint: 'the delay grows from initial-ms to max-ms' });
  }
  return problems;
}
