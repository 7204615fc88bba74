/**
 * A machine of a lab is one process that holds its namespaces: `sleep`, as the first process of a pid namespace, with
 * a network, a mount and a host name of its own. When it is killed the kernel kills everything that was started there and takes
 * the namespaces with it, so no crash of anything can leave something behind. There is no named namespace on the machine.
 */
import { once } from 'node:events';
import { pause } from '../../core/lifetime.js';
import { LabError } from './lab-error.js';
import { start } from './process.js';
import { continueWaiters } from './process-tree.js';
import {
  childrenOf,
  commandOf,
  identify,
  innermostPidOf,
  isAlive,
  listPids,
  sendSignal,
  variableOf,
  type ProcessIdentity,
} from './procfs.js';

/** In the holder's environment, the directory of its machine: so it can be found without any record. */
const MARK = 'WEFT_LAB_HOLDER';

const COMMANDS: readonly (string | undefined)[] = ['unshare', 'env', 'sleep'];

/** Starts a holder for the machine whose files are in `directory`. It outlives this process. Rejects with LabError. */
export async function startHolder(directory: string, signal: AbortSignal): Promise<ProcessIdentity> {
  const namespaces = ['--net', '--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'];
  // SIGCHLD ignored: the kernel then collects orphans, which come to this process, by itself.
  const holder = ['env', '--ignore-signal=CHLD', 'sleep', 'infinity'];
  const child = start(['unshare', ...namespaces, '--', ...holder], {
    env: { [MARK]: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const failed = once(child, 'exit').then(
    () => undefined,
    (error: unknown) => {
      said = String(error);
      return undefined;
    },
  );
  const ready = await Promise.race([waitForSleep(child.pid, signal), failed]);
  child.stderr?.destroy();
  child.unref();
  if (ready !== undefined) return ready;
  signal.throwIfAborted();
  throw new LabError('failed', `no namespaces could be made (unshare): ${said.trim() || 'is this root?'}`);
}

/** The first process inside, once it has become `sleep`: then its /proc and its signals are as they shall be. */
async function waitForSleep(outer: number | undefined, signal: AbortSignal): Promise<ProcessIdentity | undefined> {
  while (outer !== undefined) {
    const [inner] = childrenOf(outer);
    if (inner !== undefined && commandOf(inner) === 'sleep') return identify(inner);
    if (identify(outer) === undefined || !(await pause(1, signal))) break;
  }
  return undefined;
}

/** Every process that holds, or is about to hold, a machine of the lab in `labDirectory`. */
function findHolders(labDirectory: string): ProcessIdentity[] {
  return listPids()
    .filter((pid) => COMMANDS.includes(commandOf(pid)))
    .filter((pid) => variableOf(pid, MARK)?.startsWith(`${labDirectory}/`))
    .map(identify)
    .filter((identity) => identity !== undefined);
}

/** Whether anything of the lab runs. */
export function hasHolders(labDirectory: string): boolean {
  return findHolders(labDirectory).length > 0;
}

/**
 * Kills every holder of the lab, and `recorded` ones, and with them all that runs on its machines; returns when they are
 * gone. Repeats, because one that was just being started may appear late. Rejects with LabError `timed-out`.
 */
export async function killHolders(
  labDirectory: string,
  recorded: readonly ProcessIdentity[],
  timeoutMs = 20_000,
): Promise<void> {
  const never = new AbortController().signal;
  const deadline = performance.now() + timeoutMs;
  const holders = new Set(recorded.map(({ pid }) => pid));
  for (;;) {
    // A first process ends when everything on its machine was collected, also what was stopped.
    for (const { pid } of findHolders(labDirectory)) holders.add(pid);
    continueWaiters(holders);
    const left = [...findHolders(labDirectory), ...recorded.filter(isAlive)];
    if (left.length === 0) return;
    // A first process has one outside that waits for it, collects its remains and then ends by itself. Killed too, it
    // would leave them to the machine's first process, which may let them lie. So it is killed only when it has none.
    for (const holder of left) {
      if (innermostPidOf(holder.pid) === 1 || childrenOf(holder.pid).length === 0) sendSignal(holder, 'SIGKILL');
    }
    if (performance.now() > deadline) {
      const pids = left.map(({ pid }) => String(pid)).join(' ');
      throw new LabError('timed-out', `the lab's processes do not end: ${pids}`);
    }
    await pause(5, never);
  }
}
