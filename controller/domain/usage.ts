/** How many of a network's addresses are held, rest, and are free. */
import { FAMILIES, boundsOf, familyOf, type Family } from '../../core/address.js';
import type { Network, Subnet } from '../../core/model.js';
import type { View } from '../cache/view.js';
import { capacityOf } from './address-pool.js';

/** Counts of addresses for endpoints; none is larger than the wire's int64 holds. */
export interface Usage {
  /** Gateway, auxiliary, network and broadcast addresses are none of them, nor what is outside of `ipRange`. */
  readonly total: bigint;
  /** Held by endpoints, whatever their state. Those outside of `ipRange` count, up to the total. */
  readonly used: bigint;
  /** Given back, and not chosen again yet. */
  readonly resting: bigint;
  readonly free: bigint;
}

/** One family's. */
export interface FamilyUsage extends Usage {
  readonly family: Family;
}

const LARGEST = 2n ** 63n - 1n;

/** The usage of one subnet of a network. Costs a look at each block of 256 of its addresses that is in use at all. */
export function subnetUsage(view: View, network: Network, subnet: Subnet): Usage {
  return saturated(count(view, network, subnet));
}

/** The usage of each family that a network has. */
export function familyUsages(view: View, network: Network): readonly FamilyUsage[] {
  return FAMILIES.flatMap((family) => {
    const subnets = network.subnets.filter(({ cidr }) => familyOf(cidr) === family);
    if (subnets.length === 0) return [];
    const sum: Usage = subnets
      .map((subnet) => count(view, network, subnet))
      .reduce((a, b) => ({
        ...{ total: a.total + b.total, used: a.used + b.used },
        ...{ resting: a.resting + b.resting, free: a.free + b.free },
      }));
    return [{ family, ...saturated(sum) }];
  });
}

/** The usage of the family that runs out first: an endpoint needs an address of each. */
export function networkUsage(view: View, network: Network): Usage {
  const [first, ...others] = familyUsages(view, network);
  if (first === undefined) return { total: 0n, used: 0n, resting: 0n, free: 0n };
  const { total, used, resting, free } = others.reduce((least, each) => (each.free < least.free ? each : least), first);
  return { total, used, resting, free };
}

function count(view: View, network: Network, subnet: Subnet): Usage {
  const { cidr } = subnet;
  const { first, last } = boundsOf(cidr);
  const taken = BigInt(view.takenIn(network.id, familyOf(cidr)).countIn(first, last));
  const resting = BigInt(view.unheldIn(network.id, familyOf(cidr)).countIn(first, last));
  const total = capacityOf(subnet);
  const used = least(taken - resting, total);
  const rests = least(resting, total - used);
  return { total, used, resting: rests, free: total - used - rests };
}

function saturated({ total, used, resting, free }: Usage): Usage {
  return {
    total: least(total, LARGEST),
    used: least(used, LARGEST),
    resting: least(resting, LARGEST),
    free: least(free, LARGEST),
  };
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
