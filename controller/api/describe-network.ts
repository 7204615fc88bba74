/** A network as clients see it, and what they can look for. */
import type { Network } from '../../core/model.js';
import { encodeNetwork } from '../../proto/codec.js';
import type { Network as NetworkMessage } from '../../proto/gen/weft/v1/network.js';
import type { View } from '../cache/view.js';
import { networkUsage, subnetUsage } from '../domain/usage.js';
import { oneOf, partOf, prefixOf, until, type FilterKind } from './filters.js';

/** `dangling`: without an endpoint. */
export const NETWORK_FILTERS: FilterKind<Network> = {
  name: partOf(({ name }) => name),
  id: prefixOf(({ id }) => id),
  driver: (value) => (value === '' ? 'expected a driver' : ({ driver }) => driver === value),
  dangling: oneOf({
    true: ({ id }, view) => view.endpointsOf(id).size === 0,
    false: ({ id }, view) => view.endpointsOf(id).size > 0,
  }),
  until: until(({ createTimeMs }) => createTimeMs),
};

/** The network with how much of it is in use in this view. */
export function describeNetwork(view: View, network: Network): NetworkMessage {
  const message = encodeNetwork(network);
  const subnets = message.subnets.map((subnet, index) => {
    const own = network.subnets[index];
    return own === undefined ? subnet : { ...subnet, usage: subnetUsage(view, network, own) };
  });
  return { ...message, subnets, usage: networkUsage(view, network) };
}
