/** EndpointService: see proto/weft/v1/endpoint.proto. */
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
import type { Commits } from '../commit.js';
import { deleteEndpoint, endpointNotFound } from '../domain/endpoint.js';
import type { Fanout } from '../fanout/fanout.js';
import type { Store } from '../store/store.js';
import { addressHistory } from './address-history.js';
import { makeEndpoint, makeEndpoints, ownHost } from './create-endpoint.js';
import { readPage, takePage } from './page.js';
import { findHost, findNetwork, viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { Checker, quote } from './validate.js';

export interface EndpointServiceOptions {
  readonly store: Store;
  readonly cache: Cache;
  readonly committer: Commits;
  readonly fanout: Fanout;
}

export function endpointService(serve: Serve, options: EndpointServiceOptions): EndpointServiceServer {
  const { cache, committer } = options;
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
        check.done();
        const view = await viewAt(cache, minRevision, signal);
        const found = [...candidates(view, network, host)].filter(
          ({ addresses }) => address === undefined || addresses.includes(address),
        );
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
        const hostId = principal.role === 'host' ? ownHost(cache.view, principal).id : undefined;
        const { result } = await committer.run((context) => deleteEndpoint(context, { id, hostId }), info);
        info.log.info({ endpointId: id, revision: result }, 'endpoint marked as removing');
        return { revision: result };
      },
    ),
  };
}

function* candidates(view: View, network: string | undefined, host: string | undefined): Iterable<Endpoint> {
  const hostId = host === undefined ? undefined : findHost(view, host).id;
  if (network !== undefined) {
    for (const endpoint of view.endpointsOf(findNetwork(view, network).id).values()) {
      if (hostId === undefined || endpoint.hostId === hostId) yield endpoint;
    }
  } else {
    yield* (hostId === undefined ? view.endpoints : view.endpointsOn(hostId)).values();
  }
}

function readId(text: string): EndpointId {
  const id = parseEndpointId(text);
  if (id === undefined) throw new WeftError(invalid('id', `${quote(text)} is no endpoint's id`));
  return id;
}
