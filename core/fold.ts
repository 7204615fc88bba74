/** What a host knows of the cluster, and the one function that brings it forward. */
import type { EndpointId, HostId, NetworkId } from './ids.js';
import type { Endpoint, Network, Peer } from './model.js';

/** One network as a host knows it. */
export interface NetworkView {
  readonly network: Network;
  readonly endpoints: ReadonlyMap<EndpointId, Endpoint>;
  /** Every host with an endpoint in the network. */
  readonly peers: ReadonlyMap<HostId, Peer>;
}

/** Everything a host knows: its span. */
export type HostView = ReadonlyMap<NetworkId, NetworkView>;

/** A network in full; takes the place of all that was known of it. */
export interface Snapshot {
  readonly kind: 'snapshot';
  readonly network: Network;
  readonly endpoints: readonly Endpoint[];
  readonly peers: readonly Peer[];
}

/** What became different in a network that is already known, or that it is no longer in the host's span. */
export type Change =
  | {
      readonly kind: 'change';
      readonly networkId: NetworkId;
      /** Set when the network's own settings changed. */
      readonly network: Network | undefined;
      readonly putEndpoints: readonly Endpoint[];
      readonly dropEndpoints: readonly EndpointId[];
      readonly putPeers: readonly Peer[];
      readonly dropPeers: readonly HostId[];
    }
  | { readonly kind: 'drop'; readonly networkId: NetworkId };

/** A change for a network that was never framed: the two sides disagree, and the stream must begin anew. */
export class UnknownNetwork extends Error {
  override readonly name = 'UnknownNetwork';
  constructor(readonly networkId: NetworkId) {
    super(`a change came for network ${networkId}, which this host was never told of`);
  }
}

/**
 * Pure: the view after `batch`, in order. Each network is copied at most once a batch, however many changes it holds.
 * Throws UnknownNetwork for a change without a snapshot before it.
 */
export function fold(view: HostView, batch: readonly (Snapshot | Change)[]): HostView {
  const next = new Map(view);
  const drafts = new Map<NetworkId, Draft>();
  for (const item of batch) {
    if (item.kind === 'snapshot') {
      const draft = draftOf(item);
      drafts.set(item.network.id, draft);
      next.set(item.network.id, draft);
    } else if (item.kind === 'drop') {
      drafts.delete(item.networkId);
      next.delete(item.networkId);
    } else {
      const draft = drafts.get(item.networkId) ?? copyOf(next.get(item.networkId), item.networkId);
      drafts.set(item.networkId, draft);
      next.set(item.networkId, draft);
      if (item.network !== undefined) draft.network = item.network;
      for (const endpoint of item.putEndpoints) draft.endpoints.set(endpoint.id, endpoint);
      for (const id of item.dropEndpoints) draft.endpoints.delete(id);
      for (const peer of item.putPeers) draft.peers.set(peer.hostId, peer);
      for (const id of item.dropPeers) draft.peers.delete(id);
    }
  }
  return next;
}

interface Draft {
  network: Network;
  endpoints: Map<EndpointId, Endpoint>;
  peers: Map<HostId, Peer>;
}

function draftOf({ network, endpoints, peers }: Snapshot): Draft {
  return {
    network,
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])),
    peers: new Map(peers.map((peer) => [peer.hostId, peer])),
  };
}

function copyOf(known: NetworkView | undefined, id: NetworkId): Draft {
  if (known === undefined) throw new UnknownNetwork(id);
  return { network: known.network, endpoints: new Map(known.endpoints), peers: new Map(known.peers) };
}
