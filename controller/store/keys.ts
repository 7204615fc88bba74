/**
 * Where everything stands in the store, under `/weft/v1/`. **Objects** (`o/`) are what controllers watch. **Guards**
 * (`g/`) are keys whose mere existence is the invariant (this name is taken, this address is held); nobody watches
 * them, and their values say who holds them.
 */
import { parseIp, type IpAddress } from '../../core/address.js';
import {
  parseControllerId,
  parseEndpointId,
  parseHostId,
  parseNetworkId,
  type ControllerId,
  type EndpointId,
  type HostId,
  type NetworkId,
} from '../../core/ids.js';
import { nameKey } from '../../core/name.js';

/** The part of the store that is Weft's. */
export const ROOT = '/weft/v1/';

/** The prefix that controllers watch. */
export const OBJECTS = `${ROOT}o/`;

/** The prefix of everything that is only compared. */
export const GUARDS = `${ROOT}g/`;

/** What controllers stand for, one of whom cleans up: see election.ts. Nobody's object, and in no backup. */
export const LEADER = `${ROOT}l/leader`;

/** The prefix of what is only read when somebody asks: who held an address before. */
export const HISTORY = `${ROOT}h/addresses/`;

/** Prefixes of all objects of a kind. */
export const HOSTS = `${OBJECTS}hosts/`;
const NETWORKS = `${OBJECTS}networks/`;
const ENDPOINTS = `${OBJECTS}endpoints/`;
const RESTING = `${OBJECTS}resting/`;
const CONTROLLERS = `${OBJECTS}controllers/`;
export const ALIVE = `${OBJECTS}alive/`;
const GRACE = `${OBJECTS}grace/`;

/** Keys of objects. */
export const objectKey = {
  meta: (): string => `${OBJECTS}meta`,
  host: (id: HostId): string => HOSTS + segment(id),
  network: (id: NetworkId): string => NETWORKS + segment(id),
  endpoint: (network: NetworkId, id: EndpointId): string => endpointsOf(network) + segment(id),
  /** An address that is not chosen for a while after it was given back; `address` in its canonical text. */
  resting: (network: NetworkId, address: string): string => restingIn(network) + segment(address),
  /** One that serves the cluster: on its lease. */
  controller: (id: ControllerId): string => CONTROLLERS + segment(id),
  /** On the host's lease: its agent is heard from. */
  alive: (id: HostId): string => ALIVE + segment(id),
  /** With a time to live: for so long a host that is lost may come back to all that it had. */
  grace: (id: HostId): string => GRACE + segment(id),
} as const;

/** The prefix of a network's endpoints: while a key stands under it, the network is in use. */
export function endpointsOf(network: NetworkId): string {
  return `${ENDPOINTS}${segment(network)}/`;
}

/** The prefix of a network's resting addresses. */
export function restingIn(network: NetworkId): string {
  return `${RESTING}${segment(network)}/`;
}

/** The prefix of an address's earlier holders, in whichever network; `address` in its canonical text. */
export function historyOf(address: string): string {
  return `${HISTORY}${segment(address)}/`;
}

/** One earlier holder of an address. */
export function historyKey(holding: {
  readonly address: string;
  readonly networkId: NetworkId;
  readonly endpointId: EndpointId;
}): string {
  return `${historyOf(holding.address)}${segment(holding.networkId)}/${segment(holding.endpointId)}`;
}

/** What an earlier holder's key names; undefined: none that Weft wrote. */
export function parseHistoryKey(
  key: string,
): { readonly address: IpAddress; readonly networkId: NetworkId; readonly endpointId: EndpointId } | undefined {
  if (!key.startsWith(HISTORY)) return undefined;
  const [first = '', second = '', third = '', ...more] = key.slice(HISTORY.length).split('/');
  const address = parseIp(first);
  const networkId = parseNetworkId(second);
  const endpointId = parseEndpointId(third);
  if (address === undefined || networkId === undefined || endpointId === undefined || more.length > 0) return undefined;
  return { address, networkId, endpointId };
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
  /**
   * Written by whatever puts a sandbox on this network and another; compared by what changes the network's subnets, so
   * that no sandbox comes to be on two networks that overlap.
   */
  multihomed: (network: NetworkId): string => `${GUARDS}multihomed/${segment(network)}`,
  /** Compared and rewritten by every create that comes near a network's quota of endpoints, so that it is exact. */
  networkQuota: (network: NetworkId): string => `${GUARDS}quotas/network/${segment(network)}`,
  /** A host of this id was removed, and never comes back: it may have more in its kernel than anybody knows. */
  removedHost: (host: HostId): string => `${GUARDS}removed/hosts/${segment(host)}`,
  /** The same for a host's. */
  hostQuota: (host: HostId): string => `${GUARDS}quotas/host/${segment(host)}`,
  /** There once hosts were waited for long enough in this epoch, so that no controller that starts waits again. */
  epoch: (epoch: string): string => `${GUARDS}epochs/${segment(epoch)}`,
  /** Compared and rewritten by everything that chooses a subnet in this space, so that such choices are serial. */
  space: (space: string): string => `${GUARDS}spaces/${segment(space)}`,
} as const;

/** The prefix of the guards of a host's sandboxes: while a key stands under it, the host has endpoints. */
export function sandboxesOn(host: HostId): string {
  return `${GUARDS}sandboxes/${segment(host)}/`;
}

/** Steps of the path of each kind of guard, without the prefix: the kind, and how many steps follow it. */
const GUARD_SHAPE =
  /^(?:(?:names\/(?:network|host)|numbers\/host|removed\/hosts|quotas\/(?:network|host)|endpoints|vteps|vnis|multihomed|spaces|epochs)\/[^/]+|(?:addresses|macs|sandboxes)\/[^/]+\/[^/]+)$/;

/** Whether `key` is a guard of a kind that this Weft knows. */
export function isGuardKey(key: string): boolean {
  return key.startsWith(GUARDS) && GUARD_SHAPE.test(key.slice(GUARDS.length));
}

/** What an object's key names. */
export type ObjectRef =
  | { readonly kind: 'meta' }
  | { readonly kind: 'host'; readonly id: HostId }
  | { readonly kind: 'network'; readonly id: NetworkId }
  | { readonly kind: 'endpoint'; readonly networkId: NetworkId; readonly id: EndpointId }
  | { readonly kind: 'resting'; readonly networkId: NetworkId; readonly address: IpAddress }
  | { readonly kind: 'controller'; readonly id: ControllerId }
  | { readonly kind: 'alive'; readonly hostId: HostId }
  | { readonly kind: 'grace'; readonly hostId: HostId };

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
  if (kind === 'resting') {
    const networkId = parseNetworkId(first);
    const address = parseIp(second ?? '');
    return networkId === undefined || address === undefined ? undefined : { kind: 'resting', networkId, address };
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
  if (kind === 'controllers') {
    const id = parseControllerId(first);
    return id === undefined ? undefined : { kind: 'controller', id };
  }
  if (kind === 'alive' || kind === 'grace') {
    const hostId = parseHostId(first);
    return hostId === undefined ? undefined : { kind, hostId };
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
