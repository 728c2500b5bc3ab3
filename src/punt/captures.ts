// captures: where frames of a punt can be seen, and what is said of punts that have no such place.
//
// Invariants: only a device of the kernel can be looked at, which are the TAPs of links to CNFs; who asks for another one is told
// where its packets are, and which punts there are that can be captured.

import type { Derived, Plan } from './derive.ts';
import type { PuntRequest } from './request.ts';

export interface CapturePlace {
  readonly netns: string;
  readonly device: string;
}

/** Devices of the kernel that a punt has. */
export function placesOf(plan: Plan | undefined, { devices }: Derived): CapturePlace[] {
  const names = plan?.interconnects ?? [];
  return devices.filter(({ name }) => names.includes(name)).map(({ netns, name }) => ({ netns, device: name }));
}

/** Why a punt has no device, as the end of a sentence about it. */
export function whyNoPlace({ spec, interconnect }: PuntRequest, plan: Plan | undefined): string {
  switch (spec.type) {
    case 'to-host':
    case 'ip-protocol':
    case 'icmp6':
    case 'exception':
      return spec.socket === ''
        ? 'its packets go to the host, among all others of the pair that they came by'
        : `its packets go to the client at ${spec.socket}, which alone sees them`;
    case 'ip-redirect':
      return `its packets leave by ${spec.tx}, among all others`;
    case 'police':
      return 'it limits packets that go elsewhere';
    default:
      if (interconnect === 'memif') return 'its frames are in memory that it shares with the CNF';
      return `its devices are not there yet: ${plan?.reasons.join('; ') || 'it was just asked for'}`;
  }
}

/** What to look at instead. ids: punts that have devices. */
export function captureHint(ids: readonly string[]): string {
  const now = ids.length === 0 ? 'none that there is now' : ids.join(', ');
  return (
    `punts over a TAP can be captured (hairpin-xconnect, hairpin, span, abx, isisx, dhcp-proxy): ${now}; ` +
    'a span shows all frames of its interface, and lcpctl punt stats counts those of every punt'
  );
}
