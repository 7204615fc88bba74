/** Objects as the store holds them: their own wire messages without `revision`, which is the store's to give. */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  decodeEndpoint,
  decodeHost,
  decodeNetwork,
  encodeEndpoint,
  encodeHost,
  encodeNetwork,
} from '../../proto/codec.js';
import { Endpoint as EndpointMessage } from '../../proto/gen/weft/v1/endpoint.js';
import { Host as HostMessage } from '../../proto/gen/weft/v1/host.js';
import { Network as NetworkMessage } from '../../proto/gen/weft/v1/network.js';
import type { IpAddress } from '../../core/address.js';
import { parseControllerId, type ControllerId, type EndpointId, type HostId, type NetworkId } from '../../core/ids.js';
import { StoredAlive, StoredController, StoredResting } from '../../proto/gen/weft/v1/stored.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { objectKey, parseObjectKey } from '../store/keys.js';
import type { KeyValue, Lease, Put } from '../store/store.js';

/** For all values: it keeps its buffer from one to the next. */
let writer = new BinaryWriter();

function encoded<Message>(
  codec: { readonly encode: (message: Message, into: BinaryWriter) => BinaryWriter },
  message: Message,
): Uint8Array {
  try {
    return codec.encode(message, writer).finish();
  } catch (error) {
    // What was written of this must not become part of the next.
    writer = new BinaryWriter();
    throw error;
  }
}

/** An object of the cluster, by its kind. */
export type ClusterObject =
  | { readonly kind: 'network'; readonly value: Network }
  | { readonly kind: 'endpoint'; readonly value: Endpoint }
  | { readonly kind: 'host'; readonly value: Host }
  | { readonly kind: 'resting'; readonly value: Resting }
  | { readonly kind: 'controller'; readonly value: Controller }
  | { readonly kind: 'alive'; readonly value: Alive }
  | { readonly kind: 'grace'; readonly value: Grace };

/** An address that nobody holds, and that is not chosen for a while. */
export interface Resting {
  readonly networkId: NetworkId;
  readonly address: IpAddress;
  readonly revision: bigint;
}

/** A controller that serves the cluster. */
export interface Controller {
  readonly id: ControllerId;
  readonly name: string;
  /** Where others and clients reach it, as `host:port`. */
  readonly address: string;
  readonly version: string;
  /** Milliseconds since 1970, by its own clock; for display. */
  readonly startTimeMs: number;
  readonly revision: bigint;
}

/** A host whose agent is heard from. */
export interface Alive {
  readonly hostId: HostId;
  /** Of its agent's stream. */
  readonly session: string;
  /** Where that is. */
  readonly controllerId: ControllerId;
  /** The store's lease that the key is on. */
  readonly leaseId: string;
  readonly revision: bigint;
}

/** A host that is lost has this long to come back. */
export interface Grace {
  readonly hostId: HostId;
  readonly revision: bigint;
}

/** What to write for a network. */
export function putNetwork(network: Network): Put {
  const message = encodeNetwork({ ...network, revision: 0n });
  return { key: objectKey.network(network.id), value: encoded(NetworkMessage, message) };
}

/** What to write for an endpoint, beside what it was made of: see Foreseen. */
export interface EndpointPut extends Put {
  readonly endpoint: Endpoint;
}

export function isEndpointPut(put: Put): put is EndpointPut {
  return 'endpoint' in put;
}

/** What to write for an endpoint. */
export function putEndpoint(endpoint: Endpoint): EndpointPut {
  const message = encodeEndpoint(endpoint);
  message.revision = 0n;
  message.createRevision = 0n;
  return {
    key: objectKey.endpoint(endpoint.networkId, endpoint.id),
    value: encoded(EndpointMessage, message),
    endpoint,
  };
}

/** What to write for a host. */
export function putHost(host: Host): Put {
  const message = encodeHost({ ...host, revision: 0n });
  return { key: objectKey.host(host.id), value: encoded(HostMessage, message) };
}

/** What to write for an address that is given back: it rests for so many milliseconds. */
export function putResting(
  resting: Pick<Resting, 'networkId' | 'address'> & { readonly endpointId: EndpointId },
  ttlMs: number,
): Put {
  const { networkId, address, endpointId } = resting;
  return { key: objectKey.resting(networkId, address), value: encoded(StoredResting, { endpointId }), ttlMs };
}

/** What to write for a controller: there for as long as its lease. */
export function putController(controller: Omit<Controller, 'revision'>, lease: Lease): Put {
  const { startTimeMs, ...rest } = controller;
  const value = encoded(StoredController, { ...rest, startTime: new Date(startTimeMs) });
  return { key: objectKey.controller(controller.id), value, lease };
}

/** What to write for a host that is heard from: there for as long as its lease. */
export function putAlive({ hostId, session, controllerId }: Omit<Alive, 'revision' | 'leaseId'>, lease: Lease): Put {
  const value = encoded(StoredAlive, { session, controllerId, leaseId: lease.id });
  return { key: objectKey.alive(hostId), value, lease };
}

/** What to write for a host that is lost: it has so many milliseconds to come back. */
export function putGrace(hostId: HostId, ttlMs: number): Put {
  return { key: objectKey.grace(hostId), value: new Uint8Array(), ttlMs };
}

/** A stored value that no Weft wrote, or that stands under another object's key. */
class MalformedObject extends Error {
  override readonly name = 'MalformedObject';
}

/**
 * The object in `entry`; undefined for keys that hold none (meta, and kinds of a newer Weft). Throws MalformedObject,
 * or what decoding throws, for a value that cannot be read.
 */
export function readObject(entry: KeyValue): ClusterObject | undefined {
  const ref = parseObjectKey(entry.key);
  const { modRevision: revision, value } = entry;
  switch (ref?.kind) {
    case 'network': {
      const network = { ...decodeNetwork(NetworkMessage.decode(value)), revision };
      if (network.id !== ref.id) throw new MalformedObject(`holds network ${network.id}`);
      return { kind: 'network', value: network };
    }
    case 'endpoint': {
      const endpoint = {
        ...decodeEndpoint(EndpointMessage.decode(value)),
        revision,
        createRevision: entry.createRevision,
      };
      if (endpoint.id !== ref.id || endpoint.networkId !== ref.networkId) {
        throw new MalformedObject(`holds endpoint ${endpoint.id} of network ${endpoint.networkId}`);
      }
      return { kind: 'endpoint', value: endpoint };
    }
    case 'host': {
      const host = { ...decodeHost(HostMessage.decode(value)), revision };
      if (host.id !== ref.id) throw new MalformedObject(`holds host ${host.id}`);
      return { kind: 'host', value: host };
    }
    case 'resting':
      // That the key is there is all there is to know: one whose value nobody can read rests all the same.
      return { kind: 'resting', value: { networkId: ref.networkId, address: ref.address, revision } };
    case 'controller': {
      const { name, address, version, startTime, id } = StoredController.decode(value);
      if (id !== ref.id) throw new MalformedObject(`holds controller ${id}`);
      const controller = { id: ref.id, name, address, version, startTimeMs: startTime?.getTime() ?? 0, revision };
      return { kind: 'controller', value: controller };
    }
    case 'alive': {
      const { session, controllerId: text, leaseId } = StoredAlive.decode(value);
      const controllerId = parseControllerId(text);
      if (controllerId === undefined) throw new MalformedObject('names no controller');
      return { kind: 'alive', value: { hostId: ref.hostId, session, controllerId, leaseId, revision } };
    }
    case 'grace':
      return { kind: 'grace', value: { hostId: ref.hostId, revision } };
    default:
      return undefined;
  }
}
