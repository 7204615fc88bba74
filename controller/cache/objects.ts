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
import type { EndpointId, NetworkId } from '../../core/ids.js';
import { StoredResting } from '../../proto/gen/weft/v1/stored.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { objectKey, parseObjectKey } from '../store/keys.js';
import type { KeyValue, Put } from '../store/store.js';

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
  | { readonly kind: 'resting'; readonly value: Resting };

/** An address that nobody holds, and that is not chosen for a while. */
export interface Resting {
  readonly networkId: NetworkId;
  readonly address: IpAddress;
  readonly revision: bigint;
}

/** What to write for a network. */
export function putNetwork(network: Network): Put {
  const message = encodeNetwork({ ...network, revision: 0n });
  return { key: objectKey.network(network.id), value: encoded(NetworkMessage, message) };
}

/** What to write for an endpoint. */
export function putEndpoint(endpoint: Endpoint): Put {
  const message = encodeEndpoint(endpoint);
  message.revision = 0n;
  message.createRevision = 0n;
  return { key: objectKey.endpoint(endpoint.networkId, endpoint.id), value: encoded(EndpointMessage, message) };
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
    default:
      return undefined;
  }
}
