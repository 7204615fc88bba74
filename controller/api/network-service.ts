/** NetworkService: see proto/weft/v1/network.proto. */
import type { Clock } from '../../core/clock.js';
import type {
  CreateNetworkRequest,
  CreateNetworkResponse,
  DeleteNetworkRequest,
  DeleteNetworkResponse,
  GetNetworkRequest,
  GetNetworkResponse,
  ListNetworksRequest,
  ListNetworksResponse,
  NetworkServiceServer,
  UpdateNetworkRequest,
  UpdateNetworkResponse,
} from '../../proto/gen/weft/v1/network.js';
import type { Cache } from '../cache/cache.js';
import type { Commits } from '../commit/commit.js';
import { createNetwork, deleteNetwork } from '../domain/network.js';
import { updateNetwork } from '../domain/network-update.js';
import type { SubnetPool } from '../domain/subnet-pool.js';
import { readPage, takePage } from './page.js';
import { NETWORK_FILTERS, describeNetwork } from './describe-network.js';
import { readFilters } from './filters.js';
import { findNetwork, viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { parseCreateNetwork, parseUpdateNetwork } from './validate-network.js';
import { Checker } from './validate.js';

export interface NetworkServiceOptions {
  readonly cache: Cache;
  readonly committer: Commits;
  readonly clock: Clock;
  readonly pools: readonly SubnetPool[];
}

export function networkService(serve: Serve, options: NetworkServiceOptions): NetworkServiceServer {
  const { cache, committer, clock, pools } = options;
  return {
    create: serve.unary<CreateNetworkRequest, CreateNetworkResponse>('NetworkService/Create', async (request, info) => {
      const command = parseCreateNetwork(request);
      const { result, revision } = await committer.run((context) => createNetwork(context, command, pools), info);
      info.log.info({ networkId: result.id, network: result.name, vni: result.vni, revision }, 'network created');
      return { network: describeNetwork(cache.view, result), revision };
    }),

    get: serve.unary<GetNetworkRequest, GetNetworkResponse>('NetworkService/Get', async (request, { signal }) => {
      const check = new Checker();
      const reference = check.reference('network', request.network);
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const view = await viewAt(cache, minRevision, signal);
      return { network: describeNetwork(view, findNetwork(view, reference)), revision: view.revision };
    }),

    list: serve.unary<ListNetworksRequest, ListNetworksResponse>('NetworkService/List', async (request, { signal }) => {
      const check = new Checker();
      const page = readPage(check, request);
      const minRevision = check.revision('min_revision', request.minRevision);
      const filter = readFilters(check, request.filters, { kind: NETWORK_FILTERS, nowMs: clock.now().getTime() });
      check.done();
      const view = await viewAt(cache, minRevision, signal);
      const found = filter.select(view, view.networks.values(), view.networksLabelled);
      const { items, nextPageToken } = takePage(found, page);
      const networks = items.map((network) => describeNetwork(view, network));
      return { networks, nextPageToken, revision: view.revision };
    }),

    update: serve.unary<UpdateNetworkRequest, UpdateNetworkResponse>('NetworkService/Update', async (request, info) => {
      const { reference, ...change } = parseUpdateNetwork(request);
      // Looked up once: a name may have come to mean another network by the second try.
      const { id } = findNetwork(cache.view, reference);
      const { result, revision } = await committer.run((context) => updateNetwork(context, { id, ...change }), info);
      info.log.info({ networkId: id, network: result.name, changed: request.updateMask, revision }, 'network updated');
      return { network: describeNetwork(cache.view, result), revision };
    }),

    delete: serve.unary<DeleteNetworkRequest, DeleteNetworkResponse>('NetworkService/Delete', async (request, info) => {
      const check = new Checker();
      const reference = check.reference('network', request.network);
      check.done();
      // Looked up once: a name may have come to mean another network by the second try.
      const { id, name } = findNetwork(cache.view, reference);
      const { revision } = await committer.run((context) => deleteNetwork(context, id), info);
      info.log.info({ networkId: id, network: name, revision }, 'network deleted');
      return { revision };
    }),
  };
}
