/** The bytes that streams carry, encoded once and shared by all of them. */
import type { HostId, NetworkId } from '../../core/ids.js';
import type { Network } from '../../core/model.js';
import { encodeEndpoint, encodeNetwork, encodePeer } from '../../proto/codec.js';
import { encodeFrame } from '../../proto/frame.js';
import { SyncResponse, type Welcome } from '../../proto/gen/weft/v1/agent_sync.js';
import type { View } from '../cache/view.js';
import type { Kept, Parts } from './kept.js';
import { thingsOf, type NetworkDelta } from './span.js';

type Message = NonNullable<SyncResponse['message']>;

/** A complete SyncResponse as it goes on the wire. */
export type Encoded = Uint8Array;

const encode = (message: Message): Encoded => SyncResponse.encode({ message }).finish();

export function encodeWelcome(welcome: Welcome): Encoded {
  return encode({ $case: 'welcome', value: welcome });
}

export function encodeInSync(revision: bigint): Encoded {
  return encode({ $case: 'inSync', value: { revision } });
}

/** Which hosts are there, and which are not. */
export function encodeLiveness(hosts: ReadonlyMap<HostId, boolean>): Encoded {
  const idsOf = (isThere: boolean): HostId[] => [...hosts].flatMap(([id, is]) => (is === isThere ? [id] : []));
  return encode({
    $case: 'liveness',
    value: { unreachableHostIds: idsOf(false), reachableHostIds: idsOf(true) },
  });
}

export function encodeDrop(networkId: NetworkId, revision: bigint): Encoded {
  return encode({ $case: 'drop', value: { networkId, revision } });
}

/**
 * Endpoints and hosts that one message tells changes of. A transaction has fewer by far, and is at most 1 MiB in all;
 * only a cache that has listed the store anew, after its watch fell too far behind, finds more at once.
 */
const CHANGE_ITEMS = 1_024;

/** Whether a change is so much that the network is told in full in its place. */
export function isMuch({ putEndpoints, dropEndpoints, putPeers, dropPeers }: NetworkDelta): boolean {
  return putEndpoints.length + dropEndpoints.length + putPeers.length + dropPeers.length > CHANGE_ITEMS;
}

/** What the hosts that have the network already need to hear. */
export function encodeChange(delta: NetworkDelta, revision: bigint): Encoded {
  const { networkId, network, putEndpoints, dropEndpoints, putPeers, dropPeers } = delta;
  return encode({
    $case: 'change',
    value: {
      revision,
      networkId,
      network: network === undefined ? undefined : encodeNetwork(network),
      putEndpoints: putEndpoints.map(encodeEndpoint),
      dropEndpointIds: [...dropEndpoints],
      putPeers: putPeers.map(encodePeer),
      dropPeerHostIds: [...dropPeers],
    },
  });
}

/** Networks in full. */
export class Frames {
  readonly #kept: Kept;
  readonly #onEncode: () => void;

  constructor(kept: Kept, onEncode: () => void) {
    this.#kept = kept;
    this.#onEncode = onEncode;
  }

  /** The network's frame at the view's revision. */
  of(view: View, network: Network): Parts {
    const { id } = network;
    return this.#kept.of(id, 'frame', () => {
      this.#onEncode();
      const { endpoints, peers } = thingsOf(view, id);
      return encodeFrame({ revision: view.revision, network, endpoints: endpoints.values(), peers: peers.values() });
    });
  }
}
