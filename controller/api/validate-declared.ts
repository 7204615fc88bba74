/**
 * Reading what a host declares. It is a host's word, and what is adopted is every host's: so a declared thing has to be
 * such as a request could have asked for, in addition to being readable.
 */
import { familyOf } from '../../core/address.js';
import { isUuid } from '../../core/ids.js';
import type { Endpoint, Network } from '../../core/model.js';
import { isOptionViolations, objectionToMtu, parseNetworkOptions } from '../../core/network-options.js';
import { decodeEndpoint, decodeNetwork } from '../../proto/codec.js';
import type { Endpoint as EndpointMessage } from '../../proto/gen/weft/v1/endpoint.js';
import type { Network as NetworkMessage } from '../../proto/gen/weft/v1/network.js';
import { parseCreateEndpoint } from './validate-endpoint.js';
import { PREDEFINED_NETWORKS } from './validate-network.js';
import { readSubnets } from './validate-subnet.js';
import { Checker, quote } from './validate.js';

/** A network that could have been asked for. Throws WireError, and WeftError ARGUMENT_INVALID with what is wrong. */
export function readDeclaredNetwork(message: NetworkMessage): Network {
  const network = decodeNetwork(message);
  const { name, labels, options, mtu } = network;
  const check = new Checker();
  if (PREDEFINED_NETWORKS.includes(name.toLowerCase()) || isUuid(name)) {
    check.refuse('name', `${quote(name)} is no name that a network is given`);
  }
  check.labels('labels', labels);
  const subnets = readSubnets(check, message.subnets);
  if (message.subnets.length === 0) check.refuse('subnets', 'a network has at least one subnet');
  const read = parseNetworkOptions(Object.fromEntries(check.bounded('options', 'entries', Object.entries(options))));
  if (isOptionViolations(read)) {
    for (const { field, description } of read) check.refuse(field, description);
  } else if (read.mtu !== mtu) {
    check.refuse('mtu', `${String(mtu)} is not what the options say`);
  }
  const hasIpv6 = subnets.some(({ cidr }) => familyOf(cidr) === 6);
  const objection = mtu === undefined ? undefined : objectionToMtu(mtu, hasIpv6);
  if (objection !== undefined) check.refuse('mtu', objection);
  check.done();
  return { ...network, requestId: '' };
}

/** An endpoint that could have been asked for. Throws as readDeclaredNetwork does. */
export function readDeclaredEndpoint(message: EndpointMessage): Endpoint {
  const endpoint = decodeEndpoint(message);
  const { id, networkId, hostId, sandbox, aliases, addresses, mac, labels } = endpoint;
  const asked = { id, sandbox, aliases: [...aliases], addresses: [...addresses], mac, labels: { ...labels } };
  parseCreateEndpoint({ ...asked, network: networkId, host: hostId, session: '' });
  const check = new Checker();
  if (addresses.length === 0) check.refuse('addresses', 'an endpoint has at least one address');
  check.done();
  return { ...endpoint, name: sandbox, requestId: '' };
}
