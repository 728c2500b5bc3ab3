/**
 * Reading VPP's statistics: what is in a segment, in one that changes, and in one that is anything.
 */
import { readdirSync, truncateSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LcpError } from '../../../src/lib/errors.ts';
import { VppStats } from '../../../src/vpp/stats.ts';
import { errorCounters, interfaceCounters, routeCounters } from '../../../src/vpp/statscounters.ts';
import type { Reading, StatRow } from '../../../src/vpp/statssegment.ts';
import { HEADER_SIZE, StatsSegment } from '../../../src/vpp/statssegment.ts';
import { FakeStats, OLDER_TYPE, serveStats, sourceOf, TYPE } from './fakestats.ts';

const BIG = 2 ** 40;

/** Two interfaces, others that are gone again, two threads. */
function router(): FakeStats {
  return new FakeStats()
    .add('/sys/heartbeat', TYPE.scalar, 17n)
    .add('/sys/vector_rate', TYPE.gauge, 3n)
    .add('', TYPE.empty, 0xffff_ffffn)
    .names('/if/names', ['local0', '', 'eth0', 'deleted'])
    .simple('/if/drops', [
      [1, 2, 3],
      [10, 20, BIG],
    ])
    .simple('/if/punt', [[0, 0, 5], [0]])
    .combined('/if/rx', [
      [
        [1, 64],
        [0, 0],
        [2, 128],
      ],
      [
        [4, 256],
        [0, 0],
        [BIG, 8],
      ],
    ])
    .combined('/if/tx', [
      [
        [9, 900],
        [0, 0],
        [7, 700],
      ],
    ])
    .simple('/node/errors', [
      [0, 4, 0],
      [0, 5, 0],
    ])
    .link('/err/ip4-input/bad/checksum', '/node/errors', 1)
    .link('/err/ip4-input/ttl', '/node/errors', 0)
    .link('/interfaces/eth0/rx', '/if/rx', 2)
    .combined('/net/route/to', [[], [[3, 300]]])
    .simple('/never/counted', [])
    .add('/null', TYPE.simple, 0n)
    .add('/some/histogram', TYPE.histogram, 12n)
    .add('/some/ring', TYPE.ring, 12n);
}

const all = (): boolean => true;

function read(bytes: Uint8Array, size?: number): Reading {
  const reading = new StatsSegment(sourceOf(bytes, size)).reading(all);
  // Changes of the bytes can make it look busy.
  return reading ?? { rows: [], damaged: 0 };
}

const plain = (row: StatRow | undefined): unknown =>
  JSON.parse(JSON.stringify(row, (_name, value: unknown) => (value instanceof Float64Array ? [...value] : value)));

