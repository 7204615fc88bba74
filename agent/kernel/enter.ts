/**
 * Becoming another program inside a sandbox: its network, and a few files of its own over the host's. The process is
 * replaced, so signals, terminal and exit status are the program's without anything in between.
 */
import { statSync } from 'node:fs';
import { Errno } from './errno.js';
import { execvpe, fcntl, mount, resetSignals, setns, unshare } from './ffi.js';
import { checked, fromNodeError, KernelError } from './kernel-error.js';
import { openNetns } from './namespace.js';

const CLONE_NEWNET = 0x40000000;
const CLONE_NEWNS = 0x20000;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SLAVE = 0x80000;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0x800;

/** A file to be seen in another's place. */
export interface Bind {
  /** The file to show. */
  readonly source: string;
  /** Where; it must exist, and a symbolic link is followed. */
  readonly target: string;
}

/** What to become, and where. */
export interface EnterOptions {
  /** Path of the network namespace. */
  readonly netns: string;
  readonly binds: readonly Bind[];
  /** The program, looked up in PATH, and its arguments. */
  readonly argv: readonly [string, ...string[]];
  /** The process's own when absent. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/** The program could not be started. The process is in the sandbox already, so all it may still do is say so and exit with `exitCode`. */
export class EnterError extends Error {
  override readonly name = 'EnterError';

  /** @param exitCode as env(1) and nsenter(1) have it: 127 not found, 126 found but not to be run, 1 anything else */
  constructor(
    message: string,
    readonly exitCode: 1 | 126 | 127,
    cause: KernelError,
  ) {
    super(message, { cause });
  }
}

/**
 * Replaces this process by `argv` inside the namespace, with the binds in a mount namespace of its own. Equivalent to
 * `nsenter --net=NETNS unshare --mount sh -c 'mount --bind ...; exec ...'`, without a shell.
 *
 * Throws KernelError while nothing has changed yet (no such namespace, a bind's file missing), EnterError after that.
 */
export function enter({ netns, binds, argv, env = process.env }: EnterOptions): never {
  using target = openNetns(netns);
  for (const { source, target: over } of binds) {
    mustExist(source);
    mustExist(over);
  }
  // execvpe searches the PATH of the process, not that of the environment it is given.
  if (env['PATH'] !== undefined) process.env['PATH'] = env['PATH'];
  try {
    checked(`enter ${netns}`, setns(target.fd, CLONE_NEWNET));
    checked('unshare mount namespace', unshare(CLONE_NEWNS));
    // Slave, not private: nothing mounted here reaches the host, but what the host unmounts is not held busy here.
    checked('detach mounts', mount('', '/', 'none', MS_SLAVE | MS_REC));
    for (const { source, target: over } of binds) {
      checked(`bind ${source} over ${over}`, mount(source, over, 'none', MS_BIND));
    }
  } catch (error) {
    throw error instanceof KernelError ? new EnterError(error.message, 1, error) : error;
  }
  inheritStdio();
  resetSignals();
  const result = execvpe(
    argv,
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
  );
  const error = new KernelError(argv[0], -result);
  throw new EnterError(error.message, exitCodeOf(error.errno), error);
}

function exitCodeOf(errno: number): 1 | 126 | 127 {
  return errno === Errno.ENOENT ? 127 : errno === Errno.EACCES ? 126 : 1;
}

function mustExist(path: string): void {
  try {
    statSync(path);
  } catch (error) {
    throw fromNodeError(`bind ${path}`, error);
  }
}

/** Undoes what node did to standard input, output and error: it has them closed on exec, and pipes not block. */
function inheritStdio(): void {
  for (const fd of [0, 1, 2]) {
    fcntl(fd, F_SETFD, 0);
    const flags = fcntl(fd, F_GETFL, 0);
    if (flags >= 0 && (flags & O_NONBLOCK) !== 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
}
