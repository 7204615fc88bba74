/**
 * The rule for changing a network that is in use. Labels and options take the place of what was; subnets grow, shrink,
 * come and go, for as long as every endpoint keeps its address and its gateway, and every sandbox can tell its networks
 * apart.
 */
import { contains, familyOf, overlaps, type Cidr, type IpAddress } from '../../core/address.js';
import { invalid, type Rejection } from '../../core/errors.js';
import type { NetworkId } from '../../core/ids.js';
import { listed } from '../../core/listed.js';
import type { Endpoint, Labels, Network, Subnet } from '../../core/model.js';
import { objectionToMtu } from '../../core/network-options.js';
import { putNetwork } from '../cache/objects.js';
import type { View } from '../cache/view.js';
import { endpointsOf, guardKey } from '../store/keys.js';
import { objectionTo } from './address-pool.js';
import type { Context, Decision } from './decision.js';
import { networkNotFound, sameSubnet, spaceGuard, toSubnet, type SubnetWish } from './network.js';
import { sameLabels } from './same.js';
import { Draft } from './transaction.js';

/** What to change; undefined stays as it is. */
export interface UpdateNetwork {
  readonly id: NetworkId;
  readonly labels: Labels | undefined;
  readonly options: { readonly given: Labels; readonly mtu: number | undefined } | undefined;
  /** Every subnet the network is to have, at least one; they do not overlap one another. */
  readonly subnets: readonly SubnetWish[] | undefined;
  /** The revision the network must have; undefined: any. */
  readonly ifRevision: bigint | undefined;
}

/**
 * Changes a network; what is as asked already is left alone. Refuses with NETWORK_NOT_FOUND, REVISION_CHANGED,
 * ARGUMENT_INVALID, FIELD_IMMUTABLE (subnets made one, or cut apart), NETWORK_IN_USE (another gateway), ADDRESSES_HELD,
 * SUBNETS_OVERLAP.
 */
export function updateNetwork(context: Context, command: UpdateNetwork): Decision<Network> {
  const { view, requestId } = context;
  const before = view.networks.get(command.id);
  if (before === undefined) return networkNotFound(command.id);
  const plan = planSubnets(before, command.subnets);
  if ('reason' in plan) return plan;
  const { labels = before.labels, options } = command;
  const after: Network = {
    ...before,
    ...{ labels, subnets: plan.map(({ subnet }) => subnet), requestId },
    ...(options === undefined ? {} : { options: options.given, mtu: options.mtu }),
  };
  // Before the revision is looked at: an answer that was lost is asked for again with the revision it began from.
  if (same(before, after)) return { kind: 'done', result: before };
  if (command.ifRevision !== undefined && command.ifRevision !== before.revision) {
    return revisionChanged(before, command.ifRevision);
  }
  const refusal = refuseMtu(after, options !== undefined);
  if (refusal !== undefined) return refusal;

  const draft = new Draft().replace(putNetwork(after), before.revision);
  if (!sameSpace(before, after)) {
    const reached = refuseShared(view, before, gained(before, after));
    if (reached !== undefined) return reached;
    // Serial with whatever chooses or changes subnets, and with whatever puts a sandbox of this network on another.
    for (const guard of [spaceGuard(), guardKey.multihomed(before.id)]) {
      draft.serialize(guard, context.guardRevision(guard), before.id);
    }
  }
  if (takesAway(before, plan)) {
    const held = refuseGateways(view, before, plan) ?? refuseLost(view, before, after);
    if (held !== undefined) return held;
    // An endpoint that came since could hold what is taken away.
    draft.notNewer(endpointsOf(before.id), view.revision);
  }
  return { kind: 'commit', transaction: draft.build(), result: (revision) => ({ ...after, revision }), moves: [] };
}

/** A subnet of the network to be, and the present one it comes from. */
interface Planned {
  readonly subnet: Subnet;
  readonly from: Subnet | undefined;
}

