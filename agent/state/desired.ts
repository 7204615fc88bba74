/**
 * What this host should run: the cluster's view, this host's sandboxes and its facts, made into networks and sandboxes.
 * Pure; drivers turn the outcome into kernel objects.
 */
import {
  contains,
  FAMILIES,
  familyOf,
  prefixLengthOf,
  type Cidr,
  type Family,
  type IpAddress,
} from '../../core/address.js';
import type { HostView, NetworkView } from '../../core/fold.js';
import type { EndpointId, HostId, NetworkId } from '../../core/ids.js';
import { routerMac, type Endpoint, type Network, type Problem } from '../../core/model.js';
import type { Mac } from '../../core/mac.js';
import { isOptionViolations, parseNetworkOptions } from '../../core/network-options.js';

/** What is true of this host whatever networks it has. */
export interface HostFacts {
  readonly hostId: HostId;
  readonly name: string;
  /** From the store: 1 to 65535. */
  readonly number: number;
  readonly vtep: IpAddress;
  /** Bytes, of the link that carries the tunnels. */
  readonly underlayMtu: number;
}

/** A sandbox as it is recorded here, as far as the state needs it. */
export interface LocalSandbox {
  readonly name: string;
  /** In order of attachment; the interface's name stays with the endpoint. */
  readonly attachments: readonly { readonly endpointId: EndpointId; readonly ifname: string }[];
}

/** An address as it is put on an interface. */
export interface InterfaceAddress {
  readonly ip: IpAddress;
  readonly prefixLength: number;
}

/** An endpoint in a sandbox of this host. */
export interface LocalEndpoint {
  readonly endpoint: Endpoint;
  readonly ifname: string;
  readonly addresses: readonly InterfaceAddress[];
  /** Gateways of its sandbox's default routes, for the families that this endpoint provides. */
  readonly defaultGateways: readonly IpAddress[];
  /** The ways to the network's other subnets, where no default route of this endpoint leads there. */
  readonly siblings: readonly { readonly cidr: Cidr; readonly gateway: IpAddress }[];
}

/** An endpoint of another host. */
export interface RemoteEndpoint {
  readonly endpointId: EndpointId;
  readonly addresses: readonly IpAddress[];
  readonly mac: Mac;
  readonly vtep: IpAddress;
}

/** The gateway of another host, which sends for its own sandboxes what goes from one subnet to another. */
export interface RemoteRouter {
  readonly mac: Mac;
  readonly vtep: IpAddress;
}

/** A network that has a sandbox here. */
export interface DesiredNetwork {
  readonly network: Network;
  /** What it was made from; the same object as long as nothing in the network changed. */
  readonly source: NetworkView;
  readonly mtu: number;
  readonly locals: readonly LocalEndpoint[];
  readonly remotes: readonly RemoteEndpoint[];
  /** None where there is nothing to route: one subnet to a family. */
  readonly routers: readonly RemoteRouter[];
}

/** A sandbox, and what its files say. */
export interface DesiredSandbox {
  readonly name: string;
  /** Gateways of its networks, in order of attachment: they answer its DNS queries. */
  readonly nameservers: readonly IpAddress[];
  /** Its own addresses, in order of attachment. */
  readonly addresses: readonly IpAddress[];
  /** Domains its resolver tries behind a name, in order. */
  readonly search: readonly string[];
  /** Its resolver's options: `ndots:1`. */
  readonly resolverOptions: readonly string[];
}

export interface DesiredState {
  readonly networks: ReadonlyMap<NetworkId, DesiredNetwork>;
  readonly sandboxes: ReadonlyMap<string, DesiredSandbox>;
  /** What is done otherwise than asked. Trying again would not help. */
  readonly notices: readonly Problem[];
}

/** Bytes VXLAN adds to a frame, by the underlay's family: outer IP and UDP headers, VXLAN's own, the inner Ethernet header. */
const VXLAN_OVERHEAD: Readonly<Record<Family, number>> = { 4: 50, 6: 70 };

