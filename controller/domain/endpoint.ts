/** The rules for an endpoint's life: pending when made, ready when attached, removing when deleted, then gone. */
import { familyOf, overlaps, type Family, type IpAddress } from '../../core/address.js';
import type { Rejection } from '../../core/errors.js';
import type { EndpointId, HostId, NetworkId } from '../../core/ids.js';
import type { Mac } from '../../core/mac.js';
import type { Endpoint, Host, Labels, Network } from '../../core/model.js';
import { holdingOf, putHolding } from '../cache/holding.js';
import { putEndpoint, putResting } from '../cache/objects.js';
import type { View } from '../cache/view.js';
import { guardKey, objectKey } from '../store/keys.js';
import type { Context, Decision } from './decision.js';
import { chooseAddresses, describeHolder } from './endpoint-addresses.js';
import { checkQuotas } from './endpoint-quota.js';
import { aboutField, idTaken, networkNotFound } from './network.js';
import { sameLabels, sameMembers } from './same.js';
import { Draft } from './transaction.js';

export interface CreateEndpoint {
  readonly id: EndpointId;
  readonly networkId: NetworkId;
  readonly hostId: HostId;
  readonly sandbox: string;
  readonly aliases: readonly string[];
  /** Addresses wanted, at most one of each family. */
  readonly addresses: readonly IpAddress[];
  readonly mac: Mac | undefined;
  readonly labels: Labels;
}

/** Which endpoint, and on whose behalf: a host may touch only its own. */
export interface EndpointCommand {
  readonly id: EndpointId;
  /** Undefined: whoever operates the cluster. */
  readonly hostId: HostId | undefined;
}

/**
 * Makes an endpoint, pending. Refuses with NETWORK_NOT_FOUND, HOST_NOT_FOUND, HOST_REMOVED, HOST_FENCED, HOST_DRAINED, ID_TAKEN,
 * ALREADY_CONNECTED, SUBNETS_OVERLAP, ARGUMENT_INVALID (an address no endpoint can have), ADDRESS_TAKEN, MAC_TAKEN,
 * ADDRESSES_EXHAUSTED, QUOTA_REACHED.
 */
export function createEndpoint(context: Context, command: CreateEndpoint): Decision<Endpoint> {
  const { view, requestId } = context;
  const existing = view.endpoints.get(command.id);
  if (existing !== undefined) {
    return asked(existing, command) ? { kind: 'done', result: existing } : idTaken('endpoint', command.id);
  }
  const network = view.networks.get(command.networkId);
  if (network === undefined) return networkNotFound(command.networkId);
  const host = view.hosts.get(command.hostId);
  if (host === undefined) return hostNotFound(command.hostId);
  const closed = refuseHost(host);
  if (closed !== undefined) return closed;
  const refusal = refuseSandbox(view, network, command) ?? refuseMac(view, network, command.mac);
  if (refusal !== undefined) return refusal;
  const quotas = checkQuotas(context, network, host);
  if ('reason' in quotas) return quotas;
  const addresses = chooseAddresses(context, network, command.addresses);
  if ('reason' in addresses) return addresses;

  const { id, networkId, hostId, sandbox, aliases, labels } = command;
  const mac = command.mac ?? freeMac(context, networkId);
  // Field by field: an object that is put together from others costs several times as much, on every create.
  const endpoint: Endpoint = {
    id,
    networkId,
    hostId,
    sandbox,
    name: sandbox,
    aliases,
    addresses: [...addresses.asked, ...addresses.chosen].sort((one, other) => familyOf(one) - familyOf(other)),
    mac,
    labels,
    state: 'pending',
    revision: 0n,
    requestId,
    createRevision: 0n,
    createTimeMs: context.nowMs,
  };
  // The id's guard stands for the object too: neither is ever there without the other.
  const draft = new Draft()
    .put(putEndpoint(endpoint))
    .claim(guardKey.endpoint(id), id)
    .unchanged(objectKey.network(networkId), network.revision)
    .compare({ kind: 'present', key: objectKey.host(hostId) })
    .claim(guardKey.mac(networkId, mac), id);
  for (const guard of [guardKey.sandbox(hostId, sandbox), ...quotas.serialize]) {
    draft.serialize(guard, context.guardRevision(guard), id);
  }
  for (const address of endpoint.addresses) draft.claim(guardKey.address(networkId, address), id);
  for (const address of addresses.chosen) draft.absent(objectKey.resting(networkId, address));
  for (const address of addresses.asked) draft.release(objectKey.resting(networkId, address));
  guardSubnets(draft, view, command);
  return {
    kind: 'commit',
    transaction: draft.build(),
    result: (revision) => ({ ...endpoint, revision, createRevision: revision }),
    moves: addresses.moves,
    adds: quotas.adds,
  };
}

