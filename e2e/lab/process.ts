/** Programs in a lab: run to their end, or kept running. Always argv arrays, never a shell. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { deferred, pause, withDeadline } from '../../core/lifetime.js';
import { LabError } from './lab-error.js';
import { argvOf, childrenOf, identify, isAlive, sendSignal, type ProcessIdentity } from './procfs.js';

export type Environment = Readonly<Record<string, string>>;

/** How a program ended, and what it said. */
export interface Outcome {
  /** Its exit status; 128 and the signal's number when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Environment;
  /** Given on stdin; without it, stdin is empty. */
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const POLL_MS = 5;

/**
 * Runs `argv` to its end. Rejects with LabError `timed-out` after the time (having killed it), `failed` when it cannot be
 * started.
 */
export async function run(
  argv: readonly string[],
  { env = {}, input, timeoutMs = DEFAULT_TIMEOUT_MS, signal }: RunOptions,
): Promise<Outcome> {
  signal?.throwIfAborted();
  const child = start(argv, { env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A program may end without reading what it was given.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input ?? '');
  const texts = () => ({ stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
  const ended = deferred<Outcome>();
  child.on('error', (error) => ended.reject(notStarted(argv, error)));
  child.on('close', (code, killedBy) => ended.resolve({ code: statusOf(code, killedBy), ...texts() }));

  const stop = withDeadline(timeoutMs, ...(signal === undefined ? [] : [signal]));
  const onStop = (): void => {
    killGroup(child);
    const { stderr: said } = texts();
    ended.reject(
      signal?.aborted === true
        ? (signal.reason as Error)
        : new LabError('timed-out', `${argv.join(' ')}: not done after ${String(timeoutMs)} ms ${said}`.trim()),
    );
  };
  stop.addEventListener('abort', onStop, { once: true });
  try {
    return await ended.promise;
  } finally {
    stop.removeEventListener('abort', onStop);
  }
}

/** Starts `argv` with this environment and nothing of the own but what is needed to find programs. */
export function start(
  argv: readonly string[],
  options: {
    readonly env: Environment;
    readonly stdio: 'ignore' | 'inherit' | readonly ('ignore' | 'pipe' | number)[];
    readonly detached?: boolean;
  },
): ChildProcess {
  const [program = '', ...args] = argv;
  return spawn(program, args, {
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/root', LC_ALL: 'C.UTF-8', ...options.env },
    stdio: typeof options.stdio === 'string' ? options.stdio : [...options.stdio],
    detached: options.detached ?? false,
  });
}

/**
 * Kills a program that was started detached, with all that it started: they are one process group. An nsenter only waits
 * for the program it enters for, and may be just about to start it; the kernel lets no fork slip past a signal to a group.
 */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function notStarted(argv: readonly string[], error: Error): LabError {
  return new LabError('failed', `${argv[0] ?? ''} cannot be started: ${error.message}`, { cause: error });
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

function statusOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (SIGNAL_NUMBERS[signal ?? ''] ?? 0);
}

/** How a kept program ended. Unknown for one that another process had started. */
export interface Exit {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

/** A program that was started and is kept running, in this process or an earlier one. */
export class LabProcess {
  readonly #exit: (() => Promise<Exit>) | undefined;

  /** Made by `keep`, or for a process that another one had started, by its identity. */
  constructor(
    readonly identity: ProcessIdentity,
    readonly logFile: string,
    exit?: () => Promise<Exit>,
  ) {
    this.#exit = exit;
  }

  get running(): boolean {
    return isAlive(this.identity);
  }

  /** Resolves when it has ended. */
  async exited(signal?: AbortSignal): Promise<Exit> {
    const never = new AbortController().signal;
    while (this.running) if (!(await pause(POLL_MS, signal ?? never))) signal?.throwIfAborted();
    return this.#exit?.() ?? { code: undefined, signal: undefined };
  }

  /** Sends it a signal; false when it had ended. */
  signal(name: NodeJS.Signals): boolean {
    return sendSignal(this.identity, name);
  }

  /** Asks it to end (SIGTERM). Rejects with LabError `timed-out`, having killed it, when it does not. */
  async stop(timeoutMs = 10_000): Promise<Exit> {
    this.signal('SIGTERM');
    try {
      return await this.exited(AbortSignal.timeout(timeoutMs));
    } catch (error) {
      await this.kill();
      const message = `process ${String(this.identity.pid)} did not end on SIGTERM; its log: ${this.logFile}`;
      throw new LabError('timed-out', message, { cause: error });
    }
  }

  /** Ends it at once (SIGKILL). */
  async kill(): Promise<Exit> {
    this.signal('SIGKILL');
    return this.exited();
  }

  /** The last lines of its log. */
  logTail(lines = 20): string {
    try {
      return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    } catch {
      return '';
    }
  }
}

/**
 * Starts an `nsenter --pid ... -- PROGRAM` whose program outlives this process, with its output appended to `logFile`.
 * The identity is the program's own, not nsenter's.
 */
export async function keep(
  argv: readonly string[],
  { env = {}, logFile, signal }: { env?: Environment; logFile: string; signal?: AbortSignal },
): Promise<LabProcess> {
  signal?.throwIfAborted();
  mkdirSync(path.dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'a', 0o600);
  const child = start(argv, { env, stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  const exit = deferred<Exit>();
  child.on('error', (error) => exit.reject(notStarted(argv, error)));
  child.on('exit', (code, killedBy) => exit.resolve({ code: code ?? undefined, signal: killedBy ?? undefined }));
  child.unref();
  const identity = await Promise.race([childIdentity(child), exit.promise]);
  // This process does not live on for its sake; but while somebody waits for its end, it does.
  const ended = (): Promise<Exit> => {
    child.ref();
    return exit.promise;
  };
  if ('pid' in identity) return new LabProcess(identity, logFile, ended);
  throw new LabError('failed', `${argv.join(' ')}: ended at once; its log: ${logFile}`);
}

/** The one child of an nsenter; waits until it has become the program, or nsenter has ended. */
async function childIdentity({ pid }: ChildProcess): Promise<ProcessIdentity> {
  const never = new AbortController().signal;
  while (pid !== undefined) {
    const [child] = childrenOf(pid);
    const isProgram = child !== undefined && argvOf(child).join('\0') !== argvOf(pid).join('\0');
    const identity = isProgram ? identify(child) : undefined;
    if (identity !== undefined) return identity;
    if (identify(pid) === undefined) break;
    await pause(1, never);
  }
  return new Promise(() => undefined); // the other side of the race has it
}
