// UDP ports that a punt on the embedded plane cannot have.

import { expect, it } from 'vitest';
import { EmbeddedPunts } from '../../../src/forwarding/punts.ts';

it('ports that the relay has, and those of tunnels, are told by name', () => {
  const punts = new EmbeddedPunts(() => undefined);
  const by = (port: number, family: 4 | 6 = 4, protocol = 17) => punts.takenBy({ by: 'port', family, protocol, port });
  expect([by(67), by(547, 6), by(4789), by(4789, 6)]).toEqual([
    expect.stringMatching(/^DHCP,/),
    expect.stringMatching(/^DHCPv6,/),
    expect.stringMatching(/^VXLAN,/),
    expect.stringMatching(/^VXLAN,/),
  ]);
  expect([by(547), by(67, 6), by(4789, 4, 6), by(9000)]).toEqual([undefined, undefined, undefined, undefined]);
  expect(punts.takenBy({ by: 'protocol', family: 4, protocol: 67 })).toBeUndefined();
});
