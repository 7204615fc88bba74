/**
 * Benchmarks leave nothing, however they end. What runs them is the first process of a pid namespace, so the kernel ends
 * with it whatever they started, also what is in a session of its own: an etcd, a lab's machines. Their files are in one
 * directory, and their mounts in a mount namespace. It works while they are busy in a call that does not return, too.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { deferred, pause } from '../core/lifetime.js';
import { childrenOf, identify, isAlive, namespaceOf, sendSignal, type ProcessIdentity } from '../e2e/lab/procfs.js';

/** On a disk also where /tmp is not (Debian 13): etcd's fsync is to cost what it costs. */
const PLACE = '/var/tmp';

const PREFIX = 'weft-bench';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How often is looked whether who started us is still there, in milliseconds. */
const LOOK_MS = 500;
const POLL_MS = 10;

export interface ContainmentOptions {
  /** Milliseconds after which it is ended. */
  readonly limitMs: number;
  readonly say: (text: string) => void;
  /** Where its files are, in a directory that goes with it. Default /var/tmp. */
  readonly place?: string;
}

/**
 * Runs a program with our own stdin, stdout and stderr; TMPDIR and WEFT_LAB_DIR are in the directory that goes with it.
 * Ends it, and all it started, on SIGINT, SIGTERM, SIGHUP and after `limitMs`, and when this process is killed: then only
 * the directory stays, for the next run to remove. Resolves, when nothing is left, with its exit status: 128 + n where
 * signal n ended it or us, 1 when there was no more time.
 */
export async function runContained(
  argv: readonly string[],
  { limitMs, say, place = process.env['TMPDIR'] ?? PLACE }: ContainmentOptions,
): Promise<number> {
  sweep(place);
  const directory = join(place, ownName());
  using interruption = watchForEnd(limitMs);
  try {
    mkdirSync(directory, { mode: 0o700 });
    const contained = start(argv, { TMPDIR: directory, WEFT_LAB_DIR: join(directory, 'labs') });
    const first = await Promise.race([contained.ended, interruption.asked]);
    if (typeof first === 'number') return first;
    say(`${first.why}; ending everything`);
    await kill(contained);
    return first.status;
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

interface Contained {
  /** unshare, which waits for its end. */
  readonly child: ChildProcess;
  /** Its exit status. Resolves when nothing is left in its namespaces. */
  readonly ended: Promise<number>;
}

/** Equivalent to `setpriv --pdeathsig KILL unshare --pid --mount-proc --fork --kill-child PROGRAM`. */
function start(argv: readonly string[], environment: Readonly<Record<string, string>>): Contained {
  const inside = ['unshare', '--pid', '--mount-proc', '--fork', '--kill-child=SIGKILL', '--', ...argv];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...inside], {
    env: { ...process.env, ...environment },
    stdio: 'inherit',
    // A ^C at the terminal is for us alone.
    detached: true,
  });
  const ended = deferred<number>();
  child.once('error', (error) => ended.reject(new Error('setpriv cannot be started', { cause: error })));
  child.once('exit', (code, signal) => ended.resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  return { child, ended: ended.promise };
}

/** Kills the first process in there, and with it all; returns when the kernel has collected them. */
async function kill({ child, ended }: Contained): Promise<void> {
  const over = new AbortController();
  const ending = ended.finally(() => over.abort());
  // It may not be there yet: unshare makes it when it has made the namespaces.
  for (let first = firstIn(child); !over.signal.aborted; first = firstIn(child)) {
    if (first === undefined) {
      await pause(POLL_MS, over.signal);
      continue;
    }
    // unshare goes before it: of a child that was killed it says "sigprocmask unblock failed".
    child.kill('SIGKILL');
    sendSignal(first, 'SIGKILL');
    while (isAlive(first)) await pause(POLL_MS, new AbortController().signal);
    break;
  }
  await ending;
}

/** The first process of the namespace that unshare has made. */
function firstIn({ pid }: ChildProcess): ProcessIdentity | undefined {
  const [first] = pid === undefined ? [] : childrenOf(pid);
  return first === undefined ? undefined : identify(first);
}

/** Why everything is to end, and the exit status then. */
interface Ending {
  readonly why: string;
  readonly status: number;
}

/** `asked` resolves with the first reason to end early. */
function watchForEnd(limitMs: number): Disposable & { readonly asked: Promise<Ending> } {
  const { promise, resolve } = deferred<Ending>();
  const onSignal = (name: NodeJS.Signals): void => {
    resolve({ why: name, status: 128 + constants.signals[name] });
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  const limit = setTimeout(() => {
    resolve({ why: `not done after ${String(limitMs / 1_000)} s`, status: 1 });
  }, limitMs);
  const parent = process.ppid;
  // npm passes a signal that it alone is sent to its shell; that dies of it, and tells nobody.
  const looking = setInterval(() => {
    if (process.ppid !== parent) resolve({ why: 'who started this is gone', status: 128 + constants.signals.SIGTERM });
  }, LOOK_MS);
  return {
    asked: promise,
    [Symbol.dispose]: () => {
      clearTimeout(limit);
      clearInterval(looking);
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}

/** Says whose a directory is, so that those of the dead can be told: a pid alone may be somebody else's by now. */
function ownName(): string {
  const own = identify(process.pid);
  if (own === undefined) throw new Error('/proc does not show this process: is it mounted?');
  return [PREFIX, pidNamespace(), String(own.pid), own.startTime].join('-');
}

/** Removes what runs that were killed have left. */
function sweep(place: string): void {
  for (const name of readdirSync(place)) {
    const [, namespace, pid, startTime = ''] = /^weft-bench-(\d+)-(\d+)-(\d+)$/.exec(name) ?? [];
    if (namespace !== pidNamespace() || isAlive({ pid: Number(pid), startTime })) continue;
    rmSync(join(place, name), { recursive: true, force: true });
  }
}

/** The number of the namespace in which our pids mean something. */
function pidNamespace(): string {
  return /\d+/.exec(namespaceOf(process.pid, 'pid') ?? '')?.[0] ?? '0';
}
