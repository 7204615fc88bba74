/**
 * The rules for taking over what a host runs from before a restore: what the restored state does not have, and where
 * nothing else has its place. What is in the state stays as it is there.
 */
import { contains, overlaps, type IpAddress } from '../../core/address.js';
import type { HostId } from '../../core/ids.js';
import type { Endpoint, Network } from '../../core/model.js';
import { putEndpoint, putNetwork } from '../cache/objects.js';
import type { View } from '../cache/view.js';
import type { Meta } from '../meta.js';
import { guardKey, objectKey } from '../store/keys.js';
import type { Context, Decision } from './decision.js';
import { refuseWanted } from './endpoint-addresses.js';
import { guardSubnets, hostNotFound, refuseMac, refuseSandbox } from './endpoint.js';
import { updateNetwork } from './network-update.js';
import { idTaken, networkNotFound, spaceGuard } from './network.js';
import { Draft } from './transaction.js';

/** What a declared network is held against. */
export interface Evidence {
  /** Addresses on the network of the endpoints that the host declares with it. */
  readonly addresses: readonly IpAddress[];
  /** The epoch that the host followed, in which the network's revision counts. */
  readonly epoch: string;
  /** What was restored knows everything that was written up to there, and in epochs before that one. */
  readonly backup: Meta['backup'];
  /** Newest first. */
  readonly formerEpochs: Meta['formerEpochs'];
  /** What has a later revision in the state was written since the restore. */
  readonly restoredAt: bigint;
}

/**
 * A network as it was, with its name, VXLAN id and subnets, where endpoints of the host are on it. One that is there
 * grows again where they have addresses outside of its subnets, but not where the state is known to be newer than what
 * the host declares: the backup was taken after it, or somebody has changed the network since the restore. All
 * declarations of an epoch come with one request id, so that what they change is not taken for somebody's change.
 * Refuses with NETWORK_NOT_FOUND (nothing is on it, or it was removed before the backup), NETWORK_NAME_TAKEN,
 * VNIS_EXHAUSTED (this one is another network's), and what an update that grows it would be refused with.
 */
export function adoptNetwork(context: Context, network: Network, evidence: Evidence): Decision<Network> {
  const { view, requestId } = context;
  const { id, name, vni } = network;
  const existing = view.networks.get(id);
  if (existing !== undefined) return grow(context, existing, network, evidence);
  const isUsed = evidence.addresses.some((each) => network.subnets.some(({ cidr }) => contains(cidr, each)));
  if (!isUsed || isInBackup(network, evidence)) {
    const why = isUsed ? 'it was removed before the backup' : 'the host has no endpoint on it';
    return { reason: 'NETWORK_NOT_FOUND', message: `network ${name} is not taken over: ${why}` };
  }
  const namesake = view.networkNamed(name);
  if (namesake !== undefined) {
    return { reason: 'NETWORK_NAME_TAKEN', message: `network ${name} is another one now, ${namesake.id}` };
  }
  const holder = view.holderOfVni(vni);
  if (holder !== undefined) {
    return { reason: 'VNIS_EXHAUSTED', message: `VXLAN id ${String(vni)} of network ${name} is that of ${holder} now` };
  }
  const adopted: Network = { ...network, requestId };
  const draft = new Draft()
    .create(putNetwork(adopted))
    .claim(guardKey.networkName(name), id)
    .claim(guardKey.vni(vni), id)
    .put({ key: spaceGuard(), value: Buffer.from(id) });
  return { kind: 'commit', transaction: draft.build(), result: (revision) => ({ ...adopted, revision }), moves: [] };
}

/** Whether the backup, too, has the version of the network that the host declares, or a later one. */
function isInBackup({ revision }: Network, { epoch, backup, formerEpochs }: Evidence): boolean {
  if (backup === undefined) return false;
  if (epoch === backup.epoch) return revision <= backup.revision;
  return formerEpochs.indexOf(epoch) > formerEpochs.indexOf(backup.epoch);
}

/** By the rule for updates: whoever else is in the network keeps address and gateway, and can tell its networks apart. */
function grow(context: Context, existing: Network, declared: Network, evidence: Evidence): Decision<Network> {
  const outside = evidence.addresses.filter((each) => !existing.subnets.some(({ cidr }) => contains(cidr, each)));
  const needed = declared.subnets.filter(({ cidr }) => outside.some((each) => contains(cidr, each)));
  const isChangedSince = existing.revision > evidence.restoredAt && existing.requestId !== context.requestId;
  if (needed.length === 0 || isChangedSince || isInBackup(declared, evidence))
    return { kind: 'done', result: existing };
  // What is needed and overlaps a subnet that is there contains it: it has an address that the other has not.
  const grown = existing.subnets.map((subnet) => needed.find(({ cidr }) => overlaps(cidr, subnet.cidr)) ?? subnet);
  const subnets = [...new Set([...grown, ...needed])];
  const asked = { id: existing.id, labels: undefined, options: undefined, subnets, ifRevision: undefined };
  return updateNetwork(context, asked);
}

/**
 * An endpoint of the host that declares it, with its id, addresses and MAC, ready as it is. No quota counts here: it
 * runs already. Refuses with NETWORK_NOT_FOUND, HOST_NOT_FOUND, ID_TAKEN, ALREADY_CONNECTED, SUBNETS_OVERLAP,
 * ARGUMENT_INVALID, ADDRESS_TAKEN, MAC_TAKEN.
 */
export function adoptEndpoint(context: Context, declared: Endpoint): Decision<Endpoint> {
  const { view } = context;
  const { id, networkId, hostId, sandbox, addresses, mac } = declared;
  const existing = view.endpoints.get(id);
  if (existing !== undefined) {
    return existing.networkId === networkId && existing.hostId === hostId
      ? { kind: 'done', result: existing }
      : idTaken('endpoint', id);
  }
  const network = view.networks.get(networkId);
  if (network === undefined) return networkNotFound(networkId);
  if (!view.hosts.has(hostId)) return hostNotFound(hostId);
  const refusal =
    refuseSandbox(view, network, declared) ??
    refuseMac(view, network, mac) ??
    addresses
      .map((address, index) => refuseWanted(view, network, { address, field: `addresses[${String(index)}]` }))
      .find((each) => each !== undefined);
  if (refusal !== undefined) return refusal;
  const endpoint: Endpoint = { ...declared, state: 'ready' };
  const guard = guardKey.sandbox(hostId, sandbox);
  const draft = new Draft()
    .put(putEndpoint(endpoint))
    .claim(guardKey.endpoint(id), id)
    .unchanged(objectKey.network(networkId), network.revision)
    .claim(guardKey.mac(networkId, mac), id)
    .serialize(guard, context.guardRevision(guard), id);
  for (const address of addresses) {
    draft.claim(guardKey.address(networkId, address), id).release(objectKey.resting(networkId, address));
  }
  guardSubnets(draft, view, declared);
  return {
    kind: 'commit',
    transaction: draft.build(),
    result: (revision) => ({ ...endpoint, revision, createRevision: revision }),
    moves: [],
  };
}

/**
 * Endpoints that the restored state has on a host, and the host had and has no more: it knows every one that was ready.
 * A pending one may never have come to it.
 */
export function endpointsGone(view: View, host: HostId, declared: ReadonlySet<string>): readonly Endpoint[] {
  return [...view.endpointsOn(host).values()].filter(({ id, state }) => state === 'ready' && !declared.has(id));
}
