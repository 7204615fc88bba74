/**
 * A counted crash, for tests: `WEFT_KILL_AT=netlink:17` ends the process with SIGKILL right after its 17th
 * acknowledged netlink step. So every point between two effects can be shown to be survived.
 */

/** What is counted: requests the kernel acknowledged, and etcd calls that were answered. */
export type StepKind = 'netlink' | 'etcd';

const plan = /^(netlink|etcd):([1-9]\d*)$/.exec(process.env['WEFT_KILL_AT'] ?? '');
let left = Number(plan?.[2] ?? 0);

/** Called after each step has taken effect. Does nothing unless WEFT_KILL_AT names this kind. */
export function step(kind: StepKind): void {
  if (plan?.[1] !== kind) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}
