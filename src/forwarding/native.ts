// The binding to liblcpfwd.so (lcpfwd.h): the only file of the embedded driver that knows koffi.
//
// Structs are never marshalled: they are written and read through typed arrays at the offsets below,
// whose sizes are checked against the library when it is loaded. All calls are synchronous and short.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { LcpError } from '../lib/errors.ts';

/** sizeof of lcpfwd.h's structs in the order of lcpfwd_sizeof. */
const SIZES = {
  path: 56,
  route: 28,
  spec: 24,
  result: 12,
  neighbour: 28,
  port: 368,
  event: 24,
  trace: 128,
  adjacency: 88,
  info: 72,
  mroute: 176,
  punt: 208,
  punt_count: 32,
};

export const SIZE = SIZES;

/** Offsets within struct lcpfwd_port. */
export const PORT = {
  id: 0,
  flags: 4,
  phyIfindex: 8,
  hostIfindex: 12,
  mtu: 16,
  mac: 20,
  src4: 28,
  src6: 32,
  generation: 48,
  v4: 56,
  v6: 80,
  mpls: 104,
  parent: 108,
  tags: 110,
  macs: 111,
  tag: 112,
  more: 120,
  phy: 216,
  host: 248,
  netns: 264,
  wireUp: 356,
  lender: 360,
} as const;
export const PORT_UP = 1;
export const PORT_TUN = 2;
export const PORT_KERNEL_FWD4 = 4;
export const PORT_KERNEL_FWD6 = 8;
export const PORT_L2 = 16;
export const PORT_FOREIGN = 32;
export const PORT_INTERCONNECT = 64;
export const PORT_WIRE_TAP = 128;
export const PORT_GSO = 256;
export const PORT_HOSTLESS = 512;
export const PORT_WIRE_MEMIF = 1024;
/** Port.lender: it borrows of one that is not there. */
export const LENDER_ABSENT = 256;
/** Most bytes of the note of an interconnect. */
export const NOTE_SIZE = 4096;
export const OWNER_SIZE = 108;

/** A pointer of the library: opaque. */
export type Handle = bigint | null;

/** Where the build puts the library and the forwarder, beside dist/ or src/. */
export const buildPath = (name: string): string => {
  const override = process.env.LCPD_BUILD_DIR;
  const dir = override ?? fileURLToPath(new URL('../../build', import.meta.url));
  return `${dir}/${name}`;
};

