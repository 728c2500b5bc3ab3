#!/usr/bin/env node
// lcpd: arguments, configuration, signals and service manager around a Daemon.
//
// Exit status: 0 clean end, 1 could not start or failed, 2 bad arguments or configuration.

import { accessSync, constants, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Config } from './config/config.ts';
import { formatConfigErrors, readConfigFile } from './config/load.ts';
import { Daemon } from './daemon.ts';
import { LcpError } from './lib/errors.ts';
import { createLog } from './lib/log.ts';
import { reloadingState, sdNotify, watchdogIntervalMs } from './lib/notify.ts';

const USAGE = `Usage: lcpd --config FILE [--check | --remove] [--leave]

  --config FILE  configuration (see lcpd.yaml)
  --check        check the configuration and end: 0 valid, 2 not
  --leave        at SIGTERM and SIGINT leave interfaces and forwarding as they are;
                 without it everything that lcpd made is removed
  --remove       take over what an earlier lcpd left, remove it all, and end
  --version      print the version
  --help         this text

SIGHUP reads the configuration again and applies the difference.
`;

/** Capabilities by number, and what each is for. */
const CAPABILITIES: readonly (readonly [number, string, string])[] = [
  [12, 'CAP_NET_ADMIN', 'host interfaces, links, netlink'],
  [13, 'CAP_NET_RAW', 'packet sockets on the phys'],
  [21, 'CAP_SYS_ADMIN', 'entering network namespaces'],
];

const fail = (status: number, text: string): never => {
  process.stderr.write(`${text}\n`);
  process.exit(status);
};

const version = (): string => {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
};

/** What is missing on this machine, each with what to do. */
const missing = (): string[] => {
  const problems: string[] = [];
  const effective = BigInt(
    `0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`,
  );
  for (const [bit, name, use] of CAPABILITIES) {
    if (((effective >> BigInt(bit)) & 1n) === 0n) {
      problems.push(`${name} is missing (${use}): run lcpd as root or give its unit this capability`);
    }
  }
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    problems.push('/dev/net/tun cannot be opened: load the tun module, or pass the device into the container');
  }
  return problems;
};

const options = () => {
  try {
    return parseArgs({
      options: {
        config: { type: 'string' },
        check: { type: 'boolean', default: false },
        leave: { type: 'boolean', default: false },
        remove: { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail(2, `lcpd: ${(error as Error).message}\n\n${USAGE}`);
  }
};

const loadOrFail = (file: string): Config => {
  try {
    const loaded = readConfigFile(file);
    if ('config' in loaded) return loaded.config;
    return fail(2, formatConfigErrors(file, loaded.errors));
  } catch (error) {
    if (error instanceof LcpError) return fail(2, `lcpd: ${error.message}: ${error.hint}`);
    throw error;
  }
};

const main = async (): Promise<void> => {
  const args = options();
  if (args.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (args.version) {
    process.stdout.write(`lcpd ${version()}\n`);
    return;
  }
  const file = args.config ?? fail(2, `lcpd: --config is missing\n\n${USAGE}`);
  const config = loadOrFail(file);
  if (args.check) {
    process.stdout.write(`${file}: valid, ${config.pairs.length} pairs\n`);
    return;
  }
  const problems = missing();
  if (problems.length > 0) fail(1, problems.map((p) => `lcpd: ${p}`).join('\n'));

  const log = createLog({ levels: config.log });
  const mainLog = log.area('main');
  const notify = (state: string): void => {
    const { sent, reason } = sdNotify(state);
    if (!sent && reason !== undefined) mainLog.warn({ reason }, 'service manager not told');
  };
  const daemon = new Daemon({
    configFile: file,
    config,
    log,
    version: version(),
    onReady: () => {
      mainLog.info({ pid: process.pid, version: version() }, 'ready');
      notify(`READY=1\nSTATUS=${daemon.statusLine}`);
      if (args.remove) void end('--remove');
    },
  });

  const watchdogMs = watchdogIntervalMs();
  const heartbeat = setInterval(() => {
    if (watchdogMs !== undefined) notify('WATCHDOG=1');
    if (daemon.ready) notify(`STATUS=${daemon.statusLine}`);
  }, watchdogMs ?? 10_000);

  let ending = false;
  const end = async (cause: string): Promise<void> => {
    if (ending) return;
    ending = true;
    const leave = args.leave && !args.remove;
    mainLog.info({ cause, leave }, 'stopping');
    notify('STOPPING=1');
    clearInterval(heartbeat);
    await daemon.stop(leave);
    mainLog.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', () => void end('SIGTERM'));
  process.on('SIGINT', () => void end('SIGINT'));
  process.on('SIGHUP', () => {
    notify(reloadingState());
    try {
      daemon.reload();
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      mainLog.error({ err: error }, 'configuration not reloaded');
    }
    notify('READY=1');
  });

  try {
    await daemon.start();
  } catch (error) {
    if (!(error instanceof LcpError)) throw error;
    await daemon.stop(true);
    fail(1, `lcpd: ${error.message}: ${error.hint}`);
  }
};

await main();
