/** The rules for making and removing networks. */
import { familyOf, type Cidr, type Family, type IpAddress } from '../../core/address.js';
import type { Rejection } from '../../core/errors.js';
import type { NetworkId } from '../../core/ids.js';
import { listed } from '../../core/listed.js';
import type { DriverName, Endpoint, Labels, Network, Subnet } from '../../core/model.js';
import { putNetwork } from '../cache/objects.js';
import type { View } from '../cache/view.js';
import { endpointsOf, guardKey, objectKey, restingIn } from '../store/keys.js';
import { defaultGateway } from './address-pool.js';
import type { Context, CursorMove, Decision } from './decision.js';
import { sameLabels } from './same.js';
import { chooseSubnets } from './subnet-choice.js';
import type { SubnetPool } from './subnet-pool.js';
import { Draft } from './transaction.js';
import { VNI_RANGE, chooseNumber } from './vni.js';

/** A subnet as asked for; already known to be sound in itself. */
export interface SubnetWish {
  readonly cidr: Cidr;
  readonly gateway: IpAddress | undefined;
  readonly ipRange: Cidr | undefined;
  readonly auxAddresses: Readonly<Record<string, IpAddress>>;
}

export interface CreateNetwork {
  readonly id: NetworkId;
  readonly name: string;
  readonly driver: DriverName;
  /** None: one IPv4 subnet is chosen. */
  readonly subnets: readonly SubnetWish[];
  /** With no IPv6 subnet given: choose one too. */
  readonly ipv6: boolean;
  readonly internal: boolean;
  readonly mtu: number | undefined;
  readonly labels: Labels;
  readonly options: Labels;
}

/** The one space that subnets are chosen in: everything that may come to be routed side by side. */
const SPACE = 'default';

/**
 * Compared and rewritten by whatever chooses a subnet or changes one; rewritten by whatever takes space without asking:
 * subnets that are named, hosts' addresses and routes.
 */
export const spaceGuard = (): string => guardKey.space(SPACE);

/** Makes a network. Refuses with NETWORK_NAME_TAKEN, ID_TAKEN, SUBNETS_EXHAUSTED, VNIS_EXHAUSTED. */
export function createNetwork(
  context: Context,
  command: CreateNetwork,
  pools: readonly SubnetPool[],
): Decision<Network> {
  const { view } = context;
  const existing = view.networks.get(command.id);
  if (existing !== undefined) {
    return asked(existing, command) ? { kind: 'done', result: existing } : idTaken('network', command.id);
  }
  const namesake = view.networkNamed(command.name);
  if (namesake !== undefined) return nameTaken(namesake);

  const families = automaticFamilies(command);
  const chosen = chooseSubnets(view, families, pools);
  if ('reason' in chosen) return chosen;
  const vni = chooseNumber({
    range: VNI_RANGE,
    isHeld: (number) => view.holderOfVni(number) !== undefined || context.underway(vniUnderway(number)) > 0,
    heldCount: view.networks.size + context.underway(VNIS_UNDERWAY),
    after: numberCursor(context, 'vni') ?? newestVni(view),
  });
  if (vni === undefined)
    return { reason: 'VNIS_EXHAUSTED', message: 'every VXLAN id is in use; remove a network first' };

  const { id, name, driver, internal, mtu, labels, options } = command;
  const subnets: Subnet[] = [...command.subnets, ...chosen.map(plain)].map(toSubnet);
  const { requestId } = context;
  const network: Network = {
    ...{ id, name, driver, vni, subnets, internal, mtu, labels, options, requestId },
    createTimeMs: context.nowMs,
    revision: 0n,
  };
  const draft = new Draft()
    .create(putNetwork(network))
    .claim(guardKey.networkName(name), id)
    .claim(guardKey.vni(vni), id);
  // Who chooses compares the space; who names a subnet only rewrites it, so that a choice made beside it is made again.
  if (families.length > 0) draft.serialize(spaceGuard(), context.guardRevision(spaceGuard()), id);
  else draft.put({ key: spaceGuard(), value: Buffer.from(id) });
  const moves: CursorMove[] = [{ pool: 'vni', at: BigInt(vni), late: true }];
  const adds = [VNIS_UNDERWAY, vniUnderway(vni)];
  return { kind: 'commit', transaction: draft.build(), result: (revision) => ({ ...network, revision }), moves, adds };
}

/** Counts of VXLAN ids that creates on their way from here have chosen: of all, and of one. */
const VNIS_UNDERWAY = 'vnis';
const vniUnderway = (vni: number): string => `vnis/${String(vni)}`;

