/** Reading the request for an endpoint. */
import { familyOf, type Family, type IpAddress } from '../../core/address.js';
import { newEndpointId, type HostId, type NetworkId } from '../../core/ids.js';
import { nameKey } from '../../core/name.js';
import type { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import type { CreateEndpoint } from '../domain/endpoint.js';
import { PREDEFINED_NETWORKS } from './validate-network.js';
import { Checker, quote } from './validate.js';

/** A request that is sound in itself; which network and host its names mean is still to be found out. */
export interface EndpointWish extends Omit<CreateEndpoint, 'networkId' | 'hostId'> {
  /** Name or id. */
  readonly network: string;
  /** Name or id; undefined: the host that asks. */
  readonly host: string | undefined;
}

/** The wish in a request. Throws WeftError ARGUMENT_INVALID, OPTION_NOT_BUILT. */
export function parseCreateEndpoint(request: CreateEndpointRequest): EndpointWish {
  const check = new Checker();
  const { network, sandbox, aliases } = request;
  const id = check.id('id', request.id, newEndpointId);
  check.reference('network', network);
  if (PREDEFINED_NETWORKS.includes(network.toLowerCase())) {
    check.notBuilt('network', `the predefined network ${network} is not built yet`);
  }
  const host = request.host === '' ? undefined : check.reference('host', request.host);
  check.name('sandbox', sandbox);
  const seen = new Set<string>();
  for (const [index, alias] of check.bounded('aliases', 'aliases', aliases).entries()) {
    const field = `aliases[${String(index)}]`;
    check.name(field, alias);
    if (seen.has(nameKey(alias))) check.refuse(field, `${quote(alias)} is given twice`);
    seen.add(nameKey(alias));
  }
  const addresses = readAddresses(check, request.addresses);
  const mac = request.mac === '' ? undefined : check.mac('mac', request.mac);
  const labels = check.labels('labels', request.labels);
  check.done();
  return { id, network, host, sandbox, aliases, addresses, mac, labels };
}

/** The command, once the names of a wish have been looked up. */
export function toCommand(wish: EndpointWish, found: { networkId: NetworkId; hostId: HostId }): CreateEndpoint {
  const { id, sandbox, aliases, addresses, mac, labels } = wish;
  return { id, ...found, sandbox, aliases, addresses, mac, labels };
}

function readAddresses(check: Checker, texts: readonly string[]): readonly IpAddress[] {
  const families = new Set<Family>();
  const addresses: IpAddress[] = [];
  for (const [index, text] of texts.slice(0, 3).entries()) {
    const field = `addresses[${String(index)}]`;
    const address = check.ip(field, text);
    if (address === undefined) continue;
    const family = familyOf(address);
    if (families.has(family)) check.refuse(field, `an endpoint has one IPv${String(family)} address`);
    families.add(family);
    addresses.push(address);
  }
  return addresses;
}
