/** ClusterService: see proto/weft/v1/cluster.proto. */
import type { Clock } from '../../core/clock.js';
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
import type { Store } from '../store/store.js';
import { etcdWarnings } from '../etcd/etcd-warnings.js';
import { clusterWarnings } from '../upkeep/warnings.js';
import { toMessages } from './host-messages.js';
import { viewAt } from './reads.js';
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
      const all = [...view.hosts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      const [report, hosts] = await Promise.all([readEtcd(signal), toMessages(convergence, all, signal)]);
      const concerns = {
        ...{ view, scarce: scarce() },
        ...{ awaited: declarations.awaited(), givenUp: declarations.givenUp() },
      };
      return {
        clusterId: meta.clusterId,
        epoch: meta.epoch,
        revision: view.revision,
        version: VERSION,
        etcd: report.status,
        networks: view.networks.size,
        endpoints: view.endpoints.size,
        hosts,
        warnings: [...etcdWarnings(report), ...clusterWarnings(concerns)],
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