/** The largest MTU a network can have on this host. */
export function largestMtu({ vtep, underlayMtu }: Pick<HostFacts, 'vtep' | 'underlayMtu'>): number {
  return underlayMtu - VXLAN_OVERHEAD[familyOf(vtep)];
}

/** Pure: what the host should run. Networks and endpoints that no sandbox here needs are left out. */
export function desiredState(view: HostView, local: readonly LocalSandbox[], facts: HostFacts): DesiredState {
  const notices: Problem[] = [];
  const joins = local.map((sandbox) => ({ sandbox, joined: joinsOf(sandbox, view, facts.hostId) }));
  const locals = new Map<NetworkId, LocalEndpoint[]>();
  for (const { joined } of joins) {
    const routed = new Set<Family>();
    for (const { endpoint, ifname, network } of joined) {
      const gateways = network.internal ? [] : gatewaysFor(endpoint, network, routed);
      for (const gateway of gateways) routed.add(familyOf(gateway));
      const addresses = endpoint.addresses.map((ip) => ({ ip, prefixLength: prefixLengthIn(network, ip) }));
      const ends = locals.get(network.id) ?? [];
      const siblings = siblingsOf(endpoint, network, gateways);
      ends.push({ endpoint, ifname, addresses, defaultGateways: gateways, siblings });
      locals.set(network.id, ends);
    }
  }
  const networks = new Map<NetworkId, DesiredNetwork>();
  for (const [id, ends] of locals) {
    const known = view.get(id);
    if (known === undefined) continue;
    networks.set(id, {
      network: known.network,
      source: known,
      mtu: mtuOf(known.network, facts, notices),
      locals: ends,
      remotes: remotesOf(known, facts, notices),
      routers: routersOf(known, facts),
    });
  }
  const sandboxes = new Map(joins.map(({ sandbox, joined }) => [sandbox.name, filesOf(sandbox.name, joined)]));
  return { networks, sandboxes, notices };
}

interface Join {
  readonly endpoint: Endpoint;
  readonly ifname: string;
  readonly network: Network;
}

/** The endpoints that are to be in the sandbox, in order of attachment. */
function joinsOf({ name, attachments }: LocalSandbox, view: HostView, hostId: HostId): Join[] {
  return attachments.flatMap(({ endpointId, ifname }) => {
    for (const { network, endpoints } of view.values()) {
      const endpoint = endpoints.get(endpointId);
      if (endpoint === undefined) continue;
      const isHere = endpoint.hostId === hostId && endpoint.sandbox === name && endpoint.state !== 'removing';
      return isHere ? [{ endpoint, ifname, network }] : [];
    }
    return [];
  });
}

/** Gateways of the families that have an address here and no default route yet. */
function gatewaysFor(endpoint: Endpoint, network: Network, routed: ReadonlySet<Family>): IpAddress[] {
  return FAMILIES.filter((family) => !routed.has(family)).flatMap(
    (family) => gatewayIn(endpoint, network, family) ?? [],
  );
}

/** The gateway of the subnet in which the endpoint has its address of this family. */
function gatewayIn(endpoint: Endpoint, network: Network, family: Family): IpAddress | undefined {
  const own = endpoint.addresses.find((ip) => familyOf(ip) === family);
  return own === undefined ? undefined : network.subnets.find(({ cidr }) => contains(cidr, own))?.gateway;
}

/** An internal network has no default route, and a sandbox's second network none of its own. */
function siblingsOf(
  endpoint: Endpoint,
  network: Network,
  defaultGateways: readonly IpAddress[],
): LocalEndpoint['siblings'] {
  const routed = new Set(defaultGateways.map(familyOf));
  return network.subnets.flatMap(({ cidr }) => {
    const family = familyOf(cidr);
    const gateway = routed.has(family) ? undefined : gatewayIn(endpoint, network, family);
    return gateway === undefined || endpoint.addresses.some((ip) => contains(cidr, ip)) ? [] : [{ cidr, gateway }];
  });
}

