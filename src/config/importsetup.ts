// VppSetup: what the files of a VPP with linux_cp say, as far as it concerns lcpd, each with the place that says it.
//
// Invariants: it holds VPP's words and nothing of lcpd's; what becomes of them is import.ts's. A pair has the default
// namespace that was in force at its line, as VPP does it. Notes and records are bounded, whatever the files hold.

/** A line of a file, from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** Something the operator should know: what has no counterpart and why, or what is left to do. */
export interface ImportNote {
  /** Undefined: it is about all files together. */
  readonly place: Place | undefined;
  readonly message: string;
  /** True: the configuration does less than VPP did until the operator has done something about it. */
  readonly open: boolean;
}

/** A `lcp create` line. */
export interface VppPair {
  /** VPP's name of the interface, or its sw_if_index as text. */
  readonly name: string;
  readonly host: string;
  readonly netns: string | undefined;
  readonly type: 'tap' | 'tun';
  readonly place: Place;
}

/** A `create sub-interfaces` line. Tags are texts, `any` among them. */
export interface VppSubInterface {
  readonly parent: string;
  readonly id: string;
  readonly protocol: 'dot1q' | 'dot1ad';
  readonly outer: string;
  readonly inner: string | undefined;
  /** `lcp-auto-subint` was on, so that VPP paired it without a line of its own. */
  readonly paired: boolean;
  readonly place: Place;
}

const MAX_NOTES = 1000;
const MAX_RECORDS = 20_000;

/** A text from a file, safe to print on one line and not too long. */
export function shown(text: string, most = 60): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must reach neither a terminal nor the YAML text
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]/g, '?');
}

/** What has been read so far. */
export class VppSetup {
  defaultNetns: string | undefined;
  autoSubint = false;
  sync = false;
  delStaticOnLinkDown = false;
  delDynamicOnLinkDown = false;
  /** VyOS's `route-no-paths`: routes without a paired way out punt (true) or not (false); undefined: nothing said. */
  routeNoPaths: boolean | undefined;
  /** Bytes, as written. */
  rxBufferBytes: { readonly value: number; readonly place: Place } | undefined;
  /** Enabled or not, by plugin (`linux_cp`, `linux_nl`, `default`). */
  readonly plugins = new Map<string, boolean>();
  /** Scripts to run: `exec` and `startup-config`. */
  readonly scripts: { readonly file: string; readonly place: Place }[] = [];
  /** By VPP name, in the order of their lines. */
  readonly pairs = new Map<string, VppPair>();
  readonly subInterfaces = new Map<string, VppSubInterface>();
  /** Those of one tag, by what they carry. */
  readonly #singleTagged = new Map<string, VppSubInterface>();
  /** Linux network interfaces by VPP name, where a line says so (af_packet, af_xdp, rdma). */
  readonly netdevs = new Map<string, string>();
  /** PCI addresses by VPP name, from `dpdk { dev … { name … } }`. */
  readonly pciAddresses = new Map<string, string>();
  /** Addresses that `set interface ip address` gave. */
  readonly addresses: { readonly name: string; readonly address: string; readonly place: Place }[] = [];
  /** Loopbacks that are the routed interface of a bridge domain. */
  readonly bridged = new Set<string>();
  readonly notes: ImportNote[] = [];
  /** Commands of scripts that are VPP's own business. */
  otherCommands = 0;
  #records = 0;
  #dropped = 0;

  note(place: Place | undefined, message: string, open = false): void {
    if (this.notes.length < MAX_NOTES) this.notes.push({ place, message, open });
    else this.#dropped++;
  }

  addSubInterface(sub: VppSubInterface): void {
    this.subInterfaces.set(`${sub.parent}.${sub.id}`, sub);
    if (sub.inner === undefined) this.#singleTagged.set(JSON.stringify([sub.parent, sub.protocol, sub.outer]), sub);
  }

  /** The sub-interface of the outer tag alone of one with two tags. */
  outerOf({ parent, protocol, outer }: VppSubInterface): VppSubInterface | undefined {
    return this.#singleTagged.get(JSON.stringify([parent, protocol, outer]));
  }

  /** Something in the files that must be done by hand. */
  leave(place: Place | undefined, message: string): void {
    this.note(place, message, true);
  }

  /** False when the files hold more than any router has; the caller then leaves the record out. */
  admit(): boolean {
    this.#records++;
    return this.#records <= MAX_RECORDS;
  }

  /** The notes in the order of their places (`files` as read), with what did not fit; for the end. */
  finish(files: readonly string[]): readonly ImportNote[] {
    const order = new Map(files.map((file, i) => [file, i]));
    const rank = ({ place }: ImportNote) => (place === undefined ? files.length : (order.get(place.file) ?? -1));
    const notes = this.notes.toSorted((a, b) => rank(a) - rank(b) || (a.place?.line ?? 0) - (b.place?.line ?? 0));
    if (this.#dropped > 0) notes.push({ place: undefined, message: `and ${this.#dropped} more remarks`, open: true });
    if (this.#records > MAX_RECORDS) {
      const message = `more than ${MAX_RECORDS} interfaces and addresses: the rest was not read`;
      notes.push({ place: undefined, message, open: true });
    }
    return notes;
  }
}
