/** Running a program inside a sandbox, as if it had been typed there: terminal, signals and exit status are its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Sandbox } from '../proto/gen/weft/v1/sandbox.js';

/** What is passed on to the program. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** What a terminal sends to every process in its foreground by itself: passed on, these would arrive twice. */
const FROM_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH'];

/** The argv that becomes `command` inside the sandbox. Pure. */
export function enterArgv(agent: string, sandbox: Sandbox, command: readonly string[]): string[] {
  const binds = [
    [sandbox.resolvConfPath, '/etc/resolv.conf'],
    [sandbox.hostsPath, '/etc/hosts'],
  ].filter(([source]) => source !== '');
  return [
    agent,
    'enter',
    '--netns',
    sandbox.netns,
    ...binds.flatMap((bind) => ['--bind', bind.join(':')]),
    '--',
    ...command,
  ];
}

/** Runs `command` in the sandbox to its end. Resolves with its exit status; 128 + n where it died of signal n. */
export function enter(sandbox: Sandbox, command: readonly string[]): Promise<number> {
  const [program = '', ...args] = enterArgv(agentLauncher(), sandbox, command);
  return runToEnd(program, args);
}

/** Runs a program with this process's terminal, passes signals on, and resolves with its exit status. */
export async function runToEnd(program: string, args: readonly string[]): Promise<number> {
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

/** bin/weft-agent of this installation: this file lies one folder deeper when compiled. */
function agentLauncher(): string {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const candidates = ['../../bin/weft-agent', '../bin/weft-agent'].map((relative) => path.resolve(here, relative));
  return candidates.find((candidate) => existsSync(candidate)) ?? 'weft-agent';
}
