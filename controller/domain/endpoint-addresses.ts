/** The addresses of a new endpoint: those it asks for, and one chosen of each other family of its network. */
import { FAMILIES, contains, familyOf, ipToNumber, type Family, type IpAddress } from '../../core/address.js';
import { invalid, type Rejection } from '../../core/errors.js';
import type { Endpoint, Network, Subnet } from '../../core/model.js';
import type { View } from '../cache/view.js';
import { capacityOf, choosableOf, chooseAddress, objectionTo, rangeOf } from './address-pool.js';
import type { Context, CursorMove } from './decision.js';
import { aboutField } from './network.js';

export interface ChosenAddresses {
  /** Those that were asked for: had at once, also while they rest. */
  readonly asked: readonly IpAddress[];
  /** Those that were chosen: none of them rests. */
  readonly chosen: readonly IpAddress[];
  readonly moves: readonly CursorMove[];
}

/** One address of each family of the network. Refuses with ARGUMENT_INVALID, ADDRESS_TAKEN, ADDRESSES_EXHAUSTED. */
export function chooseAddresses(
  context: Context,
  network: Network,
  wanted: readonly IpAddress[],
): ChosenAddresses | Rejection {
  const { view } = context;
  for (const [index, address] of wanted.entries()) {
    const refusal = refuseWanted(view, network, { address, field: `addresses[${String(index)}]` });
    if (refusal !== undefined) return refusal;
  }
  const asked: IpAddress[] = [];
  const chosen: IpAddress[] = [];
  const moves: CursorMove[] = [];
  for (const family of FAMILIES) {
    const subnets = network.subnets.filter(({ cidr }) => familyOf(cidr) === family);
    const named = wanted.find((address) => familyOf(address) === family);
    if (named !== undefined) {
      asked.push(named);
    } else if (subnets.length > 0) {
      const found = search(context, network, subnets);
      if (found === undefined) return exhausted(context, network, { subnets, family });
      chosen.push(found.address);
      moves.push(found.move);
    }
  }
  return { asked, chosen, moves };
}

/** Refuses with ARGUMENT_INVALID, ADDRESS_TAKEN. */
export function refuseWanted(
  view: View,
  network: Network,
  { address, field }: { readonly address: IpAddress; readonly field: string },
): Rejection | undefined {
  const subnet = network.subnets.find(({ cidr }) => contains(cidr, address));
  if (subnet === undefined) {
    const cidrs = network.subnets.map(({ cidr }) => cidr).join(', ');
    return invalid(field, `${address} is in no subnet of network ${network.name} (${cidrs})`);
  }
  const objection = objectionTo(subnet, address);
  if (objection !== undefined) return invalid(field, objection);
  const holder = view.holderOfAddress(network.id, address);
  return holder === undefined ? undefined : addressTaken(view, network, { address, field, holder });
}

function addressTaken(
  view: View,
  network: Network,
  { address, field, holder }: { readonly address: IpAddress; readonly field: string; readonly holder: Endpoint },
): Rejection {
  const advice =
    holder.state === 'removing' ? 'it is being removed; try again' : 'ask for another, or for none and one is chosen';
  const message = `${address} in network ${network.name} is held by ${describeHolder(view, holder)}; ${advice}`;
  return {
    ...aboutField(field, 'ADDRESS_TAKEN', message),
    metadata: { endpointId: holder.id, address },
  };
}

/** An endpoint as people know it: `sandbox shop on host h1`. */
export function describeHolder(view: View, { sandbox, hostId }: Endpoint): string {
  return `sandbox ${sandbox} on host ${view.hosts.get(hostId)?.name ?? hostId}`;
}

function search(
  context: Context,
  network: Network,
  subnets: readonly Subnet[],
): { readonly address: IpAddress; readonly move: CursorMove } | undefined {
  const { view } = context;
  for (const subnet of subnets) {
    const pool = `address ${network.id} ${subnet.cidr}`;
    const address = chooseAddress({
      subnet,
      taken: view.takenIn(network.id, familyOf(subnet.cidr)),
      after: context.cursor(pool) ?? newestIn(view, network, subnet),
    });
    if (address !== undefined) return { address, move: { pool, at: ipToNumber(address), range: rangeOf(subnet) } };
  }
  return undefined;
}

/** Endpoints that are looked at to find where to go on: more would keep others waiting, and matter less. */
const LOOKED_AT = 1_024;

/** The address of the endpoint that changed last: where a controller that has just started goes on. */
function newestIn(view: View, network: Network, subnet: Subnet): bigint | undefined {
  if (view.endpointsOf(network.id).size > LOOKED_AT) return undefined;
  let newest: { readonly revision: bigint; readonly address: IpAddress } | undefined;
  for (const { revision, addresses } of view.endpointsOf(network.id).values()) {
    const address = addresses.find((each) => contains(subnet.cidr, each));
    if (address !== undefined && (newest === undefined || revision > newest.revision)) newest = { revision, address };
  }
  return newest === undefined ? undefined : ipToNumber(newest.address);
}

/** Says that every address is held or rests, and how many are which. */
function exhausted(
  { view, settings }: Context,
  network: Network,
  { subnets, family }: { readonly subnets: readonly Subnet[]; readonly family: Family },
): Rejection {
  const total = subnets.reduce((sum, subnet) => sum + capacityOf(subnet), 0n);
  const resting = subnets.reduce((sum, subnet) => sum + choosableOf(subnet, view.unheldIn(network.id, family)), 0);
  const used = total - BigInt(resting);
  const pools = subnets.map(({ cidr, ipRange }) => (ipRange === undefined ? cidr : `${ipRange} of ${cidr}`)).join(', ');
  const has = `${pools} ${subnets.length === 1 ? 'has' : 'have'}`;
  const seconds = String(Math.ceil(settings.quarantineMs / 1_000));
  const figures =
    total === 0n
      ? 'no address for endpoints'
      : `${String(total)} ${total === 1n ? 'address' : 'addresses'} for endpoints` +
        (resting === 0
          ? ' and all are in use'
          : `: ${String(used)} in use and ${String(resting)} resting; addresses rest ${seconds} s after use`);
  return {
    reason: 'ADDRESSES_EXHAUSTED',
    message: `network ${network.name}: ${has} ${figures}; ${moreRoom(network, subnets)}`,
    metadata: {
      ...{ networkId: network.id, family: String(family) },
      ...{ total: String(total), used: String(used), resting: String(resting) },
    },
  };
}

/** What to do where an address is wanted and none is free. */
function moreRoom({ name }: Network, subnets: readonly Subnet[]): string {
  const range = subnets.some(({ ipRange }) => ipRange !== undefined) ? ', or --ip-range CIDR' : '';
  return `make room with: weft network update --grow CIDR ${name} (or --add-subnet CIDR${range})`;
}