/** Gateways of hosts that a tunnel leads to. Nothing else ever comes from their MACs. */
function routersOf({ network, peers }: NetworkView, facts: HostFacts): RemoteRouter[] {
  const isRouted = FAMILIES.some(
    (family) => network.subnets.filter(({ cidr }) => familyOf(cidr) === family).length > 1,
  );
  if (!isRouted) return [];
  return [...peers.values()]
    .filter(({ hostId, vtep }) => hostId !== facts.hostId && familyOf(vtep) === familyOf(facts.vtep))
    .map(({ number, vtep }) => ({ mac: routerMac(number), vtep }));
}

function prefixLengthIn(network: Network, ip: IpAddress): number {
  const subnet = network.subnets.find(({ cidr }) => contains(cidr, ip));
  // The controller never chooses an address outside; were it so, the address alone would be on the link.
  return subnet === undefined ? (familyOf(ip) === 4 ? 32 : 128) : prefixLengthOf(subnet.cidr);
}

/** Endpoints of hosts that a tunnel leads to: from one address only to another of its family. */
function remotesOf({ network, endpoints, peers }: NetworkView, facts: HostFacts, notices: Problem[]): RemoteEndpoint[] {
  const remotes: RemoteEndpoint[] = [];
  const unreachable = new Set<IpAddress>();
  for (const { id, hostId: at, state, addresses, mac } of endpoints.values()) {
    const peer = at === facts.hostId || state === 'removing' ? undefined : peers.get(at);
    if (peer === undefined) continue;
    if (familyOf(peer.vtep) === familyOf(facts.vtep)) remotes.push({ endpointId: id, addresses, mac, vtep: peer.vtep });
    else unreachable.add(peer.vtep);
  }
  for (const vtep of unreachable) {
    notices.push({
      object: `${facts.name} network ${network.name}, tunnel to ${vtep}`,
      message: `no tunnel leads there from ${facts.vtep}; give both hosts tunnel addresses of one family, by --vtep`,
    });
  }
  return remotes;
}

function mtuOf(network: Network, facts: HostFacts, notices: Problem[]): number {
  const largest = largestMtu(facts);
  if (network.mtu === undefined || network.mtu <= largest) return network.mtu ?? largest;
  notices.push({
    object: `${facts.name} network ${network.name}, mtu`,
    message: `${String(network.mtu)} bytes do not fit the underlay's ${String(facts.underlayMtu)}; ${String(largest)} are used here`,
  });
  return largest;
}

function filesOf(name: string, joined: readonly Join[]): DesiredSandbox {
  const gateways = joined.flatMap(({ network }) => network.subnets.map(({ gateway }) => gateway));
  const addresses = joined.flatMap(({ endpoint }) => endpoint.addresses);
  const reachable = new Set(addresses.map(familyOf));
  return {
    name,
    nameservers: [...new Set(gateways.filter((gateway) => reachable.has(familyOf(gateway))))],
    addresses,
    ...resolverOf(joined.map(({ network }) => network)),
  };
}

/**
 * What a sandbox's networks say of its resolver: their search lists one after the other, and of an option that several
 * set, the first network's. Options that cannot be read, which no controller lets through, say nothing.
 */
function resolverOf(networks: readonly Network[]): Pick<DesiredSandbox, 'search' | 'resolverOptions'> {
  const search = new Set<string>();
  const options = new Map<string, string>();
  for (const network of networks) {
    const read = parseNetworkOptions(network.options);
    if (isOptionViolations(read)) continue;
    for (const domain of read.dnsSearch) search.add(domain);
    for (const option of read.dnsOptions) {
      const name = option.replace(/:.*/, '');
      if (!options.has(name)) options.set(name, option);
    }
  }
  return { search: [...search], resolverOptions: [...options.values()] };
}
