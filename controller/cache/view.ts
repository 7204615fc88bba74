/**
 * The cluster as it was at one revision, indexed by what the rules ask for. Rules read it within one synchronous step,
 * so it is kept up to date in place: bringing it forward costs what changed, not what there is.
 */
import { familyOf, ipToNumber, type Family, type IpAddress } from '../../core/address.js';
import type { ControllerId, EndpointId, HostId, NetworkId } from '../../core/ids.js';
import type { Mac } from '../../core/mac.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { nameKey } from '../../core/name.js';
import { AddressSet, type Occupied } from './address-set.js';
import { Grouped } from './grouped.js';
import { Handfuls } from './handfuls.js';
import { LabelIndex, type Labelled } from './label-index.js';
import type { Alive, ClusterObject, Controller, Grace, Resting } from './objects.js';

/** The cluster, to read. */
export interface View {
  readonly revision: bigint;
  readonly networks: ReadonlyMap<NetworkId, Network>;
  readonly endpoints: ReadonlyMap<EndpointId, Endpoint>;
  readonly hosts: ReadonlyMap<HostId, Host>;
  /** Controllers that serve the cluster. */
  readonly controllers: ReadonlyMap<ControllerId, Controller>;
  /** Hosts whose agents are heard from. */
  readonly alive: ReadonlyMap<HostId, Alive>;
  /** Lost hosts whose time to come back is not over. */
  readonly graces: ReadonlyMap<HostId, Grace>;
  /** Hosts that nobody listens to any more. */
  readonly fenced: ReadonlySet<HostId>;
  networkNamed(name: string): Network | undefined;
  hostNamed(name: string): Host | undefined;
  endpointsOf(network: NetworkId): ReadonlyMap<EndpointId, Endpoint>;
  /** How many endpoints of a network each host has; hosts without any are not there. */
  countsOf(network: NetworkId): ReadonlyMap<HostId, number>;
  endpointsOn(host: HostId): ReadonlyMap<EndpointId, Endpoint>;
  endpointsIn(host: HostId, sandbox: string): readonly Endpoint[];
  holderOfAddress(network: NetworkId, address: IpAddress): Endpoint | undefined;
  /** Addresses that were given back, and are not chosen yet. */
  restingIn(network: NetworkId): ReadonlyMap<IpAddress, Resting>;
  /** All of them, in whichever network. */
  resting(): Iterable<Resting>;
  /** Addresses of a network that are held or rest, by their numbers. */
  takenIn(network: NetworkId, family: Family): Occupied;
  /** Those of them that nobody holds. */
  unheldIn(network: NetworkId, family: Family): Occupied;
  holderOfMac(network: NetworkId, mac: Mac): Endpoint | undefined;
  holderOfVni(vni: number): NetworkId | undefined;
  holderOfVtep(vtep: IpAddress): HostId | undefined;
  holderOfNumber(number: number): HostId | undefined;
  readonly networksLabelled: Labelled<Network>;
  readonly endpointsLabelled: Labelled<Endpoint>;
}

/** One object before and after a revision; undefined: it was not, or is not any more. */
export type ObjectChange =
  | { readonly kind: 'network'; readonly before: Network | undefined; readonly after: Network | undefined }
  | { readonly kind: 'endpoint'; readonly before: Endpoint | undefined; readonly after: Endpoint | undefined }
  | { readonly kind: 'host'; readonly before: Host | undefined; readonly after: Host | undefined }
  | { readonly kind: 'resting'; readonly before: Resting | undefined; readonly after: Resting | undefined }
  | { readonly kind: 'controller'; readonly before: Controller | undefined; readonly after: Controller | undefined }
  | { readonly kind: 'alive'; readonly before: Alive | undefined; readonly after: Alive | undefined }
  | { readonly kind: 'grace'; readonly before: Grace | undefined; readonly after: Grace | undefined };

