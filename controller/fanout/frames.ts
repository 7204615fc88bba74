/** The bytes that streams carry, encoded once and shared by all of them. */
import type { HostId, NetworkId } from '../../core/ids.js';
import type { Network } from '../../core/model.js';
import { encodeEndpoint, encodeNetwork, encodePeer } from '../../proto/codec.js';
import { encodeFrame } from '../../proto/frame.js';
import { SyncResponse, type Welcome } from '../../proto/gen/weft/v1/agent_sync.js';
import type { View } from '../cache/view.js';
import { hostsOf, toPeer, type NetworkDelta } from './span.js';

/** Bytes of frames that are kept for the next host that asks. */
const KEPT_BYTES = 64 * 1024 * 1024;

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

/** A frame's parts, to be sent one right after the other. */
type Parts = readonly Encoded[];

/** Networks in full. A frame is kept until its network is touched, within a bound, the one used longest ago going first. */
export class Frames {
  readonly #kept = new Map<NetworkId, Parts>();
  #bytes = 0;

  constructor(readonly onEncode: () => void) {}

  /** The network's frame at the view's revision; undefined when there is no such network. */
  of(view: View, id: NetworkId): Parts | undefined {
    const network = view.networks.get(id);
    if (network === undefined) return undefined;
    const kept = this.#kept.get(id);
    const frame = kept ?? this.#encode(view, network);
    // To the end: the first of the map is the one to go.
    this.#kept.delete(id);
    this.#kept.set(id, frame);
    return frame;
  }

  /** Forgets what a revision has made untrue. */
  touched(id: NetworkId): void {
    this.#bytes -= bytesOf(this.#kept.get(id) ?? []);
    this.#kept.delete(id);
  }

  #encode(view: View, network: Network): Parts {
    const { id } = network;
    const peers = [...hostsOf(view, id)].map((host: HostId) => view.hosts.get(host));
    const frame = encodeFrame({
      ...{ revision: view.revision, network, endpoints: view.endpointsOf(id).values() },
      peers: peers.filter((host) => host !== undefined).map(toPeer),
    });
    this.onEncode();
    this.#bytes += bytesOf(frame);
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= KEPT_BYTES) break;
      this.touched(oldest);
    }
    return frame;
  }
}

function bytesOf(parts: Parts): number {
  return parts.reduce((bytes, part) => bytes + part.length, 0);
}
