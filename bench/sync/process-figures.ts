/** What the system says of a process: CPU time and memory, from procfs(5). */
import { readFileSync } from 'node:fs';

/** Clock ticks of /proc/PID/stat: USER_HZ, 100 a second on every Linux. */
const TICK_MS = 10;

/** Milliseconds of CPU time that it has had, in user and kernel mode, all threads. */
export function cpuMsOf(pid: number): number {
  const text = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
  // The command's name, in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export interface Memory {
  readonly rssBytes: number;
  /** The most it ever was. */
  readonly peakBytes: number;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${String(pid)}/status`, 'latin1');
  const bytes = (field: string): number => 1_024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]);
  return { rssBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') };
}
