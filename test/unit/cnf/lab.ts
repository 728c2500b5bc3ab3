// Lab: wishes, and a keeper of CNF devices over a kernel in memory, with the test's clock.

import { afterEach, beforeEach, expect, vi } from 'vitest';
import type { CnfHost } from '../../../src/cnfdevice.ts';
import { CnfDevices } from '../../../src/cnfdevices.ts';
import { createLog } from '../../../src/lib/log.ts';
import type { CnfDevice } from '../../../src/punt/derive.ts';
import { FakeKernel, type FakeNetns } from './fakekernel.ts';

export const MAC = '02:fe:00:00:00:01';

export const device = (name: string, more: Partial<CnfDevice> = {}): CnfDevice => ({
  ...{ netns: 'cnf', netnsId: '1:1', name, mac: MAC, mtu: 1400, vrf: { name: 'vrf5', table: 5 } },
  addresses: ['10.0.0.2/30', 'fd00::2/64'],
  ...more,
});

export const host = (name: string, more: Partial<CnfHost> = {}): CnfHost => ({
  ...{ netns: 'cnf', name, mac: MAC, addresses: ['10.9.0.1/24'], table: 7, mtu: 0, ...more },
});

/** Device t0 as wished, and its VRF. */
export const DONE = [`t0 up ${MAC} mtu 1400 in vrf5 10.0.0.2/30 fd00::2/64`, 'vrf5 up table 5'];

export const pass = (ms = 400): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

export class CnfLab {
  readonly kernel = new FakeKernel();
  /** The namespace of the wishes. */
  readonly ns: FakeNetns = this.kernel.addNetns('cnf', '1:1');
  /** What was logged. */
  readonly lines: string[] = [];
  /** How often a state changed. */
  changes = 0;
  devices: CnfDevices = this.start();

  /** Another life. */
  start(): CnfDevices {
    const destination = { write: (line: string) => void this.lines.push(line) };
    const log = createLog({ levels: { level: 'info', areas: {} }, style: 'json', destination }).area('punt');
    this.devices = new CnfDevices({ log, kernel: this.kernel, now: () => Date.now() });
    this.devices.onChange = () => {
      this.changes++;
    };
    return this.devices;
  }

  /** Somebody else changes something. */
  async byHand(change: () => void): Promise<void> {
    change();
    this.kernel.notice(this.ns);
    await pass();
  }
}

/** The lab of the test that runs, of a file that calls labForEach. */
export let lab: CnfLab;

/** Another lab, in the middle of a test. */
export function newLab(): void {
  lab = new CnfLab();
}

/** Gives each test of a file a lab, of which no socket is open at its end. */
export function labForEach(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    newLab();
  });
  afterEach(async () => {
    await lab.devices.close();
    expect(lab.kernel.opened).toBe(0);
    vi.useRealTimers();
  });
}
