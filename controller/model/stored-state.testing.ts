/**
 * For tests: everything that stands in the store, read past every cache, and what must be true of it whatever happened
 * before: nothing is held twice, and guards and objects match one to one.
 */
import { contains, overlaps, type IpAddress } from '../../core/address.js';
import type { EndpointId, HostId, NetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { readObject } from '../cache/objects.js';
import { objectionTo } from '../domain/address-pool.js';
import { spaceGuard } from '../domain/network.js';
import { GUARDS, OBJECTS, guardKey } from '../store/keys.js';
import type { Store } from '../store/store.js';

export interface StoredState {
  readonly revision: bigint;
  readonly networks: ReadonlyMap<NetworkId, Network>;
  readonly endpoints: ReadonlyMap<EndpointId, Endpoint>;
  readonly hosts: ReadonlyMap<HostId, Host>;
  /** `<network> <address>`. */
  readonly resting: ReadonlySet<string>;
  readonly guards: ReadonlyMap<string, string>;
}

const NEVER = new AbortController().signal;

export function restingName(network: NetworkId, address: IpAddress): string {
  return `${network} ${address}`;
}

/** Reads it all as of one revision. Throws when a value cannot be read, or an object is there twice. */
export async function readState(store: Store): Promise<StoredState> {
  const { entries, revision } = await store.list('', NEVER);
  const networks = new Map<NetworkId, Network>();
  const endpoints = new Map<EndpointId, Endpoint>();
  const hosts = new Map<HostId, Host>();
  const resting = new Set<string>();
  const guards = new Map<string, string>();
  for (const entry of entries) {
    if (entry.key.startsWith(GUARDS)) guards.set(entry.key, Buffer.from(entry.value).toString());
    if (!entry.key.startsWith(OBJECTS)) continue;
    const object = readObject(entry);
    if (object?.kind === 'network') networks.set(object.value.id, object.value);
    if (object?.kind === 'host') hosts.set(object.value.id, object.value);
    if (object?.kind === 'resting') resting.add(restingName(object.value.networkId, object.value.address));
    if (object?.kind !== 'endpoint') continue;
    // In two networks, under two keys.
    if (endpoints.has(object.value.id)) throw new Error(`endpoint ${object.value.id} is there twice`);
    endpoints.set(object.value.id, object.value);
  }
  return { revision, networks, endpoints, hosts, resting, guards };
}

/** What is wrong with it, a sentence each; nothing else may ever be found. */
export function faultsOf(state: StoredState): string[] {
  return [...guardFaults(state), ...endpointFaults(state), ...sandboxFaults(state), ...restingFaults(state)];
}

/** Who must hold which guard. Two that would hold one are a fault, which is noted in `faults`. */
function expectedGuards(
  { networks, endpoints, hosts }: StoredState,
  faults: string[],
): Map<string, string | undefined> {
  const expected = new Map<string, string | undefined>();
  const claim = (key: string, owner: string): void => {
    const other = expected.get(key);
    if (other !== undefined) faults.push(`${key} has two holders: ${other} and ${owner}`);
    expected.set(key, owner);
  };
  for (const { id, name, vni } of networks.values()) {
    claim(guardKey.networkName(name), id);
    claim(guardKey.vni(vni), id);
  }
  for (const { id, name, vtep, number } of hosts.values()) {
    claim(guardKey.hostName(name), id);
    claim(guardKey.vtep(vtep), id);
    claim(guardKey.hostNumber(number), id);
  }
  for (const { id, networkId, hostId, sandbox, mac, addresses } of endpoints.values()) {
    claim(guardKey.endpoint(id), id);
    claim(guardKey.mac(networkId, mac), id);
    for (const address of addresses) claim(guardKey.address(networkId, address), id);
    // Rewritten by whoever changes the sandbox: its value is of no account.
    expected.set(guardKey.sandbox(hostId, sandbox), undefined);
  }
  return expected;
}

function guardFaults(state: StoredState): string[] {
  const faults: string[] = [];
  const expected = expectedGuards(state, faults);
  const optional = new Set([
    spaceGuard(),
    ...[...state.networks.keys()].flatMap((id) => [guardKey.multihomed(id), guardKey.networkQuota(id)]),
    ...[...state.hosts.keys()].map((id) => guardKey.hostQuota(id)),
  ]);
  for (const [key, owner] of expected) {
    const held = state.guards.get(key);
    if (held === undefined) faults.push(`${key} is missing, of ${owner ?? 'a sandbox'}`);
    else if (owner !== undefined && held !== owner) faults.push(`${key} is held by ${held}, and should be by ${owner}`);
  }
  for (const key of state.guards.keys()) {
    if (!expected.has(key) && !optional.has(key)) faults.push(`${key} leaked`);
  }
  return faults;
}

function endpointFaults({ networks, endpoints, hosts }: StoredState): string[] {
  const faults: string[] = [];
  for (const { id, networkId, hostId, addresses } of endpoints.values()) {
    const network = networks.get(networkId);
    if (network === undefined) {
      faults.push(`endpoint ${id} is on network ${networkId}, which is gone`);
      continue;
    }
    if (!hosts.has(hostId)) faults.push(`endpoint ${id} is on host ${hostId}, which is gone`);
    for (const address of addresses) {
      const subnet = network.subnets.find(({ cidr }) => contains(cidr, address));
      if (subnet === undefined) faults.push(`endpoint ${id} has ${address}, which is in no subnet of its network`);
      const objection = subnet === undefined ? undefined : objectionTo(subnet, address);
      if (objection !== undefined) faults.push(`endpoint ${id} has an address it cannot have: ${objection}`);
    }
  }
  return faults;
}

/** One sandbox must be able to tell its networks apart, and is on each of them once. */
function sandboxFaults({ networks, endpoints }: StoredState): string[] {
  const faults: string[] = [];
  const all = [...endpoints.values()];
  for (const [index, one] of all.entries()) {
    for (const other of all.slice(index + 1)) {
      if (one.hostId !== other.hostId || one.sandbox !== other.sandbox) continue;
      const [mine, theirs] = [networks.get(one.networkId)?.subnets ?? [], networks.get(other.networkId)?.subnets ?? []];
      if (one.networkId === other.networkId) {
        faults.push(`sandbox ${one.sandbox} is connected twice to ${one.networkId}`);
      } else if (mine.some(({ cidr }) => theirs.some((each) => overlaps(each.cidr, cidr)))) {
        faults.push(`sandbox ${one.sandbox} is on two networks that overlap: ${one.networkId}, ${other.networkId}`);
      }
    }
  }
  return faults;
}

function restingFaults({ networks, endpoints, resting }: StoredState): string[] {
  const held = [...endpoints.values()].flatMap(({ networkId, addresses }) =>
    addresses.map((address) => restingName(networkId, address)),
  );
  return [
    ...held.filter((name) => resting.has(name)).map((name) => `${name} is held, and rests`),
    ...[...resting]
      .filter((name) => ![...networks.keys()].some((id) => name.startsWith(id)))
      .map((name) => `${name} rests in a network that is gone`),
  ];
}
