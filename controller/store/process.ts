/** Processes by identity: a pid alone may have been given to somebody else since. Linux's /proc. */
import { readFile, readdir } from 'node:fs/promises';
import { pause } from '../../core/lifetime.js';

/** A process for good: its pid, and when it started in clock ticks since boot (field 22 of /proc/<pid>/stat). */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

/** The process with this pid now; undefined when there is none, or a zombie, which holds nothing any more. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readProc(pid, 'stat');
  // The second field is the command in parentheses, which may itself hold spaces and parentheses.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields?.[0];
  const startTime = fields?.[19];
  return state === undefined || startTime === undefined || state === 'Z' || state === 'X'
    ? undefined
    : { pid, startTime };
}

/** Whether exactly this process still runs. */
export async function isAlive({ pid, startTime }: ProcessIdentity): Promise<boolean> {
  return (await identify(pid))?.startTime === startTime;
}

/** A process that was started with `name` in its environment, and what it says. */
export interface MarkedProcess {
  readonly process: ProcessIdentity;
  readonly value: string;
}

/** All living processes with `name` in the environment they were started with, as far as we may look into them. */
export async function findByEnvironment(name: string): Promise<MarkedProcess[]> {
  const found: MarkedProcess[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const process = await identify(pid);
    const environment = (await readProc(pid, 'environ'))?.split('\0');
    const value = environment?.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
    // Looked at again, in case the pid changed hands between the two readings.
    if (process !== undefined && value !== undefined && (await isAlive(process))) found.push({ process, value });
  }
  return found;
}

/**
 * Ends exactly this process: SIGTERM, and SIGKILL after `graceMs`. Returns when it is gone; throws when it will not
 * go, or may not be signalled by us.
 */
export async function endProcess(target: ProcessIdentity, graceMs: number, signal: AbortSignal): Promise<void> {
  for (const name of ['SIGTERM', 'SIGKILL'] as const) {
    const giveUpAt = performance.now() + graceMs;
    if (!(await isAlive(target))) return;
    send(target.pid, name);
    while (performance.now() < giveUpAt) {
      if (!(await isAlive(target))) return;
      if (!(await pause(20, signal))) signal.throwIfAborted();
    }
  }
  throw new Error(`process ${String(target.pid)} does not end`);
}

function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A file of /proc/<pid>; undefined when the process is gone or is not ours to look into. */
async function readProc(pid: number, file: 'stat' | 'environ'): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${String(pid)}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}
