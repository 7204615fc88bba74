/** A program in a lab that has this process's own terminal: what is typed, said and signalled is between the two. */
import { once } from 'node:events';
import { constants } from 'node:os';
import { start, type Environment } from './process.js';
import { childrenOf, isInForeground } from './procfs.js';

/** What is passed on to the program. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** What a terminal sends to every process in its foreground by itself: passed on, these would arrive twice. */
const FROM_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH'];

/**
 * Runs `argv` by way of `entry`, an `nsenter ... --` that forks, with this process's terminal, and passes signals on.
 * Resolves with its exit status, 128 + n where signal n ended it; for SIGINT and SIGQUIT nsenter can only say 1.
 *
 * Between the terminal and the program stands nsenter. Ctrl-C would end it while the program still ends in its own way,
 * and the terminal would be back too early; so it ignores what a terminal sends (signal(7): exec keeps that), and for the
 * program this is undone.
 */
export async function attach(
  entry: readonly string[],
  argv: readonly string[],
  environment: Environment,
): Promise<number> {
  const undone = ['env', '--default-signal=INT,QUIT', ...argv];
  const child = start(['env', '--ignore-signal=INT,QUIT', ...entry, ...undone], { env: environment, stdio: 'inherit' });
  const forward = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined || (FROM_TERMINAL.includes(signal) && isInForeground())) return;
    const [program = child.pid] = childrenOf(child.pid);
    signalProcess(program, signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
  } finally {
    for (const signal of FORWARDED) process.off(signal, forward);
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended meanwhile, and that is being waited for.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
