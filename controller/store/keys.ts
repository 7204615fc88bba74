/**
 * Where everything stands in the store, under `/weft/v1/`. **Objects** (`o/`) are what controllers watch. **Guards**
 * (`g/`) are keys whose mere existence is the invariant (this name is taken, this address is held); nobody watches
 * them, and their values say who holds them.
 */
import {
  parseEndpointId,
  parseHostId,
  parseNetworkId,
  type EndpointId,
  type HostId,
  type NetworkId,
} from '../../core/ids.js';
import { nameKey } from '../../core/name.js';

/** The part of the store that is Weft's. */
const ROOT = '/weft/v1/';

/** The prefix that controllers watch. */
export const OBJECTS = `${ROOT}o/`;

/** The prefix of everything that is only compared. */
export const GUARDS = `${ROOT}g/`;

/** Prefixes of all objects of a kind. */
const HOSTS = `${OBJECTS}hosts/`;
const NETWORKS = `${OBJECTS}networks/`;
const ENDPOINTS = `${OBJECTS}endpoints/`;

/** Keys of objects. */
export const objectKey = {
  meta: (): string => `${OBJECTS}meta`,
  host: (id: HostId): string => HOSTS + segment(id),
  network: (id: NetworkId): string => NETWORKS + segment(id),
  endpoint: (network: NetworkId, id: EndpointId): string => endpointsOf(network) + segment(id),
} as const;

/** The prefix of a network's endpoints: while a key stands under it, the network is in use. */
export function endpointsOf(network: NetworkId): string {
  return `${ENDPOINTS}${segment(network)}/`;
}

/** Keys of guards. Names are compared as DNS compares them, without case. */
export const guardKey = {
  networkName: (name: string): string => `${GUARDS}names/network/${segment(nameKey(name))}`,
  hostName: (name: string): string => `${GUARDS}names/host/${segment(nameKey(name))}`,
  /** A host's number in the cluster, which gateway MACs and marks are made of. */
  hostNumber: (number: number): string => `${GUARDS}numbers/host/${whole(number)}`,
  /** An address in a network; `address` in its canonical text. */
  address: (network: NetworkId, address: string): string =>
    `${GUARDS}addresses/${segment(network)}/${segment(address)}`,
  /** An endpoint's id, which stands under its network: without this, two networks could each take one of the same id. */
  endpoint: (id: EndpointId): string => `${GUARDS}endpoints/${segment(id)}`,
  mac: (network: NetworkId, mac: string): string => `${GUARDS}macs/${segment(network)}/${segment(mac)}`,
  /** A host's tunnel address; `ip` in its canonical text. */
  vtep: (ip: string): string => `${GUARDS}vteps/${segment(ip)}`,
  vni: (vni: number): string => `${GUARDS}vnis/${whole(vni)}`,
  /**
   * Compared and rewritten by everything that changes a sandbox's endpoints, so that such changes are serial: two that
   * arrive together could connect it to one network twice, or to two networks that overlap. Goes with the last endpoint.
   */
  sandbox: (host: HostId, name: string): string => `${GUARDS}sandboxes/${segment(host)}/${segment(nameKey(name))}`,
  /** Compared and rewritten by everything that chooses a subnet in this space, so that such choices are serial. */
  space: (space: string): string => `${GUARDS}spaces/${segment(space)}`,
} as const;

/** What an object's key names. */
export type ObjectRef =
  | { readonly kind: 'meta' }
  | { readonly kind: 'host'; readonly id: HostId }
  | { readonly kind: 'network'; readonly id: NetworkId }
  | { readonly kind: 'endpoint'; readonly networkId: NetworkId; readonly id: EndpointId };

/** What `key` names; undefined for guards, for keys of others, and for kinds that a newer Weft may have added. */
export function parseObjectKey(key: string): ObjectRef | undefined {
  if (key === objectKey.meta()) return { kind: 'meta' };
  if (!key.startsWith(OBJECTS)) return undefined;
  const [kind, first = '', second, ...more] = key.slice(OBJECTS.length).split('/');
  if (more.length > 0) return undefined;
  if (kind === 'endpoints') {
    const networkId = parseNetworkId(first);
    const id = parseEndpointId(second ?? '');
    return networkId === undefined || id === undefined ? undefined : { kind: 'endpoint', networkId, id };
  }
  if (second !== undefined) return undefined;
  if (kind === 'hosts') {
    const id = parseHostId(first);
    return id === undefined ? undefined : { kind: 'host', id };
  }
  if (kind === 'networks') {
    const id = parseNetworkId(first);
    return id === undefined ? undefined : { kind: 'network', id };
  }
  return undefined;
}

/** One step of a key's path. Whatever would reach into another part of the tree is the caller's mistake. */
function segment(text: string): string {
  if (text === '' || text.includes('/')) throw new RangeError(`not one step of a key: ${JSON.stringify(text)}`);
  return text;
}

function whole(number: number): string {
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`not a whole number: ${String(number)}`);
  return String(number);
}
