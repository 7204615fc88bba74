/** What a host has of its last stream, said in digests, so that a controller need not tell it again. */
import { bucketCountFor, DIGEST_LIMITS, digestsOf, type DigestLimits } from '../../core/digest.js';
import type { HostView, NetworkView } from '../../core/fold.js';
import type { NetworkId } from '../../core/ids.js';
import type { Resume } from '../../proto/gen/weft/v1/agent_sync.js';

/** What a stream told as of its last InSync, and the format of that (see Welcome). */
export interface Told {
  readonly view: HostView;
  readonly format: number;
}

/** What is offered to the next stream: said in digests, and itself. */
export interface Offer {
  readonly resume: Resume;
  readonly view: HostView;
}

/** Pure. What is more than a hello has room for is left out, and told in full. */
export function offerOf({ view, format }: Told, limits: DigestLimits = DIGEST_LIMITS): Offer {
  const offered = new Map<NetworkId, NetworkView>();
  const networks: Resume['networks'] = [];
  let room = limits.buckets;
  for (const [id, network] of view) {
    const count = bucketCountFor(network.endpoints.size + network.peers.size);
    if (count > room || networks.length === limits.networks) continue;
    room -= count;
    networks.push({
      networkId: id,
      revision: network.network.revision,
      digests: Buffer.from(digestsOf(network, count)),
    });
    offered.set(id, network);
  }
  return { resume: { format, networks }, view: offered };
}
