/** For tests: what a host knows, written in few words. */
import { parseCidr, parseIp } from '../../core/address.js';
import type { HostView, NetworkView } from '../../core/fold.js';
import { parseEndpointId, parseHostId, parseNetworkId, type HostId, type NetworkId } from '../../core/ids.js';
import { parseMac } from '../../core/mac.js';
import type { Endpoint, EndpointState, Labels, Network, Subnet } from '../../core/model.js';

export interface TestEndpoint {
  readonly sandbox: string;
  readonly addresses: readonly string[];
  readonly aliases?: readonly string[];
  readonly state?: EndpointState;
  /** The host's number; 1 where not given. */
  readonly host?: number;
}

export interface TestNetwork {
  readonly name: string;
  /** `CIDR GATEWAY` each. */
  readonly subnets: readonly string[];
  readonly endpoints: readonly TestEndpoint[];
  readonly options?: Labels;
}

/** A literal's value, certainly. */
function certain<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a literal of a test is wrong');
  return value;
}

const uuid = (kind: number, number: number): string =>
  `0000000${String(kind)}-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;

/** The id of the network that stands at this place, from 1. */
export const networkId = (number: number): NetworkId => certain(parseNetworkId(uuid(1, number)));

/** The id of the host with this number. */
export const hostId = (number: number): HostId => certain(parseHostId(uuid(3, number)));

/** A view of these networks, with ids by their places. */
export function viewOf(...networks: readonly TestNetwork[]): HostView {
  return new Map(networks.map((network, index) => [networkId(index + 1), networkViewOf(network, index + 1)]));
}

function networkViewOf({ name, subnets, endpoints, options = {} }: TestNetwork, number: number): NetworkView {
  const network: Network = {
    id: networkId(number),
    name,
    driver: 'overlay',
    vni: 4096 + number,
    subnets: subnets.map(subnetOf),
    internal: false,
    mtu: undefined,
    labels: {},
    options,
    revision: 42n,
    requestId: '',
    createTimeMs: 0,
  };
  const made = endpoints.map((endpoint, index) => endpointOf(endpoint, number, index + 1));
  const peers = made.map(({ hostId }) => [hostId, { hostId, vtep: certain(parseIp('192.0.2.1')), number: 1 }] as const);
  return { network, endpoints: new Map(made.map((endpoint) => [endpoint.id, endpoint])), peers: new Map(peers) };
}

function subnetOf(text: string): Subnet {
  const [cidr = '', gateway = ''] = text.split(' ');
  return {
    cidr: certain(parseCidr(cidr)),
    gateway: certain(parseIp(gateway)),
    ipRange: undefined,
    auxAddresses: {},
  };
}

function endpointOf(endpoint: TestEndpoint, network: number, number: number): Endpoint {
  return {
    id: certain(parseEndpointId(uuid(2, network * 1000 + number))),
    networkId: networkId(network),
    hostId: hostId(endpoint.host ?? 1),
    sandbox: endpoint.sandbox,
    name: endpoint.sandbox,
    aliases: endpoint.aliases ?? [],
    addresses: endpoint.addresses.map((text) => certain(parseIp(text))),
    mac: certain(parseMac('02:00:00:00:00:01')),
    labels: {},
    state: endpoint.state ?? 'ready',
    revision: 42n,
    requestId: '',
    createRevision: 42n,
    createTimeMs: 0,
  };
}
