/** Changes at a steady rate for a while: how long each took to be everywhere, and what all of them cost. */
import type { HostId } from '../../core/ids.js';
import type { SimulatedAgents } from '../../e2e/simulated/agents.js';
import { monotonicMs } from '../../e2e/simulated/agent.js';
import type { Acks } from '../../e2e/simulated/orders.js';
import type { Churn, ChurnResult } from './churn.js';
import type { Cluster } from './cluster.js';
import { latencyOf, spreadOf, type Committed, type Spread } from './convergence.js';
import { cpuMsOf, memoryOf } from './process-figures.js';
import { everyoneAgrees } from './standing.js';
import { KINDS } from './shape.js';

/** Milliseconds for changes that are under way when the last has begun. */
const PATIENCE_MS = 60_000;

const STEPS = ['removing', 'gone', 'pending', 'ready'] as const;

/** A cluster with everything that is needed to change and to watch it. */
export interface Loaded {
  readonly cluster: Cluster;
  readonly agents: SimulatedAgents;
  readonly churn: Churn;
  readonly say: (text: string) => void;
}

export interface LoadOptions {
  readonly perSecond: number;
  readonly seconds: number;
  /** Changes to networks of this kind only. */
  readonly kind?: Committed['kind'];
}

export interface Spreads {
  /** Changes to networks that span at most 200 hosts; undefined: there were none. */
  readonly near: Spread | undefined;
  /** Changes to the network that every host is on. */
  readonly everywhere: Spread | undefined;
}

export interface LoadFigures extends Spreads {
  readonly changes: ChurnResult;
  readonly cpuMs: { readonly controller: number; readonly etcd: number; readonly agents: number };
  readonly wallMs: number;
  readonly rssBytes: number;
  readonly peakBytes: number;
  /** Bytes of messages that all agents were sent, and how many acks came back. */
  readonly sentBytes: number;
  readonly acks: number;
}

/** Throws Error when in the end some host does not have what the store has. */
export async function measureLoad(loaded: Loaded, options: LoadOptions): Promise<LoadFigures> {
  const { cluster, agents, churn, say } = loaded;
  const { kind } = options;
  churn.committed.splice(0);
  await agents.record();
  const before = await meter(loaded);
  const changes = await churn.run({
    ...options,
    patienceMs: PATIENCE_MS,
    ...(kind === undefined ? {} : { isDrawn: ({ network }) => network.kind === kind }),
  });
  const after = await meter(loaded);
  await everyoneAgrees(agents, cluster);
  const acks = await agents.recorded();
  const spreads = spreadsOf(churn.committed, acks, say);
  const figures: LoadFigures = {
    changes,
    ...spreads,
    cpuMs: {
      controller: after.controllerMs - before.controllerMs,
      etcd: after.etcdMs - before.etcdMs,
      agents: after.agentsMs - before.agentsMs,
    },
    wallMs: after.atMs - before.atMs,
    ...memoryOf(cluster.controller.pid),
    sentBytes: after.receivedBytes - before.receivedBytes,
    acks: [...acks.values()].reduce((sum, { revisions }) => sum + revisions.length, 0),
  };
  say(describeCosts(figures));
  return figures;
}

/** How long what was committed took to come to everybody, said in detail. */
export function spreadsOf(
  committed: readonly Committed[],
  acks: ReadonlyMap<HostId, Acks>,
  say: (text: string) => void,
): Spreads {
  const timed = committed.map((each) => ({ ...each, ms: latencyOf(each, acks) }));
  const spread = (is: (each: Committed) => boolean): Spread | undefined => {
    const latencies = timed.filter(is).map(({ ms }) => ms);
    return latencies.length === 0 ? undefined : spreadOf(latencies);
  };
  for (const { name } of KINDS)
    say(
      describe(
        name,
        spread((each) => each.kind === name),
      ),
    );
  for (const step of STEPS)
    say(
      describe(
        step,
        spread((each) => each.step === step),
      ),
    );
  return {
    near: spread((each) => each.kind !== 'everywhere'),
    everywhere: spread((each) => each.kind === 'everywhere'),
  };
}

async function meter({ cluster, agents }: Loaded) {
  const { receivedBytes, cpuMs } = await agents.standing();
  return {
    atMs: monotonicMs(),
    receivedBytes,
    agentsMs: cpuMs,
    controllerMs: cpuMsOf(cluster.controller.pid),
    etcdMs: cluster.etcd.etcd.pid === undefined ? 0 : cpuMsOf(cluster.etcd.etcd.pid),
  };
}

function describe(name: string, spread: Spread | undefined): string {
  if (spread === undefined) return `  ${name}: none`;
  const { count, p50Ms, p99Ms, maxMs, unfinished } = spread;
  const never = unfinished === 0 ? '' : `, ${String(unfinished)} never`;
  return `  ${name}: ${String(count)} revisions, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, at most ${maxMs.toFixed(1)} ms${never}`;
}

function describeCosts({ changes, cpuMs, wallMs, rssBytes, peakBytes, sentBytes, acks }: LoadFigures): string {
  const { begun, done, failed, problem, elapsedMs } = changes;
  const share = (ms: number): string => `${((100 * ms) / wallMs).toFixed(0)} %`;
  return [
    `${String(begun)} changes begun in ${(elapsedMs / 1_000).toFixed(1)} s, ${String(done)} done`,
    ...(failed === 0 ? [] : [`${String(failed)} failed (${problem ?? ''})`]),
    `controller ${(cpuMs.controller / done).toFixed(2)} ms of CPU a change, ${share(cpuMs.controller)} of a core`,
    `etcd ${share(cpuMs.etcd)}, agents ${share(cpuMs.agents)}`,
    `controller's memory ${(rssBytes / 1e6).toFixed(0)} MB (at most ${(peakBytes / 1e6).toFixed(0)})`,
    `${(sentBytes / done).toFixed(0)} bytes sent and ${(acks / done).toFixed(0)} acks a change`,
  ].join('; ');
}