function planSubnets(network: Network, wishes: readonly SubnetWish[] | undefined): readonly Planned[] | Rejection {
  if (wishes === undefined) return network.subnets.map((subnet) => ({ subnet, from: subnet }));
  const plan: Planned[] = [];
  for (const [index, wish] of wishes.entries()) {
    const [from, ...more] = network.subnets.filter(({ cidr }) => overlaps(cidr, wish.cidr));
    if (more.length > 0) return immutable(`subnets[${String(index)}].cidr`, madeOne(wish.cidr, from, more));
    if (from !== undefined && plan.some((each) => each.from === from)) {
      return immutable(
        `subnets[${String(index)}].cidr`,
        `${from.cidr} cannot be cut into several subnets: its endpoints have one gateway and one prefix`,
      );
    }
    const subnet = from === undefined ? toSubnet(wish) : changed(from, wish, `subnets[${String(index)}]`);
    if ('reason' in subnet) return subnet;
    plan.push({ subnet, from });
  }
  return plan;
}

/** A present subnet as it is to be. It keeps its gateway unless another is named. */
function changed(from: Subnet, wish: SubnetWish, field: string): Subnet | Rejection {
  const { cidr, ipRange, auxAddresses } = wish;
  const gateway = wish.gateway ?? from.gateway;
  const subnet: Subnet = { cidr, gateway, ipRange, auxAddresses };
  if (wish.gateway !== undefined) return subnet;
  const kept = Object.entries(auxAddresses).find(([, address]) => address === gateway)?.[0];
  if (kept !== undefined) {
    return invalid(`${field}.aux_addresses[${JSON.stringify(kept)}]`, `${gateway} is the gateway of ${from.cidr}`);
  }
  // What no endpoint could have in the new subnet, other than for being its gateway, no gateway can have.
  const objection = objectionTo({ ...subnet, gateway: '' as IpAddress }, gateway);
  return objection === undefined
    ? subnet
    : invalid(`${field}.gateway`, `the gateway of ${from.cidr} cannot stay: ${objection}`);
}

function madeOne(cidr: Cidr, from: Subnet | undefined, more: readonly Subnet[]): string {
  const parts = [from, ...more].flatMap((each) => each?.cidr ?? []).join(' and ');
  return `${cidr} would make one subnet of ${parts}: each has its own gateway, which its endpoints use; grow one into space that is free`;
}

function immutable(field: string, description: string): Rejection {
  return { reason: 'FIELD_IMMUTABLE', message: `${field}: ${description}`, violations: [{ field, description }] };
}

function revisionChanged({ name, revision }: Network, expected: bigint): Rejection {
  return {
    reason: 'REVISION_CHANGED',
    message: `network ${name} is at revision ${String(revision)}, not ${String(expected)}; read it and try again`,
    violations: [{ field: 'if_revision', description: `the network is at revision ${String(revision)}` }],
    metadata: { revision: String(revision) },
  };
}

function same(before: Network, after: Network): boolean {
  return (
    sameLabels(before.labels, after.labels) &&
    sameLabels(before.options, after.options) &&
    before.subnets.length === after.subnets.length &&
    before.subnets.every((subnet, index) => sameSubnet(subnet, after.subnets[index]))
  );
}

function sameSpace(before: Network, after: Network): boolean {
  const cidrs = ({ subnets }: Network): string => subnets.map(({ cidr }) => cidr).join();
  return cidrs(before) === cidrs(after);
}

/** Subnets that reach where the network was not before. */
function gained(before: Network, after: Network): readonly Cidr[] {
  return after.subnets
    .map(({ cidr }) => cidr)
    .filter((cidr) => !before.subnets.some((present) => contains(present.cidr, cidr)));
}

function refuseMtu({ name, mtu, subnets }: Network, optionsGiven: boolean): Rejection | undefined {
  const hasIpv6 = subnets.some(({ cidr }) => familyOf(cidr) === 6);
  const objection = mtu === undefined ? undefined : objectionToMtu(mtu, hasIpv6);
  if (objection === undefined) return undefined;
  return optionsGiven
    ? invalid('options["mtu"]', objection)
    : invalid('subnets', `the MTU of network ${name} is too small for IPv6: ${objection}`);
}

