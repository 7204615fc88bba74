/**
 * Whose etcd is it? Every etcd that a controller starts carries, in its environment, which directory it serves and
 * which process started it. A pid file could not tell: it would be missing for an etcd whose controller was killed
 * right after starting it, and outlive one that is gone.
 */
import { readlink, stat } from 'node:fs/promises';
import { z } from 'zod';
import { EmbeddedEtcdError } from './etcd-error.js';
import { endProcess, findByEnvironment, identify, isAlive, type ProcessIdentity } from './process.js';

/** The variable that marks an etcd as a controller's. */
export const MARK = 'WEFT_ETCD';

const Mark = z.object({
  /** Device and inode of the directory: a path may mean another place in another mount namespace. */
  directory: z.string(),
  owner: z.object({ pid: z.number().int().positive(), startTime: z.string() }),
  /** The namespace in which the owner's pid means something. */
  pids: z.string(),
});

/** The mark for an etcd that the process `pid` starts for `directory`. */
export async function markFor(directory: string, pid: number): Promise<string> {
  const owner = await identify(pid);
  if (owner === undefined) throw new EmbeddedEtcdError(`/proc does not show process ${String(pid)}: is it mounted?`);
  return JSON.stringify({ directory: await identityOf(directory), owner, pids: await pidNamespace() });
}

/**
 * Ends the etcd that a controller which is no more has left behind on `directory`. Throws EmbeddedEtcdError when the
 * controller that started it still runs.
 */
export async function endOrphan(directory: string, graceMs: number, signal: AbortSignal): Promise<ProcessIdentity[]> {
  const wanted = await identityOf(directory);
  const ended: ProcessIdentity[] = [];
  for (const { process: etcd, value } of await findByEnvironment(MARK)) {
    const mark = parse(value);
    if (mark?.directory !== wanted) continue;
    if (mark.pids !== (await pidNamespace()) || (await isAlive(mark.owner))) {
      throw new EmbeddedEtcdError(
        `${directory} is in use: process ${String(mark.owner.pid)} runs etcd (process ${String(etcd.pid)}) on it`,
      );
    }
    await endProcess(etcd, graceMs, signal);
    ended.push(etcd);
  }
  return ended;
}

function parse(value: string): z.infer<typeof Mark> | undefined {
  try {
    return Mark.safeParse(JSON.parse(value)).data;
  } catch {
    return undefined;
  }
}

async function identityOf(directory: string): Promise<string> {
  const { dev, ino } = await stat(directory, { bigint: true });
  return `${String(dev)}:${String(ino)}`;
}

async function pidNamespace(): Promise<string> {
  return readlink('/proc/self/ns/pid');
}
