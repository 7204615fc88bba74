/** EndpointService: see proto/weft/v1/endpoint.proto. */
import { WeftError, invalid } from '../../core/errors.js';
import { parseEndpointId, type EndpointId } from '../../core/ids.js';
import type { Endpoint, Host } from '../../core/model.js';
import { encodeEndpoint } from '../../proto/codec.js';
import type {
  CreateEndpointRequest,
  CreateEndpointResponse,
  DeleteEndpointRequest,
  DeleteEndpointResponse,
  EndpointServiceServer,
  GetEndpointRequest,
  GetEndpointResponse,
  ListEndpointsRequest,
  ListEndpointsResponse,
} from '../../proto/gen/weft/v1/endpoint.js';
import type { Cache } from '../cache/cache.js';
import type { View } from '../cache/view.js';
import type { Committer } from '../commit.js';
import { createEndpoint, deleteEndpoint, endpointNotFound } from '../domain/endpoint.js';
import type { Fanout } from '../fanout/fanout.js';
import type { Principal } from '../identity/principal.js';
import { readPage, takePage } from './page.js';
import { findHost, findNetwork, viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { parseCreateEndpoint, toCommand } from './validate-endpoint.js';
import { Checker, quote } from './validate.js';

export interface EndpointServiceOptions {
  readonly cache: Cache;
  readonly committer: Committer;
  readonly fanout: Fanout;
}

export function endpointService(serve: Serve, options: EndpointServiceOptions): EndpointServiceServer {
  const { cache, committer, fanout } = options;
  return {
    create: serve.unary<CreateEndpointRequest, CreateEndpointResponse>(
      'EndpointService/Create',
      async (request, info) => {
        const wish = parseCreateEndpoint(request);
        const host = hostFor(cache.view, wish.host, info.principal);
        if (info.principal.role === 'host') refuseStale(fanout, host, request.session);
        const network = findNetwork(cache.view, wish.network);
        const command = toCommand(wish, { networkId: network.id, hostId: host.id });
        const { result, revision } = await committer.run((context) => createEndpoint(context, command), info);
        const { id, sandbox, addresses } = result;
        info.log.info(
          { endpointId: id, network: network.name, host: host.name, sandbox, addresses, revision },
          'endpoint created',
        );
        return { endpoint: encodeEndpoint(result), revision };
      },
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

/** The host an endpoint is for: the one named, or the one that asks. A host asks for itself only. */
function hostFor(view: View, reference: string | undefined, principal: Principal): Host {
  if (principal.role !== 'host') {
    if (reference === undefined) throw new WeftError(invalid('host', 'name or id is missing'));
    return findHost(view, reference);
  }
  const own = ownHost(view, principal);
  if (reference !== undefined && findHost(view, reference).id !== own.id) throw new WeftError(foreign(principal));
  return own;
}

function ownHost(view: View, principal: Principal): Host {
  const host = view.hostNamed(principal.name);
  if (host !== undefined) return host;
  throw new WeftError({
    reason: 'SESSION_STALE',
    message: `host ${quote(principal.name)} is not known yet: its agent opens a stream first`,
  });
}

function foreign(principal: Principal) {
  return {
    reason: 'NOT_ALLOWED' as const,
    message: `host ${quote(principal.name)} may have endpoints made on itself only`,
  };
}

/** An agent that was replaced, or is cut off, does not know what the state says now. */
function refuseStale(fanout: Fanout, host: Host, session: string): void {
  if (session !== '' && fanout.sessionOf(host.id)?.id === session) return;
  throw new WeftError({
    reason: 'SESSION_STALE',
    message: `this is not the current session of host ${host.name}; its agent has to follow the state first`,
  });
}

function readId(text: string): EndpointId {
  const id = parseEndpointId(text);
  if (id === undefined) throw new WeftError(invalid('id', `${quote(text)} is no endpoint's id`));
  return id;
}