/** Refuses what would put a sandbox on two networks that overlap. */
function refuseShared(view: View, network: Network, reached: readonly Cidr[]): Rejection | undefined {
  if (reached.length === 0) return undefined;
  /** Of each other network that shares a sandbox: what of `reached` it overlaps. */
  const overlap = new Map<NetworkId, Cidr | undefined>();
  for (const { hostId, sandbox } of view.endpointsOf(network.id).values()) {
    for (const { networkId } of view.endpointsIn(hostId, sandbox)) {
      if (networkId === network.id) continue;
      const other = view.networks.get(networkId);
      if (other === undefined) continue;
      if (!overlap.has(networkId)) {
        overlap.set(
          networkId,
          reached.find((cidr) => other.subnets.some((each) => overlaps(each.cidr, cidr))),
        );
      }
      const cidr = overlap.get(networkId);
      if (cidr === undefined) continue;
      const host = view.hosts.get(hostId)?.name ?? hostId;
      return {
        reason: 'SUBNETS_OVERLAP',
        message: `${cidr} overlaps subnets of network ${other.name}, and sandbox ${sandbox} on host ${host} is on both; disconnect it from one`,
        violations: [{ field: 'subnets', description: `${cidr} overlaps subnets of network ${other.name}` }],
        metadata: { networkId },
      };
    }
  }
  return undefined;
}

/** Whether anything that an endpoint may have could go: space, a gateway, an address that is now kept for others. */
function takesAway(before: Network, plan: readonly Planned[]): boolean {
  return (
    before.subnets.some((present) => !plan.some(({ from }) => from === present)) ||
    plan.some(
      ({ subnet, from }) =>
        from !== undefined &&
        (!contains(subnet.cidr, from.cidr) ||
          subnet.gateway !== from.gateway ||
          Object.values(subnet.auxAddresses).some((each) => !Object.values(from.auxAddresses).includes(each))),
    )
  );
}

/** A gateway is the default route and the resolver of every sandbox that has an address in its subnet. */
function refuseGateways(view: View, network: Network, plan: readonly Planned[]): Rejection | undefined {
  const index = plan.findIndex(
    ({ subnet, from }) =>
      from !== undefined &&
      subnet.gateway !== from.gateway &&
      holdersIn(view, network, ({ address }) => contains(from.cidr, address)).length > 0,
  );
  const { subnet, from } = plan[index] ?? {};
  if (subnet === undefined || from === undefined) return undefined;
  const users = holdersIn(view, network, ({ address }) => contains(from.cidr, address));
  const description =
    `${from.gateway} is the default route and resolver of the endpoints in ${from.cidr}, ` +
    `so it cannot become ${subnet.gateway} before they are disconnected: ${listed(users)}`;
  const field = `subnets[${String(index)}].gateway`;
  return {
    reason: 'NETWORK_IN_USE',
    message: `${field}: ${description}`,
    violations: [{ field, description }],
    metadata: { networkId: network.id, endpoints: String(users.length) },
  };
}

/** Refuses what would leave an endpoint with an address that it could not have. */
function refuseLost(view: View, before: Network, after: Network): Rejection | undefined {
  const keeps = ({ address }: Holding): boolean =>
    after.subnets.some((subnet) => objectionTo(subnet, address) === undefined);
  const lost = holdersIn(view, before, (holding) => !keeps(holding));
  if (lost.length === 0) return undefined;
  const description = `endpoints hold addresses that network ${before.name} would not have for them any more: ${listed(lost)}`;
  return {
    reason: 'ADDRESSES_HELD',
    message: `${description}; disconnect them first`,
    violations: [{ field: 'subnets', description }],
    metadata: { networkId: before.id, addresses: String(lost.length) },
  };
}

interface Holding {
  readonly endpoint: Endpoint;
  readonly address: IpAddress;
}

/** `10.1.0.2 (web@h1)` of every address of the network that is so. */
function holdersIn(view: View, network: Network, is: (holding: Holding) => boolean): readonly string[] {
  const found: string[] = [];
  for (const endpoint of view.endpointsOf(network.id).values()) {
    for (const address of endpoint.addresses) {
      if (!is({ endpoint, address })) continue;
      const host = view.hosts.get(endpoint.hostId)?.name ?? endpoint.hostId;
      found.push(`${address} (${endpoint.sandbox}@${host})`);
    }
  }
  return found.sort();
}
