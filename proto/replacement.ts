/** What differs from what an agent has, on the wire: the contents of some of a network's buckets. */
import { DIGEST_LIMITS } from '../core/digest.js';
import type { Replacement } from '../core/fold.js';
import { parseNetworkId } from '../core/ids.js';
import {
  decodeEndpoint,
  decodeNetwork,
  decodePeer,
  encodeEndpoint,
  encodeNetwork,
  encodePeer,
  WireError,
} from './codec.js';
import { SyncResponse, type NetworkReplacement } from './gen/weft/v1/agent_sync.js';

/** A complete SyncResponse. */
export function encodeReplacement(replacement: Omit<Replacement, 'kind'>, revision: bigint): Uint8Array {
  const { networkId, network, bucketCount, buckets, endpoints, peers } = replacement;
  const value = {
    ...{ revision, networkId, bucketCount, buckets: [...buckets] },
    network: network === undefined ? undefined : encodeNetwork(network),
    endpoints: endpoints.map(encodeEndpoint),
    peers: peers.map(encodePeer),
  };
  return SyncResponse.encode({ message: { $case: 'replacement', value } }).finish();
}

/** Throws WireError. */
export function decodeReplacement(message: NetworkReplacement): Replacement {
  const { bucketCount, buckets, endpoints, peers } = message;
  const networkId = parseNetworkId(message.networkId);
  if (networkId === undefined) throw new WireError('replacement.network_id', message.networkId);
  if (bucketCount < 1 || bucketCount > DIGEST_LIMITS.buckets || (bucketCount & (bucketCount - 1)) !== 0)
    throw new WireError('replacement.bucket_count', bucketCount);
  for (const bucket of buckets) if (bucket >= bucketCount) throw new WireError('replacement.buckets', bucket);
  return {
    ...{ kind: 'replacement', networkId, bucketCount, buckets },
    network: message.network === undefined ? undefined : decodeNetwork(message.network),
    endpoints: endpoints.map(decodeEndpoint),
    peers: peers.map(decodePeer),
  };
}
