/**
 * A new epoch's view with what it does not have yet. After a restore every host says what it runs, one a little later
 * than another; until they had their time, endpoints of other hosts that were there before stay where they were, and
 * networks as large as they were, so that no packet to them is lost meanwhile.
 */
import { contains } from '../../core/address.js';
import type { HostView, NetworkView } from '../../core/fold.js';
import type { EndpointId, HostId, NetworkId } from '../../core/ids.js';
import type { Endpoint, Network, Peer, Subnet } from '../../core/model.js';

/** How long other hosts have to say what they run: agents try to connect every few seconds. */
export const HOLD_OVER_MS = 30_000;

interface Held {
  readonly endpoint: Endpoint;
  readonly peer: Peer;
}

export class HoldOver {
  readonly #held = new Map<NetworkId, Map<EndpointId, Held>>();
  readonly #subnets = new Map<NetworkId, readonly Subnet[]>();

  /** @param before the last view of the epoch that is over */
  constructor(before: HostView, hostId: HostId) {
    for (const [id, { network, endpoints, peers }] of before) {
      this.#subnets.set(id, network.subnets);
      const held = new Map<EndpointId, Held>();
      for (const endpoint of endpoints.values()) {
        const peer = peers.get(endpoint.hostId);
        if (endpoint.hostId === hostId || endpoint.state === 'removing' || peer === undefined) continue;
        held.set(endpoint.id, { endpoint, peer });
      }
      this.#held.set(id, held);
    }
  }

  /** `next`, and what is held that has its place still free. What `next` once has, it tells alone from then on. */
  over(next: HostView): HostView {
    return new Map([...next].map(([id, network]) => [id, this.#overNetwork(id, network)]));
  }

  #overNetwork(id: NetworkId, next: NetworkView): NetworkView {
    const held = this.#held.get(id);
    if (held === undefined) return next;
    const view = { ...next, network: asLargeAs(this.#subnets.get(id) ?? [], next.network) };
    for (const known of view.endpoints.keys()) held.delete(known);
    const taken = new Set([...view.endpoints.values()].flatMap(({ addresses, mac }) => [...addresses, mac]));
    const vteps = new Map([...view.peers.values()].map(({ hostId, vtep }) => [vtep, hostId]));
    const added = [...held.values()].filter(
      ({ endpoint: { addresses, mac }, peer }) =>
        ![...addresses, mac].some((text) => taken.has(text)) && [undefined, peer.hostId].includes(vteps.get(peer.vtep)),
    );
    if (added.length === 0) return view.network === next.network ? next : view;
    const peers = new Map(added.map(({ peer }) => [peer.hostId, peer]));
    for (const [host, peer] of view.peers) peers.set(host, peer);
    return {
      ...view,
      endpoints: new Map([...view.endpoints, ...added.map(({ endpoint }) => [endpoint.id, endpoint] as const)]),
      peers,
    };
  }
}

/**
 * The network with the subnets it had, where those it has now all lie in them: other hosts may have addresses in the rest,
 * and the network grows again when they say so.
 */
function asLargeAs(before: readonly Subnet[], network: Network): Network {
  const { subnets } = network;
  const isWithin = subnets.every(({ cidr, gateway }) =>
    before.some((each) => each.gateway === gateway && contains(each.cidr, cidr)),
  );
  const isSame =
    subnets.length === before.length && before.every(({ cidr }) => subnets.some((each) => each.cidr === cidr));
  return isWithin && !isSame ? { ...network, subnets: before } : network;
}
