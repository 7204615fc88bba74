/** What a host that comes back is told: what differs from what it has, by the digests that it gives of that. */
import {
  bucketCountFor,
  bucketing,
  DIGEST_BYTES,
  differingBuckets,
  digestsOf,
  type Things,
} from '../../core/digest.js';
import type { Replacement } from '../../core/fold.js';
import type { NetworkId } from '../../core/ids.js';
import type { Endpoint, Network, Peer } from '../../core/model.js';
import { encodeReplacement } from '../../proto/replacement.js';
import type { View } from '../cache/view.js';
import type { Kept, Parts } from './kept.js';
import { thingsOf } from './span.js';

/** What a host says it has of a network. */
export interface NetworkDigest {
  /** Of the network's own settings. */
  readonly revision: bigint;
  /** Of each bucket: see core/digest.ts. */
  readonly digests: Uint8Array;
}

/** What a host that comes back has, by the networks that it names. */
export type Resume = ReadonlyMap<NetworkId, NetworkDigest>;

/** By so much a host may have more or fewer buckets than it would have now: past that nearly all is different anyway. */
const SIMILAR = 4;

/** Things that one message tells, unless a single bucket has more: about 64 KiB. */
const MESSAGE_THINGS = 256;

export class Differences {
  readonly #kept: Kept;
  readonly #onEncode: () => void;
  /** By network and number of buckets, until the network is touched. */
  readonly #digests = new Map<NetworkId, Map<number, Uint8Array>>();

  constructor(kept: Kept, onEncode: () => void) {
    this.#kept = kept;
    this.#onEncode = onEncode;
  }

  /**
   * What brings a host that has `known` to the view, nothing where it is there already; undefined where that would be no
   * less than the network in full. The same bytes for all that lag alike.
   */
  of(view: View, network: Network, known: NetworkDigest): Parts | undefined {
    const { id } = network;
    const count = known.digests.length / DIGEST_BYTES;
    const ours = bucketCountFor(view.endpointsOf(id).size + view.countsOf(id).size);
    if (count > ours * SIMILAR || ours > count * SIMILAR) return undefined;
    const buckets = differingBuckets(this.#digestsOf(view, id, count), known.digests);
    const isOther = known.revision !== network.revision;
    if (buckets.length === 0 && !isOther) return [];
    if (buckets.length === count) return undefined;
    return this.#kept.of(id, `${String(count)} ${String(isOther)} ${buckets.join()}`, () => {
      this.#onEncode();
      return messagesOf(thingsOf(view, id), buckets, count).map((message, at) => {
        const settings = isOther && at === 0 ? network : undefined;
        return encodeReplacement({ ...message, networkId: id, network: settings, bucketCount: count }, view.revision);
      });
    });
  }

  /** Forgets what a revision has made untrue. */
  touched(id: NetworkId): void {
    this.#digests.delete(id);
  }

  #digestsOf(view: View, id: NetworkId, count: number): Uint8Array {
    const kept = this.#digests.get(id);
    const known = kept?.get(count);
    if (known !== undefined) return known;
    const digests = digestsOf(thingsOf(view, id), count);
    if (kept === undefined) this.#digests.set(id, new Map([[count, digests]]));
    else kept.set(count, digests);
    return digests;
  }
}

type Message = Pick<Replacement, 'buckets' | 'endpoints' | 'peers'>;

/** The buckets' contents, a few buckets in a message; one message where there are none. */
function messagesOf({ endpoints, peers }: Things, buckets: readonly number[], count: number): readonly Message[] {
  const contents = new Map(buckets.map((bucket) => [bucket, { endpoints: [] as Endpoint[], peers: [] as Peer[] }]));
  const bucketOf = bucketing(count);
  for (const endpoint of endpoints.values()) contents.get(bucketOf(endpoint.id))?.endpoints.push(endpoint);
  for (const peer of peers.values()) contents.get(bucketOf(peer.hostId))?.peers.push(peer);
  const begin = () => ({ buckets: [] as number[], endpoints: [] as Endpoint[], peers: [] as Peer[] });
  let message = begin();
  const messages = [message];
  for (const [bucket, held] of contents) {
    const things = message.endpoints.length + message.peers.length + held.endpoints.length + held.peers.length;
    if (message.buckets.length > 0 && things > MESSAGE_THINGS) messages.push((message = begin()));
    message.buckets.push(bucket);
    for (const endpoint of held.endpoints) message.endpoints.push(endpoint);
    for (const peer of held.peers) message.peers.push(peer);
  }
  return messages;
}
