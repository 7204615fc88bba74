/** What the process of simulated agents is asked, and what it answers: over the channel of child_process.fork. */
import type { HostView } from '../../core/fold.js';
import type { HostId } from '../../core/ids.js';
import type { SimulatedHost } from './agent.js';

/** Agents to start. */
export interface Launch {
  readonly hosts: readonly SimulatedHost[];
  /** Of the cluster, as PEM. */
  readonly ca: string;
  /** A gRPC target: `ipv4:127.0.0.1:7070`. */
  readonly target: string;
  /** Milliseconds over which their starts are spread. */
  readonly staggerMs: number;
  /** How many of a process at most may have been started and not been told everything yet; undefined: any number. */
  readonly atOnce?: number;
}

/** How far the agents of a process are. */
export interface FleetStanding {
  readonly agents: number;
  /** Whose stream lives and has told everything once. */
  readonly following: number;
  /** Who have acknowledged the revision that was asked about. */
  readonly reached: number;
  /** Streams that have told everything once, of the agent that has had the fewest. */
  readonly fewestStreams: number;
  /** When the last of the agents' present streams had (`monotonicMs`). */
  readonly lastSyncedAtMs: number;
  readonly receivedBytes: number;
  readonly cpuMs: number;
  readonly rssBytes: number;
  /** Why agents are without a stream, a few of the reasons. */
  readonly problems: readonly string[];
}

/** One host's acks in order: revisions, and when each was written (`monotonicMs`). */
export interface Acks {
  readonly revisions: Float64Array;
  readonly timesMs: Float64Array;
}

/** A view, by network: how many endpoints and peers it has, and the sum of the endpoints' revisions. */
export type Summary = Readonly<Record<string, string>>;

/** Each order with what it takes and what it brings. */
export interface Orders {
  readonly launch: { readonly ask: Launch; readonly answer: undefined };
  readonly standing: { readonly ask: bigint; readonly answer: FleetStanding };
  readonly received: { readonly ask: undefined; readonly answer: ReadonlyMap<HostId, number> };
  readonly record: { readonly ask: undefined; readonly answer: undefined };
  readonly recorded: { readonly ask: undefined; readonly answer: ReadonlyMap<HostId, Acks> };
  readonly summaries: { readonly ask: undefined; readonly answer: ReadonlyMap<HostId, Summary> };
}

export type OrderName = keyof Orders;

export interface Order<Name extends OrderName = OrderName> {
  readonly id: number;
  readonly name: Name;
  readonly ask: Orders[Name]['ask'];
}

/** `error`: what went wrong, in place of an answer. */
export interface Answer {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

/** Pure: two views of one state have the same summary, and of two that differ it is as good as never the same. */
export function summaryOf(view: HostView): Summary {
  const summary: Record<string, string> = {};
  for (const [id, { endpoints, peers }] of view) {
    let revisions = 0n;
    for (const { revision } of endpoints.values()) revisions += revision;
    summary[id] = summaryText(endpoints.size, peers.size, revisions);
  }
  return summary;
}

/** Of one network: its endpoints, their hosts, and the sum of the endpoints' revisions. */
export function summaryText(endpoints: number, hosts: number, revisions: bigint): string {
  return `${String(endpoints)} ${String(hosts)} ${String(revisions)}`;
}