const load = () => {
  const path = buildPath('liblcpfwd.so');
  if (!existsSync(path)) {
    throw new LcpError('NATIVE_LIBRARY', {
      op: 'load',
      key: path,
      message: 'the native library has not been built',
      hint: 'run make native',
    });
  }
  const lib = koffi.load(path);
  const f = {
    sizeof: lib.func('uint32_t lcpfwd_sizeof(uint32_t)'),
    create: lib.func('void *lcpfwd_create(uint64_t, uint32_t)'),
    attach: lib.func('void *lcpfwd_attach(const char *, void *)'),
    detach: lib.func('void lcpfwd_detach(void *)'),
    shutdown: lib.func('int32_t lcpfwd_shutdown(void *)'),
    info: lib.func('int32_t lcpfwd_info(void *, void *)'),
    eventFd: lib.func('int32_t lcpfwd_event_fd(void *)'),
    controlFd: lib.func('int32_t lcpfwd_control_fd(void *)'),
    events: lib.func('int32_t lcpfwd_events(void *, void *, uint32_t)'),
    tapOpen: lib.func('int32_t lcpfwd_tap_open(int32_t, const char *, int32_t, void *)'),
    tapDelete: lib.func('int32_t lcpfwd_tap_delete(int32_t, const char *, int32_t)'),
    wireOpen: lib.func(
      'int32_t lcpfwd_wire_open(int32_t, const char *, const char *, const void *, uint32_t, int32_t, void *)',
    ),
    close: lib.func('int32_t lcpfwd_close(int32_t)'),
    phyGuard: lib.func('int32_t lcpfwd_phy_guard(int32_t, int32_t, const char *)'),
    phyGuarded: lib.func('int32_t lcpfwd_phy_guarded(int32_t, uint8_t *)'),
    phyWatched: lib.func('int32_t lcpfwd_phy_watched(int32_t)'),
    portAdd: lib.func('int32_t lcpfwd_port_add(void *, const void *, int32_t, void *)'),
    memifAdd: lib.func('int32_t lcpfwd_memif_add(void *, const void *, const char *, const char *, void *)'),
    portDel: lib.func('int32_t lcpfwd_port_del(void *, uint32_t)'),
    portHost: lib.func('int32_t lcpfwd_port_host(void *, uint32_t, const void *, int32_t, void *)'),
    portLender: lib.func('int32_t lcpfwd_port_lender(void *, uint32_t, uint32_t)'),
    portNoteSet: lib.func('int32_t lcpfwd_port_note_set(void *, uint32_t, const void *, uint32_t)'),
    portNote: lib.func('int32_t lcpfwd_port_note(void *, uint32_t, void *, uint32_t)'),
    portSet: lib.func('int32_t lcpfwd_port_set(void *, uint32_t, const void *)'),
    ports: lib.func('int32_t lcpfwd_ports(void *, void *, uint32_t)'),
    tableAdd: lib.func('int32_t lcpfwd_table_add(void *, uint32_t, const char *)'),
    tableDel: lib.func('int32_t lcpfwd_table_del(void *, uint32_t)'),
    tableName: lib.func('int32_t lcpfwd_table_name(void *, uint32_t, const char *)'),
    tableGet: lib.func('int32_t lcpfwd_table_get(void *, uint32_t, void *, void *, void *)'),
    pathlistSet: lib.func('int32_t lcpfwd_pathlist_set(void *, uint32_t, const void *, uint32_t)'),
    pathlistDel: lib.func('int32_t lcpfwd_pathlist_del(void *, uint32_t)'),
    pathlistGet: lib.func('int32_t lcpfwd_pathlist_get(void *, uint32_t, void *, uint32_t, void *)'),
    pathlistEnd: lib.func('uint32_t lcpfwd_pathlist_end(void *)'),
    routesApply: lib.func('int32_t lcpfwd_routes_apply(void *, const void *, uint32_t, void *)'),
    routesDump: lib.func('int32_t lcpfwd_routes_dump(void *, uint32_t, void *, uint32_t, void *)'),
    neighboursApply: lib.func('int32_t lcpfwd_neighbours_apply(void *, const void *, uint32_t, void *)'),
    neighboursDump: lib.func('int32_t lcpfwd_neighbours_dump(void *, void *, uint32_t, void *)'),
    mrouteSet: lib.func('int32_t lcpfwd_mroute_set(void *, const void *)'),
    mrouteDel: lib.func('int32_t lcpfwd_mroute_del(void *, const void *)'),
    mroutesDump: lib.func('int32_t lcpfwd_mroutes_dump(void *, void *, uint32_t, void *)'),
    adjacenciesDump: lib.func('int32_t lcpfwd_adjacencies_dump(void *, void *, uint32_t, void *)'),
    lookup: lib.func('int32_t lcpfwd_lookup(void *, const void *, uint32_t, const void *, uint32_t, void *)'),
    puntsSet: lib.func('int32_t lcpfwd_punts_set(void *, void *, uint32_t, void *)'),
    puntsDump: lib.func('int32_t lcpfwd_punts_dump(void *, void *, uint32_t)'),
    puntCount: lib.func('int32_t lcpfwd_punt_count(void *, uint32_t, void *)'),
    reasonName: lib.func('const char *lcpfwd_reason_name(uint32_t)'),
    reasonPackets: lib.func('int64_t lcpfwd_reason_packets(void *, uint32_t)'),
    planeCounterName: lib.func('const char *lcpfwd_plane_counter_name(uint32_t)'),
    planeCounter: lib.func('int64_t lcpfwd_plane_counter(void *, uint32_t)'),
    puntSocket: lib.func('int32_t lcpfwd_punt_socket(void *, const char *, void *)'),
    counterCount: lib.func('uint32_t lcpfwd_counter_count()'),
    counterName: lib.func('const char *lcpfwd_counter_name(uint32_t)'),
    counters: lib.func('int32_t lcpfwd_counters(void *, uint32_t, void *)'),
    traceArm: lib.func('int32_t lcpfwd_trace_arm(void *, uint32_t)'),
    traces: lib.func('int32_t lcpfwd_traces(void *, uint64_t, void *, uint32_t)'),
  };
  Object.values(SIZES).forEach((size, i) => {
    const real = f.sizeof(i) as number;
    if (real !== size) {
      const name = Object.keys(SIZES)[i] as string;
      throw new LcpError('NATIVE_LIBRARY', {
        op: 'load',
        key: path,
        message: `struct lcpfwd_${name} has ${real} bytes, expected ${size}`,
        hint: 'the library is of another build: run make native',
      });
    }
  });
  return f;
};

type Functions = ReturnType<typeof load>;
let functions: Functions | undefined;

/** The library's functions, loaded at first use. */
export const native = (): Functions => {
  functions ??= load();
  return functions;
};

/**
 * Calls back whenever fd is readable or has failed. The returned function ends it.
 * libuv stops a poll whose fd reports an error, so an error ends the watch too.
 */
export const watchFd = (fd: number, onReadable: (failed: boolean) => void): (() => void) => {
  let handle: ReturnType<typeof koffi.node.poll> | undefined = koffi.node.poll(
    fd,
    { readable: true, disconnect: true },
    ((status: number, events: { disconnect?: boolean }) => {
      // an exception in here would silently end the polling, so it must surface elsewhere
      try {
        onReadable(status < 0 || events?.disconnect === true);
      } catch (error) {
        setImmediate(() => {
          throw error;
        });
      }
    }) as never,
  );
  watched.add(handle);
  return () => {
    if (handle === undefined) return;
    handle.stop();
    handle.close();
    watched.delete(handle);
    handle = undefined;
  };
};
/** koffi's poll handles stop silently when collected. */
const watched = new Set<unknown>();