/** Removes a network without endpoints; the answer is its id. Refuses with NETWORK_NOT_FOUND, NETWORK_IN_USE. */
export function deleteNetwork({ view, retried }: Context, id: NetworkId): Decision<NetworkId> {
  const network = view.networks.get(id);
  if (network === undefined) {
    // Our own earlier try may be why it is gone.
    return retried ? { kind: 'done', result: id } : networkNotFound(id);
  }
  const endpoints = view.endpointsOf(id);
  if (endpoints.size > 0) return inUse(view, network, [...endpoints.values()]);
  const draft = new Draft()
    .remove(objectKey.network(id), network.revision)
    .emptyPrefix(endpointsOf(id))
    .release(guardKey.networkName(network.name))
    .release(guardKey.vni(network.vni))
    .release(guardKey.multihomed(id))
    .release(guardKey.networkQuota(id))
    .releasePrefix(restingIn(id));
  return { kind: 'commit', transaction: draft.build(), result: () => id, moves: [] };
}

export function networkNotFound(reference: string): Rejection {
  return aboutField('network', 'NETWORK_NOT_FOUND', `there is no network ${JSON.stringify(reference)}`);
}

/** The refusal of an id that stands for something else already. */
export function idTaken(kind: string, id: string): Rejection {
  const message = `${kind} ${id} exists and is not what this request asks for; choose another id`;
  return { ...aboutField('id', 'ID_TAKEN', message), metadata: { id } };
}

function nameTaken({ id, name }: Network): Rejection {
  const message = `there is a network ${JSON.stringify(name)} already; choose another name`;
  return { ...aboutField('name', 'NETWORK_NAME_TAKEN', message), metadata: { networkId: id } };
}

/** A refusal for what one field of the request says, whatever is wrong with it. */
export function aboutField(field: string, reason: Rejection['reason'], message: string): Rejection {
  return { reason, message, violations: [{ field, description: message }] };
}

function inUse(view: View, network: Network, endpoints: readonly Endpoint[]): Rejection {
  const names = endpoints
    .map(({ sandbox, hostId, state }) => {
      const host = view.hosts.get(hostId)?.name ?? hostId;
      return `${sandbox}@${host}${state === 'removing' ? ' (being removed)' : ''}`;
    })
    .sort();
  const message = `network ${network.name} is in use by ${listed(names)}; disconnect them first`;
  return {
    ...aboutField('network', 'NETWORK_IN_USE', message),
    metadata: { networkId: network.id, endpoints: String(names.length) },
  };
}

/** Whether a network is what the request asks for; what the request leaves open may be anything. */
function asked(network: Network, command: CreateNetwork): boolean {
  const open = automaticFamilies(command);
  const given = network.subnets.slice(0, command.subnets.length);
  const automatic = network.subnets.slice(command.subnets.length);
  return (
    network.name === command.name &&
    network.internal === command.internal &&
    network.mtu === command.mtu &&
    sameLabels(network.labels, command.labels) &&
    sameLabels(network.options, command.options) &&
    automatic.map(({ cidr }) => familyOf(cidr)).join() === open.join() &&
    command.subnets.map(toSubnet).every((wish, index) => sameSubnet(wish, given[index]))
  );
}

/** Whether two subnets are the same in everything. */
export function sameSubnet(a: Subnet, b: Subnet | undefined): boolean {
  return (
    a.cidr === b?.cidr &&
    a.gateway === b.gateway &&
    a.ipRange === b.ipRange &&
    sameLabels(a.auxAddresses, b.auxAddresses)
  );
}

/** The subnet that is asked for, with the gateway that answers in it. */
export function toSubnet({ cidr, gateway, ipRange, auxAddresses }: SubnetWish): Subnet {
  const answering = gateway ?? defaultGateway(cidr, auxAddresses);
  // The edge refuses a subnet whose every address is auxiliary.
  if (answering === undefined) throw new RangeError(`${cidr} has no address left for a gateway`);
  return { cidr, gateway: answering, ipRange, auxAddresses };
}

function plain(cidr: Cidr): SubnetWish {
  return { cidr, gateway: undefined, ipRange: undefined, auxAddresses: {} };
}

/** Families of the subnets that are left to us, in the order they are written behind the given ones. */
function automaticFamilies({ subnets, ipv6 }: CreateNetwork): readonly Family[] {
  const hasIpv6 = subnets.some(({ cidr }) => familyOf(cidr) === 6);
  return [...(subnets.length === 0 ? [4 as const] : []), ...(ipv6 && !hasIpv6 ? [6 as const] : [])];
}

function numberCursor(context: Context, pool: string): number | undefined {
  const at = context.cursor(pool);
  return at === undefined ? undefined : Number(at);
}

/** The VXLAN id of the network that was made last: where a controller that has just started goes on. */
function newestVni(view: View): number | undefined {
  let newest: Network | undefined;
  for (const network of view.networks.values()) {
    if (newest === undefined || network.revision > newest.revision) newest = network;
  }
  return newest?.vni;
}
