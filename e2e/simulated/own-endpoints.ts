/** The endpoints that a host has something to say about, picked out of its stream as it is read. */
import type { HostView } from '../../core/fold.js';
import type { EndpointId, HostId, NetworkId } from '../../core/ids.js';
import type { SyncResponse } from '../../proto/gen/weft/v1/agent_sync.js';
import { EndpointState, type Endpoint } from '../../proto/gen/weft/v1/endpoint.js';

/**
 * A real agent looks through all that it knows; a thousand of them in one process would do nothing else. Messages are
 * heard a little before they are folded, so what is noted counts only where the view says the same.
 */
export class OwnEndpoints {
  readonly #hostId: HostId;
  readonly #noted = new Map<EndpointId, NetworkId>();

  constructor(hostId: HostId) {
    this.#hostId = hostId;
  }

  hear({ message }: SyncResponse): void {
    if (message?.$case === 'frame' || message?.$case === 'replacement') {
      for (const endpoint of message.value.endpoints) this.#note(endpoint);
    } else if (message?.$case === 'change') {
      for (const endpoint of message.value.putEndpoints) this.#note(endpoint);
      for (const id of message.value.dropEndpointIds) this.#noted.delete(id as EndpointId);
    } else if (message?.$case === 'drop') {
      for (const [id, networkId] of this.#noted) if (networkId === message.value.networkId) this.#noted.delete(id);
    }
  }

  /** Those that the view has as pending, and as removing. */
  standing(view: HostView): { readonly pending: readonly EndpointId[]; readonly removing: readonly EndpointId[] } {
    const pending: EndpointId[] = [];
    const removing: EndpointId[] = [];
    for (const [id, networkId] of this.#noted) {
      const state = view.get(networkId)?.endpoints.get(id)?.state;
      if (state === 'pending') pending.push(id);
      if (state === 'removing') removing.push(id);
    }
    return { pending, removing };
  }

  #note({ id, networkId, hostId, state }: Endpoint): void {
    if (hostId !== this.#hostId) return;
    if (state === EndpointState.ENDPOINT_STATE_READY) this.#noted.delete(id as EndpointId);
    else this.#noted.set(id as EndpointId, networkId as NetworkId);
  }
}
