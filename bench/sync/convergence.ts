/** When everybody concerned had acknowledged a change, from what was committed when and what was acknowledged when. Pure. */
import type { HostId } from '../../core/ids.js';
import type { Acks } from '../../e2e/simulated/orders.js';
import { percentile } from '../statistics.js';
import type { Kind } from './shape.js';

/** What becomes of an endpoint: four revisions a change. */
export type Step = 'removing' | 'gone' | 'pending' | 'ready';

/** One revision of one endpoint, as a bare watcher of etcd heard of it. */
export interface Committed {
  readonly revision: number;
  /** `monotonicMs`. */
  readonly atMs: number;
  readonly kind: Kind['name'];
  readonly step: Step;
  /** Hosts with an endpoint in the network before or after it. */
  readonly hosts: readonly HostId[];
}

/** Milliseconds from a commit to the last ack of every host concerned; Infinity where one never came. */
export function latencyOf({ revision, atMs, hosts }: Committed, acks: ReadonlyMap<HostId, Acks>): number {
  let last = atMs;
  for (const host of hosts) {
    const own = acks.get(host);
    const acked = own === undefined ? undefined : own.timesMs[firstAtLeast(own.revisions, revision)];
    if (acked === undefined) return Infinity;
    if (acked > last) last = acked;
  }
  return last - atMs;
}

export interface Spread {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Of changes that somebody concerned never acknowledged. They count as the slowest. */
  readonly unfinished: number;
}

/** Throws RangeError without latencies. */
export function spreadOf(latencies: readonly number[]): Spread {
  return {
    count: latencies.length,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    maxMs: percentile(latencies, 1),
    unfinished: latencies.filter((ms) => ms === Infinity).length,
  };
}

/** The index of the first of `sorted` that is not smaller; its length where there is none. */
function firstAtLeast(sorted: Float64Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