describe('a segment', () => {
  it('has numbers, counters added over threads, names and links', () => {
    const { rows, damaged } = read(router().build());
    expect(damaged).toBe(0);
    expect(rows.map(plain)).toEqual([
      { name: '/sys/heartbeat', kind: 'scalar', value: 17 },
      { name: '/sys/vector_rate', kind: 'scalar', value: 3 },
      { name: '/if/names', kind: 'names', names: ['local0', '', 'eth0', 'deleted'] },
      { name: '/if/drops', kind: 'simple', values: [11, 22, 3 + BIG] },
      { name: '/if/punt', kind: 'simple', values: [0, 0, 5] },
      { name: '/if/rx', kind: 'combined', packets: [5, 0, 2 + BIG], bytes: [320, 0, 136] },
      { name: '/if/tx', kind: 'combined', packets: [9, 0, 7], bytes: [900, 0, 700] },
      { name: '/node/errors', kind: 'simple', values: [0, 9, 0] },
      { name: '/err/ip4-input/bad/checksum', kind: 'simple', values: [9] },
      { name: '/err/ip4-input/ttl', kind: 'simple', values: [0] },
      { name: '/interfaces/eth0/rx', kind: 'combined', packets: [2 + BIG], bytes: [136] },
      { name: '/net/route/to', kind: 'combined', packets: [3], bytes: [300] },
      { name: '/never/counted', kind: 'simple', values: [] },
      { name: '/null', kind: 'simple', values: [] },
    ]);
  });

  it('of an older VPP has other numbers for the types, and error counters of their own', () => {
    const fake = new FakeStats()
      .names('/if/names', ['local0'], OLDER_TYPE.names)
      .add('/err/x/y', OLDER_TYPE.error, 1n)
      .add('/err/x/absent', OLDER_TYPE.error, 9n)
      .add('', OLDER_TYPE.empty, 0n)
      .simple('/if/drops', [[6]])
      .link('/interfaces/local0/drops', '/if/drops', 0, OLDER_TYPE.link);
    fake.errors = fake.vectors([
      [1, 2],
      [3, 4],
    ]);
    const { rows, damaged } = read(fake.build());
    expect(damaged).toBe(1);
    expect(rows.map(plain)).toEqual([
      { name: '/if/names', kind: 'names', names: ['local0'] },
      { name: '/err/x/y', kind: 'simple', values: [6] },
      { name: '/if/drops', kind: 'simple', values: [6] },
      { name: '/interfaces/local0/drops', kind: 'simple', values: [6] },
    ]);
  });

  it('whose entries point at nothing that can be has the others', () => {
    const fake = new FakeStats().simple('/if/drops', [[6]]);
    const outside = [1n, 0x7f12_3450_0000n, 0x7f12_3450_0010n, 0x7f12_4450_0000n, (1n << 64n) - 1n];
    for (const type of [TYPE.simple, TYPE.combined, TYPE.names]) {
      for (const pointer of outside) fake.add(`/bad/${type}/${pointer}`, type, pointer);
    }
    fake.link('/link/index', '/if/drops', 1).add('/link/entry', TYPE.link, 5000n);
    fake.link('/link/good', '/if/drops', 0).link('/link/link', '/link/good', 0);
    // The second counter of a vector, as if the first were a length.
    fake.add('/bad/length', TYPE.simple, fake.vectors([[2 ** 31, 1]]) - 16n).add('/bad/type', 77, 0n);
    const { rows, damaged } = read(fake.build());
    expect(rows.map(({ name }) => name)).toEqual(['/if/drops', '/link/good']);
    expect(damaged).toBe(20);
  });

  it('of another version, without a directory, or too big is refused', () => {
    const other = router();
    other.version = 3n;
    expect(() => read(other.build())).toThrow('its version is 3, not 2');
    expect(() => read(new FakeStats().build())).toThrow('the directory is not in the segment');
    expect(() => read(Buffer.alloc(47))).toThrow('no header');
    const huge = router().build();
    // A file may be longer than any memory: the length of the directory is then no bound.
    const at = Number(huge.readBigUInt64LE(32) - huge.readBigUInt64LE(8));
    huge.writeUInt32LE(0xffff_ffff, at - 8);
    expect(() => read(huge)).toThrow('not in the segment');
    const endless = { size: () => 2 ** 50, read: sourceOf(huge).read };
    expect(() => new StatsSegment(endless).reading(all)).toThrow('more than 512 MiB');
  });

  it('that VPP changes while it is read is no reading, whatever was seen of it', () => {
    const fake = router();
    const states: Buffer[] = [fake.build()];
    fake.epoch = 2n;
    states.push(fake.build());
    fake.inProgress = 1n;
    states.push(fake.build());
    // Of a change half made: the directory has any length.
    const torn = Buffer.from(states[2] as Buffer);
    torn.writeUInt32LE(0xffff_ffff, Number(torn.readBigUInt64LE(32) - torn.readBigUInt64LE(8)) - 8);
    states.push(torn);
    for (const [at, state, isReading] of [
      [0, 0, true],
      [0, 2, false],
      [1, 1, false],
      [1, 2, false],
      [1, 3, false],
      [20, 1, false],
      [20, 2, false],
      [20, 3, false],
    ] as const) {
      // From the at-th read on it is in another state.
      let reads = 0;
      const source = {
        size: () => (states[0] as Buffer).length,
        read: (into: Uint8Array, offset: number) =>
          sourceOf(states[reads++ < at ? 0 : state] as Buffer).read(into, offset),
      };
      const reading = new StatsSegment(source).reading(all);
      expect(reading !== undefined, `${at} ${state}`).toBe(isReading);
      if (at === 0 && !isReading) expect(reads).toBe(1);
    }
  });

  it('is read anew after each change', () => {
    const fake = router();
    let bytes = fake.build();
    const segment = new StatsSegment({
      size: () => bytes.length,
      read: (into, offset) => sourceOf(bytes).read(into, offset),
    });
    expect(segment.reading(all)?.rows).toHaveLength(14);
    fake.add('/more', TYPE.gauge, 5n).epoch = 2n;
    bytes = fake.build();
    expect(plain(segment.reading(all)?.rows[14])).toEqual({ name: '/more', kind: 'scalar', value: 5 });
    // A number changes without a change of the directory.
    bytes.writeBigUInt64LE(6n, bytes.length - 136);
    expect(plain(segment.reading(all)?.rows[14])).toEqual({ name: '/more', kind: 'scalar', value: 6 });
  });

  /** Rows, or the one error there may be. */
  const survives = (bytes: Uint8Array, size?: number): number => {
    try {
      return read(bytes, size).rows.length;
    } catch (error) {
      if (!(error instanceof LcpError) || error.code !== 'VPP_STATS') throw error;
      return -1;
    }
  };

  it('that ends anywhere is read as far as it goes', () => {
    const bytes = router().build();
    const found = Array.from({ length: bytes.length + 1 }, (_, size) => survives(bytes, size));
    expect(found.at(-1)).toBe(14);
    // The directory is its end.
    expect(new Set(found.slice(0, -1))).toEqual(new Set([-1]));
    // Here it is at the start, and the vectors behind it end early.
    const turned = Buffer.concat([bytes, bytes]);
    turned.copy(turned, bytes.length, 0, bytes.length);
    for (let size = 0; size <= bytes.length; size += 8) {
      const moved = Buffer.from(turned);
      moved.writeBigUInt64LE(moved.readBigUInt64LE(8) - BigInt(size), 8);
      survives(moved, bytes.length + size);
    }
  });

  it('that is anything is read without harm', () => {
    const good = router().build();
    const word = fc.oneof(
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      fc.constantFrom(0n, 1n, 0xffff_ffffn, (1n << 64n) - 1n),
      fc.nat(good.length + 64).map((at) => good.readBigUInt64LE(8) + BigInt(at)),
    );
    const change = fc.tuple(fc.nat(Math.floor(good.length / 8) - 1), word);
    const outcomes = new Set<number>();
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
        const bytes = Buffer.from(good);
        for (const [i, value] of changes) bytes.writeBigUInt64LE(value, 8 * i);
        outcomes.add(survives(bytes));
      }),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4000 }), (bytes) => {
        survives(bytes);
        // The same behind a header that is right.
        survives(Buffer.concat([good.subarray(0, 40), bytes]));
      }),
      { numRuns: 500 },
    );
    expect(outcomes.size).toBeGreaterThan(3);
  });
});

