// startup.conf read for lcpd: the stanzas linux-cp, linux-nl (and lcpng's), plugins, unix and dpdk.
//
// Invariants: stanzas of others are left alone. A setting that is not known is named with its line, never guessed.
// Reference: the keywords of VPP 26.06 and of lcpng, and `route-no-paths` of VyOS.

import { type Place, shown, type VppSetup } from './importsetup.ts';
import type { ConfItem } from './importsyntax.ts';

type Word = Extract<ConfItem, { kind: 'word' }>;

/** Takes the words of a stanza one by one. */
class Words {
  readonly #items: readonly ConfItem[];
  readonly #file: string;
  #next = 0;

  constructor(items: readonly ConfItem[], file: string) {
    this.#items = items;
    this.#file = file;
  }

  take(): ConfItem | undefined {
    const item = this.#items[this.#next];
    this.#next++;
    return item;
  }

  /** The word that comes next; a block is left where it is. */
  takeWord(): Word | undefined {
    const item = this.#items[this.#next];
    if (item?.kind !== 'word') return undefined;
    this.#next++;
    return item;
  }

  takeBlock(): readonly ConfItem[] | undefined {
    const item = this.#items[this.#next];
    if (item?.kind !== 'block') return undefined;
    this.#next++;
    return item.items;
  }

  place(item: ConfItem): Place {
    return { file: this.#file, line: item.line };
  }
}

const whyNothing: Readonly<Record<string, string>> = {
  'nl-batch-size': 'lcpd applies changes in rounds that take all there is; netlink.queue-messages bounds what waits',
  'nl-batch-delay-ms': 'lcpd does not wait between rounds',
  'num-rx-queues': 'lcpd chooses the queues of host interfaces by itself',
  'num-tx-queues': 'lcpd chooses the queues of host interfaces by itself',
};

/** Why `lcp-sync` is not needed; used for scripts too. */
export const syncReason =
  'lcp-sync: not needed: the host interface decides about addresses, MTU and admin state, and the phy follows';

const numberOf = (word: Word | undefined) =>
  word !== undefined && /^[0-9]{1,15}$/.test(word.text) ? Number(word.text) : undefined;

function readSetting(setup: VppSetup, words: Words, word: Word, stanza: string): void {
  const place = words.place(word);
  switch (word.text) {
    case 'default': {
      const name = words.takeWord()?.text === 'netns' ? words.takeWord() : undefined;
      if (name === undefined) setup.leave(place, `${stanza}: "default" without "netns NAME"`);
      else setup.defaultNetns = name.text;
      return;
    }
    case 'lcp-auto-subint':
      setup.autoSubint = true;
      return;
    case 'lcp-sync':
      if (!setup.sync) setup.note(place, syncReason);
      setup.sync = true;
      return;
    case 'del-static-on-link-down':
      setup.delStaticOnLinkDown = true;
      return;
    case 'del-dynamic-on-link-down':
      setup.delDynamicOnLinkDown = true;
      return;
    case 'route-no-paths':
      setup.routeNoPaths = true;
      return;
    case 'nl-rx-buffer-size': {
      const value = numberOf(words.takeWord());
      if (value === undefined) setup.leave(place, `${stanza}: nl-rx-buffer-size without a number of bytes`);
      else setup.rxBufferBytes = { value, place };
      return;
    }
  }
  const why = Object.hasOwn(whyNothing, word.text) ? whyNothing[word.text] : undefined;
  if (why === undefined) {
    setup.leave(place, `${stanza}: "${shown(word.text)}" is not known`);
    return;
  }
  const value = numberOf(words.takeWord());
  if (value === undefined) setup.leave(place, `${stanza}: ${word.text} without a number`);
  else setup.note(place, `${word.text} ${value}: no counterpart: ${why}`);
}

function readSettings(setup: VppSetup, items: readonly ConfItem[], file: string, stanza: string): void {
  const words = new Words(items, file);
  for (let item = words.take(); item !== undefined; item = words.take()) {
    if (item.kind === 'word') readSetting(setup, words, item, stanza);
    else setup.leave(words.place(item), `${stanza}: a block that is not known`);
  }
}

/** The plugins that matter, by their files; lcpng's stand for the same. */
const plugins = new Map([
  ['default', 'default'],
  ['linux_cp_plugin.so', 'linux_cp'],
  ['linux_nl_plugin.so', 'linux_nl'],
  ['lcpng_if_plugin.so', 'linux_cp'],
  ['lcpng_nl_plugin.so', 'linux_nl'],
]);

function readPlugins(setup: VppSetup, items: readonly ConfItem[], file: string): void {
  const words = new Words(items, file);
  for (let item = words.take(); item !== undefined; item = words.take()) {
    if (item.kind !== 'word' || item.text !== 'plugin') continue;
    const name = words.takeWord();
    const block = words.takeBlock();
    const plugin = name === undefined ? undefined : plugins.get(name.text);
    if (plugin === undefined || block === undefined) continue;
    for (const state of block) {
      if (state.kind !== 'word') continue;
      if (state.text === 'enable' || state.text === 'disable') setup.plugins.set(plugin, state.text === 'enable');
    }
  }
}

function readUnix(setup: VppSetup, items: readonly ConfItem[], file: string): void {
  const words = new Words(items, file);
  for (let item = words.take(); item !== undefined; item = words.take()) {
    if (item.kind !== 'word' || (item.text !== 'exec' && item.text !== 'startup-config')) continue;
    const script = words.takeWord();
    if (script === undefined) setup.leave(words.place(item), `unix: "${item.text}" without a file`);
    else if (setup.admit()) setup.scripts.push({ file: script.text, place: words.place(item) });
  }
}

/** `dev 0000:03:00.0 { name e0 }`: the only place that says which card a VPP name stands for. */
function readDpdk(setup: VppSetup, items: readonly ConfItem[], file: string): void {
  const words = new Words(items, file);
  for (let item = words.take(); item !== undefined; item = words.take()) {
    if (item.kind !== 'word' || item.text !== 'dev') continue;
    const address = words.takeWord();
    const block = words.takeBlock() ?? [];
    const at = block.findIndex((entry) => entry.kind === 'word' && entry.text === 'name');
    const name = at === -1 ? undefined : block[at + 1];
    if (address === undefined || name?.kind !== 'word' || !setup.admit()) continue;
    setup.pciAddresses.set(name.text, address.text);
  }
}

/** Reads what `items`, a whole startup.conf, says. */
export function readStartup(setup: VppSetup, items: readonly ConfItem[], file: string): void {
  for (const [i, item] of items.entries()) {
    const before = items[i - 1];
    if (item.kind !== 'block' || before?.kind !== 'word') continue;
    const stanza = before.text;
    if (stanza === 'linux-cp' || stanza === 'linux-nl' || stanza === 'lcpng') {
      readSettings(setup, item.items, file, stanza);
    } else if (stanza === 'plugins') readPlugins(setup, item.items, file);
    else if (stanza === 'unix') readUnix(setup, item.items, file);
    else if (stanza === 'dpdk') readDpdk(setup, item.items, file);
  }
}
