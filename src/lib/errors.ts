// LcpError: the one error class, and the one table of its codes.
//
// Invariants: a code is stable for ever (scripts match it), so a row is added, never renamed. The table is the
// source of the operator's page: a title says what happened, a hint what to do. `retry` says what the
// reconciler does with an object that failed so: try later (backoff), read the kernel or data plane again
// (resync), or wait until its input changes (never). A throw site may give a better hint than the table's.

export type Retry = 'backoff' | 'resync' | 'never';

export interface ErrorInfo {
  readonly title: string;
  readonly hint: string;
  readonly retry: Retry;
}

/** Every code. Keep it sorted by area, then by code. */
export const errorTable = {
  CONFIG_INVALID: {
    title: 'the configuration is not valid',
    hint: 'correct the lines named; `lcpd --config FILE --check` checks a file without touching anything',
    retry: 'never',
  },
  CONFIG_UNREADABLE: {
    title: 'the configuration file cannot be read',
    hint: 'check the path given with --config and its permissions',
    retry: 'never',
  },
  CONTROL_BAD_PARAMS: {
    title: 'the parameters do not fit the method',
    hint: 'lcpctl and lcpd may be of different versions',
    retry: 'never',
  },
  CONTROL_BAD_REQUEST: {
    title: 'not a request',
    hint: 'send one JSON object a line: {"id": 1, "method": "status"}',
    retry: 'never',
  },
  CONTROL_BUSY: {
    title: 'too many clients or requests at once',
    hint: 'close idle clients, or wait for answers before asking more',
    retry: 'backoff',
  },
  CONTROL_CANCELLED: { title: 'the request was cancelled', hint: 'ask again', retry: 'never' },
  CONTROL_IN_USE: {
    title: 'another lcpd serves this control socket',
    hint: 'stop the other lcpd, or give this one another control.socket',
    retry: 'never',
  },
  CONTROL_NOT_A_SOCKET: {
    title: 'the control socket path is taken by something that is not a socket',
    hint: 'look at what is there and move it away, or set another control.socket',
    retry: 'never',
  },
  CONTROL_NOT_RUNNING: { title: 'no request with this id is running', hint: 'it has already ended', retry: 'never' },
  CONTROL_SOCKET: {
    title: 'the control socket cannot be made',
    hint: 'check that the directory exists, is writable, and is on a file system that can hold sockets',
    retry: 'never',
  },
  CONTROL_TOO_LARGE: {
    title: 'the request line is too long',
    hint: 'split it into several requests of at most 1 MiB',
    retry: 'never',
  },
  CONTROL_UNKNOWN_METHOD: {
    title: 'no such method',
    hint: 'lcpctl and lcpd may be of different versions',
    retry: 'never',
  },
  DATAPLANE_DOWN: {
    title: 'the data plane is not there',
    hint: 'lcpd starts it again by itself; the log says why it ended',
    retry: 'backoff',
  },
  FORWARDER_ABI: {
    title: 'the running forwarder is of another version',
    hint: 'forwarding goes on with the old tables; end that lcpfwd process when a short interruption is acceptable',
    retry: 'backoff',
  },
  FORWARDER_BUSY: {
    title: 'the running forwarder is written by another lcpd',
    hint: 'stop the other lcpd, or give this one another dataplane.socket',
    retry: 'backoff',
  },
  FORWARDER_START: {
    title: 'the forwarder cannot be started',
    hint: 'lcpd needs CAP_NET_ADMIN, CAP_NET_RAW and a writable directory for dataplane.socket',
    retry: 'backoff',
  },
  HOST_DEVICE: {
    title: 'the host interface cannot be made or removed',
    hint: 'check that /dev/net/tun is there, that the name is free and that nobody else holds the device',
    retry: 'backoff',
  },
  NETNS_GONE: { title: 'the network namespace is gone', hint: 'the pair waits for it', retry: 'backoff' },
  PHY_GONE: { title: 'the phy is gone', hint: 'the pair waits for it', retry: 'backoff' },
  PHY_GUARD: {
    title: "the kernel's own stack cannot be kept off the phy",
    hint: 'needs CAP_NET_ADMIN and CAP_BPF, and a kernel with CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS',
    retry: 'backoff',
  },
  PHY_TAKEN: {
    title: "the phy is another lcpd's",
    hint: 'the message names that one by its dataplane.socket; take the phy out of one of the two configurations',
    retry: 'backoff',
  },
  PORT_REFUSED: {
    title: 'the forwarder refuses the port',
    hint: 'the message names the call that failed; AF_PACKET rings need CAP_NET_RAW',
    retry: 'backoff',
  },
  NATIVE_LIBRARY: { title: 'the native library cannot be used', hint: 'run make native', retry: 'never' },
  REFUSED: { title: 'the data plane refuses the object', hint: 'the message has its reason', retry: 'backoff' },
  TABLES_FULL: {
    title: "the data plane's table memory is used up",
    hint: 'raise dataplane.memory and restart the forwarder',
    retry: 'backoff',
  },
  INTERNAL: {
    title: 'an error inside lcpd',
    hint: 'the log has the details; please report it',
    retry: 'never',
  },
  NO_SUCH_NETNS: {
    title: 'no such network namespace is watched',
    hint: '`lcpctl status` lists the namespaces; a namespace is watched when a pair is in it',
    retry: 'never',
  },
  NO_SUCH_LINK: {
    title: 'no such interface in the network namespace',
    hint: '`lcpctl show links` lists them',
    retry: 'never',
  },
  NOT_SUPPORTED: {
    title: 'the data plane cannot do this',
    hint: 'use another driver or leave the feature out',
    retry: 'never',
  },
  PUNT_BUSY: {
    title: 'what the punt wants belongs to another one',
    hint: 'the message names who has it; delete that one first, or ask for something else',
    retry: 'never',
  },
  PUNT_CONFIGURED: {
    title: 'the punt is one of the configuration',
    hint: 'take it out of `punts:` and reload',
    retry: 'never',
  },
  PUNT_EXISTS: {
    title: 'there is a punt of that identity already',
    hint: '`lcpctl punt show NAME` shows it; delete it first, or choose another name',
    retry: 'never',
  },
  PUNT_INVALID: {
    title: 'what is asked for is not a valid punt',
    hint: 'correct the fields named; lcpd.full.yaml shows what each type of punt has',
    retry: 'never',
  },
  PUNT_JOURNAL: {
    title: 'the journal of punts cannot be kept',
    hint: 'the message names the file; give lcpd a directory that it may write to (punt.state) with room on its disk',
    retry: 'backoff',
  },
  PUNT_REFUSED: {
    title: 'the punt cannot be had',
    hint: 'the message says why; nothing of it was made',
    retry: 'never',
  },
  PUNT_UNKNOWN: {
    title: 'there is no punt of that name, or more than one',
    hint: '`lcpctl punt list` names them; several are told apart by their ids',
    retry: 'never',
  },
  VPP_API: {
    title: "VPP's binary API is not as expected",
    hint: 'the message names what differs; `lcpctl vpp` lists which features this VPP cannot have',
    retry: 'never',
  },
  VPP_CONNECT: {
    title: "VPP's binary API cannot be reached",
    hint: 'check that VPP runs, that startup.conf has socksvr { default }, and that lcpd may open the socket (its group is vpp)',
    retry: 'backoff',
  },
  VPP_LINUX_NL: {
    title: 'the plugin linux_nl is loaded in VPP, which programs the same tables from the same kernel',
    hint: "disable linux_nl_plugin.so in plugins {} of VPP's startup.conf and restart VPP; linux_cp_plugin.so stays enabled",
    retry: 'backoff',
  },
  VPP_MESSAGE: {
    title: 'the value does not fit the message of VPP',
    hint: 'the message names the field; please report it',
    retry: 'never',
  },
  VPP_NO_ANSWER: {
    title: 'VPP does not answer the request',
    hint: "VPP's own log says why it dropped the message; lcpd reads back what VPP holds and tries again",
    retry: 'resync',
  },
  VPP_NO_LINUX_CP: {
    title: 'VPP cannot make interface pairs',
    hint: "add `plugin linux_cp_plugin.so { enable }` to plugins {} of VPP's startup.conf and restart VPP",
    retry: 'backoff',
  },
  VPP_PROTOCOL: {
    title: 'VPP sent what is not a message',
    hint: 'the connection is dropped and made again; check that dataplane.vpp.socket is the one of VPP',
    retry: 'backoff',
  },
  VPP_STATS: {
    title: "VPP's statistics cannot be read",
    hint: 'counters are missing until they can, nothing else depends on them; check that dataplane.vpp.stats-socket is that of VPP, and whether `vpp_get_stats` reads it',
    retry: 'backoff',
  },
} as const satisfies Record<string, ErrorInfo>;