/** Marks an endpoint as removing; its addresses stay held. Refuses with ENDPOINT_NOT_FOUND, NOT_ALLOWED. */
export function deleteEndpoint(context: Context, command: EndpointCommand): Decision<bigint> {
  const { view, requestId, retried } = context;
  const endpoint = view.endpoints.get(command.id);
  // Our own earlier try may have marked it, and its host confirmed since.
  if (endpoint === undefined) return retried ? { kind: 'done', result: view.revision } : endpointNotFound(command.id);
  const refusal = refuseForeign(endpoint, command);
  if (refusal !== undefined) return refusal;
  if (endpoint.state === 'removing') return { kind: 'done', result: endpoint.revision };
  return replace(endpoint, { ...endpoint, state: 'removing', requestId });
}

/** A host's word that it has attached an endpoint. Says nothing new of one that is ready, or already to be removed. */
export function markReady({ view }: Context, command: EndpointCommand): Decision<bigint> {
  const endpoint = view.endpoints.get(command.id);
  if (endpoint === undefined) return endpointNotFound(command.id);
  const refusal = refuseForeign(endpoint, command);
  if (refusal !== undefined) return refusal;
  if (endpoint.state !== 'pending') return { kind: 'done', result: endpoint.revision };
  return replace(endpoint, { ...endpoint, state: 'ready' });
}

/**
 * A host's word that its kernel holds nothing of a removing endpoint any more: the endpoint goes, and with it in the
 * same transaction everything that was held for it. Its addresses rest, and it is remembered who had them. Nothing is
 * compared but the endpoint itself and the guard of its sandbox, so that whatever else changes cannot keep it here.
 */
export function releaseEndpoint(context: Context, command: EndpointCommand): Decision<bigint> {
  const { view } = context;
  const endpoint = view.endpoints.get(command.id);
  if (endpoint === undefined) return { kind: 'done', result: view.revision };
  const refusal = refuseForeign(endpoint, command);
  if (refusal !== undefined) return refusal;
  // Said of one that nobody asked to remove, it is a mistake, and its addresses must not go to another.
  if (endpoint.state !== 'removing') return { kind: 'done', result: endpoint.revision };
  return {
    kind: 'commit',
    transaction: removeEndpoint(context, endpoint).build(),
    result: (revision) => revision,
    moves: [],
  };
}

/** An endpoint's end, as it was seen: with it goes everything that was held for it. Its addresses rest. */
export function removeEndpoint(context: Context, endpoint: Endpoint): Draft {
  const { view } = context;
  const { id, networkId, hostId, sandbox, addresses, mac } = endpoint;
  const draft = new Draft()
    .remove(objectKey.endpoint(networkId, id), endpoint.revision)
    .release(guardKey.endpoint(id))
    .release(guardKey.mac(networkId, mac));
  for (const address of addresses) draft.release(guardKey.address(networkId, address));
  rest(draft, context, endpoint);
  // Rewritten also by those that are not the last: of two that go at the same time each would else take the other for
  // the one that stays, and the guard would stay for good.
  const guard = guardKey.sandbox(hostId, sandbox);
  const seen = context.guardRevision(guard);
  if (view.endpointsIn(hostId, sandbox).length === 1) draft.remove(guard, seen);
  else draft.serialize(guard, seen, id);
  return draft;
}

/** Leaves the addresses of an endpoint that goes to nobody for a while, and writes down who had them. */
function rest(draft: Draft, { view, settings, nowMs }: Context, endpoint: Endpoint): void {
  const { networkId, hostId, id, addresses } = endpoint;
  const { quarantineMs, historyMs } = settings;
  const names = {
    network: view.networks.get(networkId)?.name ?? networkId,
    host: view.hosts.get(hostId)?.name ?? hostId,
  };
  for (const address of addresses) {
    if (quarantineMs > 0) draft.put(putResting({ networkId, address, endpointId: id }, quarantineMs));
    if (historyMs === 0) continue;
    draft.put(putHolding({ ...holdingOf(endpoint, address, names), untilTimeMs: nowMs }, historyMs));
  }
}

/**
 * Keeps a sandbox from coming to be on two networks that overlap, however their subnets change beside this: those of
 * its other networks must be as they were seen, and what changes any of them is told that it is not alone with it.
 */
export function guardSubnets(draft: Draft, view: View, { id, networkId, hostId, sandbox }: CreateEndpoint): void {
  const others = view.endpointsIn(hostId, sandbox).map((endpoint) => endpoint.networkId);
  if (others.length === 0) return;
  for (const other of others) {
    const network = view.networks.get(other);
    if (network !== undefined) draft.unchanged(objectKey.network(other), network.revision);
  }
  for (const each of [networkId, ...others]) draft.put({ key: guardKey.multihomed(each), value: Buffer.from(id) });
}

export function endpointNotFound(id: string): Rejection {
  return aboutField('id', 'ENDPOINT_NOT_FOUND', `there is no endpoint ${JSON.stringify(id)}`);
}

