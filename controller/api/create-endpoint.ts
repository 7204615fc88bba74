/** Making endpoints, for Create and BatchCreate alike: from a request to what became of it. */
import { WeftError, invalid } from '../../core/errors.js';
import { parseNetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { encodeEndpoint } from '../../proto/codec.js';
import type {
  BatchCreateEndpointsRequest,
  BatchCreateEndpointsResponse,
  BatchCreateEndpointsResult,
  CreateEndpointRequest,
} from '../../proto/gen/weft/v1/endpoint.js';
import { toStatus } from '../../proto/status.js';
import type { Cache } from '../cache/cache.js';
import type { Commits, Outcome } from '../commit/commit.js';
import { createEndpoint } from '../domain/endpoint.js';
import type { Principal } from '../identity/principal.js';
import { findHost, findNetwork, findOrCatchUp, lookUpNetwork } from './reads.js';
import { guardKey, objectKey } from '../store/keys.js';
import type { Store } from '../store/store.js';
import { toWeftError, type CallInfo } from './serve.js';
import { parseCreateEndpoint, toCommand } from './validate-endpoint.js';
import { quote } from './validate.js';

/** Most endpoints of one batch: what a controller decides about without keeping others waiting. */
const BATCH_MAX = 1_000;

/**
 * Of one batch, as many are decided and on their way at once as fill a few groups. What more would do is wait, and be
 * copied from one place in memory to the next meanwhile: with all of 4 batches under way, that took a quarter of the
 * controller's CPU.
 */
const UNDER_WAY = 256;

export interface EndpointMaking {
  readonly store: Pick<Store, 'get'>;
  readonly cache: Cache;
  readonly committer: Commits;
}

/** Makes one endpoint. Throws WeftError: what is wrong with the request, or the rule's refusal. */
export async function makeEndpoint(
  making: EndpointMaking,
  request: CreateEndpointRequest,
  info: CallInfo,
): Promise<Outcome<Endpoint>> {
  const { committer } = making;
  const wish = parseCreateEndpoint(request);
  const host = await hostFor(making, wish.host, info);
  if (info.principal.role === 'host')
    await refuseStale(making, host, { session: request.session, signal: info.signal });
  const network = await networkFor(making, wish.network, info.signal);
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
  const results: BatchCreateEndpointsResult[] = requests.map(() => ({ outcome: undefined }));
  const queue = requests.entries();
  const work = async (): Promise<void> => {
    for (const [index, request] of queue) {
      try {
        const made = await makeEndpoint(making, request, info);
        if (made.revision > revision) revision = made.revision;
        results[index] = { outcome: { $case: 'endpoint', value: encodeEndpoint(made.result) } };
      } catch (error) {
        failed += 1;
        const answer = toWeftError(error, info);
        if (answer.reason === 'INTERNAL') info.log.error({ err: error, index }, 'failed');
        else info.log.debug({ index, reason: answer.reason, refusal: answer.message }, 'refused');
        results[index] = { outcome: { $case: 'error', value: toStatus(within(`requests[${String(index)}]`, answer)) } };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(UNDER_WAY, requests.length) }, work));
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
async function hostFor(making: EndpointMaking, reference: string | undefined, info: CallInfo): Promise<Host> {
  const { principal } = info;
  if (principal.role !== 'host') {
    if (reference === undefined) throw new WeftError(invalid('host', 'name or id is missing'));
    return findHost(making.cache.view, reference);
  }
  const own = await ownHost(making, info);
  if (reference !== undefined && findHost(making.cache.view, reference).id !== own.id) {
    throw new WeftError(foreign(principal));
  }
  return own;
}

/** The network that is named, also where it has come to be elsewhere a moment ago. */
async function networkFor(making: EndpointMaking, reference: string, signal: AbortSignal): Promise<Network> {
  const id = parseNetworkId(reference);
  const find = (): Network | undefined => lookUpNetwork(making.cache.view, reference);
  const keys = [...(id === undefined ? [] : [objectKey.network(id)]), guardKey.networkName(reference)];
  return (await findOrCatchUp(making, { find, keys, signal })) ?? findNetwork(making.cache.view, reference);
}

/** The host that asks. Throws WeftError SESSION_STALE when it has never opened a stream. */
export async function ownHost(
  making: Pick<EndpointMaking, 'store' | 'cache'>,
  { principal, signal }: CallInfo,
): Promise<Host> {
  const find = (): Host | undefined => making.cache.view.hostNamed(principal.name);
  const host = await findOrCatchUp(making, { find, keys: [guardKey.hostName(principal.name)], signal });
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

/**
 * An agent that was replaced, or is cut off, does not know what the state says now. Its stream may be at another
 * controller, and have begun a moment ago.
 */
async function refuseStale(
  making: EndpointMaking,
  host: Host,
  { session, signal }: { readonly session: string; readonly signal: AbortSignal },
): Promise<void> {
  const find = () => (making.cache.view.alive.get(host.id)?.session === session ? session : undefined);
  const keys = [objectKey.alive(host.id)];
  if (session !== '' && (await findOrCatchUp(making, { find, keys, signal })) !== undefined) return;
  throw new WeftError({
    reason: 'SESSION_STALE',
    message: `this is not the current session of host ${host.name}; its agent has to follow the state first`,
  });
}
