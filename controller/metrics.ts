/** The controller's metrics, and the observers that feed them. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { SyncObserver } from './api/agent-sync-service.js';
import type { ServeObserver } from './api/serve.js';
import type { AuditObserver } from './cache/audit.js';
import type { CommitObserver } from './commit/commit.js';
import type { FanoutObserver } from './fanout/fanout.js';
import type { ScarcityObserver } from './upkeep/scarcity-watch.js';

export interface ControllerMetrics {
  readonly registry: Registry;
  readonly serve: ServeObserver;
  readonly commit: CommitObserver;
  readonly fanout: FanoutObserver;
  readonly sync: SyncObserver;
  readonly scarcity: ScarcityObserver;
  readonly onMalformed: () => void;
  readonly audit: AuditObserver;
}

/** Seconds; a commit is a few milliseconds, a wait for hosts may be many seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** `current` is asked when the metrics are read. */
export function createMetrics(current: {
  readonly revision: () => bigint;
  readonly streams: () => number;
}): ControllerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const requests = new Histogram({
    name: 'weft_controller_request_seconds',
    help: 'gRPC calls by method and code, and how long they took',
    labelNames: ['method', 'code'] as const,
    buckets: BUCKETS,
    registers,
  });
  const commits = new Counter({
    name: 'weft_controller_commits_total',
    help: 'Transactions: committed, refused by a guard (conflict), or with an outcome that had to be read back (unknown)',
    labelNames: ['outcome'] as const,
    registers,
  });
  const encoded = new Counter({
    name: 'weft_controller_encoded_total',
    help: 'Frames, changes and replacements of networks that were encoded; each is shared by every stream that needs it',
    labelNames: ['kind'] as const,
    registers,
  });
  const sent = new Counter({
    name: 'weft_controller_sent_bytes_total',
    help: 'Bytes handed to agents’ streams',
    registers,
  });
  const nacks = new Counter({
    name: 'weft_controller_nacks_total',
    help: 'Revisions that a host could not apply',
    registers,
  });
  const malformed = new Counter({
    name: 'weft_controller_malformed_total',
    help: 'Stored values that could not be read, and were skipped',
    registers,
  });
  const audits = new Counter({
    name: 'weft_controller_cache_audits_total',
    help: 'Comparisons of what is known of the state with the store: equal, different, or skipped',
    labelNames: ['outcome'] as const,
    registers,
  });
  const differences = new Counter({
    name: 'weft_controller_cache_differences_total',
    help: 'Objects that were not known as the store holds them, and were read anew; anything above 0 is a fault',
    registers,
  });
  new Gauge({
    name: 'weft_controller_cache_revision',
    help: 'The store’s revision that this controller has come to',
    registers,
    collect() {
      this.set(Number(current.revision()));
    },
  });
  const scarce = new Gauge({
    name: 'weft_controller_scarce_networks',
    help: 'Networks of which at least 90 % of the addresses of a family are held or rest',
    registers,
  });
  new Gauge({
    name: 'weft_controller_streams',
    help: 'Agents that follow the state through this controller',
    registers,
    collect() {
      this.set(current.streams());
    },
  });
  return {
    registry,
    serve: { answered: ({ method, code, seconds }) => requests.observe({ method, code }, seconds) },
    commit: {
      committed: () => commits.inc({ outcome: 'committed' }),
      conflicted: () => commits.inc({ outcome: 'conflict' }),
      unknown: () => commits.inc({ outcome: 'unknown' }),
    },
    fanout: { encoded: (kind) => encoded.inc({ kind }), sent: (bytes) => sent.inc(bytes) },
    sync: { refused: () => nacks.inc() },
    scarcity: { counted: (networks) => scarce.set(networks) },
    onMalformed: () => malformed.inc(),
    audit: { audited: (outcome) => audits.inc({ outcome }), differences: (count) => differences.inc(count) },
  };
}
