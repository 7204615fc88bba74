/** What stands beside the fan-out: bare watches of etcd, one for each host and network, told of changes of the same kind. */
import { pause } from '../../core/lifetime.js';
import { NEVER } from '../ipam-cluster.js';
import { straightToEtcd } from './changers.js';
import { Churn } from './churn.js';
import type { Cluster, LoadedEndpoint } from './cluster.js';
import { EtcdWatchers } from './etcd-watchers.js';
import { spreadsOf, type Spreads } from './load.js';

/** Milliseconds in which what was committed last has come to everybody. */
const SETTLE_MS = 2_000;
const PATIENCE_MS = 30_000;

export interface PeerOptions {
  readonly cluster: Cluster;
  readonly endpoints: readonly LoadedEndpoint[];
  readonly random: () => number;
  readonly perSecond: number;
  readonly seconds: number;
  readonly say: (text: string) => void;
}

/** In the cluster's etcd, with no controller and no agents: until each watcher concerned has heard of each revision. */
export async function measurePeer({ cluster, endpoints, random, say, ...rate }: PeerOptions): Promise<Spreads> {
  await using store = cluster.etcd.store();
  await using watchers = await EtcdWatchers.start(cluster.etcd, endpoints);
  await using churn = new Churn({ store, changer: straightToEtcd(store), endpoints, random });
  await churn.watch();
  const { done, elapsedMs } = await churn.run({ ...rate, patienceMs: PATIENCE_MS });
  await pause(SETTLE_MS, NEVER);
  say(`bare watches of etcd: ${String(done)} changes in ${(elapsedMs / 1_000).toFixed(1)} s`);
  return spreadsOf(churn.committed, await watchers.heard(), say);
}
