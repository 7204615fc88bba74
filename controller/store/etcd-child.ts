/** One run of an etcd server of our own: its command line, and the process. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants, statSync, truncateSync } from 'node:fs';
import { access, open, rename } from 'node:fs/promises';
import { arch } from 'node:process';
import { delimiter, join } from 'node:path';
import { EmbeddedEtcdError } from './etcd-error.js';
import { MARK } from './etcd-orphan.js';
import { MAX_GROUP_OPERATIONS } from './transaction.js';

/** What flock(1) ends with when somebody else holds the lock. */
const LOCKED = 111;

/** A slow disk alone can make etcd warn several times a second. */
const LOG_MAX_BYTES = 16 * 1024 ** 2;
const TRIM_EVERY_MS = 60_000;

/** How much of its log is told when etcd ends. */
const TAIL_BYTES = 2_000;

export interface EtcdCommand {
  /** Path of the etcd program. */
  readonly binary: string;
  /** Everything of this etcd is in here; its working directory. */
  readonly directory: string;
  /** On 127.0.0.1. */
  readonly port: number;
  /** PEM file with the server's key and certificate. */
  readonly serverFile: string;
  /** PEM file with the CA whose clients are let in. */
  readonly caFile: string;
  /** Past so many bytes on disk it takes no writes. */
  readonly quotaBytes: number;
}

/**
 * etcd's arguments. The peer port, which a single member never uses, is a unix socket in its own directory, so that
 * nothing but the client port can be reached; that one wants a certificate of our CA.
 */
function etcdArguments({ directory, port, serverFile, caFile, quotaBytes }: EtcdCommand): string[] {
  const clients = `https://127.0.0.1:${String(port)}`;
  // For etcd this is a file `peer:0` in the working directory; a path is not taken.
  const peers = 'unix://peer:0';
  return [
    '--name=weft',
    `--data-dir=${join(directory, 'data')}`,
    `--listen-client-urls=${clients}`,
    `--advertise-client-urls=${clients}`,
    `--cert-file=${serverFile}`,
    `--key-file=${serverFile}`,
    '--client-cert-auth',
    `--trusted-ca-file=${caFile}`,
    `--listen-peer-urls=${peers}`,
    `--initial-advertise-peer-urls=${peers}`,
    `--initial-cluster=weft=${peers}`,
    // A member alone has nobody to wait for when it comes up again: the defaults would cost a second.
    '--heartbeat-interval=20',
    '--election-timeout=200',
    // It is compacted by whoever runs it: see etcd-upkeep.ts.
    `--quota-backend-bytes=${String(quotaBytes)}`,
    // Entries kept in memory between snapshots, each up to 130 kB when groups are large (MAX_GROUP_BYTES), beside the
    // 5,000 before them that etcd always keeps; the default is 100,000.
    '--snapshot-count=2500',
    // Groups of commits are larger than etcd's default of 128 lets them be.
    `--max-txn-ops=${String(MAX_GROUP_OPERATIONS)}`,
    // Clients of an embedded etcd ask for signs of life more often than etcd's default of 5 s allows.
    '--grpc-keepalive-min-time=500ms',
    '--enable-grpc-gateway=false',
    '--logger=zap',
    '--log-outputs=stderr',
    '--log-level=warn',
  ];
}

/**
 * Of what is in use, so much garbage may gather before it is collected (Go's GOGC; its default is 100). Measured with
 * batches of endpoints: 89 us of CPU each, before 100, and 140 MB more in use at 80,000 endpoints.
 */
const GARBAGE_PERCENT = '200';

/** A running etcd. `ended` resolves with how it ended, and never rejects. */
export interface EtcdChild {
  readonly pid: number;
  readonly ended: Promise<string>;
}

/**
 * Starts etcd under flock(1), so that two can never run on one directory: the lock is held by etcd itself and goes
 * with it. In a session of its own and with its log in a file, so that neither a ^C at the controller nor the
 * controller's death reaches it.
 */
export async function startEtcd(command: EtcdCommand, mark: string): Promise<EtcdChild> {
  const { directory, binary } = command;
  await using log = await openLog(directory);
  // Nothing of our own environment: ETCD_* variables would change what is started.
  const env = { [MARK]: mark, GOGC: GARBAGE_PERCENT, ...(arch === 'arm64' ? { ETCD_UNSUPPORTED_ARCH: arch } : {}) };
  const lock = ['--nonblock', '--no-fork', '--conflict-exit-code', String(LOCKED), join(directory, 'lock')];
  const child = spawn('/usr/bin/flock', [...lock, binary, ...etcdArguments(command)], {
    cwd: directory,
    env,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  await once(child, 'spawn').catch((error: unknown) => {
    throw new EmbeddedEtcdError('flock cannot be started: apt-get install util-linux', { cause: error });
  });
  if (child.pid === undefined) throw new EmbeddedEtcdError('etcd has no process');
  return { pid: child.pid, ended: endOf(child, directory) };
}

/** The path of the program `name`, looked for as a shell would. */
export async function findProgram(name: string): Promise<string | undefined> {
  const paths = name.includes('/') ? [name] : (process.env['PATH'] ?? '').split(delimiter).map((at) => join(at, name));
  for (const path of paths) {
    const there = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (there) return path;
  }
  return undefined;
}

/** The log's file, open for writing. The previous run's is kept beside it. */
async function openLog(directory: string) {
  const path = join(directory, 'etcd.log');
  await rename(path, `${path}.1`).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  });
  return open(path, 'a', 0o600);
}

async function endOf(child: ChildProcess, directory: string): Promise<string> {
  const logPath = join(directory, 'etcd.log');
  const trimming = setInterval(() => trim(logPath), TRIM_EVERY_MS).unref();
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise<void>((resolve) => child.once('exit', () => resolve()));
  }
  clearInterval(trimming);
  if (child.exitCode === LOCKED) return `${directory} is in use by another etcd`;
  const how = child.signalCode ?? `status ${String(child.exitCode)}`;
  return `etcd ended with ${how}: ${await tailOf(logPath)}`;
}

/** Keeps a log from growing for ever. etcd appends, so it goes on at the new end. */
function trim(path: string): void {
  try {
    if (statSync(path).size > LOG_MAX_BYTES) truncateSync(path);
  } catch {
    // Without a log file there is nothing to trim, and etcd goes on without.
  }
}

async function tailOf(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const start = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(TAIL_BYTES), 0, TAIL_BYTES, start);
    return buffer.toString('utf8', 0, bytesRead).trim() || 'its log is empty';
  } catch (error) {
    return `its log cannot be read (${String(error)})`;
  }
}
