/** ClusterService: see proto/weft/v1/cluster.proto. */
import { VERSION } from '../../core/version.js';
import type {
  ClusterServiceServer,
  EtcdStatus,
  GetStatusRequest,
  GetStatusResponse,
  WaitRequest,
  WaitResponse,
} from '../../proto/gen/weft/v1/cluster.js';
import type { Cache } from '../cache/cache.js';
import { waitForConvergence } from '../fanout/convergence.js';
import type { Fanout } from '../fanout/fanout.js';
import type { Meta } from '../meta.js';
import { toMessage } from './host-service.js';
import { viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { Checker } from './validate.js';

export interface ClusterServiceOptions {
  readonly cache: Cache;
  readonly fanout: Fanout;
  readonly meta: Meta;
  readonly etcdStatus: (signal: AbortSignal) => Promise<EtcdStatus>;
}

export function clusterService(serve: Serve, options: ClusterServiceOptions): ClusterServiceServer {
  const { cache, fanout, meta, etcdStatus } = options;
  return {
    getStatus: serve.unary<GetStatusRequest, GetStatusResponse>('ClusterService/GetStatus', async (_, { signal }) => {
      const etcd = await etcdStatus(signal);
      const { view } = cache;
      const hosts = [...view.hosts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      return {
        clusterId: meta.clusterId,
        epoch: meta.epoch,
        revision: view.revision,
        version: VERSION,
        etcd,
        networks: view.networks.size,
        endpoints: view.endpoints.size,
        hosts: hosts.map((host) => toMessage(fanout, host)),
      };
    }),

    wait: serve.unary<WaitRequest, WaitResponse>('ClusterService/Wait', async (request, { signal }) => {
      const check = new Checker();
      const revision = check.revision('revision', request.revision);
      check.done();
      await viewAt(cache, revision, signal);
      const unreachable = await waitForConvergence(fanout, revision, signal);
      return { revision, unreachableHosts: unreachable.map(({ name }) => name).sort() };
    }),
  };
}
