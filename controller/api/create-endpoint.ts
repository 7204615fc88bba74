/** Making endpoints, for Create and BatchCreate alike: from a request to what became of it. */
import { WeftError, invalid } from '../../core/errors.js';
import type { Endpoint, Host } from '../../core/model.js';
import { encodeEndpoint } from '../../proto/codec.js';
import type {
  BatchCreateEndpointsRequest,
  BatchCreateEndpointsResponse,
  BatchCreateEndpointsResult,
  CreateEndpointRequest,
} from '../../proto/gen/weft/v1/endpoint.js';
import { toStatus } from '../../proto/status.js';
import type { Cache } from '../cache/cache.js';
import type { View } from '../cache/view.js';
import type { Commits, Outcome } from '../commit/commit.js';
import { createEndpoint } from '../domain/endpoint.js';
import type { Fanout } from '../fanout/fanout.js';
import type { Principal } from '../identity/principal.js';
import { findHost, findNetwork } from './reads.js';
import { toWeftError, type CallInfo } from './serve.js';
import { parseCreateEndpoint, toCommand } from './validate-endpoint.js';
import { quote } from './validate.js';

/** Most endpoints of one batch: what a controller decides about without keeping others waiting. */
const BATCH_MAX = 1_000;

export interface EndpointMaking {
  readonly cache: Cache;
  readonly committer: Commits;
  readonly fanout: Fanout;
}

/** Makes one endpoint. Throws WeftError: what is wrong with the request, or the rule's refusal. */
export async function makeEndpoint(
  { cache, committer, fanout }: EndpointMaking,
  request: CreateEndpointRequest,
  info: CallInfo,
): Promise<Outcome<Endpoint>> {
  const wish = parseCreateEndpoint(request);
  const host = hostFor(cache.view, wish.host, info.principal);
  if (info.principal.role === 'host') refuseStale(fanout, host, request.session);
  const network = findNetwork(cache.view, wish.network);
  const command = toCommand(wish, { networkId: network.id, hostId: host.id });
  const outcome = await committer.run((context) => createEndpoint(context, command), info);
  const { id, sandbox, addresses } = outcome.result;
  info.log.debug(
    { endpointId: id, network: network.name, host: host.name, sandbox, addresses, revision: outcome.revision },
    'endpoint created',
  );
  return outcome;
}

/** Makes many, all at once: each comes to be or is refused by itself. Throws WeftError for a batch that is too long. */
export async function makeEndpoints(
  making: EndpointMaking,
  { requests }: BatchCreateEndpointsRequest,
  info: CallInfo,
): Promise<BatchCreateEndpointsResponse> {
  if (requests.length > BATCH_MAX) {
    const description = `${String(requests.length)} requests, and at most ${String(BATCH_MAX)} are taken at once`;
    throw new WeftError(invalid('requests', description));
  }
  let revision = making.cache.view.revision;
  let failed = 0;
  const results = await Promise.all(
    requests.map(async (request, index): Promise<BatchCreateEndpointsResult> => {
      try {
        const made = await makeEndpoint(making, request, info);
        if (made.revision > revision) revision = made.revision;
        return { outcome: { $case: 'endpoint', value: encodeEndpoint(made.result) } };
      } catch (error) {
        failed += 1;
        const answer = toWeftError(error, info);
        if (answer.reason === 'INTERNAL') info.log.error({ err: error, index }, 'failed');
        else info.log.debug({ index, reason: answer.reason, refusal: answer.message }, 'refused');
        return { outcome: { $case: 'error', value: toStatus(within(`requests[${String(index)}]`, answer)) } };
      }
    }),
  );
  info.log.info({ created: requests.length - failed, failed, revision }, 'endpoints created');
  return { results, revision };
}

/** The same error with its fields as the whole request has them. */
function within(path: string, error: WeftError): WeftError {
  if (error.violations.length === 0) return error;
  const violations = error.violations.map(({ field, description }) => ({ field: `${path}.${field}`, description }));
  const { reason, message, metadata } = error;
  return new WeftError({ reason, message, metadata, violations });
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

/** The host that asks. Throws WeftError SESSION_STALE when it has never opened a stream. */
export function ownHost(view: View, principal: Principal): Host {
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