export function hostNotFound(reference: string): Rejection {
  return aboutField('host', 'HOST_NOT_FOUND', `there is no host ${JSON.stringify(reference)}`);
}

function replace(before: Endpoint, after: Endpoint): Decision<bigint> {
  const transaction = new Draft().replace(putEndpoint(after), before.revision).build();
  return { kind: 'commit', transaction, result: (revision) => revision, moves: [] };
}

function refuseForeign(endpoint: Endpoint, { hostId }: EndpointCommand): Rejection | undefined {
  return hostId === undefined || hostId === endpoint.hostId
    ? undefined
    : { reason: 'NOT_ALLOWED', message: `endpoint ${endpoint.id} belongs to another host` };
}

/** Refuses with HOST_REMOVED, HOST_FENCED, HOST_DRAINED. */
function refuseHost({ name, absence, availability }: Host): Rejection | undefined {
  if (availability === 'removed') {
    return { reason: 'HOST_REMOVED', message: `host ${name} is being removed from the cluster` };
  }
  if (absence === 'fenced') {
    return {
      reason: 'HOST_FENCED',
      message: `host ${name} was away for too long, and is shut out until its agent is back and has let go of what it had`,
    };
  }
  if (availability === 'active') return undefined;
  return {
    reason: 'HOST_DRAINED',
    message: `host ${name} is drained, and takes no new endpoints; weft host activate ${name} undoes that`,
  };
}

/** Networks of one sandbox: a create compares and rewrites something of each, in one transaction. */
const SANDBOX_NETWORKS = 32;

/** Refuses with ALREADY_CONNECTED, SUBNETS_OVERLAP, QUOTA_REACHED. */
export function refuseSandbox(view: View, network: Network, command: CreateEndpoint): Rejection | undefined {
  const { hostId, sandbox } = command;
  const host = view.hosts.get(hostId)?.name ?? hostId;
  const others = view.endpointsIn(hostId, sandbox);
  for (const other of others) {
    if (other.networkId === network.id) {
      const leaving = other.state === 'removing' ? ' and still being disconnected; try again' : ' already';
      const message = `sandbox ${sandbox} on host ${host} is connected to network ${network.name}${leaving}`;
      return { ...aboutField('sandbox', 'ALREADY_CONNECTED', message), metadata: { endpointId: other.id } };
    }
    const theirs = view.networks.get(other.networkId);
    const mine = network.subnets.find(({ cidr }) => theirs?.subnets.some((each) => overlaps(each.cidr, cidr)));
    if (theirs !== undefined && mine !== undefined) {
      return {
        reason: 'SUBNETS_OVERLAP',
        message:
          `sandbox ${sandbox} on host ${host} is connected to network ${theirs.name}, ` +
          `whose subnets overlap ${mine.cidr} of network ${network.name}; one sandbox cannot be on both`,
        metadata: { networkId: theirs.id },
      };
    }
  }
  return others.length < SANDBOX_NETWORKS
    ? undefined
    : {
        reason: 'QUOTA_REACHED',
        message: `sandbox ${sandbox} on host ${host} is connected to ${String(others.length)} networks, which is the most that one can be; disconnect it from one first`,
        metadata: { count: String(others.length), quota: String(SANDBOX_NETWORKS) },
      };
}

/** Refuses with MAC_TAKEN. */
export function refuseMac(view: View, network: Network, mac: Mac | undefined): Rejection | undefined {
  const holder = mac === undefined ? undefined : view.holderOfMac(network.id, mac);
  if (holder === undefined) return undefined;
  const advice =
    holder.state === 'removing' ? 'it is being removed; try again' : 'ask for another, or for none and one is made up';
  const message = `${holder.mac} in network ${network.name} is held by ${describeHolder(view, holder)}; ${advice}`;
  return { ...aboutField('mac', 'MAC_TAKEN', message), metadata: { endpointId: holder.id } };
}

/** Random MACs meet once in 2^46; the guard would refuse one, this merely saves the round trip. */
function freeMac({ view, newMac }: Context, network: NetworkId): Mac {
  let mac = newMac();
  while (view.holderOfMac(network, mac) !== undefined) mac = newMac();
  return mac;
}

/** Whether an endpoint is what the request asks for; what the request leaves open may be anything. */
function asked(endpoint: Endpoint, command: CreateEndpoint): boolean {
  const families = new Set<Family>(command.addresses.map(familyOf));
  return (
    endpoint.networkId === command.networkId &&
    endpoint.hostId === command.hostId &&
    endpoint.sandbox === command.sandbox &&
    sameMembers(endpoint.aliases, command.aliases) &&
    sameMembers(
      endpoint.addresses.filter((address) => families.has(familyOf(address))),
      command.addresses,
    ) &&
    (command.mac === undefined || endpoint.mac === command.mac) &&
    sameLabels(endpoint.labels, command.labels)
  );
}
