/**
 * Who needs to know what. A host's span: the networks that have an endpoint on it, told in full; of the rest nothing.
 * Pure: everything follows from the view after a revision and from what that revision changed.
 */
import type { Things } from '../../core/digest.js';
import type { EndpointId, HostId, NetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network, Peer } from '../../core/model.js';
import type { ChangeSet, View } from '../cache/view.js';

/** What one revision means for one network and the hosts on it. */
export interface NetworkDelta {
  readonly networkId: NetworkId;
  /** Set when the network itself was put. */
  readonly network: Network | undefined;
  readonly putEndpoints: readonly Endpoint[];
  readonly dropEndpoints: readonly EndpointId[];
  readonly putPeers: readonly Peer[];
  readonly dropPeers: readonly HostId[];
  /** Hosts whose span has it now and had it not before: they need it in full. */
  readonly joined: ReadonlySet<HostId>;
  /** Hosts whose span had it before and has it not any more. */
  readonly left: ReadonlySet<HostId>;
  /** Hosts whose span had it all along: the change is all they need. */
  readonly stayed: ReadonlySet<HostId>;
}

/** The networks that a host has endpoints in, and that concern it if it is not fenced. */
export function spanOf(view: View, host: HostId): ReadonlySet<NetworkId> {
  const span = new Set<NetworkId>();
  for (const { networkId } of view.endpointsOn(host).values()) if (view.networks.has(networkId)) span.add(networkId);
  return span;
}

/** The hosts that a network concerns: those that are fenced are nobody's peers, and have a span when they are readmitted. */
function hostsOf(view: View, network: NetworkId): ReadonlySet<HostId> {
  const hosts = new Set(view.countsOf(network).keys());
  for (const host of view.fenced) hosts.delete(host);
  return hosts;
}

/** The endpoints that a network's hosts are told of. */
function endpointsOf(view: View, network: NetworkId): ReadonlyMap<EndpointId, Endpoint> {
  const all = view.endpointsOf(network);
  const counts = view.countsOf(network);
  if (![...view.fenced].some((host) => counts.has(host))) return all;
  return new Map([...all].filter(([, { hostId }]) => !view.fenced.has(hostId)));
}

/** All that the network's hosts are told of it besides its settings. */
export function thingsOf(view: View, network: NetworkId): Things {
  const hosts = [...hostsOf(view, network)].map((id) => view.hosts.get(id)).filter((host) => host !== undefined);
  return { endpoints: endpointsOf(view, network), peers: new Map(hosts.map((host) => [host.id, toPeer(host)])) };
}

/** The hosts of a network that nobody hears from. */
export function unreachableIn(view: View, network: NetworkId): readonly HostId[] {
  return [...hostsOf(view, network)].filter((host) => !view.alive.has(host));
}

/** The hosts that share a network with a host. */
export function neighboursOf(view: View, host: HostId): ReadonlySet<HostId> {
  const found = new Set<HostId>();
  for (const network of spanOf(view, host)) for (const each of hostsOf(view, network)) found.add(each);
  found.delete(host);
  return found;
}

/** A host as its peers need to know it. */
function toPeer({ id, vtep, number }: Host): Peer {
  return { hostId: id, vtep, number };
}

/** Whether a host that changed (in its version, its routes, or for how long it is missed) is the same to its peers. */
function isSamePeer(before: Host | undefined, after: Host | undefined): boolean {
  return before !== undefined && before.vtep === after?.vtep && before.number === after.number;
}

interface Touched {
  network: Network | undefined;
  /** The network was not there before: if endpoints of it were, it could not be read. */
  appeared: boolean;
  readonly put: Endpoint[];
  readonly drop: EndpointId[];
  /** By how many endpoints each host has more or less than before. */
  readonly balance: Map<HostId, number>;
  /** Hosts whose own record changed. */
  readonly moved: Set<HostId>;
}