/** Everything that one revision changed. */
export interface ChangeSet {
  readonly revision: bigint;
  readonly changes: readonly ObjectChange[];
  /** It comes of a listing: what became different since the change set before, in however many revisions. */
  readonly listed?: boolean;
}

/** What to do to the view: put an object, or drop the one with this id. */
export type Edit =
  | { readonly kind: 'put'; readonly object: ClusterObject }
  | { readonly kind: 'drop'; readonly of: 'network'; readonly id: NetworkId }
  | { readonly kind: 'drop'; readonly of: 'endpoint'; readonly networkId: NetworkId; readonly id: EndpointId }
  | { readonly kind: 'drop'; readonly of: 'host'; readonly id: HostId }
  | { readonly kind: 'drop'; readonly of: 'resting'; readonly networkId: NetworkId; readonly address: IpAddress }
  | { readonly kind: 'drop'; readonly of: 'controller'; readonly id: ControllerId }
  | { readonly kind: 'drop'; readonly of: 'alive' | 'grace'; readonly hostId: HostId };

export class ClusterView implements View {
  #revision = 0n;
  readonly networks = new Map<NetworkId, Network>();
  readonly endpoints = new Map<EndpointId, Endpoint>();
  readonly hosts = new Map<HostId, Host>();
  readonly controllers = new Map<ControllerId, Controller>();
  readonly alive = new Map<HostId, Alive>();
  readonly graces = new Map<HostId, Grace>();
  readonly fenced = new Set<HostId>();
  readonly networksLabelled = new LabelIndex<Network>();
  readonly endpointsLabelled = new LabelIndex<Endpoint>();
  readonly #networkNames = new Map<string, NetworkId>();
  readonly #hostNames = new Map<string, HostId>();
  readonly #vnis = new Map<number, NetworkId>();
  readonly #vteps = new Map<IpAddress, HostId>();
  readonly #numbers = new Map<number, HostId>();
  readonly #byNetwork = new Grouped<NetworkId, EndpointId, Endpoint>();
  readonly #counts = new Grouped<NetworkId, HostId, number>();
  readonly #byHost = new Grouped<HostId, EndpointId, Endpoint>();
  readonly #bySandbox = new Handfuls<string, Endpoint>();
  readonly #addresses = new Grouped<NetworkId, IpAddress, Endpoint>();
  readonly #taken = new Grouped<NetworkId, Family, AddressSet>();
  readonly #unheld = new Grouped<NetworkId, Family, AddressSet>();
  readonly #resting = new Grouped<NetworkId, IpAddress, Resting>();
  readonly #macs = new Grouped<NetworkId, Mac, Endpoint>();

  get revision(): bigint {
    return this.#revision;
  }