export type ErrorCode = keyof typeof errorTable;

export interface ErrorDetail {
  /** What was being done, as a verb phrase: `open control socket`. */
  readonly op: string;
  /** The object it was done to: a path, a pair, a prefix. */
  readonly key?: string;
  /** System error number, positive. */
  readonly errno?: number;
  /** VPP's number for a refused request, negative. */
  readonly retval?: number;
  readonly cause?: unknown;
  /** What happened, where the title of the code says too little. */
  readonly message?: string;
  /** What the operator should do, where the hint of the code says too little. */
  readonly hint?: string;
}

/** An error that the operator may read. Everything else that is thrown is a programming error. */
export class LcpError extends Error {
  readonly code: ErrorCode;
  readonly op: string;
  readonly key: string | undefined;
  readonly errno: number | undefined;
  readonly retval: number | undefined;
  readonly hint: string;

  constructor(code: ErrorCode, detail: ErrorDetail) {
    const subject = detail.key === undefined ? detail.op : `${detail.op} ${detail.key}`;
    super(`${subject}: ${detail.message ?? errorTable[code].title}`, { cause: detail.cause });
    this.name = 'LcpError';
    this.code = code;
    this.op = detail.op;
    this.key = detail.key;
    this.errno = detail.errno;
    this.retval = detail.retval;
    this.hint = detail.hint ?? errorTable[code].hint;
  }

  get retry(): Retry {
    return errorTable[this.code].retry;
  }
}

/** Whether something thrown is a mistake in the program and not an answer of the system: it must end the process. */
export function isProgrammingError(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return true;
  return [TypeError, RangeError, ReferenceError, SyntaxError, EvalError].some((bug) => thrown instanceof bug);
}

/** Message of anything that was thrown, for a line of text. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** System error fields of what Node's fs and net throw; empty for anything else. */
export function systemErrorOf(thrown: unknown): { code?: string; errno?: number } {
  if (!(thrown instanceof Error)) return {};
  const { code, errno } = thrown as NodeJS.ErrnoException;
  return {
    ...(typeof code === 'string' ? { code } : {}),
    // libuv's numbers are negative.
    ...(typeof errno === 'number' ? { errno: Math.abs(errno) } : {}),
  };
}
