/** The agent's figures, in the Prometheus text format. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PassFigures } from './reconcile/reconciler.js';
import type { SyncState } from './sync/client.js';

const PASS_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const ATTACH_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const MS = 1000;

/** Registers everything; the parts of the agent report through the methods. */
export class AgentMetrics {
  readonly registry = new Registry();
  readonly #passes = new Histogram({
    name: 'weft_agent_pass_seconds',
    help: 'Time of a pass over the kernel',
    buckets: PASS_BUCKETS,
    registers: [this.registry],
  });
  readonly #writes = new Counter({
    name: 'weft_agent_kernel_writes_total',
    help: 'Changes asked of the kernel',
    registers: [this.registry],
  });
  readonly #problems = new Gauge({
    name: 'weft_agent_problems',
    help: 'What the last pass could not do',
    registers: [this.registry],
  });
  readonly #attaches = new Histogram({
    name: 'weft_agent_attach_seconds',
    help: 'Time from the request for an endpoint until the kernel has it',
    buckets: ATTACH_BUCKETS,
    registers: [this.registry],
  });
  readonly #following = new Gauge({
    name: 'weft_agent_following',
    help: '1 while a stream to a controller is alive',
    registers: [this.registry],
  });
  readonly #revision = new Gauge({
    name: 'weft_agent_known_revision',
    help: "The store's revision up to which this host has been told",
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  passed({ durationMs, writes, problems }: PassFigures): void {
    this.#passes.observe(durationMs / MS);
    this.#writes.inc(writes);
    this.#problems.set(problems);
  }

  attached(durationMs: number): void {
    this.#attaches.observe(durationMs / MS);
  }

  synced({ session, known }: SyncState): void {
    this.#following.set(session === undefined ? 0 : 1);
    if (known !== undefined) this.#revision.set(Number(known.revision));
  }
}
