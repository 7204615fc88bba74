/**
 * The wire's messages and the model, one from the other. Reading validates: whatever comes out of a `decode` function
 * is a valid model object, whoever sent the message.
 */
import { parseCidr, parseIp, type Cidr, type IpAddress } from '../core/address.js';
import type { Change } from '../core/fold.js';
import { parseEndpointId, parseHostId, parseNetworkId } from '../core/ids.js';
import { parseMac } from '../core/mac.js';
import {
  PRESENT,
  type Endpoint,
  type EndpointState,
  type Host,
  type HostAbsence,
  type HostAvailability,
  type Network,
  type Peer,
  type Subnet,
} from '../core/model.js';
import { isName } from '../core/name.js';
import type { NetworkChange, NetworkDrop, Peer as PeerMessage } from './gen/weft/v1/agent_sync.js';
import { EndpointState as WireState, type Endpoint as EndpointMessage } from './gen/weft/v1/endpoint.js';
import {
  HostAbsence as WireAbsence,
  HostAvailability as WireAvailability,
  HostState,
  type Host as HostMessage,
} from './gen/weft/v1/host.js';
import type { Network as NetworkMessage, Subnet as SubnetMessage } from './gen/weft/v1/network.js';

/** A message that no correct peer sends. `field` is its path. */
export class WireError extends Error {
  override readonly name = 'WireError';
  constructor(
    readonly field: string,
    value: unknown,
  ) {
    super(`${field}: ${JSON.stringify(String(value))} is not valid`);
  }
}

export function encodeNetwork(network: Network): NetworkMessage {
  return {
    ...network,
    subnets: network.subnets.map(encodeSubnet),
    mtu: network.mtu ?? 0,
    labels: { ...network.labels },
    options: { ...network.options },
    usage: undefined,
    createTime: encodeTime(network.createTimeMs),
  };
}

function encodeSubnet({ cidr, gateway, ipRange, auxAddresses }: Subnet): SubnetMessage {
  return { cidr, gateway, ipRange: ipRange ?? '', auxAddresses: { ...auxAddresses }, usage: undefined };
}

/** Throws WireError. */
export function decodeNetwork(message: NetworkMessage): Network {
  const { name, driver, vni, internal, labels, options, revision, requestId } = message;
  if (driver !== 'overlay') throw new WireError('network.driver', driver);
  if (vni < 1 || vni >= 2 ** 24) throw new WireError('network.vni', vni);
  if (!isName(name)) throw new WireError('network.name', name);
  return {
    id: need('network.id', message.id, parseNetworkId),
    name,
    driver,
    vni,
    subnets: message.subnets.map(decodeSubnet),
    internal,
    mtu: message.mtu === 0 ? undefined : message.mtu,
    labels,
    options,
    revision,
    requestId,
    createTimeMs: decodeTime(message.createTime),
  };
}

function decodeSubnet(message: SubnetMessage): Subnet {
  return {
    cidr: need('network.subnets.cidr', message.cidr, parseCidr),
    gateway: need('network.subnets.gateway', message.gateway, parseIp),
    ipRange: message.ipRange === '' ? undefined : need<Cidr>('network.subnets.ip_range', message.ipRange, parseCidr),
    auxAddresses: Object.fromEntries(
      Object.entries(message.auxAddresses).map(([name, text]): [string, IpAddress] => [
        name,
        need('network.subnets.aux_addresses', text, parseIp),
      ]),
    ),
  };
}

const WIRE_STATE: Readonly<Record<EndpointState, WireState>> = {
  pending: WireState.ENDPOINT_STATE_PENDING,
  ready: WireState.ENDPOINT_STATE_READY,
  removing: WireState.ENDPOINT_STATE_REMOVING,
};

/** Field by field: an object that is put together from others costs several times as much, on every create. */
export function encodeEndpoint(endpoint: Endpoint): EndpointMessage {
  return {
    id: endpoint.id,
    networkId: endpoint.networkId,
    hostId: endpoint.hostId,
    sandbox: endpoint.sandbox,
    name: endpoint.name,
    aliases: [...endpoint.aliases],
    addresses: [...endpoint.addresses],
    mac: endpoint.mac,
    labels: { ...endpoint.labels },
    state: WIRE_STATE[endpoint.state],
    revision: endpoint.revision,
    requestId: endpoint.requestId,
    createRevision: endpoint.createRevision,
    createTime: encodeTime(endpoint.createTimeMs),
  };
}

/** Throws WireError. */
export function decodeEndpoint(message: EndpointMessage): Endpoint {
  const { sandbox, name, aliases, labels, revision, createRevision, requestId } = message;
  for (const text of [sandbox, name, ...aliases]) if (!isName(text)) throw new WireError('endpoint.name', text);
  return {
    id: need('endpoint.id', message.id, parseEndpointId),
    networkId: need('endpoint.network_id', message.networkId, parseNetworkId),
    hostId: need('endpoint.host_id', message.hostId, parseHostId),
    sandbox,
    name,
    aliases,
    addresses: message.addresses.map((text) => need('endpoint.addresses', text, parseIp)),
    mac: need('endpoint.mac', message.mac, parseMac),
    labels,
    state: decodeState(message.state),
    revision,
    requestId,
    createRevision,
    createTimeMs: decodeTime(message.createTime),
  };
}