  networkNamed(name: string): Network | undefined {
    return lookUp(this.networks, this.#networkNames.get(nameKey(name)));
  }

  hostNamed(name: string): Host | undefined {
    return lookUp(this.hosts, this.#hostNames.get(nameKey(name)));
  }

  endpointsOf(network: NetworkId): ReadonlyMap<EndpointId, Endpoint> {
    return this.#byNetwork.of(network);
  }

  countsOf(network: NetworkId): ReadonlyMap<HostId, number> {
    return this.#counts.of(network);
  }

  endpointsOn(host: HostId): ReadonlyMap<EndpointId, Endpoint> {
    return this.#byHost.of(host);
  }

  endpointsIn(host: HostId, sandbox: string): readonly Endpoint[] {
    return this.#bySandbox.of(sandboxKey(host, sandbox));
  }

  holderOfAddress(network: NetworkId, address: IpAddress): Endpoint | undefined {
    return this.#addresses.of(network).get(address);
  }

  restingIn(network: NetworkId): ReadonlyMap<IpAddress, Resting> {
    return this.#resting.of(network);
  }

  takenIn(network: NetworkId, family: Family): Occupied {
    return this.#taken.of(network).get(family) ?? NOTHING;
  }

  unheldIn(network: NetworkId, family: Family): Occupied {
    return this.#unheld.of(network).get(family) ?? NOTHING;
  }

  /** Every address that rests, in whichever network. */
  resting(): Iterable<Resting> {
    return this.#resting.values();
  }

  holderOfMac(network: NetworkId, mac: Mac): Endpoint | undefined {
    return this.#macs.of(network).get(mac);
  }

  holderOfVni(vni: number): NetworkId | undefined {
    return this.#vnis.get(vni);
  }

  holderOfVtep(vtep: IpAddress): HostId | undefined {
    return this.#vteps.get(vtep);
  }

  holderOfNumber(number: number): HostId | undefined {
    return this.#numbers.get(number);
  }

  /** Brings the view to `revision`; says what became different. */
  apply(revision: bigint, edits: readonly Edit[]): ChangeSet {
    const changes = edits
      .map((edit) => this.#edit(edit))
      .filter(({ before, after }) => before !== undefined || after !== undefined);
    this.#revision = revision;
    return { revision, changes };
  }

  #edit(edit: Edit): ObjectChange {
    if (edit.kind === 'drop') {
      if (edit.of === 'network') return this.#setNetwork(edit.id, undefined);
      if (edit.of === 'host') return this.#setHost(edit.id, undefined);
      if (edit.of === 'resting') return this.#setResting(edit.networkId, edit.address, undefined);
      if (edit.of === 'controller') return { kind: 'controller', ...replace(this.controllers, edit.id, undefined) };
      if (edit.of !== 'endpoint') {
        return edit.of === 'alive'
          ? { kind: 'alive', ...replace(this.alive, edit.hostId, undefined) }
          : { kind: 'grace', ...replace(this.graces, edit.hostId, undefined) };
      }
      // An id stands under one network only; a stray double under another must not take the true one away.
      const held = this.endpoints.get(edit.id);
      return held?.networkId === edit.networkId
        ? this.#setEndpoint(edit.id, undefined)
        : { kind: 'endpoint', before: undefined, after: undefined };
    }
    const { object } = edit;
    if (object.kind === 'network') return this.#setNetwork(object.value.id, object.value);
    if (object.kind === 'host') return this.#setHost(object.value.id, object.value);
    if (object.kind === 'resting') return this.#setResting(object.value.networkId, object.value.address, object.value);
    if (object.kind === 'controller')
      return { kind: 'controller', ...replace(this.controllers, object.value.id, object.value) };
    if (object.kind === 'alive') return { kind: 'alive', ...replace(this.alive, object.value.hostId, object.value) };
    if (object.kind === 'grace') return { kind: 'grace', ...replace(this.graces, object.value.hostId, object.value) };
    return this.#setEndpoint(object.value.id, object.value);
  }

  #setNetwork(id: NetworkId, after: Network | undefined): ObjectChange {
    const before = this.networks.get(id);
    if (before !== undefined) {
      this.networks.delete(id);
      release(this.#networkNames, nameKey(before.name), id);
      release(this.#vnis, before.vni, id);
    }
    if (after !== undefined) {
      this.networks.set(id, after);
      this.#networkNames.set(nameKey(after.name), id);
      this.#vnis.set(after.vni, id);
    }
    this.networksLabelled.change(before, after);
    return { kind: 'network', before, after };
  }

  #setHost(id: HostId, after: Host | undefined): ObjectChange {
    const before = this.hosts.get(id);
    if (before !== undefined) {
      this.hosts.delete(id);
      release(this.#hostNames, nameKey(before.name), id);
      release(this.#vteps, before.vtep, id);
      release(this.#numbers, before.number, id);
      this.fenced.delete(id);
    }
    if (after !== undefined) {
      this.hosts.set(id, after);
      this.#hostNames.set(nameKey(after.name), id);
      this.#vteps.set(after.vtep, id);
      this.#numbers.set(after.number, id);
      if (after.absence === 'fenced') this.fenced.add(id);
    }
    return { kind: 'host', before, after };
  }

  #setResting(network: NetworkId, address: IpAddress, after: Resting | undefined): ObjectChange {
    const before = this.restingIn(network).get(address);
    if (after === undefined) this.#resting.delete(network, address);
    else this.#resting.set(network, address, after);
    this.#occupy(network, address);
    return { kind: 'resting', before, after };
  }

  #count({ networkId, hostId }: Endpoint, by: number): void {
    const count = (this.#counts.of(networkId).get(hostId) ?? 0) + by;
    if (count > 0) this.#counts.set(networkId, hostId, count);
    else this.#counts.delete(networkId, hostId);
  }

  #setEndpoint(id: EndpointId, after: Endpoint | undefined): ObjectChange {
    const before = this.endpoints.get(id);
    if (before !== undefined) {
      this.endpoints.delete(id);
      this.#byNetwork.delete(before.networkId, id);
      this.#count(before, -1);
      this.#byHost.delete(before.hostId, id);
      this.#bySandbox.delete(sandboxKey(before.hostId, before.sandbox), id);
      for (const address of before.addresses) {
        if (this.holderOfAddress(before.networkId, address)?.id === id)
          this.#addresses.delete(before.networkId, address);
        this.#occupy(before.networkId, address);
      }
      if (this.holderOfMac(before.networkId, before.mac)?.id === id) this.#macs.delete(before.networkId, before.mac);
    }
    if (after !== undefined) {
      this.endpoints.set(id, after);
      this.#byNetwork.set(after.networkId, id, after);
      this.#count(after, 1);
      this.#byHost.set(after.hostId, id, after);
      this.#bySandbox.set(sandboxKey(after.hostId, after.sandbox), after);
      for (const address of after.addresses) {
        this.#addresses.set(after.networkId, address, after);
        this.#occupy(after.networkId, address);
      }
      this.#macs.set(after.networkId, after.mac, after);
    }
    this.endpointsLabelled.change(before, after);
    return { kind: 'endpoint', before, after };
  }

  /** Brings what is known to be taken to what is held and rests. */
  #occupy(network: NetworkId, address: IpAddress): void {
    const held = this.holderOfAddress(network, address) !== undefined;
    const rests = this.restingIn(network).has(address);
    mark(this.#taken, network, { address, on: held || rests });
    mark(this.#unheld, network, { address, on: rests && !held });
  }
}

/** Puts an address into a network's set, or takes it out. */
function mark(
  sets: Grouped<NetworkId, Family, AddressSet>,
  network: NetworkId,
  { address, on }: { readonly address: IpAddress; readonly on: boolean },
): void {
  const family = familyOf(address);
  const known = sets.of(network).get(family);
  if (known === undefined && !on) return;
  const set = known ?? new AddressSet();
  if (on) set.add(ipToNumber(address));
  else set.delete(ipToNumber(address));
  if (set.size === 0) sets.delete(network, family);
  else if (known === undefined) sets.set(network, family, set);
}

/** What is taken of a network without endpoints. */
const NOTHING: Occupied = { nextFree: (first, last) => (first <= last ? first : undefined), countIn: () => 0 };

function lookUp<K, V>(map: ReadonlyMap<K, V>, key: K | undefined): V | undefined {
  return key === undefined ? undefined : map.get(key);
}

/** Puts `after` in a map, or takes what is there out; both. */
function replace<K, V>(map: Map<K, V>, key: K, after: V | undefined): { before: V | undefined; after: V | undefined } {
  const before = map.get(key);
  if (after === undefined) map.delete(key);
  else map.set(key, after);
  return { before, after };
}

/** Two objects may change places within one change set, so an index entry is taken away by its owner only. */
function release<K, Id>(index: Map<K, Id>, key: K, owner: Id): void {
  if (index.get(key) === owner) index.delete(key);
}

/** A space can be in neither a name nor an id. */
function sandboxKey(host: HostId, sandbox: string): string {
  return `${host} ${nameKey(sandbox)}`;
}
