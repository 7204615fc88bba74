/** EndpointService: see proto/weft/v1/endpoint.proto. */
import type { IpAddress } from '../../core/address.js';
import type { Clock } from '../../core/clock.js';
import { WeftError, invalid } from '../../core/errors.js';
import { parseEndpointId, type EndpointId } from '../../core/ids.js';
import type { Endpoint } from '../../core/model.js';
import { encodeEndpoint } from '../../proto/codec.js';
import type {
  BatchCreateEndpointsRequest,
  BatchCreateEndpointsResponse,
  CreateEndpointRequest,
  CreateEndpointResponse,
  DeleteEndpointRequest,
  DeleteEndpointResponse,
  EndpointServiceServer,
  GetEndpointRequest,
  GetEndpointResponse,
  ListAddressHistoryRequest,
  ListAddressHistoryResponse,
  ListEndpointsRequest,
  ListEndpointsResponse,
} from '../../proto/gen/weft/v1/endpoint.js';
import type { Cache } from '../cache/cache.js';
import type { View } from '../cache/view.js';
import type { Commits } from '../commit/commit.js';
import { deleteEndpoint, endpointNotFound } from '../domain/endpoint.js';
import type { Store } from '../store/store.js';
import { addressHistory } from './address-history.js';
import { makeEndpoint, makeEndpoints, ownHost } from './create-endpoint.js';
import { oneOf, partOf, prefixOf, readFilters, type FilterKind } from './filters.js';
import { readPage, takePage } from './page.js';
import { guardKey } from '../store/keys.js';
import { findHost, findNetwork, findOrCatchUp, viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { Checker, quote } from './validate.js';

/** The filters of `weft endpoint ls`. */
const ENDPOINT_FILTERS: FilterKind<Endpoint> = {
  name: partOf(({ name }) => name),
  sandbox: partOf(({ sandbox }) => sandbox),
  id: prefixOf(({ id }) => id),
  state: oneOf({
    pending: ({ state }) => state === 'pending',
    ready: ({ state }) => state === 'ready',
    removing: ({ state }) => state === 'removing',
  }),
};

export interface EndpointServiceOptions {
  readonly store: Store;
  readonly cache: Cache;
  readonly committer: Commits;
  readonly clock: Clock;
}

export function endpointService(serve: Serve, options: EndpointServiceOptions): EndpointServiceServer {
  const { cache, committer, clock } = options;
  return {
    create: serve.unary<CreateEndpointRequest, CreateEndpointResponse>(
      'EndpointService/Create',
      async (request, info) => {
        const { result, revision } = await makeEndpoint(options, request, info);
        const { id, networkId, sandbox, addresses } = result;
        info.log.info({ endpointId: id, networkId, sandbox, addresses, revision }, 'endpoint created');
        return { endpoint: encodeEndpoint(result), revision };
      },
    ),

    batchCreate: serve.unary<BatchCreateEndpointsRequest, BatchCreateEndpointsResponse>(
      'EndpointService/BatchCreate',
      (request, info) => makeEndpoints(options, request, info),
    ),

    get: serve.unary<GetEndpointRequest, GetEndpointResponse>('EndpointService/Get', async (request, { signal }) => {
      const check = new Checker();
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const id = readId(request.id);
      const view = await viewAt(cache, minRevision, signal);
      const endpoint = view.endpoints.get(id);
      if (endpoint === undefined) throw new WeftError(endpointNotFound(id));
      return { endpoint: encodeEndpoint(endpoint), revision: view.revision };
    }),

    list: serve.unary<ListEndpointsRequest, ListEndpointsResponse>(
      'EndpointService/List',
      async (request, { signal }) => {
        const check = new Checker();
        const page = readPage(check, request);
        const minRevision = check.revision('min_revision', request.minRevision);
        const network = request.network === '' ? undefined : check.reference('network', request.network);
        const host = request.host === '' ? undefined : check.reference('host', request.host);
        const address = request.address === '' ? undefined : check.ip('address', request.address);
        const filter = readFilters(check, request.filters, { kind: ENDPOINT_FILTERS, nowMs: clock.now().getTime() });
        check.done();
        const view = await viewAt(cache, minRevision, signal);
        const narrowed = narrow(view, { network, host, address });
        const found =
          narrowed === undefined
            ? filter.select(view, view.endpoints.values(), view.endpointsLabelled)
            : narrowed.filter((endpoint) => filter.fits(endpoint, view));
        const { items, nextPageToken } = takePage(found, page);
        return { endpoints: items.map(encodeEndpoint), nextPageToken, revision: view.revision };
      },
    ),

    listAddressHistory: serve.unary<ListAddressHistoryRequest, ListAddressHistoryResponse>(
      'EndpointService/ListAddressHistory',
      (request, info) => addressHistory(options, request, info),
    ),

    delete: serve.unary<DeleteEndpointRequest, DeleteEndpointResponse>(
      'EndpointService/Delete',
      async (request, info) => {
        const id = readId(request.id);
        const { principal } = info;
        const hostId = principal.role === 'host' ? (await ownHost(options, info)).id : undefined;
        // A host that is told there is none forgets it: it must be true of every controller.
        const find = () => cache.view.endpoints.get(id);
        await findOrCatchUp(options, { find, keys: [guardKey.endpoint(id)], signal: info.signal });
        const { result } = await committer.run((context) => deleteEndpoint(context, { id, hostId }), info);
        info.log.info({ endpointId: id, revision: result }, 'endpoint marked as removing');
        return { revision: result };
      },
    ),
  };
}

/** The endpoints of the network and host named, that hold the address; undefined: none is named, so all of them. */
function narrow(
  view: View,
  named: {
    readonly network: string | undefined;
    readonly host: string | undefined;
    readonly address: IpAddress | undefined;
  },
): readonly Endpoint[] | undefined {
  const { address } = named;
  const networkId = named.network === undefined ? undefined : findNetwork(view, named.network).id;
  const hostId = named.host === undefined ? undefined : findHost(view, named.host).id;
  if (address !== undefined) {
    const networks = networkId === undefined ? [...view.networks.keys()] : [networkId];
    return networks
      .flatMap((id) => view.holderOfAddress(id, address) ?? [])
      .filter((endpoint) => hostId === undefined || endpoint.hostId === hostId);
  }
  if (networkId === undefined) return hostId === undefined ? undefined : [...view.endpointsOn(hostId).values()];
  const found = [...view.endpointsOf(networkId).values()];
  return hostId === undefined ? found : found.filter((endpoint) => endpoint.hostId === hostId);
}

function readId(text: string): EndpointId {
  const id = parseEndpointId(text);
  if (id === undefined) throw new WeftError(invalid('id', `${quote(text)} is no endpoint's id`));
  return id;
}
