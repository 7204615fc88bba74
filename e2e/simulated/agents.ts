/** Simulated agents by the hundred, in one process or several, as one thing. */
import type { HostId } from '../../core/ids.js';
import { FleetProcess } from './fleet-process.js';
import type { Acks, FleetStanding, Launch, Summary } from './orders.js';

export interface ProcessesOptions {
  /** Processes to spread them over; hosts are dealt out in turn. */
  readonly processes: number;
  /** `--max-old-space-size=8192`. */
  readonly nodeOptions?: readonly string[];
}

export class SimulatedAgents implements AsyncDisposable {
  readonly #processes: readonly FleetProcess[];

  /** Processes without an agent. */
  constructor({ processes, nodeOptions = [] }: ProcessesOptions) {
    this.#processes = Array.from({ length: processes }, () => new FleetProcess({ nodeOptions }));
  }

  /** Returns when the last agent has been started, which is before it follows. */
  static async start({ processes, nodeOptions, ...launch }: ProcessesOptions & Launch): Promise<SimulatedAgents> {
    const agents = new SimulatedAgents({ processes, ...(nodeOptions === undefined ? {} : { nodeOptions }) });
    try {
      await agents.launch(launch);
      return agents;
    } catch (error) {
      await agents[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Returns when the last agent has been started. */
  async launch(launch: Launch): Promise<void> {
    const { length } = this.#processes;
    await Promise.all(
      this.#processes.map((each, index) =>
        each.order('launch', { ...launch, hosts: launch.hosts.filter((_, at) => at % length === index) }),
      ),
    );
  }

  /** Their processes, to stop some of them: `processes[0].freeze()`. */
  get processes(): readonly FleetProcess[] {
    return this.#processes;
  }

  /** How far all are together. */
  async standing(revision = 0n): Promise<FleetStanding> {
    const parts = await Promise.all(this.#processes.map((each) => each.order('standing', revision)));
    const sum = (figure: (part: FleetStanding) => number): number =>
      parts.reduce((total, part) => total + figure(part), 0);
    return {
      agents: sum(({ agents }) => agents),
      following: sum(({ following }) => following),
      reached: sum(({ reached }) => reached),
      fewestStreams: Math.min(...parts.map(({ fewestStreams }) => fewestStreams)),
      lastSyncedAtMs: Math.max(...parts.map(({ lastSyncedAtMs }) => lastSyncedAtMs)),
      receivedBytes: sum(({ receivedBytes }) => receivedBytes),
      cpuMs: sum(({ cpuMs }) => cpuMs),
      rssBytes: sum(({ rssBytes }) => rssBytes),
      problems: parts.flatMap(({ problems }) => problems),
    };
  }

  /** Bytes that each was sent, by host. */
  received(): Promise<ReadonlyMap<HostId, number>> {
    return this.#all('received');
  }

  /** From now on acks are written down. */
  async record(): Promise<void> {
    await Promise.all(this.#processes.map((each) => each.order('record', undefined)));
  }

  /** Those written down until now, by host. */
  recorded(): Promise<ReadonlyMap<HostId, Acks>> {
    return this.#all('recorded');
  }

  /** What each has folded. */
  summaries(): Promise<ReadonlyMap<HostId, Summary>> {
    return this.#all('summaries');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((each) => each[Symbol.asyncDispose]()));
  }

  async #all<Value>(name: 'received' | 'recorded' | 'summaries'): Promise<ReadonlyMap<HostId, Value>> {
    const parts = await Promise.all(this.#processes.map((each) => each.order(name, undefined)));
    return new Map(parts.flatMap((part) => [...part] as [HostId, Value][]));
  }
}