describe('the statistics of a VPP', () => {
  it('are handed over by its socket, and read by name, folder or pattern', async () => {
    const { socket } = await serveStats(router().build());
    const stats = await VppStats.open(socket);
    const names = async (pattern: string | RegExp): Promise<string[]> =>
      (await stats.read(pattern)).map(({ name }) => name);
    expect(await names('/if/drops')).toEqual(['/if/drops']);
    expect(await names('/if')).toEqual(['/if/names', '/if/drops', '/if/punt', '/if/rx', '/if/tx']);
    expect(await names(/^\/err\/.*ttl$/)).toEqual(['/err/ip4-input/ttl']);
    expect(await names('/i')).toEqual([]);
    expect(stats.counters).toEqual({ readings: 4, repeated: 0, damaged: 0 });
    stats.close();
    await expect(stats.read('/if')).rejects.toMatchObject({
      code: 'VPP_STATS',
      message: expect.stringContaining('closed'),
    });
  });

  it('are interfaces, errors and routes', async () => {
    const { socket } = await serveStats(router().build());
    const stats = await VppStats.open(socket);
    expect(await interfaceCounters(stats)).toEqual([
      {
        swIfIndex: 0,
        name: 'local0',
        rx: { packets: 5, bytes: 320 },
        tx: { packets: 9, bytes: 900 },
        packets: { drops: 11, punt: 0 },
      },
      {
        swIfIndex: 2,
        name: 'eth0',
        rx: { packets: 2 + BIG, bytes: 136 },
        tx: { packets: 7, bytes: 700 },
        packets: { drops: 3 + BIG, punt: 5 },
      },
    ]);
    expect(await errorCounters(stats)).toEqual([{ node: 'ip4-input', reason: 'bad/checksum', count: 9 }]);
    expect(await routeCounters(stats, [1, 0])).toEqual([
      { packets: 0, bytes: 0 },
      { packets: 3, bytes: 300 },
    ]);
    expect(await routeCounters(stats, [])).toEqual([]);
    stats.close();
  });

  it('are read again when VPP changes them meanwhile, and not for ever', async () => {
    const fake = router();
    fake.inProgress = 1n;
    const { socket, file } = await serveStats(fake.build());
    const stats = await VppStats.open(socket, { timeoutMs: 300 });
    const reading = stats.read('/sys/heartbeat');
    fake.inProgress = 0n;
    fake.epoch = 2n;
    writeFileSync(file, fake.build());
    expect((await reading).map(plain)).toEqual([{ name: '/sys/heartbeat', kind: 'scalar', value: 17 }]);
    expect(stats.counters.repeated).toBeGreaterThan(0);
    fake.inProgress = 1n;
    writeFileSync(file, fake.build());
    await expect(stats.read('/if')).rejects.toMatchObject({
      code: 'VPP_STATS',
      message: expect.stringContaining('changed it for 300 ms'),
    });
    stats.close();
  });

  it('that shrink while they are open are an error and nothing worse', async () => {
    const bytes = router().build();
    const { socket, file } = await serveStats(bytes);
    const stats = await VppStats.open(socket);
    for (const [size, text] of [
      [bytes.length - 1, 'not in the segment'],
      [HEADER_SIZE, 'not in the segment'],
      [20, 'no header'],
      [0, 'no header'],
    ] as const) {
      truncateSync(file, size);
      await expect(stats.read('/if')).rejects.toMatchObject({
        code: 'VPP_STATS',
        message: expect.stringContaining(text),
      });
    }
    stats.close();
  });

  const descriptors = (): number => readdirSync('/proc/self/fd').length;

  it.each([
    ['nothing', 'silent', 'VPP does not answer'],
    ['no descriptor', 'none', 'EPROTO'],
    ['a descriptor that is no memory', 'pipe', 'it is no memory'],
  ] as const)('cannot be opened when VPP sends %s', async (_name, how, text) => {
    const { socket } = await serveStats(router().build(), how);
    const before = descriptors();
    for (let i = 0; i < 3; i++) {
      const opened = VppStats.open(socket, { timeoutMs: 200 });
      await expect(opened).rejects.toMatchObject({ code: 'VPP_STATS', message: expect.stringContaining(text) });
    }
    expect(descriptors()).toBeLessThanOrEqual(before);
  });

  it('keep no descriptor but the one that is theirs, however many are sent', async () => {
    const { socket } = await serveStats(router().build(), 'two');
    const before = descriptors();
    const stats = await VppStats.open(socket);
    expect(descriptors()).toBe(before + 1);
    expect(await stats.read('/sys')).toHaveLength(2);
    stats.close();
    expect(descriptors()).toBe(before);
  });

  it.each([
    ['nobody listens', '/nonexistent/stats.sock', 'ENOENT', 'VPP does not run'],
    ['it is no socket', '/dev/null', 'ECONNREFUSED', 'left of a VPP'],
    ['its name is too long', `/${'x'.repeat(120)}`, 'ENAMETOOLONG', 'dataplane.vpp.stats-socket'],
  ])('cannot be opened when %s', async (_name, path, text, hint) => {
    await expect(VppStats.open(path)).rejects.toMatchObject({
      code: 'VPP_STATS',
      message: expect.stringContaining(text),
      hint: expect.stringContaining(hint),
    });
  });
});
