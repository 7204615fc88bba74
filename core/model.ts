/** The cluster's objects, as every part of Weft speaks of them once they have been parsed. */
import type { Cidr, IpAddress } from './address.js';
import type { EndpointId, HostId, NetworkId } from './ids.js';
import type { Mac } from './mac.js';

export type Labels = Readonly<Record<string, string>>;

/** How hosts join a network. */
export type DriverName = 'overlay';

export interface Subnet {
  readonly cidr: Cidr;
  /** Answered by the bridge on every host. */
  readonly gateway: IpAddress;
  /** Where addresses are chosen from; the whole subnet where undefined. */
  readonly ipRange: Cidr | undefined;
  /** Addresses kept for others, by name. */
  readonly auxAddresses: Readonly<Record<string, IpAddress>>;
}

export interface Network {
  readonly id: NetworkId;
  readonly name: string;
  readonly driver: DriverName;
  readonly vni: number;
  /** At least one; subnets of one network do not overlap. */
  readonly subnets: readonly Subnet[];
  /** Its sandboxes get no default route. */
  readonly internal: boolean;
  /** Bytes; undefined: derived on each host from the underlay's route. */
  readonly mtu: number | undefined;
  readonly labels: Labels;
  /** Driver options as given. */
  readonly options: Labels;
  /** The store's revision of its last change. */
  readonly revision: bigint;
  /** The request that made its last change. */
  readonly requestId: string;
  /** Milliseconds since 1970, by the clock of the controller that made it; for display. */
  readonly createTimeMs: number;
}

/** `pending`: recorded, not attached. `ready`: in its host's kernel. `removing`: to be taken out; addresses still held. */
export type EndpointState = 'pending' | 'ready' | 'removing';

export interface Endpoint {
  readonly id: EndpointId;
  readonly networkId: NetworkId;
  readonly hostId: HostId;
  /** The sandbox's name on its host. */
  readonly sandbox: string;
  /** The name it answers to in the network's DNS. */
  readonly name: string;
  readonly aliases: readonly string[];
  /** At most one of each family. */
  readonly addresses: readonly IpAddress[];
  readonly mac: Mac;
  readonly labels: Labels;
  readonly state: EndpointState;
  readonly revision: bigint;
  readonly requestId: string;
  /** The store's revision at which it was made. */
  readonly createRevision: bigint;
  /** Milliseconds since 1970, by the clock of the controller that made it; for display. */
  readonly createTimeMs: number;
}

export type HostAvailability = 'active' | 'drained' | 'removed';
export type HostAbsence = 'none' | 'lost' | 'fenced';

/** What a host has before anything happened to it. */
export const PRESENT = { availability: 'active', incarnation: 1, absence: 'none' } as const satisfies Partial<Host>;

export interface Host {
  readonly id: HostId;
  readonly name: string;
  /** Its tunnel address on the underlay. */
  readonly vtep: IpAddress;
  /** 1 to 65535, stable. Its router MAC in each network comes from it. */
  readonly number: number;
  readonly version: string;
  /** Where its own interfaces and routes lead, Weft's not among them. */
  readonly prefixes: readonly Cidr[];
  /** The last epoch in which it said what it runs; empty: it has not been asked yet. */
  readonly declaredEpoch: string;
  /** `drained`: no new endpoints come to be on it. `removed`: it goes, for good. */
  readonly availability: HostAvailability;
  /** From 1; one more each time it is fenced. */
  readonly incarnation: number;
  /** `lost`: missed, and given time to come back. `fenced`: nobody listens to it any more. */
  readonly absence: HostAbsence;
  readonly revision: bigint;
}

/** A host as its peers need to know it. */
export interface Peer {
  readonly hostId: HostId;
  readonly vtep: IpAddress;
  readonly number: number;
}

/** One thing a host could not do, and what the kernel said of it. */
export interface Problem {
  readonly object: string;
  readonly message: string;
}

/** Router MACs are `02:57:46:00:` and the host's number; no endpoint may have one. */
export const ROUTER_MAC_PREFIX = '02:57:46:00:';

/** The MAC of a host's bridge in every network: unique per host, so that it doubles as the host's router MAC. */
export function routerMac(hostNumber: number): Mac {
  const hex = hostNumber.toString(16).padStart(4, '0');
  return `${ROUTER_MAC_PREFIX}${hex.slice(0, 2)}:${hex.slice(2)}` as Mac;
}
