/** ClusterService: see proto/weft/v1/cluster.proto. */
import type { Clock } from '../../core/clock.js';
import { withDeadline } from '../../core/lifetime.js';
import { VERSION } from '../../core/version.js';
import type {
  BackupRequest,
  BackupResponse,
  ClusterServiceServer,
  GetStatusRequest,
  GetStatusResponse,
  RestoreRequest,
  RestoreResponse,
  WaitRequest,
  WaitResponse,
  Warning,
} from '../../proto/gen/weft/v1/cluster.js';
import type { Restores } from '../backup/restores.js';
import { takeBackup } from '../backup/take.js';
import type { Cache } from '../cache/cache.js';
import type { Declarations } from '../upkeep/declarations.js';
import type { EtcdReport } from '../etcd/etcd-status.js';
import type { Convergence } from '../fanout/convergence.js';
import type { Meta } from '../meta.js';
import { leaderOf } from '../store/election.js';
import { LEADER } from '../store/keys.js';
import type { Store } from '../store/store.js';
import { etcdWarnings } from '../etcd/etcd-warnings.js';
import { clusterWarnings } from '../upkeep/warnings.js';
import { describeHosts } from './host-messages.js';
import { viewAt } from './reads.js';
import { controllerStatuses, hostStandings, standingWarnings } from './status.js';
import type { Serve } from './serve.js';
import { Checker } from './validate.js';

export interface ClusterServiceOptions {
  readonly store: Store;
  readonly cache: Cache;
  readonly convergence: Convergence;
  readonly meta: Meta;
  readonly clock: Clock;
  readonly readEtcd: (signal: AbortSignal) => Promise<EtcdReport>;
  readonly declarations: Declarations;
  readonly restores: Restores;
  /** Networks that run out of addresses. */
  readonly scarce: () => readonly Warning[];
}

export function clusterService(serve: Serve, options: ClusterServiceOptions): ClusterServiceServer {
  const { store, cache, convergence, meta, clock, readEtcd, declarations, restores, scarce } = options;
  return {
    getStatus: serve.unary<GetStatusRequest, GetStatusResponse>('ClusterService/GetStatus', async (_, { signal }) => {
      const { view } = cache;
      // What is down is when this is asked most: each has so long to answer, and all at once.
      const [report, leader, survey] = await Promise.all([
        readEtcd(signal),
        readLeader(store, signal),
        convergence.survey([...view.hosts.values()], { ...STATUS_LIMITS, signal }),
      ]);
      const seen = { view, self: convergence.self, survey, leader };
      const controllers = controllerStatuses(seen);
      const hosts = [...view.hosts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      const concerns = {
        ...{ view, scarce: scarce() },
        ...{ awaited: declarations.awaited(), givenUp: declarations.givenUp() },
      };
      return {
        clusterId: meta.clusterId,
        epoch: meta.epoch,
        revision: survey.asked,
        version: VERSION,
        etcd: report.status,
        networks: view.networks.size,
        endpoints: view.endpoints.size,
        hosts: describeHosts(convergence, hosts, survey),
        ...{ controllers, leader: controllers.find((each) => each.leader)?.name ?? '', ...hostStandings(seen) },
        warnings: [...etcdWarnings(report), ...standingWarnings(seen, report.status), ...clusterWarnings(concerns)],
      };
    }),

    backup: serve.serverStream<BackupRequest, BackupResponse>('ClusterService/Backup', async function* (_, { signal }) {
      for await (const data of takeBackup({ store, clock, signal })) yield { data };
    }),

    restore: restoreMethod(serve, restores),

    wait: serve.unary<WaitRequest, WaitResponse>('ClusterService/Wait', async (request, { signal }) => {
      const check = new Checker();
      const revision = check.revision('revision', request.revision);
      check.done();
      await viewAt(cache, revision, signal);
      const unreachable = await convergence.wait(revision, signal);
      return { revision, unreachableHosts: unreachable.map(({ name }) => name).sort() };
    }),
  };
}

/** What others are given for a status: a moment in which hosts catch up with what was just changed, and to answer. */
const STATUS_LIMITS = { patienceMs: 300, timeoutMs: 1_000, everybody: true } as const;

/** Milliseconds in which the store says who leads. */
const LEADER_MS = 1_000;

/** The id of the controller that leads; undefined: none does, or the store does not say. */
async function readLeader(store: Store, signal: AbortSignal): Promise<string | undefined> {
  try {
    const found = await leaderOf(store, LEADER, withDeadline(LEADER_MS, signal));
    return found === undefined ? undefined : Buffer.from(found.value).toString();
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** Restore, which is served also by a controller that has nothing else to serve. */
export function restoreMethod(serve: Serve, restores: Restores): ClusterServiceServer['restore'] {
  return serve.clientStream<RestoreRequest, RestoreResponse>('ClusterService/Restore', async (requests, info) => {
    const { epoch, revision, networks, endpoints, hosts } = await restores.restore(
      dataOf(requests),
      info.log,
      info.signal,
    );
    return { epoch, revision, networks, endpoints, hosts };
  });
}

async function* dataOf(requests: AsyncIterable<RestoreRequest>): AsyncGenerator<Uint8Array> {
  for await (const { data } of requests) yield data;
}
