/** Whether every host has what it is to have. */
import { OBJECTS, parseObjectKey } from '../../controller/store/keys.js';
import type { Listing } from '../../controller/store/store.js';
import { readObject } from '../../controller/cache/objects.js';
import type { HostId, NetworkId } from '../../core/ids.js';
import { pause, withDeadline } from '../../core/lifetime.js';
import type { SimulatedAgents } from '../../e2e/simulated/agents.js';
import { monotonicMs } from '../../e2e/simulated/agent.js';
import { summaryText, type FleetStanding, type Summary } from '../../e2e/simulated/orders.js';
import { NEVER } from '../ipam-cluster.js';
import type { Cluster } from './cluster.js';

/** Milliseconds in which all come to follow, and in which all have the last change, on a machine that is busy. */
const FOLLOW_MS = 180_000;
const AGREE_MS = 120_000;

const SAY_MS = 5_000;

/** Returns when each has had so many streams that told it everything, and follows; or, as far as they are, after `withinMs`. */
export async function untilAllFollow(
  agents: SimulatedAgents,
  options: {
    readonly hosts: number;
    readonly streams: number;
    readonly withinMs?: number;
    readonly say: (text: string) => void;
  },
): Promise<FleetStanding> {
  const { hosts, streams, withinMs = FOLLOW_MS, say } = options;
  const late = withDeadline(withinMs);
  let told = monotonicMs();
  for (;;) {
    const standing = await agents.standing();
    const { following, fewestStreams, receivedBytes, problems } = standing;
    if (following === hosts && fewestStreams >= streams) return standing;
    if (!(await pause(100, late))) {
      say(`${String(hosts - following)} of ${String(hosts)} still do not follow: ${problems.join('; ')}`);
      return standing;
    }
    if (monotonicMs() - told < SAY_MS) continue;
    told = monotonicMs();
    say(`${String(following)} of ${String(hosts)} follow, ${(receivedBytes / 1e6).toFixed(0)} MB received`);
  }
}

/** Returns when every host's view is what the store says. Throws Error when that does not come to be. */
export async function everyoneAgrees(agents: SimulatedAgents, cluster: Cluster): Promise<void> {
  await using store = cluster.etcd.store();
  const late = withDeadline(AGREE_MS);
  for (;;) {
    const wanted = summariesOf(await store.list(OBJECTS, NEVER));
    const had = await agents.summaries();
    const wrong = cluster.hosts.filter(({ hostId }) => !isSame(had.get(hostId) ?? {}, wanted.get(hostId) ?? {}));
    if (wrong.length === 0) return;
    if (await pause(2_000, late)) continue;
    throw new Error(
      `${String(wrong.length)} of ${String(cluster.hosts.length)} hosts do not have what the store has, long after the last change`,
    );
  }
}

/** What each host with an endpoint is to know. */
function summariesOf({ entries }: Listing): ReadonlyMap<HostId, Summary> {
  const networks = new Map<NetworkId, { endpoints: number; revisions: bigint; hosts: Set<HostId> }>();
  for (const entry of entries) {
    const object = parseObjectKey(entry.key)?.kind === 'endpoint' ? readObject(entry) : undefined;
    if (object?.kind !== 'endpoint') continue;
    const { networkId, hostId } = object.value;
    const network = networks.get(networkId) ?? { endpoints: 0, revisions: 0n, hosts: new Set() };
    networks.set(networkId, network);
    network.endpoints += 1;
    network.revisions += entry.modRevision;
    network.hosts.add(hostId);
  }
  const summaries = new Map<HostId, Record<string, string>>();
  for (const [id, { endpoints, revisions, hosts }] of networks) {
    const text = summaryText(endpoints, hosts.size, revisions);
    for (const host of hosts) {
      const summary = summaries.get(host) ?? {};
      summaries.set(host, summary);
      summary[id] = text;
    }
  }
  return summaries;
}

function isSame(one: Summary, other: Summary): boolean {
  const ids = Object.keys(one);
  return ids.length === Object.keys(other).length && ids.every((id) => one[id] === other[id]);
}
