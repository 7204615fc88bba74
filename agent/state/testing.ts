/** For tests: networks, endpoints and views, made from small numbers. */
import { fold, type HostView, type Snapshot } from '../../core/fold.js';
import { parseCidr, parseIp, type Cidr, type IpAddress } from '../../core/address.js';
import {
  parseEndpointId,
  parseHostId,
  parseNetworkId,
  type EndpointId,
  type HostId,
  type NetworkId,
} from '../../core/ids.js';
import { parseMac } from '../../core/mac.js';
import type { Endpoint, EndpointState, Network, Peer } from '../../core/model.js';
import type { LocalSandbox } from './desired.js';

/** The value of a test's literal. */
export function certain<T>(text: string, value: T | undefined): T {
  if (value === undefined) throw new Error(`a test's literal is wrong: ${text}`);
  return value;
}

const ip = (text: string): IpAddress => certain(text, parseIp(text));
const cidr = (text: string): Cidr => certain(text, parseCidr(text));
const uuid = (kind: number, number: number): string =>
  `${String(number).padStart(8, '0')}-000${String(kind)}-4000-8000-000000000000`;

export const hostId = (number: number): HostId => certain('host', parseHostId(uuid(1, number)));
export const networkId = (number: number): NetworkId => certain('network', parseNetworkId(uuid(2, number)));
const endpointId = (number: number): EndpointId => certain('endpoint', parseEndpointId(uuid(3, number)));

/** A dual-stack network: 10.N.0.0/24 and fd00:N::/64, its VNI 1000 + N. */
export function testNetwork(number: number, changes: Partial<Network> = {}): Network {
  const n = String(number);
  const subnet = (text: string, gateway: string) => ({
    cidr: cidr(text),
    gateway: ip(gateway),
    ipRange: undefined,
    auxAddresses: {},
  });
  return {
    id: networkId(number),
    name: `net${n}`,
    driver: 'overlay',
    vni: 1000 + number,
    subnets: [subnet(`10.${n}.0.0/24`, `10.${n}.0.1`), subnet(`fd00:${n}::/64`, `fd00:${n}::1`)],
    internal: false,
    mtu: undefined,
    labels: {},
    options: {},
    revision: 1n,
    requestId: 'test',
    createTimeMs: 0,
    ...changes,
  };
}

/** Endpoint E of network N: 10.N.0.(10+E), fd00:N::(the same digits), MAC 02:00:00:00:N:(the same digits). */
export function testEndpoint(options: {
  network: number;
  endpoint: number;
  host: number;
  sandbox: string;
  state?: EndpointState;
}): Endpoint {
  const { network, endpoint, host, sandbox, state = 'pending' } = options;
  const [n, e] = [String(network), String(10 + endpoint)];
  const mac = `02:00:00:00:${n.padStart(2, '0')}:${e}`;
  return {
    id: endpointId(network * 100 + endpoint),
    networkId: networkId(network),
    hostId: hostId(host),
    sandbox,
    name: sandbox,
    aliases: [],
    addresses: [ip(`10.${n}.0.${e}`), ip(`fd00:${n}::${e}`)],
    mac: certain(mac, parseMac(mac)),
    labels: {},
    state,
    revision: 1n,
    requestId: 'test',
    createRevision: 1n,
    createTimeMs: 0,
  };
}

/** Host N at 192.0.2.N. */
export function testPeer(number: number): Peer {
  return { hostId: hostId(number), vtep: ip(`192.0.2.${String(number)}`), number };
}

/** What a host is told of the state: networks with an endpoint of its own. */
export function viewOf(
  host: number,
  state: { networks: readonly Network[]; endpoints: readonly Endpoint[]; peers: readonly Peer[] },
): HostView {
  const frames = state.networks.flatMap((network): Snapshot[] => {
    const own = state.endpoints.filter((endpoint) => endpoint.networkId === network.id);
    const concerns = own.some((endpoint) => endpoint.hostId === hostId(host));
    return concerns ? [{ kind: 'snapshot', network, endpoints: own, peers: state.peers }] : [];
  });
  return fold(new Map(), frames);
}

/** The records of a host's sandboxes: those that its endpoints name, and `others`. */
export function sandboxesOf(
  host: number,
  endpoints: readonly Endpoint[],
  others: readonly string[] = [],
): LocalSandbox[] {
  const here = endpoints.filter((endpoint) => endpoint.hostId === hostId(host));
  const names = new Set([...here.map(({ sandbox }) => sandbox), ...others]);
  return [...names].map((name) => ({
    name,
    attachments: here
      .filter((endpoint) => endpoint.sandbox === name)
      .map(({ id }, at) => ({ endpointId: id, ifname: `eth${String(at)}` })),
  }));
}
