/** Another program in this one's place: terminal, signals and exit status are its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** What is passed on to the program. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** What a terminal sends to every process in its foreground by itself: passed on, these would arrive twice. */
const FROM_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH'];

/** Runs a program with this process's terminal, passes signals on, and resolves with its exit status. */
export async function runProgram([program, ...args]: readonly [string, ...string[]]): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit' });
  const stopForwarding = forwardSignals(child);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
      });
    });
  } finally {
    stopForwarding();
  }
}

function forwardSignals(child: ChildProcess): () => void {
  const forward = (signal: NodeJS.Signals): void => {
    if (!(FROM_TERMINAL.includes(signal) && inForeground())) child.kill(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward);
  };
}

/** Whether this process group has the terminal: fields 5 (process group) and 8 (foreground group) of proc_pid_stat(5). */
function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  // The name in field 2 may hold anything, also spaces and brackets.
  const [, , processGroup, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return processGroup === foreground;
}
