/** The endpoint that somebody means: by its id, or by the sandbox that it belongs to. */
import { WeftError } from '../core/errors.js';
import { listed } from '../core/listed.js';
import { isName, nameKey } from '../core/name.js';
import type { Endpoint } from '../proto/gen/weft/v1/endpoint.js';
import { present, type Controllers } from './connect.js';
import { allEndpoints, allHosts, allNetworks } from './lists.js';
import { withShownId } from './shown-id.js';

/**
 * The endpoint of that id, whole or as tables show it, else the only one of a sandbox of that name. Rejects with
 * WeftError ENDPOINT_NOT_FOUND; ARGUMENT_INVALID where several are of such a sandbox, naming them.
 */
export async function endpointNamed(controllers: Controllers, typed: string): Promise<Endpoint> {
  const { endpoints, ask } = controllers;
  try {
    const { endpoint } = await withShownId(
      typed,
      () => allEndpoints(controllers),
      (id) => ask(endpoints.get.bind(endpoints), { id, minRevision: 0n }),
    );
    return present(endpoint, 'endpoint');
  } catch (error) {
    const unknown = error instanceof WeftError && ['NOT_FOUND', 'INVALID_ARGUMENT'].includes(error.status);
    if (!unknown) throw error;
  }
  const [found, ...others] = await endpointsOf(controllers, typed);
  if (found === undefined) {
    const message = `there is no endpoint ${JSON.stringify(typed)}, nor a sandbox of that name on a network`;
    throw new WeftError({ reason: 'ENDPOINT_NOT_FOUND', message });
  }
  if (others.length === 0) return found;
  throw await ambiguous(controllers, typed, [found, ...others]);
}

async function endpointsOf(controllers: Controllers, sandbox: string): Promise<Endpoint[]> {
  if (!isName(sandbox)) return [];
  const near = await allEndpoints(controllers, { filters: [`sandbox=${sandbox}`] });
  return near.filter((endpoint) => nameKey(endpoint.sandbox) === nameKey(sandbox));
}

async function ambiguous(controllers: Controllers, typed: string, found: readonly Endpoint[]): Promise<WeftError> {
  const [networks, hosts] = await Promise.all([allNetworks(controllers), allHosts(controllers)]);
  const names = new Map([...networks, ...hosts].map(({ id, name }) => [id, name]));
  const each = found.map(({ id, networkId, hostId }) => {
    return `${id} (network ${names.get(networkId) ?? networkId}, host ${names.get(hostId) ?? hostId})`;
  });
  const which = listed(each.sort());
  const message = `sandbox ${typed} has ${String(found.length)} endpoints; name one by its id: ${which}`;
  return new WeftError({ reason: 'ARGUMENT_INVALID', message });
}
