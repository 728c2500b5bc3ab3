// The systemd unit: checked by systemd itself where it is installed.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const unit = fileURLToPath(new URL('../../../systemd/lcpd.service', import.meta.url));
const missing = spawnSync('systemd-analyze', ['--version']).error !== undefined;
if (missing) process.stderr.write('SKIPPED: systemd-analyze is not installed, so lcpd.service is not verified\n');

describe('lcpd.service', () => {
  it.skipIf(missing)('is verified without a remark', () => {
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
    // A remark about an executable that is not installed here says nothing about the unit.
    const remarks = `${stdout}${stderr}`.split('\n').filter((line) => line !== '' && !/is not executable/.test(line));
    expect(remarks).toEqual([]);
    if (!/is not executable/.test(stderr)) expect(status).toBe(0);
  });

  it.skipIf(missing)('is rated no worse than medium for its exposure', () => {
    const { status, stdout, stderr } = spawnSync(
      'systemd-analyze',
      ['security', '--offline=true', '--threshold=45', unit],
      { encoding: 'utf8' },
    );
    expect(`${stdout.split('\n').at(-2)}${stderr}`).toMatch(/exposure level/);
    expect(status).toBe(0);
  });

  it('lets the forwarder outlive lcpd, and bounds what both may do', () => {
    const text = readFileSync(unit, 'utf8');
    const settingOf = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1];
    expect(settingOf('KillMode')).toBe('process');
    expect(settingOf('RuntimeDirectoryPreserve')).toBe('yes');
    expect(settingOf('Environment')).toBe('LCPD_OPTIONS=--leave');
    expect(settingOf('CapabilityBoundingSet')).toBe(settingOf('AmbientCapabilities'));
    for (const capability of settingOf('CapabilityBoundingSet')?.split(' ') ?? []) {
      expect(text, `${capability} has its reason`).toMatch(new RegExp(`^#   ${capability} +\\w`, 'm'));
    }
    expect(settingOf('PrivateNetwork')).toBeUndefined();
    expect(settingOf('PrivateMounts')).toBeUndefined();
  });
});
