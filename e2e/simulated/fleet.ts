/** The simulated agents of one process, and what each of them acknowledged when. */
import { setMaxListeners } from 'node:events';
import type { HostId } from '../../core/ids.js';
import { asError } from '../../core/errors.js';
import { pause } from '../../core/lifetime.js';
import { monotonicMs, SimulatedAgent } from './agent.js';
import { summaryOf, type Acks, type FleetStanding, type Launch, type Summary } from './orders.js';
import { Sharing } from './sharing.js';

/** How often is looked whether more may be started. */
const LOOK_MS = 10;

/** One agent's acks since they are recorded, in order. */
interface Recording {
  readonly revisions: number[];
  readonly timesMs: number[];
}

export class Fleet implements AsyncDisposable {
  readonly #agents: SimulatedAgent[] = [];
  readonly #running: Promise<void>[] = [];
  readonly #stop = new AbortController();
  readonly #sharing = new Sharing();
  readonly #refused: Error[] = [];
  #recordings: Map<HostId, Recording> | undefined;

  constructor() {
    // All agents end with the one signal, which is no leak.
    setMaxListeners(0, this.#stop.signal);
  }

  /** Starts agents one after the other, evenly over `staggerMs`; returns when the last has been started. */
  async launch({ hosts, ca, target, staggerMs, atOnce = Infinity }: Launch): Promise<void> {
    const began = monotonicMs();
    for (const [index, host] of hosts.entries()) {
      const early = began + (staggerMs * index) / hosts.length - monotonicMs();
      if (early > 1 && !(await pause(early, this.#stop.signal))) return;
      while (this.#agents.filter(({ isFollowing }) => !isFollowing).length >= atOnce) {
        if (!(await pause(LOOK_MS, this.#stop.signal))) return;
      }
      const { hostId } = host;
      const onAck = (revision: bigint): void => {
        const recording = this.#recordings?.get(hostId);
        recording?.revisions.push(Number(revision));
        recording?.timesMs.push(monotonicMs());
      };
      const agent = new SimulatedAgent({ host, ca, target, sharing: this.#sharing, onAck });
      this.#agents.push(agent);
      const running = agent.run(this.#stop.signal).catch((error: unknown) => {
        this.#refused.push(asError(error));
      });
      this.#running.push(running);
    }
  }

  /** How far they are; `revision`: how many have acknowledged at least that. */
  standing(revision: bigint): FleetStanding {
    const agents = this.#agents;
    const errors = agents.flatMap(({ lastError, isFollowing }) =>
      isFollowing || lastError === undefined ? [] : [lastError.message],
    );
    const { user, system } = process.cpuUsage();
    return {
      agents: agents.length,
      following: agents.filter(({ isFollowing }) => isFollowing).length,
      reached: agents.filter(({ ackedRevision }) => ackedRevision >= revision).length,
      fewestStreams: Math.min(...agents.map(({ streams }) => streams.count)),
      lastSyncedAtMs: Math.max(...agents.map(({ streams }) => streams.syncedAtMs)),
      receivedBytes: agents.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0),
      cpuMs: (user + system) / 1_000,
      rssBytes: process.memoryUsage.rss(),
      problems: [...new Set([...this.#refused.map(({ message }) => message), ...errors])].slice(0, 3),
    };
  }

  /** Bytes that each agent was sent, by host. */
  received(): ReadonlyMap<HostId, number> {
    return new Map(this.#agents.map(({ hostId, receivedBytes }) => [hostId, receivedBytes]));
  }

  /** From now on acks are written down. */
  record(): void {
    this.#recordings = new Map(this.#agents.map(({ hostId }) => [hostId, { revisions: [], timesMs: [] }]));
  }

  /** Those written down until now; none are any more. */
  recorded(): ReadonlyMap<HostId, Acks> {
    const recordings = this.#recordings ?? new Map<HostId, Recording>();
    this.#recordings = undefined;
    return new Map(
      [...recordings].map(([hostId, { revisions, timesMs }]) => [
        hostId,
        { revisions: Float64Array.from(revisions), timesMs: Float64Array.from(timesMs) },
      ]),
    );
  }

  /** What each agent has folded, short enough to compare a thousand of them. */
  summaries(): ReadonlyMap<HostId, Summary> {
    return new Map(this.#agents.map(({ hostId, known }) => [hostId, known === undefined ? {} : summaryOf(known.view)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
    for (const agent of this.#agents) agent[Symbol.dispose]();
  }
}
