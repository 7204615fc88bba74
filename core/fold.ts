/** What a host knows of the cluster, and the one function that brings it forward. */
import { bucketing } from './digest.js';
import { withEdits } from './edited-map.js';
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
  | Replacement
  | { readonly kind: 'drop'; readonly networkId: NetworkId };

/** What is in some buckets of a network that is already known (see digest.ts), in place of all that was known to be. */
export interface Replacement {
  readonly kind: 'replacement';
  readonly networkId: NetworkId;
  /** Set when the network's own settings are others. */
  readonly network: Network | undefined;
  readonly bucketCount: number;
  readonly buckets: readonly number[];
  readonly endpoints: readonly Endpoint[];
  readonly peers: readonly Peer[];
}

/** A change for a network that was never framed: the two sides disagree, and the stream must begin anew. */
export class UnknownNetwork extends Error {
  override readonly name = 'UnknownNetwork';
  constructor(readonly networkId: NetworkId) {
    super(`a change came for network ${networkId}, which this host was never told of`);
  }
}

/**
 * Pure: the view after `batch`, in order. A change costs about what it changes, whatever else the network holds. Throws
 * UnknownNetwork for a change without a snapshot before it.
 */
export function fold(view: HostView, batch: readonly (Snapshot | Change)[]): HostView {
  const next = new Map(view);
  const drafts = new Map<NetworkId, Draft>();
  for (const item of batch) {
    if (item.kind === 'snapshot') {
      drafts.set(item.network.id, new Draft(viewOf(item)));
    } else if (item.kind === 'drop') {
      drafts.delete(item.networkId);
      next.delete(item.networkId);
    } else {
      const draft = draftOf(item.networkId, drafts, next);
      if (item.kind === 'change') draft.take(item);
      else draft.replace(item);
    }
  }
  for (const [id, draft] of drafts) next.set(id, draft.finish());
  return next;
}

function draftOf(id: NetworkId, drafts: Map<NetworkId, Draft>, known: HostView): Draft {
  const begun = drafts.get(id);
  if (begun !== undefined) return begun;
  const before = known.get(id);
  if (before === undefined) throw new UnknownNetwork(id);
  const draft = new Draft(before);
  drafts.set(id, draft);
  return draft;
}

function viewOf({ network, endpoints, peers }: Snapshot): NetworkView {
  return {
    network,
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])),
    peers: new Map(peers.map((peer) => [peer.hostId, peer])),
  };
}

/** One network on its way to what a batch makes of it. */
class Draft {
  #network: Network;
  readonly #endpoints = new Map<EndpointId, Endpoint | undefined>();
  readonly #peers = new Map<HostId, Peer | undefined>();

  constructor(readonly before: NetworkView) {
    this.#network = before.network;
  }

  take(change: Change & { readonly kind: 'change' }): void {
    if (change.network !== undefined) this.#network = change.network;
    for (const endpoint of change.putEndpoints) this.#endpoints.set(endpoint.id, endpoint);
    for (const id of change.dropEndpoints) this.#endpoints.set(id, undefined);
    for (const peer of change.putPeers) this.#peers.set(peer.hostId, peer);
    for (const id of change.dropPeers) this.#peers.set(id, undefined);
  }

  /** Looks at all that there is: it is done once for a stream. */
  replace({ network, bucketCount, buckets, endpoints, peers }: Replacement): void {
    if (network !== undefined) this.#network = network;
    const bucketOf = bucketing(bucketCount);
    const replaced = new Set(buckets);
    const isReplaced = (id: string): boolean => replaced.has(bucketOf(id));
    for (const map of [this.before.endpoints, this.#endpoints])
      for (const id of map.keys()) if (isReplaced(id)) this.#endpoints.set(id, undefined);
    for (const map of [this.before.peers, this.#peers])
      for (const id of map.keys()) if (isReplaced(id)) this.#peers.set(id, undefined);
    for (const endpoint of endpoints) this.#endpoints.set(endpoint.id, endpoint);
    for (const peer of peers) this.#peers.set(peer.hostId, peer);
  }

  finish(): NetworkView {
    return {
      network: this.#network,
      endpoints: withEdits(this.before.endpoints, this.#endpoints),
      peers: withEdits(this.before.peers, this.#peers),
    };
  }
}
