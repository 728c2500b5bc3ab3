// Reload by difference.

import { describe, expect, it } from 'vitest';
import { applicableConfig, diffConfig, puntOperations } from '../../../src/config/diff.ts';
import { loadConfig } from '../../../src/config/load.ts';

function configOf(text: string) {
  const result = loadConfig(text);
  if ('errors' in result) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

const base = configOf(
  'netns: cp\npairs:\n  - { phy: a, host: e0 }\n  - { phy: b, host: e1 }\n  - { phy: c, host: e2 }',
);

describe('diffConfig', () => {
  it('finds nothing where nothing changed, whatever the order of the pairs', () => {
    const same = configOf(
      'netns: cp\npairs:\n  - { phy: c, host: e2 }\n  - { phy: a, host: e0 }\n  - { phy: b, host: e1, netns: cp }',
    );
    expect(diffConfig(base, same)).toEqual({
      pairs: { added: [], removed: [], changed: [] },
      punts: { added: [], removed: [], changed: [] },
      live: [],
      restartNeeded: [],
    });
  });

  it('names pairs added, removed and changed', () => {
    const next = configOf(
      'netns: cp\npairs:\n  - { phy: b, host: e1, type: tun }\n  - { phy: c, host: e9 }\n  - { phy: d, host: e0 }',
    );
    const { pairs } = diffConfig(base, next);
    expect(pairs.added.map(({ phy }) => phy)).toEqual(['d']);
    expect(pairs.removed.map(({ phy }) => phy)).toEqual(['a']);
    expect(pairs.changed.map(({ from, to }) => [from.phy, from.type, from.host, to.type, to.host])).toEqual([
      ['b', 'tap', 'e1', 'tun', 'e1'],
      ['c', 'tap', 'e2', 'tap', 'e9'],
    ]);
  });

  it('moves every pair that took the default namespace when that changes', () => {
    const next = configOf(
      'netns: cp2\npairs:\n  - { phy: a, host: e0 }\n  - { phy: b, host: e1, netns: cp }\n  - { phy: c, host: e2 }',
    );
    expect(diffConfig(base, next).pairs.changed.map(({ to }) => to.phy)).toEqual(['a', 'c']);
  });

  it('tells what is applied at once from what needs a restart', () => {
    const next = configOf(
      'dataplane: { workers: 2, memory: 1GiB }\ncontrol: { socket: /tmp/c.sock, mode: "0600", group: adm }\n' +
        'log: { level: debug, areas: { lcp: trace } }\nnetlink: { rx-buffer-bytes: 1MiB, queue-messages: 2000, neighbours: false }\n' +
        'retry: { initial-ms: 50, max-ms: 1000 }\npunt: { interconnect-alloc-cidr: 10.0.0.0/8, state: /tmp/s }\n' +
        'unpaired-routes: ignore\ndel-static-on-link-down: true\ndel-dynamic-on-link-down: true',
    );
    const diff = diffConfig(base, next);
    expect(diff.live).toEqual([
      'unpaired-routes',
      'del-static-on-link-down',
      'del-dynamic-on-link-down',
      'log.level',
      'log.areas',
      'retry.initial-ms',
      'retry.max-ms',
    ]);
    expect(applicableConfig(base, next)).toMatchObject({
      unpairedRoutes: 'ignore',
      delStaticOnLinkDown: true,
      delDynamicOnLinkDown: true,
    });
    expect(diff.restartNeeded).toEqual([
      'dataplane.vpp',
      'dataplane.workers',
      'dataplane.memory',
      'dataplane.socket',
      'punt.socket',
      'punt.interconnect-alloc-cidr',
      'punt.memif-directory',
      'punt.state',
      'control.socket',
      'control.mode',
      'control.group',
      'netlink.rx-buffer-bytes',
      'netlink.queue-messages',
      'netlink.neighbours',
    ]);
  });

  it('keeps saying that a restart is needed until it has happened', () => {
    const next = configOf('dataplane: { workers: 2 }\nlog: { level: debug }');
    const running = applicableConfig(base, next);
    expect(running.dataplane.workers).toBe(1);
    expect(running.log.level).toBe('debug');
    expect(diffConfig(running, next)).toEqual({
      pairs: { added: [], removed: [], changed: [] },
      punts: { added: [], removed: [], changed: [] },
      live: [],
      restartNeeded: ['dataplane.workers'],
    });
  });

  it('names punts added, removed and changed by their identity, not by their order', () => {
    const punt = (name: string, more = '') => `{ name: ${name}, type: span, interface: x${more} }`;
    const from = configOf(`punts: [${punt('a')}, ${punt('b')}, ${punt('c')}, ${punt('d')}]`);
    const same = configOf(`punts: [${punt('d')}, ${punt('c')}, ${punt('b', ', direction: both')}, ${punt('a')}]`);
    expect(diffConfig(from, same).punts).toEqual({ added: [], removed: [], changed: [] });
    const to = configOf(
      `punts: [${punt('b', ', direction: rx')}, ${punt('c', ', netns: n')}, ${punt('e')}, ${punt('d')}]`,
    );
    const { added, removed, changed } = diffConfig(from, to).punts;
    const ids = (punts: typeof added) => punts.map(({ id }) => `${id.cnf}|${id.label}`);
    expect([ids(added), ids(removed)]).toEqual([
      ['n|c', '|e'],
      ['|a', '|c'],
    ]);
    expect(changed.map(({ from, to }) => [from.spec, to.spec])).toEqual([
      [
        { type: 'span', interface: 'x', direction: 'both' },
        { type: 'span', interface: 'x', direction: 'rx' },
      ],
    ]);
    expect(puntOperations(diffConfig(from, to).punts).map((row) => Object.values(row).join(' '))).toEqual([
      'delete punt a span',
      'delete punt c span',
      'update punt b span: other direction',
      'add punt c span in n',
      'add punt e span',
    ]);
    expect(applicableConfig(from, to).punts).toEqual(to.punts);
    expect(applicableConfig(from, configOf('punt: { state: /s }')).punt).toEqual(from.punt);
  });
});
