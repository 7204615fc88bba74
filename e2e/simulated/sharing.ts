/**
 * What is equal in the views of several agents of one process is kept once. A thousand hosts with a hundred endpoints
 * each see some seven million between them, which as objects of their own would take seven gigabytes, and the time that
 * goes into collecting garbage among them. Each agent still decodes and folds all of it.
 */
import type { HostView, NetworkView } from '../../core/fold.js';
import type { EndpointId, HostId } from '../../core/ids.js';
import type { Endpoint, Peer } from '../../core/model.js';
import type { Known } from '../../agent/state/settled.js';

export class Sharing {
  #epoch = '';
  readonly #endpoints = new Map<EndpointId, Endpoint>();
  readonly #peers = new Map<HostId, Peer>();

  /**
   * Puts what others have already in the place of what equals it, in networks that came whole: those that were not there
   * before, and of a stream's first view all that are not the very same.
   */
  share(
    { view, epoch }: Known,
    { before, isFirst }: { readonly before: HostView | undefined; readonly isFirst: boolean },
  ): void {
    if (epoch !== this.#epoch) {
      // Revisions, by which equals are known, count within an epoch.
      this.#epoch = epoch;
      this.#endpoints.clear();
    }
    for (const [id, network] of view) {
      const was = before?.get(id);
      if (was === undefined || (isFirst && was !== network)) this.#shareNetwork(network);
    }
  }

  #shareNetwork({ endpoints, peers }: NetworkView): void {
    // Nobody else has these maps yet; and their keys are strings, which are to be shared as well.
    if (endpoints instanceof Map)
      refill(
        endpoints as Map<EndpointId, Endpoint>,
        ({ id }) => id,
        (each) => this.#sharedEndpoint(each),
      );
    if (peers instanceof Map)
      refill(
        peers as Map<HostId, Peer>,
        ({ hostId }) => hostId,
        (each) => this.#sharedPeer(each),
      );
  }

  #sharedEndpoint(endpoint: Endpoint): Endpoint {
    const shared = this.#endpoints.get(endpoint.id);
    if (shared?.revision === endpoint.revision) return shared;
    this.#endpoints.set(endpoint.id, endpoint);
    return endpoint;
  }

  #sharedPeer(peer: Peer): Peer {
    const shared = this.#peers.get(peer.hostId);
    if (shared?.vtep === peer.vtep && shared.number === peer.number) return shared;
    this.#peers.set(peer.hostId, peer);
    return peer;
  }
}

function refill<K, V>(map: Map<K, V>, keyOf: (value: V) => K, shared: (value: V) => V): void {
  const values = [...map.values()];
  map.clear();
  for (const value of values) {
    const one = shared(value);
    map.set(keyOf(one), one);
  }
}