function decodeState(wire: WireState): EndpointState {
  switch (wire) {
    case WireState.ENDPOINT_STATE_PENDING:
      return 'pending';
    case WireState.ENDPOINT_STATE_READY:
      return 'ready';
    case WireState.ENDPOINT_STATE_REMOVING:
      return 'removing';
    default:
      throw new WireError('endpoint.state', wire);
  }
}

/** The host as it is stored; what only a running controller knows (state, acked revision, problems) is left empty. */
const WIRE_AVAILABILITY: Readonly<Record<HostAvailability, WireAvailability>> = {
  active: WireAvailability.HOST_AVAILABILITY_ACTIVE,
  drained: WireAvailability.HOST_AVAILABILITY_DRAINED,
  removed: WireAvailability.HOST_AVAILABILITY_REMOVED,
};

const WIRE_ABSENCE: Readonly<Record<HostAbsence, WireAbsence>> = {
  none: WireAbsence.HOST_ABSENCE_NONE,
  lost: WireAbsence.HOST_ABSENCE_LOST,
  fenced: WireAbsence.HOST_ABSENCE_FENCED,
};

/** What the wire's value stands for; `unsaid` where it says nothing. Throws WireError. */
function decodeWord<Word extends string>(
  field: string,
  wire: number,
  { words, unsaid }: { readonly words: Readonly<Record<Word, number>>; readonly unsaid: Word },
): Word {
  if (wire === 0) return unsaid;
  for (const word in words) if (words[word] === wire) return word;
  throw new WireError(field, wire);
}

export function encodeHost({ prefixes, availability, absence, ...host }: Host): HostMessage {
  return {
    ...host,
    availability: WIRE_AVAILABILITY[availability],
    absence: WIRE_ABSENCE[absence],
    prefixes: [...prefixes],
    state: HostState.HOST_STATE_UNSPECIFIED,
    ackedRevision: 0n,
    problems: [],
  };
}

/** Throws WireError. */
export function decodeHost(message: HostMessage): Host {
  const { name, number, version, declaredEpoch, revision, incarnation } = message;
  if (!isName(name)) throw new WireError('host.name', name);
  return {
    id: need('host.id', message.id, parseHostId),
    name,
    vtep: need('host.vtep', message.vtep, parseIp),
    number: hostNumber('host.number', number),
    version,
    prefixes: message.prefixes.map((text) => need('host.prefixes', text, parseCidr)),
    declaredEpoch,
    availability: decodeWord('host.availability', message.availability, {
      ...{ words: WIRE_AVAILABILITY, unsaid: PRESENT.availability },
    }),
    // Of a host that was written before there were any.
    incarnation: incarnation === 0 ? PRESENT.incarnation : incarnation,
    absence: decodeWord('host.absence', message.absence, { words: WIRE_ABSENCE, unsaid: PRESENT.absence }),
    revision,
  };
}

export function encodePeer({ hostId, vtep, number }: Peer): PeerMessage {
  return { hostId, vtep, number };
}

/** Throws WireError. */
export function decodePeer(message: PeerMessage): Peer {
  return {
    hostId: need('peer.host_id', message.hostId, parseHostId),
    vtep: need('peer.vtep', message.vtep, parseIp),
    number: hostNumber('peer.number', message.number),
  };
}

/** Throws WireError. */
export function decodeChange(message: NetworkChange): Change {
  return {
    kind: 'change',
    networkId: need('change.network_id', message.networkId, parseNetworkId),
    network: message.network === undefined ? undefined : decodeNetwork(message.network),
    putEndpoints: message.putEndpoints.map(decodeEndpoint),
    dropEndpoints: message.dropEndpointIds.map((id) => need('change.drop_endpoint_ids', id, parseEndpointId)),
    putPeers: message.putPeers.map(decodePeer),
    dropPeers: message.dropPeerHostIds.map((id) => need('change.drop_peer_host_ids', id, parseHostId)),
  };
}

/** Throws WireError. */
export function decodeDrop(message: NetworkDrop): Change {
  return { kind: 'drop', networkId: need('drop.network_id', message.networkId, parseNetworkId) };
}

/** The start of 1970 stands for a time that is not known. */
function encodeTime(ms: number): Date | undefined {
  return ms === 0 ? undefined : new Date(ms);
}

function decodeTime(time: Date | undefined): number {
  return time?.getTime() ?? 0;
}

function hostNumber(field: string, number: number): number {
  if (number < 1 || number > 0xffff) throw new WireError(field, number);
  return number;
}

function need<T>(field: string, text: string, parse: (text: string) => T | undefined): T {
  const value = parse(text);
  if (value === undefined) throw new WireError(field, text);
  return value;
}
