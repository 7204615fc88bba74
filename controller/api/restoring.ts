/**
 * What a controller serves while a restore is not through: how things stand, and Restore. Everything else is refused,
 * because the state is neither the one nor the other.
 */
import type { MethodDefinition, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { WeftError } from '../../core/errors.js';
import { VERSION } from '../../core/version.js';
import {
  ClusterServiceService,
  type GetStatusRequest,
  type GetStatusResponse,
} from '../../proto/gen/weft/v1/cluster.js';
import { AgentSyncServiceService } from '../../proto/gen/weft/v1/agent_sync.js';
import { EndpointServiceService } from '../../proto/gen/weft/v1/endpoint.js';
import { HostServiceService } from '../../proto/gen/weft/v1/host.js';
import { NetworkServiceService } from '../../proto/gen/weft/v1/network.js';
import { PeerServiceService } from '../../proto/gen/weft/v1/peer.js';
import { WatchServiceService } from '../../proto/gen/weft/v1/watch.js';
import type { Restores } from '../backup/restores.js';
import type { EtcdReport } from '../etcd/etcd-status.js';
import { restoreUnfinished, type Meta } from '../meta.js';
import { etcdWarnings } from '../etcd/etcd-warnings.js';
import { restoreWarning } from '../upkeep/warnings.js';
import { PERMISSIONS, type Method } from './authorize.js';
import { restoreMethod } from './cluster-service.js';
import type { Serve } from './serve.js';
import type { Offer } from './server.js';

export interface RestoringOptions {
  readonly meta: Meta;
  readonly readEtcd: (signal: AbortSignal) => Promise<EtcdReport>;
  readonly restores: Restores;
}

export function restoringServices(serve: Serve, { meta, readEtcd, restores }: RestoringOptions): Offer {
  const getStatus = serve.unary<GetStatusRequest, GetStatusResponse>(
    'ClusterService/GetStatus',
    async (_, { signal }) => {
      const report = await readEtcd(signal);
      const { clusterId, epoch, metaRevision: revision } = meta;
      return {
        ...{ clusterId, epoch, revision, version: VERSION, etcd: report.status },
        ...{ networks: 0, endpoints: 0, hosts: [] },
        ...{ controllers: [], leader: '', agents: undefined, laggards: [] },
        warnings: [restoreWarning(), ...etcdWarnings(report)],
      };
    },
  );
  return {
    network: refusing(serve, NetworkServiceService),
    endpoint: refusing(serve, EndpointServiceService),
    host: refusing(serve, HostServiceService),
    cluster: {
      ...refusing(serve, ClusterServiceService),
      ...{ getStatus, restore: restoreMethod(serve, restores) },
    },
    watch: refusing(serve, WatchServiceService),
    agentSync: refusing(serve, AgentSyncServiceService),
    peer: refusing(serve, PeerServiceService),
  };
}

/** Every method of a service, each of which refuses. */
function refusing(serve: Serve, definition: ServiceDefinition): UntypedServiceImplementation {
  return Object.fromEntries(Object.entries(definition).map(([name, method]) => [name, refusal(serve, method)]));
}

function refusal(serve: Serve, { path, requestStream, responseStream }: MethodDefinition<unknown, unknown>) {
  const method = methodOf(path);
  const refuse = (): never => {
    throw new WeftError(restoreUnfinished());
  };
  if (requestStream && responseStream) return serve.bidi(method, async () => refuse());
  if (requestStream) return serve.clientStream(method, async () => refuse());
  if (responseStream) return serve.serverStream(method, refuse);
  return serve.unary(method, async () => refuse());
}

/** `/weft.v1.NetworkService/Create` as permissions name it. */
function methodOf(path: string): Method {
  const name = path.slice('/weft.v1.'.length);
  if (!isMethod(name)) throw new RangeError(`nobody may call ${path}`);
  return name;
}

function isMethod(name: string): name is Method {
  return Object.hasOwn(PERMISSIONS, name);
}