/** Every network that the revision touched, as it concerns the hosts. `view` is exactly at `changes.revision`. */
export function deltasOf(view: View, changes: ChangeSet): readonly NetworkDelta[] {
  const touched = new Map<NetworkId, Touched>();
  const at = (id: NetworkId): Touched => {
    const known = touched.get(id);
    if (known !== undefined) return known;
    const fresh: Touched = {
      network: undefined,
      appeared: false,
      put: [],
      drop: [],
      balance: new Map(),
      moved: new Set(),
    };
    touched.set(id, fresh);
    return fresh;
  };
  const visible = visibility(view, changes);
  for (const change of changes.changes) {
    if (change.kind === 'network') {
      const network = change.after ?? change.before;
      if (network === undefined) continue;
      const touch = at(network.id);
      touch.network = change.after;
      touch.appeared = change.before === undefined;
    } else if (change.kind === 'endpoint') {
      countEndpoint(at, visible.before(change.before), visible.after(change.after));
    } else if (change.kind === 'host') {
      const host = change.after ?? change.before;
      if (host === undefined || view.fenced.has(host.id) || isSamePeer(change.before, change.after)) continue;
      for (const id of spanOf(view, host.id)) at(id).moved.add(host.id);
    }
  }
  // To be fenced takes a host's endpoints from everybody's sight at once; to be readmitted shows what it has.
  for (const host of visible.turned) {
    for (const endpoint of view.endpointsOn(host).values()) {
      if (!visible.changed.has(endpoint.id)) countEndpoint(at, visible.before(endpoint), visible.after(endpoint));
    }
  }
  return [...touched].map(([networkId, each]) => toDelta(view, networkId, each));
}

/** Which endpoints hosts were told of before a revision, and are after it: those of fenced hosts are shown to nobody. */
function visibility(view: View, { changes }: ChangeSet) {
  const wasFenced = new Map<HostId, boolean>();
  const changed = new Set<EndpointId>();
  for (const change of changes) {
    if (change.kind === 'host' && change.before !== undefined) {
      wasFenced.set(change.before.id, change.before.absence === 'fenced');
    }
    const endpoint = change.kind === 'endpoint' ? (change.after ?? change.before) : undefined;
    if (endpoint !== undefined) changed.add(endpoint.id);
  }
  const isFencedBefore = (host: HostId): boolean => wasFenced.get(host) ?? view.fenced.has(host);
  return {
    changed,
    turned: [...wasFenced].filter(([host, was]) => was !== view.fenced.has(host)).map(([host]) => host),
    before: (endpoint: Endpoint | undefined): Endpoint | undefined =>
      endpoint === undefined || isFencedBefore(endpoint.hostId) ? undefined : endpoint,
    after: (endpoint: Endpoint | undefined): Endpoint | undefined =>
      endpoint === undefined || view.fenced.has(endpoint.hostId) ? undefined : endpoint,
  };
}

function countEndpoint(
  at: (id: NetworkId) => Touched,
  before: Endpoint | undefined,
  after: Endpoint | undefined,
): void {
  if (before !== undefined) add(at(before.networkId).balance, before.hostId, -1);
  if (after !== undefined) add(at(after.networkId).balance, after.hostId, 1);
  if (after !== undefined) at(after.networkId).put.push(after);
  else if (before !== undefined) at(before.networkId).drop.push(before.id);
}

function add(balance: Map<HostId, number>, host: HostId, by: number): void {
  balance.set(host, (balance.get(host) ?? 0) + by);
}

function toDelta(view: View, networkId: NetworkId, touched: Touched): NetworkDelta {
  const { network, appeared, put, drop, balance, moved } = touched;
  // A network that cannot be read, or is gone, concerns nobody, whatever endpoints it left behind.
  const now = view.networks.has(networkId) ? view.countsOf(networkId) : new Map<HostId, number>();
  const joined = new Set<HostId>();
  const left = new Set<HostId>();
  const stayed = new Set<HostId>();
  for (const [host, count] of now) {
    if (view.fenced.has(host)) continue;
    if (appeared || count - (balance.get(host) ?? 0) <= 0) joined.add(host);
    else stayed.add(host);
  }
  for (const [host, by] of balance) if (by < 0 && (!now.has(host) || view.fenced.has(host))) left.add(host);
  const peers = [...new Set([...joined, ...moved])]
    .map((id) => view.hosts.get(id))
    .filter((host) => host !== undefined);
  return {
    ...{ networkId, network, joined, left, stayed },
    putEndpoints: put,
    dropEndpoints: drop,
    putPeers: peers.map(toPeer),
    dropPeers: [...new Set([...left, ...[...moved].filter((id) => !view.hosts.has(id))])],
  };
}
