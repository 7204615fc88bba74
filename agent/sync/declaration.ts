/** What a host says it runs, in messages that a controller takes. */
import { encodeEndpoint, encodeNetwork } from '../../proto/codec.js';
import type { Declaration } from '../../proto/gen/weft/v1/agent_sync.js';
import { Endpoint as EndpointMessage } from '../../proto/gen/weft/v1/endpoint.js';
import { Network as NetworkMessage } from '../../proto/gen/weft/v1/network.js';
import type { Followed } from '../state/followed.js';

/** Half of what a controller takes in one message. */
const PART_BYTES = 2 * 1024 * 1024;

/** Pure: everything a host followed, in parts of which each but the last says that there is more. */
export function declarationOf(
  { networks, endpoints }: Pick<Followed, 'networks' | 'endpoints'>,
  epoch: string,
  partBytes = PART_BYTES,
): readonly Declaration[] {
  let part: Declaration = { epoch, networks: [], endpoints: [], more: false };
  const parts = [part];
  let bytes = 0;
  /** The part that has room for so much more. */
  const partFor = (size: number): Declaration => {
    if (bytes > 0 && bytes + size > partBytes) {
      part.more = true;
      part = { epoch, networks: [], endpoints: [], more: false };
      parts.push(part);
      bytes = 0;
    }
    bytes += size;
    return part;
  };
  for (const network of networks) {
    const message = encodeNetwork(network);
    partFor(NetworkMessage.encode(message).finish().length).networks.push(message);
  }
  for (const endpoint of endpoints) {
    const message = encodeEndpoint(endpoint);
    partFor(EndpointMessage.encode(message).finish().length).endpoints.push(message);
  }
  return parts;
}
