// PuntEnv: what punts depend on, as of now. The composition root answers from the mirror and the data plane.

import type { PuntInterface, PuntPlane } from '../lcp/puntplane.ts';

export interface PuntEnv {
  readonly plane: Omit<PuntPlane, 'interface' | 'hasTable' | 'stats' | 'recall' | 'forgets'>;
  /**
   * A phy, a sub-interface or an interface of the data plane by its name. ifindex: of a device of lcpd's own namespace
   * that is in no pair and not opened by the data plane, else 0.
   */
  interface(name: string): (PuntInterface & { readonly ifindex: number; readonly paired: boolean }) | undefined;
  /** Whether there is a routing table of that number. 0 and 254 are main. */
  hasTable(family: 4 | 6, table: number): boolean;
  /** Identity of a network namespace ("dev:ino"), undefined: there is none of that name. '' is lcpd's own. */
  netns(name: string): string | undefined;
  /** Namespace that the router's layer 3 is in, '' is lcpd's own: hosts of routed interconnects are made there. */
  readonly mirrored: string;
  /** Subnets of interconnects are cut from it. */
  readonly allocCidr: string;
  /** Directory of memif sockets. */
  readonly memifDirectory: string;
}
