/**
 * The rules for taking over what a host runs from before a restore: what the restored state does not have, and where
 * nothing else has its place. What is in the state stays as it is there.
 */
import { contains } from '../../core/address.js';
import type { HostId } from '../../core/ids.js';
import type { Endpoint, Network, Subnet } from '../../core/model.js';
import { putEndpoint, putNetwork } from '../cache/objects.js';
import type { View } from '../cache/view.js';
import { guardKey, objectKey } from '../store/keys.js';
import type { Context, Decision } from './decision.js';
import { refuseWanted } from './endpoint-addresses.js';
import { guardSubnets, hostNotFound, refuseMac, refuseSandbox } from './endpoint.js';
import { updateNetwork } from './network-update.js';
import { idTaken, networkNotFound, spaceGuard } from './network.js';
import { Draft } from './transaction.js';

/**
 * A network as it was, with its name, VXLAN id and subnets. One that is there and whose subnets have grown since the
 * backup grows again, because endpoints may hold addresses there. Refuses with NETWORK_NAME_TAKEN, VNIS_EXHAUSTED (this
 * one is another network's), and what an update that grows it would be refused with.
 */
export function adoptNetwork(context: Context, network: Network): Decision<Network> {
  const { view } = context;
  const { id, name, vni } = network;
  const existing = view.networks.get(id);
  if (existing !== undefined) return grow(context, existing, network.subnets);
  const namesake = view.networkNamed(name);
  if (namesake !== undefined) {
    return { reason: 'NETWORK_NAME_TAKEN', message: `network ${name} is another one now, ${namesake.id}` };
  }
  const holder = view.holderOfVni(vni);
  if (holder !== undefined) {
    return { reason: 'VNIS_EXHAUSTED', message: `VXLAN id ${String(vni)} of network ${name} is that of ${holder} now` };
  }
  const draft = new Draft()
    .create(putNetwork(network))
    .claim(guardKey.networkName(name), id)
    .claim(guardKey.vni(vni), id)
    .put({ key: spaceGuard(), value: Buffer.from(id) });
  return { kind: 'commit', transaction: draft.build(), result: (revision) => ({ ...network, revision }), moves: [] };
}

/** By the rule for updates: whoever else is in the network keeps address and gateway, and can tell its networks apart. */
function grow(context: Context, existing: Network, subnets: readonly Subnet[]): Decision<Network> {
  const cidrs = existing.subnets.map(({ cidr }) => cidr);
  const isMore = subnets.some(({ cidr }) => !cidrs.includes(cidr));
  const covers = cidrs.every((cidr) => subnets.some((each) => contains(each.cidr, cidr)));
  if (!isMore || !covers) return { kind: 'done', result: existing };
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
