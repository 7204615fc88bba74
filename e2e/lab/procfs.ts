/** What /proc says of processes. All of it may be gone at the next look, so every answer has room for that. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  readonly startTime: string;
}

interface Stat {
  readonly command: string;
  /** `Z`: ended, and not yet collected by its parent. */
  readonly state: string;
  readonly parent: number;
  readonly startTime: string;
}

/** The process with this number now; undefined when there is none, or only its remains. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = statOf(pid);
  return stat === undefined || stat.state === 'Z' ? undefined : { pid, startTime: stat.startTime };
}

/** Whether exactly this process still runs. */
export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime;
}

/** Whether exactly this process was stopped by a signal, and not continued since. */
export function isStopped(process: ProcessIdentity): boolean {
  const stat = statOf(process.pid);
  return stat?.startTime === process.startTime && stat.state === 'T';
}

/** Who waits for the end of this process, which may have ended. */
export function parentOf(pid: number): ProcessIdentity | undefined {
  const parent = statOf(pid)?.parent;
  return parent === undefined || parent === 0 ? undefined : identify(parent);
}

/** Sends a signal to exactly this process; false when it is gone. */
export function sendSignal(target: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(target)) return false;
  try {
    process.kill(target.pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

/** Numbers of all processes. */
export function listPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Its name as the kernel keeps it: the program's file name, at most 15 bytes. */
export function commandOf(pid: number): string | undefined {
  return statOf(pid)?.command;
}

/** Its children, as far as they run. */
export function childrenOf(pid: number): number[] {
  const text = attempt(() => readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8')) ?? '';
  return text.split(' ').filter(Boolean).map(Number);
}

/** Its command line. */
export function argvOf(pid: number): readonly string[] {
  const text = attempt(() => readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8')) ?? '';
  return text.split('\0').slice(0, -1);
}

/** A variable of the environment it was started with. */
export function variableOf(pid: number, name: string): string | undefined {
  const text = attempt(() => readFileSync(`/proc/${String(pid)}/environ`, 'utf8')) ?? '';
  const line = text.split('\0').find((entry) => entry.startsWith(`${name}=`));
  return line?.slice(name.length + 1);
}

/** Whether this process group has the terminal: field 5 (process group) is field 8 (the terminal's foreground group). */
export function isInForeground(): boolean {
  const text = readFileSync('/proc/self/stat', 'utf8');
  const [, , group, , , foreground] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return group === foreground;
}

/** One of its namespaces, as a text to compare: `pid:[4026532177]`. */
export function namespaceOf(pid: number, kind: 'net' | 'mnt' | 'pid'): string | undefined {
  return attempt(() => readlinkSync(`/proc/${String(pid)}/ns/${kind}`));
}

/** Its number in its own pid namespace: 1 for the first process in there. */
export function innermostPidOf(pid: number): number | undefined {
  const status = attempt(() => readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
  const numbers = /^NSpid:\s*(.*)$/m.exec(status ?? '')?.[1]?.split(/\s+/);
  return numbers === undefined ? undefined : Number(numbers.at(-1));
}

function statOf(pid: number): Stat | undefined {
  const text = attempt(() => readFileSync(`/proc/${String(pid)}/stat`, 'utf8'));
  // The command stands in parentheses and may hold any character, also a parenthesis.
  const end = text?.lastIndexOf(')') ?? -1;
  if (text === undefined || end < 0) return undefined;
  const fields = text.slice(end + 2).split(' ');
  const state = fields[0] ?? '';
  const command = text.slice(text.indexOf('(') + 1, end);
  return { command, state, parent: Number(fields[1]), startTime: fields[19] ?? '' };
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // the process is gone
  }
}
