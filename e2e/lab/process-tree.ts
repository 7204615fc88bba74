/**
 * A daemon with all that it started, stopped, continued or killed as one. Daemons are children of the `nsenter` by which
 * they entered their machine, and nsenter stops itself when its child is stopped, so that a terminal sees it: then it
 * does not collect a child that has ended either. So whoever continues or ends a daemon continues its nsenter.
 */
import { pause } from '../../core/lifetime.js';
import { LabError } from './lab-error.js';
import {
  argvOf,
  childrenOf,
  commandOf,
  identify,
  isAlive,
  isStopped,
  listPids,
  parentOf,
  sendSignal,
  type ProcessIdentity,
} from './procfs.js';

const POLL_MS = 2;
const STOP_MS = 5_000;

/** An nsenter that has not followed its child by then never does. */
const FOLLOW_MS = 1_000;

/** How an nsenter is called that enters a machine; its target is the machine's holder. */
const TARGET = '--target';

/** The process and its descendants, from the top. */
function treeOf(root: ProcessIdentity): ProcessIdentity[] {
  if (!isAlive(root)) return [];
  const children = childrenOf(root.pid).map(identify);
  return [root, ...children.flatMap((child) => (child === undefined ? [] : treeOf(child)))];
}

/** SIGSTOP for all of it; returns when all of it stands still. Rejects with LabError `timed-out`. */
export async function stopTree(root: ProcessIdentity): Promise<void> {
  const never = new AbortController().signal;
  const deadline = performance.now() + STOP_MS;
  for (;;) {
    // One that is just being started is met in the next round: its parent cannot start another by then.
    const tree = treeOf(root);
    const moving = tree.filter((each) => !isStopped(each));
    const waiter = waiterOf(root);
    // Not before its nsenter stands too: one that stops later than it is continued would stay so.
    const followed = waiter === undefined || isStopped(waiter) || performance.now() > deadline - STOP_MS + FOLLOW_MS;
    if (moving.length === 0 && followed) return;
    for (const each of moving) sendSignal(each, 'SIGSTOP');
    if (moving.length > 0 && performance.now() > deadline) {
      const pids = moving.map(({ pid }) => String(pid)).join(' ');
      throw new LabError('timed-out', `processes do not stand still on SIGSTOP: ${pids}`);
    }
    await pause(POLL_MS, never);
  }
}

/** SIGCONT for all of it. What runs is not disturbed. */
export function continueTree(root: ProcessIdentity): void {
  const waiter = waiterOf(root);
  for (const each of [...treeOf(root), ...(waiter === undefined ? [] : [waiter])]) sendSignal(each, 'SIGCONT');
}

/** SIGKILL for all of it; returns when nothing of it runs any more. */
export async function killTree(root: ProcessIdentity): Promise<void> {
  // Standing still, it starts nothing in place of what is killed.
  await stopTree(root);
  const tree = treeOf(root);
  const waiter = waiterOf(root);
  for (const each of tree) sendSignal(each, 'SIGKILL');
  if (waiter !== undefined) sendSignal(waiter, 'SIGCONT');
  const never = new AbortController().signal;
  while (tree.some(isAlive)) await pause(POLL_MS, never);
}

/** Has every nsenter into these machines collect what has ended. `holders`: their pids, also of ones that are gone. */
export function continueWaiters(holders: ReadonlySet<number>): void {
  for (const pid of listPids()) {
    if (commandOf(pid) !== 'nsenter') continue;
    const [, option, target] = argvOf(pid);
    const waiter = identify(pid);
    if (option !== TARGET || !holders.has(Number(target)) || waiter === undefined) continue;
    if (isStopped(waiter)) sendSignal(waiter, 'SIGCONT');
  }
}

/** The nsenter that waits for a daemon. */
function waiterOf({ pid }: ProcessIdentity): ProcessIdentity | undefined {
  const parent = parentOf(pid);
  return parent !== undefined && commandOf(parent.pid) === 'nsenter' ? parent : undefined;
}
