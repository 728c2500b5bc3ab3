// The binding to liblcpvpp.so (native/lcpvpp.h): the only file of the VPP client that knows koffi.
//
// Invariants: calls are short and never wait for VPP; buffers are JavaScript's and used during the call only. The
// library is loaded at first use, and that it is not there is an answer, because it is only a faster way.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { LcpError } from '../lib/errors.ts';

/** enum lcpvpp_state. */
export const STATE = { closed: 0, opening: 1, open: 2, failed: 3, closing: 4 } as const;

/** Where the build puts the library, beside dist/ or src/. */
export function libraryPath(): string {
  const directory = process.env.LCPD_BUILD_DIR ?? fileURLToPath(new URL('../../build', import.meta.url));
  return `${directory}/liblcpvpp.so`;
}

function load() {
  const path = libraryPath();
  if (!existsSync(path)) {
    throw new LcpError('NATIVE_LIBRARY', { op: 'load', key: path, message: 'the native library has not been built' });
  }
  const library = koffi.load(path);
  return {
    open: library.func('int32_t lcpvpp_open(const char *, const char *, const char *, const char *)') as (
      library: string,
      prefix: string,
      name: string,
      socket: string,
    ) => number,
    state: library.func('int32_t lcpvpp_state()') as () => number,
    reason: library.func('const char *lcpvpp_reason()') as () => string,
    eventfd: library.func('int32_t lcpvpp_eventfd()') as () => number,
    messageId: library.func('int32_t lcpvpp_message_id(const char *)') as (nameCrc: string) => number,
    write: library.func('int32_t lcpvpp_write(const void *, uint64_t)') as (frames: Uint8Array, size: number) => number,
    read: library.func('int64_t lcpvpp_read(void *, uint64_t)') as (bytes: Uint8Array, size: number) => number,
    close: library.func('void lcpvpp_close()') as () => void,
    pidfd: library.func('int32_t lcpvpp_pidfd(int32_t)') as (pid: number) => number,
    closeFd: library.func('void lcpvpp_close_fd(int32_t)') as (fd: number) => void,
    statsConnect: library.func('int32_t lcpvpp_stats_connect(const char *)') as (path: string) => number,
    statsReceive: library.func('int32_t lcpvpp_stats_receive(int32_t)') as (socket: number) => number,
  };
}

export type ShmLibrary = ReturnType<typeof load>;
let loaded: ShmLibrary | undefined;

/** The library's functions. Throws NATIVE_LIBRARY when it has not been built. */
export function shmLibrary(): ShmLibrary {
  loaded ??= load();
  return loaded;
}

/** Calls back while a descriptor is readable, from libuv's own poll; the function that is returned ends it. */
export function whenReadable(fd: number, onReadable: () => void): () => void {
  // koffi hands the libuv status over first, which its declaration leaves out.
  // The handle must stay reachable: one that is collected stops silently.
  const handle = koffi.node.poll(fd, { readable: true }, (() => {
    try {
      onReadable();
    } catch (error) {
      // An exception in the callback would be lost, and polling with it.
      setImmediate(() => {
        throw error;
      });
    }
  }) as never);
  return () => handle.close();
}
